//! What is wrong with a recipient.

use super::{send, world};
use crate::harness::{home::Engine, on_both_databases};
use reqwest::Method;
use serde_json::{Value, json};

on_both_databases! {
    fields_of_a_recipient_are_told_by_their_names
    what_is_known_of_a_recipient_is_answered_as_it_was_told
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
        (json!({ "taxRatePpm": 0, "taxProfile": { "rules": [] } }), vec!["/taxRatePpm one_of"]),
        (json!({ "taxProfile": null }), vec!["/taxProfile wrong_type"]),
        (json!({ "taxProfile": {} }), vec!["/taxProfile/rules required"]),
        (
            json!({ "taxProfile": { "form": "", "formSignedAt": "31.1.2026", "rules": [
                { "code": "US", "ratePpm": 1 }, { "code": "us_nra", "ratePpm": -1, "granularity": 0 },
                { "code": "us_nra", "ratePpm": 1, "effectiveFrom": "2026-01-01", "effectiveTo": "2026-01-01" }, 7
            ] } }),
            vec![
                "/taxProfile/form out_of_range",
                "/taxProfile/formSignedAt invalid_format",
                "/taxProfile/rules/0/code invalid_format",
                "/taxProfile/rules/1/granularity out_of_range",
                "/taxProfile/rules/1/ratePpm out_of_range",
                "/taxProfile/rules/2/effectiveTo out_of_range",
                "/taxProfile/rules/3 wrong_type",
            ],
        ),
        (json!({ "payoutMinimums": {} }), vec!["/payoutMinimums wrong_type"]),
        (
            json!({ "payoutMinimums": [
                { "currency": "USD", "amount": 0 }, { "amount": 9_007_199_254_740_992_i64 }, { "currency": "usd", "amount": 1 },
                { "currency": "EUR", "amount": 1 }, { "currency": "USD", "amount": 1 }
            ] }),
            vec![
                "/payoutMinimums/0/amount amount_not_positive",
                "/payoutMinimums/1/amount amount_out_of_range",
                "/payoutMinimums/1/currency required",
                "/payoutMinimums/2/currency currency_malformed",
                "/payoutMinimums/4/currency duplicate_currency",
            ],
        ),
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

async fn what_is_known_of_a_recipient_is_answered_as_it_was_told(engine: Engine) {
    let world = world(engine).await;
    let put = async |about: Value| {
        let answer = world.put("/recipients/rec_told", &about).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.text);
        assert_eq!(world.get("/recipients/rec_told").await.with(200), answer.json());
        answer.json()
    };
    let nothing = put(json!({})).await;
    assert_eq!((&nothing["taxProfile"], &nothing["taxRatePpm"]), (&Value::Null, &json!(0)));
    assert_eq!(nothing["payoutMinimums"], json!([]));

    // No rule is not the same as nobody knows.
    let none = put(json!({ "taxRatePpm": 0 })).await;
    assert_eq!((&none["taxProfile"], &none["taxRatePpm"]), (&json!({ "rules": [] }), &json!(0)));
    let flat = put(json!({ "taxRatePpm": 300_000 })).await;
    let profile = json!({ "rules": [{ "code": "withholding", "ratePpm": 300_000 }] });
    assert_eq!((&flat["taxProfile"], &flat["taxRatePpm"]), (&profile, &json!(300_000)));
    assert_eq!(put(json!({ "taxProfile": profile })).await["taxRatePpm"], 300_000);

    let profile = json!({
        "form": "W-8BEN", "formSignedAt": "2026-01-31", "formValidUntil": "2028-12-31", "residence": "IN",
        "rules": [
            { "code": "us_nra", "jurisdiction": "US", "ratePpm": 150_000, "taxablePpm": 400_000, "base": "net_of_fee",
              "threshold": { "amount": 60_000, "period": "calendar_year", "mode": "excess_only" }, "rounding": "floor",
              "granularity": 100, "priority": 2, "currency": "USD", "effectiveFrom": "2026-01-01", "effectiveTo": "2027-01-01" },
            { "code": "in_tds_ecommerce", "ratePpm": 1_000 }
        ]
    });
    let minimums = json!([{ "currency": "USD", "amount": 10_000 }, { "currency": "EUR", "amount": 7_000 }]);
    let told = put(json!({ "taxProfile": profile, "payoutMinimums": minimums })).await;
    assert_eq!((&told["taxProfile"], &told["taxRatePpm"]), (&profile, &Value::Null));
    let sorted = json!([{ "currency": "EUR", "amount": 7_000 }, { "currency": "USD", "amount": 10_000 }]);
    assert_eq!(told["payoutMinimums"], sorted);
    // What is not said again is not known any more.
    assert_eq!(put(json!({})).await["payoutMinimums"], json!([]));
}
