//! "Books balanced" is more than a zero sum, which cannot fail: what the ledger says is compared with the
//! items, the batches and the rails' own books (product design, section 3).

use crate::{
    failure::{Class, Failure},
    ports::{
        PayoutQueries, Rails, StoreError,
        queries::{Books, Executed, SumMinor},
        rail::{BookEntry, PayoutRail, RailDown},
    },
};
use domain::{
    currency::Currency,
    ids::{InstructionId, RecipientId},
    ledger::Account,
    recipient::RailId,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Entries of a rail's book read at a time.
const PAGE: u32 = 1000;
/// Differences named in one check; the rest is only counted.
const DIFFERENCES_MAX: usize = 100;

/// The result: balanced if every check is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalance {
    /// Debits less credits of each account.
    pub balances: Vec<(Account, Currency, SumMinor)>,
    /// Every check, in a fixed order.
    pub checks: Vec<Check>,
}

impl TrialBalance {
    /// Whether every check holds.
    pub fn is_balanced(&self) -> bool {
        self.checks.iter().all(Check::is_ok)
    }
}

/// Two figures that must be the same, for the whole and for each part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is compared.
    pub name: String,
    /// In which currency; none where it counts something.
    pub currency: Option<Currency>,
    /// What the facts say.
    pub expected: SumMinor,
    /// What the books say.
    pub actual: SumMinor,
    /// How many things are still under way and are neither.
    pub open: u64,
    /// The parts that differ, at most a hundred of them.
    pub differences: Vec<Difference>,
    /// How many more parts differ than are named.
    pub differences_more: u64,
}

impl Check {
    /// Whether both figures are the same, for the whole and for each part.
    pub fn is_ok(&self) -> bool {
        self.expected == self.actual && self.differences.is_empty()
    }
}

/// A part that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which part: an account's subject, or an instruction.
    pub subject: String,
    /// What the facts say.
    pub expected: SumMinor,
    /// What the books say.
    pub actual: SumMinor,
}

/// Why the books could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckBooksError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A rail's book cannot be read.
    #[error(transparent)]
    Rail(#[from] RailDown),
}

impl Failure for CheckBooksError {
    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Rail(_) => "unavailable",
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Store(error) => error.class(),
            Self::Rail(_) => Class::Unavailable,
        }
    }
}

/// What was compared, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// What was compared.
    pub trial: TrialBalance,
    /// The rails whose own books were not.
    pub unread: Vec<Unread>,
    /// The rails whose own books were read and have nothing at all, though something is booked as executed over them.
    pub blank: Vec<RailId>,
}

/// A rail whose own book was not compared with ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which.
    pub rail: RailId,
    /// Why not.
    pub why: WhyUnread,
}

/// Why the book of a rail was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyUnread {
    /// It has none that anybody can read.
    NoBook,
    /// It cannot be asked now.
    Down(RailDown),
    /// Payments went over it, and it is not configured here.
    NotConfigured,
}

/// Compares everything.
///
/// # Errors
/// See [`CheckBooksError`].
pub async fn check_books(queries: &dyn PayoutQueries, rails: &Rails) -> Result<TrialBalance, CheckBooksError> {
    let Compared { trial, unread, .. } = compare_books(queries, rails.all()).await?;
    for Unread { why, .. } in unread {
        match why {
            WhyUnread::Down(down) => return Err(down.into()),
            WhyUnread::NoBook | WhyUnread::NotConfigured => {}
        }
    }
    Ok(trial)
}

/// Compares what can be compared, and says what cannot: a rail that cannot be asked says nothing about the books.
///
/// # Errors
/// If the store cannot be used.
pub async fn compare_books<'a>(
    queries: &dyn PayoutQueries,
    rails: impl IntoIterator<Item = &'a Arc<dyn PayoutRail>>,
) -> Result<Compared, StoreError> {
    let books = queries.books().await?;
    let (mut checks, mut unread, mut blank) = (ledger_checks(&books), Vec::new(), Vec::new());
    let is_executed_over = |rail: &RailId| {
        books
            .executed
            .iter()
            .any(|executed| executed.rail == *rail && !executed.unresolved && executed.executed_minor > 0)
    };
    let mut foreign: BTreeSet<&RailId> = books.executed.iter().map(|executed| &executed.rail).collect();
    for rail in rails {
        let id = rail.profile().id;
        foreign.remove(&id);
        // Read after the ledger: what the ledger calls paid is in the book by then.
        let why = match read_book(rail.as_ref()).await {
            Ok(Some(book)) => {
                if book.is_empty() && is_executed_over(&id) {
                    blank.push(id.clone());
                }
                checks.extend(rail_check(queries, &id, &book, &books).await?);
                continue;
            }
            Ok(None) => WhyUnread::NoBook,
            Err(down) => WhyUnread::Down(down),
        };
        unread.push(Unread { rail: id, why });
    }
    unread.extend(foreign.into_iter().map(|rail| Unread { rail: rail.clone(), why: WhyUnread::NotConfigured }));
    Ok(Compared { trial: TrialBalance { balances: books.balances, checks }, unread, blank })
}

type Figures = BTreeMap<(String, Currency), SumMinor>;

/// Pure: the ledger against items and batches.
fn ledger_checks(books: &Books) -> Vec<Check> {
    let count = |name: &str, actual: u64| Check {
        name: name.to_owned(),
        currency: None,
        expected: 0,
        actual: SumMinor::from(actual),
        open: 0,
        differences: Vec::new(),
        differences_more: 0,
    };
    let mut checks =
        vec![count("transactions_balance", books.unbalanced_transactions), count("counters", books.drifted_counters)];
    let of_batches = |pick: fn(&crate::ports::queries::BatchSums) -> SumMinor| -> Figures {
        books.batches.iter().map(|(currency, sums)| ((String::new(), *currency), pick(sums))).collect()
    };
    let owed = books.owed.iter().map(|(who, currency, sum)| ((who.to_string(), *currency), *sum)).collect();
    let sent = books.in_transit.iter().map(|(rail, currency, sum)| ((rail.to_string(), *currency), *sum)).collect();
    let executed = books.executed.iter().fold(Figures::new(), |mut sums, executed| {
        *sums.entry((executed.rail.to_string(), executed.currency)).or_default() += executed.executed_minor;
        sums
    });
    let by = |sums: &[(RecipientId, Currency, SumMinor)]| -> Figures {
        sums.iter().map(|(who, currency, sum)| ((who.to_string(), *currency), *sum)).collect()
    };
    let given_back =
        books.given_back.iter().map(|(escrow, currency, sum)| ((escrow.to_string(), *currency), *sum)).collect();
    let charges = books.charges.iter().map(|(currency, sum)| ((String::new(), *currency), *sum)).collect();

    let mut compare = |name: &str, expected: Figures, sign: SumMinor, by_subject: bool, open: u64| {
        checks.extend(compare(name, &expected, &actual(books, name, sign, by_subject), open));
    };
    compare("escrow_receivable", of_batches(|sums| sums.amount_minor), 1, false, 0);
    compare("escrow", given_back, -1, true, 0);
    compare("deductions", of_batches(|sums| sums.deductions_minor), -1, false, 0);
    compare("platform_fees", of_batches(|sums| sums.fee_minor), -1, false, 0);
    compare("fee_tax", of_batches(|sums| sums.fee_tax_minor), -1, false, 0);
    compare("tax_withheld", of_batches(|sums| sums.tax_minor), -1, false, 0);
    compare("payable", owed, -1, true, 0);
    compare("in_transit", sent, -1, true, books.unresolved_instructions);
    compare("cash", executed, -1, true, 0);
    compare("carried", by(&books.carried), -1, true, 0);
    compare("debt", by(&books.debts), 1, true, 0);
    compare("rail_charges", charges, 1, false, 0);
    checks
}

/// The balances of a kind of account, on its usual side, by subject or all together.
fn actual(books: &Books, kind: &str, sign: SumMinor, by_subject: bool) -> Figures {
    let mut figures = Figures::new();
    for (account, currency, sum) in books.balances.iter().filter(|(account, ..)| account.kind() == kind) {
        let subject = if by_subject { account.subject().to_owned() } else { String::new() };
        *figures.entry((subject, *currency)).or_default() += sign * sum;
    }
    figures
}

/// One check a currency that occurs on either side; one of zeros if none does.
fn compare(name: &str, expected: &Figures, actual: &Figures, open: u64) -> Vec<Check> {
    let keys: BTreeSet<&(String, Currency)> = expected.keys().chain(actual.keys()).collect();
    let mut checks: BTreeMap<Option<Currency>, Check> = BTreeMap::new();
    let blank = |currency| Check {
        name: name.to_owned(),
        currency,
        expected: 0,
        actual: 0,
        open,
        differences: Vec::new(),
        differences_more: 0,
    };
    for key in keys {
        let figure = |figures: &Figures| figures.get(key).copied().unwrap_or_default();
        let check = checks.entry(Some(key.1)).or_insert_with(|| blank(Some(key.1)));
        add(check, &key.0, figure(expected), figure(actual));
    }
    if checks.is_empty() {
        return vec![blank(None)];
    }
    checks.into_values().collect()
}

fn add(check: &mut Check, subject: &str, expected: SumMinor, actual: SumMinor) {
    check.expected += expected;
    check.actual += actual;
    if expected == actual {
        return;
    }
    if check.differences.len() < DIFFERENCES_MAX {
        check.differences.push(Difference { subject: subject.to_owned(), expected, actual });
    } else {
        check.differences_more += 1;
    }
}

/// What is booked as executed, instruction by instruction, against the rail's own book. What is unresolved is
/// open: its answer is not written down yet; so is a return whose notification is on its way.
async fn rail_check(
    queries: &dyn PayoutQueries,
    id: &RailId,
    book: &[BookEntry],
    books: &Books,
) -> Result<Vec<Check>, StoreError> {
    let booked = books.executed.iter().filter(|executed| executed.rail == *id);
    let booked: HashMap<String, &Executed> =
        booked.map(|executed| (executed.instruction.to_string(), executed)).collect();
    let newer = written_down_meanwhile(queries, &booked, book).await?;

    let mut checks: BTreeMap<Currency, Check> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for entry in book {
        seen.insert(entry.key.as_str());
        let known = newer.get(&entry.key).or_else(|| booked.get(&entry.key).copied());
        let check = check_of(&mut checks, id, entry.executed.currency);
        match known {
            Some(known) if known.unresolved || is_return_on_its_way(known, entry) => check.open += 1,
            Some(known) if known.currency == entry.executed.currency => {
                add(check, &entry.key, known.executed_minor, SumMinor::from(entry.executed.amount_minor));
            }
            _ => add(check, &entry.key, 0, SumMinor::from(entry.executed.amount_minor)),
        }
    }
    for (key, known) in booked.iter().filter(|(key, _)| !seen.contains(key.as_str())) {
        let check = check_of(&mut checks, id, known.currency);
        if known.unresolved {
            check.open += 1;
        } else {
            add(check, key, known.executed_minor, 0);
        }
    }
    Ok(checks.into_values().collect())
}

/// The rail has money back that we still call paid: its notification has not arrived. What is missing beyond what
/// came back is a difference.
fn is_return_on_its_way(known: &Executed, entry: &BookEntry) -> bool {
    let missing = known.executed_minor - SumMinor::from(entry.executed.amount_minor);
    known.currency == entry.executed.currency && missing > 0 && missing <= SumMinor::from(entry.returned_minor)
}

/// What the comparison with a rail's own book is called.
pub fn rail_book(rail: &RailId) -> String {
    format!("rail_book:{rail}")
}

fn check_of<'a>(checks: &'a mut BTreeMap<Currency, Check>, rail: &RailId, currency: Currency) -> &'a mut Check {
    checks.entry(currency).or_insert_with(|| Check {
        name: rail_book(rail),
        currency: Some(currency),
        expected: 0,
        actual: 0,
        open: 0,
        differences: Vec::new(),
        differences_more: 0,
    })
}

/// Of the entries that the ledger did not explain when it was read, those that it explains by now. An entry of which
/// nothing is executed needs no explanation: what the ledger says by now may be of later than the entry.
async fn written_down_meanwhile(
    queries: &dyn PayoutQueries,
    booked: &HashMap<String, &Executed>,
    book: &[BookEntry],
) -> Result<HashMap<String, Executed>, StoreError> {
    let unexplained = |entry: &&BookEntry| {
        let known = booked.get(&entry.key).map_or(0, |known| known.executed_minor);
        known != SumMinor::from(entry.executed.amount_minor)
    };
    let ids: Vec<InstructionId> = book.iter().filter(unexplained).filter_map(|entry| entry.key.parse().ok()).collect();
    let mut newer = HashMap::new();
    for ids in ids.chunks(PAGE as usize) {
        let executed = queries.executed(ids).await?;
        newer.extend(executed.into_iter().map(|executed| (executed.instruction.to_string(), executed)));
    }
    Ok(newer)
}

async fn read_book(rail: &dyn PayoutRail) -> Result<Option<Vec<BookEntry>>, RailDown> {
    let mut all: Vec<BookEntry> = Vec::new();
    loop {
        let after = all.last().map(|entry| entry.cursor.clone());
        let Some(page) = rail.book(after, PAGE).await? else { return Ok(None) };
        if page.is_empty() {
            return Ok(Some(all));
        }
        all.extend(page);
    }
}

#[cfg(test)]
mod tests;
