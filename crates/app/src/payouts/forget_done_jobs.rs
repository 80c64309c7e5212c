//! Jobs that are done are not kept for ever.
//!
//! Nothing is lost with one: what a batch is and what became of it is told by its own rows, and whoever has something to
//! do about it later (a return, a retry, a cancellation) makes its job anew by waking it.

use crate::{
    forget::a_few_at_a_time,
    ports::{JobQueue, StoreError},
};
use std::time::Duration;

/// Forgets every job that is done and was `kept` long enough, and says how many those were.
///
/// # Errors
/// [`StoreError`]. What was forgotten before is forgotten.
pub async fn forget_done_jobs(queue: &dyn JobQueue, kept: Duration) -> Result<u64, StoreError> {
    a_few_at_a_time(|limit| queue.forget(kept, limit)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixtures::down, ports::repository::MockJobQueue};

    #[tokio::test]
    async fn all_that_were_done_long_enough_ago_are_forgotten_a_few_at_a_time() {
        let (mut queue, kept) = (MockJobQueue::new(), Duration::from_secs(60));
        let counts = std::sync::Mutex::new(vec![7, 500, 500]);
        queue.expect_forget().times(3).returning(move |age, limit| {
            assert_eq!((age, limit), (kept, 500));
            Ok(counts.lock().unwrap().pop().unwrap())
        });
        assert_eq!(forget_done_jobs(&queue, kept).await.unwrap(), 1_007);
    }

    #[tokio::test]
    async fn a_store_that_is_down_is_told() {
        let mut queue = MockJobQueue::new();
        queue.expect_forget().returning(|_, _| Err(down()));
        assert!(forget_done_jobs(&queue, Duration::ZERO).await.is_err());
    }
}
