//! What is wrong with a revenue model: its fields, and what it says with them.

use super::{send, world};
use crate::harness::{home::Engine, on_both_databases, world::World};
use reqwest::Method;
use serde_json::{Value, json};

on_both_databases! {
    fields_of_a_model_are_told_by_their_names
    a_model_that_does_not_add_up_is_told_every_fault
    every_fault_of_form_is_told_at_once
    every_step_that_makes_no_sense_is_told_with_the_others
    a_draft_is_kept_with_its_faults_and_never_used
    what_a_model_can_say_is_understood
    a_calculation_takes_exactly_one_model
    a_version_that_is_not_the_next_is_a_conflict
}

const PATH: &str = "/projects/prj_refused/revenue-model";

fn line(id: &str, name: &str, value: Value) -> Value {
    let mut line = json!({ "recipientId": id });
    line[name] = value;
    line
}

fn share(lines: Value) -> Value {
    json!({ "steps": [{ "type": "share", "lines": lines }] })
}

fn good() -> Value {
    share(json!([{ "recipientId": "rec_1", "remaining": true }]))
}

/// Refused as the project's model, and inside of a calculation, with the same faults.
async fn refused(world: &World, model: &Value, code: &str, faults: &[&str]) {
    send(world, Method::PUT, PATH, &model.to_string()).await.faults(code, faults);
    let ask = json!({ "revenueModel": model, "amount": 100, "currency": "USD" }).to_string();
    let below: Vec<String> = faults.iter().map(|fault| format!("/revenueModel{fault}")).collect();
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    send(world, Method::POST, "/revenue/calculate", &ask).await.faults(code, &below);
}

async fn fields_of_a_model_are_told_by_their_names(engine: Engine) {
    let world = world(engine).await;
    for (model, faults) in [
        (json!({}), vec!["/steps required"]),
        (json!({ "steps": {} }), vec!["/steps wrong_type"]),
        (json!({ "steps": [7] }), vec!["/steps/0 wrong_type"]),
        (json!({ "steps": [{}] }), vec!["/steps/0/type required"]),
        (json!({ "steps": [{ "type": "gift" }] }), vec!["/steps/0/type invalid_format"]),
        (json!({ "steps": [{ "type": "share" }] }), vec!["/steps/0/lines required"]),
        (json!({ "steps": [{ "type": "share", "lines": [], "x": 1 }] }), vec!["/steps/0/x unknown_field"]),
        // Another step's field is no field of this one.
        (json!({ "steps": [{ "type": "share", "lines": [], "amount": 1 }] }), vec!["/steps/0/amount unknown_field"]),
        (json!({ "steps": [{ "type": "fixed" }] }), vec!["/steps/0/amount required"]),
        (json!({ "steps": [{ "type": "recoup" }] }), vec!["/steps/0/lines required"]),
        (json!({ "steps": [{ "type": "remainder" }] }), vec!["/steps/0/recipientId required"]),
        (
            json!({ "steps": [{ "type": "tiers" }] }),
            vec!["/steps/0/basis required", "/steps/0/mode required", "/steps/0/tiers required"],
        ),
        (
            json!({ "steps": [{ "type": "recoup_from_share" }] }),
            vec!["/steps/0/fromRecipientId required", "/steps/0/target required", "/steps/0/toRecipientId required"],
        ),
        (share(json!([{}])), vec!["/steps/0/lines/0/recipientId required"]),
        (share(json!([{ "recipientId": "ana", "weight": 1 }])), vec!["/steps/0/lines/0/recipientId invalid_format"]),
        (share(json!([line("rec_1", "weight", json!("1"))])), vec!["/steps/0/lines/0/weight wrong_type"]),
        (share(json!([line("rec_1", "ppm", json!(1.5))])), vec!["/steps/0/lines/0/ppm wrong_type"]),
        (
            share(json!([line("rec_1", "bps", json!(9_223_372_036_854_775_808_u64))])),
            vec!["/steps/0/lines/0/bps out_of_range"],
        ),
        (share(json!([line("rec_1", "percent", json!(70))])), vec!["/steps/0/lines/0/percent wrong_type"]),
        (share(json!([line("rec_1", "percent", json!("70 %"))])), vec!["/steps/0/lines/0/percent invalid_format"]),
        (share(json!([line("rec_1", "percent", json!("1e2"))])), vec!["/steps/0/lines/0/percent invalid_format"]),
        (share(json!([line("rec_1", "remaining", json!("yes"))])), vec!["/steps/0/lines/0/remaining wrong_type"]),
        (share(json!([line("rec_1", "share", json!(1))])), vec!["/steps/0/lines/0/share unknown_field"]),
        (super::super::with(good(), "version", json!(0)), vec!["/version out_of_range"]),
        (super::super::with(good(), "version", json!("1")), vec!["/version wrong_type"]),
        (super::super::with(good(), "status", json!("live")), vec!["/status invalid_format"]),
        (super::super::with(good(), "projectId", json!("Film")), vec!["/projectId invalid_format"]),
        (super::super::with(good(), "effectiveFrom", json!("soon")), vec!["/effectiveFrom invalid_format"]),
        (super::super::with(good(), "effectiveTo", json!(null)), vec!["/effectiveTo wrong_type"]),
        (super::super::with(good(), "tieBreak", json!("luck")), vec!["/tieBreak invalid_format"]),
        (super::super::with(good(), "minUnitPerLine", json!(0)), vec!["/minUnitPerLine wrong_type"]),
        (super::super::with(good(), "platformFee", json!(5)), vec!["/platformFee wrong_type"]),
        (
            super::super::with(good(), "platformFee", json!({ "ratePpm": -1 })),
            vec!["/platformFee/ratePpm out_of_range"],
        ),
        (super::super::with(good(), "platformFee", json!({ "fixed": 1.5 })), vec!["/platformFee/fixed wrong_type"]),
        (super::super::with(good(), "platformFee", json!({ "rate": 1 })), vec!["/platformFee/rate unknown_field"]),
        (super::super::with(good(), "platformFee", json!({ "base": "net" })), vec!["/platformFee/base invalid_format"]),
        (
            super::super::with(good(), "settlement", json!({ "fallback": "burn" })),
            vec!["/settlement/fallback invalid_format"],
        ),
        (super::super::with(good(), "defaultTaxProfile", json!({})), vec!["/defaultTaxProfile/rules required"]),
        (
            super::super::with(
                good(),
                "defaultTaxProfile",
                json!({ "rules": [{ "code": "US NRA", "ratePpm": 1_000_001 }] }),
            ),
            vec!["/defaultTaxProfile/rules/0/code invalid_format", "/defaultTaxProfile/rules/0/ratePpm out_of_range"],
        ),
        (super::super::with(good(), "hash", json!("x")), vec!["/hash unknown_field"]),
    ] {
        refused(&world, &model, "validation_error", &faults).await;
    }
    let put = async |model: Value| send(&world, Method::PUT, PATH, &model.to_string()).await;
    let other = super::super::with(good(), "projectId", json!("prj_other"));
    put(other).await.faults("validation_error", &["/projectId mismatch"]);
    let mut backwards = super::super::with(good(), "effectiveFrom", json!("2026-02-01T00:00:00Z"));
    backwards["effectiveTo"] = json!("2026-02-01T00:00:00Z");
    put(backwards).await.faults("validation_error", &["/effectiveTo out_of_range"]);
    let over = super::super::with(good(), "effectiveTo", json!("2020-01-01T00:00:00Z"));
    put(over).await.faults("validation_error", &["/effectiveTo out_of_range"]);
}

async fn a_model_that_does_not_add_up_is_told_every_fault(engine: Engine) {
    let world = world(engine).await;
    let a = |name: &str, value: Value| line("rec_a", name, value);
    let b = |name: &str, value: Value| line("rec_b", name, value);
    let many: Vec<Value> = (0..10_001).map(|at| line(&format!("rec_{at}"), "weight", json!(1))).collect();
    let step = json!({ "type": "share", "lines": [{ "recipientId": "rec_a", "remaining": true }] });
    let late: Vec<String> = (1..51).map(|at| format!("/steps/{at} unreachable_step")).collect();
    let late: Vec<&str> = late.iter().map(String::as_str).chain(["/steps too_many_steps"]).collect();
    let fee = |fee: Value| super::super::with(good(), "platformFee", fee);
    for (model, faults) in [
        (json!({ "steps": [] }), vec!["/steps no_steps"]),
        (share(json!([])), vec!["/steps/0/lines no_lines"]),
        (share(json!(many)), vec!["/steps/0/lines too_many_lines"]),
        (json!({ "steps": vec![step.clone(); 51] }), late),
        (json!({ "steps": [step.clone(), step] }), vec!["/steps/1 unreachable_step"]),
        (
            share(json!([a("weight", json!(1)), a("weight", json!(1))])),
            vec!["/steps/0/lines/1/recipientId duplicate_recipient"],
        ),
        (share(json!([a("weight", json!(1)), b("ppm", json!(1))])), vec!["/steps/0/lines mixed_share_kinds"]),
        (share(json!([{ "recipientId": "rec_a" }])), vec!["/steps/0/lines/0 mixed_share_kinds"]),
        (
            share(json!([a("remaining", json!(true)), b("remaining", json!(true))])),
            vec!["/steps/0/lines multiple_remaining"],
        ),
        (
            share(json!([a("ppm", json!(0)), b("bps", json!(-1))])),
            vec![
                "/steps/0/lines mixed_share_kinds",
                "/steps/0/lines/0/ppm share_not_positive",
                "/steps/0/lines/1/bps share_not_positive",
            ],
        ),
        (
            share(json!([a("percent", json!("33.33333")), b("remaining", json!(true))])),
            vec!["/steps/0/lines/0/percent share_precision"],
        ),
        (share(json!([a("percent", json!("99.9999"))])), vec!["/steps/0/lines share_sum_not_100"]),
        (
            share(json!([a("ppm", json!(1_000_000)), b("remaining", json!(true))])),
            vec!["/steps/0/lines share_sum_not_100"],
        ),
        (
            share(json!([a("weight", json!(9_007_199_254_740_991_i64)), b("weight", json!(2))])),
            vec!["/steps/0/lines weight_overflow"],
        ),
        (fee(json!({ "ratePpm": 1_000_001 })), vec!["/platformFee/ratePpm rate_out_of_range"]),
        (fee(json!({ "min": 2, "max": 1 })), vec!["/platformFee/min fee_min_exceeds_max"]),
    ] {
        refused(&world, &model, "split_invalid", &faults).await;
    }
    send(&world, Method::GET, PATH, "").await.refused(404, "project_not_found");
}

/// Form is looked at before meaning: a model that cannot be read is not said to add up or not.
async fn every_fault_of_form_is_told_at_once(engine: Engine) {
    let world = world(engine).await;
    let model = json!({
        "tieBreak": "luck", "minUnitPerLine": "no", "currency": "usd", "surprise": 1,
        "platformFee": { "ratePpm": -1, "bearer": "nobody", "tiers": { "basis": "amount", "mode": "both", "tiers": [{ "upTo": "x" }] } },
        "settlement": { "recoveryPpm": 0.5, "escheatAfterDays": "soon" },
        "defaultTaxProfile": { "formSignedAt": "2026-02-30", "rules": [{ "code": "a", "ratePpm": 1, "threshold": {} }] },
        "steps": [
            { "type": "fixed", "amount": 1.5, "per": "week", "recipientId": "ana", "key": "a b" },
            { "type": "recoup", "lines": [{ "principal": null }] },
            { "type": "share", "lines": [{ "recipientId": "rec_a", "max": "9", "weight": 1.0, "part": 1 }] },
            { "type": "tiers", "basis": "amount", "mode": "marginal", "since": "2018", "tiers": [{ "upTo": false }] },
            { "type": "gift", "to": "rec_a" },
            7
        ]
    });
    let faults = [
        "/currency currency_malformed",
        "/defaultTaxProfile/formSignedAt invalid_format",
        "/defaultTaxProfile/rules/0/threshold/amount required",
        "/defaultTaxProfile/rules/0/threshold/mode required",
        "/defaultTaxProfile/rules/0/threshold/period required",
        "/minUnitPerLine wrong_type",
        "/platformFee/bearer invalid_format",
        "/platformFee/ratePpm out_of_range",
        "/platformFee/tiers/mode invalid_format",
        "/platformFee/tiers/tiers/0/upTo wrong_type",
        "/settlement/escheatAfterDays wrong_type",
        "/settlement/recoveryPpm wrong_type",
        "/steps/0/amount wrong_type",
        "/steps/0/key invalid_format",
        "/steps/0/per invalid_format",
        "/steps/0/recipientId invalid_format",
        "/steps/1/lines/0/principal wrong_type",
        "/steps/1/lines/0/recipientId required",
        "/steps/2/lines/0/max wrong_type",
        "/steps/2/lines/0/part unknown_field",
        "/steps/2/lines/0/weight wrong_type",
        "/steps/3/since invalid_format",
        "/steps/3/tiers/0/lines required",
        "/steps/3/tiers/0/upTo wrong_type",
        "/steps/4/type invalid_format",
        "/steps/5 wrong_type",
        "/surprise unknown_field",
        "/tieBreak invalid_format",
    ];
    refused(&world, &model, "validation_error", &faults).await;
}

/// Numbers that make no sense get through the reader, so that the model can say what is wrong with them.
async fn every_step_that_makes_no_sense_is_told_with_the_others(engine: Engine) {
    let world = world(engine).await;
    let one = |id: &str| json!([{ "recipientId": id, "ppm": 1_000_000 }]);
    let model = json!({
        "platformFee": { "ratePpm": 1, "feeTaxPpm": 1_000_001, "min": 2, "max": 1, "exemptRecipientIds": ["rec_x"],
            "tiers": { "basis": "amount", "mode": "marginal", "tiers": [{ "upTo": 5, "ratePpm": 1 }] } },
        "settlement": { "recoveryPpm": 1_000_001, "escheatAfterDays": 0 },
        "steps": [
            { "type": "fixed", "key": "once", "amount": -1, "per": "lifetime", "recipientId": "rec_a" },
            { "type": "fixed", "key": "free", "amount": 0, "recipientId": "rec_a", "lines": one("rec_b") },
            { "type": "recoup", "key": "once", "multiplePpm": 999_999, "ratePpm": 0, "lines": [
                { "recipientId": "rec_a", "principal": 9_007_199_254_740_992_i64 }, { "recipientId": "rec_a", "principal": -5 }] },
            { "type": "share", "key": "capped", "portionPpm": -7, "lines": [
                { "recipientId": "rec_a", "ppm": -1, "min": -2, "max": -3 }, { "recipientId": "rec_b", "remaining": true, "lifetimeMax": -4 }] },
            { "type": "tiers", "key": "scale", "basis": "cumulative_amount", "mode": "volume", "tiers": [
                { "from": 1, "upTo": 10, "lines": one("rec_a") },
                { "upTo": 10, "lines": [{ "recipientId": "rec_a", "ppm": 1_000_000, "max": 1 }] },
                { "upTo": 20, "lines": [] }] },
            { "type": "recoup_from_share", "key": "label", "fromRecipientId": "rec_a", "toRecipientId": "rec_b", "target": -1, "ratePpm": 1_000_001 },
            { "type": "recoup_from_share", "key": "back", "fromRecipientId": "rec_b", "toRecipientId": "rec_a", "target": 1 }
        ]
    });
    let faults = [
        "/currency currency_required",
        "/platformFee/exemptRecipientIds/0 unknown_recipient",
        "/platformFee/feeTaxPpm rate_out_of_range",
        "/platformFee/min fee_min_exceeds_max",
        "/platformFee/tiers fee_tiers_conflict",
        "/platformFee/tiers/tiers/0/upTo tier_last_not_open",
        "/settlement/escheatAfterDays amount_out_of_range",
        "/settlement/recoveryPpm rate_out_of_range",
        "/steps/0/amount amount_not_positive",
        "/steps/1/amount amount_not_positive",
        "/steps/1/lines mixed_share_kinds",
        "/steps/2/key duplicate_step_key",
        "/steps/2/lines/0/principal amount_out_of_range",
        "/steps/2/lines/1/principal amount_not_positive",
        "/steps/2/lines/1/recipientId duplicate_recipient",
        "/steps/2/multiplePpm multiple_below_one",
        "/steps/2/ratePpm rate_out_of_range",
        "/steps/3/lines/0/max negative_cap",
        "/steps/3/lines/0/min negative_cap",
        "/steps/3/lines/0/min min_exceeds_max",
        "/steps/3/lines/0/ppm share_not_positive",
        "/steps/3/lines/1/lifetimeMax negative_cap",
        "/steps/3/lines/1/min min_exceeds_max",
        "/steps/3/portionPpm rate_out_of_range",
        "/steps/4/tiers/0/from tier_gap",
        "/steps/4/tiers/1/lines/0 limit_not_allowed",
        "/steps/4/tiers/1/upTo tier_not_increasing",
        "/steps/4/tiers/2/lines no_lines",
        "/steps/4/tiers/2/upTo tier_last_not_open",
        "/steps/5/ratePpm rate_out_of_range",
        "/steps/5/target amount_not_positive",
        "/steps/6 cycle_detected",
    ];
    refused(&world, &model, "split_invalid", &faults).await;
    // What is counted needs a name once it is stored; a model that is only tried counts nothing.
    let nameless = json!({ "currency": "USD", "steps": [
        { "type": "fixed", "amount": 1, "per": "lifetime", "recipientId": "rec_a" },
        { "type": "remainder", "recipientId": "rec_b" }
    ] });
    let put = send(&world, Method::PUT, PATH, &nameless.to_string()).await;
    put.faults("split_invalid", &["/steps/0/key step_key_required"]);
    let ask = json!({ "revenueModel": nameless, "amount": 100, "currency": "USD" });
    let tried = world.post("/revenue/calculate", &ask).await.with(200);
    assert_eq!(tried["breakdown"][0]["grossShare"], 1);
}

async fn a_draft_is_kept_with_its_faults_and_never_used(engine: Engine) {
    let world = world(engine).await;
    let path = "/projects/prj_faultydraft/revenue-model";
    let model = json!({ "status": "draft", "steps": [
        { "type": "fixed", "amount": -1, "recipientId": "rec_a" },
        { "type": "share", "lines": [{ "recipientId": "rec_a", "ppm": 10 }] }
    ] });
    let stored = world.put(path, &model).await.with(201);
    let faults: Vec<String> = stored["faults"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| {
            format!("{} {}", fault["field"].as_str().unwrap_or_default(), fault["code"].as_str().unwrap_or_default())
        })
        .collect();
    let expected =
        ["/currency currency_required", "/steps/0/amount amount_not_positive", "/steps/1/lines share_sum_not_100"];
    assert_eq!(faults, expected);
    assert_eq!(stored["steps"], model["steps"]);
    let ask = json!({ "projectId": "prj_faultydraft", "amount": 100, "currency": "USD" });
    world.post("/revenue/calculate", &ask).await.faults("split_invalid", &["/asOf no_effective_model"]);
}

/// Everything there is in a model changes what comes out, and nothing of it is passed over.
async fn what_a_model_can_say_is_understood(engine: Engine) {
    let world = world(engine).await;
    let gross = async |model: Value, amount: i64| {
        let ask = json!({ "revenueModel": model, "amount": amount, "currency": "USD", "asOf": "2026-06-01T00:00:00Z" });
        let calculated = world.post("/revenue/calculate", &ask).await.with(200);
        let lines = calculated["breakdown"].as_array().expect("lines").clone();
        let column = |name: &str| lines.iter().map(|line| line[name].as_i64().expect(name)).collect::<Vec<_>>();
        (column("grossShare"), column("platformFeeShare"), calculated)
    };
    let set = |name: &str, value: Value| super::super::with(good(), name, value);
    let two = json!([{ "recipientId": "rec_1", "weight": 1 }, { "recipientId": "rec_2", "weight": 1 }]);

    let step =
        |step: Value| json!({ "currency": "USD", "steps": [step, { "type": "remainder", "recipientId": "rec_z" }] });
    assert_eq!(gross(step(json!({ "type": "fixed", "amount": 30, "lines": two })), 100).await.0, [15, 15, 70]);
    let recoup = json!({ "type": "recoup", "multiplePpm": 1_500_000, "ratePpm": 500_000, "lines": [
        { "recipientId": "rec_1", "principal": 10 }, { "recipientId": "rec_2", "principal": 20 }] });
    assert_eq!(gross(step(recoup), 60).await.0, [10, 20, 30]);
    assert_eq!(gross(step(json!({ "type": "share", "portionPpm": 500_000, "lines": two })), 100).await.0, [25, 25, 50]);
    let limited = json!({ "type": "share", "lines": [
        { "recipientId": "rec_1", "ppm": 500_000, "max": 30 }, { "recipientId": "rec_2", "ppm": 490_000 },
        { "recipientId": "rec_3", "ppm": 10_000, "min": 10 }] });
    assert_eq!(gross(json!({ "currency": "USD", "steps": [limited] }), 100).await.0, [30, 60, 10]);
    let tier = |up_to: Value, one: i64, two: i64| {
        json!({ "upTo": up_to, "lines": [
        { "recipientId": "rec_1", "ppm": one }, { "recipientId": "rec_2", "ppm": two }] })
    };
    let tiers = |mode: &str| {
        json!({ "currency": "USD", "steps": [{ "type": "tiers", "basis": "amount", "mode": mode, "tiers": [
        tier(json!(100), 1_000_000, 0), tier(json!(null), 500_000, 500_000)] }] })
    };
    assert_eq!(gross(tiers("marginal"), 200).await.0, [150, 50]);
    assert_eq!(gross(tiers("volume"), 200).await.0, [100, 100]);
    let label = json!({ "currency": "USD", "steps": [
        { "type": "share", "lines": two },
        { "type": "recoup_from_share", "fromRecipientId": "rec_1", "toRecipientId": "rec_2", "target": 20, "ratePpm": 800_000 }] });
    assert_eq!(gross(label, 100).await.0, [30, 70]);

    assert_eq!(gross(super::super::with(share(two.clone()), "tieBreak", json!("rotate")), 1).await.0, [1, 0]);
    assert_eq!(gross(super::super::with(share(two.clone()), "tieBreak", json!("carry")), 1).await.0, [1, 0]);
    let uneven = share(json!([{ "recipientId": "rec_1", "weight": 99 }, { "recipientId": "rec_2", "weight": 1 }]));
    assert_eq!(gross(uneven.clone(), 2).await.0, [2, 0]);
    assert_eq!(gross(super::super::with(uneven, "minUnitPerLine", json!(true)), 2).await.0, [1, 1]);

    let fee = |fee: Value| super::super::with(share(two.clone()), "platformFee", fee);
    assert_eq!(gross(fee(json!({ "ratePpm": 100_000, "exemptRecipientIds": ["rec_1"] })), 100).await.1, [0, 5]);
    assert_eq!(gross(fee(json!({ "ratePpm": 100_000, "feeTaxPpm": 200_000 })), 100).await.1, [6, 6]);
    assert_eq!(gross(fee(json!({ "fixed": 3, "scope": "line" })), 100).await.1, [3, 3]);
    let tiered = json!({ "tiers": { "basis": "amount", "mode": "marginal", "tiers": [
        { "upTo": 50, "ratePpm": 100_000 }, { "upTo": null, "ratePpm": 200_000, "flat": 1 }] } });
    let tiered = super::super::with(fee(tiered), "currency", json!("USD"));
    assert_eq!(gross(tiered, 100).await.1, [8, 8]);
    let (_, fees, waived) = gross(fee(json!({ "ratePpm": 100_000, "bearer": "platform" })), 100).await;
    assert_eq!((fees, &waived["platformFeeElsewhere"]), (vec![0, 0], &json!(10)));
    let mut exempt = fee(json!({ "ratePpm": 100_000, "base": "feeable_lines" }));
    exempt["steps"][0]["lines"][0]["feeable"] = json!(false);
    assert_eq!(gross(exempt.clone(), 100).await.1, [0, 5]);
    exempt["platformFee"]["base"] = json!("gross");
    assert_eq!(gross(exempt, 100).await.1, [5, 5]);

    let taxed = set(
        "defaultTaxProfile",
        json!({ "rules": [{ "code": "us_backup", "jurisdiction": "US", "ratePpm": 240_000 }] }),
    );
    let (_, _, taxed) = gross(taxed, 100).await;
    assert_eq!(taxed["breakdown"][0]["taxes"], json!([{ "rule": "us_backup", "amount": 24 }]));
    assert_eq!((&taxed["totals"]["taxWithheld"], &taxed["totals"]["net"]), (&json!(24), &json!(76)));
    let mut unknown = good();
    unknown["steps"][0]["lines"][0]["placeholder"] = json!(true);
    let (_, _, unknown) = gross(unknown, 100).await;
    let line = &unknown["breakdown"][0];
    assert_eq!((&line["disposition"], &line["holdReason"]), (&json!("held"), &json!("recipient_placeholder")));
    assert_eq!((&line["held"], &line["payableAmount"]), (&json!(100), &json!(0)));
    // Said outright, what is the case anyway changes nothing.
    let mut plain = set("tieBreak", json!("declaration"));
    plain["minUnitPerLine"] = json!(false);
    plain["settlement"] = json!({ "recoveryPpm": 1_000_000, "escheatAfterDays": 1_095, "fallback": "remain_held" });
    assert_eq!(gross(plain, 100).await.0, [100]);
}

async fn a_calculation_takes_exactly_one_model(engine: Engine) {
    let world = world(engine).await;
    for (body, faults) in [
        (json!({ "amount": 1, "currency": "USD" }), vec![" one_of"]),
        (json!({ "projectId": "prj_1", "revenueModel": good(), "amount": 1, "currency": "USD" }), vec![" one_of"]),
        (json!({ "projectId": "prj_1" }), vec!["/amount required", "/currency required"]),
        (
            json!({ "projectId": "prj_1", "amount": 1, "currency": "USD", "explain": "all" }),
            vec!["/explain invalid_format"],
        ),
        (
            json!({ "projectId": "prj_1", "amount": 1, "currency": "USD", "deductions": [{ "type": "gift", "amount": 0 }] }),
            vec!["/deductions/0/amount amount_not_positive", "/deductions/0/type invalid_format"],
        ),
        (json!({ "projectId": "prj_1", "amount": 1, "currency": "USD", "asOf": "x" }), vec!["/asOf invalid_format"]),
        (json!({ "revenueModel": null, "amount": 1, "currency": "USD" }), vec!["/revenueModel wrong_type"]),
    ] {
        send(&world, Method::POST, "/revenue/calculate", &body.to_string()).await.faults("validation_error", &faults);
    }
    let bound =
        json!({ "revenueModel": super::super::with(good(), "currency", json!("EUR")), "amount": 1, "currency": "USD" });
    world.post("/revenue/calculate", &bound).await.faults("split_invalid", &["/currency currency_mismatch"]);
    let gone = json!({ "revenueModel": good(), "amount": 1, "currency": "USD", "deductions": [{ "type": "refund", "amount": 2 }] });
    world.post("/revenue/calculate", &gone).await.faults("split_invalid", &["/deductions deductions_exceed_amount"]);
}

async fn a_version_that_is_not_the_next_is_a_conflict(engine: Engine) {
    let world = world(engine).await;
    let path = "/projects/prj_versions/revenue-model";
    let put = async |version: u32, fee: u32| {
        let mut model = super::super::with(good(), "platformFee", json!({ "ratePpm": fee }));
        model["version"] = json!(version);
        world.put(path, &model).await
    };
    put(2, 1).await.refused(409, "model_version_conflict");
    put(1, 1).await.with(201);
    put(1, 1).await.with(200);
    put(1, 2).await.refused(409, "model_version_conflict");
    put(3, 2).await.refused(409, "model_version_conflict");
    put(2, 1).await.with(201);
    put(2, 1).await.with(200);
}
