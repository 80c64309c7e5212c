//! Pays what is scheduled in a batch, and finds out what became of what was sent.
//!
//! Always write, call, write: the intent (instruction, items, postings) is committed before a rail is called,
//! and the answer after. Whoever finds an instruction already sent asks the rail first, and only inside the
//! rail's replay window sends the same bytes under the same key once more. One turn handles a slice of the
//! batch, so that a large one neither outlives its lease nor starves its neighbours.
//!
//! A rail is called only as its gate lets through, and only while there is time left under the lease: what is not
//! called is not in doubt. Nothing waits in here: a turn that can do no more says when to look again.

mod ask_rails;
mod look_again;
mod record_intents;
mod submit;
mod write_answers;

pub(crate) use ask_rails::arrived_by;
pub(crate) use write_answers::Known;

use super::{batch_work::BatchWork, conclude::Contradiction, gate::Gates, plan::Plan};
use crate::{
    change::{Change, Stored},
    failure::{Class, Failure},
    job::{Lease, LeaseStep},
    ports::{
        Clock, CommitError, Dice, Ids, PayoutRepository, Rails, StoreError,
        queries::RailPause,
        rail::{self, RailEvent, RailProfile},
        repository::BatchForExecution,
    },
};
use ask_rails::{Asked, ask};
use domain::{
    audit::Actor,
    event::{Alarm, Event},
    ids::{BatchId, EventId},
    instruction::Instruction,
    recipient::RailId,
};
use look_again::Looks;
use record_intents::{due_now, record_intents};
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};
use submit::submit;
use write_answers::write_answers;

/// Most items that one turn sends or asks about.
pub const SLICE_ITEMS_MAX: usize = 64;
/// How long after the instant that its intent names a call may still leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// Why a turn did not come to its end. Whatever was committed stays; the next turn goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteBatchError {
    /// It could not be committed, or not be read.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Our own fault.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

impl From<StoreError> for ExecuteBatchError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl Failure for ExecuteBatchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Commit(error) => error.code(),
            Self::Contradiction(_) => "server_error",
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Commit(error) => error.class(),
            Self::Contradiction(_) => Class::Internal,
        }
    }
}

/// What a turn needs of the world.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    /// Where batches are kept.
    pub repository: &'a dyn PayoutRepository,
    /// Where money goes out.
    pub rails: &'a Rails,
    /// How fast a rail may be called.
    pub gates: &'a Gates,
    /// Names.
    pub ids: &'a dyn Ids,
    /// Chance.
    pub dice: &'a dyn Dice,
    /// Time.
    pub clock: &'a dyn Clock,
    /// When the lease of the job is over, by the steady clock of this machine: no call to a rail may go on then.
    pub lease_ends: Duration,
    /// Told how many items the batch has, once it was read.
    pub batch_has: &'a (dyn Fn(usize) + Sync),
}

/// One turn: see the module.
///
/// # Errors
/// See [`ExecuteBatchError`].
pub async fn execute_batch(ports: Ports<'_>, lease: Lease, batch: BatchId) -> Result<(), ExecuteBatchError> {
    // Read before the time of the database, so that nothing leaves later after `now` than it may.
    let leaves_by = ports.clock.steady() + LEAVES_WITHIN;
    let now = ports.clock.now().await?;
    let Some(found) = ports.repository.batch_for_execution(batch).await? else {
        let change = Change { lease: Some(LeaseStep::Finish(lease)), ..Change::default() };
        return Ok(ports.repository.commit(change).await?);
    };
    (ports.batch_has)(found.items.len());
    let plan = Plan::read(ports.repository, ports.rails, &found, now).await?;
    let BatchForExecution { batch: stored, items, unresolved, strays, .. } = found;
    let mut work = BatchWork::new(stored, items, Actor::worker(), ports.ids);
    work.plan(plan.due_at(), plan.approvals());
    let mut looks = Looks { now, next: None, sending_from: now, waiting_for_days: HashSet::new() };
    let mut paused = BTreeMap::new();

    let waiting = due_now(&work, &plan, now).count().min(SLICE_ITEMS_MAX);
    let Asked { mut heard, again } = ask(ports, &work, unresolved, waiting, now, &mut looks).await;
    let sending = record_intents(ports, &mut work, &plan, again, &lease, now, &mut looks).await?;
    heard.extend(submit(ports, sending, (now, leaves_by), &mut paused).await);

    let now = ports.clock.now().await?;
    looks.now = now;
    let known = Known::read(ports, &work, &heard, strays).await?;
    let conclusion = write_answers(ports, &mut work, heard, &known, now, &mut looks)?;
    looks.at_scheduled(&work, &plan);
    let step = match looks.next {
        Some(at) => LeaseStep::Again(lease, at),
        None => LeaseStep::Finish(lease),
    };
    let mut change = work.take_change(step, now);
    conclusion.into_change(&mut change);
    for (rail, says) in paused {
        let about = RailPause::about(&rail, &says);
        tracing::error!(alarm = Alarm::RailPaused.as_str(), what = %about, "a person is needed");
        let id = EventId::new(ports.ids.fresh());
        change.publish.push(Event::alarm(id, Alarm::RailPaused, (Some(batch), None), about, now));
    }
    Ok(ports.repository.commit(change).await?)
}

/// An instruction, and what was learned of it just now.
struct Heard {
    /// As it was read, or committed as an intent.
    before: Stored<Instruction>,
    rail: Option<RailProfile>,
    answer: Answer,
}

/// What we know after asking or submitting.
enum Answer {
    /// The rail has it, and says this.
    Said { reference: Option<String>, events: Vec<RailEvent> },
    /// It was refused, all of it.
    Refused { reason: String, class: rail::Class },
    /// It is proven that it never arrived, nor will.
    Absent,
    /// The call never left.
    NotSent,
    /// It may have happened or not.
    Unknown,
}

/// Instructions by the rail they went to, with its profile if it is still there.
fn by_rail(
    ports: Ports<'_>,
    instructions: impl Iterator<Item = Stored<Instruction>>,
) -> Vec<(Option<RailProfile>, Vec<Stored<Instruction>>)> {
    let mut by_rail: BTreeMap<RailId, Vec<Stored<Instruction>>> = BTreeMap::new();
    for stored in instructions {
        by_rail.entry(stored.value.rail.clone()).or_default().push(stored);
    }
    let with_profile = |(id, all): (RailId, Vec<_>)| (ports.rails.get(&id).map(|rail| rail.profile()), all);
    by_rail.into_iter().map(with_profile).collect()
}

#[cfg(test)]
mod tests;
