//! What a recipient has and owes, each part with its reason: nobody has to remember anything.

use crate::{
    change::Reason,
    failure::{Class, Failure},
    payouts::pay_carried::currency_of,
    ports::{PayoutQueries, PayoutRepository, StoreError, queries::OwedItem, repository::Raise},
};
use domain::{
    currency::Currency,
    ids::{BatchId, ItemId, RecipientId, ReversalId},
    item::{ItemState, ItemStatus},
    timestamp::Timestamp,
};
use std::collections::BTreeMap;

/// Parts that are listed of each kind and currency; the sums are of all.
const ENTRIES_MAX: u32 = 100;

/// What a recipient has and owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Who.
    pub recipient: RecipientId,
    /// By currency.
    pub currencies: Vec<CurrencyBalance>,
}

/// What a recipient has and owes in one currency. Minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrencyBalance {
    /// Which.
    pub currency: Currency,
    /// Owed to them, and going to be sent or waiting for an operator.
    pub payable_minor: i64,
    /// Owed to them, and waiting until they may be paid.
    pub held_minor: i64,
    /// Owed to them, and too small to be sent.
    pub carried_minor: i64,
    /// What they owe.
    pub debt_minor: i64,
    /// What these are made of, newest first: at most a hundred of each kind.
    pub entries: Vec<BalanceEntry>,
}

/// A part of a balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceEntry {
    /// Of which sum it is a part.
    pub kind: BalanceKind,
    /// Minor units.
    pub amount_minor: i64,
    /// The batch it comes from.
    pub batch: Option<BatchId>,
    /// The item that pays it.
    pub item: Option<ItemId>,
    /// The reversal it comes from.
    pub reversal: Option<ReversalId>,
    /// Why, as a stable word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// The four sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalanceKind {
    /// Going to be sent.
    Payable,
    /// Waiting for the recipient.
    Held,
    /// Too small.
    Carried,
    /// Owed by them.
    Debt,
}

impl BalanceKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Payable, Self::Held, Self::Carried, Self::Debt];

    /// The word that is answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payable => "payable",
            Self::Held => "held",
            Self::Carried => "carried",
            Self::Debt => "debt",
        }
    }
}

/// Why there is no balance.
#[derive(Debug, thiserror::Error)]
pub enum ShowBalanceError {
    /// Nobody registered them, and no batch ever had a line of theirs.
    #[error("there is no recipient `{0}`")]
    RecipientNotFound(RecipientId),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for ShowBalanceError {
    fn code(&self) -> &'static str {
        match self {
            Self::RecipientNotFound(_) => "recipient_not_found",
            Self::Store(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::RecipientNotFound(_) => Class::NotFound,
            Self::Store(error) => error.class(),
        }
    }
}

/// Shows what a recipient has and owes. Writes nothing.
///
/// # Errors
/// See [`ShowBalanceError`].
pub async fn show_balance(
    repository: &dyn PayoutRepository,
    queries: &dyn PayoutQueries,
    recipient: RecipientId,
) -> Result<Balance, ShowBalanceError> {
    let mut currencies: BTreeMap<Currency, CurrencyBalance> = BTreeMap::new();
    let owed = queries.owed_to(&recipient, ENTRIES_MAX).await?;
    for (currency, status, sum) in owed.sums {
        let balance = currencies.entry(currency).or_insert_with(|| blank(currency));
        if status == ItemStatus::PendingKyc { balance.held_minor += sum } else { balance.payable_minor += sum }
    }
    for owed in owed.items {
        currencies.entry(owed.currency).or_insert_with(|| blank(owed.currency)).entries.push(owed_entry(&owed));
    }
    for kind in [BalanceKind::Carried, BalanceKind::Debt] {
        for counter in repository.counters_of(kind.as_str(), &recipient).await? {
            let Some(currency) = currency_of(&counter.key) else { continue };
            let balance = currencies.entry(currency).or_insert_with(|| blank(currency));
            match kind {
                BalanceKind::Debt => balance.debt_minor = counter.value,
                _ => balance.carried_minor = counter.value,
            }
            let raises = repository.raised_by(&counter.key, ENTRIES_MAX).await?;
            balance.entries.extend(open(kind, counter.value, raises));
        }
    }
    if currencies.is_empty() && queries.recipient(&recipient).await?.is_none() && !queries.has_lines(&recipient).await?
    {
        return Err(ShowBalanceError::RecipientNotFound(recipient));
    }
    Ok(Balance { recipient, currencies: currencies.into_values().collect() })
}

fn blank(currency: Currency) -> CurrencyBalance {
    let (payable_minor, held_minor, carried_minor, debt_minor) = (0, 0, 0, 0);
    CurrencyBalance { currency, payable_minor, held_minor, carried_minor, debt_minor, entries: Vec::new() }
}

fn owed_entry(OwedItem { item, currency: _ }: &OwedItem) -> BalanceEntry {
    let (kind, reason, message) = match item.state() {
        ItemState::PendingKyc { reason } => {
            (BalanceKind::Held, reason.as_str(), "waits until the recipient may be paid")
        }
        ItemState::Failed { reason, .. } => (BalanceKind::Payable, reason.as_str(), "the rail refused it"),
        ItemState::Returned { reason, .. } => (BalanceKind::Payable, reason.as_str(), "it came back"),
        ItemState::Scheduled
        | ItemState::Processing
        | ItemState::InDoubt
        | ItemState::Paid { .. }
        | ItemState::Cancelled { .. } => (BalanceKind::Payable, "scheduled", "is going to be sent"),
    };
    BalanceEntry {
        kind,
        amount_minor: item.due_minor(),
        batch: Some(item.batch),
        item: Some(item.id),
        reversal: None,
        reason: reason.to_owned(),
        message: message.to_owned(),
        since: item.updated_at,
    }
}

/// What is still open of a counter: what came first left first, so it is what came last.
fn open(kind: BalanceKind, value: i64, raises: Vec<Raise>) -> Vec<BalanceEntry> {
    let mut left = value.max(0);
    let mut entries = Vec::new();
    for raise in raises {
        let amount_minor = raise.amount_minor.min(left);
        if amount_minor == 0 {
            break;
        }
        left -= amount_minor;
        let (reason, message) = match (kind, raise.reason) {
            (BalanceKind::Debt, _) => (raise.reason.as_str(), "was paid and is taken back"),
            (_, Reason::Escheat) => ("escheat", "nobody else claimed it"),
            _ => ("below_minimum", "too small to be sent by itself"),
        };
        entries.push(BalanceEntry {
            kind,
            amount_minor,
            batch: Some(raise.batch),
            item: None,
            reversal: raise.reversal,
            reason: reason.to_owned(),
            message: message.to_owned(),
            since: raise.since,
        });
    }
    entries
}
