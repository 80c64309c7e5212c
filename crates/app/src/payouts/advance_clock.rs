//! Days pass, for tests and for people who try things out.

use super::act::Acting;
use crate::{
    change::Change,
    ports::{CommitError, TestClock},
};
use domain::timestamp::Timestamp;
use serde_json::json;
use std::time::Duration;

/// Moves the clock of everybody forward. Answers how late it is then.
///
/// # Errors
/// If the store cannot be used.
pub async fn advance_clock(acting: Acting<'_>, clock: &dyn TestClock, by: Duration) -> Result<Timestamp, CommitError> {
    let now = clock.advance(by).await?;
    let entry = acting.audit(
        "clock.advance",
        "clock",
        Some(json!({ "now": acting.now.to_string() })),
        Some(json!({ "now": now.to_string() })),
    );
    acting.repository.commit(Change { audit: vec![entry], ..Change::default() }).await?;
    Ok(now)
}
