//! Looks anew at what is held for a recipient: what may be paid now is scheduled, and its batch executed.

use super::{
    batch_work::BatchWork,
    conclude::Contradiction,
    execute_batch::{ExecuteBatchError, Ports},
};
use crate::{
    change::Change,
    job::{Lease, LeaseStep, Wake},
    revenue::hold,
};
use domain::{
    ids::{BatchId, ItemId, RecipientId},
    item::{ItemStatus, ItemStep},
};

/// Batches looked at in one page.
const PAGE: u32 = 32;

/// Releases what is held for a recipient who may be paid now, batch by batch.
///
/// # Errors
/// See [`ExecuteBatchError`]: the next turn goes on where this one stopped.
pub async fn release_held_items(
    ports: Ports<'_>,
    lease: Lease,
    recipient: RecipientId,
) -> Result<(), ExecuteBatchError> {
    let known = ports.repository.recipients(std::slice::from_ref(&recipient)).await?;
    if hold(known.first().map(|stored| &stored.value), ports.rails).is_none() {
        let mut after = None;
        loop {
            let batches = ports.repository.batches_held_for(&recipient, after, PAGE).await?;
            let Some(last) = batches.last() else { break };
            after = Some(*last);
            for batch in batches {
                release_in(ports, &lease, batch, &recipient).await?;
            }
        }
    }
    let change = Change { lease: Some(LeaseStep::Finish(lease)), ..Change::default() };
    Ok(ports.repository.commit(change).await?)
}

async fn release_in(
    ports: Ports<'_>,
    lease: &Lease,
    batch: BatchId,
    recipient: &RecipientId,
) -> Result<(), ExecuteBatchError> {
    let Some(found) = ports.repository.batch_for_execution(batch).await? else { return Ok(()) };
    let now = ports.clock.now().await?;
    let mut work = BatchWork::new(found.batch, found.items, ports.ids);
    let held = |item: &&domain::item::Item| item.recipient == *recipient && item.status() == ItemStatus::PendingKyc;
    let held: Vec<ItemId> = work.items().filter(held).map(|item| item.id).collect();
    for item in held {
        work.step(item, ItemStep::Release, now).map_err(Contradiction::from)?;
    }
    let run_at = work.batch().execute_at.map_or(now, |at| at.max(now));
    let wake = Wake { job: work.batch().job, run_at };
    let mut change = work.take_change(LeaseStep::Keep(lease.clone()), now);
    change.wake.push(wake);
    Ok(ports.repository.commit(change).await?)
}
