//! What a project's revenue model is, and what it makes of an amount.

pub mod calculate_revenue;
mod parties;
pub mod publish_revenue_model;
mod split;

pub(crate) use parties::{hold, parties};
pub(crate) use split::{SplitInvalid, check, split_error};
