//! Pays what is scheduled in a batch, and finds out what became of what was sent.
//!
//! Always write, call, write: the intent (instruction, items, postings) is committed before a rail is called,
//! and the answer after. Whoever finds an instruction already sent asks the rail first, and only inside the
//! rail's replay window sends the same bytes under the same key once more. One turn handles a slice of the
//! batch, so that a large one neither outlives its lease nor starves its neighbours.
//!
//! A rail is called only as its gate lets through, and only while there is time left under the lease: what is not
//! called is not in doubt. Nothing waits in here: a turn that can do no more says when to look again.

use super::{
    batch_work::BatchWork,
    cancel_lines::Cancelling,
    conclude::{self, Conclusion, Contradiction, Facts, full_jitter},
    gate::{Came, Gates},
    plan::{Plan, destination_of},
};
use crate::{
    change::{Change, New, Stored, Update},
    failure::{Class, Failure},
    job::{Lease, LeaseStep},
    ports::{
        Clock, CommitError, Dice, Ids, PayoutRail, PayoutRepository, Rails, StoreError,
        queries::RailPause,
        rail::{Lookup, Order, Preflight, RailEvent, RailProfile, Seen, Submit},
        repository::{BatchForExecution, StoredCounter},
    },
    revenue::hold,
};
use domain::{
    approval::destination_hash,
    audit::Actor,
    counter::CounterKey,
    currency::Currency,
    event::{Alarm, Event},
    ids::{BatchId, EventId, InstructionId, ItemId, RecipientId, Requester, TransactionId},
    instruction::{Instruction, InstructionItem},
    item::{Item, ItemStatus, ItemStep},
    ledger::{Transaction, postings},
    money::Money,
    recipient::{HoldReason, RailId, Recipient},
    timestamp::Timestamp,
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// Most items that one turn sends or asks about.
pub const SLICE_ITEMS_MAX: usize = 64;
/// Shortest and longest time before an unresolved instruction is looked at again.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Longest time before one is looked at again that the rail has: it reports by itself, and this is the net.
const LOOK_AGAIN_ACKNOWLEDGED: Duration = Duration::from_secs(3_600);
/// How often a batch is looked at that waits for somebody to say yes.
const LOOK_AGAIN_UNAPPROVED: Duration = Duration::from_secs(300);
/// How long a call to a rail takes at most: what the port promises.
const CALL_MAX: Duration = Duration::from_secs(5);
/// How long after the instant that its intent names a call may still leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);
/// How often the same bytes are sent under one key. Beyond that the rail is only asked.
pub const TRIES_MAX: u32 = 12;

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
    let plan = Plan::read(ports.repository, ports.rails, &found, now).await?;
    let BatchForExecution { batch: stored, items, unresolved, strays, .. } = found;
    let mut work = BatchWork::new(stored, items, Actor::worker(), ports.ids);
    work.plan(plan.due_at(), plan.approvals());
    let mut looks = Looks { now, next: None, sending_from: now };
    let mut paused = BTreeMap::new();

    let waiting = due_now(&work, &plan, now).count().min(SLICE_ITEMS_MAX);
    let Asked { mut heard, again } = ask(ports, batch, unresolved, waiting, now, &mut looks).await;
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

/// When to look again.
struct Looks {
    now: Timestamp,
    next: Option<Timestamp>,
    /// When a gate lets something new through.
    sending_from: Timestamp,
}

impl Looks {
    fn at(&mut self, at: Timestamp) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// At what the rail will know later: seldom, if it was sent long ago, or if nobody has taken it for long. What was
    /// never received begins its window anew with every call, so only its items tell how long that has been.
    fn at_unresolved(&mut self, instruction: &Instruction, waits_since: Timestamp, dice: &dyn Dice) {
        let since = instruction.first_sent_at.min(waits_since);
        let age = self.now.since(instruction.last_sent_at).max(self.now.since(since) / 4);
        let most = if instruction.is_acknowledged() { LOOK_AGAIN_ACKNOWLEDGED } else { LOOK_AGAIN.1 };
        let pause = full_jitter(dice, age.clamp(LOOK_AGAIN.0, most), 0, most);
        self.at(self.now.after(pause));
    }

    /// At what is still to be sent: when it is due, if nothing else stands in its way.
    fn at_scheduled(&mut self, work: &BatchWork<'_>, plan: &Plan) {
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
    Refused { reason: String, class: crate::ports::rail::Class },
    /// It is proven that it never arrived, nor will.
    Absent,
    /// The call never left.
    NotSent,
    /// It may have happened or not.
    Unknown,
}

/// What the rails said of instructions found sent.
struct Asked {
    /// Those with something to be written down.
    heard: Vec<Heard>,
    /// Those to be sent again, same bytes and key.
    again: Vec<Stored<Instruction>>,
}

/// Asks the rails what became of instructions found sent.
async fn ask(
    ports: Ports<'_>,
    batch: BatchId,
    unresolved: Vec<Stored<Instruction>>,
    waiting: usize,
    now: Timestamp,
    looks: &mut Looks,
) -> Asked {
    let mut asked = Asked { heard: Vec::new(), again: Vec::new() };
    let mut calls = Vec::new();
    let not_asked = unresolved.len() > SLICE_ITEMS_MAX;
    let slice = in_turns(unresolved, now).into_iter().take(SLICE_ITEMS_MAX);
    for (profile, instructions) in by_rail(ports, slice) {
        let Some(profile) = profile else {
            // The rail is not there any more: nothing can be learned, nothing is lost.
            for before in instructions {
                looks.at_unresolved(&before.value, before.value.first_sent_at, ports.dice);
            }
            continue;
        };
        // What certainly never arrived need not be asked for, unless the rail has contradicted itself since.
        let (mut sent, unsent): (Vec<_>, Vec<_>) = instructions
            .into_iter()
            .partition(|stored| stored.value.may_have_been_received() || stored.value.is_acknowledged());
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
        let is_sent_again = |stored: &Stored<Instruction>| questions == 0 && may_replay(&profile, &stored.value, now);
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
            _ if may_replay(&profile, instruction, now) => {
                asked.again.push(before);
                continue;
            }
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

/// The first write: everything that is about to be sent. Answers it as it stands after the commit.
async fn record_intents(
    ports: Ports<'_>,
    work: &mut BatchWork<'_>,
    plan: &Plan,
    again: Vec<Stored<Instruction>>,
    lease: &Lease,
    now: Timestamp,
    looks: &mut Looks,
) -> Result<Vec<Stored<Instruction>>, ExecuteBatchError> {
    let mut sending = Vec::new();
    let mut updates = Vec::new();
    for (profile, instructions) in by_rail(ports, again.into_iter()) {
        let wanted = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
        let admitted = profile.map(|profile| ports.gates.admit(&profile, work.batch().id, wanted, now));
        for (place, before) in (0..).zip(instructions) {
            if admitted.is_none_or(|admitted| place >= admitted.calls) {
                looks.at(admitted.map_or(now.after(LOOK_AGAIN.1), |admitted| admitted.again_at));
                conclude::unknown_if_sent(work, &before.value, now)?;
                continue;
            }
            let instruction = before.try_map(|found| found.try_again(now)).map_err(Contradiction::from)?;
            updates.push(Update::Instruction(instruction.clone()));
            sending.push(Stored { revision: instruction.revision + 1, value: instruction.value });
        }
    }
    let (fresh, posted) = new_instructions(ports, work, plan, now, looks).await?;
    if fresh.is_empty() && updates.is_empty() {
        // Holds alone ride with the second write.
        return Ok(sending);
    }
    let mut change = work.take_change(LeaseStep::Keep(lease.clone()), now);
    change.update.extend(updates);
    change.insert.extend(fresh.iter().cloned().map(New::Instruction));
    change.post.extend(posted);
    ports.repository.commit(change).await?;
    sending.extend(fresh.into_iter().map(|value| Stored { value, revision: 1 }));
    Ok(sending)
}

/// Makes instructions for what is scheduled, and holds what cannot be sent.
async fn new_instructions(
    ports: Ports<'_>,
    work: &mut BatchWork<'_>,
    plan: &Plan,
    now: Timestamp,
    looks: &mut Looks,
) -> Result<(Vec<Instruction>, Vec<Transaction>), ExecuteBatchError> {
    let mut by_rail: BTreeMap<RailId, Vec<(Item, Order)>> = BTreeMap::new();
    for (item, order) in due(ports, work, plan, now).await? {
        by_rail.entry(order.destination.rail.clone()).or_default().push((item, order));
    }
    let mut instructions = Vec::new();
    let mut posted = Vec::new();
    for (rail, orders) in by_rail {
        let Some(rail) = ports.rails.get(&rail) else { continue };
        let profile = rail.profile();
        let grain = usize::try_from(profile.items_max).unwrap_or(1).max(1);
        let wanted = u32::try_from(orders.len().div_ceil(grain)).unwrap_or(u32::MAX);
        let admitted = ports.gates.admit(&profile, work.batch().id, wanted, now);
        if admitted.calls < wanted {
            looks.sending_from = looks.sending_from.max(admitted.again_at);
        }
        // Only what the gate lets through is asked for beforehand: a rail that is shut is not asked either.
        let calls = usize::try_from(admitted.calls).unwrap_or(usize::MAX);
        let admitted = orders.into_iter().take(calls.saturating_mul(grain)).collect();
        for group in ready(ports, work, admitted, now).await?.chunks(grain) {
            let Some(instruction) = instruction(ports, rail, work, group, now)? else { continue };
            for ((item, _), part) in group.iter().zip(&instruction.items) {
                let id = TransactionId::new(ports.ids.fresh());
                posted.push(postings::sent(id, &instruction, part, item, now).map_err(Contradiction::from)?);
            }
            instructions.push(instruction);
        }
    }
    Ok((instructions, posted))
}

/// What may be sent now, if its recipient may be paid.
fn due_now<'w>(work: &'w BatchWork<'_>, plan: &'w Plan, now: Timestamp) -> impl Iterator<Item = &'w Item> {
    work.items().filter(move |item| {
        now >= plan.due_at()
            && item.status() == ItemStatus::Scheduled
            && plan.is_cleared(item.id)
            && item.not_before.is_none_or(|not_before| not_before <= now)
    })
}

/// What is sent in this turn. What may not be sent is put on hold; what was on hold and may be sent by now is
/// released, here and not only when the recipient changes: they may have changed just before the hold was committed.
async fn due(
    ports: Ports<'_>,
    work: &mut BatchWork<'_>,
    plan: &Plan,
    now: Timestamp,
) -> Result<Vec<(Item, Order)>, ExecuteBatchError> {
    if now < plan.due_at() {
        return Ok(Vec::new());
    }
    let mut scheduled: Vec<&Item> = due_now(work, plan, now).collect();
    if scheduled.len() > SLICE_ITEMS_MAX && ports.gates.is_any_shut(now) {
        // What waits at a shut gate must not keep those behind it from a rail that is open.
        let first = ports.dice.below(u64::try_from(scheduled.len()).unwrap_or_default());
        scheduled.rotate_left(usize::try_from(first).unwrap_or_default());
    }
    scheduled.truncate(SLICE_ITEMS_MAX);
    let held = work.items().filter(|item| may_be_released(item));
    let candidates: Vec<Item> = scheduled.into_iter().chain(held).cloned().collect();
    let recipients = known_recipients(ports.repository, &candidates).await?;
    let mut due = Vec::new();
    for item in candidates {
        let is_held = item.status() == ItemStatus::PendingKyc;
        match order(ports.rails, &item, recipients.get(&item.recipient), work.batch().currency) {
            // Nobody has said yes to what is released just now: the next turn knows whether anybody must.
            Ok(_) if is_held && !plan.is_cleared(item.id) => {
                work.step(item.id, ItemStep::Release, now).map_err(Contradiction::from)?;
            }
            Ok(order) => {
                if is_held {
                    work.step(item.id, ItemStep::Release, now).map_err(Contradiction::from)?;
                }
                due.push((item, order));
            }
            Err(reason) if !is_held => {
                work.step(item.id, ItemStep::Hold(reason), now).map_err(Contradiction::from)?;
            }
            Err(_) => {}
        }
    }
    due.truncate(SLICE_ITEMS_MAX);
    Ok(due)
}

/// Those whose rail says that they can be paid there now. The others are held until they act.
async fn ready(
    ports: Ports<'_>,
    work: &mut BatchWork<'_>,
    due: Vec<(Item, Order)>,
    now: Timestamp,
) -> Result<Vec<(Item, Order)>, ExecuteBatchError> {
    let checks = join_all(due.into_iter().map(|(item, order)| async {
        let preflight = match ports.rails.get(&order.destination.rail) {
            Some(rail) => rail.preflight(&order.destination).await,
            None => Preflight::CannotTell,
        };
        (item, order, preflight)
    }));
    let mut ready = Vec::new();
    for (item, order, preflight) in checks.await {
        if let Preflight::MustAct { reason } = preflight {
            tracing::info!(item = %item.id, reason, "the rail says that the recipient must act first");
            work.step(item.id, ItemStep::Hold(HoldReason::RecipientMustAct), now).map_err(Contradiction::from)?;
        } else {
            ready.push((item, order));
        }
    }
    Ok(ready)
}

/// Whether the reason of the hold can be gone without anybody having said so.
fn may_be_released(item: &Item) -> bool {
    item.state().hold_reason().is_some_and(|reason| match reason {
        HoldReason::RecipientPending
        | HoldReason::RecipientBlocked
        | HoldReason::RecipientPlaceholder
        | HoldReason::RecipientUnregistered
        | HoldReason::DestinationUnusable => true,
        HoldReason::InstructionImpossible | HoldReason::RecipientMustAct | HoldReason::OperatorHold => false,
    })
}

async fn known_recipients(
    repository: &dyn PayoutRepository,
    items: &[Item],
) -> Result<HashMap<RecipientId, Recipient>, StoreError> {
    if items.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<RecipientId> = items.iter().map(|item| item.recipient.clone()).collect();
    let known = repository.recipients(&ids).await?;
    Ok(known.into_iter().map(|stored| (stored.value.id.clone(), stored.value)).collect())
}

/// What a rail is told about an item, or why it must wait.
fn order(rails: &Rails, item: &Item, recipient: Option<&Recipient>, currency: Currency) -> Result<Order, HoldReason> {
    // Nobody but the model says that somebody is not known yet: as long as nobody registers them, they are not.
    let is_placeholder = item.state().hold_reason() == Some(HoldReason::RecipientPlaceholder);
    if let Some(reason) = hold(recipient, is_placeholder, rails) {
        return Err(reason);
    }
    let destination = destination_of(recipient, rails);
    let rail = rails.get(&destination.rail).ok_or(HoldReason::DestinationUnusable)?;
    rail.check(&destination).map_err(|_| HoldReason::DestinationUnusable)?;
    Ok(Order {
        item: item.id,
        wire_ref: String::new(),
        recipient: item.recipient.clone(),
        amount: Money::new(item.due_minor(), currency),
        destination,
    })
}

/// One instruction for a group of items, which move to `processing`. If the rail cannot put them into one,
/// they wait: one bad item never holds its batch.
fn instruction(
    ports: Ports<'_>,
    rail: &Arc<dyn PayoutRail>,
    work: &mut BatchWork<'_>,
    group: &[(Item, Order)],
    now: Timestamp,
) -> Result<Option<Instruction>, Contradiction> {
    let id = InstructionId::new(ports.ids.fresh());
    // Each part has a name of its own, so that what a rail reports on an earlier one is never taken for a later one.
    let orders: Vec<Order> = group
        .iter()
        .map(|(_, order)| Order { wire_ref: ItemId::new(ports.ids.fresh()).digits(), ..order.clone() })
        .collect();
    let Ok(body) = rail.prepare(id, &orders) else {
        for (item, _) in group {
            work.step(item.id, ItemStep::Hold(HoldReason::InstructionImpossible), now)?;
        }
        return Ok(None);
    };
    let generation = group.iter().map(|(item, _)| item.attempts).max().unwrap_or_default() + 1;
    for (item, _) in group {
        work.step(item.id, ItemStep::RecordIntent, now)?;
    }
    let part = |order: &Order| {
        let destination = destination_hash(&order.destination);
        InstructionItem::new(order.item, order.wire_ref.clone(), order.amount.amount_minor, destination)
    };
    let parts = orders.iter().map(part).collect();
    let (batch, currency) = (work.batch().id, work.batch().currency);
    Ok(Some(Instruction::record(id, batch, rail.profile().id, currency, parts, generation, body, now)))
}

/// Calls the rails. Nothing is written here.
async fn submit(
    ports: Ports<'_>,
    sending: Vec<Stored<Instruction>>,
    (now, leaves_by): (Timestamp, Duration),
    paused: &mut BTreeMap<RailId, String>,
) -> Vec<Heard> {
    let calls = sending.into_iter().map(|before| async {
        let rail = ports.rails.get(&before.value.rail);
        // A machine that slept must not call under a lease that somebody else may have by now.
        let steady = ports.clock.steady();
        let in_time = steady <= leaves_by && steady + CALL_MAX <= ports.lease_ends;
        let submitted = match rail {
            Some(rail) if in_time => Some(rail.submit(&before.value).await),
            _ => None,
        };
        (before, rail.map(|rail| rail.profile()), submitted)
    });
    let mut heard = Vec::new();
    for (before, rail, submitted) in join_all(calls).await {
        if let (Some(submitted), Some(rail)) = (&submitted, &rail)
            && ports.gates.report(&rail.id, (before.value.id, came(submitted)), ports.dice, now)
        {
            paused.insert(rail.id.clone(), said(submitted));
        }
        let answer = match submitted {
            Some(Submit::Accepted { reference, seen }) => Answer::Said { reference, events: seen },
            Some(Submit::Refused { reason, class }) => Answer::Refused { reason, class },
            Some(Submit::NotSent { .. }) | None => Answer::NotSent,
            Some(Submit::Unknown { .. }) => Answer::Unknown,
        };
        heard.push(Heard { before, rail, answer });
    }
    heard
}

/// What a rail says that takes nothing: its reason, or what is known of it.
fn said(submit: &Submit) -> String {
    match submit {
        Submit::Refused { reason: said, .. }
        | Submit::NotSent { cause: said, .. }
        | Submit::Unknown { cause: said } => said.clone(),
        Submit::Accepted { .. } => String::new(),
    }
}

/// What came of a call, as its gate sees it.
fn came(submit: &Submit) -> Came {
    match submit {
        Submit::Refused { class: crate::ports::rail::Class::Ops, .. } | Submit::NotSent { ours: true, .. } => {
            Came::Blame
        }
        Submit::Accepted { .. } | Submit::Refused { .. } => Came::Answer,
        Submit::NotSent { retry_after: Some(wait), .. } => Came::NotBefore(*wait),
        Submit::NotSent { .. } | Submit::Unknown { .. } => Came::Nothing,
    }
}

/// What is known beside the batch, when answers are written down.
pub(crate) struct Known {
    strays: BTreeSet<ItemId>,
    debts: HashMap<CounterKey, StoredCounter>,
    cancelling: Option<Cancelling>,
    told_before: HashSet<(RailId, String)>,
}

impl Known {
    /// Reads only what is needed: mostly nothing.
    async fn read(
        ports: Ports<'_>,
        work: &BatchWork<'_>,
        heard: &[Heard],
        strays: Vec<ItemId>,
    ) -> Result<Self, StoreError> {
        let said = heard.iter().flat_map(|heard| match &heard.answer {
            Answer::Said { events, .. } => events.iter().map(|event| (&heard.before.value, event)).collect(),
            _ => Vec::new(),
        });
        Self::of_events(ports.repository, work, said.collect(), strays).await
    }

    /// The same for what was said of instructions.
    pub(crate) async fn of_events(
        repository: &dyn PayoutRepository,
        work: &BatchWork<'_>,
        said: Vec<(&Instruction, &RailEvent)>,
        strays: Vec<ItemId>,
    ) -> Result<Self, StoreError> {
        let mut debts = HashMap::new();
        if !strays.is_empty() {
            let recipients = strays.iter().filter_map(|id| Some(work.item(*id)?.recipient.clone()));
            let keys: Vec<CounterKey> =
                recipients.map(|recipient| CounterKey::debt(&recipient, work.batch().currency)).collect();
            debts = repository.counters(&keys).await?.into_iter().map(|debt| (debt.key.clone(), debt)).collect();
        }
        let recalls = said.iter().any(|(_, event)| event.what == Seen::Recalled);
        let cancelling =
            if recalls { Cancelling::read(repository, work.batch().id, Requester::worker()).await? } else { None };
        let mut told_before = HashSet::new();
        for (instruction, event) in said {
            let parts = conclude::parts_of(event, instruction);
            if parts.is_empty() || parts.iter().any(|part| !conclude::is_credible(event, part, instruction)) {
                let names = std::slice::from_ref(&event.dedupe);
                let known = repository.taken_events(&instruction.rail, names).await?;
                told_before.extend(known.into_iter().map(|name| (instruction.rail.clone(), name)));
            }
        }
        Ok(Self { strays: strays.into_iter().collect(), debts, cancelling, told_before })
    }

    /// As whoever concludes needs it.
    pub(crate) fn facts<'a>(
        &'a self,
        rail: &'a RailProfile,
        (ids, dice): (&'a dyn Ids, &'a dyn Dice),
        at: Timestamp,
    ) -> Facts<'a> {
        let Self { strays, debts, cancelling, .. } = self;
        Facts { rail, strays, debts, cancelling: cancelling.as_ref(), ids, dice, at }
    }
}

/// The second write: what each answer means.
fn write_answers(
    ports: Ports<'_>,
    work: &mut BatchWork<'_>,
    heard: Vec<Heard>,
    known: &Known,
    now: Timestamp,
    looks: &mut Looks,
) -> Result<Conclusion, Contradiction> {
    let mut into = Conclusion::default();
    for Heard { before, rail, answer } in heard {
        let Some(rail) = rail else { continue };
        let facts = known.facts(&rail, (ports.ids, ports.dice), now);
        let mut instruction = before.value.clone();
        work.acts(Actor::rail(&rail.id));
        match answer {
            Answer::Said { reference, events } => {
                let was_told = events.len();
                for event in &events {
                    let is_new = !known.told_before.contains(&(rail.id.clone(), event.dedupe.clone()));
                    instruction = conclude::hear(work, &mut into, facts, instruction, event, (false, is_new))?;
                }
                // A saying that is not believed leaves us in doubt, and so does one about nothing of this.
                if was_told == 0 || instruction.is_acknowledged() {
                    instruction = conclude::acknowledge(work, &mut into, facts, instruction, reference.as_ref())?;
                }
            }
            Answer::Refused { reason, class } => {
                instruction = conclude::refused(work, &mut into, facts, instruction, (&reason, class))?;
            }
            Answer::Absent => {
                work.acts(Actor::worker());
                instruction = conclude::absent(work, &mut into, facts, instruction)?;
            }
            Answer::NotSent => instruction = instruction.not_sent(),
            Answer::Unknown => {
                work.acts(Actor::worker());
                conclude::unknown(work, &instruction, now)?;
            }
        }
        if instruction.is_open() {
            let waiting = instruction.items.iter().filter_map(|part| work.item(part.item));
            let waits_since = waiting.map(|item| item.updated_at).min().unwrap_or(instruction.first_sent_at);
            looks.at_unresolved(&instruction, waits_since, ports.dice);
        }
        conclude::write_down(&mut into, &before, instruction);
    }
    work.acts(Actor::worker());
    Ok(into)
}

#[cfg(test)]
mod tests;
