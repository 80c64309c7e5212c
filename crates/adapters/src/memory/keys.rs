//! What must be unique: the same rules as the constraints of a database.

use app::{
    change::{Change, New},
    ports::DuplicateKey,
};
use domain::{
    batch::Batch,
    ids::{
        BatchId, EscrowId, EventId, InstructionId, ItemId, JobId, ProjectId, RecipientId, ReversalId, TransactionId,
    },
    instruction::Instruction,
    item::Item,
    ledger::{Transaction, TransactionKind},
};

/// Something that only one row may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Batch(BatchId),
    Escrow(EscrowId),
    Item(ItemId),
    Place(BatchId, u32),
    Instruction(InstructionId),
    Live(ItemId),
    ModelVersion(ProjectId, u32),
    Recipient(RecipientId),
    Line(BatchId, u32),
    Inputs(BatchId),
    Reversal(ReversalId),
    ReversalLine(ReversalId, u32),
    Source(ReversalId, u32),
    Escheat(ItemId),
    Transaction(TransactionId),
    Posting(InstructionId, ItemId, TransactionKind),
    Job(JobId),
    Event(EventId),
}

impl Key {
    /// What a caller is told when it is taken.
    pub(super) fn refusal(self) -> DuplicateKey {
        match self {
            Self::Escrow(escrow) => DuplicateKey::Escrow(escrow),
            Self::Live(item) => DuplicateKey::LiveInstruction(item),
            Self::ModelVersion(project, version) => DuplicateKey::ModelVersion(project, version),
            Self::Recipient(recipient) => DuplicateKey::Recipient(recipient),
            Self::Job(job) => DuplicateKey::Job(job),
            Self::Reversal(reversal) => DuplicateKey::Reversal(reversal),
            Self::Batch(_)
            | Self::Item(_)
            | Self::Place(..)
            | Self::Instruction(_)
            | Self::Line(..)
            | Self::Inputs(_)
            | Self::ReversalLine(..)
            | Self::Source(..)
            | Self::Escheat(_)
            | Self::Transaction(_)
            | Self::Posting(..)
            | Self::Event(_) => DuplicateKey::Other(format!("{self:?}")),
        }
    }
}

/// Every key that the new rows of a change take, in the order in which they are written.
pub(super) fn taken_by(change: &Change) -> Vec<Key> {
    let rows = change.insert.iter().flat_map(|new| match new {
        New::Batch(batch) => of_batch(batch),
        New::Item(item) => of_item(item),
        New::Instruction(instruction) => of_instruction(instruction),
        New::ModelVersion(version) => vec![Key::ModelVersion(version.project.clone(), version.version)],
        New::Recipient(recipient) => vec![Key::Recipient(recipient.id.clone())],
        New::Line(line) => vec![Key::Line(line.batch, line.seq)],
        New::Inputs(inputs) => vec![Key::Inputs(inputs.batch)],
        New::Reversal(reversal) => vec![Key::Reversal(reversal.id.clone())],
        New::ReversalLine(line) => vec![Key::ReversalLine(line.reversal.clone(), line.seq)],
        New::Source(source) => vec![Key::Source(source.reversal.clone(), source.seq)],
        New::Escheat(escheat) => vec![Key::Escheat(escheat.item)],
    });
    let postings = change.post.iter().flat_map(of_transaction);
    let jobs = change.enqueue.iter().map(|job| Key::Job(job.id));
    let events = change.publish.iter().map(|event| Key::Event(event.id));
    rows.chain(postings).chain(jobs).chain(events).collect()
}

/// The items that an instruction occupies, if it is live.
pub(super) fn occupied_by(instruction: &Instruction) -> Vec<Key> {
    if instruction.state().is_live() {
        instruction.items.iter().map(|part| Key::Live(part.item)).collect()
    } else {
        Vec::new()
    }
}

/// The rows that must exist for a new one.
pub(super) fn owners_of(new: &New) -> Vec<Key> {
    match new {
        New::Item(item) => vec![Key::Batch(item.batch)],
        New::Instruction(instruction) => {
            let items = instruction.items.iter().map(|part| Key::Item(part.item));
            items.chain([Key::Batch(instruction.batch)]).collect()
        }
        New::Line(line) => line.item.map(Key::Item).into_iter().chain([Key::Batch(line.batch)]).collect(),
        New::Inputs(inputs) => vec![Key::Batch(inputs.batch)],
        New::Reversal(reversal) => vec![Key::Batch(reversal.batch)],
        New::ReversalLine(line) => {
            let item = line.item.map(Key::Item).into_iter();
            item.chain([Key::Reversal(line.reversal.clone()), Key::Batch(line.batch)]).collect()
        }
        New::Source(source) => vec![Key::ReversalLine(source.reversal.clone(), source.seq)],
        New::Escheat(escheat) => vec![Key::Item(escheat.item), Key::Batch(escheat.batch)],
        New::Batch(_) | New::ModelVersion(_) | New::Recipient(_) => Vec::new(),
    }
}

fn of_batch(batch: &Batch) -> Vec<Key> {
    let escrow = batch.escrow().map(|escrow| Key::Escrow(escrow.clone()));
    escrow.into_iter().chain([Key::Batch(batch.id)]).collect()
}

fn of_item(item: &Item) -> Vec<Key> {
    vec![Key::Item(item.id), Key::Place(item.batch, item.seq)]
}

fn of_instruction(instruction: &Instruction) -> Vec<Key> {
    let mut keys = occupied_by(instruction);
    keys.push(Key::Instruction(instruction.id));
    keys
}

fn of_transaction(transaction: &Transaction) -> Vec<Key> {
    let mut keys = vec![Key::Transaction(transaction.id())];
    let about = transaction.about();
    if let (Some(instruction), Some(item)) = (about.instruction, about.item) {
        keys.push(Key::Posting(instruction, item, transaction.kind()));
    }
    keys
}
