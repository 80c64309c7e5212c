//! The figures that "books balanced" compares, of what was carried, taken back and let go.

use super::{
    Bench, Ports,
    sample::{
        Release, carried, carry, count, debt, escheat, finish, found, fresh, moved, moves, read, refuse, release,
        reverse, sent, settle, source,
    },
};
use app::{
    change::{Change, New},
    ports::queries::{BatchSums, Books, SumMinor},
};
use domain::{
    batch::Fingerprint,
    calculation::Amounts,
    counter::CounterKey,
    currency::Currency,
    ids::{EscrowId, RecipientId, TransactionId},
    item::ItemStep,
    ledger::{Account, postings},
    money::AMOUNT_MINOR_MAX,
    recipient::HoldReason,
    reversal::{Reversal, ReversalLine, Source, Strategy},
};

async fn books(ports: &Ports) -> Books {
    ports.queries.books().await.unwrap()
}

async fn sums(ports: &Ports) -> BatchSums {
    let found = books(ports).await.batches;
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].1
}

/// What the ledger says of an account, in dollars.
fn balance(books: &Books, account: &str) -> SumMinor {
    let account: Account = read(account);
    let found = books.balances.iter().find(|(named, currency, _)| *named == account && currency.code() == "USD");
    found.map_or(0, |(.., sum)| *sum)
}

fn dollars<T: std::str::FromStr<Err: std::fmt::Debug>>(entries: &[(&str, SumMinor)]) -> Vec<(T, Currency, SumMinor)> {
    entries.iter().map(|(subject, sum)| (read(subject), read("USD"), *sum)).collect()
}

pub async fn what_is_carried_and_owed_back_is_in_the_books(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = release(now).carry("rec_ana", 400).carry("rec_bob", 30).pay("rec_cyd", 5);
    let batch = release.batch.id;
    let counts = [(carried("rec_ana"), 400), (carried("rec_bob"), 30)];
    let counts = counts.map(|(key, add)| count(&key, Some(0), add, batch)).to_vec();
    ports.commit(Change { count: counts, ..release.change() }).await;
    let found_now = books(&ports).await;
    assert_eq!(found_now.carried, dollars::<RecipientId>(&[("rec_ana", 400), ("rec_bob", 30)]));
    assert_eq!((balance(&found_now, "carried:rec_ana"), balance(&found_now, "carried:rec_bob")), (-400, -30));
    assert_eq!((found_now.debts, found_now.drifted_counters), (vec![], 0));

    // What is paid is carried no longer; other counters of the same people are no balances.
    let paid = carry("rec_ana", 400, now);
    let counts = vec![count(&carried("rec_ana"), Some(1), -400, paid.batch.id)];
    ports.commit(Change { count: counts, ..paid.change() }).await;
    let euros = CounterKey::carried(&read("rec_bob"), read("EUR"));
    let year = CounterKey::tax_base(&read("rec_ana"), read("USD"), "us_nra", "2026");
    let others = [(&euros, 7), (&year, 9), (&debt("rec_ana"), 12), (&CounterKey::sequence(&read("prj_film")), 1)];
    ports.commit(moves(others.map(|(key, add)| count(key, None, add, batch)))).await;
    let found_now = books(&ports).await;
    assert_eq!(found_now.carried, [(read("rec_bob"), read("EUR"), 7), (read("rec_bob"), read("USD"), 30)]);
    assert_eq!(found_now.debts, dollars::<RecipientId>(&[("rec_ana", 12)]));
    assert_eq!(balance(&found_now, "carried:rec_ana"), 0);
    assert_eq!(found_now.owed, dollars::<RecipientId>(&[("rec_ana", 400), ("rec_cyd", 5)]));
    assert_eq!(found_now.drifted_counters, 0);
}

/// Ana is paid 600 less a fee of 60 (10 of it tax) and 40 withheld; Bob is sent 300.
async fn lived_in(ports: &Ports) -> Release {
    let now = ports.now().await;
    let ana = Amounts { net_minor: 500, fee_minor: 60, fee_tax_minor: 10, tax_minor: 40, ..Amounts::default() };
    let release = release(now).line("rec_ana", ana, None).pay_less("rec_bob", 270, 30, 0).book(ports).await;
    sent(ports, release.batch.id, &[1]).await;
    release
}

pub async fn what_was_taken_back_is_in_the_books(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = lived_in(&ports).await;
    let batch = release.batch.id;
    let before = books(&ports).await;
    let booked =
        BatchSums { amount_minor: 900, fee_minor: 80, fee_tax_minor: 10, tax_minor: 40, ..BatchSums::default() };
    assert_eq!((sums(&ports).await, &before.given_back), (booked, &vec![]));

    // Two thirds of it is Ana's, whose item is not sent yet. Bob's is in flight: his third waits.
    let half = reverse(&found(&ports, batch).await, "ref_1", 450, Strategy::SplitRatio, now);
    ports.commit(half.change).await;
    let waiting = half.lines.iter().find(|line| line.source.is_none()).expect("Bob's").clone();
    assert_eq!((waiting.recipient.as_str(), waiting.gross_minor, waiting.fee_minor), ("rec_bob", 150, 15));
    let after = books(&ports).await;
    let net_of_ana = BatchSums { fee_minor: 55, fee_tax_minor: 5, tax_minor: 20, ..booked };
    assert_eq!(sums(&ports).await, net_of_ana, "what waits is not taken back yet");
    let escrow = release.escrow();
    assert_eq!(after.given_back, [(escrow.clone(), read("USD"), 300)]);
    assert_eq!(balance(&after, &format!("escrow:{escrow}")), -300);
    assert_eq!(after.owed, dollars::<RecipientId>(&[("rec_ana", 250)]));
    assert_eq!((after.debts.len(), &after.in_transit), (0, &before.in_transit));

    // His payment was made after all: what he got is owed back.
    let order = ports.sent(batch).await;
    ports.commit(settle(&ports.load(batch).await, &order, now)).await;
    ports.commit(finish(&found(&ports, batch).await, &waiting, now)).await;
    let last = books(&ports).await;
    assert_eq!(sums(&ports).await, BatchSums { fee_minor: 40, ..net_of_ana });
    assert_eq!(last.given_back, [(escrow.clone(), read("USD"), 450)]);
    assert_eq!(last.debts, dollars::<RecipientId>(&[("rec_bob", 135)]));
    assert_ledger_agrees(&last);
}

/// What the facts say is what the ledger says.
fn assert_ledger_agrees(books: &Books) {
    let of = |kind: &str| -> SumMinor {
        books.balances.iter().filter(|(account, ..)| account.kind() == kind).map(|(.., sum)| *sum).sum()
    };
    let facts = |sums: &[SumMinor]| sums.iter().sum::<SumMinor>();
    let batches: Vec<BatchSums> = books.batches.iter().map(|(_, sums)| *sums).collect();
    let each = |sum: fn(&BatchSums) -> SumMinor| facts(&batches.iter().map(sum).collect::<Vec<_>>());
    assert_eq!(of("platform_fees"), -each(|sums| sums.fee_minor));
    assert_eq!(of("fee_tax"), -each(|sums| sums.fee_tax_minor));
    assert_eq!(of("tax_withheld"), -each(|sums| sums.tax_minor));
    assert_eq!(of("escrow"), -facts(&books.given_back.iter().map(|(.., sum)| *sum).collect::<Vec<_>>()));
    assert_eq!(of("payable"), -facts(&books.owed.iter().map(|(.., sum)| *sum).collect::<Vec<_>>()));
    assert_eq!(of("carried"), -facts(&books.carried.iter().map(|(.., sum)| *sum).collect::<Vec<_>>()));
    assert_eq!(of("debt"), facts(&books.debts.iter().map(|(.., sum)| *sum).collect::<Vec<_>>()));
}

pub async fn what_the_platform_gave_back_is_in_the_books(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let (one, two) = (lived_in(&ports).await, lived_in(&ports).await);
    let before = sums(&ports).await;
    for (release, id, amount) in [(&one, "ref_1", 30), (&one, "ref_2", 4), (&two, "ref_3", 500)] {
        let reversed = reverse(&found(&ports, release.batch.id).await, id, amount, Strategy::Platform, now);
        assert_eq!(reversed.lines, [], "nobody else bears it");
        ports.commit(reversed.change).await;
    }
    let found = books(&ports).await;
    assert_eq!(sums(&ports).await, BatchSums { fee_minor: before.fee_minor - 534, ..before });
    let mut expected: Vec<(EscrowId, Currency, SumMinor)> =
        vec![(one.escrow().clone(), read("USD"), 34), (two.escrow().clone(), read("USD"), 500)];
    expected.sort();
    assert_eq!(found.given_back, expected);
    assert_ledger_agrees(&found);
}

pub async fn what_nobody_claimed_is_in_the_books(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let hold = HoldReason::RecipientPlaceholder;
    let release = release(now).pay("rec_ana", 600).hold("rec_bob", 300, hold).hold("rec_cyd", 20, hold);
    let batch = release.book(&ports).await.batch;
    let before = sums(&ports).await;
    let others = [(read::<RecipientId>("rec_ana"), 250)];
    for (place, platform_minor, others) in [(1, 50, &others[..]), (2, 20, &[])] {
        let found = ports.load(batch.id).await;
        let item = &found.items[place].value;
        let posted = postings::escheated(TransactionId::new(fresh()), &batch, item, others, platform_minor, now);
        let mut change = moved(&found, &[place], ItemStep::Cancel, now);
        change.insert.push(New::Escheat(escheat(item, platform_minor, now)));
        change.post.push(posted.unwrap());
        let key = |who: &RecipientId| carried(who.as_str());
        change.count = others.iter().map(|(who, add)| count(&key(who), None, *add, batch.id)).collect();
        ports.commit(change).await;
    }
    let found = books(&ports).await;
    assert_eq!(sums(&ports).await, BatchSums { fee_minor: before.fee_minor + 70, ..before });
    assert_eq!(found.carried, dollars::<RecipientId>(&[("rec_ana", 250)]));
    assert_eq!(found.owed, dollars::<RecipientId>(&[("rec_ana", 600)]));
    assert_ledger_agrees(&found);
}

pub async fn what_was_taken_back_is_kept_apart_by_currency(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    for (currency, id) in [("USD", "ref_1"), ("JPY", "ref_2")] {
        let release = release(now).pay_less("rec_ana", 80, 20, 0).with(|batch| batch.currency = read(currency));
        let release = release.book(&ports).await;
        let order = sent(&ports, release.batch.id, &[0]).await;
        ports.commit(refuse(&ports.load(release.batch.id).await, &order, now)).await;
        let taken = if currency == "JPY" { 100 } else { 50 };
        let reversed = reverse(&found(&ports, release.batch.id).await, id, taken, Strategy::SplitRatio, now);
        ports.commit(reversed.change).await;
    }
    let found = books(&ports).await;
    let sums = |amount_minor, fee_minor| BatchSums { amount_minor, fee_minor, ..BatchSums::default() };
    assert_eq!(found.batches, [(read("JPY"), sums(100, 0)), (read("USD"), sums(100, 10))]);
    assert_eq!(found.owed, [(read("rec_ana"), read("USD"), 40)], "what is taken whole is owed to nobody");
    let back: Vec<(Currency, SumMinor)> = found.given_back.iter().map(|(_, currency, sum)| (*currency, *sum)).collect();
    assert_eq!(back, [(read("USD"), 50), (read("JPY"), 100)], "in the order of the escrows");
    assert_ledger_agrees(&found);
}

/// More than 64 bits can hold, of every kind of sum that reversals change.
pub async fn sums_of_what_was_taken_back_may_exceed_what_one_amount_can_be(bench: &dyn Bench) {
    const MANY: usize = 1100;
    let ports = bench.ports();
    let now = ports.now().await;
    let big = AMOUNT_MINOR_MAX;
    let sum = SumMinor::from(big) * 1100;
    let mut change = Change::default();
    for number in 0..MANY {
        let one = release(now).pay("rec_ana", 1).with(|batch| {
            (batch.amount_minor, batch.fee_minor, batch.fee_tax_minor, batch.total_net_minor) = (big, big, big, 0);
        });
        let line = |seq, fee_minor, fee_tax_minor| ReversalLine {
            reversal: read(&format!("ref_{number}")),
            batch: one.batch.id,
            seq,
            recipient: read("rec_ana"),
            item: None,
            gross_minor: big,
            fee_minor,
            fee_tax_minor,
            taxes: Vec::new(),
            net_minor: 0,
            fee_kept_minor: 0,
            fee_tax_kept_minor: 0,
            source: Some(Source::default()),
        };
        let lines = [line(0, big, 0), line(1, 0, big)];
        change.insert.push(New::Batch(one.batch.clone()));
        change.insert.push(New::Reversal(Reversal {
            id: read(&format!("ref_{number}")),
            batch: one.batch.id,
            amount_minor: big,
            currency: one.batch.currency,
            strategy: Strategy::Platform,
            platform_minor: big,
            reason: None,
            requested_by: read("usr_operator"),
            fingerprint: Fingerprint([0; 32]),
            created_at: now,
        }));
        change.insert.extend(lines.iter().cloned().map(New::ReversalLine));
        change.insert.extend(lines.iter().map(|line| New::Source(source(line, now))));
        change.count.push(count(&carried(&format!("rec_{number}")), None, i64::MAX, one.batch.id));
    }
    ports.commit(change).await;
    let found = books(&ports).await;
    let expected = BatchSums { amount_minor: sum, fee_minor: -2 * sum, ..BatchSums::default() };
    assert_eq!(found.batches, [(read("USD"), expected)]);
    assert_eq!((found.given_back.len(), found.carried.len()), (MANY, MANY));
    assert!(found.given_back.iter().all(|(.., back)| *back == 3 * SumMinor::from(big)));
    assert!(found.carried.iter().all(|(.., carried)| *carried == SumMinor::from(i64::MAX)));
    assert_eq!(found.drifted_counters, 0);
}
