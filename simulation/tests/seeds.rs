//! Some seeds of a world in which nothing is broken on purpose, those that once found something, and every bug that is
//! planted.

use simulation::{
    bugs::Bug,
    laws::Law,
    many::{checked, command, jobs, many, regressions},
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// A number that the environment tells, or this one.
fn told(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// How long seeds are run here: a test that everybody runs is not to take longer.
const LONG_ENOUGH: Duration = Duration::from_secs(5 * 60);
/// So few would search for nothing, however slow the machine is.
const FEW: u64 = 200;
/// So many at a time.
const CHUNK: u64 = 100;

/// `SIMULATION_SEEDS` says how many, if there is time for them; `cargo xtask soak` runs 100,000 in any case.
#[test]
fn whatever_goes_wrong_money_is_neither_lost_nor_paid_twice() {
    let seeds = told("SIMULATION_SEEDS", 2_000);
    assert!(seeds > 0, "no seed proves nothing");
    let start = Instant::now();
    let mut ran = 0;
    for from in (0..seeds.div_ceil(CHUNK)).map(|chunk| chunk * CHUNK) {
        if start.elapsed() > LONG_ENOUGH {
            break;
        }
        let sums = many(from..seeds.min(from + CHUNK), None, jobs(), 1, |_, _| {});
        let commands: Vec<String> = sums.failed.keys().map(|seed| command(*seed, None)).collect();
        assert!(sums.failed.is_empty(), "{:#?}\n{}", sums.failed, commands.join("\n"));
        ran += sums.seeds;
    }
    assert!(ran >= FEW.min(seeds), "{ran} of {seeds} seeds: this machine is too slow to search");
    println!("{ran} of {seeds} seeds in {:.0} s", start.elapsed().as_secs_f64());
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

/// Each bug, within how many seeds from 0 on it must be found, and by which law: a few times as many as it took when
/// this was written (`docs/simulation.md`). One that is not found any more is a fault that is missing, or an oracle that does not look.
const BUDGETS: &[(Bug, u64, Law)] = &[
    (Bug::NoFencing, 30, Law::Leased),
    (Bug::NewKeyEachAttempt, 10, Law::AsTheProvider),
    (Bug::NoQueryAfterKeyExpiry, 500, Law::PaidOnce),
    (Bug::TimeoutIsFailure, 30, Law::AsTheProvider),
    (Bug::LostAnswerIsFailure, 120, Law::Allocated),
    (Bug::NoNotificationDedupe, 30, Law::AsTheProvider),
    (Bug::OutOfOrderNotification, 20, Law::AsTheProvider),
    (Bug::ReleaseCheckThenInsert, 60, Law::Allocated),
    (Bug::ReleaseIgnoresAmount, 60, Law::Allocated),
    (Bug::RoundingLeak, 10, Law::Allocated),
    (Bug::SlowMachineClock, 100, Law::Leased),
    (Bug::AcknowledgedBeforeCommit, 250, Law::AsTheProvider),
    (Bug::NoEventPublishRetry, 30, Law::Told),
    (Bug::PostedTwice, 40, Law::AsTheProvider),
    (Bug::ReturnNotPosted, 50, Law::AsTheProvider),
    (Bug::ForgedNotificationAccepted, 60, Law::AsTheProvider),
    (Bug::NoBackoff, 20, Law::NoStorm),
    (Bug::StaleIgnored, 50, Law::AsTheProvider),
    (Bug::SettleBoundIgnored, 250, Law::AsTheProvider),
    (Bug::UnstoredIntent, 100, Law::StoredFirst),
    (Bug::RecallBelieved, 250, Law::AsTheProvider),
    (Bug::PolicyIgnored, 30, Law::SecondPerson),
    (Bug::HoldIgnored, 60, Law::NotWhileHeld),
    (Bug::ResolvedAlone, 150, Law::SecondPerson),
    (Bug::MakerApproves, 20, Law::SecondPerson),
    (Bug::WrongAmountBelieved, 100, Law::AsTheProvider),
    (Bug::NoAnswerIsAbsence, 250, Law::AsTheProvider),
    (Bug::PhantomEvent, 20, Law::Told),
    (Bug::ApprovalOfAnything, 40, Law::SecondPerson),
];

/// Whether one of so many seeds fails because this law is broken, and not merely because of something else.
fn is_found(bug: Bug, budget: u64, law: Law) -> bool {
    let mut from = 0;
    while from < budget {
        let failed = many(from..budget, Some(bug), jobs(), 1, |_, _| {}).failed;
        let mut violations = failed.values().flatten();
        if violations.any(|violation| violation.starts_with(&format!("{}: ", law.as_str()))) {
            return true;
        }
        match failed.keys().next() {
            Some(seed) => from = seed + 1,
            None => return false,
        }
    }
    false
}

#[test]
fn planted_bugs_are_found_within_their_budgets() {
    let missed: Vec<String> = BUDGETS
        .iter()
        .filter(|(bug, budget, law)| !is_found(*bug, *budget, *law))
        .map(|(bug, budget, law)| format!("{} by {} within {budget} seeds", bug.as_str(), law.as_str()))
        .collect();
    assert!(missed.is_empty(), "not found: {missed:#?}");
}

#[test]
fn every_bug_has_its_budget() {
    let budgeted: BTreeSet<Bug> = BUDGETS.iter().map(|(bug, ..)| *bug).collect();
    assert_eq!(budgeted, Bug::ALL.iter().copied().collect());
}
