//! Some seeds of a world in which nothing is broken on purpose, those that once found something, and every bug that is
//! planted.

use simulation::{
    bugs::Bug,
    many::{checked, command, jobs, many, regressions},
    oracle::Law,
};
use std::collections::BTreeSet;

/// A number that the environment tells, or this one.
fn told(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs that many seeds, and fails with a command for the first that found something.
fn nothing_is_found(seeds: u64) {
    let sums = many(0..seeds, None, jobs(), 1, |_, _| {});
    println!("{}", sums.lines().join("\n"));
    if let Some((seed, violations)) = sums.failed.first_key_value() {
        panic!("{violations:#?}\n{}", command(*seed, None));
    }
}

/// `SIMULATION_SEEDS` says how many.
#[test]
fn whatever_goes_wrong_money_is_neither_lost_nor_paid_twice() {
    nothing_is_found(told("SIMULATION_SEEDS", 2_000));
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let seeds = regressions();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let violations = checked(seed, None).violations;
        assert!(violations.is_empty(), "{violations:#?}\n{}", command(seed, None));
    }
}

/// Each bug, and within how many seeds from 0 on it must be found: a few times as many as it took when this was written
/// (`docs/simulation.md`). One that is not found any more is a fault that is missing, or an oracle that does not look.
const BUDGETS: &[(Bug, u64)] = &[
];

#[test]
fn planted_bugs_are_found_within_their_budgets() {
    let missed: Vec<String> = BUDGETS
        .iter()
        .filter(|(bug, budget)| many(0..*budget, Some(*bug), jobs(), 1, |_, _| {}).failed.is_empty())
        .map(|(bug, budget)| format!("{} within {budget} seeds", bug.as_str()))
        .collect();
    assert!(missed.is_empty(), "not found: {missed:#?}");
}

#[test]
fn every_bug_has_its_budget() {
    let budgeted: BTreeSet<Bug> = BUDGETS.iter().map(|(bug, _)| *bug).collect();
    assert_eq!(budgeted, Bug::ALL.iter().copied().collect());
}

/// The long version: `cargo xtask soak`.
#[test]
#[ignore = "long"]
fn soak_of_the_simulation() {
    nothing_is_found(told("DISBURSE_SOAK_SEEDS", 100_000));
}
