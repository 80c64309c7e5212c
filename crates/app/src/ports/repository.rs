//! State, jobs and the outbox: they commit together.

use crate::{
    change::{BatchInputs, Cause, Change, PaidDestination, PolicyVersion, Reason, Resolution, Stored},
    failure::{Class, Failure},
    job::{Claimed, Lease},
};
use async_trait::async_trait;
use domain::{
    approval::Approval,
    batch::{Batch, BatchLine},
    counter::CounterKey,
    event::Event,
    ids::{BatchId, EscrowId, EventId, InstructionId, ItemId, JobId, ProjectId, RecipientId, ReversalId},
    instruction::Instruction,
    item::Item,
    recipient::{RailId, Recipient},
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine},
    timestamp::Timestamp,
};
use std::time::Duration;

/// Loads what a decision needs, and commits what was decided.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait PayoutRepository: Send + Sync {
    /// The batch that the release of `escrow` became.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batch_by_escrow(&self, escrow: &EscrowId) -> Result<Option<Batch>, StoreError>;

    /// The version that splits what `project` earned at `as_of`: of the active versions that cover the
    /// instant, the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn model_in_force(&self, project: &ProjectId, as_of: Timestamp) -> Result<InForce, StoreError>;

    /// What a release is booked on, as of one moment: what [`Self::model_in_force`], [`Self::policy`],
    /// [`Self::recipients`] and [`Self::counters`] would answer then. Unless it is recalled, that moment is now.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn basis(&self, wanted: &Wanted) -> Result<Basis, StoreError>;

    /// The newest version of a project's model, a draft included.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn newest_model(&self, project: &ProjectId) -> Result<Option<ModelVersion>, StoreError>;

    /// Those of the named recipients that are registered, in any order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn recipients(&self, ids: &[RecipientId]) -> Result<Vec<Stored<Recipient>>, StoreError>;

    /// A batch with everything that executing it needs, as of one moment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batch_for_execution(&self, batch: BatchId) -> Result<Option<BatchForExecution>, StoreError>;

    /// An instruction.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn instruction(&self, instruction: InstructionId) -> Result<Option<Stored<Instruction>>, StoreError>;

    /// The instruction that ordered something from `rail` under that name.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn instruction_of(&self, rail: &RailId, wire_ref: &str) -> Result<Option<Stored<Instruction>>, StoreError>;

    /// Those of these sayings of `rail` that were taken before, by their names.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn taken_events(&self, rail: &RailId, names: &[String]) -> Result<Vec<String>, StoreError>;

    /// Whoever is paid over `rail` at a destination with that value among its details.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn recipients_paid_at(&self, rail: &RailId, value: &str) -> Result<Vec<RecipientId>, StoreError>;

    /// The batch of an item.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batch_of_item(&self, item: ItemId) -> Result<Option<BatchId>, StoreError>;

    /// The policy in force; none if nobody ever set one.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn policy(&self) -> Result<Option<PolicyVersion>, StoreError>;

    /// Every destination that one of these was ever paid to.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn paid_destinations(&self, recipients: &[RecipientId]) -> Result<Vec<PaidDestination>, StoreError>;

    /// What was proposed of an item and waits for a second person.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn proposed_resolution(&self, item: ItemId) -> Result<Option<Stored<Resolution>>, StoreError>;

    /// Batches, at most `limit`, that are `scheduled` or `awaiting_approval`, in the order of their ids and after
    /// `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batches_to_be_paid(&self, after: Option<BatchId>, limit: u32) -> Result<Vec<Batch>, StoreError>;

    /// Those of the named counters that exist, in any order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn counters(&self, keys: &[CounterKey]) -> Result<Vec<StoredCounter>, StoreError>;

    /// Every counter of that kind of what `recipient` has or owes (`carried`, `debt`), in any currency.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn counters_of(&self, kind: &str, recipient: &RecipientId) -> Result<Vec<StoredCounter>, StoreError>;

    /// What raised a counter and was not moved back since, summed up by batch, the one that raised it last first: at
    /// most `limit` sums above zero. What moves a part back changes a sum, not its place.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn raised_by(&self, key: &CounterKey, limit: u32) -> Result<Vec<Raise>, StoreError>;

    /// A batch with everything that reversing it needs, as of one moment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batch_for_reversal(&self, batch: BatchId) -> Result<Option<BatchForReversal>, StoreError>;

    /// A reversal, and its lines by place.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn reversal(&self, reversal: &ReversalId) -> Result<Option<(Reversal, Vec<ReversalLine>)>, StoreError>;

    /// What a batch was calculated from, and its lines by place.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batch_inputs(&self, batch: BatchId) -> Result<Option<(BatchInputs, Vec<BatchLine>)>, StoreError>;

    /// Batches, at most `limit`, with an item in `pending_kyc` for `recipient`, in the order of their ids
    /// and after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn batches_held_for(
        &self,
        recipient: &RecipientId,
        after: Option<BatchId>,
        limit: u32,
    ) -> Result<Vec<BatchId>, StoreError>;

    /// Applies all of `change`, or none of it.
    ///
    /// The lease and the claim on an idempotency key are looked at first, then revisions, then keys; the first that
    /// does not hold decides the answer. Afterwards every reader sees all of it.
    ///
    /// # Errors
    /// [`CommitError`]. Unless it is [`CommitError::Unclear`], nothing was applied.
    async fn commit(&self, change: Change) -> Result<(), CommitError>;
}

/// What a release wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Whose model.
    pub project: ProjectId,
    /// The instant that chooses the version; now, if absent.
    pub as_of: Option<Timestamp>,
    /// Whom the model is likely to pay.
    pub recipients: Vec<RecipientId>,
    /// What the split is likely to depend on.
    pub counters: Vec<CounterKey>,
    /// Whether what is known of a moment ago will do. Then [`Basis::recalled`] says so.
    pub may_be_recalled: bool,
}

/// What is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// When that was, by the clock that everybody agrees on.
    pub now: Timestamp,
    /// The model.
    pub in_force: InForce,
    /// The policy in force; none if nobody ever set one.
    pub policy: Option<PolicyVersion>,
    /// Those of the wanted recipients that are registered, in any order.
    pub recipients: Vec<Stored<Recipient>>,
    /// Those of the wanted counters that exist, in any order.
    pub counters: Vec<StoredCounter>,
    /// If all of it but the time is recalled: when it was read. Whoever decides on it lets the commit find out whether
    /// it still holds ([`Change::recalled`]), and believes no refusal that follows from it.
    pub recalled: Option<Moment>,
}

/// A moment in the life of a database, in a word of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub String);

/// What a project's model is at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InForce {
    /// Nobody ever stored a model for the project.
    ProjectUnknown,
    /// The project is known, but no active version covers the instant.
    Nothing,
    /// This version.
    Version(Box<ModelVersion>),
}

/// A batch, its items in order, and the instructions that occupy them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchForExecution {
    /// The batch.
    pub batch: Stored<Batch>,
    /// All of its items, by `seq`.
    pub items: Vec<Stored<Item>>,
    /// Its instructions of which something is still to be learned, oldest first.
    pub unresolved: Vec<Stored<Instruction>>,
    /// Items under one of whose instructions something was executed after it had been given up.
    pub strays: Vec<ItemId>,
    /// Every approval ever given to it, oldest first.
    pub approvals: Vec<Approval>,
}

/// A counter as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCounter {
    /// Which.
    pub key: CounterKey,
    /// The sum of its movements.
    pub value: i64,
    /// Counts its movements.
    pub revision: u32,
}

/// What raised a counter: the sum of a batch's movements, those of its reversals included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    /// The batch.
    pub batch: BatchId,
    /// The reversal of that batch that raised it, if one did.
    pub reversal: Option<ReversalId>,
    /// Why.
    pub reason: Reason,
    /// How much; above zero.
    pub amount_minor: i64,
    /// Since when.
    pub since: Timestamp,
}

/// One movement of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The counter.
    pub key: CounterKey,
    /// How far.
    pub add: i64,
    /// Why.
    pub cause: Cause,
}

/// A batch, and what was ever taken back of it.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchForReversal {
    /// The batch.
    pub batch: Stored<Batch>,
    /// All of its items, by `seq`.
    pub items: Vec<Stored<Item>>,
    /// All of its lines, by `seq`.
    pub lines: Vec<BatchLine>,
    /// Its reversals, oldest first.
    pub reversals: Vec<Reversal>,
    /// Their lines, each with its source if that is known.
    pub reversal_lines: Vec<ReversalLine>,
    /// How it and its reversals moved counters, oldest first.
    pub movements: Vec<Movement>,
    /// The model that split it.
    pub model: Option<ModelVersion>,
}

/// The store could not be used. What the database said is for the log (`Debug`), not for callers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or is too busy. The same request may succeed later.
    #[error("the database cannot be used now; send the same request again")]
    Unavailable(String),
    /// It answered something that cannot be: our own fault, or somebody changed it by hand.
    #[error("the database holds what cannot be")]
    Corrupt(String),
}

impl Failure for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Corrupt(_) => "server_error",
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Unavailable(_) => Class::Unavailable,
            Self::Corrupt(_) => Class::Internal,
        }
    }
}

/// Why a change was not committed. What the database said is for the log (`Debug`), not for callers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The job was handed to somebody else, or is done; or the claim on the idempotency key is another's.
    #[error("the lease was lost; send the same request again")]
    LeaseLost,
    /// Somebody else changed a row first, or it does not exist.
    #[error("somebody else was faster; send the same request again")]
    Stale,
    /// A row exists already.
    #[error("somebody else was faster; send the same request again")]
    Duplicate(DuplicateKey),
    /// Nothing was applied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The connection broke while the commit was under way: it may have been applied or not.
    #[error("it is not known whether this was stored; send the same request again")]
    Unclear(String),
}

/// Which key was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DuplicateKey {
    /// The escrow was released before.
    Escrow(EscrowId),
    /// The project has that version.
    ModelVersion(ProjectId, u32),
    /// The recipient is registered.
    Recipient(RecipientId),
    /// The item is in a live instruction.
    LiveInstruction(ItemId),
    /// The job exists.
    Job(JobId),
    /// The reversal was booked before.
    Reversal(ReversalId),
    /// The rail said that before, under this name.
    RailEvent(RailId, String),
    /// The approver said yes to the same before.
    Approval(BatchId),
    /// There is a policy of that version.
    Policy(u32),
    /// Something is proposed of the item already.
    Resolution(ItemId),
    /// The idempotency key was used before.
    IdempotencyKey,
    /// Something else, in the database's words: a name drawn twice, or a posting made twice.
    Other(String),
}

impl Failure for CommitError {
    fn code(&self) -> &'static str {
        match self {
            Self::LeaseLost | Self::Stale | Self::Duplicate(_) | Self::Unclear(_) => "unavailable",
            Self::Store(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::LeaseLost | Self::Stale | Self::Duplicate(_) | Self::Unclear(_) => Class::Unavailable,
            Self::Store(error) => error.class(),
        }
    }
}

/// Hands out jobs. Enqueueing rides in the change.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Claims at most `limit` jobs that are due, oldest first, for `lease` by the database's clock. A job is
    /// handed to one claimer; when its lease runs out it is due again, for a claimer with a higher attempt.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Claimed>, StoreError>;

    /// Makes the lease last `lease` from now; `false` if it was lost.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<bool, StoreError>;

    /// Gives the job back: it is due again after `delay`. Does nothing if the lease was lost.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn release(&self, lease: &Lease, delay: Duration) -> Result<(), StoreError>;

    /// Forgets at most `limit` jobs that were done longer ago than `age`, and says how many those were. Whoever wakes
    /// one of them makes it anew, with an attempt that is higher than any it ever had: a lease of before stays lost.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError>;

    /// Waits until there may be work, `at_most` so long. Returning early is allowed, missing a job that this
    /// process committed is not.
    async fn wait(&self, at_most: Duration);
}

/// What was committed to be published, and what was published.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Outbox: Send + Sync {
    /// At most `limit` events that were not published yet, oldest first; nobody else gets them for `lease`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn unpublished(&self, limit: u32, lease: Duration) -> Result<Vec<Event>, StoreError>;

    /// Remembers that they were published. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn mark_published(&self, events: &[EventId]) -> Result<(), StoreError>;

    /// Forgets at most `limit` events that were published longer ago than `age`, and says how many those were. Alarms
    /// stay.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError>;
}
