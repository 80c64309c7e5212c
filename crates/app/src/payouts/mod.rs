//! The life of a release: booked, sent, settled.
//!
//! A request becomes a batch in [`schedule_payouts`]; [`do_jobs`] is the worker's turn, which hands each claimed
//! job to its use case. What is too small to be sent waits for [`pay_carried`], what nobody claims for
//! [`escheat_items`]; [`explain_item`] says why an amount is what it is.

pub mod apply_policy;
pub(crate) mod batch_work;
pub(crate) mod cancel_lines;
pub(crate) mod conclude;
pub mod do_jobs;
pub mod escheat_items;
pub mod execute_batch;
pub mod explain_item;
pub mod gate;
pub mod pay_carried;
pub(crate) mod plan;
pub mod release_held_items;
pub mod schedule_payouts;

pub use conclude::Contradiction;
