//! A use case decides; a [`Change`] is what it decided. The repository commits it whole or not at all.

use crate::job::{Job, LeaseStep, Wake};
use domain::{
    batch::Batch, event::Event, instruction::Instruction, item::Item, ledger::Transaction, recipient::Recipient,
    revenue_model::ModelVersion,
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
    /// Ledger transactions, balanced by their type.
    pub post: Vec<Transaction>,
    /// Jobs that must not exist yet.
    pub enqueue: Vec<Job>,
    /// Jobs that exist and have something to do again.
    pub wake: Vec<Wake>,
    /// The outbox.
    pub publish: Vec<Event>,
    /// The job this work was done for. The commit is refused when the lease was lost.
    pub lease: Option<LeaseStep>,
}

/// A row that must not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// A row that must still have the revision it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only its status and `updated_at` change.
    Batch(Stored<Batch>),
    /// Only its state, `attempts` and `updated_at` change.
    Item(Stored<Item>),
    /// Only its state, `tries` and `last_sent_at` change.
    Instruction(Stored<Instruction>),
    /// Everything but its id and `created_at` may change.
    Recipient(Stored<Recipient>),
}
