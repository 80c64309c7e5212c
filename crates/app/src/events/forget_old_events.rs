//! Events that were delivered are not kept for ever.
//!
//! What happened stays in the audit log and in the ledger. Alarms stay, for a person may still be needed, and whether a
//! rail is paused is told by the last of them.

use crate::{
    forget::a_few_at_a_time,
    ports::{Outbox, StoreError},
};
use std::time::Duration;

/// Forgets every event that was delivered and was `kept` long enough, and says how many those were.
///
/// # Errors
/// [`StoreError`]. What was forgotten before is forgotten.
pub async fn forget_old_events(outbox: &dyn Outbox, kept: Duration) -> Result<u64, StoreError> {
    a_few_at_a_time(|limit| outbox.forget(kept, limit)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixtures::down, ports::repository::MockOutbox};

    #[tokio::test]
    async fn all_that_were_delivered_long_enough_ago_are_forgotten_a_few_at_a_time() {
        let (mut outbox, kept) = (MockOutbox::new(), Duration::from_secs(60));
        let counts = std::sync::Mutex::new(vec![0, 500]);
        outbox.expect_forget().times(2).returning(move |age, limit| {
            assert_eq!((age, limit), (kept, 500));
            Ok(counts.lock().unwrap().pop().unwrap())
        });
        assert_eq!(forget_old_events(&outbox, kept).await.unwrap(), 500);
    }

    #[tokio::test]
    async fn a_store_that_is_down_is_told() {
        let mut outbox = MockOutbox::new();
        outbox.expect_forget().returning(|_, _| Err(down()));
        assert!(forget_old_events(&outbox, Duration::ZERO).await.is_err());
    }
}
