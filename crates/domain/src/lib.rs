//! The rules of splitting, withholding, booking and paying out revenue, in integers only.
//!
//! Nothing here waits, reads a clock, draws an id or knows a framework: every function is a value in,
//! a value out. The modules, in reading order, follow the money:
//!
//! * [`ids`], [`timestamp`], [`day`], [`currency`], [`money`]: the words everything else is written in
//! * [`apportion`]: the only place that divides money
//! * [`revenue_model`]: what a project agreed on, as written and as checked
//! * [`tax`]: withholding as data
//! * [`counter`]: what is remembered from one release to the next
//! * [`recipient`]: whom we pay, and how
//! * [`calculation`]: from a released amount to lines that sum to the cent, each cent explained
//! * [`item`], [`batch`], [`instruction`]: the life of what is paid, as tables
//! * [`reversal`]: how a refund is taken back from everybody who got a part
//! * [`ledger`]: balanced transactions, and which event posts what
//! * [`event`]: what the world is told

#![deny(missing_docs, clippy::float_arithmetic)]

pub mod apportion;
pub mod batch;
pub mod calculation;
pub mod counter;
pub mod currency;
pub mod day;
pub mod event;
pub mod ids;
pub mod instruction;
pub mod item;
pub mod ledger;
pub mod money;
pub mod recipient;
pub mod revenue_model;
pub mod reversal;
pub mod tax;
pub mod timestamp;

#[cfg(test)]
mod tests;
