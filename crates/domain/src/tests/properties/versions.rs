//! What a model is, when it is in force, and what it may be in.

use super::config;
use crate::{
    currency::{Currency, CurrencyError},
    revenue_model::{ModelSpec, ModelStatus, ModelVersion, version::in_force},
    tests::{
        scene,
        tape::{Tape, tapes},
    },
    timestamp::Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// How many objects there are in a tree.
fn objects(tree: &Value) -> usize {
    match tree {
        Value::Array(items) => items.iter().map(objects).sum(),
        Value::Object(fields) => 1 + fields.values().map(objects).sum::<usize>(),
        _ => 0,
    }
}

/// Puts a field that nobody knows into the object of that number; answers how many more objects must be passed.
fn surprise(tree: &mut Value, left: usize) -> Option<usize> {
    match tree {
        Value::Array(items) => items.iter_mut().try_fold(left, |left, item| surprise(item, left)),
        Value::Object(fields) if left == 0 => {
            fields.insert("surprise".to_owned(), json!(1));
            None
        }
        Value::Object(fields) => fields.values_mut().try_fold(left - 1, |left, value| surprise(value, left)),
        _ => Some(left),
    }
}

/// The tree as text, the fields of every object in any order.
fn scrambled(tree: &Value, tape: &mut Tape) -> String {
    match tree {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| scrambled(item, tape)).collect();
            format!("[{}]", items.join(" , "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("\"{key}\": {}", scrambled(value, tape))).collect();
            let order = tape.order(fields.len());
            let fields: Vec<&str> = order.into_iter().map(|at| fields[at].as_str()).collect();
            format!("{{{}}}", fields.join(",\n"))
        }
        plain => plain.to_string(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(second * 1_000_000)
}

proptest! {
    #![proptest_config(config())]

    /// Property 27: a field that is not known is refused wherever it stands; the order of the known ones changes neither the
    /// model nor its hash, and anything else changes the hash.
    #[test]
    fn unknown_fields_are_refused_and_the_order_of_keys_does_not_matter(mut tape in tapes(320)) {
        let spec = scene::model(&mut tape);
        let mut tree = serde_json::to_value(&spec).unwrap();
        let same: ModelSpec = serde_json::from_str(&scrambled(&tree, &mut tape)).unwrap();
        prop_assert_eq!(same.hash(), spec.hash());
        prop_assert_eq!(&same, &spec);
        let other = ModelSpec { min_unit_per_line: !spec.min_unit_per_line, ..spec };
        prop_assert_ne!(other.hash(), same.hash());

        let place = tape.count(0, objects(&tree) - 1);
        prop_assert_eq!(surprise(&mut tree, place), None);
        prop_assert!(serde_json::from_value::<ModelSpec>(tree.clone()).is_err(), "{}", tree);
    }

    /// Property 28: the first instant of a version belongs to it, the last does not; of several the newest counts, and a
    /// draft never does.
    #[test]
    fn a_version_is_in_force_from_its_first_instant_until_before_its_last(mut tape in tapes(48)) {
        let spec = ModelSpec::default();
        let versions: Vec<ModelVersion> = (0..u32::try_from(tape.count(1, 5)).unwrap()).map(|number| {
            let from = tape.amount(0, 6);
            ModelVersion {
                project: "prj_1".parse().unwrap(),
                version: number + 1,
                status: tape.pick(&[ModelStatus::Active, ModelStatus::Active, ModelStatus::Draft]),
                effective_from: at(from),
                effective_to: if tape.one_in(2) { Some(at(from + tape.amount(1, 6))) } else { None },
                hash: spec.hash(),
                spec: spec.clone(),
                created_by: "usr_1".parse().unwrap(),
                created_at: at(0),
            }
        }).collect();
        for second in 0..14 {
            // A microsecond before, and exactly then.
            for instant in [Timestamp::from_unix_micros(second * 1_000_000 - 1), at(second)] {
                let mut expected = None;
                for version in &versions {
                    let ends_later = version.effective_to.is_none_or(|end| end.unix_micros() > instant.unix_micros());
                    let began = version.effective_from.unix_micros() <= instant.unix_micros();
                    if version.status == ModelStatus::Active && began && ends_later {
                        expected = Some(version.version);
                    }
                }
                prop_assert_eq!(in_force(&versions, instant).map(|version| version.version), expected);
            }
        }
    }
}

/// Property 30: each of the 155 codes with its decimals; funds, metals and test codes, withdrawn codes and every other
/// three letters are refused.
#[test]
fn every_currency_of_the_table_is_accepted_and_every_other_refused() {
    let table: Value = serde_json::from_str(include_str!("../../../tests/vectors/iso4217.json")).unwrap();
    let list = |key: &str| -> Vec<String> {
        match &table[key] {
            Value::Array(codes) => codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect(),
            Value::Object(codes) => codes.keys().cloned().collect(),
            other => panic!("{key}: {other}"),
        }
    };
    let accepted: Vec<(String, u8)> = [("exponent_0", 0), ("exponent_2", 2), ("exponent_3", 3)]
        .into_iter()
        .flat_map(|(key, exponent)| list(key).into_iter().map(move |code| (code, exponent)))
        .collect();
    assert_eq!(accepted.len(), 155);
    let special: Vec<String> =
        ["fund_codes", "accounting_unit", "special_no_exponent"].into_iter().flat_map(list).collect();
    let historic = list("historic");
    assert_eq!(historic.len(), 49);
    let letters = || ('A'..='Z').map(String::from);
    let codes = letters().flat_map(|a| {
        letters().flat_map(move |b| {
            let a = a.clone();
            letters().map(move |c| format!("{a}{b}{c}"))
        })
    });
    let mut seen = [0; 4];
    for code in codes {
        let known = accepted.iter().find(|(known, _)| *known == code);
        match (code.parse::<Currency>(), known) {
            (Ok(currency), Some((_, exponent))) => {
                assert_eq!(currency.exponent(), *exponent, "{code}");
                seen[0] += 1;
            }
            (Err(CurrencyError::Withdrawn { .. }), None) if historic.contains(&code) => seen[1] += 1,
            (Err(error), None) if special.contains(&code) => {
                assert_eq!(error.code(), "currency_not_payable", "{code}");
                seen[2] += 1;
            }
            (Err(error), None) => {
                assert_eq!(error.code(), "currency_unknown", "{code}");
                seen[3] += 1;
            }
            (other, _) => panic!("{code}: {other:?}"),
        }
        assert!(code.to_lowercase().parse::<Currency>().is_err());
    }
    assert_eq!(seen, [155, 49, special.len(), 26 * 26 * 26 - 155 - 49 - special.len()]);
}
