//! Amounts divided by weights, as libraries of other languages do it.

use super::{Ran, amount, amounts, cases, file};
use crate::{
    apportion::apportion,
    revenue_model::{ModelSpec, spec::TieBreak},
    tests::scene::{Ledger, gross, shares},
};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Weights as the sources write them (integers, `"0.7"`, `"2/7"`), brought to one denominator.
pub fn weights(value: &Value) -> Vec<u64> {
    let fractions: Vec<(u64, u64)> = value.as_array().unwrap().iter().map(fraction).collect();
    let common: u64 = fractions.iter().map(|(_, denominator)| denominator).product();
    fractions.iter().map(|(numerator, denominator)| numerator * (common / denominator)).collect()
}
fn fraction(weight: &Value) -> (u64, u64) {
    let Some(text) = weight.as_str() else { return (weight.as_u64().unwrap(), 1) };
    if let Some((numerator, denominator)) = text.split_once('/') {
        return (numerator.parse().unwrap(), denominator.parse().unwrap());
    }
    let decimal: Decimal = text.parse().unwrap();
    let decimal = decimal.normalize();
    (u64::try_from(decimal.mantissa()).unwrap(), 10u64.pow(decimal.scale()))
}

fn ours(amount: i64, weights: &[u64]) -> Vec<i64> {
    apportion(amount, weights).unwrap().iter().map(|share| share.value).collect()
}
fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// `lr_must_match` gives `expected`. Anything else is a negative control: the source follows another rule, which the
/// file names, so ours gives `lr_stable` and that differs; or the weights come to nothing, and ours refuses them.
pub fn run(file: &Value) -> Ran {
    let rule = &file["semantics"];
    let mut ran = Ran::default();
    for case in cases(file) {
        ran.cases += 1;
        let all = case["weights"].as_array().unwrap();
        if all.iter().any(|weight| weight.as_i64().is_some_and(|weight| weight < 0)) {
            // A negative weight cannot even be written down here. The source fails or answers nonsense.
            assert!(case.get("expected").is_none(), "{case}");
            continue;
        }
        let (amount, weights) = (amount(&case["amount"]), weights(&case["weights"]));
        let Ok(shares) = apportion(amount, &weights) else {
            // Weights that come to nothing, or to too much. Some sources answer zeros there, and lose the money.
            assert!(case.get("error").is_some() || case["rule"].as_str().unwrap().contains("must reject"), "{case}");
            continue;
        };
        let got: Vec<i64> = shares.iter().map(|share| share.value).collect();
        if case["lr_must_match"] == json!(true) {
            assert_eq!(got, amounts(&case["expected"]), "{case}");
            ran.matched += 1;
        } else if let Some(stable) = case.get("lr_stable") {
            assert_eq!(got, amounts(stable), "theirs is {rule}: {case}");
            assert_ne!(got, amounts(&case["expected"]), "theirs is {rule}: {case}");
        } else {
            rotated(amount, &weights, case);
        }
    }
    ran
}

/// The one control without `lr_stable`: the tie goes to whose turn it is, which is our `rotate` on an even payday.
fn rotated(amount: i64, weights: &[u64], case: &Value) {
    assert_eq!(case["rule"], "rotating tie-break", "{case}");
    let spec = ModelSpec { tie_break: TieBreak::Rotate, ..shares(weights) };
    let mut ledger = Ledger::new();
    let (odd, even) =
        (gross(&spec.check().unwrap(), &mut ledger, amount), gross(&spec.check().unwrap(), &mut ledger, amount));
    assert_eq!(odd, ours(amount, weights), "{case}");
    assert_eq!(even, amounts(&case["expected"]), "{case}");
}

/// Sources that return what does not divide as an element of its own, where ours gives it to somebody. Their parts are
/// our floors; or, if they divide whole blocks of the sum of weights only, ours of those blocks, where nothing is left.
pub fn separate(file: &Value) -> Ran {
    let mut ran = Ran::default();
    for case in cases(file) {
        ran.cases += 1;
        let (amount, expected, weights) =
            (amount(&case["amount"]), amounts(&case["expected"]), weights(&case["weights"]));
        let shares = apportion(amount, &weights).unwrap();
        let (theirs, rest) = expected.split_at(expected.len() - 1);
        assert_eq!(shares.iter().map(|share| share.value).sum::<i64>(), theirs.iter().sum::<i64>() + rest[0], "{case}");
        match case["mode"].as_str().unwrap() {
            "FloorSeparate" => {
                assert!(shares.iter().map(|share| share.floor).eq(theirs.iter().copied()), "{case}");
            }
            "BlockSeparate" => {
                let divisor = weights.iter().copied().reduce(greatest_common_divisor).unwrap();
                let block = i64::try_from(weights.iter().sum::<u64>() / divisor).unwrap();
                assert_eq!(rest[0], amount % block, "{case}");
                let exact = apportion(amount - rest[0], &weights).unwrap();
                assert!(exact.iter().all(|share| share.remainder == 0), "{case}");
                assert!(exact.iter().map(|share| share.value).eq(theirs.iter().copied()), "{case}");
            }
            mode => panic!("{mode}"),
        }
    }
    ran
}

#[test]
fn largest_remainder_gives_the_published_answers() {
    for name in [
        "alabama_small.json",
        "apportionment_py.json",
        "brick_money_largest_remainder.json",
        "currency_js.json",
        "govalues_money.json",
    ] {
        let Ran { cases, matched } = run(&file(name));
        assert_eq!(cases, matched, "{name} has no negative control");
    }
}

#[test]
fn what_does_not_divide_is_ours_to_give() {
    assert_eq!(separate(&file("brick_money_separate.json")), Ran::of(23));
}

/// Liberapay lets nobody starve; with `minUnitPerLine` neither do we, and then both of its controls match.
#[test]
fn with_a_unit_for_everybody_small_lines_do_not_starve() {
    let mut matched = 0;
    for case in cases(&file("liberapay_rotation.json")).iter().filter(|case| case["lr_must_match"] == json!(false)) {
        if case.get("lr_stable").is_some() {
            let spec = ModelSpec { min_unit_per_line: true, ..shares(&weights(&case["weights"])) };
            let got = gross(&spec.check().unwrap(), &mut Ledger::new(), amount(&case["amount"]));
            assert_eq!(got, amounts(&case["expected"]), "{case}");
            matched += 1;
        }
    }
    assert_eq!(matched, 2);
}
