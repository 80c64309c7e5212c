//! Many seeds, side by side: each on one thread, as if it were alone.

use crate::{
    bugs::Bug,
    faults::Fault,
    laws::Law,
    run::{Outcome, run},
};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Seeds that once found something, as `regressions.txt` names them.
const REGRESSIONS: &str = include_str!("../regressions.txt");

/// Every so-manieth seed is run twice, to the same trace.
const TWICE: u64 = 10;

/// What seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// How many were run.
    pub seeds: u64,
    /// What was not as it must be, by seed.
    pub failed: BTreeMap<u64, Vec<String>>,
    /// How often what went wrong.
    pub faults: BTreeMap<Fault, u64>,
    /// How many items there were in which status.
    pub items: BTreeMap<&'static str, u64>,
    /// How many calls moved money, or tried to.
    pub submits: u64,
    /// How long the worlds were there, all in all.
    pub lived: Duration,
    /// How long it took, by the clock on the wall.
    pub took: Duration,
    /// How many threads ran them.
    pub jobs: u64,
}

impl Sums {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        for (fault, count) in outcome.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        for (status, count) in outcome.items {
            *self.items.entry(status).or_default() += count;
        }
        self.submits += outcome.submits;
        self.lived += outcome.age;
        if !outcome.violations.is_empty() {
            self.failed.insert(seed, outcome.violations);
        }
    }

    /// Seeds in a second, on each of the threads.
    pub fn per_second_and_core(&self) -> f64 {
        let seeds = u32::try_from(self.seeds).map_or(f64::MAX, f64::from);
        let jobs = u32::try_from(self.jobs.max(1)).map_or(1.0, f64::from);
        seeds / self.took.as_secs_f64().max(0.001) / jobs
    }

    /// How many years the worlds were there.
    pub fn virtual_years(&self) -> f64 {
        self.lived.as_secs_f64() / (365.25 * 86_400.0)
    }

    /// All of it in a few lines.
    pub fn lines(&self) -> Vec<String> {
        let words = |pairs: Vec<(&str, u64)>| {
            pairs.iter().map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(", ")
        };
        let faults: u64 = self.faults.values().sum();
        vec![
            format!(
                "{} seeds, {} violations; {faults} faults of {} classes, {:.1} virtual years, {} submits",
                self.seeds,
                self.failed.len(),
                self.faults.len(),
                self.virtual_years(),
                self.submits
            ),
            format!(
                "{:.0} s on {} threads: {:.1} seeds a second and thread",
                self.took.as_secs_f64(),
                self.jobs,
                self.per_second_and_core()
            ),
            format!("items: {}", words(self.items.iter().map(|(word, count)| (*word, *count)).collect())),
            format!("faults: {}", words(self.faults.iter().map(|(fault, count)| (fault.as_str(), *count)).collect())),
        ]
    }
}

/// The command that runs a seed and shows everything that happened in it.
pub fn command(seed: u64, bug: Option<Bug>) -> String {
    let flag = bug.map(|bug| format!(" --bug {}", bug.as_str())).unwrap_or_default();
    format!("cargo run -p simulation -- one {seed}{flag} --trace")
}

/// Seeds that once found something.
pub fn regressions() -> Vec<u64> {
    let words = REGRESSIONS.lines().filter_map(|line| line.split_whitespace().next());
    words.filter(|word| !word.starts_with('#')).filter_map(|word| word.parse().ok()).collect()
}

/// How many threads there may be.
pub fn jobs() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| u64::try_from(count.get()).unwrap_or(1))
}

/// Runs seeds on so many threads, until `enough` of them have failed. Each tenth is run twice: one that is not the same
/// twice has failed. `each` is told of every seed when it is done, in no order.
pub fn many(
    seeds: Range<u64>,
    bug: Option<Bug>,
    jobs: u64,
    enough: usize,
    each: impl Fn(u64, &Outcome) + Sync,
) -> Sums {
    let start = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let is_enough = AtomicBool::new(false);
    let sums = Mutex::new(Sums { jobs: jobs.max(1), ..Sums::default() });
    let work = || {
        while !is_enough.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = checked(seed, bug);
            each(seed, &outcome);
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            sums.add(seed, outcome);
            if sums.failed.len() >= enough {
                is_enough.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    Sums { took: start.elapsed(), ..sums }
}

/// Runs a seed; each tenth twice.
pub fn checked(seed: u64, bug: Option<Bug>) -> Outcome {
    let mut outcome = run(seed, bug, false);
    if seed.is_multiple_of(TWICE) && run(seed, bug, false).trace != outcome.trace {
        outcome
            .violations
            .push(format!("{}: the run is not the same twice; compare the hashes of two", Law::NoFault.as_str()));
    }
    outcome
}
