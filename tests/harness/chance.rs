//! Chance for the moments at which something breaks. A test that needs a certain moment must not ask here.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A number below `bound`, without a crate for it: a hasher is seeded by the operating system.
pub fn below(bound: u64) -> u64 {
    RandomState::new().hash_one(bound) % bound
}

/// Waits for up to so many milliseconds.
pub async fn pause(milliseconds_max: u64) {
    tokio::time::sleep(Duration::from_micros(below(1000 * milliseconds_max))).await;
}
