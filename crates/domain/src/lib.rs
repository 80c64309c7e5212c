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
//! * `item`, `batch`, `instruction`: the life of what is paid, as tables
//! * `reversal`: how a refund is taken back from everybody who got a part
//! * `ledger`: balanced transactions, and which event posts what
//! * `event`: what the world is told
//! * `calendar`, `policy`, `approval`: when a batch may be paid, how many people must say yes, and to what exactly
//!
//! The last five lines need the feature `payouts`; who only splits does without it. A program that splits millions of
//! releases starts at [`calculation::Calculator`]; `examples/batch_job.rs` is one.
//!
//! # What may change
//!
//! * **Never, for a given input: a cent.** The same model, release, parties and counts give the same lines in every
//!   version. If a result turns out to break a law, the fix is a new major version, and the changelog says which models
//!   are concerned.
//! * **Never: the canonical form of a model, and so its hash** ([`revenue_model::ModelSpec::hash`]). New fields are left
//!   out of it as long as they are not used.
//! * **With a minor version:** a new kind of step, operation, column, warning or fault, a new optional field of a model or
//!   a tax rule, a stricter check of what could not be calculated before. Match on these with a wildcard.
//! * **With a major version:** anything else that a program can see. Before 1.0.0 a minor version counts as one.
//! * **With any version:** the words of messages and the text of `numerator`; programs go by codes and values.

#![deny(missing_docs, clippy::float_arithmetic)]

pub mod apportion;
#[cfg(feature = "payouts")]
pub mod approval;
#[cfg(feature = "payouts")]
pub mod batch;
pub mod calculation;
#[cfg(feature = "payouts")]
pub mod calendar;
pub mod counter;
pub mod currency;
pub mod day;
#[cfg(feature = "payouts")]
pub mod event;
mod fault_codes;
mod hash;
pub mod ids;
#[cfg(feature = "payouts")]
pub mod instruction;
#[cfg(feature = "payouts")]
pub mod item;
#[cfg(feature = "payouts")]
pub mod ledger;
pub mod money;
#[cfg(feature = "payouts")]
pub mod policy;
pub mod recipient;
pub mod revenue_model;
#[cfg(feature = "payouts")]
pub mod reversal;
pub mod tax;
pub mod timestamp;

#[cfg(test)]
mod tests;
