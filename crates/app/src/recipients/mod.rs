//! Whom we pay.

pub mod register_recipient;
pub mod show_balance;
