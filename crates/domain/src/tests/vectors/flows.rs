//! Ordered destinations, waterfalls and caps, each written as a model of ours.

use super::{Ran, amount, amounts, cases, faults, file, film, gross, gross_of, history, of_step, split, steps};
use serde_json::{Value, json};

/// Clauses of Numscript: `max` is a fixed amount, `remaining` the remainder; what is `kept` stays with the payer, who is
/// a recipient here, for nothing may disappear.
pub fn ordered(file: &Value) -> Ran {
    for case in cases(file) {
        let whole = amount(&case["amount"]);
        match case["id"].as_str().unwrap() {
            // Theirs takes a negative cap for nothing; ours refuses it, for nobody means it.
            "numscript-inorder-7" => {
                assert_eq!(faults(&clauses(&case["steps"])), ["amount_not_positive"], "{case}");
                let cap = json!([{ "recipientId": "rec_x", "weight": 1, "max": -10 }]);
                let capped =
                    json!([{ "type": "share", "lines": cap }, { "type": "remainder", "recipientId": "rec_world" }]);
                assert_eq!(faults(&steps(capped)), ["negative_cap", "min_exceeds_max"], "{case}");
            }
            "numscript-nested-1" => nested(case),
            "numscript-nested-3" => nested_first(case),
            "numscript-maxfee-2" => {
                let fee = &case["fee"];
                assert_eq!(fee["rate"], "10%");
                let mut model = steps(json!([{ "type": "remainder", "recipientId": "rec_dest" }]));
                model["platformFee"] = json!({ "ratePpm": 100_000, "max": fee["cap"] });
                let totals = split(&model, whole).totals;
                assert_eq!(json!({ "fees": totals.fee_minor, "dest": totals.net_minor }), case["expected"], "{case}");
            }
            _ => expect(case, &clauses(&case["steps"])),
        }
    }
    Ran::of(cases(file).len())
}

fn clauses(clauses: &Value) -> Value {
    let clause = |clause: &Value| match clause["to"].as_str() {
        Some(to) => json!({ "type": "fixed", "amount": clause["max"], "recipientId": format!("rec_{to}") }),
        None => json!({ "type": "remainder", "recipientId": format!("rec_{}", clause["remaining"].as_str().unwrap()) }),
    };
    steps(clauses.as_array().unwrap().iter().map(clause).collect())
}

fn expect(case: &Value, model: &Value) {
    let result = split(model, amount(&case["amount"]));
    for (who, expected) in case["expected"].as_object().unwrap() {
        assert_eq!(json!(gross_of(&result, who)), *expected, "{who} of {case}");
    }
    assert_eq!(result.lines.len(), case["expected"].as_object().unwrap().len());
}

/// A tree whose last branch is a list of clauses: one model, or two calculations, one inside the other.
fn nested(case: &Value) {
    let inner = clauses(&case["tree"]["60%"]["steps"]);
    let outer = json!({ "type": "share", "portionPpm": 400_000, "lines": [
        { "recipientId": "rec_a", "percent": "50" }, { "recipientId": "rec_kept", "percent": "50" }] });
    let mut model = inner.clone();
    model["steps"].as_array_mut().unwrap().insert(0, outer);
    expect(case, &model);

    let outer = steps(json!([{ "type": "share", "lines": [
        { "recipientId": "rec_a", "percent": "20" }, { "recipientId": "rec_kept", "percent": "20" },
        { "recipientId": "rec_inner", "percent": "60" }] }]));
    let first = split(&outer, amount(&case["amount"]));
    let second = split(&inner, gross_of(&first, "inner"));
    let got = json!({ "a": gross_of(&first, "a"), "kept": gross_of(&first, "kept"), "b": gross_of(&second, "b"), "c": gross_of(&second, "c") });
    assert_eq!(got, case["expected"]);
}

/// A tree whose first branch is a list of clauses: the other branch goes first, so that its list is what is left.
fn nested_first(case: &Value) {
    let mut model = clauses(&case["tree"]["10%"]["steps"]);
    let other =
        json!({ "type": "share", "portionPpm": 900_000, "lines": [{ "recipientId": "rec_dest2", "weight": 1 }] });
    model["steps"].as_array_mut().unwrap().insert(0, other);
    expect(case, &model);
}

/// Caps that are the weights, too. What exceeds them all is dropped by the source; here the next step catches it.
pub fn caps(file: &Value) -> Ran {
    for case in cases(file) {
        let caps = amounts(&case["max"]);
        let lines: Vec<Value> = caps
            .iter()
            .enumerate()
            // A weight of nothing says nothing; a cap of nothing does.
            .map(|(at, cap)| json!({ "recipientId": format!("rec_{at}"), "weight": cap.max(&1), "max": cap }))
            .collect();
        assert_eq!(faults(&steps(json!([{ "type": "share", "lines": lines }]))), ["terminal_step_leaves_remainder"]);
        let model =
            steps(json!([{ "type": "share", "lines": lines }, { "type": "remainder", "recipientId": "rec_rest" }]));
        let result = split(&model, amount(&case["amount"]));
        let expected = amounts(&case["expected"]);
        assert_eq!(gross(&result)[..caps.len()], expected, "{case}");
        assert_eq!(gross_of(&result, "rest"), amount(&case["amount"]) - expected.iter().sum::<i64>(), "{case}");
    }
    Ran::of(cases(file).len())
}

/// What web pages say of films, loans, games and marketplaces.
pub fn facts(file: &Value) -> Ran {
    for case in cases(file) {
        match case["id"].as_str().unwrap() {
            "film-fate-of-the-monarchs" => monarchs(case),
            "rbf-175x" => {
                assert_eq!(case["multiple"], "1.75");
                let model = steps(json!([
                    { "type": "recoup", "multiplePpm": 1_750_000, "lines": [{ "recipientId": "rec_lender", "principal": case["principal"] }] },
                    { "type": "remainder", "recipientId": "rec_company" }]));
                let got: i64 =
                    history(&model, &[300_000; 3], &[]).iter().map(|result| gross_of(result, "lender")).sum();
                assert_eq!(json!(got), case["expected_cap"]);
            }
            "steam-tiers" => steam(case),
            "xendit-merchant-master" => {
                let mut model = steps(json!([
                    { "type": "fixed", "amount": case["transfer"], "recipientId": "rec_master" },
                    { "type": "remainder", "recipientId": "rec_sub" }]));
                model["currency"] = json!("USD");
                expect(&json!({ "amount": case["payment"], "expected": case["expected"] }), &model);
            }
            other => panic!("{other}"),
        }
    }
    Ran::of(cases(file).len())
}

fn monarchs(case: &Value) {
    let result = split(&film(), amount(&case["gross_receipts"]) * 100);
    let dollars = |step: usize, who: Option<&str>| {
        let cents = of_step(&result, step, who);
        assert_eq!(cents % 100, 0);
        json!(cents / 100)
    };
    let got = json!({
        "distributor_fee": dollars(0, Some("distributor")),
        "marketing": dollars(1, Some("distributor")),
        "sales_commission": dollars(2, Some("agent")),
        "sales_expenses": dollars(3, Some("agent")),
        "investor_each_recoup": dollars(4, Some("investor1")),
        "net_profits": dollars(5, None),
        "investor_each_profit": dollars(5, Some("investor1")),
        "company": dollars(5, Some("company")),
        "star_each": dollars(5, Some("star1")),
        "writer_director": dollars(5, Some("director")),
    });
    assert_eq!(got, case["expected"]);
    for number in 2..=5 {
        let investor = format!("investor{number}");
        assert_eq!(gross_of(&result, &investor), gross_of(&result, "investor1"));
    }
    for who in ["star2", "star3", "director"] {
        assert_eq!(gross_of(&result, who), 25_000, "as published");
    }
}

/// The totals are reached at once, or one after the other.
fn steam(case: &Value) {
    let tier = |tier: &Value| {
        let dev = amount(&tier["developer_ppm"]);
        let end = tier["up_to"].as_i64().map(|dollars| dollars * 100);
        json!({ "upTo": end, "lines": [{ "recipientId": "rec_dev", "ppm": dev }, { "recipientId": "rec_store", "ppm": 1_000_000 - dev }] })
    };
    let tiers: Vec<Value> = case["tiers"].as_array().unwrap().iter().map(tier).collect();
    let model = steps(json!([{ "type": "tiers", "basis": "cumulative_amount", "mode": "marginal", "tiers": tiers }]));
    let (mut before, mut releases, mut expected) = (0, Vec::new(), Vec::new());
    for total in case["cases"].as_array().unwrap() {
        let cents = amount(&total["cumulative"]) * 100;
        assert_eq!(gross_of(&split(&model, cents), "dev"), amount(&total["developer"]) * 100, "{total}");
        releases.push(cents - before);
        before = cents;
        expected.push(amount(&total["developer"]) * 100);
    }
    let mut sum = 0;
    for (result, expected) in history(&model, &releases, &[]).iter().zip(expected) {
        sum += gross_of(result, "dev");
        assert_eq!(sum, expected);
    }
}

/// What the contracts of 0xSplits refuse. Where ours takes it, it says why.
pub fn refused(file: &Value) -> Ran {
    let share = |parts: &[(&str, i64)]| {
        let line = |(who, ppm): &(&str, i64)| json!({ "recipientId": format!("rec_{who}"), "ppm": ppm });
        steps(json!([{ "type": "share", "lines": parts.iter().map(line).collect::<Vec<_>>() }]))
    };
    for case in cases(file) {
        match case["id"].as_str().unwrap() {
            // Ours takes one recipient: a project of one person is a project.
            "0xsplits-v1-err-1" => {
                let parts = amounts(&case["allocations_ppm"]);
                assert_eq!(gross(&split(&share(&[("a", parts[0])]), 100)), [100]);
            }
            "0xsplits-v1-err-2" | "0xsplits-v2-err-1" => {
                for off in [-1, 1] {
                    assert_eq!(
                        faults(&share(&[("a", 500_000), ("b", 500_000 + off)])),
                        ["share_sum_not_100"],
                        "{case}"
                    );
                }
            }
            "0xsplits-v1-err-3" => {
                assert_eq!(faults(&share(&[("a", 1_000_000), ("b", 0)])), ["share_not_positive"], "{case}");
            }
            // Ours has no opinion on what a fee may be, but that nobody can take more than everything.
            "0xsplits-v1-err-4" => {
                let mut model = share(&[("a", 1_000_000)]);
                model["platformFee"] = json!({ "ratePpm": case["distributor_fee_ppm"] });
                assert_eq!(split(&model, 1_000_000).totals.fee_minor, 100_001);
                model["platformFee"]["ratePpm"] = json!(1_000_001);
                assert_eq!(faults(&model), ["rate_out_of_range"]);
            }
            // Ours refuses whoever is listed twice; the order is the author's, for it decides ties.
            "0xsplits-v1-err-5" => {
                assert_eq!(faults(&share(&[("a", 500_000), ("a", 500_000)])), ["duplicate_recipient"], "{case}");
                assert_eq!(gross(&split(&share(&[("b", 500_000), ("a", 500_000)]), 1)), [1, 0]);
            }
            other => panic!("{other}"),
        }
        assert!(case["error"].is_string());
    }
    Ran::of(cases(file).len())
}

/// A waterfall by cumulative thresholds, in the three ways in which ours can say it; deposits come one by one or at once.
pub fn thresholds(file: &Value) -> Ran {
    for case in cases(file) {
        let (thresholds, deposits) = (amounts(&case["thresholds"]), amounts(&case["deposits"]));
        let first: Vec<fn(usize, i64) -> Value> = vec![
            |at, amount| json!({ "type": "fixed", "per": "lifetime", "amount": amount, "recipientId": format!("rec_{at}") }),
            |at, amount| json!({ "type": "recoup", "lines": [{ "recipientId": format!("rec_{at}"), "principal": amount }] }),
            |at, amount| json!({ "type": "share", "lines": [{ "recipientId": format!("rec_{at}"), "weight": 1, "lifetimeMax": amount }] }),
        ];
        for step in first {
            let mut all: Vec<Value> = thresholds.iter().enumerate().map(|(at, amount)| step(at, *amount)).collect();
            all.push(json!({ "type": "remainder", "recipientId": format!("rec_{}", thresholds.len()) }));
            let model = steps(json!(all));
            for deposits in [deposits.clone(), vec![deposits.iter().sum()]] {
                let mut sums = vec![0; thresholds.len() + 1];
                for result in history(&model, &deposits, &[]) {
                    sums.iter_mut().zip(gross(&result)).for_each(|(sum, gross)| *sum += gross);
                }
                assert_eq!(sums, amounts(&case["expected_cumulative"]), "{case}");
            }
        }
    }
    Ran::of(cases(file).len())
}

#[test]
fn ordered_destinations_of_numscript_are_steps() {
    assert_eq!(ordered(&file("numscript_waterfall.json")), Ran::of(7));
}

#[test]
fn what_exceeds_all_caps_reaches_the_next_step() {
    assert_eq!(caps(&file("shopify_money_max_amounts.json")), Ran::of(7));
}

#[test]
fn a_film_a_loan_a_game_and_a_marketplace_are_paid_as_published() {
    assert_eq!(facts(&file("waterfall_facts.json")), Ran::of(4));
}

#[test]
fn what_other_contracts_refuse_is_refused_or_makes_sense() {
    assert_eq!(refused(&file("zeroxsplits_validation.json")), Ran::of(6));
}

#[test]
fn a_waterfall_by_thresholds_does_not_care_how_deposits_come() {
    assert_eq!(thresholds(&file("zeroxsplits_waterfall.json")), Ran::of(3));
}
