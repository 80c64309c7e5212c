//! What a project's revenue model is, and what it makes of an amount.

pub mod calculate_revenue;
pub(crate) mod facts;
pub mod finish_reversal;
pub mod needs;
pub mod publish_revenue_model;
pub mod reverse_revenue;
mod split;
pub mod turns;

pub(crate) use facts::hold;
pub(crate) use split::{SplitInvalid, check, split_error};
