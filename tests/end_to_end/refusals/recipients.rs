//! What is wrong with a recipient.

use super::{send, world};
use crate::harness::{home::Engine, on_both_databases};
use reqwest::Method;
use serde_json::{Value, json};

on_both_databases! {
    fields_of_a_recipient_are_told_by_their_names
}

async fn fields_of_a_recipient_are_told_by_their_names(engine: Engine) {
    let world = world(engine).await;
    let to = |destination: Value| json!({ "destination": destination });
    let many: serde_json::Map<String, Value> = (0..33).map(|at| (format!("d{at}"), json!("x"))).collect();
    for (body, faults) in [
        (json!({ "status": "gone" }), vec!["/status invalid_format"]),
        (json!({ "status": null }), vec!["/status wrong_type"]),
        (json!({ "taxRatePpm": -1 }), vec!["/taxRatePpm out_of_range"]),
        (json!({ "taxRatePpm": 1_000_001 }), vec!["/taxRatePpm out_of_range"]),
        (json!({ "taxRatePpm": 0.3 }), vec!["/taxRatePpm wrong_type"]),
        (json!({ "taxRatePpm": "30 %" }), vec!["/taxRatePpm wrong_type"]),
        (json!({ "recipientId": "rec_1" }), vec!["/recipientId unknown_field"]),
        (to(json!("simulator")), vec!["/destination wrong_type"]),
        (to(json!({})), vec!["/destination/rail required"]),
        (to(json!({ "rail": "No Rail" })), vec!["/destination/rail invalid_format"]),
        (to(json!({ "rail": "pigeon" })), vec!["/destination/rail unknown_rail"]),
        (to(json!({ "rail": "simulator", "iban": "x" })), vec!["/destination/iban unknown_field"]),
        (to(json!({ "rail": "simulator", "details": [] })), vec!["/destination/details wrong_type"]),
        (
            to(json!({ "rail": "simulator", "details": { "outcome": 1 } })),
            vec!["/destination/details/outcome wrong_type"],
        ),
        (
            to(json!({ "rail": "simulator", "details": { "outcome": "maybe" } })),
            vec!["/destination/details/outcome invalid_value"],
        ),
        (
            to(json!({ "rail": "simulator", "details": { "i/ban": "x", "outcome": "maybe" } })),
            vec!["/destination/details/i~1ban unknown_field", "/destination/details/outcome invalid_value"],
        ),
        (
            to(json!({ "rail": "simulator", "details": { "a": "x".repeat(1001) } })),
            vec!["/destination/details/a out_of_range"],
        ),
        (to(json!({ "rail": "simulator", "details": { "a": "\0" } })), vec!["/destination/details/a invalid_format"]),
        (to(json!({ "rail": "simulator", "details": many })), vec!["/destination/details out_of_range"]),
        (
            json!({ "status": "gone", "taxRatePpm": -1, "destination": { "rail": 1 }, "x": 1 }),
            vec![
                "/destination/rail wrong_type",
                "/status invalid_format",
                "/taxRatePpm out_of_range",
                "/x unknown_field",
            ],
        ),
    ] {
        let answer = send(&world, Method::PUT, "/recipients/rec_refused", &body.to_string()).await;
        answer.faults("validation_error", &faults);
    }
    let twice = r#"{"destination":{"rail":"simulator","details":{"outcome":"paid","outcome":"declined"}}}"#;
    let answer = send(&world, Method::PUT, "/recipients/rec_refused", twice).await;
    answer.faults("validation_error", &["/destination/details/outcome duplicate_key"]);
    world.get("/recipients/rec_refused").await.refused(404, "recipient_not_found");
}
