use super::*;
use crate::revenue_model::{Step, spec::LineSpec};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The faults of a model as `pointer code`, in the order in which they are told.
fn faults(model: Value) -> Vec<String> {
    let text = |fault: &Fault| format!("{} {}", fault.pointer, fault.code.as_str());
    let spec: ModelSpec = serde_json::from_value(model).unwrap();
    spec.check().map_or_else(|faults| faults.iter().map(text).collect(), |_| Vec::new())
}
fn steps(steps: Value) -> Value {
    json!({ "currency": "USD", "steps": steps })
}
fn share(lines: Value) -> Value {
    steps(json!([{ "type": "share", "lines": lines }]))
}
fn tiers(tiers: Value) -> Value {
    steps(json!([{ "type": "tiers", "basis": "amount", "mode": "marginal", "tiers": tiers }]))
}
fn fee(fee: Value) -> Value {
    json!({ "currency": "USD", "platformFee": fee, "steps": [{ "type": "remainder", "recipientId": "rec_a" }] })
}
fn all() -> Value {
    json!([{ "recipientId": "rec_a", "ppm": 1_000_000 }])
}
fn weights(lines: Value) -> Vec<u64> {
    let spec: ModelSpec = serde_json::from_value(share(lines)).unwrap();
    match &spec.check().unwrap().steps()[0] {
        Step::Share { share, .. } => share.weights.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn four_ways_to_say_the_same() {
    for (kind, part) in
        [("percent", json!("70")), ("percent", json!("70.0000")), ("bps", json!(7_000)), ("ppm", json!(700_000))]
    {
        let lines = json!([{ "recipientId": "rec_a", kind: part }, { "recipientId": "rec_b", "remaining": true }]);
        assert_eq!(weights(lines), [700_000, 300_000], "{kind} {part}");
    }
    assert_eq!(
        weights(json!([{ "recipientId": "rec_a", "weight": 1 }, { "recipientId": "rec_b", "weight": 2 }])),
        [1, 2]
    );
    let thirds =
        json!([{ "recipientId": "rec_a", "percent": "33.3333" }, { "recipientId": "rec_b", "percent": "66.6667" }]);
    assert_eq!(weights(thirds), [333_333, 666_667]);
    assert_eq!(weights(json!([{ "recipientId": "rec_a", "remaining": true }])), [1_000_000]);
}

/// Every code, where it is, and in what kind of step.
fn table() -> Vec<(Value, &'static str)> {
    let of = |recipient: &str, kind: &str, part: Value| json!({ "recipientId": recipient, kind: part });
    let ppm = |part: i64| share(json!([of("rec_a", "ppm", json!(part))]));
    let percent = |part: &str| share(json!([of("rec_a", "percent", json!(part))]));
    let remainder = json!({ "type": "remainder", "recipientId": "rec_z" });
    let fixed = |fields: Value| {
        let mut step = json!({ "type": "fixed", "amount": 5 });
        step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        steps(json!([step, remainder]))
    };
    let recoup = |fields: Value| {
        let mut step = json!({ "type": "recoup", "key": "k", "lines": [{ "recipientId": "rec_a", "principal": 5 }] });
        step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        steps(json!([step, remainder]))
    };
    let transfer = |from: &str, to: &str, fields: Value| {
        let mut step = json!({ "type": "recoup_from_share", "key": "k", "fromRecipientId": from, "toRecipientId": to, "target": 5 });
        step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        steps(
            json!([step, { "type": "share", "lines": [of("rec_a", "weight", json!(1)), of("rec_b", "weight", json!(1))] }]),
        )
    };
    let limits = |fields: Value| {
        let mut line = json!({ "recipientId": "rec_a", "weight": 1 });
        line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let mut model = share(json!([line, { "recipientId": "rec_b", "weight": 1 }]));
        model["steps"][0]["key"] = json!("k");
        model
    };
    let tier = |end: Value| json!({ "upTo": end, "lines": all() });
    let fee_tiers = |tiers: Value| fee(json!({ "tiers": { "basis": "amount", "mode": "marginal", "tiers": tiers } }));
    vec![
        (steps(json!([])), "/steps no_steps"),
        (share(json!([])), "/steps/0/lines no_lines"),
        (fixed(json!({})), "/steps/0/lines no_lines"),
        (recoup(json!({ "lines": [] })), "/steps/0/lines no_lines"),
        (tiers(json!([])), "/steps/0/tiers no_lines"),
        (tiers(json!([{ "upTo": null, "lines": [] }])), "/steps/0/tiers/0/lines no_lines"),
        (fee_tiers(json!([])), "/platformFee/tiers/tiers no_lines"),
        (steps(json!([remainder, remainder])), "/steps/1 unreachable_step"),
        (
            steps(
                json!([{ "type": "share", "lines": all() }, { "type": "fixed", "amount": 1, "recipientId": "rec_a" }]),
            ),
            "/steps/1 unreachable_step",
        ),
        (
            steps(json!([{ "type": "fixed", "amount": 1, "recipientId": "rec_a" }])),
            "/steps/0 terminal_step_leaves_remainder",
        ),
        (
            steps(json!([{ "type": "share", "portionPpm": 999_999, "lines": all() }])),
            "/steps/0 terminal_step_leaves_remainder",
        ),
        (share(json!([{ "recipientId": "rec_a", "weight": 1, "max": 5 }])), "/steps/0 terminal_step_leaves_remainder"),
        (
            steps(
                json!([{ "type": "recoup_from_share", "key": "k", "fromRecipientId": "rec_a", "toRecipientId": "rec_b", "target": 1 }]),
            ),
            "/steps terminal_step_leaves_remainder; /steps/0/fromRecipientId unknown_recipient",
        ),
        (fixed(json!({ "recipientId": "rec_a", "per": "lifetime" })), "/steps/0/key step_key_required"),
        (recoup(json!({ "key": null })), "/steps/0/key step_key_required"),
        (transfer("rec_a", "rec_b", json!({ "key": null })), "/steps/0/key step_key_required"),
        (
            steps(
                json!([{ "type": "tiers", "basis": "cumulative_amount", "mode": "volume", "tiers": [tier(json!(null))] }]),
            ),
            "/steps/0/key step_key_required",
        ),
        (
            share(
                json!([{ "recipientId": "rec_a", "weight": 1, "lifetimeMax": 1 }, { "recipientId": "rec_b", "weight": 1 }]),
            ),
            "/steps/0/key step_key_required",
        ),
        (
            steps(json!([
                { "type": "fixed", "key": "k", "per": "lifetime", "amount": 1, "recipientId": "rec_a" },
                { "type": "recoup", "key": "k", "lines": [{ "recipientId": "rec_a", "principal": 1 }] }, remainder])),
            "/steps/1/key duplicate_step_key",
        ),
        (
            json!({ "steps": [{ "type": "fixed", "amount": 1, "recipientId": "rec_a" }, remainder] }),
            "/currency currency_required",
        ),
        (
            json!({ "steps": [{ "type": "share", "lines": [{ "recipientId": "rec_a", "weight": 1, "min": 1 }] }] }),
            "/currency currency_required",
        ),
        (
            json!({ "steps": [remainder], "platformFee": { "tiers": { "basis": "amount", "mode": "volume", "tiers": [
                { "upTo": 5, "ratePpm": 1 }, { "upTo": null, "ratePpm": 2 }] } } }),
            "/currency currency_required",
        ),
        (
            share(json!([of("rec_a", "weight", json!(1)), of("rec_a", "weight", json!(1))])),
            "/steps/0/lines/1/recipientId duplicate_recipient",
        ),
        (
            recoup(
                json!({ "lines": [{ "recipientId": "rec_a", "principal": 5 }, { "recipientId": "rec_a", "principal": 5 }] }),
            ),
            "/steps/0/lines/1/recipientId duplicate_recipient",
        ),
        (
            fee(json!({ "exemptRecipientIds": ["rec_a", "rec_b"] })),
            "/platformFee/exemptRecipientIds/1 unknown_recipient",
        ),
        (transfer("rec_c", "rec_a", json!({})), "/steps/0/fromRecipientId unknown_recipient"),
        (transfer("rec_a", "rec_a", json!({})), "/steps/0 cycle_detected"),
        (
            steps(json!([
                { "type": "recoup_from_share", "key": "a", "fromRecipientId": "rec_a", "toRecipientId": "rec_b", "target": 1 },
                { "type": "recoup_from_share", "key": "b", "fromRecipientId": "rec_b", "toRecipientId": "rec_c", "target": 1 },
                { "type": "recoup_from_share", "key": "c", "fromRecipientId": "rec_c", "toRecipientId": "rec_a", "target": 1 },
                { "type": "share", "lines": all() }])),
            "/steps/2 cycle_detected",
        ),
        (share(json!([{ "recipientId": "rec_a" }])), "/steps/0/lines/0 mixed_share_kinds"),
        (
            share(json!([{ "recipientId": "rec_a", "ppm": 1, "bps": 1 }])),
            "/steps/0/lines mixed_share_kinds; /steps/0/lines/0 mixed_share_kinds",
        ),
        (
            share(json!([of("rec_a", "ppm", json!(1)), of("rec_b", "bps", json!(1))])),
            "/steps/0/lines mixed_share_kinds",
        ),
        (
            share(json!([of("rec_a", "weight", json!(1)), of("rec_b", "remaining", json!(true))])),
            "/steps/0/lines mixed_share_kinds",
        ),
        (
            tiers(json!([{ "upTo": null, "lines": [of("rec_a", "weight", json!(1))] }])),
            "/steps/0/tiers/0/lines mixed_share_kinds",
        ),
        (fixed(json!({ "recipientId": "rec_a", "lines": all() })), "/steps/0/lines mixed_share_kinds"),
        (
            share(json!([of("rec_a", "remaining", json!(true)), of("rec_b", "remaining", json!(true))])),
            "/steps/0/lines multiple_remaining",
        ),
        (ppm(0), "/steps/0/lines/0/ppm share_not_positive"),
        (ppm(-1), "/steps/0/lines/0/ppm share_not_positive"),
        (percent("-5"), "/steps/0/lines/0/percent share_not_positive"),
        (percent("0.0000"), "/steps/0/lines/0/percent share_not_positive"),
        (share(json!([of("rec_a", "weight", json!(0))])), "/steps/0/lines/0/weight share_not_positive"),
        (
            tiers(json!([
                { "upTo": 5, "lines": [of("rec_a", "ppm", json!(1_000_000)), of("rec_b", "ppm", json!(0))] },
                { "upTo": null, "lines": [of("rec_b", "ppm", json!(0)), of("rec_a", "ppm", json!(1_000_000))] }])),
            "/steps/0/tiers/0/lines/1 share_not_positive",
        ),
        (percent("0.00001"), "/steps/0/lines/0/percent share_precision"),
        (percent("99.99999999999999999999999999999999"), "/steps/0/lines/0/percent share_precision"),
        (percent("x"), "/steps/0/lines/0/percent share_precision"),
        (percent("1_00"), "/steps/0/lines/0/percent share_precision"),
        (percent("+100"), "/steps/0/lines/0/percent share_precision"),
        (percent("1e2"), "/steps/0/lines/0/percent share_precision"),
        (percent("70"), "/steps/0/lines share_sum_not_100"),
        (percent("9999999999999999999999"), "/steps/0/lines share_sum_not_100"),
        (ppm(i64::MAX), "/steps/0/lines share_sum_not_100"),
        (share(json!([of("rec_a", "bps", json!(i64::MAX))])), "/steps/0/lines share_sum_not_100"),
        (
            share(json!([of("rec_a", "percent", json!("100")), of("rec_b", "remaining", json!(true))])),
            "/steps/0/lines share_sum_not_100",
        ),
        (
            tiers(json!([{ "upTo": null, "lines": [of("rec_a", "ppm", json!(0))] }])),
            "/steps/0/tiers/0/lines zero_total_weight",
        ),
        (
            share(json!([of("rec_a", "weight", json!(9_007_199_254_740_992u64)), of("rec_b", "weight", json!(1))])),
            "/steps/0/lines weight_overflow",
        ),
        (
            share(json!([
                { "recipientId": "rec_a", "weight": 1, "min": 9_007_199_254_740_991u64 },
                { "recipientId": "rec_b", "weight": 1, "min": 2 }])),
            "/steps/0/lines weight_overflow",
        ),
        (
            recoup(json!({ "multiplePpm": 1_000_000_000, "lines": [
                { "recipientId": "rec_a", "principal": 9_007_199_254_740_991u64 },
                { "recipientId": "rec_b", "principal": 9_007_199_254_740_991u64 }] })),
            "/steps/0/lines weight_overflow",
        ),
        (fixed(json!({ "amount": 0, "recipientId": "rec_a" })), "/steps/0/amount amount_not_positive"),
        (
            recoup(json!({ "lines": [{ "recipientId": "rec_a", "principal": -5 }] })),
            "/steps/0/lines/0/principal amount_not_positive",
        ),
        (transfer("rec_a", "rec_b", json!({ "target": 0 })), "/steps/0/target amount_not_positive"),
        (
            fixed(json!({ "amount": 9_007_199_254_740_992u64, "recipientId": "rec_a" })),
            "/steps/0/amount amount_out_of_range",
        ),
        (
            fee(json!({ "fixed": u64::MAX, "max": 9_007_199_254_740_992u64 })),
            "/platformFee/fixed amount_out_of_range; /platformFee/max amount_out_of_range",
        ),
        (fee(json!({ "min": 9_007_199_254_740_992u64 })), "/platformFee/min amount_out_of_range"),
        (
            fee_tiers(json!([{ "upTo": null, "flat": 9_007_199_254_740_992u64 }])),
            "/platformFee/tiers/tiers/0/flat amount_out_of_range",
        ),
        (limits(json!({ "max": i64::MAX })), "/steps/0/lines/0/max amount_out_of_range"),
        (
            json!({ "steps": [remainder], "settlement": { "escheatAfterDays": 0 } }),
            "/settlement/escheatAfterDays amount_out_of_range",
        ),
        (limits(json!({ "max": -1 })), "/steps/0/lines/0/max negative_cap; /steps/0/lines/0/min min_exceeds_max"),
        (limits(json!({ "min": -1 })), "/steps/0/lines/0/min negative_cap"),
        (
            limits(json!({ "lifetimeMax": -1 })),
            "/steps/0/lines/0/lifetimeMax negative_cap; /steps/0/lines/0/min min_exceeds_max",
        ),
        (limits(json!({ "min": 6, "max": 5 })), "/steps/0/lines/0/min min_exceeds_max"),
        (limits(json!({ "min": 6, "lifetimeMax": 5 })), "/steps/0/lines/0/min min_exceeds_max"),
        (
            fixed(json!({ "lines": [{ "recipientId": "rec_a", "weight": 1, "max": 5 }] })),
            "/steps/0/lines/0 limit_not_allowed",
        ),
        (
            tiers(json!([{ "upTo": null, "lines": [{ "recipientId": "rec_a", "ppm": 1_000_000, "min": 5 }] }])),
            "/steps/0/tiers/0/lines/0 limit_not_allowed",
        ),
        (
            tiers(json!([tier(json!(5)), tier(json!(5)), tier(json!(null))])),
            "/steps/0/tiers/1/upTo tier_not_increasing",
        ),
        (tiers(json!([tier(json!(0)), tier(json!(null))])), "/steps/0/tiers/0/upTo tier_not_increasing"),
        (tiers(json!([tier(json!(null)), tier(json!(null))])), "/steps/0/tiers/0/upTo tier_not_increasing"),
        (tiers(json!([tier(json!(5)), tier(json!(6))])), "/steps/0/tiers/1/upTo tier_last_not_open"),
        (fee_tiers(json!([{ "upTo": 5 }])), "/platformFee/tiers/tiers/0/upTo tier_last_not_open"),
        (
            tiers(json!([{ "from": 1, "upTo": 5, "lines": all() }, { "from": 6, "upTo": null, "lines": all() }])),
            "/steps/0/tiers/0/from tier_gap; /steps/0/tiers/1/from tier_gap",
        ),
        (recoup(json!({ "multiplePpm": 999_999 })), "/steps/0/multiplePpm multiple_below_one"),
        (recoup(json!({ "multiplePpm": 1_000_000_001 })), "/steps/0/multiplePpm rate_out_of_range"),
        (recoup(json!({ "ratePpm": 0 })), "/steps/0/ratePpm rate_out_of_range"),
        (transfer("rec_a", "rec_b", json!({ "ratePpm": 1_000_001 })), "/steps/0/ratePpm rate_out_of_range"),
        (
            steps(json!([{ "type": "share", "portionPpm": 0, "lines": all() }, remainder])),
            "/steps/0/portionPpm rate_out_of_range",
        ),
        (fee(json!({ "ratePpm": 1_000_001 })), "/platformFee/ratePpm rate_out_of_range"),
        (fee(json!({ "feeTaxPpm": 1_000_001 })), "/platformFee/feeTaxPpm rate_out_of_range"),
        (
            fee_tiers(json!([{ "upTo": null, "ratePpm": 1_000_001 }])),
            "/platformFee/tiers/tiers/0/ratePpm rate_out_of_range",
        ),
        (
            json!({ "steps": [remainder], "settlement": { "recoveryPpm": 1_000_001 } }),
            "/settlement/recoveryPpm rate_out_of_range",
        ),
        (fee(json!({ "min": 2, "max": 1 })), "/platformFee/min fee_min_exceeds_max"),
        (
            fee(
                json!({ "ratePpm": 1, "tiers": { "basis": "amount", "mode": "marginal", "tiers": [{ "upTo": null }] } }),
            ),
            "/platformFee/tiers fee_tiers_conflict",
        ),
        (
            fee(
                json!({ "scope": "line", "tiers": { "basis": "amount", "mode": "marginal", "tiers": [{ "upTo": null }] } }),
            ),
            "/platformFee/tiers fee_tiers_conflict",
        ),
    ]
}

#[test]
fn each_fault_has_its_code_and_place() {
    for (model, expected) in table() {
        assert_eq!(faults(model.clone()).join("; "), expected, "{model}");
    }
}

#[test]
fn a_model_beyond_the_limits_is_refused() {
    let line = |at: usize| LineSpec { weight: Some(1), ..LineSpec::of(format!("rec_{at}").parse().unwrap()) };
    let model = |steps: usize, lines: usize| ModelSpec {
        steps: vec![
            StepSpec::Share {
                key: None,
                portion_ppm: None,
                lines: (0..lines).map(line).collect(),
                feeable: None
            };
            steps
        ],
        ..ModelSpec::default()
    };
    let of = |spec: ModelSpec| {
        spec.check().map_or_else(|faults| faults.iter().map(|fault| fault.code).collect(), |_| vec![])
    };
    assert_eq!(of(model(1, LINES_MAX + 1)), [FaultCode::TooManyLines]);
    assert_eq!(of(model(1, LINES_MAX)), []);
    assert!(of(model(STEPS_MAX + 1, 1)).contains(&FaultCode::TooManySteps));
    assert!(!of(model(STEPS_MAX, 1)).contains(&FaultCode::TooManySteps));

    let scale = |count: usize| -> Vec<Value> {
        (1..=count).map(|end| json!({ "upTo": if end == count { None } else { Some(end) }, "lines": all() })).collect()
    };
    assert_eq!(faults(tiers(json!(scale(TIERS_MAX)))), [""; 0]);
    assert_eq!(faults(tiers(json!(scale(TIERS_MAX + 1)))), ["/steps/0/tiers too_many_lines"]);
    let recoup: Vec<Value> =
        (0..=LINES_MAX).map(|at| json!({ "recipientId": format!("rec_{at}"), "principal": 1 })).collect();
    let model = steps(
        json!([{ "type": "recoup", "key": "k", "lines": recoup }, { "type": "remainder", "recipientId": "rec_z" }]),
    );
    assert_eq!(faults(model), ["/steps/0/lines too_many_lines"]);
}

#[test]
fn there_is_a_model_with_each_fault() {
    let told: BTreeSet<String> = table().into_iter().flat_map(|(model, _)| faults(model)).collect();
    let beyond_the_limits = [FaultCode::TooManySteps, FaultCode::TooManyLines];
    for code in FaultCode::ALL.iter().filter(|code| !beyond_the_limits.contains(code)) {
        assert!(told.iter().any(|fault| fault.ends_with(&format!(" {}", code.as_str()))), "{code:?}");
    }
}

/// From every part of the model, whatever else is wrong; sorted as texts.
#[test]
fn all_faults_are_told_at_once_sorted_by_where_they_are() {
    let model = json!({
        "platformFee": { "ratePpm": 1_000_001, "min": 2, "max": 1, "exemptRecipientIds": ["rec_q"] },
        "settlement": { "recoveryPpm": 1_000_001 },
        "steps": [
            { "type": "recoup", "multiplePpm": 1, "ratePpm": 0, "lines": [{ "recipientId": "rec_a", "principal": 0 }] },
            { "type": "share", "lines": [
                { "recipientId": "rec_a", "ppm": 0 }, { "recipientId": "rec_a", "ppm": 1, "min": 3, "max": 2 }] },
            { "type": "tiers", "basis": "cumulative_amount", "mode": "volume", "tiers": [
                { "upTo": -1, "lines": [{ "recipientId": "rec_b", "percent": "10" }] },
                { "upTo": 7, "lines": [{ "recipientId": "rec_b", "percent": "0.12345" }] }] },
            { "type": "recoup_from_share", "fromRecipientId": "rec_q", "toRecipientId": "rec_q", "target": 0 },
        ],
    });
    let expected = [
        "/currency currency_required",
        "/platformFee/exemptRecipientIds/0 unknown_recipient",
        "/platformFee/min fee_min_exceeds_max",
        "/platformFee/ratePpm rate_out_of_range",
        "/settlement/recoveryPpm rate_out_of_range",
        "/steps/0/key step_key_required",
        "/steps/0/lines/0/principal amount_not_positive",
        "/steps/0/multiplePpm multiple_below_one",
        "/steps/0/ratePpm rate_out_of_range",
        "/steps/1/lines/0/ppm share_not_positive",
        "/steps/1/lines/1/min min_exceeds_max",
        "/steps/1/lines/1/recipientId duplicate_recipient",
        "/steps/2 unreachable_step",
        "/steps/2/key step_key_required",
        "/steps/2/tiers/0/lines share_sum_not_100",
        "/steps/2/tiers/0/upTo tier_not_increasing",
        "/steps/2/tiers/1/lines/0/percent share_precision",
        "/steps/2/tiers/1/upTo tier_last_not_open",
        "/steps/3 cycle_detected",
        "/steps/3/fromRecipientId unknown_recipient",
        "/steps/3/key step_key_required",
        "/steps/3/target amount_not_positive",
    ];
    assert_eq!(faults(model), expected);
    assert!(expected.is_sorted());
}

#[test]
fn what_is_missing_is_said_in_figures() {
    let spec: ModelSpec = serde_json::from_value(share(json!([{ "recipientId": "rec_a", "percent": "70" }]))).unwrap();
    let faults = spec.check().unwrap_err();
    assert_eq!(faults[0].meta, Some(json!({ "sumPpm": 700_000, "missingPpm": 300_000 })));
}

#[test]
fn a_model_that_is_only_tried_needs_no_keys() {
    let model = steps(json!([
        { "type": "fixed", "amount": 1, "per": "lifetime", "recipientId": "rec_a" },
        { "type": "recoup", "lines": [{ "recipientId": "rec_a", "principal": 1 }] },
        { "type": "share", "portionPpm": 1, "lines": [{ "recipientId": "rec_a", "weight": 1, "lifetimeMax": 1 }] },
        { "type": "recoup_from_share", "fromRecipientId": "rec_a", "toRecipientId": "rec_b", "target": 1 },
        { "type": "tiers", "basis": "cumulative_amount", "mode": "volume", "tiers": [{ "upTo": null, "lines": all() }] }]));
    assert_eq!(faults(model.clone()).len(), 5);
    let spec: ModelSpec = serde_json::from_value(model).unwrap();
    assert!(spec.with_keys().check().is_ok());
}
