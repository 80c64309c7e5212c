//! Pays what is scheduled in a batch, and finds out what became of what was sent.
//!
//! Always write, call, write: the intent (instruction, items, postings) is committed before a rail is called,
//! and the answer after. Whoever finds an instruction already sent asks the rail first, and only inside the
//! rail's replay window sends the same bytes under the same key once more. One turn handles a slice of the
//! batch, so that a large one neither outlives its lease nor starves its neighbours.

use super::{
    batch_work::BatchWork,
    conclude::{Answer, Contradiction, conclude},
};
use crate::{
    change::{Change, New, Stored, Update},
    failure::{Class, Failure},
    job::{Lease, LeaseStep},
    ports::{
        Clock, CommitError, Ids, PayoutRail, PayoutRepository, Rails, StoreError,
        rail::{Order, RailProfile},
    },
    revenue::hold,
};
use domain::{
    currency::Currency,
    ids::{BatchId, InstructionId, RecipientId, TransactionId},
    instruction::{Instruction, InstructionItem},
    item::{Item, ItemStatus, ItemStep},
    ledger::{Transaction, postings},
    money::Money,
    recipient::{Destination, HoldReason, RailId, Recipient},
    timestamp::Timestamp,
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// Most items that one turn sends or asks about.
pub const SLICE_ITEMS_MAX: usize = 64;
/// Shortest and longest time before an unresolved instruction is looked at again.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

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
    /// Names.
    pub ids: &'a dyn Ids,
    /// Time.
    pub clock: &'a dyn Clock,
}

/// One turn: see the module.
///
/// # Errors
/// See [`ExecuteBatchError`].
pub async fn execute_batch(ports: Ports<'_>, lease: Lease, batch: BatchId) -> Result<(), ExecuteBatchError> {
    let now = ports.clock.now().await?;
    let Some(found) = ports.repository.batch_for_execution(batch).await? else {
        let change = Change { lease: Some(LeaseStep::Finish(lease)), ..Change::default() };
        return Ok(ports.repository.commit(change).await?);
    };
    let mut work = BatchWork::new(found.batch, found.items, ports.ids);
    let not_asked = found.unresolved.len().saturating_sub(SLICE_ITEMS_MAX);

    let Asked { mut answers, again } = ask(ports, found.unresolved, now).await;
    let sending = record_intents(ports, &mut work, again, &lease, now).await?;
    answers.extend(submit(ports, sending).await);

    let now = ports.clock.now().await?;
    let mut posted = Vec::new();
    let mut concluded = Vec::new();
    let mut unresolved_since = None::<Timestamp>;
    for (instruction, answer) in answers {
        let first_sent_at = instruction.value.first_sent_at;
        let (known, transactions) = conclude(&mut work, instruction, answer, ports.ids, now)?;
        match known {
            Some(instruction) => concluded.push(Update::Instruction(instruction)),
            // The youngest decides when we look again.
            None => unresolved_since = unresolved_since.max(Some(first_sent_at)),
        }
        posted.extend(transactions);
    }
    let step = match next_look(&work, not_asked, unresolved_since, now) {
        Some(at) => LeaseStep::Again(lease, at),
        None => LeaseStep::Finish(lease),
    };
    let mut change = work.take_change(step, now);
    change.update.extend(concluded);
    change.post.extend(posted);
    Ok(ports.repository.commit(change).await?)
}

/// When to look again: at once while something is still to be sent, later while an outcome is not known, never if
/// all is done. The wait grows with the age of the instruction, so it doubles from look to look.
fn next_look(
    work: &BatchWork<'_>,
    not_asked: usize,
    unresolved_since: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    // What was just put on hold is looked at once more: its recipient may have been released after we read them and
    // before the hold was committed, and nobody else would look again.
    if work.has_held() || work.items().any(|item| item.status() == ItemStatus::Scheduled) {
        return Some(now);
    }
    match unresolved_since {
        Some(since) => Some(now.after(now.since(since).clamp(LOOK_AGAIN.0, LOOK_AGAIN.1))),
        None => (not_asked > 0).then_some(now),
    }
}

/// What the rails said of instructions found sent.
struct Asked {
    /// Those with an answer to be written down.
    answers: Vec<(Stored<Instruction>, Answer)>,
    /// Those to be sent again, same bytes and key.
    again: Vec<Stored<Instruction>>,
}

/// Asks the rails what became of instructions found sent.
async fn ask(ports: Ports<'_>, unresolved: Vec<Stored<Instruction>>, now: Timestamp) -> Asked {
    let slice = in_turns(unresolved, now).into_iter().take(SLICE_ITEMS_MAX);
    let asked = join_all(slice.map(|instruction| async {
        let (answer, replayable) = match ports.rails.get(&instruction.value.rail) {
            Some(rail) => {
                (rail.query(&instruction.value).await.into(), may_replay(&rail.profile(), &instruction.value, now))
            }
            None => (Answer::Unknown, false),
        };
        (instruction, answer, replayable)
    }));
    let mut result = Asked { answers: Vec::new(), again: Vec::new() };
    for (instruction, answer, replayable) in asked.await {
        if replayable && answer == Answer::Unknown {
            result.again.push(instruction);
        } else {
            result.answers.push((instruction, answer));
        }
    }
    result
}

/// More than fit into a slice take turns: those that stay unresolved must not keep the others from being asked for.
fn in_turns(mut unresolved: Vec<Stored<Instruction>>, now: Timestamp) -> Vec<Stored<Instruction>> {
    if unresolved.len() > SLICE_ITEMS_MAX {
        let first = usize::try_from(now.unix_micros().unsigned_abs()).unwrap_or_default() % unresolved.len();
        unresolved.rotate_left(first);
    }
    unresolved
}

fn may_replay(profile: &RailProfile, instruction: &Instruction, now: Timestamp) -> bool {
    profile.replay_window.is_none_or(|window| now.since(instruction.first_sent_at) < window)
}

/// The first write: everything that is about to be sent. Answers it as it stands after the commit.
async fn record_intents(
    ports: Ports<'_>,
    work: &mut BatchWork<'_>,
    again: Vec<Stored<Instruction>>,
    lease: &Lease,
    now: Timestamp,
) -> Result<Vec<Stored<Instruction>>, ExecuteBatchError> {
    let mut sending = Vec::new();
    let mut updates = Vec::new();
    for instruction in again {
        let instruction = instruction.try_map(|found| found.try_again(now)).map_err(Contradiction::from)?;
        updates.push(Update::Instruction(instruction.clone()));
        sending.push(Stored { revision: instruction.revision + 1, value: instruction.value });
    }
    let (fresh, posted) = new_instructions(ports, work, now).await?;
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
    now: Timestamp,
) -> Result<(Vec<Instruction>, Vec<Transaction>), ExecuteBatchError> {
    let mut by_rail: BTreeMap<RailId, Vec<(Item, Order)>> = BTreeMap::new();
    for (item, order) in due(ports, work, now).await? {
        by_rail.entry(order.destination.rail.clone()).or_default().push((item, order));
    }
    let mut instructions = Vec::new();
    let mut posted = Vec::new();
    for (rail, orders) in by_rail {
        let Some(rail) = ports.rails.get(&rail) else { continue };
        let grain = usize::try_from(rail.profile().items_max).unwrap_or(1).max(1);
        for group in orders.chunks(grain) {
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

/// What is sent in this turn. What may not be sent is put on hold; what was on hold and may be sent by now is
/// released, here and not only when the recipient changes: they may have changed just before the hold was committed.
async fn due(
    ports: Ports<'_>,
    work: &mut BatchWork<'_>,
    now: Timestamp,
) -> Result<Vec<(Item, Order)>, ExecuteBatchError> {
    let scheduled = work.items().filter(|item| item.status() == ItemStatus::Scheduled).take(SLICE_ITEMS_MAX);
    let candidates: Vec<Item> = scheduled.chain(work.items().filter(|item| may_be_released(item))).cloned().collect();
    let recipients = known_recipients(ports.repository, &candidates).await?;
    let mut due = Vec::new();
    for item in candidates {
        let is_held = item.status() == ItemStatus::PendingKyc;
        match order(ports.rails, &item, recipients.get(&item.recipient), work.batch().currency) {
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

/// Whether the reason of the hold can be gone without anybody having said so.
fn may_be_released(item: &Item) -> bool {
    item.state().hold_reason().is_some_and(|reason| reason != HoldReason::InstructionImpossible)
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
    let destination =
        recipient.map_or_else(|| Destination::bare(rails.default_id().clone()), |known| known.destination.clone());
    let rail = rails.get(&destination.rail).ok_or(HoldReason::DestinationUnusable)?;
    rail.check(&destination).map_err(|_| HoldReason::DestinationUnusable)?;
    Ok(Order {
        item: item.id,
        wire_ref: item.id.digits(),
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
    let orders: Vec<Order> = group.iter().map(|(_, order)| order.clone()).collect();
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
    let part = |(item, order): &(Item, Order)| InstructionItem {
        item: item.id,
        wire_ref: order.wire_ref.clone(),
        amount_minor: order.amount.amount_minor,
    };
    let parts = group.iter().map(part).collect();
    let (batch, currency) = (work.batch().id, work.batch().currency);
    Ok(Some(Instruction::record(id, batch, rail.profile().id, currency, parts, generation, body, now)))
}

/// Calls the rails. Nothing is written here.
async fn submit(ports: Ports<'_>, sending: Vec<Stored<Instruction>>) -> Vec<(Stored<Instruction>, Answer)> {
    let calls = sending.into_iter().map(|instruction| async {
        let answer = match ports.rails.get(&instruction.value.rail) {
            Some(rail) => rail.submit(&instruction.value).await.into(),
            None => Answer::NotSent,
        };
        (instruction, answer)
    });
    join_all(calls).await
}

#[cfg(test)]
mod tests;
