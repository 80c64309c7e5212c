//! A batch while it is worked on: every move of an item is collected, with what must be committed beside it.

use crate::{
    change::{Change, Stored, Update},
    job::LeaseStep,
    ports::Ids,
};
use domain::{
    audit::{Actor, AuditEntry},
    batch::{Approvals, Attempted, Batch, BatchStatus},
    event::Event,
    ids::{AuditId, EventId, ItemId},
    item::{IllegalItemStep, Item, ItemState, ItemStatus, ItemStep},
    timestamp::Timestamp,
};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// The working copy. After [`Self::take_change`] it stands as it will be once that change is committed; if
/// the commit fails, the copy is thrown away.
pub(crate) struct BatchWork<'a> {
    batch: Stored<Batch>,
    items: Vec<Stored<Item>>,
    place: HashMap<ItemId, usize>,
    moved: BTreeSet<usize>,
    events: Vec<Event>,
    audit: Vec<AuditEntry>,
    actor: Actor,
    has_held: bool,
    touched: bool,
    ids: &'a dyn Ids,
}

impl<'a> BatchWork<'a> {
    /// The working copy of whoever acts.
    pub(crate) fn new(batch: Stored<Batch>, items: Vec<Stored<Item>>, actor: Actor, ids: &'a dyn Ids) -> Self {
        let place = items.iter().enumerate().map(|(at, item)| (item.value.id, at)).collect();
        Self {
            batch,
            items,
            place,
            moved: BTreeSet::new(),
            events: Vec::new(),
            audit: Vec::new(),
            actor,
            has_held: false,
            touched: false,
            ids,
        }
    }

    /// From here on somebody else acts.
    pub(crate) fn acts(&mut self, actor: Actor) {
        self.actor = actor;
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
        let action = step.as_str();
        let before = self.items[place].value.state().clone();
        let item = self.items[place].value.clone().after(step, at)?;
        self.has_held |= item.status() == ItemStatus::PendingKyc;
        self.moved_to(place, item, (action, &before), at);
        Ok(())
    }

    /// An item is not what it was: its event, and its entry in the audit log.
    fn moved_to(&mut self, place: usize, item: Item, (action, before): (&str, &ItemState), at: Timestamp) {
        self.events.push(Event::item(EventId::new(self.ids.fresh()), &item, at));
        self.audit.push(AuditEntry {
            id: AuditId::new(self.ids.fresh()),
            at,
            actor: self.actor.clone(),
            action: format!("item.{action}"),
            subject: item.id.to_string(),
            before: Some(facts_of(before)),
            after: Some(facts_of(item.state())),
        });
        self.items[place].value = item;
        self.moved.insert(place);
    }

    /// Not to be sent before then.
    pub(crate) fn postpone(&mut self, id: ItemId, not_before: Timestamp, counts: bool) {
        if let Some(place) = self.place.get(&id).copied() {
            let item = self.items[place].value.clone().postponed(not_before, counts);
            self.items[place].value = item;
            self.moved.insert(place);
        }
    }

    /// What a cancelled item gives back of its gross amount counts as reversed.
    pub(crate) fn give_back(&mut self, id: ItemId, gross_minor: i64) {
        if let Some(place) = self.place.get(&id).copied() {
            self.items[place].value.reversed_minor += gross_minor;
            self.moved.insert(place);
        }
    }

    /// When the batch is due, and who has said yes to what would be paid of it now.
    pub(crate) fn plan(&mut self, due_at: Timestamp, approvals: Approvals) {
        let batch = &mut self.batch.value;
        if (batch.due_at, batch.approvals) != (due_at, approvals) {
            (batch.due_at, batch.approvals) = (due_at, approvals);
            self.touched = true;
        }
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
        let before = self.items[place].value.state().clone();
        let item = self.items[place].value.clone().reverse(gross_minor, taken_minor, at)?;
        if item.status() == before.status() {
            self.items[place].value = item;
            self.moved.insert(place);
        } else {
            self.moved_to(place, item, ("reverse", &before), at);
        }
        Ok(())
    }

    /// Holds the batch still, even if none of its items moves.
    pub(crate) fn touch(&mut self) {
        self.touched = true;
    }

    /// What was moved so far, as a change under that lease. The batch is always part of it: its status follows
    /// from all of its items, so two writers who move different items must not miss each other.
    pub(crate) fn take_change(&mut self, lease: impl Into<Option<LeaseStep>>, at: Timestamp) -> Change {
        let mut change = Change {
            lease: lease.into(),
            publish: std::mem::take(&mut self.events),
            audit: std::mem::take(&mut self.audit),
            ..Change::default()
        };
        let moved = std::mem::take(&mut self.moved);
        if moved.is_empty() && !std::mem::take(&mut self.touched) {
            return change;
        }
        for place in moved {
            change.update.push(Update::Item(self.items[place].clone()));
            self.items[place].revision += 1;
        }
        let statuses: Vec<_> = self.items().map(|item| (item.status(), Attempted(item.attempts > 0))).collect();
        let status = BatchStatus::of(&statuses, self.batch.value.approvals);
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

/// What an auditor wants to know of a state.
fn facts_of(state: &ItemState) -> Value {
    let mut facts = json!({ "status": state.status().as_str() });
    let optional = [
        ("holdReason", state.hold_reason().map(|reason| reason.as_str())),
        ("reason", state.failure_reason()),
        ("reference", state.reference()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            facts[name] = value.into();
        }
    }
    facts
}
