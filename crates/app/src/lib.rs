//! Use cases, and the few ports they need.
//!
//! A use case loads what it needs, asks the pure domain, and commits one [`change::Change`], which is
//! applied whole or not at all. Nothing here names a framework, a database or a provider.
//!
//! * [`ports`]: what the use cases ask of the world
//! * [`change`]: what a use case decided
//! * [`job`]: durable work
//! * [`failure`]: what every error can say about itself
//! * [`idempotency`]: requests that are sent again
//! * [`revenue`], [`payouts`], [`recipients`], [`ledger`], [`events`]: one file a use case

#![deny(missing_docs, clippy::float_arithmetic)]

pub mod change;
pub mod events;
pub mod failure;
pub mod idempotency;
pub mod job;
pub mod ledger;
pub mod payouts;
pub mod ports;
pub mod recipients;
pub mod revenue;

mod forget;

/// How often a decision is made anew when somebody else was faster, before the caller is asked to repeat. Of many
/// writers of one thing one wins each round, so this is how many may meet at once.
const RACES_MAX: u32 = 100;

#[cfg(test)]
mod fixtures;
