//! What is read is what the domain writes, and what the specification shows.

use super::*;
use crate::http::{api::document, fields, json, payload::read_example};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A model that says everything that can be said. It does not add up, which is nobody's business here.
fn everything() -> Value {
    let line = json!({
        "recipientId": "rec_a", "ppm": 1, "percent": "0.0001", "bps": 2, "weight": -3, "remaining": true, "min": 4, "max": 5,
        "lifetimeMax": 6, "feeable": false, "placeholder": true,
    });
    let profile = json!({
        "form": "W-8BEN", "formSignedAt": "2026-01-31", "formValidUntil": "2028-12-31", "residence": "IN",
        "rules": [{
            "code": "us_nra", "jurisdiction": "US", "ratePpm": 1, "taxablePpm": 2, "base": "net_of_fee",
            "threshold": { "amount": 1, "period": "none", "mode": "cliff_all" }, "rounding": "floor", "granularity": 2,
            "priority": 1, "currency": "USD", "effectiveFrom": "2026-01-01", "effectiveTo": "2027-01-01",
        }],
    });
    json!({
        "currency": "USD", "tieBreak": "carry", "minUnitPerLine": true, "defaultTaxProfile": profile,
        "platformFee": {
            "ratePpm": 1, "fixed": 2, "min": 3, "max": 4, "base": "gross", "scope": "line", "bearer": "payer",
            "exemptRecipientIds": ["rec_a"], "feeTaxPpm": 5, "feeOnRefund": "kept",
            "tiers": {
                "basis": "cumulative_amount", "mode": "volume", "since": "2026-01-01",
                "tiers": [{ "from": 0, "upTo": 10, "ratePpm": 1, "flat": 2 }, { "upTo": null, "ratePpm": 0, "flat": 0 }],
            },
        },
        "settlement": { "recoveryPpm": 500_000, "escheatAfterDays": 30, "fallback": "release_pro_rata" },
        "steps": [
            { "type": "fixed", "key": "a-1_", "amount": -7, "per": "lifetime", "recipientId": "rec_a", "placeholder": true,
              "lines": [line], "feeable": true },
            { "type": "recoup", "key": "b", "multiplePpm": 1, "ratePpm": -1, "crossCollateralId": "c", "feeable": false,
              "lines": [{ "recipientId": "rec_b", "principal": 9_223_372_036_854_775_807_i64, "placeholder": true }] },
            { "type": "share", "key": "c", "portionPpm": 1, "lines": [line], "feeable": true },
            { "type": "tiers", "key": "d", "basis": "amount", "mode": "marginal", "since": "2018-10-01", "feeable": true,
              "tiers": [{ "from": 0, "upTo": 10, "lines": [line] }, { "upTo": null, "lines": [] }] },
            { "type": "remainder", "recipientId": "rec_c", "placeholder": true, "feeable": true },
            { "type": "recoup_from_share", "key": "e", "fromRecipientId": "rec_a", "toRecipientId": "rec_b", "target": -1,
              "ratePpm": 0 },
        ],
    })
}

fn read(model: &Value) -> Result<ModelBody, Vec<String>> {
    let text = model.to_string();
    let read = fields::read(&json::parse(text.as_bytes()).unwrap(), Vec::new(), ModelBody::read);
    read.map_err(|faults| faults.iter().map(|fault| format!("{} {}", fault.field, fault.code)).collect())
}

#[test]
fn every_field_of_every_step_is_read_as_the_domain_writes_it() {
    let spec = read(&everything()).unwrap().spec();
    assert_eq!(serde_json::to_value(&spec).unwrap(), everything());
    assert_eq!(serde_json::from_value::<ModelSpec>(everything()).unwrap(), spec);
}

#[test]
fn what_is_left_out_is_what_the_domain_takes_it_for() {
    let plain = json!({ "platformFee": {}, "settlement": {}, "steps": [
        { "type": "fixed", "amount": 1 },
        { "type": "recoup", "lines": [] },
        { "type": "share", "lines": [{ "recipientId": "rec_a" }] },
        { "type": "tiers", "basis": "amount", "mode": "volume", "tiers": [{ "lines": [] }] },
        { "type": "remainder", "recipientId": "rec_a" },
        { "type": "recoup_from_share", "fromRecipientId": "rec_a", "toRecipientId": "rec_b", "target": 1 },
    ] });
    assert_eq!(read(&plain).unwrap().spec(), serde_json::from_value(plain).unwrap());
}

/// Whoever reads the specification learns of every field there is, and of no other.
#[test]
fn the_specification_names_the_fields_that_are_read() {
    let specification: Value = serde_json::from_str(document().unwrap().json()).unwrap();
    let schemas = &specification["components"]["schemas"];
    let shown = |name: &str| -> BTreeSet<String> {
        let properties = schemas[name]["properties"].as_object();
        properties.unwrap_or_else(|| panic!("no object `{name}`")).keys().cloned().collect()
    };
    let said = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let model = everything();
    for (step, name) in [
        (0, "Step_FixedStep"),
        (1, "Step_RecoupStep"),
        (2, "Step_ShareStep"),
        (3, "Step_TiersStep"),
        (4, "Step_RemainderStep"),
        (5, "Step_RecoupFromShareStep"),
    ] {
        assert_eq!(shown(name), said(&model["steps"][step]), "{name}");
        let tag = &schemas[name]["properties"]["type"]["enum"][0];
        assert_eq!(tag, &model["steps"][step]["type"]);
        let reference = format!("#/components/schemas/{name}");
        assert_eq!(schemas["Step"]["discriminator"]["mapping"][tag.as_str().unwrap()], reference);
    }
    for (pointer, name) in [
        ("/steps/1/lines/0", "RecoupLine"),
        ("/steps/2/lines/0", "ShareLine"),
        ("/steps/3/tiers/0", "Tier"),
        ("/platformFee", "PlatformFee"),
        ("/platformFee/tiers", "PlatformFeeTiers"),
        ("/platformFee/tiers/tiers/0", "PlatformFeeTier"),
        ("/settlement", "Settlement"),
        ("/defaultTaxProfile", "TaxProfile"),
        ("/defaultTaxProfile/rules/0", "TaxRule"),
        ("/defaultTaxProfile/rules/0/threshold", "TaxThreshold"),
    ] {
        assert_eq!(shown(name), said(model.pointer(pointer).unwrap()), "{name}");
    }
    let terms = said(&model);
    for name in ["RevenueModel", "RevenueModelVersion"] {
        assert!(shown(name).is_superset(&terms), "{name}");
    }
}

#[test]
fn the_example_is_a_model_that_adds_up() {
    let example = read_example::<ModelBody>().unwrap().spec();
    assert!(example.steps.len() == 3 && example.check().is_ok());
    let specification: Value = serde_json::from_str(document().unwrap().json()).unwrap();
    let shown = &specification["components"]["schemas"]["RevenueModel"]["example"];
    assert_eq!(read(shown).unwrap().spec(), example);
}

#[test]
fn every_fault_of_form_is_told_at_once() {
    let model = json!({
        "version": 0, "status": "live", "effectiveFrom": "soon", "currency": "usd", "tieBreak": "luck", "minUnitPerLine": 0,
        "platformFee": {
            "ratePpm": -1, "fixed": 0.5, "max": "1", "base": "net", "scope": 1, "bearer": "payee", "exemptRecipientIds": ["x"],
            "feeOnRefund": "split", "tiers": { "basis": "sum", "tiers": [{ "upTo": "1", "flat": -1 }] },
        },
        "settlement": { "recoveryPpm": -1, "escheatAfterDays": -1, "fallback": "burn" },
        "defaultTaxProfile": { "rules": [{ "code": "us_nra" }] },
        "steps": [
            { "type": "fixed", "amount": 1.5, "per": "week", "recipientId": "ana", "lines": {}, "feeable": "no", "key": "a b" },
            { "type": "recoup", "lines": [{ "principal": null }], "multiplePpm": "1", "crossCollateralId": "" },
            { "type": "share", "portionPpm": true, "lines": [{ "recipientId": "rec_a", "max": "9", "weight": 1.0, "part": 1 }] },
            { "type": "tiers", "since": "2018", "tiers": [{ "from": null, "upTo": false }] },
            { "type": "remainder", "placeholder": 1 },
            { "type": "recoup_from_share", "target": 9_223_372_036_854_775_808_u64 },
            { "type": "gift", "to": "rec_a" },
            { "lines": [] },
        ],
    });
    let faults = [
        "/currency currency_malformed",
        "/defaultTaxProfile/rules/0/ratePpm required",
        "/effectiveFrom invalid_format",
        "/minUnitPerLine wrong_type",
        "/platformFee/base invalid_format",
        "/platformFee/bearer invalid_format",
        "/platformFee/exemptRecipientIds/0 invalid_format",
        "/platformFee/feeOnRefund invalid_format",
        "/platformFee/fixed wrong_type",
        "/platformFee/max wrong_type",
        "/platformFee/ratePpm out_of_range",
        "/platformFee/scope wrong_type",
        "/platformFee/tiers/basis invalid_format",
        "/platformFee/tiers/mode required",
        "/platformFee/tiers/tiers/0/flat out_of_range",
        "/platformFee/tiers/tiers/0/upTo wrong_type",
        "/settlement/escheatAfterDays out_of_range",
        "/settlement/fallback invalid_format",
        "/settlement/recoveryPpm out_of_range",
        "/status invalid_format",
        "/steps/0/amount wrong_type",
        "/steps/0/feeable wrong_type",
        "/steps/0/key invalid_format",
        "/steps/0/lines wrong_type",
        "/steps/0/per invalid_format",
        "/steps/0/recipientId invalid_format",
        "/steps/1/crossCollateralId invalid_format",
        "/steps/1/lines/0/principal wrong_type",
        "/steps/1/lines/0/recipientId required",
        "/steps/1/multiplePpm wrong_type",
        "/steps/2/lines/0/max wrong_type",
        "/steps/2/lines/0/part unknown_field",
        "/steps/2/lines/0/weight wrong_type",
        "/steps/2/portionPpm wrong_type",
        "/steps/3/basis required",
        "/steps/3/mode required",
        "/steps/3/since invalid_format",
        "/steps/3/tiers/0/from wrong_type",
        "/steps/3/tiers/0/lines required",
        "/steps/3/tiers/0/upTo wrong_type",
        "/steps/4/placeholder wrong_type",
        "/steps/4/recipientId required",
        "/steps/5/fromRecipientId required",
        "/steps/5/target out_of_range",
        "/steps/5/toRecipientId required",
        "/steps/6/type invalid_format",
        "/steps/7/type required",
        "/tieBreak invalid_format",
        "/version out_of_range",
    ];
    assert_eq!(read(&model).unwrap_err(), faults);
}

/// A number that makes no sense is read all the same: what is wrong with it is for the model to say.
#[test]
fn a_number_that_makes_no_sense_reaches_the_check() {
    let model = json!({ "currency": "USD", "steps": [
        { "type": "fixed", "amount": -1, "recipientId": "rec_a" },
        { "type": "share", "lines": [{ "recipientId": "rec_a", "ppm": -1, "min": -2, "max": -3 }, { "recipientId": "rec_b", "remaining": true }] },
    ] });
    let faults = read(&model).unwrap().spec().check().unwrap_err();
    let codes: Vec<&str> = faults.iter().map(|fault| fault.code.as_str()).collect();
    for code in ["amount_not_positive", "negative_cap", "share_not_positive"] {
        assert!(codes.contains(&code), "{code} in {codes:?}");
    }
}
