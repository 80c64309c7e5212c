//! Doing a job that was claimed, and giving back what could not be done; or a whole turn of them.

use super::{
    apply_policy::apply_policy,
    escheat_items::escheat_items,
    execute_batch::{ExecuteBatchError, Ports, execute_batch},
    pay_carried::pay_carried_if_enough,
    release_held_items::release_held_items,
};
use crate::{
    failure::Failure,
    job::{Claimed, JobKind, Lease},
    ports::{CommitError, JobQueue, StoreError},
    revenue::finish_reversal::finish_reversal,
};
use futures_util::future::join_all;
use std::time::Duration;

/// Longest time before a job that failed is tried again.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// A turn, for whoever works by turns and not by places: claims at most `limit` jobs for `lease` and does them side by
/// side. Answers how many were claimed. Stories, models and the simulation do so; the service claims whenever a place is
/// free and goes on with [`do_job`].
///
/// # Errors
/// If no job can be claimed. A job that cannot be done is given back and logged; it never stops its neighbours.
pub async fn do_jobs(ports: Ports<'_>, queue: &dyn JobQueue, limit: u32, lease: Duration) -> Result<usize, StoreError> {
    // By this machine's own count, from before the claim: a lease is never longer here than the database means it.
    let lease_ends = ports.clock.steady() + lease;
    let ports = Ports { lease_ends, ..ports };
    let claimed = queue.claim(limit, lease).await?;
    let count = claimed.len();
    join_all(claimed.into_iter().map(|claimed| do_job(ports, queue, claimed))).await;
    Ok(count)
}

/// Does one job that was claimed. One that cannot be done is given back and logged.
pub async fn do_job(ports: Ports<'_>, queue: &dyn JobQueue, claimed: Claimed) {
    let Claimed { lease, kind } = claimed;
    let done = match kind.clone() {
        JobKind::ExecuteBatch(batch) => execute_batch(ports, lease.clone(), batch).await,
        JobKind::ReleaseHeldItems(recipient) => release_held_items(ports, lease.clone(), recipient).await,
        JobKind::PayCarried(recipient) => pay_carried_if_enough(ports, lease.clone(), recipient).await,
        JobKind::FinishReversal(reversal) => finish_reversal(ports, lease.clone(), reversal).await,
        JobKind::EscheatItems(batch) => escheat_items(ports, lease.clone(), batch).await,
        JobKind::ApplyPolicy(_) => apply_policy(ports, lease.clone()).await,
    };
    if let Err(error) = done {
        give_back(queue, &lease, &kind, &error).await;
    }
}

async fn give_back(queue: &dyn JobQueue, lease: &Lease, kind: &JobKind, error: &ExecuteBatchError) {
    let (job, kind, subject, attempt) = (lease.job.to_string(), kind.as_str(), kind.subject(), lease.attempt);
    let delay = match error {
        // Somebody else does it.
        ExecuteBatchError::Commit(CommitError::LeaseLost) => {
            tracing::warn!(job, kind, subject, attempt, "lost the lease of a job");
            return;
        }
        // Somebody else was faster with a part of it: look again.
        ExecuteBatchError::Commit(CommitError::Stale | CommitError::Duplicate(_)) => Duration::ZERO,
        ExecuteBatchError::Commit(CommitError::Store(_) | CommitError::Unclear(_))
        | ExecuteBatchError::Contradiction(_) => {
            Duration::from_secs(1).saturating_mul(1 << lease.attempt.min(6)).min(DELAY_MAX)
        }
    };
    if error.class().may_succeed_later() {
        tracing::warn!(job, kind, subject, attempt, error = ?error, "could not do a job; trying again");
    } else {
        tracing::error!(job, kind, subject, attempt, error = ?error, "a job contradicts itself; trying again");
    }
    if let Err(error) = queue.release(lease, delay).await {
        tracing::warn!(job, error = ?error, "could not give a job back; its lease will run out");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, batch_id, down, lease, ports, rail, rails},
        payouts::gate::Gates,
        ports::repository::{MockJobQueue, MockPayoutRepository},
    };

    fn queue(claimed: usize) -> MockJobQueue {
        let mut queue = MockJobQueue::new();
        let job = Claimed { lease: lease(), kind: JobKind::ExecuteBatch(batch_id()) };
        queue.expect_claim().return_once(move |_, _| Ok(vec![job; claimed]));
        queue
    }
    async fn work(repository: &MockPayoutRepository, queue: &MockJobQueue) -> Result<usize, StoreError> {
        let (ids, rails) = (Counting::default(), rails(rail("simulator", true)));
        do_jobs(ports(repository, &rails, &Gates::default(), &ids), queue, 8, Duration::from_secs(15)).await
    }
    /// A repository whose commits end like this.
    fn ending(refusal: impl Fn() -> CommitError + Send + 'static) -> MockPayoutRepository {
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_for_execution().returning(|_| Ok(None));
        repository.expect_commit().returning(move |_| Err(refusal()));
        repository
    }

    #[tokio::test]
    async fn jobs_are_done_and_counted() {
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_for_execution().times(3).returning(|_| Ok(None));
        repository.expect_commit().times(3).returning(|_| Ok(()));
        assert_eq!(work(&repository, &queue(3)).await.unwrap(), 3);
        assert_eq!(work(&MockPayoutRepository::new(), &queue(0)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_done_is_given_back_later_or_at_once_if_somebody_was_faster() {
        let given_back_after = |seconds: u64| {
            let mut queue = queue(1);
            let delay = Duration::from_secs(seconds);
            queue.expect_release().once().withf(move |_, after| *after == delay).returning(|_, _| Ok(()));
            queue
        };
        work(&ending(|| down().into()), &given_back_after(2)).await.unwrap();
        work(&ending(|| CommitError::Unclear("?".into())), &given_back_after(2)).await.unwrap();
        work(&ending(|| CommitError::Stale), &given_back_after(0)).await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_lease_is_somebody_elses() {
        // A queue that expects no release.
        assert_eq!(work(&ending(|| CommitError::LeaseLost), &queue(1)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_queue_that_is_down_is_an_error_and_one_that_cannot_take_a_job_back_is_not() {
        let mut dead = MockJobQueue::new();
        dead.expect_claim().return_once(|_, _| Err(down()));
        assert!(work(&MockPayoutRepository::new(), &dead).await.is_err());

        let mut half_dead = queue(1);
        half_dead.expect_release().returning(|_, _| Err(down()));
        assert_eq!(work(&ending(|| down().into()), &half_dead).await.unwrap(), 1);
    }
}
