//! A model is stored once, never changes, and splits what was earned in its time.

use super::{release, shares, with};
use crate::harness::{
    home::Engine,
    on_both_databases,
    world::{World, list, text},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

on_both_databases! {
    when_the_money_was_earned_chooses_the_version
    the_same_model_again_is_the_same_version
    a_version_is_read_back_as_it_was_written
    anybody_can_compute_the_hash_of_what_is_answered
}

async fn when_the_money_was_earned_chooses_the_version(engine: Engine) {
    let world = World::shared("versions", engine).await;
    let store = async |ana: i64, from: &str, to: Option<&str>, status: &str| {
        let mut model = with(shares(&[("rec_ana", ana), ("rec_ben", 100 - ana)]), "effectiveFrom", json!(from));
        model["status"] = json!(status);
        if let Some(to) = to {
            model["effectiveTo"] = json!(to);
        }
        world.publish_model("prj_earned", &model).await
    };
    store(10, "2026-01-01T00:00:00Z", None, "active").await;
    store(20, "2026-02-01T00:00:00Z", Some("2026-03-01T00:00:00Z"), "active").await;
    store(30, "2026-01-01T00:00:00Z", None, "draft").await;
    for (number, (as_of, version, ana)) in [
        ("2026-01-01T00:00:00Z", 1, 10),
        ("2026-01-31T23:59:59.999999Z", 1, 10),
        ("2026-02-01T00:00:00Z", 2, 20),
        // The same instant, written elsewhere.
        ("2026-02-01T05:30:00+05:30", 2, 20),
        ("2026-02-28T23:59:59.999999Z", 2, 20),
        ("2026-03-01T00:00:00Z", 1, 10),
        ("9999-12-31T23:59:59.999999Z", 1, 10),
    ]
    .into_iter()
    .enumerate()
    {
        let ask = json!({ "projectId": "prj_earned", "amount": 100, "currency": "USD", "asOf": as_of });
        let calculated = world.post("/revenue/calculate", &ask).await.with(200);
        assert_eq!(
            (&calculated["modelVersion"], &calculated["breakdown"][0]["netAmount"]),
            (&json!(version), &json!(ana)),
            "{as_of}"
        );
        let body = with(release(&format!("esc_earned{number}"), "prj_earned", 100, "USD"), "asOf", json!(as_of));
        let batch = world.batch(&world.scheduled(&body).await).await;
        assert_eq!((&batch["modelVersion"], &batch["items"][0]["amount"]), (&json!(version), &json!(ana)), "{as_of}");
        assert_eq!(batch["modelHash"], calculated["modelHash"]);
    }
    let early = with(release("esc_early", "prj_earned", 100, "USD"), "asOf", json!("2025-12-31T23:59:59.999999Z"));
    world.schedule(&early).await.faults("split_invalid", &["/asOf no_effective_model"]);
    // Without a word about it, it was earned now.
    let now = world.batch(&world.scheduled(&release("esc_now", "prj_earned", 100, "USD")).await).await;
    assert_eq!(now["modelVersion"], 1);
    assert_eq!(now["asOf"], now["createdAt"]);
}

async fn the_same_model_again_is_the_same_version(engine: Engine) {
    let world = World::shared("versions", engine).await;
    let put =
        async |model: &Value, status: u16| world.put("/projects/prj_same/revenue-model", model).await.with(status);
    let percent = json!({ "steps": [{ "type": "share", "lines": [
        { "recipientId": "rec_ana", "percent": "70" }, { "recipientId": "rec_ben", "percent": "30" }
    ] }] });
    let answer = world.put("/projects/prj_same/revenue-model", &percent).await;
    assert_eq!(answer.header("location"), Some("/projects/prj_same/revenue-models/1"));
    let first = answer.with(201);
    let again = put(&percent, 200).await;
    assert_eq!(again, first);
    assert_eq!(put(&with(percent.clone(), "projectId", json!("prj_same")), 200).await, first);

    let changed = with(percent.clone(), "platformFee", json!({ "fixed": 1 }));
    let second = put(&changed, 201).await;
    assert_eq!((&second["version"], second["hash"] == first["hash"]), (&json!(2), false));
    // To go back is a change, too: the versions are what happened.
    let third = put(&percent, 201).await;
    assert_eq!((&third["version"], &third["hash"]), (&json!(3), &first["hash"]));
    let draft = put(&with(percent.clone(), "status", json!("draft")), 201).await;
    assert_eq!((&draft["version"], &draft["status"]), (&json!(4), &json!("draft")));
    assert_eq!(put(&with(percent, "status", json!("draft")), 200).await, draft);

    let current = world.get("/projects/prj_same/revenue-model").await.with(200);
    assert_eq!(current, third, "a draft is not in force");
    assert_eq!(world.get("/projects/prj_same/revenue-models/1").await.with(200), first);
    let listed = world.all_by("/projects/prj_same/revenue-models", "version", 2).await;
    assert_eq!(listed, [draft, third, second, first]);
}

async fn a_version_is_read_back_as_it_was_written(engine: Engine) {
    let world = World::shared("versions", engine).await;
    let lines = json!([
        { "recipientId": "rec_ana", "percent": "33.3333" },
        { "recipientId": "507f1f77bcf86cd799439011", "percent": "0.0001" },
        { "recipientId": "0110c853-1d09-52d8-d73e-1194e95b5f19", "remaining": true }
    ]);
    let model = json!({
        "status": "active", "effectiveFrom": "2026-01-01T00:00:00Z", "effectiveTo": "2027-01-01T00:00:00.000001Z",
        "currency": "EUR", "tieBreak": "declaration",
        "platformFee": { "ratePpm": 50_000, "fixed": 30, "min": 50, "max": 100_000 },
        "steps": [{ "type": "share", "lines": lines }]
    });
    let stored = world.publish_model("prj_written", &model).await;
    for (name, value) in model.as_object().expect("an object") {
        assert_eq!(&stored[name], value, "{name}");
    }
    assert_eq!((stored["createdBy"].as_str(), list(&stored, "faults").len()), (Some("usr_test"), 0));
    let hash = text(&stored, "hash");
    assert!(hash.starts_with("sha256:") && hash.len() == 71);
    assert_eq!(world.get("/projects/prj_written/revenue-models/1").await.with(200), stored);
    // An inline copy of it is the same model.
    let inline = json!({ "revenueModel": model, "amount": 100_000, "currency": "EUR", "asOf": "2026-06-01T00:00:00Z" });
    let stored =
        json!({ "projectId": "prj_written", "amount": 100_000, "currency": "EUR", "asOf": "2026-06-01T00:00:00Z" });
    let inline = world.post("/revenue/calculate", &inline).await.with(200);
    let stored = world.post("/revenue/calculate", &stored).await.with(200);
    for name in ["modelHash", "breakdown", "totals", "totalDistributed", "explanation", "warnings"] {
        assert_eq!(inline[name], stored[name], "{name}");
    }
}

/// A model that says everything that can be said.
fn everything() -> Value {
    let line = |recipient: &str, ppm: i64| json!({ "recipientId": recipient, "ppm": ppm });
    json!({
        "currency": "EUR", "tieBreak": "carry", "minUnitPerLine": true,
        "platformFee": {
            "ratePpm": 0, "fixed": 1, "min": 2, "max": 3, "base": "feeable_lines", "bearer": "payer",
            "exemptRecipientIds": ["rec_b"], "feeTaxPpm": 190_000, "feeOnRefund": "kept",
            "tiers": { "basis": "cumulative_amount", "mode": "marginal", "since": "2026-01-01", "tiers": [
                { "from": 0, "upTo": 1_000, "ratePpm": 1, "flat": 2 }, { "upTo": null, "ratePpm": 3, "flat": 0 }
            ] }
        },
        "defaultTaxProfile": { "form": "none", "rules": [{
            "code": "us_backup", "jurisdiction": "US", "ratePpm": 240_000, "taxablePpm": 500_000, "base": "net_of_fee",
            "threshold": { "amount": 200_000, "period": "fiscal_year_apr", "mode": "cliff_all" }, "rounding": "half_even",
            "granularity": 100, "priority": 7, "currency": "EUR", "effectiveFrom": "2026-01-01", "effectiveTo": "2030-01-01"
        }] },
        "settlement": { "recoveryPpm": 500_000, "escheatAfterDays": 30, "fallback": "release_pro_rata" },
        "steps": [
            { "type": "fixed", "key": "costs", "amount": 100, "per": "lifetime", "lines": [line("rec_a", 400_000), line("rec_b", 600_000)] },
            { "type": "fixed", "amount": 5, "recipientId": "rec_c", "placeholder": true, "feeable": false },
            { "type": "recoup", "key": "advance", "multiplePpm": 1_200_000, "ratePpm": 500_000, "crossCollateralId": "label",
              "lines": [{ "recipientId": "rec_a", "principal": 1_000, "placeholder": true }] },
            { "type": "share", "key": "main", "portionPpm": 250_000, "feeable": true, "lines": [
                { "recipientId": "rec_a", "percent": "33.3333", "min": 1, "max": 10, "lifetimeMax": 100, "feeable": false },
                { "recipientId": "rec_b", "percent": "0.01" }, { "recipientId": "rec_c", "remaining": true, "placeholder": true }
            ] },
            { "type": "recoup_from_share", "key": "back", "fromRecipientId": "rec_a", "toRecipientId": "rec_b", "target": 9, "ratePpm": 1 },
            { "type": "tiers", "key": "scale", "basis": "amount", "mode": "volume", "since": "2018-10-01", "tiers": [
                { "from": 0, "upTo": 10, "lines": [line("rec_a", 0), line("rec_b", 1_000_000)] },
                { "upTo": null, "lines": [line("rec_a", 1_000_000)] }
            ] }
        ]
    })
}

/// What the hash covers is answered field by field as it was hashed: nothing has to be guessed or put right.
async fn anybody_can_compute_the_hash_of_what_is_answered(engine: Engine) {
    const COVERED: [&str; 7] =
        ["currency", "defaultTaxProfile", "minUnitPerLine", "platformFee", "settlement", "steps", "tieBreak"];
    let world = World::shared("versions", engine).await;
    let short = json!({ "platformFee": { "ratePpm": 50_000 }, "minUnitPerLine": false, "steps": [
        { "type": "share", "portionPpm": 1_000_000, "lines": [{ "recipientId": "rec_a", "percent": "70.00" }, { "recipientId": "rec_b", "remaining": true }] }
    ] });
    for (project, model) in
        [("prj_everything", everything()), ("prj_short", short), ("prj_plain", shares(&[("rec_a", 1)]))]
    {
        let stored = world.publish_model(project, &model).await;
        for (name, value) in model.as_object().expect("an object").iter().filter(|(_, value)| **value != json!(false)) {
            let same = name == "platformFee" || &stored[name] == value;
            assert!(same, "{name}: {:#}", stored[name]);
        }
        for path in ["revenue-model", "revenue-models/1"] {
            let answered = world.get(&format!("/projects/{project}/{path}")).await.with(200);
            let covered: Map<String, Value> =
                COVERED.iter().filter_map(|name| Some(((*name).to_owned(), answered.get(*name)?.clone()))).collect();
            // Keys are sorted here, at every depth, and there is no white space.
            let canonical = Value::Object(covered).to_string();
            let digest = Sha256::digest(canonical.as_bytes());
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text(&answered, "hash"), format!("sha256:{hex}"), "{canonical}");
        }
    }
}
