//! Chance.

use app::ports::Dice;

/// Drawn from the generator of the thread, which the operating system seeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadDice;

impl Dice for ThreadDice {
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { rand::random_range(0..bound) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_the_bound_may_come_and_no_other() {
        let mut seen = [false; 6];
        for _ in 0..1_000 {
            seen[usize::try_from(ThreadDice.below(6)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!((ThreadDice.below(0), ThreadDice.below(1)), (0, 0));
    }
}
