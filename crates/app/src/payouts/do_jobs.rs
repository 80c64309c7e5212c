//! The worker's turn: claim jobs, do each, give back what could not be done.

use super::{
    execute_batch::{ExecuteBatchError, Ports, execute_batch},
    release_held_items::release_held_items,
};
use crate::{
    failure::Failure,
    job::{Claimed, JobKind, Lease},
    ports::{CommitError, JobQueue, StoreError},
};
use futures_util::future::join_all;
use std::time::Duration;

/// Longest time before a job that failed is tried again.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// Claims at most `limit` jobs for `lease` and does them side by side. Answers how many were claimed.
///
/// # Errors
/// If no job can be claimed. A job that cannot be done is given back and logged; it never stops its neighbours.
pub async fn do_jobs(ports: Ports<'_>, queue: &dyn JobQueue, limit: u32, lease: Duration) -> Result<usize, StoreError> {
    let claimed = queue.claim(limit, lease).await?;
    let count = claimed.len();
    join_all(claimed.into_iter().map(|claimed| do_one(ports, queue, claimed))).await;
    Ok(count)
}

async fn do_one(ports: Ports<'_>, queue: &dyn JobQueue, claimed: Claimed) {
    let Claimed { lease, kind } = claimed;
    let done = match kind.clone() {
        JobKind::ExecuteBatch(batch) => execute_batch(ports, lease.clone(), batch).await,
        JobKind::ReleaseHeldItems(recipient) => release_held_items(ports, lease.clone(), recipient).await,
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
        tracing::warn!(job, kind, subject, attempt, error = %error, "could not do a job; trying again");
    } else {
        tracing::error!(job, kind, subject, attempt, error = %error, "a job contradicts itself; trying again");
    }
    if let Err(error) = queue.release(lease, delay).await {
        tracing::warn!(job, error = %error, "could not give a job back; its lease will run out");
    }
}
