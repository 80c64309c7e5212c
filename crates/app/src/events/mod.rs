//! What the world is told.

pub mod relay_events;
