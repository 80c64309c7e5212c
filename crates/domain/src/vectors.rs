//! The answers that other projects publish, run against ours. See `tests/vectors/README.md`.

use crate::{
    apportion::apportion,
    calculation::{self, Calculation, Detail, Party, Request},
    ids::RecipientId,
    money::Money,
    recipient::TaxRule,
    revenue_model::ModelSpec,
};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::HashMap;

macro_rules! files {
    ($($name:literal),+ $(,)?) => { [$(($name, include_str!(concat!("../tests/vectors/", $name, ".json")))),+] };
}

fn file(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
}

/// Weights as the sources write them (integers, `"0.7"`, `"2/7"`), brought to one denominator.
fn weights(value: &Value) -> Vec<u64> {
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

#[test]
fn largest_remainder_gives_the_published_answers() {
    let mut matched = 0;
    let mut controls = 0;
    let mut refused = 0;
    for (name, text) in files![
        "alabama_small",
        "apportionment_py",
        "brick_money_first_n",
        "brick_money_largest_ratio",
        "brick_money_largest_remainder",
        "cscheck_allocator",
        "currency_js",
        "dinero_js",
        "go_money",
        "govalues_money",
        "liberapay_rotation",
        "nmoneys",
        "noda_money",
        "numscript_allotment",
        "rusty_money",
    ] {
        let file = file(text);
        let rule = &file["semantics"];
        for case in file["cases"].as_array().unwrap() {
            if case["weights"].as_array().unwrap().iter().any(|weight| weight.as_i64() < Some(0) && weight.is_i64()) {
                // A negative weight cannot even be written down here.
                assert!(case.get("expected").is_none(), "{name}: {case}");
                refused += 1;
                continue;
            }
            let (amount, weights) = (case["amount"].as_i64().unwrap(), weights(&case["weights"]));
            let Ok(shares) = apportion(amount, &weights) else {
                // Weights that come to nothing, or to too much. Some sources answer zeros there, and lose the money.
                assert!(
                    case.get("error").is_some() || case["rule"].as_str().unwrap().contains("must reject"),
                    "{name}: {case}"
                );
                refused += 1;
                continue;
            };
            let got: Vec<i64> = shares.iter().map(|share| share.value).collect();
            if case["lr_must_match"] == json!(true) {
                assert_eq!(got, numbers(&case["expected"]), "{name}: {case}");
                matched += 1;
                continue;
            }
            // A negative control: the source rounds by another rule, so ours differs; what ours gives is known, too.
            controls += 1;
            let Some(stable) = case.get("lr_stable") else {
                assert_eq!(got.iter().sum::<i64>(), amount, "{name} ({rule}): {case}");
                continue;
            };
            assert_eq!(got, numbers(stable), "{name} ({rule}): {case}");
            assert_ne!(got, numbers(&case["expected"]), "{name} ({rule}): {case}");
        }
    }
    assert_eq!((matched, controls, refused), (100, 26, 8), "every case of every file ran");
}

/// Floor and give the rest to nobody, or as an element of its own: our shares without their extra units, where the
/// source floors line by line.
#[test]
fn separate_remainders_are_our_floors() {
    let file = file(include_str!("../tests/vectors/brick_money_separate.json"));
    let mut floored = 0;
    for case in file["cases"].as_array().unwrap() {
        let (amount, expected) = (case["amount"].as_i64().unwrap(), numbers(&case["expected"]));
        let shares = apportion(amount, &weights(&case["weights"])).unwrap();
        assert_eq!(shares.iter().map(|share| share.value).sum::<i64>(), expected.iter().sum::<i64>(), "{case}");
        if case["mode"] == json!("FloorSeparate") {
            let floors: Vec<i64> = shares.iter().map(|share| share.floor).collect();
            assert_eq!(floors, expected[..expected.len() - 1], "{case}");
            floored += 1;
        }
    }
    assert!(floored > 0);
}

/// Seats of the House after the census of 1880, as the Census Office computed them for the sizes it tabulated.
#[test]
fn the_census_of_1880() {
    let file = file(include_str!("../tests/vectors/census1880_hamilton_275_350.json"));
    let populations = weights(&file["weights"]);
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let row = numbers(case);
        assert_eq!(ours(row[0], &populations), row[1..], "a House of {}", row[0]);
    }
    for paradox in file["known_paradoxes"].as_array().unwrap() {
        let state = file["names"].as_array().unwrap().iter().position(|name| *name == paradox[2]).unwrap();
        let seats = |size: &Value| ours(size.as_i64().unwrap(), &populations)[state];
        assert!(seats(&paradox[1]) < seats(&paradox[0]), "a larger House takes a seat from {}", paradox[2]);
    }
}

fn calculate(amount: i64, currency: &str, spec: Value, parties: &HashMap<RecipientId, Party>) -> Calculation {
    let model = serde_json::from_value::<ModelSpec>(spec).unwrap().check().unwrap();
    let amount = Money::new(amount, currency.parse().unwrap());
    calculation::calculate(Request { amount, deductions: &[], model: &model, parties, detail: Detail::Full }).unwrap()
}

#[test]
fn the_published_fees() {
    let file = file(include_str!("../tests/vectors/fee_vectors.json"));
    let mut ran = 0;
    for case in file["cases"].as_array().unwrap() {
        // A discount beyond the price leaves no base, and without an amount there is nothing to calculate.
        let base = case["base"]
            .as_i64()
            .unwrap_or_else(|| (case["gross"].as_i64().unwrap() - case["discount"].as_i64().unwrap()).max(0));
        if base == 0 {
            assert_eq!(case["expected"], json!(0));
            continue;
        }
        let mut fee = json!({ "ratePpm": case["rate_bps"].as_u64().unwrap() * 100 });
        for limit in ["fixed", "min", "max"] {
            if let Some(value) = case.get(limit) {
                fee[limit] = value.clone();
            }
        }
        let lines = json!([{ "recipientId": "rec_a", "weight": 1 }]);
        let spec = json!({ "platformFee": fee, "steps": [{ "type": "share", "lines": lines }] });
        let result = calculate(base, "USD", spec, &HashMap::new());
        assert_eq!(json!(result.totals.fee_minor), case["expected"], "{case}");
        if let Some(net) = case.get("net") {
            assert_eq!(json!(result.totals.net_minor), *net, "{case}");
        }
        ran += 1;
    }
    assert_eq!(ran, 9);
}

/// Those of the worked examples that need one share step; the others need steps that are not built.
#[test]
fn the_worked_examples() {
    let file = file(include_str!("../tests/vectors/derived_worked_examples.json"));
    let mut ran = 0;
    for case in file["cases"].as_array().unwrap() {
        let input = &case["input"];
        let later = ["max", "min", "tiers", "original", "net"].iter().any(|field| input.get(field).is_some());
        let (kind, parts) = match (input.get("shares_ppm"), input.get("weights")) {
            (Some(parts), None) => ("ppm", parts.clone()),
            (None, Some(Value::String(_))) => ("weight", json!(vec![1; 10_000])),
            (None, Some(parts)) => ("weight", parts.clone()),
            _ => continue,
        };
        if later || input.get("tax").is_some() {
            continue;
        }
        let line = |(at, part): (usize, &Value)| json!({ "recipientId": format!("rec_{at}"), kind: part });
        let lines: Vec<Value> = parts.as_array().unwrap().iter().enumerate().map(line).collect();
        let rate = input["fee_bps"].as_u64().unwrap_or_default() * 100;
        let spec = json!({ "platformFee": { "ratePpm": rate }, "steps": [{ "type": "share", "lines": lines }] });
        let result = calculate(input["amount"].as_i64().unwrap(), "USD", spec, &HashMap::new());
        let column = |of: fn(&calculation::Line) -> i64| result.lines.iter().map(of).collect::<Vec<_>>();
        if case["gross"].is_array() {
            assert_eq!(column(|line| line.gross_minor), numbers(&case["gross"]), "{case}");
        }
        for (name, of) in [
            ("fee", (|line| line.fee_minor) as fn(&calculation::Line) -> i64),
            ("tax", |line| line.tax_minor),
            ("net", |line| line.net_minor),
        ] {
            if case.get(name).is_some() {
                assert_eq!(column(of), numbers(&case[name]), "{name} of {case}");
            }
        }
        ran += 1;
    }
    assert_eq!(ran, 9);
}

/// The rates of one of the examples apply to a part of the gross amount, which is the same as a lower rate on all of it.
#[test]
fn three_tax_profiles() {
    let taxed = |rate| Party { tax: Some(TaxRule::try_new("withholding", rate).unwrap()), hold: None };
    let parties =
        HashMap::from([("rec_1".parse().unwrap(), taxed(15_000)), ("rec_2".parse().unwrap(), taxed(240_000))]);
    let lines: Vec<Value> = (0..3).map(|at| json!({ "recipientId": format!("rec_{at}"), "weight": 1 })).collect();
    let spec = json!({ "platformFee": { "ratePpm": 100_000 }, "steps": [{ "type": "share", "lines": lines }] });
    let result = calculate(300_000, "USD", spec, &parties);
    let nets: Vec<i64> = result.lines.iter().map(|line| line.net_minor).collect();
    assert_eq!((nets, result.totals.net_minor), (vec![90_000, 88_500, 66_000], 244_500));
}
