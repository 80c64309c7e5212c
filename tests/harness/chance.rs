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

/// Names the seed of a test whose moments are drawn from one: what it prints when it starts, to have them again.
const SEED_VARIABLE: &str = "DISBURSE_TEST_SEED";

/// Chance that can be had again: one seed draws the same numbers. When they are drawn is up to the machine, so a run is
/// like another of the same seed, and not the same.
#[derive(Clone, Debug)]
pub struct Seeded {
    state: u64,
}

impl Seeded {
    /// By the seed of the environment, or by a new one. It is printed with what it is for.
    pub fn new(what: &str) -> Self {
        let named = std::env::var(SEED_VARIABLE).ok();
        let seed = named.map_or_else(|| below(u64::MAX), |text| text.parse().expect("a seed is a number"));
        println!("{what}: {SEED_VARIABLE}={seed}");
        Self { state: seed }
    }

    /// Another one that draws other numbers.
    pub fn fork(&mut self) -> Self {
        Self { state: self.next() }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Waits for up to so many milliseconds.
    pub async fn pause(&mut self, milliseconds_max: u64) {
        tokio::time::sleep(Duration::from_micros(self.below(1_000 * milliseconds_max))).await;
    }

    /// Splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
