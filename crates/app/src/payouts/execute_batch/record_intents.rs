//! Writes down what is about to be sent, and holds what cannot be.

use super::{
    ExecuteBatchError, Ports, SLICE_ITEMS_MAX, by_rail,
    look_again::{LOOK_AGAIN, Looks},
};
use crate::{
    change::{New, Stored, Update},
    job::{Lease, LeaseStep},
    payouts::{
        batch_work::BatchWork,
        conclude::{self, Contradiction},
        plan::{Plan, destination_of, in_the_way},
    },
    ports::{
        PayoutRail, PayoutRepository, Rails, StoreError,
        rail::{Order, Preflight},
    },
};
use domain::{
    approval::destination_hash,
    currency::Currency,
    ids::{InstructionId, ItemId, RecipientId, TransactionId},
    instruction::{Instruction, InstructionItem},
    item::{Item, ItemStatus, ItemStep},
    ledger::{Transaction, postings},
    money::Money,
    recipient::{HoldReason, RailId, Recipient},
    timestamp::Timestamp,
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The first write: everything that is about to be sent. Answers it as it stands after the commit.
pub(super) async fn record_intents(
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
            looks.note_how_long(work, &before.value);
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
pub(super) fn due_now<'w>(work: &'w BatchWork<'_>, plan: &'w Plan, now: Timestamp) -> impl Iterator<Item = &'w Item> {
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
            // Nobody has said yes to what is released just now, or to where it would go by now: the next turn knows
            // whether anybody must.
            Ok(order) if !plan.is_cleared_for(work.batch(), &item, &order.destination) => {
                if is_held {
                    work.step(item.id, ItemStep::Release, now).map_err(Contradiction::from)?;
                }
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
        let preflight = ports.rails.preflight(&order.destination).await;
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
    if let Some(reason) = in_the_way(rails, item, recipient) {
        return Err(reason);
    }
    let destination = destination_of(recipient, rails);
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
