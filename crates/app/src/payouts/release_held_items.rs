//! Looks anew at what is held for a recipient: what may be paid now is scheduled, and its batch executed.

use super::{
    batch_work::BatchWork,
    conclude::Contradiction,
    execute_batch::{ExecuteBatchError, Ports},
};
use crate::{
    change::Change,
    job::{Job, Lease, LeaseStep},
    revenue::hold,
};
use domain::{
    audit::Actor,
    ids::{BatchId, ItemId, RecipientId},
    item::ItemStep,
    recipient::HoldReason,
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
    // Somebody who is registered is no placeholder; of whoever is not, nothing is released here.
    if hold(known.first().map(|stored| &stored.value), true, ports.rails).is_none() {
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
    let mut work = BatchWork::new(found.batch, found.items, Actor::worker(), ports.ids);
    // What an operator holds, an operator releases.
    let held = |item: &&domain::item::Item| {
        let reason = item.state().hold_reason();
        item.recipient == *recipient && reason.is_some_and(|reason| reason != HoldReason::OperatorHold)
    };
    let held: Vec<ItemId> = work.items().filter(held).map(|item| item.id).collect();
    for item in held {
        work.step(item, ItemStep::Release, now).map_err(Contradiction::from)?;
    }
    let wake = Job::of(work.batch(), work.batch().due_at.max(now));
    let mut change = work.take_change(LeaseStep::Keep(lease.clone()), now);
    change.wake.push(wake);
    Ok(ports.repository.commit(change).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        change::Update,
        fixtures::{Counting, batch_id, down, found, item, lease, now, ports, rail, rails, recipient},
        job::JobKind,
        payouts::gate::Gates,
        ports::repository::MockPayoutRepository,
    };
    use domain::{
        item::ItemStatus,
        recipient::{HoldReason, RecipientStatus},
    };

    fn repository(status: RecipientStatus) -> MockPayoutRepository {
        let mut repository = MockPayoutRepository::new();
        repository.expect_recipients().returning(move |_| Ok(vec![recipient("rec_0", status)]));
        repository
    }
    async fn release(repository: &MockPayoutRepository) -> Result<(), ExecuteBatchError> {
        let (ids, rails) = (Counting::default(), rails(rail("simulator", true)));
        release_held_items(ports(repository, &rails, &Gates::default(), &ids), lease(), "rec_0".parse().unwrap()).await
    }

    #[tokio::test]
    async fn what_is_held_for_somebody_who_may_be_paid_now_is_scheduled_and_its_batch_woken() {
        let mut repository = repository(RecipientStatus::Active);
        repository
            .expect_batches_held_for()
            .returning(|_, after, _| Ok(if after.is_none() { vec![batch_id()] } else { vec![] }));
        let held = Some(HoldReason::RecipientPending);
        repository.expect_batch_for_execution().returning(move |_| Ok(Some(found(vec![item(0, held), item(1, held)]))));
        let mut commits = 0;
        repository.expect_commit().times(2).returning(move |change| {
            commits += 1;
            if commits == 1 {
                let released: Vec<_> = change
                    .update
                    .iter()
                    .filter_map(|update| if let Update::Item(item) = update { Some(&item.value) } else { None })
                    .collect();
                assert_eq!(released.len(), 1, "only this recipient's");
                assert_eq!(released[0].status(), ItemStatus::Scheduled);
                let kind = JobKind::ExecuteBatch(batch_id());
                assert_eq!(change.wake, [Job { id: lease().job, kind, run_at: now() }]);
                assert_eq!(change.lease, Some(LeaseStep::Keep(lease())));
            } else {
                assert_eq!(change.lease, Some(LeaseStep::Finish(lease())));
            }
            Ok(())
        });
        release(&repository).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_held_for_somebody_who_may_still_not_be_paid_stays() {
        for status in [RecipientStatus::Pending, RecipientStatus::Blocked, RecipientStatus::Placeholder] {
            let mut repository = repository(status);
            repository.expect_commit().once().returning(|change| {
                assert!(change.update.is_empty() && change.wake.is_empty());
                Ok(())
            });
            release(&repository).await.unwrap();
        }
    }

    #[tokio::test]
    async fn every_failure_of_the_store_ends_the_turn() {
        let mut dead = MockPayoutRepository::new();
        dead.expect_recipients().returning(|_| Err(down()));
        assert!(release(&dead).await.is_err());

        let mut dead = repository(RecipientStatus::Active);
        dead.expect_batches_held_for().returning(|_, _, _| Err(down()));
        assert!(release(&dead).await.is_err());
    }
}
