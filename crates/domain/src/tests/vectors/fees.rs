//! Fees, tiers of fees, and what is withheld.

use super::{Ran, amount, cases, file, history, spec, split, steps};
use crate::{
    calculation::{CalculationError, Deduction, DeductionKind, Detail, Party, Withholding},
    tax::TaxRuleSpec,
    tests::scene::{self, Ledger, Released},
};
use rust_decimal::Decimal;
use serde_json::{Value, json};

fn with_fee(fee: Value) -> Value {
    let mut model = steps(json!([{ "type": "remainder", "recipientId": "rec_a" }]));
    model["platformFee"] = fee;
    model
}

/// A discount is a deduction of ours, at most the whole price.
pub fn run(file: &Value) -> Ran {
    for case in cases(file) {
        let price = amount(case.get("base").unwrap_or(&case["gross"]));
        let discount = case["discount"].as_i64().unwrap_or(0).min(price);
        let mut fee = json!({ "ratePpm": amount(&case["rate_bps"]) * 100 });
        for limit in ["fixed", "min", "max"] {
            if let Some(value) = case.get(limit) {
                fee[limit] = value.clone();
            }
        }
        let deduction = Deduction { kind: DeductionKind::Expense, amount_minor: discount, reference: None };
        let release = Released { deductions: vec![deduction], ..Released::plain(price) };
        let model = spec(&with_fee(fee)).check().unwrap();
        let result = scene::run(&model, &mut Ledger::new(), &release, Detail::Full).unwrap();
        assert_eq!(json!(result.totals.fee_minor), case["expected"], "{case}");
        if let Some(net) = case.get("net") {
            assert_eq!(json!(result.totals.net_minor), *net, "{case}");
        }
    }
    Ran::of(cases(file).len())
}

/// Lago prices units; here an amount stands for them. With 10,000 minor units for each of its units, a price of one is a
/// rate of 100 ppm, and the flats, which are not scaled, stay below what they are taken of. Fees are in cents.
const UNIT: i64 = 10_000;

/// An amount of theirs (`2`, `"0.5"`, `"500.14"`) in hundredths.
fn hundredths(value: &Value) -> i64 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let hundredths = text.parse::<Decimal>().unwrap() * Decimal::from(100);
    hundredths.normalize().to_string().parse().unwrap()
}

pub fn tiers(file: &Value) -> Ran {
    for case in cases(file) {
        let mode = if case["model"].as_str().unwrap().starts_with("volume") { "volume" } else { "marginal" };
        let range = |range: &Value| {
            // So many cents for each unit of theirs, in parts per million of ours.
            let price = match range.get("per_unit") {
                Some(price) => hundredths(price),
                None => amount(&range["rate_percent"]),
            };
            let rate = price * 1_000_000 / UNIT;
            assert_eq!(rate * UNIT, price * 1_000_000);
            json!({ "upTo": range["to"].as_i64().map(|end| end * UNIT), "ratePpm": rate, "flat": amount(&range["flat"]) * 100 })
        };
        let ranges: Vec<Value> = case["ranges"].as_array().unwrap().iter().map(range).collect();
        let model = with_fee(json!({ "tiers": { "basis": "amount", "mode": mode, "tiers": ranges } }));
        let units = amount(&case["units"]) * UNIT;
        if units == 0 {
            // A negative control: theirs charges the first flat for being there; ours is a part of what was released, so
            // of nothing it is nothing, and nothing cannot be released.
            assert_eq!(hundredths(&case["expected"]), amount(&ranges[0]["flat"]), "{case}");
            let checked = spec(&model).check().unwrap();
            let nothing = scene::run(&checked, &mut Ledger::new(), &Released::plain(0), Detail::Full);
            assert_eq!(nothing, Err(CalculationError::AmountNotPositive));
            let deduction = Deduction { kind: DeductionKind::Refund, amount_minor: 5, reference: None };
            let all_refunded = Released { deductions: vec![deduction], ..Released::plain(5) };
            let result = scene::run(&checked, &mut Ledger::new(), &all_refunded, Detail::Full).unwrap();
            assert_eq!(result.totals.fee_minor, 0);
            continue;
        }
        assert_eq!(split(&model, units).totals.fee_minor, hundredths(&case["expected"]), "{case}");
    }
    Ran::of(cases(file).len())
}

/// Withholding of the part from a source in the country; without a form, of everything.
pub fn taxes(file: &Value) -> Ran {
    for case in cases(file) {
        let gross = amount(&case["gross"]);
        let mut model = steps(json!([{ "type": "remainder", "recipientId": "rec_creator" }]));
        let result = match case["rate_bps"].as_i64() {
            // Nobody told anything of them: the model's default profile.
            None => {
                assert_eq!(case["rule"], "backup 24 % on total");
                model["defaultTaxProfile"] = json!({ "rules": [{ "code": "us_backup", "ratePpm": 240_000 }] });
                split(&model, gross)
            }
            Some(bps) => {
                let taxable = amount(&case["us_source"]) * 1_000_000 / gross;
                let rule = json!({ "code": "us_nra", "ratePpm": bps * 100, "taxablePpm": taxable });
                let rule = serde_json::from_value::<TaxRuleSpec>(rule).unwrap().try_into().unwrap();
                let tax = vec![Withholding { rule, year_to_date_minor: 0 }];
                history(&model, &[gross], &[Party { tax, ..Party::default() }]).remove(0)
            }
        };
        assert_eq!(json!(result.totals.tax_minor), case["expected_tax"], "{case}");
    }
    Ran::of(cases(file).len())
}

#[test]
fn fees_are_what_their_platforms_publish() {
    assert_eq!(run(&file("fee_vectors.json")), Ran::of(10));
}

#[test]
fn fee_tiers_are_what_lago_charges() {
    assert_eq!(tiers(&file("lago_tiers.json")), Ran::of(9));
}

#[test]
fn withholding_is_what_a_creator_is_told() {
    assert_eq!(taxes(&file("tax_vectors.json")), Ran::of(3));
}
