//! What must be unique: the same rules as the constraints of a database.

use app::{
    change::{Change, New, Resolution, ResolutionState},
    ports::DuplicateKey,
};
use domain::{
    approval::ContentHash,
    batch::Batch,
    ids::{
        AuditId, BatchId, EscrowId, EventId, InstructionId, ItemId, JobId, ProjectId, RecipientId, Requester,
        ResolutionId, ReversalId, TransactionId,
    },
    instruction::Instruction,
    item::Item,
    ledger::{Transaction, TransactionKind},
    recipient::RailId,
    timestamp::Timestamp,
};

/// Something that only one row may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Batch(BatchId),
    Escrow(EscrowId),
    Item(ItemId),
    Place(BatchId, u32),
    Instruction(InstructionId),
    Part(InstructionId, ItemId),
    WireRef(String),
    Live(ItemId),
    ModelVersion(ProjectId, u32),
    Recipient(RecipientId),
    Line(BatchId, u32),
    Inputs(BatchId),
    Reversal(ReversalId),
    ReversalLine(ReversalId, u32),
    Source(ReversalId, u32),
    Escheat(ItemId),
    RailEvent(RailId, String),
    Maker(BatchId, Requester),
    Approval(BatchId, Requester, ContentHash, Timestamp),
    Policy(u32),
    Resolution(ResolutionId),
    Proposed(ItemId),
    Audit(AuditId),
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
            Self::RailEvent(rail, name) => DuplicateKey::RailEvent(rail, name),
            Self::Approval(batch, ..) => DuplicateKey::Approval(batch),
            Self::Policy(version) => DuplicateKey::Policy(version),
            Self::Proposed(item) => DuplicateKey::Resolution(item),
            Self::Batch(_)
            | Self::Item(_)
            | Self::Place(..)
            | Self::Instruction(_)
            | Self::Part(..)
            | Self::WireRef(_)
            | Self::Line(..)
            | Self::Inputs(_)
            | Self::ReversalLine(..)
            | Self::Source(..)
            | Self::Escheat(_)
            | Self::Maker(..)
            | Self::Resolution(_)
            | Self::Audit(_)
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
        New::RailEvent(taken) => vec![Key::RailEvent(taken.rail.clone(), taken.event.dedupe.clone())],
        New::Approval(given) => {
            vec![Key::Approval(given.batch(), given.approver().clone(), given.hash(), given.at())]
        }
        New::Policy(policy) => vec![Key::Policy(policy.version)],
        // Saying so again changes nothing.
        New::PaidDestination(_) => Vec::new(),
        New::Resolution(resolution) => {
            proposed_by(resolution).into_iter().chain([Key::Resolution(resolution.id)]).collect()
        }
    });
    let postings = change.post.iter().flat_map(of_transaction);
    let jobs = change.enqueue.iter().map(|job| Key::Job(job.id));
    let events = change.publish.iter().map(|event| Key::Event(event.id));
    let audit = change.audit.iter().map(|entry| Key::Audit(entry.id));
    rows.chain(postings).chain(jobs).chain(events).chain(audit).collect()
}

/// The items that an instruction occupies.
pub(super) fn occupied_by(instruction: &Instruction) -> Vec<Key> {
    let live = instruction.items.iter().filter(|part| part.outcome.is_live());
    live.map(|part| Key::Live(part.item)).collect()
}

/// The item that waits for a second person, if one does.
pub(super) fn proposed_by(resolution: &Resolution) -> Option<Key> {
    (resolution.state == ResolutionState::Proposed).then_some(Key::Proposed(resolution.item))
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
        New::RailEvent(taken) => taken.instruction.map(Key::Instruction).into_iter().collect(),
        // Nobody can say that somebody else made it.
        New::Approval(approval) => vec![Key::Maker(approval.batch(), approval.maker().clone())],
        New::Resolution(resolution) => vec![Key::Part(resolution.instruction, resolution.item)],
        New::Batch(_) | New::ModelVersion(_) | New::Recipient(_) | New::Policy(_) | New::PaidDestination(_) => {
            Vec::new()
        }
    }
}

fn of_batch(batch: &Batch) -> Vec<Key> {
    let escrow = batch.escrow().map(|escrow| Key::Escrow(escrow.clone()));
    escrow.into_iter().chain([Key::Batch(batch.id), Key::Maker(batch.id, batch.scheduled_by.clone())]).collect()
}

fn of_item(item: &Item) -> Vec<Key> {
    vec![Key::Item(item.id), Key::Place(item.batch, item.seq)]
}

fn of_instruction(instruction: &Instruction) -> Vec<Key> {
    let parts = instruction.items.iter();
    let parts = parts.flat_map(|part| [Key::Part(instruction.id, part.item), Key::WireRef(part.wire_ref.clone())]);
    occupied_by(instruction).into_iter().chain([Key::Instruction(instruction.id)]).chain(parts).collect()
}

fn of_transaction(transaction: &Transaction) -> Vec<Key> {
    let mut keys = vec![Key::Transaction(transaction.id())];
    let about = transaction.about();
    if let (Some(instruction), Some(item), true) = (about.instruction, about.item, transaction.kind().is_once()) {
        keys.push(Key::Posting(instruction, item, transaction.kind()));
    }
    keys
}
