//! What must be committed of what was learned.

use super::Facts;
use crate::{
    change::{Change, Count, New, Stored, Update},
    payouts::cancel_lines::CancelledLines,
};
use domain::{
    counter::CounterKey,
    event::{Alarm, Event},
    ids::{EventId, ItemId},
    instruction::Instruction,
    ledger::Transaction,
};
use std::collections::BTreeMap;

/// What must be committed beside the moves of the items.
#[derive(Default)]
pub(crate) struct Conclusion {
    updates: Vec<Update>,
    pub(super) posted: Vec<Transaction>,
    counts: BTreeMap<CounterKey, Count>,
    pub(super) insert: Vec<New>,
    publish: Vec<Event>,
    /// Lines that will not be paid.
    pub(crate) cancelled: CancelledLines,
}

impl Conclusion {
    /// Puts everything into a change.
    pub(crate) fn into_change(self, change: &mut Change) {
        let Self { updates, posted, mut counts, insert, publish, cancelled } = self;
        change.update.extend(updates);
        change.post.extend(posted);
        change.insert.extend(insert);
        change.publish.extend(publish);
        cancelled.into_change(change, &mut counts);
        change.count.extend(counts.into_values());
    }

    /// Moves a counter.
    pub(super) fn count(&mut self, count: Count) {
        add_count(&mut self.counts, count);
    }

    /// Calls for a person.
    pub(super) fn alarm(
        &mut self,
        facts: Facts<'_>,
        alarm: Alarm,
        about: (&Instruction, Option<ItemId>),
        what: serde_json::Value,
    ) {
        let (instruction, item) = about;
        let of_item = item.map(tracing::field::display);
        tracing::error!(alarm = alarm.as_str(), instruction = %instruction.id, item = of_item, what = %what, "a person is needed");
        let id = EventId::new(facts.ids.fresh());
        self.publish.push(Event::alarm(id, alarm, (Some(instruction.batch), item), what, facts.at));
    }
}

/// Moves of one counter add up: no counter occurs twice in a change.
pub(crate) fn add_count(counts: &mut BTreeMap<CounterKey, Count>, count: Count) {
    match counts.get_mut(&count.key) {
        Some(known) => {
            known.add += count.add;
            known.seen = known.seen.or(count.seen);
        }
        None => {
            counts.insert(count.key.clone(), count);
        }
    }
}

/// Writes down that an instruction is as it is now. To be called once, after everything about it was learned.
pub(crate) fn write_down(into: &mut Conclusion, before: &Stored<Instruction>, now: Instruction) {
    if now != before.value {
        into.updates.push(Update::Instruction(Stored { value: now, revision: before.revision }));
    }
}
