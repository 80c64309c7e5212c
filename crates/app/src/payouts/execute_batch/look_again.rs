//! When a batch is looked at again.

use crate::{
    payouts::{batch_work::BatchWork, conclude::full_jitter, plan::Plan},
    ports::Dice,
};
use domain::{ids::InstructionId, instruction::Instruction, item::ItemStatus, timestamp::Timestamp};
use std::{collections::HashSet, time::Duration};

/// Shortest and longest time before an unresolved instruction is looked at again.
pub(super) const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Longest time before what a rail did not take is offered to it again.
const SEND_AGAIN_MAX: Duration = Duration::from_secs(60);
/// What a rail does not take for so long is told to a person, each time that it has been so long again.
const TOLD_EACH: Duration = Duration::from_secs(24 * 3_600);
/// Longest time before one is looked at again that the rail has: it reports by itself, and this is the net.
const LOOK_AGAIN_ACKNOWLEDGED: Duration = Duration::from_secs(3_600);
/// How often a batch is looked at that waits for somebody to say yes.
const LOOK_AGAIN_UNAPPROVED: Duration = Duration::from_secs(300);

/// When to look again.
pub(super) struct Looks {
    pub(super) now: Timestamp,
    pub(super) next: Option<Timestamp>,
    /// When a gate lets something new through.
    pub(super) sending_from: Timestamp,
    /// What nobody has taken for another day, if it is not taken now.
    pub(super) waiting_for_days: HashSet<InstructionId>,
}

impl Looks {
    pub(super) fn at(&mut self, at: Timestamp) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// At what the rail will know later: seldom, if it was sent long ago, or if nobody has taken it for long.
    pub(super) fn at_unresolved(&mut self, work: &BatchWork<'_>, instruction: &Instruction, dice: &dyn Dice) {
        let age = self.now.since(instruction.last_sent_at).max(self.now.since(waits_since(work, instruction)) / 4);
        let most = if instruction.is_acknowledged() { LOOK_AGAIN_ACKNOWLEDGED } else { LOOK_AGAIN.1 };
        let pause = full_jitter(dice, age.clamp(LOOK_AGAIN.0, most), 0, most);
        self.at(self.now.after(pause));
    }

    /// From when on it may be sent again, however often it is looked at: a batch is looked at for any of its items, and a
    /// rail that takes nothing for long is not offered all of them each time.
    pub(super) fn again_from(&self, work: &BatchWork<'_>, instruction: &Instruction) -> Timestamp {
        let waited = self.now.since(waits_since(work, instruction));
        instruction.last_sent_at.after(SEND_AGAIN_MAX.min(waited / 8))
    }

    /// Remembers what nobody has taken for another day since it was last sent: if it is not taken now either, a person is
    /// told.
    pub(super) fn note_how_long(&mut self, work: &BatchWork<'_>, instruction: &Instruction) {
        let since = waits_since(work, instruction);
        let days = |at: Timestamp| at.since(since).as_secs() / TOLD_EACH.as_secs();
        if !instruction.may_have_been_received() && days(self.now) > days(instruction.last_sent_at) {
            self.waiting_for_days.insert(instruction.id);
        }
    }

    /// At what is still to be sent: when it is due, if nothing else stands in its way.
    pub(super) fn at_scheduled(&mut self, work: &BatchWork<'_>, plan: &Plan) {
        // What was just put on hold is looked at once more: its recipient may have been released after we read them and
        // before the hold was committed, and nobody else would look again.
        if work.has_held() {
            self.at(self.now);
        }
        let waiting = work.items().filter(|item| item.status() == ItemStatus::Scheduled && plan.is_cleared(item.id));
        let free_at = self.sending_from.max(plan.due_at()).max(self.now);
        if let Some(due) = waiting.map(|item| item.not_before.unwrap_or(free_at).max(free_at)).min() {
            self.at(due);
        }
        // Nobody tells a batch that an approval has run out, or that what asked for one is gone: somebody was paid there
        // meanwhile, a destination was changed back, a part was cancelled.
        if plan.approvals().are_missing() {
            self.at(self.now.after(LOOK_AGAIN_UNAPPROVED));
        }
    }
}

/// Since when an instruction waits for its rail: what was never received begins its window anew with every call, so only its items
/// tell it.
fn waits_since(work: &BatchWork<'_>, instruction: &Instruction) -> Timestamp {
    let waiting = instruction.items.iter().filter_map(|part| work.item(part.item));
    waiting.map(|item| item.updated_at).fold(instruction.first_sent_at, Timestamp::min)
}
