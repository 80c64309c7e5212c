//! What the use cases ask of the world. Every promise made here in prose is a function in
//! `tests/contracts`, run against every adapter.
//!
//! * [`repository`]: state, jobs and the outbox, which commit together
//! * [`idempotency`]: keys of requests that may be sent again
//! * [`queries`]: pages and screens; they never decide anything
//! * [`rail`]: a way to move money out
//! * [`world`]: time, chance, names, and where events go

pub mod idempotency;
pub mod queries;
pub mod rail;
pub mod repository;
pub mod world;

pub use idempotency::IdempotencyKeys;
pub use queries::PayoutQueries;
pub use rail::{PayoutRail, Rails, SimulatorBook, SimulatorFaults, SimulatorNotifications};
pub use repository::{CommitError, DuplicateKey, JobQueue, Outbox, PayoutRepository, StoreError};
pub use world::{Clock, Dice, EventPublisher, Ids, PublishError, TestClock};
