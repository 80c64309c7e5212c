//! A use case decides; a [`Change`] is what it decided. The repository commits it whole or not at all.

use crate::ports::{rail::RailEvent, repository::Moment};
use crate::{
    idempotency::Remember,
    job::{Job, LeaseStep},
};
use domain::{
    approval::Approval,
    audit::AuditEntry,
    batch::{Batch, BatchLine},
    counter::CounterKey,
    event::Event,
    ids::{BatchId, InstructionId, ItemId, RecipientId, Requester, ResolutionId, ReversalId},
    instruction::Instruction,
    item::Item,
    ledger::Transaction,
    policy::PolicySpec,
    recipient::{RailId, Recipient},
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine, Source},
    timestamp::Timestamp,
};

/// Something read from the repository, with the revision that a later write must still find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// What was read.
    pub value: T,
    /// Counts the writes: 1 after the insert.
    pub revision: u32,
}

impl<T> Stored<T> {
    /// The same revision with another value.
    ///
    /// # Errors
    /// Whatever `step` answers.
    pub fn try_map<U, E>(self, step: impl FnOnce(T) -> Result<U, E>) -> Result<Stored<U>, E> {
        Ok(Stored { value: step(self.value)?, revision: self.revision })
    }
}

/// What a use case decided: rows, postings, jobs and events that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// What must not exist yet.
    pub insert: Vec<New>,
    /// What must still be as it was read.
    pub update: Vec<Update>,
    /// Counters that were read, and how far they move. No counter occurs twice.
    pub count: Vec<Count>,
    /// Ledger transactions, balanced by their type.
    pub post: Vec<Transaction>,
    /// Jobs that must not exist yet.
    pub enqueue: Vec<Job>,
    /// Jobs that have something to do again, whatever became of them: one that is done is due, and one that was done so
    /// long ago that it was forgotten is made anew.
    pub wake: Vec<Job>,
    /// The outbox.
    pub publish: Vec<Event>,
    /// Who did what.
    pub audit: Vec<AuditEntry>,
    /// When that was read on which a release was decided, if it was not read for this. The commit is refused as stale
    /// if any of it was changed since.
    pub recalled: Option<Moment>,
    /// The answer to the request that asked for this, if it came with a key. The commit is refused when the claim on
    /// the key was lost, or when the key is another request's.
    pub remember: Option<Remember>,
    /// The job this work was done for. The commit is refused when the lease was lost.
    pub lease: Option<LeaseStep>,
}

/// A row that must not exist yet.
#[derive(Clone, Debug, PartialEq)]
pub enum New {
    /// Unique by its escrow, for ever.
    Batch(Batch),
    /// Belongs to a batch inserted before or with it.
    Item(Item),
    /// No item may be in two live instructions.
    Instruction(Instruction),
    /// Unique by project and version.
    ModelVersion(ModelVersion),
    /// Unique by its id.
    Recipient(Recipient),
    /// Unique by batch and place; belongs to a batch inserted with it.
    Line(BatchLine),
    /// Unique by its batch.
    Inputs(BatchInputs),
    /// Unique by its id, for ever.
    Reversal(Reversal),
    /// Unique by reversal and place; where its money comes from may come later, as [`New::Source`].
    ReversalLine(ReversalLine),
    /// Unique by reversal and place: it is known once.
    Source(ReversalSource),
    /// Unique by its item.
    Escheat(Escheat),
    /// Unique by rail and the name that the rail gave it.
    RailEvent(Box<TakenEvent>),
    /// Unique by batch, approver, what was approved and when. The maker is the one who scheduled the batch, and not the
    /// approver.
    Approval(Approval),
    /// Unique by its version.
    Policy(PolicyVersion),
    /// A destination that was paid to. Saying so again changes nothing.
    PaidDestination(PaidDestination),
    /// At most one of an item waits for a second person.
    Resolution(Resolution),
}

/// What a rail said, and what was made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenEvent {
    /// Which rail.
    pub rail: RailId,
    /// What it said.
    pub event: RailEvent,
    /// The instruction it is about, if it is one of ours.
    pub instruction: Option<InstructionId>,
    /// What was made of it.
    pub verdict: Verdict,
    /// When it came.
    pub received_at: Timestamp,
}

/// What was made of something that a rail said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It changed what we know.
    Applied,
    /// We knew it, or better.
    Known,
    /// It cannot be believed: a person is needed.
    Alarmed,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Known, Self::Alarmed];

    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Known => "known",
            Self::Alarmed => "alarmed",
        }
    }
}

/// A version of the policy for approvals and the calendar. The newest is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyVersion {
    /// From 1.
    pub version: u32,
    /// What it says.
    pub spec: PolicySpec,
    /// Who set it.
    pub set_by: Requester,
    /// When.
    pub set_at: Timestamp,
}

/// A destination that somebody was paid to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidDestination {
    /// Who.
    pub recipient: RecipientId,
    /// SHA-256 of where.
    pub destination: [u8; 32],
    /// When, for the first time.
    pub at: Timestamp,
}

/// What a person says became of a payment that the rail cannot tell; a second one must say so too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Ours.
    pub id: ResolutionId,
    /// Which item.
    pub item: ItemId,
    /// Under which instruction.
    pub instruction: InstructionId,
    /// What became of it.
    pub outcome: Resolved,
    /// What shows it: a statement, a ticket of the provider.
    pub evidence: String,
    /// Why, in the words of the first.
    pub note: Option<String>,
    /// The first person.
    pub proposed_by: Requester,
    /// When.
    pub proposed_at: Timestamp,
    /// What became of the proposal.
    pub state: ResolutionState,
}

/// What became of a payment, as people say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It was executed.
    Paid,
    /// It was not, and is not sent again by itself.
    Failed,
    /// It was not, and is to be sent again.
    NotExecuted,
    /// It was executed, and came back.
    Returned,
}

impl Resolved {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Paid, Self::Failed, Self::NotExecuted, Self::Returned];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::NotExecuted => "not_executed",
            Self::Returned => "returned",
        }
    }
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolutionState {
    /// It waits for a second person.
    Proposed,
    /// A second person, never the first, said the same.
    Confirmed {
        /// Who.
        by: Requester,
        /// When.
        at: Timestamp,
    },
    /// Something else was proposed, or the rail told meanwhile.
    Withdrawn {
        /// When.
        at: Timestamp,
    },
}

impl ResolutionState {
    /// The word that is stored and answered.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Confirmed { .. } => "confirmed",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

/// What a batch was calculated from, beside the model: enough to calculate it again, cent by cent.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchInputs {
    /// The batch.
    pub batch: BatchId,
    /// Deductions, parties and counts, as `split::Inputs` writes them.
    pub inputs: serde_json::Value,
}

/// Where the money of a line of a reversal came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversalSource {
    /// The reversal.
    pub reversal: ReversalId,
    /// The line's place in its batch.
    pub seq: u32,
    /// Where from.
    pub source: Source,
    /// When that was booked.
    pub booked_at: Timestamp,
}

/// What became of a line that nobody claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escheat {
    /// The item that was held.
    pub item: ItemId,
    /// Its batch.
    pub batch: BatchId,
    /// What the platform got of it, in minor units.
    pub platform_minor: i64,
    /// What the others of the batch got.
    pub released_minor: i64,
    /// When.
    pub at: Timestamp,
}

/// A counter that was read, and how far it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Which.
    pub key: CounterKey,
    /// The revision it was read at, 0 if it did not exist; nothing if what is added does not depend on it.
    pub seen: Option<u32>,
    /// How far it moves; zero only holds it still.
    pub add: i64,
    /// Why.
    pub cause: Cause,
}

/// Why a counter moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The batch that moves it.
    pub batch: BatchId,
    /// The reversal of that batch that moves it, if it is one.
    pub reversal: Option<ReversalId>,
    /// Whose line moves it, if it is one.
    pub recipient: Option<RecipientId>,
    /// A word.
    pub reason: Reason,
}

/// Why a counter moves, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A release was split.
    Release,
    /// What was carried is paid without a release.
    Carry,
    /// A reversal took something back.
    Reversal,
    /// Somebody else did not claim it.
    Escheat,
    /// A line will not be paid.
    Cancellation,
    /// A payment that had been given up was executed after all.
    LatePayment,
    /// A part of a payment came back.
    Return,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Release,
        Self::Carry,
        Self::Reversal,
        Self::Escheat,
        Self::Cancellation,
        Self::LatePayment,
        Self::Return,
    ];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Carry => "carry",
            Self::Reversal => "reversal",
            Self::Escheat => "escheat",
            Self::Cancellation => "cancellation",
            Self::LatePayment => "late_payment",
            Self::Return => "return",
        }
    }
}

/// A row that must still have the revision it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only its status, `due_at`, `approvals` and `updated_at` change.
    Batch(Stored<Batch>),
    /// Only its state, its counts of attempts, `not_before`, what reversals took of it and `updated_at` change.
    Item(Stored<Item>),
    /// Only its `tries`, the instants of its sending, and what became of its items change.
    Instruction(Stored<Instruction>),
    /// Everything but its id and `created_at` may change.
    Recipient(Stored<Recipient>),
    /// Only its state changes.
    Resolution(Stored<Resolution>),
}
