//! An operator holds an item, releases it, or has what failed sent again.

use super::{
    act::{ActError, Acted, Acting},
    batch_work::BatchWork,
    conclude::Contradiction,
    plan::{destination_of, in_the_way},
};
use crate::{
    change::Change,
    job::Job,
    ports::{StoreError, rail::Preflight, repository::BatchForExecution},
};
use domain::{
    ids::{BatchId, ItemId, RecipientId},
    item::{Item, ItemStatus, ItemStep},
    recipient::{HoldReason, Recipient},
};
use std::collections::HashMap;

/// Holds an item that is scheduled, until an operator releases it.
pub(super) async fn hold_item(acting: Acting<'_>, item: ItemId) -> Result<(Acted, Change), ActError> {
    let found = acting.batch_of(item).await?;
    let mut work = BatchWork::new(found.batch, found.items, acting.actor.clone(), acting.ids);
    let status = status_of(&work, item)?;
    if status != ItemStatus::Scheduled {
        return Err(ActError::NotNow { action: "held", status });
    }
    step(&mut work, item, ItemStep::Hold(HoldReason::OperatorHold), acting)?;
    let change = work.take_change(None, acting.now);
    Ok((Acted::of(&work, &[item], Vec::new()), change))
}

/// Releases an item that is held, unless its recipient may not be paid, or cannot be: nobody releases past that, only a
/// change of the recipient does. What an operator held is free of that hold all the same, and waits for its recipient
/// from here on.
pub(super) async fn release_item(acting: Acting<'_>, item: ItemId) -> Result<(Acted, Change), ActError> {
    let found = acting.batch_of(item).await?;
    let mut work = BatchWork::new(found.batch, found.items, acting.actor.clone(), acting.ids);
    let status = status_of(&work, item)?;
    if status != ItemStatus::PendingKyc {
        return Err(ActError::NotNow { action: "released", status });
    }
    let held = work.item(item).ok_or(ActError::ItemNotFound(item))?.clone();
    let obstacle = obstacle(&held, acting).await?;
    if let Some(reason) = obstacle
        && held.state().hold_reason() != Some(HoldReason::OperatorHold)
    {
        return Err(ActError::RecipientHeld { recipient: held.recipient, reason });
    }
    step(&mut work, item, ItemStep::Release, acting)?;
    if let Some(reason) = obstacle {
        step(&mut work, item, ItemStep::Hold(reason), acting)?;
    }
    Ok((Acted::of(&work, &[item], Vec::new()), woken(&mut work, acting)))
}

/// Why a held item could not be paid if it were released now, if so. What the rail holds, the rail is asked about: whoever
/// releases it believes that the recipient has acted, and it alone knows.
async fn obstacle(held: &Item, acting: Acting<'_>) -> Result<Option<HoldReason>, StoreError> {
    let known = acting.repository.recipients(std::slice::from_ref(&held.recipient)).await?;
    let recipient = known.first().map(|stored| &stored.value);
    if let Some(reason) = in_the_way(acting.rails, held, recipient) {
        return Ok(Some(reason));
    }
    if held.state().hold_reason() != Some(HoldReason::RecipientMustAct) {
        return Ok(None);
    }
    Ok(match acting.rails.preflight(&destination_of(recipient, acting.rails)).await {
        Preflight::MustAct { .. } => Some(HoldReason::RecipientMustAct),
        Preflight::Ready | Preflight::CannotTell => None,
    })
}

/// Has an item sent again that failed or came back: by a new instruction, under a new key.
pub(super) async fn retry_item(acting: Acting<'_>, item: ItemId) -> Result<(Acted, Change), ActError> {
    let found = acting.batch_of(item).await?;
    let recipients = recipients_of(acting, &found).await?;
    let mut work = BatchWork::new(found.batch, found.items, acting.actor.clone(), acting.ids);
    let status = status_of(&work, item)?;
    if !may_be_retried(status) {
        return Err(ActError::NotNow { action: "retried", status });
    }
    retry(&mut work, item, &recipients, acting)?;
    Ok((Acted::of(&work, &[item], Vec::new()), woken(&mut work, acting)))
}

/// Has everything of a batch sent again that failed or came back.
pub(super) async fn retry_batch(acting: Acting<'_>, batch: BatchId) -> Result<(Acted, Change), ActError> {
    let found = acting.batch(batch).await?;
    let recipients = recipients_of(acting, &found).await?;
    let mut work = BatchWork::new(found.batch, found.items, acting.actor.clone(), acting.ids);
    let failed: Vec<ItemId> = work.items().filter(|item| may_be_retried(item.status())).map(|item| item.id).collect();
    if failed.is_empty() {
        return Err(ActError::NothingToDo { action: "retried", status: work.batch().status.as_str() });
    }
    for item in &failed {
        retry(&mut work, *item, &recipients, acting)?;
    }
    Ok((Acted::of(&work, &failed, Vec::new()), woken(&mut work, acting)))
}

fn may_be_retried(status: ItemStatus) -> bool {
    matches!(status, ItemStatus::Failed | ItemStatus::Returned)
}

/// Whoever may not be paid now is not sent anything: the item is held instead.
fn retry(
    work: &mut BatchWork<'_>,
    item: ItemId,
    recipients: &HashMap<RecipientId, Recipient>,
    acting: Acting<'_>,
) -> Result<(), Contradiction> {
    let failed = work.item(item);
    let obstacle = failed.and_then(|item| in_the_way(acting.rails, item, recipients.get(&item.recipient)));
    let step_taken = match obstacle {
        Some(reason) => ItemStep::RetryHeld(reason),
        None => ItemStep::Retry,
    };
    step(work, item, step_taken, acting)
}

async fn recipients_of(
    acting: Acting<'_>,
    found: &BatchForExecution,
) -> Result<HashMap<RecipientId, Recipient>, StoreError> {
    let failed = found.items.iter().map(|stored| &stored.value).filter(|item| may_be_retried(item.status()));
    let ids: Vec<RecipientId> = failed.map(|item: &Item| item.recipient.clone()).collect();
    let known = acting.repository.recipients(&ids).await?;
    Ok(known.into_iter().map(|stored| (stored.value.id.clone(), stored.value)).collect())
}

fn status_of(work: &BatchWork<'_>, item: ItemId) -> Result<ItemStatus, ActError> {
    work.item(item).map(Item::status).ok_or(ActError::ItemNotFound(item))
}

fn step(work: &mut BatchWork<'_>, item: ItemId, step: ItemStep, acting: Acting<'_>) -> Result<(), Contradiction> {
    Ok(work.step(item, step, acting.now)?)
}

/// What was moved, and the batch's job has something to do again.
fn woken(work: &mut BatchWork<'_>, acting: Acting<'_>) -> Change {
    let wake = Job::of(work.batch(), work.batch().due_at.max(acting.now));
    let mut change = work.take_change(None, acting.now);
    change.wake.push(wake);
    change
}
