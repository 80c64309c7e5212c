//! Loads what a decision needs.

use super::Memory;
use app::{
    change::{BatchInputs, Change, PaidDestination, PolicyVersion, Resolution, Stored},
    ports::{
        Clock, CommitError, PayoutRepository, StoreError,
        repository::{Basis, BatchForExecution, BatchForReversal, InForce, Raise, StoredCounter, Wanted},
    },
};
use async_trait::async_trait;
use domain::{
    batch::{Batch, BatchLine, BatchStatus},
    counter::CounterKey,
    ids::{BatchId, EscrowId, InstructionId, ItemId, ProjectId, RecipientId, ReversalId},
    instruction::{Instruction, Outcome},
    item::ItemStatus,
    recipient::{RailId, Recipient},
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine},
    timestamp::Timestamp,
};
use std::collections::BTreeSet;

#[async_trait]
impl PayoutRepository for Memory {
    async fn batch_by_escrow(&self, escrow: &EscrowId) -> Result<Option<Batch>, StoreError> {
        let world = self.world();
        let batch = world.by_escrow.get(escrow).and_then(|id| world.batches.get(id));
        Ok(batch.map(|stored| stored.value.clone()))
    }

    async fn model_in_force(&self, project: &ProjectId, as_of: Timestamp) -> Result<InForce, StoreError> {
        let world = self.world();
        if world.versions_of(project).next().is_none() {
            return Ok(InForce::ProjectUnknown);
        }
        let newest = world.versions_of(project).rev().find(|version| version.is_in_force(as_of));
        Ok(newest.map_or(InForce::Nothing, |version| InForce::Version(Box::new(version.clone()))))
    }

    async fn basis(&self, wanted: &Wanted) -> Result<Basis, StoreError> {
        let Wanted { project, as_of, recipients, counters, may_be_recalled: _ } = wanted;
        let now = self.now().await?;
        Ok(Basis {
            now,
            in_force: self.model_in_force(project, as_of.unwrap_or(now)).await?,
            policy: self.policy().await?,
            recipients: self.recipients(recipients).await?,
            counters: self.counters(counters).await?,
            recalled: None,
        })
    }

    async fn newest_model(&self, project: &ProjectId) -> Result<Option<ModelVersion>, StoreError> {
        Ok(self.world().versions_of(project).next_back().cloned())
    }

    async fn recipients(&self, ids: &[RecipientId]) -> Result<Vec<Stored<Recipient>>, StoreError> {
        let world = self.world();
        let ids: BTreeSet<&RecipientId> = ids.iter().collect();
        Ok(ids.into_iter().filter_map(|id| world.recipients.get(id)).cloned().collect())
    }

    async fn batch_for_execution(&self, batch: BatchId) -> Result<Option<BatchForExecution>, StoreError> {
        let world = self.world();
        let Some(found) = world.batches.get(&batch) else { return Ok(None) };
        let unresolved = world.instructions_of(batch).filter(|found| found.value.is_open());
        let parts = world.instructions_of(batch).flat_map(|found| &found.value.items);
        let strays = parts.filter(|part| matches!(part.outcome, Outcome::Stray { .. })).map(|part| part.item);
        let strays: BTreeSet<ItemId> = strays.collect();
        Ok(Some(BatchForExecution {
            batch: found.clone(),
            items: world.items_of(batch).cloned().collect(),
            unresolved: unresolved.cloned().collect(),
            strays: strays.into_iter().collect(),
            approvals: world.approvals_of(batch),
        }))
    }

    async fn instruction(&self, instruction: InstructionId) -> Result<Option<Stored<Instruction>>, StoreError> {
        Ok(self.world().instructions.get(&instruction).cloned())
    }

    async fn instruction_of(&self, rail: &RailId, wire_ref: &str) -> Result<Option<Stored<Instruction>>, StoreError> {
        let world = self.world();
        let found = world.by_wire_ref.get(wire_ref).and_then(|id| world.instructions.get(id));
        Ok(found.filter(|found| found.value.rail == *rail).cloned())
    }

    async fn taken_events(&self, rail: &RailId, names: &[String]) -> Result<Vec<String>, StoreError> {
        let world = self.world();
        let names: BTreeSet<&String> = names.iter().collect();
        let is_taken = |name: &&String| world.rail_events.contains_key(&(rail.clone(), (*name).clone()));
        Ok(names.into_iter().filter(is_taken).cloned().collect())
    }

    async fn recipients_paid_at(&self, rail: &RailId, value: &str) -> Result<Vec<RecipientId>, StoreError> {
        let world = self.world();
        let paid_there = world.recipients.values().map(|found| &found.value).filter(|recipient| {
            let mut details = recipient.destination.details.values();
            recipient.destination.rail == *rail && details.any(|known| known.as_str() == Some(value))
        });
        Ok(paid_there.map(|recipient| recipient.id.clone()).collect())
    }

    async fn batch_of_item(&self, item: ItemId) -> Result<Option<BatchId>, StoreError> {
        Ok(self.world().items.get(&item).map(|found| found.value.batch))
    }

    async fn policy(&self) -> Result<Option<PolicyVersion>, StoreError> {
        Ok(self.world().policies.values().next_back().cloned())
    }

    async fn paid_destinations(&self, recipients: &[RecipientId]) -> Result<Vec<PaidDestination>, StoreError> {
        let world = self.world();
        let paid = world.paid_destinations.values().filter(|paid| recipients.contains(&paid.recipient));
        Ok(paid.cloned().collect())
    }

    async fn proposed_resolution(&self, item: ItemId) -> Result<Option<Stored<Resolution>>, StoreError> {
        Ok(self.world().proposed_of(item).cloned())
    }

    async fn batches_to_be_paid(&self, after: Option<BatchId>, limit: u32) -> Result<Vec<Batch>, StoreError> {
        let world = self.world();
        let waiting = world.batches.values().map(|found| &found.value).filter(|batch| {
            matches!(batch.status, BatchStatus::Scheduled | BatchStatus::AwaitingApproval)
                && after.is_none_or(|after| after < batch.id)
        });
        Ok(waiting.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn counters(&self, keys: &[CounterKey]) -> Result<Vec<StoredCounter>, StoreError> {
        let world = self.world();
        let keys: BTreeSet<&CounterKey> = keys.iter().collect();
        Ok(keys.into_iter().filter_map(|key| world.counter(key)).collect())
    }

    async fn counters_of(&self, kind: &str, recipient: &RecipientId) -> Result<Vec<StoredCounter>, StoreError> {
        Ok(self.world().counters_of(kind, recipient))
    }

    async fn raised_by(&self, key: &CounterKey, limit: u32) -> Result<Vec<Raise>, StoreError> {
        Ok(self.world().raised_by(key, limit))
    }

    async fn batch_for_reversal(&self, batch: BatchId) -> Result<Option<BatchForReversal>, StoreError> {
        Ok(self.world().batch_for_reversal(batch))
    }

    async fn reversal(&self, reversal: &ReversalId) -> Result<Option<(Reversal, Vec<ReversalLine>)>, StoreError> {
        let world = self.world();
        let Some(found) = world.reversals.get(reversal) else { return Ok(None) };
        Ok(Some((found.clone(), world.reversal_lines(|line| line.reversal == *reversal))))
    }

    async fn batch_inputs(&self, batch: BatchId) -> Result<Option<(BatchInputs, Vec<BatchLine>)>, StoreError> {
        let world = self.world();
        let lines = world.lines_of(batch).cloned().collect();
        Ok(world.inputs.get(&batch).map(|inputs| (inputs.clone(), lines)))
    }

    async fn batches_held_for(
        &self,
        recipient: &RecipientId,
        after: Option<BatchId>,
        limit: u32,
    ) -> Result<Vec<BatchId>, StoreError> {
        let world = self.world();
        let held = world.items.values().filter(|item| {
            item.value.recipient == *recipient
                && item.value.status() == ItemStatus::PendingKyc
                && after.is_none_or(|after| after < item.value.batch)
        });
        let batches: BTreeSet<BatchId> = held.map(|item| item.value.batch).collect();
        Ok(batches.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    async fn commit(&self, change: Change) -> Result<(), CommitError> {
        let mut world = self.world();
        let may_bring_work = !change.enqueue.is_empty() || !change.wake.is_empty() || change.lease.is_some();
        world.commit(change)?;
        if may_bring_work {
            self.tell_of_work(&mut world);
        }
        Ok(())
    }
}
