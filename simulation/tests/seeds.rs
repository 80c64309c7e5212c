//! Some seeds of a world in which nothing is broken on purpose, and every bug that is planted.

use simulation::{bugs::Bug, run::run};

/// How many seeds are run: `SIMULATION_SEEDS`, or some.
fn seeds() -> u64 {
    let told = std::env::var("SIMULATION_SEEDS").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn whatever_goes_wrong_money_is_neither_lost_nor_paid_twice() {
    // The last one found something once.
    for seed in (0..seeds()).chain([616]) {
        let outcome = run(seed, None, false);
        assert!(
            outcome.violations.is_empty(),
            "{:#?}\ncargo run -p simulation -- one {seed} --trace",
            outcome.violations
        );
        if seed % 10 == 0 {
            assert_eq!(outcome.trace, run(seed, None, false).trace, "seed {seed} is not the same twice");
        }
    }
}

/// Those that are found within the seeds that a test can afford; the others are in `docs/simulation.md`.
const FOUND: &[Bug] = &[
    Bug::NoFencing,
    Bug::NewKeyEachAttempt,
    Bug::TimeoutIsFailure,
    Bug::NoNotificationDedupe,
    Bug::OutOfOrderNotification,
    Bug::ReleaseIgnoresAmount,
    Bug::RoundingLeak,
    Bug::SlowMachineClock,
    Bug::NoEventPublishRetry,
    Bug::ReturnNotPosted,
    Bug::ForgedNotificationAccepted,
    Bug::StaleIgnored,
    Bug::UnstoredIntent,
    Bug::PolicyIgnored,
];

/// A bug that is not found any more is a fault that is missing.
#[test]
fn planted_bugs_are_found() {
    let is_found = |bug: Bug| (1..30).any(|seed| !run(seed, Some(bug), false).violations.is_empty());
    let missed: Vec<&str> = FOUND.iter().filter(|bug| !is_found(**bug)).map(|bug| bug.as_str()).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// The long version: `cargo xtask soak`.
#[test]
#[ignore = "long"]
fn soak_of_the_simulation() {
    let seeds = std::env::var("DISBURSE_SOAK_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000u64);
    let failed: Vec<u64> = (0..seeds).filter(|seed| !run(*seed, None, false).violations.is_empty()).collect();
    assert!(failed.is_empty(), "cargo run -p simulation -- one {:?} --trace", failed.first());
}
