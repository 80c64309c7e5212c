//! Random choices for tests: a tape of numbers that a generator reads from the front. Where the tape ends, it reads
//! zeros, and a generator takes a zero for its simplest choice; so whatever fails is made simple by putting zeros on
//! the tape. One draw fills the whole tape, which is far cheaper than a tree of strategies.

use proptest::{
    prelude::*,
    strategy::{NewTree, ValueTree},
    test_runner::TestRunner,
};
use std::fmt;

/// What is left to read.
#[derive(Clone)]
pub struct Tape {
    words: Vec<u32>,
    at: usize,
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        write!(f, "Tape::of(&{:?})", &self.words[..used])
    }
}

impl Tape {
    /// The choices that a failure told.
    pub fn of(words: &[u32]) -> Self {
        Self { words: words.to_vec(), at: 0 }
    }
    fn word(&mut self) -> u32 {
        self.at += 1;
        self.words.get(self.at - 1).copied().unwrap_or(0)
    }
    /// From 0 to `end`, without it.
    pub fn below(&mut self, end: u64) -> u64 {
        let high = if end > u64::from(u32::MAX) { u64::from(self.word()) << 32 } else { 0 };
        (high | u64::from(self.word())) % end.max(1)
    }
    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
    /// The same as an amount.
    pub fn amount(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(high.abs_diff(low) + 1)).unwrap()
    }
    /// How many, from `low` to `high`.
    pub fn count(&mut self, low: usize, high: usize) -> usize {
        low + usize::try_from(self.below((high - low + 1) as u64)).unwrap()
    }
    /// Yes, in one of so many cases.
    pub fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == cases - 1
    }
    /// One of them; the first is the simplest.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.count(0, of.len() - 1)].clone()
    }
    /// The order of so many things; as they are, at the end of the tape.
    pub fn order(&mut self, things: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..things).collect();
        for at in (1..things).rev() {
            order.swap(at, at - self.count(0, at));
        }
        order
    }
    /// An amount of money: mostly small, sometimes as large as a request may carry.
    pub fn money(&mut self) -> i64 {
        match self.below(8) {
            0..=2 => self.amount(1, 200),
            3 | 4 => self.amount(1, 100_000),
            5 | 6 => self.amount(1, 1_000_000_000),
            _ => self.amount(1, crate::money::AMOUNT_MINOR_MAX),
        }
    }
    /// A rate of at most 100 %.
    pub fn ppm(&mut self) -> u64 {
        match self.below(6) {
            0 => 50_000,
            1 => 10_000 * self.below(101),
            2 => self.pick(&[0, 1, 333_333, 500_000, 999_999, 1_000_000]),
            _ => self.below(1_000_001),
        }
    }
    /// Whole numbers from 1 on that add up to `sum`, which is at least their count.
    pub fn parts(&mut self, sum: u64, count: usize) -> Vec<u64> {
        let mut left = sum;
        let mut parts = Vec::with_capacity(count);
        for others in (0..count as u64).rev() {
            let most = left - others;
            let part = match others {
                0 => most,
                _ if self.one_in(3) => (most / (others + 1)).max(1),
                _ => 1 + self.below(most),
            };
            parts.push(part);
            left -= part;
        }
        let order = self.order(count);
        order.into_iter().map(|at| parts[at]).collect()
    }
}

/// Tapes of so many numbers.
pub fn tapes(words: usize) -> Tapes {
    Tapes(words)
}

/// See [`tapes`].
#[derive(Clone, Copy, Debug)]
pub struct Tapes(usize);

impl Strategy for Tapes {
    type Tree = Shrinking;
    type Value = Tape;
    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let words: Vec<u32> = (0..self.0).map(|_| runner.rng().next_u32()).collect();
        Ok(Shrinking { size: words.len(), trial: words.clone(), best: words, at: 0 })
    }
}

/// A tape that failed, and one with more zeros on it that may fail, too.
#[derive(Clone, Debug)]
pub struct Shrinking {
    best: Vec<u32>,
    trial: Vec<u32>,
    size: usize,
    at: usize,
}

impl Shrinking {
    /// Puts zeros (then halves) on the next piece of the best tape, in pieces that become smaller.
    fn next_trial(&mut self) -> bool {
        while self.size > 0 {
            if self.at >= self.best.len() {
                (self.size, self.at) = (self.size / 2, 0);
                continue;
            }
            let end = (self.at + self.size).min(self.best.len());
            let piece = self.at..end;
            self.at = end;
            if self.best[piece.clone()].iter().all(|word| *word == 0) {
                continue;
            }
            self.trial = self.best.clone();
            self.trial[piece].fill(0);
            return true;
        }
        false
    }
}

impl ValueTree for Shrinking {
    type Value = Tape;
    fn current(&self) -> Tape {
        Tape::of(&self.trial)
    }
    fn simplify(&mut self) -> bool {
        self.best = self.trial.clone();
        self.next_trial()
    }
    fn complicate(&mut self) -> bool {
        let found = self.next_trial();
        if !found {
            self.trial = self.best.clone();
        }
        found
    }
}
