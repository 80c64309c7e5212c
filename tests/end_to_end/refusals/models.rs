//! What is wrong with a revenue model: its fields, its sums, and what cannot be used yet.

use super::{send, world};
use crate::harness::{home::Engine, on_both_databases, world::World};
use reqwest::Method;
use serde_json::{Value, json};

on_both_databases! {
    fields_of_a_model_are_told_by_their_names
    a_model_that_does_not_add_up_is_told_every_fault
    what_cannot_be_used_yet_is_refused_not_ignored
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
        (share(json!([{}])), vec!["/steps/0/lines/0/recipientId required"]),
        (share(json!([{ "recipientId": "ana", "weight": 1 }])), vec!["/steps/0/lines/0/recipientId invalid_format"]),
        (share(json!([line("rec_1", "weight", json!("1"))])), vec!["/steps/0/lines/0/weight wrong_type"]),
        (share(json!([line("rec_1", "ppm", json!(1.5))])), vec!["/steps/0/lines/0/ppm wrong_type"]),
        (
            share(json!([line("rec_1", "bps", json!(9_007_199_254_740_992_i64))])),
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

async fn what_cannot_be_used_yet_is_refused_not_ignored(engine: Engine) {
    let world = world(engine).await;
    let set = |name: &str, value: Value| super::super::with(good(), name, value);
    let in_step = |name: &str, value: Value| {
        let mut model = good();
        model["steps"][0][name] = value;
        model
    };
    let in_line = |name: &str, value: Value| {
        let mut model = good();
        model["steps"][0]["lines"][0][name] = value;
        model
    };
    let mut cases = vec![
        (set("tieBreak", json!("rotate")), "/tieBreak".to_owned()),
        (set("tieBreak", json!("carry")), "/tieBreak".to_owned()),
        (set("minUnitPerLine", json!(true)), "/minUnitPerLine".to_owned()),
        (in_step("portionPpm", json!(500_000)), "/steps/0/portionPpm".to_owned()),
        (in_step("key", json!("main")), "/steps/0/key".to_owned()),
        (in_line("max", json!(100)), "/steps/0/lines/0/max".to_owned()),
        (in_line("lifetimeMax", json!(100)), "/steps/0/lines/0/lifetimeMax".to_owned()),
        (in_line("placeholder", json!(true)), "/steps/0/lines/0/placeholder".to_owned()),
    ];
    for name in ["tiers", "base", "scope", "bearer", "exemptRecipientIds", "feeTaxPpm", "feeOnRefund"] {
        cases.push((set("platformFee", json!({ name: 1 })), format!("/platformFee/{name}")));
    }
    for kind in ["fixed", "recoup", "tiers", "remainder", "recoup_from_share"] {
        cases.push((json!({ "steps": [{ "type": kind, "amount": 1 }] }), "/steps/0".to_owned()));
    }
    for (model, field) in cases {
        refused(&world, &model, "split_invalid", &[&format!("{field} not_supported")]).await;
        // Nor is it kept as a draft: whoever reads it back would think it is understood.
        let draft = super::super::with(model, "status", json!("draft"));
        refused(&world, &draft, "split_invalid", &[&format!("{field} not_supported")]).await;
    }
    let mut several = in_step("portionPpm", json!(1));
    several["tieBreak"] = json!("rotate");
    refused(&world, &several, "split_invalid", &["/steps/0/portionPpm not_supported", "/tieBreak not_supported"]).await;
    // Said outright, what is the case anyway is no fault.
    let mut plain = set("tieBreak", json!("declaration"));
    plain["minUnitPerLine"] = json!(false);
    let ask = json!({ "revenueModel": plain, "amount": 100, "currency": "USD" });
    world.post("/revenue/calculate", &ask).await.with(200);
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
            json!({ "projectId": "prj_1", "amount": 1, "currency": "USD", "deductions": [] }),
            vec!["/deductions unknown_field"],
        ),
        (json!({ "projectId": "prj_1", "amount": 1, "currency": "USD", "asOf": "x" }), vec!["/asOf invalid_format"]),
        (json!({ "revenueModel": null, "amount": 1, "currency": "USD" }), vec!["/revenueModel wrong_type"]),
    ] {
        send(&world, Method::POST, "/revenue/calculate", &body.to_string()).await.faults("validation_error", &faults);
    }
    let bound =
        json!({ "revenueModel": super::super::with(good(), "currency", json!("EUR")), "amount": 1, "currency": "USD" });
    world.post("/revenue/calculate", &bound).await.faults("split_invalid", &["/currency currency_mismatch"]);
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
