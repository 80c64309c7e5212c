//! The life of a release: booked, sent, settled.
//!
//! A request becomes a batch in [`schedule_payouts`]; [`do_jobs`] is the worker's turn, which hands each claimed
//! job to [`execute_batch`] or [`release_held_items`].

mod batch_work;
mod conclude;
pub mod do_jobs;
pub mod execute_batch;
pub mod release_held_items;
pub mod schedule_payouts;
