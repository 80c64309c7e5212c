//! Asks what became of what was sent, and says what may be sent again.

use super::{
    Answer, Heard, LEAVES_WITHIN, Ports, SLICE_ITEMS_MAX, by_rail,
    look_again::{LOOK_AGAIN, Looks},
};
use crate::{
    change::Stored,
    payouts::{batch_work::BatchWork, gate::Came},
    ports::rail::{Lookup, RailProfile},
};
use domain::{ids::BatchId, instruction::Instruction, timestamp::Timestamp};
use futures_util::future::join_all;
use std::time::Duration;

/// How often the same bytes are sent under one key. Beyond that the rail is only asked.
pub(super) const TRIES_MAX: u32 = 12;

/// What the rails said of instructions found sent.
pub(super) struct Asked {
    /// Those with something to be written down.
    pub(super) heard: Vec<Heard>,
    /// Those to be sent again, same bytes and key.
    pub(super) again: Vec<Stored<Instruction>>,
}

/// Asks the rails what became of instructions found sent.
pub(super) async fn ask(
    ports: Ports<'_>,
    work: &BatchWork<'_>,
    unresolved: Vec<Stored<Instruction>>,
    waiting: usize,
    now: Timestamp,
    looks: &mut Looks,
) -> Asked {
    let batch = work.batch().id;
    let mut asked = Asked { heard: Vec::new(), again: Vec::new() };
    let mut calls = Vec::new();
    let not_asked = unresolved.len() > SLICE_ITEMS_MAX;
    let slice = in_turns(unresolved, now).into_iter().take(SLICE_ITEMS_MAX);
    for (profile, instructions) in by_rail(ports, slice) {
        let Some(profile) = profile else {
            // The rail is not there any more: nothing can be learned, nothing is lost.
            for before in instructions {
                looks.at_unresolved(work, &before.value, ports.dice);
            }
            continue;
        };
        // What certainly never arrived need not be asked for, unless the rail has contradicted itself since.
        let (mut sent, unsent): (Vec<_>, Vec<_>) = instructions
            .into_iter()
            .partition(|stored| stored.value.may_have_been_received() || stored.value.is_acknowledged());
        let (unsent, later): (Vec<_>, Vec<_>) =
            unsent.into_iter().partition(|stored| looks.again_from(work, &stored.value) <= now);
        for Stored { value, .. } in later {
            looks.at(looks.again_from(work, &value));
        }
        let pays =
            waiting + unsent.len() + sent.iter().filter(|stored| may_replay(&profile, &stored.value, now)).count();
        asked.again.extend(unsent);
        let (questions, again_at) = questions(ports, &profile, batch, (sent.len(), pays), now);
        if questions < sent.len() {
            // Who is asked for changes, so that those who stay unresolved do not keep the others waiting.
            let first = ports.dice.below(u64::try_from(sent.len()).unwrap_or_default());
            sent.rotate_left(usize::try_from(first).unwrap_or_default());
        }
        let rest = sent.split_off(questions);
        // What may be sent again may be so without a question: the same bytes have effect once. What comes of that says
        // when to look at it next, and not the gate: else a rail that asks for time is called as fast as it allows.
        let is_sent_again = |Stored { value, .. }: &Stored<Instruction>| {
            questions == 0 && may_replay(&profile, value, now) && looks.again_from(work, value) <= now
        };
        let (again, not_yet): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_sent_again);
        asked.again.extend(again);
        if !not_yet.is_empty() {
            looks.at(again_at);
        }
        calls.extend(sent.into_iter().map(|before| (profile.clone(), before)));
    }
    let answers = join_all(calls.into_iter().map(|(profile, before)| async {
        let lookup = match ports.rails.get(&profile.id) {
            Some(rail) => rail.query(&before.value).await,
            None => Lookup::CannotTell { cause: "the rail is not there".to_owned() },
        };
        (profile, before, lookup)
    }));
    let mut is_told_something = false;
    for (profile, before, lookup) in answers.await {
        is_told_something |= !matches!(lookup, Lookup::CannotTell { .. });
        let came = if matches!(lookup, Lookup::CannotTell { .. }) { Came::Nothing } else { Came::Answer };
        // What is answered to a question blames nobody.
        ports.gates.report(&profile.id, (before.value.id, came), ports.dice, now);
        let instruction = &before.value;
        let answer = match lookup {
            Lookup::Found(events) => Answer::Said { reference: None, events },
            _ if may_replay(&profile, instruction, now) => match looks.again_from(work, instruction) {
                from if from <= now => {
                    asked.again.push(before);
                    continue;
                }
                from => {
                    looks.at(from);
                    Answer::Unknown
                }
            },
            // Only now does absence prove anything: no call can be on its way any more.
            Lookup::ProvenAbsent if now >= arrived_by(&profile, instruction) => Answer::Absent,
            Lookup::ProvenAbsent => {
                looks.at(arrived_by(&profile, instruction));
                Answer::Unknown
            }
            Lookup::CannotTell { .. } => Answer::Unknown,
        };
        asked.heard.push(Heard { before, rail: Some(profile), answer });
    }
    if not_asked {
        // The others at once, unless the rail has nothing to say: then it is not asked the next ones in a hurry.
        looks.at(if is_told_something { now } else { now.after(LOOK_AGAIN.0) });
    }
    asked
}

/// How many of `wanted` questions are asked now, and when more may be. If not everything can be called, questions leave a
/// half to calls that pay: whoever asks with every call that the rail allows, turn after turn, never pays anybody.
fn questions(
    ports: Ports<'_>,
    rail: &RailProfile,
    batch: BatchId,
    (wanted, pays): (usize, usize),
    now: Timestamp,
) -> (usize, Timestamp) {
    let all = u32::try_from(wanted + pays).unwrap_or(u32::MAX);
    let admitted = ports.gates.admit(rail, batch, if wanted == 0 { 0 } else { all }, now);
    let asked = match admitted.calls {
        calls if calls == all => u32::try_from(wanted).unwrap_or(u32::MAX),
        // One call is a question every other time.
        1 if pays > 0 => u32::try_from(ports.dice.below(2)).unwrap_or_default(),
        calls if pays > 0 => calls.div_ceil(2).min(u32::try_from(wanted).unwrap_or(u32::MAX)),
        calls => calls,
    };
    ports.gates.put_back(rail, admitted.calls.saturating_sub(asked));
    (usize::try_from(asked).unwrap_or(usize::MAX), admitted.again_at)
}

/// More than fit into a slice take turns: those that stay unresolved must not keep the others from being asked for.
fn in_turns(mut unresolved: Vec<Stored<Instruction>>, now: Timestamp) -> Vec<Stored<Instruction>> {
    if unresolved.len() > SLICE_ITEMS_MAX {
        let first = usize::try_from(now.unix_micros().unsigned_abs()).unwrap_or_default() % unresolved.len();
        unresolved.rotate_left(first);
    }
    unresolved
}

/// Whether the same bytes may be sent under the same key once more: only if this call, too, arrives while the rail knows
/// the key, however long it is under way. A fifth of the rail's window is left alone besides: the rail counts from when
/// it got the first call, by its own clock.
fn may_replay(profile: &RailProfile, instruction: &Instruction, now: Timestamp) -> bool {
    let age = now.since(instruction.first_sent_at);
    let is_known = |window: Duration| age < window / 5 * 4 && age + LEAVES_WITHIN + profile.settle_bound < window;
    !instruction.is_acknowledged() && instruction.tries < TRIES_MAX && profile.replay_window.is_none_or(is_known)
}

/// When no call of it can be on its way any more: only from then on does absence prove anything. The intent names the
/// beginning of the turn, and the call may have left later.
pub(crate) fn arrived_by(profile: &RailProfile, instruction: &Instruction) -> Timestamp {
    instruction.last_sent_at.after(LEAVES_WITHIN).after(profile.settle_bound)
}
