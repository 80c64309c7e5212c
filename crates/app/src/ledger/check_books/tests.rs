use super::*;
use crate::{
    fixtures::{down, rail},
    ports::{
        queries::{BatchSums, MockPayoutQueries},
        rail::MockPayoutRail,
    },
};
use domain::money::Money;

const A: u128 = 1;
const B: u128 = 2;

fn usd() -> Currency {
    "USD".parse().unwrap()
}
fn key(n: u128) -> InstructionId {
    InstructionId::new(uuid::Uuid::from_u128(n))
}
fn executed(n: u128, executed_minor: SumMinor, unresolved: bool) -> Executed {
    Executed { instruction: key(n), rail: "simulator".parse().unwrap(), currency: usd(), executed_minor, unresolved }
}
/// 100 released; fee 5, tax 10, one recipient is owed 45 and another was paid 40.
fn books() -> Books {
    let balance = |account: &str, sum| (account.parse().unwrap(), usd(), sum);
    Books {
        unbalanced_transactions: 0,
        balances: vec![
            balance("escrow_receivable", 100),
            balance("payable:rec_ana", -45),
            balance("platform_fees", -5),
            balance("tax_withheld:withholding", -10),
            balance("cash:simulator", -40),
        ],
        batches: vec![(
            usd(),
            BatchSums { amount_minor: 100, deductions_minor: 0, fee_minor: 5, fee_tax_minor: 0, tax_minor: 10 },
        )],
        owed: vec![("rec_ana".parse().unwrap(), usd(), 45)],
        in_transit: vec![],
        unresolved_instructions: 0,
        executed: vec![executed(A, 40, false)],
        ..Books::default()
    }
}
fn entry(n: u128, amount: i64) -> BookEntry {
    returned(n, amount, 0)
}
/// Of what was paid, this is still there and that came back.
fn returned(n: u128, kept: i64, returned_minor: i64) -> BookEntry {
    BookEntry { key: key(n).to_string(), executed: Money::new(kept, usd()), returned_minor, cursor: n.to_string() }
}
fn with_book(book: Option<Vec<BookEntry>>) -> MockPayoutRail {
    let mut rail = rail("simulator", true);
    rail.expect_book().returning(move |after, _| match (&book, after) {
        (None, _) => Ok(None),
        (Some(book), None) => Ok(Some(book.clone())),
        (Some(_), Some(_)) => Ok(Some(vec![])),
    });
    rail
}
async fn check(books: Books, now: Vec<Executed>, book: Option<Vec<BookEntry>>) -> TrialBalance {
    let mut queries = MockPayoutQueries::new();
    queries.expect_books().return_once(move || Ok(books));
    queries.expect_executed().returning(move |_| Ok(now.clone()));
    check_books(&queries, &Rails::new(Arc::new(with_book(book)), [])).await.unwrap()
}
async fn of_ledger(change: impl FnOnce(&mut Books)) -> Vec<String> {
    let mut books = books();
    change(&mut books);
    failing(&check(books, vec![], Some(vec![entry(A, 40)])).await)
}
fn failing(trial: &TrialBalance) -> Vec<String> {
    trial.checks.iter().filter(|check| !check.is_ok()).map(|check| check.name.clone()).collect()
}

#[tokio::test]
async fn books_that_agree_are_balanced() {
    let trial = check(books(), vec![], Some(vec![entry(A, 40)])).await;
    assert!(trial.is_balanced(), "{:?}", failing(&trial));
    let names: Vec<&str> = trial.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "transactions_balance",
            "counters",
            "escrow_receivable",
            "escrow",
            "deductions",
            "platform_fees",
            "fee_tax",
            "tax_withheld",
            "payable",
            "in_transit",
            "cash",
            "carried",
            "debt",
            "rail_charges",
            "rail_book:simulator",
        ]
    );
}

#[tokio::test]
async fn a_hundred_differences_are_named_and_the_others_counted() {
    for (count, expected) in [(99, (99, 0)), (100, (100, 0)), (101, (100, 1)), (246, (100, 146))] {
        let book = std::iter::once(entry(A, 40)).chain((0..count).map(|n| entry(100 + n, 7)));
        let trial = check(books(), vec![], Some(book.collect())).await;
        let found = trial.checks.iter().find(|check| !check.is_ok()).unwrap();
        assert_eq!((found.differences.len(), found.differences_more), expected, "{count}");
    }
}

#[tokio::test]
async fn empty_books_are_balanced() {
    assert!(check(Books::default(), vec![], Some(vec![])).await.is_balanced());
}

/// Every one of these keeps the sum of all balances at zero.
#[tokio::test]
async fn a_booking_on_the_wrong_account_is_found_though_everything_sums_to_zero() {
    let set = |books: &mut Books, account: &str, sum| {
        let account: Account = account.parse().unwrap();
        books.balances.retain(|(known, ..)| *known != account);
        books.balances.push((account, usd(), sum));
    };
    assert_eq!(
        of_ledger(|books| {
            set(books, "platform_fees", -6);
            set(books, "payable:rec_ana", -44);
        })
        .await,
        ["platform_fees", "payable"]
    );
    assert_eq!(
        of_ledger(|books| {
            set(books, "platform_fees", -6);
            set(books, "tax_withheld:withholding", -9);
        })
        .await,
        ["platform_fees", "tax_withheld"]
    );
    // The sum of what is owed is right, but to whom is wrong.
    assert_eq!(
        of_ledger(|books| {
            set(books, "payable:rec_ana", -44);
            set(books, "payable:rec_ben", -1);
        })
        .await,
        ["payable"]
    );
    assert_eq!(
        of_ledger(|books| {
            set(books, "in_transit:simulator", -45);
            set(books, "payable:rec_ana", 0);
        })
        .await,
        ["payable", "in_transit"]
    );
    assert_eq!(
        of_ledger(|books| {
            set(books, "escrow:esc_1", -1);
            set(books, "escrow_receivable", 101);
        })
        .await,
        ["escrow_receivable", "escrow"]
    );
    assert_eq!(
        of_ledger(|books| {
            set(books, "debt:rec_ana", 1);
            set(books, "cash:simulator", -41);
        })
        .await,
        ["cash", "debt"]
    );
    assert_eq!(
        of_ledger(|books| {
            set(books, "carried:rec_ana", -1);
            set(books, "rail_charges", 1);
        })
        .await,
        ["carried", "rail_charges"]
    );
    let charged = |booked: SumMinor| {
        move |books: &mut Books| {
            set(books, "rail_charges", booked);
            books.charges = vec![(usd(), 3)];
        }
    };
    assert_eq!(of_ledger(charged(3)).await, [""; 0]);
    for booked in [2, -3] {
        assert_eq!(of_ledger(charged(booked)).await, ["rail_charges"]);
    }
    assert_eq!(
        of_ledger(|books| {
            set(books, "deductions:refund", -1);
            set(books, "fee_tax", 1);
        })
        .await,
        ["deductions", "fee_tax"]
    );
    assert_eq!(of_ledger(|books| books.unbalanced_transactions = 1).await, ["transactions_balance"]);
}

#[tokio::test]
async fn what_the_rail_executed_and_what_is_booked_must_agree() {
    // Executed twice as much as booked; executed without a booking; booked without an execution.
    for book in [vec![entry(A, 80)], vec![entry(A, 40), entry(B, 7)], vec![]] {
        let trial = check(books(), vec![executed(A, 40, false)], Some(book)).await;
        assert_eq!(failing(&trial), ["rail_book:simulator"]);
    }
    let mut foreign = entry(A, 7);
    foreign.key = "not one of ours".to_owned();
    assert_eq!(failing(&check(books(), vec![], Some(vec![entry(A, 40), foreign])).await), ["rail_book:simulator"]);
}

#[tokio::test]
async fn what_is_under_way_is_open_and_no_difference() {
    let mut books = books();
    books.executed.push(executed(B, 0, true));
    books.unresolved_instructions = 1;
    books.in_transit.push(("simulator".parse().unwrap(), usd(), 45));
    books.owed.clear();
    books.balances.retain(|(account, ..)| account.kind() != "payable");
    books.balances.push(("in_transit:simulator".parse().unwrap(), usd(), -45));
    for book in [vec![entry(A, 40)], vec![entry(A, 40), entry(B, 45)]] {
        let trial = check(books.clone(), vec![executed(B, 0, true)], Some(book)).await;
        assert!(trial.is_balanced(), "{:?}", failing(&trial));
        assert_eq!(trial.checks.last().unwrap().open, 1);
    }
}

#[tokio::test]
async fn money_that_came_back_is_open_until_its_notification_is_there() {
    let paid = executed(A, 40, false);
    for (kept, back, open) in [(0, 40, 1), (30, 10, 1), (30, 0, 0), (20, 10, 0), (50, 10, 0)] {
        let trial = check(books(), vec![paid.clone()], Some(vec![returned(A, kept, back)])).await;
        let of_rail = trial.checks.last().unwrap();
        assert_eq!((of_rail.open, of_rail.is_ok()), (open, open == 1), "{kept} kept, {back} back: {of_rail:?}");
    }
}

#[tokio::test]
async fn an_answer_written_down_while_the_book_was_read_is_no_difference() {
    let trial = check(books(), vec![executed(B, 9, false)], Some(vec![entry(A, 40), entry(B, 9)])).await;
    assert!(trial.is_balanced(), "{:?}", failing(&trial));
}

/// The book was read before it was executed, and what we know of it was asked after it was written down.
#[tokio::test]
async fn what_was_executed_and_written_down_after_the_book_was_read_is_no_difference() {
    let trial = check(books(), vec![executed(B, 9, false)], Some(vec![entry(A, 40), entry(B, 0)])).await;
    assert!(trial.is_balanced(), "{:?}", failing(&trial));
}

#[tokio::test]
async fn a_rail_whose_book_cannot_be_read_at_all_has_no_check() {
    let trial = check(books(), vec![], None).await;
    assert!(trial.checks.iter().all(|check| !check.name.starts_with("rail_book")));
}

#[tokio::test]
async fn what_cannot_be_read_now_is_unavailable() {
    let mut queries = MockPayoutQueries::new();
    queries.expect_books().return_once(|| Err(down()));
    let rails = Rails::new(Arc::new(with_book(None)), []);
    assert_eq!(check_books(&queries, &rails).await.unwrap_err().class(), Class::Unavailable);

    let mut queries = MockPayoutQueries::new();
    queries.expect_books().return_once(|| Ok(Books::default()));
    let mut dead = rail("simulator", true);
    dead.expect_book().returning(|_, _| Err(RailDown("no".into())));
    let error = check_books(&queries, &Rails::new(Arc::new(dead), [])).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("unavailable", Class::Unavailable));
}

async fn compared(books: Books, rails: &[Arc<dyn PayoutRail>]) -> Compared {
    let mut queries = MockPayoutQueries::new();
    queries.expect_books().return_once(move || Ok(books));
    queries.expect_executed().returning(|_| Ok(vec![]));
    compare_books(&queries, rails).await.unwrap()
}
fn unread(why: WhyUnread) -> Vec<Unread> {
    vec![Unread { rail: "simulator".parse().unwrap(), why }]
}

#[tokio::test]
async fn what_could_not_be_asked_is_said_and_is_no_difference() {
    let down = || RailDown("no".into());
    let mut dead = rail("simulator", true);
    dead.expect_book().returning(move |_, _| Err(down()));
    let none: &[Arc<dyn PayoutRail>] = &[];
    for (rails, why) in [
        (&[Arc::new(dead) as Arc<dyn PayoutRail>][..], WhyUnread::Down(down())),
        (&[Arc::new(with_book(None)) as Arc<dyn PayoutRail>], WhyUnread::NoBook),
        (none, WhyUnread::NotConfigured),
    ] {
        let compared = compared(books(), rails).await;
        assert!(compared.trial.is_balanced() && compared.blank.is_empty(), "{compared:?}");
        assert!(compared.trial.checks.iter().all(|check| !check.name.starts_with("rail_book")));
        assert_eq!(compared.unread, unread(why));
    }
    // The rest is compared all the same.
    let mut wrong = books();
    wrong.unbalanced_transactions = 1;
    let compared = compared(wrong, none).await;
    assert_eq!(failing(&compared.trial), ["transactions_balance"]);
    assert_eq!(compared.unread, unread(WhyUnread::NotConfigured));
}

#[tokio::test]
async fn a_book_that_has_nothing_at_all_is_named_if_something_is_booked() {
    let blank = |book: Vec<BookEntry>| [Arc::new(with_book(Some(book))) as Arc<dyn PayoutRail>];
    let found = compared(books(), &blank(vec![])).await;
    assert_eq!((found.blank, found.unread), (vec!["simulator".parse().unwrap()], vec![]));
    assert_eq!(found.trial.checks.last().unwrap().expected, 40);
    for executed in [vec![], vec![executed(A, 40, true)], vec![executed(A, 0, false)]] {
        assert!(compared(Books { executed, ..books() }, &blank(vec![])).await.blank.is_empty());
    }
    assert!(compared(books(), &blank(vec![entry(A, 40)])).await.blank.is_empty());
}
