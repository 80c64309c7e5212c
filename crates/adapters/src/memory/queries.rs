//! Pages and screens.

use super::{Memory, world::World};
use app::{
    change::PolicyVersion,
    ports::{
        PayoutQueries, StoreError,
        queries::{
            AuditFilter, BatchDetails, BatchFilter, Books, EventFilter, Executed, ItemDetails, OwedItem, OwedTo, Page,
            Paged, PublishedEvent, RailPause, TransactionFilter,
        },
    },
};
use async_trait::async_trait;
use domain::{
    audit::AuditEntry,
    batch::Batch,
    currency::Currency,
    event::{Event, EventKind},
    ids::{AuditId, BatchId, EventId, InstructionId, ItemId, ProjectId, RecipientId, TransactionId},
    item::ItemStatus,
    ledger::{Account, Transaction},
    recipient::Recipient,
    revenue_model::ModelVersion,
};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

#[async_trait]
impl PayoutQueries for Memory {
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn batches(&self, filter: BatchFilter, page: Page<BatchId>) -> Result<Paged<Batch>, StoreError> {
        let world = self.world();
        let wanted = |batch: &Batch| {
            filter.status.is_none_or(|status| batch.status == status)
                && filter
                    .project
                    .as_ref()
                    .is_none_or(|project| batch.release().is_some_and(|release| release.project == *project))
                && filter.escrow.as_ref().is_none_or(|escrow| batch.escrow() == Some(escrow))
        };
        Ok(newest_first(&world.batches, page, |stored| wanted(&stored.value)).map(|stored| stored.value))
    }

    async fn batch(&self, batch: BatchId) -> Result<Option<BatchDetails>, StoreError> {
        let world = self.world();
        let Some(found) = world.batches.get(&batch) else { return Ok(None) };
        let pending = world.pending.values().map(|pending| &pending.event);
        let published = world.published.values().map(|published| &published.event);
        let mut events: Vec<Event> =
            pending.chain(published).filter(|event| event.batch == Some(batch)).cloned().collect();
        events.sort_by_key(|event| event.id);
        Ok(Some(BatchDetails {
            batch: found.value.clone(),
            items: world.items_of(batch).map(|item| item.value.clone()).collect(),
            instructions: world.instructions_of(batch).map(|instruction| instruction.value.clone()).collect(),
            events,
            approvals: world.approvals_of(batch),
        }))
    }

    async fn item(&self, item: ItemId) -> Result<Option<ItemDetails>, StoreError> {
        let world = self.world();
        let Some(found) = world.items.get(&item) else { return Ok(None) };
        let Some(batch) = world.batches.get(&found.value.batch) else { return Ok(None) };
        let of_batch = world.instructions_of(found.value.batch).map(|stored| &stored.value);
        let instructions = of_batch.filter(|instruction| instruction.items.iter().any(|part| part.item == item));
        Ok(Some(ItemDetails {
            item: found.value.clone(),
            batch: batch.value.clone(),
            instructions: instructions.cloned().collect(),
            resolution: world.proposed_of(item).map(|found| found.value.clone()),
            rail: world.recipients.get(&found.value.recipient).map(|known| known.value.destination.rail.clone()),
            pauses: if RailPause::concerns(&found.value) { pauses(&world) } else { Vec::new() },
        }))
    }

    async fn models(&self, project: &ProjectId, page: Page<u32>) -> Result<Paged<ModelVersion>, StoreError> {
        let world = self.world();
        let older = |version: &&ModelVersion| page.after.is_none_or(|after| version.version < after);
        let versions = world.versions_of(project).rev().filter(older);
        Ok(Paged::cut(versions.take(one_more(page.limit)).cloned().collect(), page.limit))
    }

    async fn model(&self, project: &ProjectId, version: u32) -> Result<Option<ModelVersion>, StoreError> {
        Ok(self.world().models.get(&(project.clone(), version)).cloned())
    }

    async fn recipient(&self, recipient: &RecipientId) -> Result<Option<Recipient>, StoreError> {
        Ok(self.world().recipients.get(recipient).map(|stored| stored.value.clone()))
    }

    async fn owed_to(&self, recipient: &RecipientId, limit: u32) -> Result<OwedTo, StoreError> {
        let world = self.world();
        let theirs = world.items.values().rev().map(|stored| &stored.value);
        let owed = theirs.filter(|item| item.recipient == *recipient && item.status().is_owed());
        let mut found = OwedTo::default();
        let mut sums: BTreeMap<(Currency, ItemStatus), i64> = BTreeMap::new();
        for item in owed {
            let Some(batch) = world.batches.get(&item.batch) else { continue };
            let currency = batch.value.currency;
            *sums.entry((currency, item.status())).or_default() += item.due_minor();
            if found.items.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
                found.items.push(OwedItem { item: item.clone(), currency });
            }
        }
        found.sums = sums.into_iter().map(|((currency, status), sum)| (currency, status, sum)).collect();
        found.sums.sort_by_key(|(currency, status, _)| (*currency, status.as_str()));
        Ok(found)
    }

    async fn has_lines(&self, recipient: &RecipientId) -> Result<bool, StoreError> {
        Ok(self.world().lines.values().any(|line| line.recipient == *recipient))
    }

    async fn transactions(
        &self,
        filter: TransactionFilter,
        page: Page<TransactionId>,
    ) -> Result<Paged<Transaction>, StoreError> {
        let world = self.world();
        let wanted = |transaction: &Transaction| {
            let touches = |account: &Account| transaction.entries().iter().any(|entry| entry.account == *account);
            filter.batch.is_none_or(|batch| transaction.about().batch == batch)
                && filter.account.as_ref().is_none_or(touches)
        };
        Ok(newest_first(&world.transactions, page, wanted))
    }

    async fn events(&self, filter: EventFilter, page: Page<EventId>) -> Result<Paged<PublishedEvent>, StoreError> {
        let world = self.world();
        let wanted = |published: &PublishedEvent| {
            filter.batch.is_none_or(|batch| published.event.batch == Some(batch))
                && filter.kind.as_ref().is_none_or(|kind| published.event.kind.to_string() == *kind)
        };
        Ok(newest_first(&world.published, page, wanted))
    }

    async fn audit(&self, filter: AuditFilter, page: Page<AuditId>) -> Result<Paged<AuditEntry>, StoreError> {
        let world = self.world();
        let wanted = |entry: &AuditEntry| {
            filter.subject.as_ref().is_none_or(|subject| entry.subject == *subject)
                && filter.actor.as_ref().is_none_or(|actor| entry.actor.name == *actor)
                && filter.action.as_ref().is_none_or(|action| entry.action == *action)
        };
        Ok(newest_first(&world.audit, page, wanted))
    }

    async fn policies(&self, limit: u32) -> Result<Vec<PolicyVersion>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.world().policies.values().rev().take(limit).cloned().collect())
    }

    async fn books(&self) -> Result<Books, StoreError> {
        Ok(self.world().books())
    }

    async fn executed(&self, instructions: &[InstructionId]) -> Result<Vec<Executed>, StoreError> {
        Ok(self.world().executed(|id| instructions.contains(&id)))
    }
}

/// A page of a table, backwards from the cursor.
/// The rails that refused everything because of us and have taken nothing since.
fn pauses(world: &World) -> Vec<RailPause> {
    let pending = world.pending.values().map(|pending| &pending.event);
    let published = world.published.values().map(|published| &published.event);
    let mut alarms: Vec<&Event> = pending.chain(published).filter(|event| event.kind == EventKind::Alarm).collect();
    alarms.sort_by_key(|event| Reverse(event.id));
    let newest = alarms.into_iter().take(usize::try_from(RailPause::ALARMS_MAX).unwrap_or(usize::MAX));
    let mut pauses = RailPause::told_by(newest.cloned());
    pauses.retain(|pause| !world.instructions.values().any(|stored| pause.is_ended_by(&stored.value)));
    pauses
}

fn newest_first<K: Ord + Copy, T: Clone>(
    rows: &BTreeMap<K, T>,
    page: Page<K>,
    wanted: impl Fn(&T) -> bool,
) -> Paged<T> {
    let end = page.after.map_or(Unbounded, Excluded);
    let found = rows.range((Unbounded, end)).rev().map(|(_, row)| row).filter(|row| wanted(row));
    Paged::cut(found.take(one_more(page.limit)).cloned().collect(), page.limit)
}

/// One entry further tells whether there is more.
fn one_more(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1)
}
