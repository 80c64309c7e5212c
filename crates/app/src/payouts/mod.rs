//! The life of a release: booked, sent, settled.
//!
//! A request becomes a batch in [`schedule_payouts`]; [`do_jobs`] is the worker's turn, which hands each claimed
//! job to its use case. What is too small to be sent waits for [`pay_carried`], what nobody claims for
//! [`escheat_items`]; [`explain_item`] says why an amount is what it is.

pub(crate) mod batch_work;
mod conclude;
pub mod do_jobs;
pub mod escheat_items;
pub mod execute_batch;
pub mod explain_item;
pub mod pay_carried;
pub mod release_held_items;
pub mod schedule_payouts;

pub use conclude::Contradiction;
