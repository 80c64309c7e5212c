//! What is kept for a time is forgotten a few at a time, so that nobody waits long for the store.

use crate::ports::StoreError;

/// Rows forgotten with one statement.
const AT_ONCE: u32 = 500;

/// Forgets until nothing is left that was kept long enough, and says how much that was.
pub(crate) async fn a_few_at_a_time<F>(forget: impl Fn(u32) -> F) -> Result<u64, StoreError>
where
    F: Future<Output = Result<u64, StoreError>>,
{
    let mut forgotten = 0;
    loop {
        let count = forget(AT_ONCE).await?;
        forgotten += count;
        if count < u64::from(AT_ONCE) {
            return Ok(forgotten);
        }
    }
}
