//! What the ports are made of: persistence, rails, events.

pub mod dice;
pub mod events;
pub mod ids;
pub mod memory;
pub mod rails;
pub mod sql;
mod sqlite;
