//! Every model with all of its rules, and each rule taken away.

#![expect(clippy::panic, reason = "a test that cannot go on says so by panicking")]

use models::{
    escrow::Escrow,
    life::{Kind, Life},
    provider::Receipt,
    rules::Weakening,
};
use stateright::{Checker, Model};
use std::{fmt::Debug, hash::Hash};

/// Tries everything; says how many states there were.
fn check<M>(name: &str, model: M, states_min: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let checker = model.checker().spawn_bfs().join();
    let (states, tried, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    println!("{name}: {states} states, {tried} moves, {depth} deep");
    checker.assert_properties();
    assert!(states >= states_min, "{name}: {states} states are too few for what it says that it tries");
}

const SETTLES: &[Receipt] = &[Receipt::Settles];

fn item() -> Life {
    Life { faults: 0, lies: 0, receipts: SETTLES, has_people: false, most: (2, 2), ..Life::of_an_item(None) }
}

#[test]
fn an_item_is_paid_once_whatever_goes_wrong_on_the_way() {
    check("faults", Life { faults: 1, ..item() }, 5000);
}

#[test]
fn an_item_is_paid_once_whatever_the_rail_says_and_takes_back() {
    let receipts = &[Receipt::Settles, Receipt::Lies];
    check("answers", Life { lies: 1, receipts, ..item() }, 2500);
}

#[test]
fn an_item_is_paid_once_whatever_people_do() {
    check("people", Life { faults: 1, kinds: &[Kind::Call], has_people: true, ..item() }, 8000);
}

#[test]
fn what_comes_back_is_booked() {
    check("returns", Life { faults: 1, kinds: &[Kind::Return], ..item() }, 1500);
}

#[test]
fn what_is_recalled_is_not_paid() {
    let receipts = &[Receipt::Takes];
    check("recalls", Life { receipts, has_people: true, most: (1, 2), ..item() }, 1500);
}

#[test]
fn two_workers_never_write_or_call_at_once() {
    check("leases", Life { faults: 0, most: (2, 2), ..Life::of_leases(2, None) }, 4000);
}

/// What must be found when a rule is missing, and in which model.
fn weakened(weak: Weakening) -> Life {
    let life = Life { faults: 1, weak: Some(weak), must_rest: false, ..item() };
    match weak {
        W::NoSettleBound | W::NoAllowance => Life { faults: 2, kinds: &[Kind::Call], ..life },
        W::ReplayAfterWindow | W::ReplayToTheEnd => Life { faults: 2, kinds: &[Kind::Call, Kind::Question], ..life },
        W::SilenceIsAbsence => Life { faults: 2, kinds: &[Kind::Call, Kind::Question], ..life },
        W::NewKeyAfterSilence | W::UnstoredIntent | W::NoSteadyClock => life,
        W::NewKeyEachTry => Life { faults: 2, kinds: &[Kind::Call, Kind::Question], ..life },
        W::RanksIgnored => life,
        W::RecallBelieved | W::ResolvedTooEarly | W::ResolvedAlone => {
            Life { kinds: &[Kind::Call], has_people: true, ..life }
        }
        W::ReturnNotPosted => Life { kinds: &[Kind::Return], ..life },
        W::LateSuccessIgnored => Life { faults: 0, lies: 1, receipts: &[Receipt::Settles, Receipt::Lies], ..life },
        W::NeverLookedAtAgain => Life { kinds: &[Kind::Call], must_rest: true, ..life },
        W::NoFencing | W::WorkerClockLease => Life { workers: 2, faults: 0, ..life },
        W::StaleIgnored => Life { kinds: &[Kind::Call], must_rest: true, ..life },
        W::CheckThenInsert | W::FingerprintIgnored | W::UnclearIsDone => panic!("a rule of escrows"),
    }
}

/// A rule without which nothing breaks is not a rule, or the model does not see it.
fn assert_found<M>(weak: Weakening, model: M, says: impl Fn(&M, &M::State) -> Option<&'static str>)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let checker = model.checker().spawn_bfs().join();
    let (name, path) =
        checker.discoveries().into_iter().next().unwrap_or_else(|| panic!("{}: nothing breaks", weak.as_str()));
    let broken = says(checker.model(), path.last_state()).unwrap_or(name);
    let acts = path.into_actions();
    println!("| `{}` | {broken} | {} | {} | {acts:?} |", weak.as_str(), acts.len(), checker.unique_state_count());
}

fn found(words: &[Weakening]) {
    for weak in words {
        assert_found(*weak, weakened(*weak), |_, state| state.violation());
    }
}

use Weakening as W;
const TIME: &[W] = &[W::NoSettleBound, W::NoAllowance, W::ReplayAfterWindow, W::ReplayToTheEnd, W::NoSteadyClock];
const SILENCE: &[W] =
    &[W::NewKeyAfterSilence, W::NewKeyEachTry, W::SilenceIsAbsence, W::UnstoredIntent, W::NeverLookedAtAgain];
const SAID: &[W] = &[
    W::RanksIgnored,
    W::RecallBelieved,
    W::ResolvedTooEarly,
    W::ResolvedAlone,
    W::ReturnNotPosted,
    W::LateSuccessIgnored,
];
const LEASES: &[W] = &[W::NoFencing, W::WorkerClockLease, W::StaleIgnored];
const ESCROWS: &[W] = &[W::CheckThenInsert, W::FingerprintIgnored, W::UnclearIsDone];

#[test]
fn every_rule_is_taken_away_in_some_test() {
    let mut tried: Vec<Weakening> = [TIME, SILENCE, SAID, LEASES, ESCROWS].concat();
    tried.sort();
    let mut all = Weakening::ALL.to_vec();
    all.sort();
    assert_eq!(tried, all);
}

#[test]
fn without_the_rules_of_time_something_breaks() {
    found(TIME);
}

#[test]
fn without_the_rules_of_silence_something_breaks() {
    found(SILENCE);
}

#[test]
fn without_the_rules_of_what_is_said_something_breaks() {
    found(SAID);
}

#[test]
fn without_the_rules_of_leases_something_breaks() {
    found(LEASES);
}

#[test]
fn without_the_rules_of_escrows_something_breaks() {
    for weak in ESCROWS {
        assert_found(*weak, Escrow::of(3, Some(*weak)), Escrow::violation);
    }
}

#[test]
fn an_escrow_becomes_one_batch() {
    check("escrow", Escrow::of(4, None), 500);
}

/// The larger ones: `cargo xtask soak`.
#[test]
#[ignore = "long"]
fn soak_of_two_workers_of_which_one_may_fail() {
    check("leases, one fault", Life { most: (2, 2), ..Life::of_leases(2, None) }, 40_000);
}

#[test]
#[ignore = "long"]
fn soak_of_everything_that_a_rail_may_say() {
    check("every answer", Life { faults: 0, has_people: false, most: (2, 2), ..Life::of_an_item(None) }, 14_000);
}

#[test]
#[ignore = "long"]
fn soak_of_an_item_with_two_faults() {
    check("two faults", Life { faults: 2, ..item() }, 20_000);
}
