//! Everything that is known. Ordered maps throughout, so that an answer never depends on chance.

use super::{
    counted::Moved,
    idempotency::{KeyName, KeyRow},
    jobs::JobRow,
    keys::Key,
    outbox::Pending,
};
use app::{
    change::{
        BatchInputs, Escheat, PaidDestination, PolicyVersion, Resolution, ResolutionState, ReversalSource, Stored,
        TakenEvent,
    },
    ports::queries::PublishedEvent,
};
use domain::{
    approval::{Approval, ContentHash},
    audit::AuditEntry,
    batch::{Batch, BatchLine},
    counter::CounterKey,
    ids::{
        AuditId, BatchId, EscrowId, EventId, InstructionId, ItemId, JobId, ProjectId, RecipientId, Requester,
        ResolutionId, ReversalId, TransactionId,
    },
    instruction::Instruction,
    item::Item,
    ledger::Transaction,
    recipient::{RailId, Recipient},
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine},
    timestamp::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// Tables, what is unique in them, and the orders in which they are read.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) batches: BTreeMap<BatchId, Stored<Batch>>,
    pub(super) items: BTreeMap<ItemId, Stored<Item>>,
    pub(super) instructions: BTreeMap<InstructionId, Stored<Instruction>>,
    pub(super) models: BTreeMap<(ProjectId, u32), ModelVersion>,
    pub(super) recipients: BTreeMap<RecipientId, Stored<Recipient>>,
    pub(super) transactions: BTreeMap<TransactionId, Transaction>,
    pub(super) jobs: BTreeMap<JobId, JobRow>,
    pub(super) pending: BTreeMap<EventId, Pending>,
    pub(super) published: BTreeMap<EventId, PublishedEvent>,
    pub(super) lines: BTreeMap<(BatchId, u32), BatchLine>,
    pub(super) inputs: BTreeMap<BatchId, BatchInputs>,
    pub(super) reversals: BTreeMap<ReversalId, Reversal>,
    pub(super) reversal_lines: BTreeMap<(ReversalId, u32), ReversalLine>,
    pub(super) sources: BTreeMap<(ReversalId, u32), ReversalSource>,
    pub(super) escheats: BTreeMap<ItemId, Escheat>,
    pub(super) rail_events: BTreeMap<(RailId, String), TakenEvent>,
    /// Of a batch, oldest first.
    pub(super) approvals: BTreeMap<(BatchId, Timestamp, Requester, ContentHash), Approval>,
    pub(super) policies: BTreeMap<u32, PolicyVersion>,
    pub(super) paid_destinations: BTreeMap<(RecipientId, [u8; 32]), PaidDestination>,
    pub(super) resolutions: BTreeMap<ResolutionId, Stored<Resolution>>,
    pub(super) audit: BTreeMap<AuditId, AuditEntry>,
    /// Value and revision: the sum and the number of the moves.
    pub(super) counters: BTreeMap<CounterKey, (i64, u32)>,
    pub(super) moves: Vec<Moved>,
    pub(super) idempotency_keys: BTreeMap<KeyName, KeyRow>,
    /// What is taken, of everything that must be unique.
    pub(super) keys: BTreeSet<Key>,
    pub(super) by_escrow: BTreeMap<EscrowId, BatchId>,
    /// Under which instruction something was ordered by that name.
    pub(super) by_wire_ref: BTreeMap<String, InstructionId>,
    /// The items of a batch, by `seq`.
    pub(super) places: BTreeMap<(BatchId, u32), ItemId>,
    /// The instructions of a batch, oldest first.
    pub(super) instructions_of: BTreeSet<(BatchId, InstructionId)>,
    /// How often somebody said that there may be work, and how much of that the last claim has seen.
    pub(super) work_told: u64,
    pub(super) work_seen: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            now: Timestamp::from_unix_micros(0),
            batches: BTreeMap::new(),
            items: BTreeMap::new(),
            instructions: BTreeMap::new(),
            models: BTreeMap::new(),
            recipients: BTreeMap::new(),
            transactions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            lines: BTreeMap::new(),
            inputs: BTreeMap::new(),
            reversals: BTreeMap::new(),
            reversal_lines: BTreeMap::new(),
            sources: BTreeMap::new(),
            escheats: BTreeMap::new(),
            rail_events: BTreeMap::new(),
            approvals: BTreeMap::new(),
            policies: BTreeMap::new(),
            paid_destinations: BTreeMap::new(),
            resolutions: BTreeMap::new(),
            audit: BTreeMap::new(),
            counters: BTreeMap::new(),
            moves: Vec::new(),
            pending: BTreeMap::new(),
            published: BTreeMap::new(),
            idempotency_keys: BTreeMap::new(),
            keys: BTreeSet::new(),
            by_escrow: BTreeMap::new(),
            by_wire_ref: BTreeMap::new(),
            places: BTreeMap::new(),
            instructions_of: BTreeSet::new(),
            work_told: 0,
            work_seen: 0,
        }
    }
}

impl World {
    /// The items of a batch, by `seq`.
    pub(super) fn items_of(&self, batch: BatchId) -> impl Iterator<Item = &Stored<Item>> {
        self.places.range((batch, 0)..=(batch, u32::MAX)).filter_map(|(_, item)| self.items.get(item))
    }

    /// Every instruction of a batch, oldest first: names are drawn in the order of time.
    pub(super) fn instructions_of(&self, batch: BatchId) -> impl Iterator<Item = &Stored<Instruction>> {
        let first = InstructionId::new(uuid::Uuid::nil());
        let last = InstructionId::new(uuid::Uuid::max());
        let ids = self.instructions_of.range((batch, first)..=(batch, last));
        ids.filter_map(|(_, instruction)| self.instructions.get(instruction))
    }

    /// Every approval of a batch, oldest first.
    pub(super) fn approvals_of(&self, batch: BatchId) -> Vec<Approval> {
        self.approvals.iter().filter(|((of, ..), _)| *of == batch).map(|(_, approval)| approval.clone()).collect()
    }

    /// What was proposed of an item and waits for a second person.
    pub(super) fn proposed_of(&self, item: ItemId) -> Option<&Stored<Resolution>> {
        self.resolutions
            .values()
            .find(|found| found.value.item == item && found.value.state == ResolutionState::Proposed)
    }

    /// The versions of a project's model, oldest first.
    pub(super) fn versions_of(&self, project: &ProjectId) -> impl DoubleEndedIterator<Item = &ModelVersion> {
        self.models.range((project.clone(), 0)..=(project.clone(), u32::MAX)).map(|(_, version)| version)
    }
}
