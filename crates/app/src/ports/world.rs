//! Time, names, and where events go.

use super::StoreError;
use async_trait::async_trait;
use domain::{event::Event, timestamp::Timestamp};
use std::time::Duration;
use uuid::Uuid;

/// The time that everybody agrees on: the database's, so that leases mean the same on every machine.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    ///
    /// # Errors
    /// If the database cannot be asked.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// How long this machine has counted, by a clock that is never set: to see that time has passed here, where the
    /// database is too far away to be asked.
    fn steady(&self) -> Duration;
}

/// A clock that can be moved, in test mode only.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait TestClock: Send + Sync {
    /// Moves it forward, for everybody who goes by it. Answers how late it is then.
    ///
    /// # Errors
    /// If it cannot be moved.
    async fn advance(&self, by: Duration) -> Result<Timestamp, StoreError>;
}

/// Chance, so that many who wait do not come back at once.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait Dice: Send + Sync {
    /// A number below `bound`, each as likely as the other; 0 if the bound is 0.
    fn below(&self, bound: u64) -> u64;
}

/// Draws names that nobody has drawn before.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait Ids: Send + Sync {
    /// A `UUIDv7`: within one process each is greater than the one before.
    fn fresh(&self) -> Uuid;
}

/// Where events go. Delivery is at least once: a consumer tells repetitions apart by the event's id.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait EventPublisher: Send + Sync {
    /// Delivers one event.
    ///
    /// # Errors
    /// If it was not taken: it stays in the outbox and is delivered later.
    async fn publish(&self, event: &Event) -> Result<(), PublishError>;
}

/// An event was not taken.
#[derive(Debug, thiserror::Error)]
#[error("the event was not taken: {0}")]
pub struct PublishError(pub String);
