//! Delivers what the outbox holds, at least once.

use crate::ports::{EventPublisher, Outbox, StoreError};
use std::time::Duration;

/// Delivers at most `limit` events, oldest first, and remembers which. Answers how many were delivered. Stops at
/// the first that is not taken: what comes after it is not older.
///
/// # Errors
/// If the outbox cannot be used: then what was delivered is delivered again.
pub async fn relay_events(
    outbox: &dyn Outbox,
    publisher: &dyn EventPublisher,
    limit: u32,
    lease: Duration,
) -> Result<usize, StoreError> {
    let mut delivered = Vec::new();
    for event in outbox.unpublished(limit, lease).await? {
        if let Err(error) = publisher.publish(&event).await {
            tracing::warn!(event = %event.id, kind = %event.kind, error = %error, "an event was not taken; trying again");
            break;
        }
        delivered.push(event.id);
    }
    if !delivered.is_empty() {
        outbox.mark_published(&delivered).await?;
    }
    Ok(delivered.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{PublishError, repository::MockOutbox, world::MockEventPublisher};
    use domain::{
        event::{Event, EventKind},
        ids::EventId,
        timestamp::Timestamp,
    };

    fn event(n: u128) -> Event {
        Event {
            id: EventId::new(uuid::Uuid::from_u128(n)),
            kind: EventKind::RecipientUpdated,
            batch: None,
            item: None,
            occurred_at: Timestamp::from_unix_micros(0),
            data: serde_json::json!({}),
        }
    }
    fn outbox(events: Vec<Event>) -> MockOutbox {
        let mut outbox = MockOutbox::new();
        outbox.expect_unpublished().return_once(move |_, _| Ok(events));
        outbox
    }
    async fn relay(outbox: &MockOutbox, publisher: &MockEventPublisher) -> Result<usize, StoreError> {
        relay_events(outbox, publisher, 10, Duration::from_secs(1)).await
    }

    #[tokio::test]
    async fn what_was_taken_is_remembered_and_what_was_not_stays() {
        let mut outbox = outbox(vec![event(1), event(2), event(3)]);
        let mut publisher = MockEventPublisher::new();
        publisher.expect_publish().returning(|event| {
            if event.id == EventId::new(uuid::Uuid::from_u128(2)) { Err(PublishError("full".into())) } else { Ok(()) }
        });
        outbox.expect_mark_published().withf(|ids| ids == [event(1).id]).once().returning(|_| Ok(()));
        assert_eq!(relay(&outbox, &publisher).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn nothing_to_say_writes_nothing() {
        assert_eq!(relay(&outbox(vec![]), &MockEventPublisher::new()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn an_outbox_that_is_down_is_an_error() {
        let mut outbox = MockOutbox::new();
        outbox.expect_unpublished().return_once(|_, _| Err(StoreError::Unavailable("down".into())));
        assert!(relay(&outbox, &MockEventPublisher::new()).await.is_err());
    }
}
