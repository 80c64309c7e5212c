//! The worked examples of the design, each with every figure it gives.

use super::{Ran, amount, amounts, cases, file, film, gross, history, of_step, spec, steps};
use crate::{
    batch::BatchLine,
    calculation::{Calculation, Column, Detail, Line, Operation, Party, Withholding, calculate},
    ids::BatchId,
    money::Money,
    revenue_model::spec::FeeOnRefund,
    reversal::{ReversalLine, Strategy, divide},
    tax::TaxRuleSpec,
    tests::scene::{self, Ledger, Released},
};
use serde_json::{Value, json};
use uuid::Uuid;

pub fn run(file: &Value) -> Ran {
    let tiers = &cases(file).iter().find(|case| case["id"] == "tier-crossing").unwrap()["input"]["tiers"];
    for case in cases(file) {
        let input = &case["input"];
        match case["id"].as_str().unwrap() {
            "film-waterfall-cents" => film_in_cents(case),
            "refund-on-remaining" => refund(case),
            _ if input.get("cumulative_before").is_some() => tier(case, tiers),
            _ if input.get("net").is_some() => settlement(case),
            _ => share(case),
        }
    }
    Ran::of(cases(file).len())
}

/// One step; limits, a fee and taxes where the example has them.
fn share(case: &Value) {
    let input = &case["input"];
    let (kind, parts) = match (input.get("shares_ppm"), input.get("weights")) {
        (Some(parts), None) => ("ppm", parts.clone()),
        (None, Some(Value::String(text))) => {
            assert_eq!(text, "1 x 10000");
            ("weight", json!(vec![1; 10_000]))
        }
        (None, Some(parts)) => ("weight", parts.clone()),
        _ => panic!("{case}"),
    };
    let line = |(at, part): (usize, &Value)| {
        let mut line = json!({ "recipientId": format!("rec_{at}"), kind: part });
        for limit in ["min", "max"] {
            let value = &input[limit][at];
            if !value.is_null() {
                line[limit] = value.clone();
            }
        }
        line
    };
    let lines: Vec<Value> = parts.as_array().unwrap().iter().enumerate().map(line).collect();
    let mut model = steps(json!([{ "type": "share", "lines": lines }]));
    model["platformFee"] = json!({ "ratePpm": input["fee_bps"].as_u64().unwrap_or(0) * 100 });
    let party = |tax: &Value| {
        let Some(tax) = tax.as_object() else { return Party::default() };
        let mut rule = json!({ "code": "withholding", "ratePpm": tax["rate_ppm"], "taxablePpm": tax["taxable_ppm"] });
        rule["base"] = tax["base"].clone();
        let rule = serde_json::from_value::<TaxRuleSpec>(rule).unwrap().try_into().unwrap();
        Party { tax: vec![Withholding { rule, year_to_date_minor: 0 }], ..Party::default() }
    };
    let parties: Vec<Party> = input["tax"].as_array().into_iter().flatten().map(party).collect();
    let result = history(&model, &[amount(&input["amount"])], &parties).remove(0);
    let column = |of: fn(&Line) -> i64| result.lines.iter().map(of).collect::<Vec<_>>();
    match case["gross"].as_str() {
        None => assert_eq!(gross(&result), amounts(&case["gross"]), "{case}"),
        Some("first 9999 lines 1, last 0") => {
            assert!(gross(&result).iter().enumerate().all(|(at, gross)| *gross == i64::from(at < 9_999)));
        }
        Some("first line 2, all others 1") => {
            assert!(gross(&result).iter().enumerate().all(|(at, gross)| *gross == 1 + i64::from(at == 0)));
        }
        Some(other) => panic!("{other}"),
    }
    for (name, of) in [
        ("fee", (|line| line.fee_minor) as fn(&Line) -> i64),
        ("tax", |line| line.tax_minor),
        ("net", |line| line.net_minor),
    ] {
        if case.get(name).is_some() {
            assert_eq!(column(of), amounts(&case[name]), "{name} of {case}");
        }
    }
    if let Some(total) = case.get("total_distributed") {
        assert_eq!(json!(result.totals.net_minor), *total, "{case}");
    }
}

fn tier(case: &Value, tiers: &Value) {
    let input = &case["input"];
    assert!(input["tiers"].is_array() || input["tiers"] == "as tier-crossing");
    let lines = |parts: &Value| -> Vec<Value> {
        let parts = parts.as_array().unwrap().iter().enumerate();
        parts.map(|(at, ppm)| json!({ "recipientId": format!("rec_{at}"), "ppm": ppm })).collect()
    };
    let tier = |tier: &Value| json!({ "upTo": tier[0], "lines": lines(&tier[1]) });
    let tiers: Vec<Value> = tiers.as_array().unwrap().iter().map(tier).collect();
    let model = steps(
        json!([{ "type": "tiers", "key": "k", "basis": "cumulative_amount", "mode": "marginal", "tiers": tiers }]),
    );
    let model = spec(&model).check().unwrap();
    let before = amount(&input["cumulative_before"]);
    let mut ledger = Ledger::from([("cumulative/k/None".to_owned(), i128::from(before))]);
    let release = Released::plain(amount(&input["amount"]));
    let result = scene::run(&model, &mut ledger, &release, Detail::Full).unwrap();
    assert_eq!(gross(&result), amounts(&case["gross"]), "{case}");
    assert_eq!(ledger["cumulative/k/None"], i128::from(before + release.amount));
    if let Some(slices) = case.get("slices") {
        let told = result
            .explanation
            .iter()
            .filter(|line| line.operation == Operation::TierSlice && line.column == Column::Gross);
        let told: Vec<i64> = told.map(|line| line.value).collect();
        let expected: Vec<i64> = slices.as_array().unwrap().iter().map(|slice| amount(&slice[0])).collect();
        assert_eq!(told, expected, "{case}");
    }
}

/// Each step with what it takes and what it leaves.
fn film_in_cents(case: &Value) {
    let mut left = amount(&case["input"]["amount"]);
    let result = history(&film(), &[left], &[]).remove(0);
    let expected = case["steps"].as_array().unwrap();
    assert_eq!(expected.len(), 6);
    for (at, step) in expected.iter().enumerate() {
        let taken = of_step(&result, at, None);
        left -= taken;
        assert_eq!((json!(taken), json!(left)), (step[1].clone(), step[2].clone()), "{step}");
    }
    let last: Vec<i64> = result
        .explanation
        .iter()
        .filter(|line| line.step == Some(5) && line.recipient.is_some())
        .map(|line| line.value)
        .collect();
    assert_eq!(last, amounts(&case["final"]));
}

fn refund(case: &Value) {
    let batch = BatchId::new(Uuid::nil());
    let line = |(gross_minor, seq): (i64, u32)| BatchLine {
        batch,
        seq,
        recipient: format!("rec_{seq}").parse().unwrap(),
        item: None,
        gross_minor,
        fee_minor: 0,
        fee_tax_minor: 0,
        taxes: Vec::new(),
        carried_in_minor: 0,
        recovered_minor: 0,
        carried_forward_minor: 0,
        payable_minor: gross_minor,
    };
    let lines: Vec<BatchLine> = amounts(&case["input"]["original"]).into_iter().zip(0..).map(line).collect();
    let mut remaining: i64 = lines.iter().map(|line| line.gross_minor).sum();
    let mut earlier: Vec<ReversalLine> = Vec::new();
    for (at, refund) in amounts(&case["input"]["refunds"]).into_iter().enumerate() {
        let id = format!("ref_{at}").parse().unwrap();
        let (strategy, fee) = (Strategy::SplitRatio, FeeOnRefund::Returned);
        let reversed = divide(&id, refund, &strategy, fee, &lines, &earlier, remaining).unwrap();
        let gross: Vec<i64> = reversed.iter().map(|line| line.gross_minor).collect();
        assert_eq!(gross, amounts(&case["reversals"][at]), "{case}");
        remaining -= refund;
        earlier.extend(reversed);
    }
    assert_eq!(remaining, 0);
}

/// What becomes of one recipient's net amount.
fn settlement(case: &Value) {
    let input = &case["input"];
    let field = |name: &str| input[name].as_i64().unwrap_or(0);
    let model = json!({
        "steps": [{ "type": "remainder", "recipientId": "rec_a" }],
        "settlement": { "recoveryPpm": input.get("recovery_ppm").unwrap_or(&json!(1_000_000)) },
    });
    let model = spec(&model).check().unwrap();
    let party = Party {
        debt_minor: field("debt"),
        carried_minor: field("carried_in"),
        minimum_minor: field("min_payout"),
        granularity_minor: input["payout_granularity"].as_i64().unwrap_or(1),
        ..Party::default()
    };
    let result: Calculation = calculate(crate::calculation::Request {
        amount: Money::new(field("net"), input["currency"].as_str().unwrap_or("USD").parse().unwrap()),
        deductions: &[],
        day: scene::day("2026-06-15"),
        model: &model,
        parties: std::slice::from_ref(&party),
        counts: &[],
        detail: Detail::Full,
    })
    .unwrap();
    let line = &result.lines[0];
    let available = line.net_minor + line.carried_in_minor - line.recovered_minor;
    for (name, got) in [
        ("recovered", line.recovered_minor),
        ("available", available),
        ("carried_forward", line.carried_forward_minor),
        ("payable", line.payable_minor),
        ("debt_after", party.debt_minor - line.recovered_minor),
    ] {
        if let Some(expected) = case.get(name) {
            assert_eq!(json!(got), *expected, "{name} of {case}");
        }
    }
}

#[test]
fn the_worked_examples_are_right_to_the_last_figure() {
    assert_eq!(run(&file("derived_worked_examples.json")), Ran::of(20));
}
