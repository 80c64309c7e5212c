//! What nobody claims is let go of, if the model says so: the others of its batch get it, or the platform.

use super::{
    batch_work::BatchWork,
    conclude::Contradiction,
    execute_batch::{ExecuteBatchError, Ports},
    schedule_payouts::days,
};
use crate::{
    change::{Cause, Change, Count, Escheat, New, Reason},
    job::{Job, JobKind, Lease, LeaseStep},
    ports::repository::BatchForReversal,
    revenue::hold,
};
use domain::{
    apportion::apportion,
    audit::Actor,
    counter::CounterKey,
    ids::{BatchId, JobId, RecipientId, TransactionId},
    item::{Item, ItemStatus, ItemStep},
    ledger::postings,
    recipient::HoldReason,
    revenue_model::{Settlement, spec::Fallback},
    timestamp::Timestamp,
};
use std::collections::{BTreeMap, HashSet};

/// Lets go of what has been held for too long in a batch; looks again while anything can still become that.
///
/// # Errors
/// See [`ExecuteBatchError`]: the next turn goes on where this one stopped.
pub async fn escheat_items(ports: Ports<'_>, lease: Lease, batch: BatchId) -> Result<(), ExecuteBatchError> {
    let finish = Change { lease: Some(LeaseStep::Finish(lease.clone())), ..Change::default() };
    let found = ports.repository.batch_for_reversal(batch).await?;
    let settlement =
        found.as_ref().and_then(|found| found.model.as_ref()?.model().ok()).map(|model| model.settlement());
    let (Some(found), Some(settlement)) = (found, settlement) else {
        return Ok(ports.repository.commit(finish).await?);
    };
    let now = ports.clock.now().await?;
    let held: Vec<Item> =
        found.items.iter().map(|item| &item.value).filter(|item| is_unclaimed(item)).cloned().collect();
    let due_at = |item: &Item| item.updated_at.after(days(settlement.escheat_after_days));
    let (due, later): (Vec<Item>, Vec<Item>) = held.into_iter().partition(|item| due_at(item) <= now);
    let claimed = may_be_paid(ports, &due).await?;

    let mut parts = Parts::default();
    let mut work = BatchWork::new(found.batch.clone(), found.items.clone(), Actor::worker(), ports.ids);
    for item in due {
        if claimed.contains(&item.recipient) {
            // They came in time: their job is on its way.
            parts.waiting.push(());
            continue;
        }
        let_go(&found, settlement, item, &mut work, &mut parts, (ports, now))?;
    }
    let again = later.iter().map(due_at).chain(parts.waiting.iter().map(|()| now.after(days(1)))).min();
    let may_be_held_later = work.items().any(|item| !item.status().is_final() && !is_unclaimed(item));
    let step = match again.or(may_be_held_later.then(|| now.after(days(1)))) {
        Some(at) => LeaseStep::Again(lease, at),
        None => LeaseStep::Finish(lease),
    };
    let mut change = work.take_change(step, now);
    for recipient in parts.counts.keys() {
        // It may be enough by now to be paid without a release.
        let kind = JobKind::PayCarried(recipient.clone());
        change.enqueue.push(Job { id: JobId::new(ports.ids.fresh()), kind, run_at: now });
    }
    change.count.extend(parts.counts.into_values());
    change.insert.extend(parts.escheats.into_iter().map(New::Escheat));
    change.post.extend(parts.posted);
    Ok(ports.repository.commit(change).await?)
}

/// Those of the recipients who may be paid by now.
async fn may_be_paid(ports: Ports<'_>, items: &[Item]) -> Result<HashSet<RecipientId>, ExecuteBatchError> {
    let ids: Vec<RecipientId> = items.iter().map(|item| item.recipient.clone()).collect();
    let known = if ids.is_empty() { Vec::new() } else { ports.repository.recipients(&ids).await? };
    let free = known.into_iter().filter(|stored| hold(Some(&stored.value), false, ports.rails).is_none());
    Ok(free.map(|stored| stored.value.id).collect())
}

/// What the letting go of several items comes to.
#[derive(Default)]
struct Parts {
    counts: BTreeMap<RecipientId, Count>,
    escheats: Vec<Escheat>,
    posted: Vec<domain::ledger::Transaction>,
    /// Items that wait: nobody can take them now, or their recipient is about to.
    waiting: Vec<()>,
}

/// Held because of who the recipient is, not because of how they are paid.
fn is_unclaimed(item: &Item) -> bool {
    item.state().hold_reason().is_some_and(|reason| match reason {
        HoldReason::RecipientPending
        | HoldReason::RecipientBlocked
        | HoldReason::RecipientPlaceholder
        | HoldReason::RecipientUnregistered => true,
        HoldReason::DestinationUnusable
        | HoldReason::InstructionImpossible
        | HoldReason::RecipientMustAct
        | HoldReason::OperatorHold => false,
    })
}

fn let_go(
    found: &BatchForReversal,
    settlement: Settlement,
    item: Item,
    work: &mut BatchWork<'_>,
    parts: &mut Parts,
    (ports, now): (Ports<'_>, Timestamp),
) -> Result<(), Contradiction> {
    let batch = &found.batch.value;
    let (others, platform_minor) = match settlement.fallback {
        Fallback::RemainHeld => return Ok(()),
        Fallback::Platform => (Vec::new(), item.due_minor()),
        Fallback::ReleaseProRata => match shares_of_others(found, &item) {
            Some(others) => (others, 0),
            None => {
                parts.waiting.push(());
                return Ok(());
            }
        },
    };
    let id = TransactionId::new(ports.ids.fresh());
    parts.posted.push(postings::escheated(id, batch, &item, &others, platform_minor, now)?);
    let released_minor = item.due_minor() - platform_minor;
    parts.escheats.push(Escheat { item: item.id, batch: batch.id, platform_minor, released_minor, at: now });
    for (recipient, add) in others {
        let key = CounterKey::carried(&recipient, batch.currency);
        let cause =
            Cause { batch: batch.id, reversal: None, recipient: Some(recipient.clone()), reason: Reason::Escheat };
        parts.counts.entry(recipient).or_insert(Count { key, seen: None, add: 0, cause }).add += add;
    }
    work.step(item.id, ItemStep::Cancel, now)?;
    Ok(())
}

/// The others of the batch, in proportion to their net amounts; nobody, if all of them are held as well.
fn shares_of_others(found: &BatchForReversal, item: &Item) -> Option<Vec<(RecipientId, i64)>> {
    let held: HashSet<&RecipientId> = found
        .items
        .iter()
        .filter(|other| matches!(other.value.status(), ItemStatus::PendingKyc | ItemStatus::Cancelled))
        .map(|other| &other.value.recipient)
        .collect();
    let others: Vec<_> =
        found.lines.iter().filter(|line| line.net_minor() > 0 && !held.contains(&line.recipient)).collect();
    let weights: Vec<u64> = others.iter().map(|line| line.net_minor().unsigned_abs()).collect();
    let shares = apportion(item.due_minor(), &weights).ok()?;
    let shares = others.iter().zip(&shares).filter(|(_, share)| share.value > 0);
    Some(shares.map(|(line, share)| (line.recipient.clone(), share.value)).collect())
}
