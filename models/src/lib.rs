//! Models of what must never go wrong, checked exhaustively: whatever may happen next is tried, in every order.
//!
//! * [`life`]: one item and its instructions, a rail with a replay window and calls that travel, people, and one worker
//!   or several under leases
//! * [`escrow`]: releases of one escrow that come side by side
//!
//! The transitions are the real use cases. [`desk`] is what they see of the world: it lets them go on from call to call,
//! and stands still in between, so that everything else can happen there. [`rules`] are what can be taken away: then a
//! counterexample must be found, or the model would prove nothing. `docs/models.md` says what is left out.

#![expect(clippy::expect_used, reason = "a checker that cannot go on may stop")]

mod begin;
pub mod desk;
pub mod escrow;
pub mod life;
pub mod provider;
pub mod rules;
pub mod world;

use std::{fmt::Debug, str::FromStr};

/// What a text of this package says.
pub(crate) fn read<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("it can be read")
}
