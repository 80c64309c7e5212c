//! A batch while it is worked on: every move of an item is collected, with what must be committed beside it.

use crate::{
    change::{Change, Stored, Update},
    job::LeaseStep,
    ports::Ids,
};
use domain::{
    batch::{Approval, Attempted, Batch, BatchStatus},
    event::Event,
    ids::{EventId, ItemId},
    item::{IllegalItemStep, Item, ItemStatus, ItemStep},
    timestamp::Timestamp,
};
use std::collections::{BTreeSet, HashMap};

/// The working copy. After [`Self::take_change`] it stands as it will be once that change is committed; if
/// the commit fails, the copy is thrown away.
pub(crate) struct BatchWork<'a> {
    batch: Stored<Batch>,
    items: Vec<Stored<Item>>,
    place: HashMap<ItemId, usize>,
    moved: BTreeSet<usize>,
    events: Vec<Event>,
    has_held: bool,
    touched: bool,
    ids: &'a dyn Ids,
}

impl<'a> BatchWork<'a> {
    pub(crate) fn new(batch: Stored<Batch>, items: Vec<Stored<Item>>, ids: &'a dyn Ids) -> Self {
        let place = items.iter().enumerate().map(|(at, item)| (item.value.id, at)).collect();
        Self { batch, items, place, moved: BTreeSet::new(), events: Vec::new(), has_held: false, touched: false, ids }
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch.value
    }
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().map(|stored| &stored.value)
    }
    /// The item of that id, which is in this batch by the database's own rule.
    pub(crate) fn item(&self, id: ItemId) -> Option<&Item> {
        self.place.get(&id).map(|at| &self.items[*at].value)
    }

    /// Whether an item was put on hold here.
    pub(crate) fn has_held(&self) -> bool {
        self.has_held
    }

    /// Moves an item, with its event.
    pub(crate) fn step(&mut self, id: ItemId, step: ItemStep, at: Timestamp) -> Result<(), IllegalItemStep> {
        let unknown = IllegalItemStep { from: "not of this batch", step: step.as_str() };
        let place = *self.place.get(&id).ok_or(unknown)?;
        let item = self.items[place].value.clone().after(step, at)?;
        self.events.push(Event::item(EventId::new(self.ids.fresh()), &item, at));
        self.has_held |= item.status() == ItemStatus::PendingKyc;
        self.items[place].value = item;
        self.moved.insert(place);
        Ok(())
    }

    /// Takes a reversal off an item, with its event if that cancels it.
    pub(crate) fn reverse(
        &mut self,
        id: ItemId,
        gross_minor: i64,
        taken_minor: i64,
        at: Timestamp,
    ) -> Result<(), IllegalItemStep> {
        let unknown = IllegalItemStep { from: "not of this batch", step: "reverse" };
        let place = *self.place.get(&id).ok_or(unknown)?;
        let before = self.items[place].value.status();
        let item = self.items[place].value.clone().reverse(gross_minor, taken_minor, at)?;
        if item.status() != before {
            self.events.push(Event::item(EventId::new(self.ids.fresh()), &item, at));
        }
        self.items[place].value = item;
        self.moved.insert(place);
        Ok(())
    }

    /// Holds the batch still, even if none of its items moves.
    pub(crate) fn touch(&mut self) {
        self.touched = true;
    }

    /// What was moved so far, as a change under that lease. The batch is always part of it: its status follows
    /// from all of its items, so two writers who move different items must not miss each other.
    pub(crate) fn take_change(&mut self, lease: impl Into<Option<LeaseStep>>, at: Timestamp) -> Change {
        let mut change = Change { lease: lease.into(), publish: std::mem::take(&mut self.events), ..Change::default() };
        let moved = std::mem::take(&mut self.moved);
        if moved.is_empty() && !std::mem::take(&mut self.touched) {
            return change;
        }
        for place in moved {
            change.update.push(Update::Item(self.items[place].clone()));
            self.items[place].revision += 1;
        }
        let statuses: Vec<_> = self.items().map(|item| (item.status(), Attempted(item.attempts > 0))).collect();
        let status = BatchStatus::of(&statuses, Approval::NotNeeded);
        if status != self.batch.value.status {
            self.batch.value.status = status;
            self.batch.value.updated_at = at;
            change.publish.push(Event::batch(EventId::new(self.ids.fresh()), &self.batch.value, status, at));
        }
        change.update.push(Update::Batch(self.batch.clone()));
        self.batch.revision += 1;
        change
    }
}
