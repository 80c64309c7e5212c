//! Chance that can be had again: one seed draws the same numbers.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Names the seed, as for the tests.
const SEED_VARIABLE: &str = "DISBURSE_TEST_SEED";

/// Numbers that nobody foresees. When they are drawn is up to the machine, so a run is like another of the same seed, and
/// not the same.
#[derive(Debug, Clone)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// By the seed of the environment, or by a new one. It is printed.
    pub fn new() -> Self {
        let named = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
        // The operating system seeds a hasher.
        let seed = named.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("{SEED_VARIABLE}={seed}");
        Self::seeded(seed)
    }

    /// By that seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        // The remainder is below a number that fits.
        usize::try_from(self.next() % (bound as u64)).unwrap_or(0)
    }

    /// A time from `least` to twice of it.
    pub fn about(&mut self, least: Duration) -> Duration {
        least + least * u32::try_from(self.below(1_000)).unwrap_or(0) / 1_000
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let mut chance = Chance::seeded(seed);
            (0..20).map(|_| chance.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(draw(7).iter().all(|number| *number < 1_000));
    }

    #[test]
    fn a_pause_is_between_once_and_twice_what_was_named() {
        let mut chance = Chance::seeded(1);
        for _ in 0..100 {
            let pause = chance.about(Duration::from_secs(1));
            assert!(pause >= Duration::from_secs(1) && pause < Duration::from_secs(2), "{pause:?}");
        }
    }
}
