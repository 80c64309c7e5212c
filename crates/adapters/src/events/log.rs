//! Events as structured log lines.

use app::ports::{EventPublisher, PublishError};
use async_trait::async_trait;
use domain::event::Event;

/// Writes each event as one line of the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogPublisher;

#[async_trait]
impl EventPublisher for LogPublisher {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        tracing::info!(target: "disburse::events", id = %event.id, kind = %event.kind, data = %event.data, "event");
        Ok(())
    }
}
