//! Fields of `POST /revenue/schedule-payouts`: each wrong in turn, and all of them at once.

use super::{send, world};
use crate::harness::{home::Engine, on_both_databases, world::World};
use reqwest::Method;
use serde_json::{Value, json};

on_both_databases! {
    each_field_is_told_by_its_name
    every_deduction_is_looked_at
    all_faults_are_told_at_once
    a_key_that_comes_twice_is_a_fault
    a_model_that_cannot_split_the_amount_is_told
}

const PATH: &str = "/revenue/schedule-payouts";

fn good() -> Value {
    json!({ "escrowId": "esc_refused", "projectId": "prj_nobody", "amount": 1, "currency": "USD" })
}

async fn refused(world: &World, body: &str, faults: &[&str]) -> Value {
    send(world, Method::POST, PATH, body).await.faults("validation_error", faults)
}

async fn each_field_is_told_by_its_name(engine: Engine) {
    let world = world(engine).await;
    for name in ["escrowId", "projectId", "amount", "currency"] {
        let mut body = good();
        body.as_object_mut().expect("an object").remove(name);
        refused(&world, &body.to_string(), &[&format!("/{name} required")]).await;
    }
    let no_text = [json!(null), json!(7), json!(true), json!([]), json!({})];
    let no_id = ["", " ", "1", "escrow", "esc_", "esc_a-b", "esc_a_b", "Esc_1", "esc_\u{e9}", "esc_1\n", "esc_\0"];
    let no_uuid =
        ["0110c8531d0952d8d73e1194e95b5f19", "{0110c853-1d09-52d8-d73e-1194e95b5f19}", "507f1f77bcf86cd79943901g"];
    let no_instant = ["", "yesterday", "2026-01-31", "2026-02-30T00:00:00Z", "1767225600", "2026-01-31T12:00:00"];
    let cases = ["escrowId", "projectId", "milestoneId"]
        .iter()
        .flat_map(|name| no_id.iter().chain(&no_uuid).map(move |id| (*name, json!(id), "invalid_format")))
        .chain(
            ["asOf", "executeAt"]
                .iter()
                .flat_map(|name| no_instant.iter().map(move |at| (*name, json!(at), "invalid_format"))),
        )
        .chain(
            ["escrowId", "projectId", "milestoneId", "asOf", "executeAt", "currency"]
                .iter()
                .flat_map(|name| no_text.iter().map(move |value| (*name, value.clone(), "wrong_type"))),
        )
        .chain([json!(null), json!("[]"), json!({}), json!(1)].map(|value| ("deductions", value, "wrong_type")));
    for (name, value, code) in cases {
        let mut body = good();
        body[name] = value;
        refused(&world, &body.to_string(), &[&format!("/{name} {code}")]).await;
    }
    for name in ["tenant", "escrow_id", "EscrowId", "batchId"] {
        let mut body = good();
        body[name] = json!("x");
        refused(&world, &body.to_string(), &[&format!("/{name} unknown_field")]).await;
    }
    let mut body = good();
    body["a/b~c"] = json!(1);
    refused(&world, &body.to_string(), &["/a~1b~0c unknown_field"]).await;
    for body in ["[]", "7", "\"text\"", "null", "true"] {
        refused(&world, body, &[" wrong_type"]).await;
    }
}

async fn every_deduction_is_looked_at(engine: Engine) {
    let world = world(engine).await;
    let long = "x".repeat(201);
    for (deduction, faults) in [
        (json!({}), vec!["/deductions/0/amount required", "/deductions/0/type required"]),
        (json!(7), vec!["/deductions/0 wrong_type"]),
        (json!({ "type": "gift", "amount": 1 }), vec!["/deductions/0/type invalid_format"]),
        (json!({ "type": 1, "amount": 1 }), vec!["/deductions/0/type wrong_type"]),
        (json!({ "type": "refund", "amount": 0 }), vec!["/deductions/0/amount amount_not_positive"]),
        (json!({ "type": "refund", "amount": "1" }), vec!["/deductions/0/amount wrong_type"]),
        (json!({ "type": "refund", "amount": 1, "reference": "" }), vec!["/deductions/0/reference out_of_range"]),
        (json!({ "type": "refund", "amount": 1, "reference": long }), vec!["/deductions/0/reference out_of_range"]),
        (json!({ "type": "refund", "amount": 1, "reference": "a\0b" }), vec!["/deductions/0/reference invalid_format"]),
        (json!({ "type": "refund", "amount": 1, "reference": null }), vec!["/deductions/0/reference wrong_type"]),
        (json!({ "type": "refund", "amount": 1, "note": "x" }), vec!["/deductions/0/note unknown_field"]),
    ] {
        let mut body = good();
        body["deductions"] = json!([deduction]);
        refused(&world, &body.to_string(), &faults).await;
    }
    let mut body = good();
    body["deductions"] = json!(vec![json!({ "type": "refund", "amount": 1 }); 101]);
    refused(&world, &body.to_string(), &["/deductions out_of_range"]).await;
}

async fn all_faults_are_told_at_once(engine: Engine) {
    let world = world(engine).await;
    let body = json!({
        "escrowId": "1", "milestoneId": 7, "amount": 1.5, "currency": "usd", "asOf": "yesterday", "executeAt": null,
        "deductions": [{ "type": "refund", "amount": 1 }, { "type": "gift", "amount": 0 }], "tenant": "x"
    });
    let answer = send(&world, Method::POST, &format!("{PATH}?dry_run=1&dry_run=2"), &body.to_string()).await;
    let faults = [
        "/amount amount_not_integer",
        "/asOf invalid_format",
        "/currency currency_malformed",
        "/deductions/1/amount amount_not_positive",
        "/deductions/1/type invalid_format",
        "/dry_run unknown_parameter",
        "/escrowId invalid_format",
        "/executeAt wrong_type",
        "/milestoneId wrong_type",
        "/projectId required",
        "/tenant unknown_field",
    ];
    answer.faults("validation_error", &faults);

    // As many as a page holds; that there are more is said.
    let body: serde_json::Map<_, _> = (0..300).map(|at| (format!("stray{at}"), json!(1))).collect();
    let error = send(&world, Method::POST, PATH, &json!(body).to_string()).await.refused(422, "validation_error");
    assert_eq!(error["details"].as_array().map(Vec::len), Some(100));
    assert!(error["message"].as_str().is_some_and(|message| message.contains("first 100")), "{}", error["message"]);
}

async fn a_key_that_comes_twice_is_a_fault(engine: Engine) {
    let world = world(engine).await;
    let head = r#"{"escrowId":"esc_refused","projectId":"prj_nobody","currency":"USD","amount":1"#;
    refused(&world, &format!(r#"{head},"amount":1}}"#), &["/amount duplicate_key"]).await;
    // However it is spelled.
    refused(&world, &format!(r#"{head},"\u0061mount":2,"amount":3}}"#), &["/amount duplicate_key"]).await;
    let twice = r#""deductions":[{"type":"refund","type":"expense","amount":1}]"#;
    refused(&world, &format!("{head},{twice}}}"), &["/deductions/0/type duplicate_key"]).await;
    refused(&world, &format!(r#"{head},"x":1,"x":2}}"#), &["/x unknown_field"]).await;
}

async fn a_model_that_cannot_split_the_amount_is_told(engine: Engine) {
    let world = world(engine).await;
    let lines = json!([{ "recipientId": "rec_1", "remaining": true }]);
    let model = json!({ "currency": "EUR", "effectiveFrom": "2026-01-01T00:00:00Z", "effectiveTo": "2026-02-01T00:00:00Z",
        "steps": [{ "type": "share", "lines": lines }] });
    world.put("/projects/prj_january/revenue-model", &model).await;
    let ask = async |name: &str, value: Value, faults: &[&str]| {
        let mut body = json!({ "escrowId": "esc_refused", "projectId": "prj_january", "amount": 100, "currency": "EUR",
            "asOf": "2026-01-15T00:00:00Z" });
        body[name] = value;
        world.schedule(&body).await.faults("split_invalid", faults);
    };
    ask("currency", json!("USD"), &["/currency currency_mismatch"]).await;
    ask("asOf", json!("2025-12-31T23:59:59.999999Z"), &["/asOf no_effective_model"]).await;
    ask("asOf", json!("2026-02-01T00:00:00Z"), &["/asOf no_effective_model"]).await;
    let deductions = json!([{ "type": "refund", "amount": 100 }, { "type": "expense", "amount": 1 }]);
    ask("deductions", deductions, &["/deductions deductions_exceed_amount"]).await;
    let most = json!(vec![json!({ "type": "refund", "amount": 9_007_199_254_740_991_i64 }); 100]);
    ask("deductions", most, &["/deductions deductions_exceed_amount"]).await;
}
