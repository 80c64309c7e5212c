//! Keys are not kept for ever.

use crate::{
    forget::a_few_at_a_time,
    ports::{IdempotencyKeys, StoreError},
};
use std::time::Duration;

/// How long a key is kept at least: 30 days are promised.
pub const KEPT: Duration = Duration::from_secs(31 * 24 * 3_600);

/// Forgets every key that was kept long enough, and says how many those were.
///
/// # Errors
/// [`StoreError`]. What was forgotten before is forgotten.
pub async fn forget_old_keys(keys: &dyn IdempotencyKeys) -> Result<u64, StoreError> {
    a_few_at_a_time(|limit| keys.forget(KEPT, limit)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixtures::down, ports::idempotency::MockIdempotencyKeys};

    #[tokio::test]
    async fn all_old_keys_are_forgotten_a_few_at_a_time_after_30_days_at_least() {
        assert!(KEPT >= Duration::from_secs(30 * 24 * 3_600));
        let mut keys = MockIdempotencyKeys::new();
        let mut old = 1_100_u64;
        keys.expect_forget().times(3).returning(move |age, limit| {
            assert_eq!(age, KEPT);
            let count = old.min(u64::from(limit));
            old -= count;
            Ok(count)
        });
        assert_eq!(forget_old_keys(&keys).await.unwrap(), 1_100);
    }

    #[tokio::test]
    async fn a_store_that_is_down_is_told() {
        let mut keys = MockIdempotencyKeys::new();
        keys.expect_forget().returning(|_, _| Err(down()));
        assert!(forget_old_keys(&keys).await.is_err());
    }
}
