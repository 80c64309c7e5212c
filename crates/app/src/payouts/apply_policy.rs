//! There is another policy: every batch that is still to be paid is looked at anew.

use super::execute_batch::{ExecuteBatchError, Ports};
use crate::{
    change::Change,
    job::{Job, Lease, LeaseStep},
};

/// Batches woken in one commit.
const PAGE: u32 = 100;

/// Wakes the job of every batch that is `scheduled` or `awaiting_approval`: its turn reads the policy.
///
/// # Errors
/// See [`ExecuteBatchError`]: the next turn starts over, which does no harm.
pub async fn apply_policy(ports: Ports<'_>, lease: Lease) -> Result<(), ExecuteBatchError> {
    let mut after = None;
    loop {
        let batches = ports.repository.batches_to_be_paid(after, PAGE).await?;
        let Some(last) = batches.last() else { break };
        after = Some(last.id);
        let now = ports.clock.now().await?;
        let wake = batches.iter().map(|batch| Job::of(batch, now)).collect();
        let lease = Some(LeaseStep::Keep(lease.clone()));
        ports.repository.commit(Change { wake, lease, ..Change::default() }).await?;
    }
    let change = Change { lease: Some(LeaseStep::Finish(lease)), ..Change::default() };
    Ok(ports.repository.commit(change).await?)
}
