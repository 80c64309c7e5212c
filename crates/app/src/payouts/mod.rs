//! The life of a release: booked, sent, settled.
//!
//! A request becomes a batch in [`schedule_payouts`]; [`do_jobs`] is the worker's turn, which hands each claimed
//! job to its use case, and [`forget_done_jobs`] ends what is long done. What is too small to be sent waits for [`pay_carried`], what nobody claims for
//! [`escheat_items`].
//!
//! * [`execute_batch`] asks, sends and writes down, as the `gate` of a rail lets through and the `plan` of the policy
//!   allows; `conclude` says what each answer means, and [`receive_notification`] what comes by itself;
//!   [`sweep_rails`] asks for what may never have come
//! * people [`act`] (`hold_item`: release and retry too; `cancel_item`), and [`approve_batch`], [`resolve_item`],
//!   [`set_policy`]
//! * [`explain_item`] says why an amount is what it is, [`why_unpaid`] why it has not come yet

pub mod act;
pub mod advance_clock;
pub mod apply_policy;
pub mod approve_batch;
pub(crate) mod batch_work;
mod cancel_item;
pub(crate) mod cancel_lines;
pub(crate) mod conclude;
pub mod do_jobs;
pub mod escheat_items;
pub mod execute_batch;
pub mod explain_item;
pub mod forget_done_jobs;
pub mod gate;
pub mod hear_simulator;
mod hold_item;
pub mod pay_carried;
pub(crate) mod plan;
pub mod receive_notification;
pub mod release_held_items;
pub mod resolve_item;
pub mod schedule_payouts;
pub mod set_policy;
pub mod sweep_rails;
mod told;
pub mod why_unpaid;

pub use conclude::{Contradiction, RETRIES_MAX};
