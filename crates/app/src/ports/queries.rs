//! Pages and screens. Nothing is decided on what they answer.

use super::StoreError;
use crate::change::{PolicyVersion, Resolution};
use async_trait::async_trait;
use domain::{
    approval::Approval,
    audit::AuditEntry,
    batch::{Batch, BatchStatus},
    currency::Currency,
    event::{Alarm, Event, EventKind},
    ids::{AuditId, BatchId, EscrowId, EventId, InstructionId, ItemId, ProjectId, RecipientId, TransactionId},
    instruction::{Instruction, InstructionItem, Outcome},
    item::{Item, ItemStatus},
    ledger::{Account, Transaction},
    recipient::{RailId, Recipient},
    revenue_model::ModelVersion,
    timestamp::Timestamp,
};
use serde_json::{Value, json};

/// Which part of a list: at most `limit` entries after the one named `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Cursor> {
    /// 1 to 100.
    pub limit: u32,
    /// The last entry of the page before; from the start if absent.
    pub after: Option<Cursor>,
}

impl<Cursor> Page<Cursor> {
    /// The same page after another kind of cursor.
    pub fn map<Other>(self, cursor: impl FnOnce(Cursor) -> Other) -> Page<Other> {
        Page { limit: self.limit, after: self.after.map(cursor) }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The entries, newest first.
    pub data: Vec<T>,
    /// Whether there are more after these.
    pub has_more: bool,
}

impl<T> Paged<T> {
    /// Cuts a list that was read one entry further than asked for.
    pub fn cut(mut data: Vec<T>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = data.len() > limit;
        data.truncate(limit);
        Self { data, has_more }
    }
    /// The same page of something else.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Paged<U> {
        Paged { data: self.data.into_iter().map(each).collect(), has_more: self.has_more }
    }
}

/// Which batches. Absent filters let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchFilter {
    /// Only those in this status.
    pub status: Option<BatchStatus>,
    /// Only those of this project.
    pub project: Option<ProjectId>,
    /// Only the one of this escrow.
    pub escrow: Option<EscrowId>,
}

/// Which transactions. Absent filters let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Only those about this batch.
    pub batch: Option<BatchId>,
    /// Only those with an entry on this account.
    pub account: Option<Account>,
}

/// Which events. Absent filters let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those about this batch.
    pub batch: Option<BatchId>,
    /// Only those of this type.
    pub kind: Option<String>,
}

/// Which entries of the audit log. Absent filters let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those about this.
    pub subject: Option<String>,
    /// Only those by this one.
    pub actor: Option<String>,
    /// Only those of this action.
    pub action: Option<String>,
}

/// A batch with its history.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchDetails {
    /// The batch.
    pub batch: Batch,
    /// Its items, by `seq`.
    pub items: Vec<Item>,
    /// Every instruction ever made for them, oldest first.
    pub instructions: Vec<Instruction>,
    /// Everything that was said about it, oldest first, published or not.
    pub events: Vec<Event>,
    /// Every approval ever given to it, oldest first.
    pub approvals: Vec<Approval>,
}

/// An item with its history.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemDetails {
    /// The item.
    pub item: Item,
    /// Its batch.
    pub batch: Batch,
    /// Every instruction ever made for it, oldest first.
    pub instructions: Vec<Instruction>,
    /// What was proposed of it and waits for a second person.
    pub resolution: Option<Resolution>,
    /// Where its recipient is paid now, if somebody registered them.
    pub rail: Option<RailId>,
    /// The rails that are paused, while it is to be sent.
    pub pauses: Vec<RailPause>,
}

/// A rail that refused everything because of us, and has taken nothing since.
///
/// Gates live in the memory of workers, and whoever answers may be another process. So a pause is what is stored of it:
/// the alarm that began it, and no payment over that rail that was sent later and taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RailPause {
    /// Which rail.
    pub rail: RailId,
    /// When it was told.
    pub since: Timestamp,
    /// What the rail says: a stable word, or what is known.
    pub says: String,
}

impl RailPause {
    /// So many of the newest alarms are looked through for it.
    pub const ALARMS_MAX: u32 = 100;

    /// Whether an item may wait for a rail that is paused.
    pub fn concerns(item: &Item) -> bool {
        matches!(item.status(), ItemStatus::Scheduled | ItemStatus::Processing)
    }

    /// What the alarm [`Alarm::RailPaused`] says.
    pub fn about(rail: &RailId, says: &str) -> Value {
        json!({ "rail": rail, "says": says })
    }

    /// The pauses that these alarms began, newest first: one for each rail.
    pub fn told_by(newest_first: impl IntoIterator<Item = Event>) -> Vec<Self> {
        let mut pauses: Vec<Self> = Vec::new();
        for pause in newest_first.into_iter().filter_map(|event| Self::of(&event)) {
            if pauses.iter().all(|newer| newer.rail != pause.rail) {
                pauses.push(pause);
            }
        }
        pauses
    }

    fn of(event: &Event) -> Option<Self> {
        let is_one = event.kind == EventKind::Alarm && event.data["code"] == Alarm::RailPaused.as_str();
        let rail = event.data["about"]["rail"].as_str().filter(|_| is_one)?.parse().ok()?;
        let says = event.data["about"]["says"].as_str().unwrap_or("unspecified").to_owned();
        Some(Self { rail, since: event.occurred_at, says })
    }

    /// Whether that was sent later and taken: then the pause is over.
    pub fn is_ended_by(&self, instruction: &Instruction) -> bool {
        let is_taken = |part: &InstructionItem| match part.outcome {
            Outcome::Accepted { .. } | Outcome::Settled { .. } | Outcome::Stray { .. } | Outcome::Returned { .. } => {
                true
            }
            Outcome::Sent | Outcome::Refused { .. } | Outcome::Absent | Outcome::Recalled => false,
        };
        instruction.rail == self.rail && instruction.last_sent_at > self.since && instruction.items.iter().any(is_taken)
    }
}

/// What is owed to a recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwedTo {
    /// The sums of what is still due, by currency and status, of all items that are owed.
    pub sums: Vec<(Currency, ItemStatus, i64)>,
    /// The newest of these items.
    pub items: Vec<OwedItem>,
}

/// An item that is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedItem {
    /// The item.
    pub item: Item,
    /// The currency of its batch.
    pub currency: Currency,
}

/// An event that was published, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedEvent {
    /// The event.
    pub event: Event,
    /// When it was delivered.
    pub published_at: Timestamp,
}

/// A sum of money that may exceed what one amount can be.
pub type SumMinor = i128;

/// Everything that "books balanced" compares, as of one moment. Lists are sorted; sums of zero are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// How many transactions do not sum to zero, have fewer than two entries, or mix currencies.
    pub unbalanced_transactions: u64,
    /// Debits less credits of each account.
    pub balances: Vec<(Account, Currency, SumMinor)>,
    /// Sums over all batches, by currency.
    pub batches: Vec<(Currency, BatchSums)>,
    /// `payable_minor` less what reversals took of it, of items scheduled, pending_kyc, failed and returned, by
    /// recipient.
    pub owed: Vec<(RecipientId, Currency, SumMinor)>,
    /// What came back of releases and was not handed on, by escrow.
    pub given_back: Vec<(EscrowId, Currency, SumMinor)>,
    /// What is carried: the sums of the movements of those counters, by recipient.
    pub carried: Vec<(RecipientId, Currency, SumMinor)>,
    /// What is owed by recipients: the sums of the movements of those counters.
    pub debts: Vec<(RecipientId, Currency, SumMinor)>,
    /// How many counters are not the sum of their moves.
    pub drifted_counters: u64,
    /// Instruction amounts of items processing and in doubt, by rail.
    pub in_transit: Vec<(RailId, Currency, SumMinor)>,
    /// How many instructions are unresolved.
    pub unresolved_instructions: u64,
    /// What rails kept of what came back, by currency: what was paid and came back, less what came.
    pub charges: Vec<(Currency, SumMinor)>,
    /// What is booked as executed, by instruction. An instruction without a booking has zero.
    pub executed: Vec<Executed>,
}

/// Sums over batches, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSums {
    /// Released.
    pub amount_minor: SumMinor,
    /// Taken off before the split.
    pub deductions_minor: SumMinor,
    /// What the platform kept, without the tax on it: less what reversals took of it, with what nobody claimed.
    pub fee_minor: SumMinor,
    /// Tax on what the platform kept, less what reversals took of it.
    pub fee_tax_minor: SumMinor,
    /// Withheld, less what reversals took of it.
    pub tax_minor: SumMinor,
}

/// What is booked as executed for an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Which.
    pub instruction: InstructionId,
    /// The rail it went to.
    pub rail: RailId,
    /// Its currency.
    pub currency: Currency,
    /// What the ledger says was paid under it, in minor units.
    pub executed_minor: SumMinor,
    /// Whether its outcome is not known yet.
    pub unresolved: bool,
}

/// Reads for pages. Lists are newest first, by id.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait PayoutQueries: Send + Sync {
    /// Whether the store answers.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn ping(&self) -> Result<(), StoreError>;

    /// A page of batches.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batches(&self, filter: BatchFilter, page: Page<BatchId>) -> Result<Paged<Batch>, StoreError>;

    /// A batch with its history.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batch(&self, batch: BatchId) -> Result<Option<BatchDetails>, StoreError>;

    /// An item with its history.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn item(&self, item: ItemId) -> Result<Option<ItemDetails>, StoreError>;

    /// A page of a project's versions, newest first; the cursor is a version's number.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn models(&self, project: &ProjectId, page: Page<u32>) -> Result<Paged<ModelVersion>, StoreError>;

    /// One version of a project's model.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn model(&self, project: &ProjectId, version: u32) -> Result<Option<ModelVersion>, StoreError>;

    /// A recipient.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn recipient(&self, recipient: &RecipientId) -> Result<Option<Recipient>, StoreError>;

    /// What is owed to a recipient: sums of all of it, and the newest `limit` items.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn owed_to(&self, recipient: &RecipientId, limit: u32) -> Result<OwedTo, StoreError>;

    /// Whether any batch ever had a line of that recipient.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn has_lines(&self, recipient: &RecipientId) -> Result<bool, StoreError>;

    /// A page of ledger transactions.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn transactions(
        &self,
        filter: TransactionFilter,
        page: Page<TransactionId>,
    ) -> Result<Paged<Transaction>, StoreError>;

    /// A page of events that were published.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn events(&self, filter: EventFilter, page: Page<EventId>) -> Result<Paged<PublishedEvent>, StoreError>;

    /// A page of the audit log.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn audit(&self, filter: AuditFilter, page: Page<AuditId>) -> Result<Paged<AuditEntry>, StoreError>;

    /// Every version of the policy, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn policies(&self, limit: u32) -> Result<Vec<PolicyVersion>, StoreError>;

    /// Everything that "books balanced" compares, as of one moment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn books(&self) -> Result<Books, StoreError>;

    /// What is booked as executed for these instructions, now; those that do not exist are absent.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn executed(&self, instructions: &[InstructionId]) -> Result<Vec<Executed>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{batch_id, item_id, now, usd};
    use std::time::Duration;

    #[test]
    fn a_pause_ends_with_what_its_rail_has_taken_since() {
        let since = now().after(Duration::from_secs(10));
        let pause = RailPause { rail: "simulator".parse().unwrap(), since, says: "no".to_owned() };
        let ends = |rail: &str, at: u64, outcome: Outcome| {
            let mut part = InstructionItem::new(item_id(0), "W".to_owned(), 1, [0; 32]);
            part.outcome = outcome;
            let at = now().after(Duration::from_secs(at));
            let id = InstructionId::new(uuid::Uuid::from_u128(1));
            let (rail, parts) = (rail.parse().unwrap(), vec![part]);
            pause.is_ended_by(&Instruction::record(id, batch_id(), rail, usd(0).currency, parts, 1, Vec::new(), at))
        };
        let reference = None::<String>;
        assert!(ends("simulator", 11, Outcome::Accepted { reference: reference.clone() }));
        assert!(ends("simulator", 11, Outcome::Settled { reference: reference.clone() }));
        assert!(!ends("simulator", 10, Outcome::Settled { reference: reference.clone() }), "it was sent before");
        assert!(!ends("another", 11, Outcome::Settled { reference: reference.clone() }), "by another rail");
        for outcome in [Outcome::Sent, Outcome::Absent, Outcome::Refused { reason: "no".to_owned() }] {
            assert!(!ends("simulator", 11, outcome.clone()), "{outcome:?}");
        }
    }
}
