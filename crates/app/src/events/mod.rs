//! What the world is told.

pub mod forget_old_events;
pub mod relay_events;
