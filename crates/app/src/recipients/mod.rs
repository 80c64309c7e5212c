//! Whom we pay.

pub mod register_recipient;
