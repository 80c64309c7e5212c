//! Whatever somebody sends.

use super::config;
use crate::{
    calculation::{CalculationError, Detail, Request, calculate},
    money::Money,
    revenue_model::ModelSpec,
    tests::{
        scene,
        tape::{Tape, tapes},
    },
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const WORDS: [&str; 48] = [
    "steps",
    "type",
    "lines",
    "recipientId",
    "ppm",
    "percent",
    "bps",
    "weight",
    "remaining",
    "min",
    "max",
    "lifetimeMax",
    "key",
    "amount",
    "per",
    "lifetime",
    "fixed",
    "recoup",
    "share",
    "tiers",
    "remainder",
    "recoup_from_share",
    "principal",
    "multiplePpm",
    "ratePpm",
    "crossCollateralId",
    "portionPpm",
    "basis",
    "cumulative_amount",
    "mode",
    "marginal",
    "volume",
    "since",
    "upTo",
    "from",
    "target",
    "fromRecipientId",
    "toRecipientId",
    "platformFee",
    "settlement",
    "tieBreak",
    "carry",
    "rotate",
    "currency",
    "defaultTaxProfile",
    "rules",
    "feeable",
    "placeholder",
];

fn plain(tape: &mut Tape) -> Value {
    match tape.below(12) {
        0 => Value::Null,
        1 => json!(tape.one_in(2)),
        2 => json!(tape.below(3)),
        3..=5 => Value::Number(number(tape)),
        6 => json!(tape.pick(&[0.5, 1e300, -0.0])),
        7 => json!(format!("rec_{}", tape.below(3))),
        8 => json!(tape.pick(&["USD", "JPY", "", "2026-01-01", "0", "\u{0}", "\u{1f4b8}", "-1", "step-0"])),
        9 => json!(tape.pick(&["100", "33.3333", "99999999999999999999999999999", "0.00001", "1e5", ".", "1_0", "-0"])),
        _ => json!(tape.pick(&WORDS)),
    }
}

fn tree(tape: &mut Tape, depth: usize) -> Value {
    match tape.below(if depth == 0 { 1 } else { 4 }) {
        1 => (0..tape.count(0, 3)).map(|_| tree(tape, depth - 1)).collect(),
        2 | 3 => {
            let fields = (0..tape.count(0, 5)).map(|_| (tape.pick(&WORDS).to_owned(), tree(tape, depth - 1)));
            Value::Object(fields.collect::<Map<String, Value>>())
        }
        _ => plain(tape),
    }
}

/// Changes one place of the tree: another value (mostly of the same kind), another field, one less, one twice.
fn mutate(tree: &mut Value, tape: &mut Tape) {
    let size = match tree {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    let goes_deeper = size > 0 && !tape.one_in(8);
    let at = tape.count(0, size.max(1) - 1);
    match tree {
        Value::Array(items) if goes_deeper => mutate(&mut items[at], tape),
        Value::Object(fields) if goes_deeper => {
            fields.values_mut().nth(at).into_iter().for_each(|value| mutate(value, tape));
        }
        Value::Array(items) if size > 0 => match tape.below(3) {
            0 => drop(items.remove(at)),
            1 => items.push(items[at].clone()),
            _ => items[at] = plain(tape),
        },
        Value::Object(fields) => match (tape.below(3), fields.keys().nth(at).cloned()) {
            (0, Some(key)) => drop(fields.remove(&key)),
            (1, Some(key)) => drop(fields.insert(key, plain(tape))),
            _ => drop(fields.insert(tape.pick(&WORDS).to_owned(), plain(tape))),
        },
        other if tape.one_in(8) => *other = if tape.one_in(4) { self::tree(tape, 2) } else { plain(tape) },
        Value::Bool(flag) => *flag = !*flag,
        Value::Number(number) => *number = self::number(tape),
        Value::String(text) if text.starts_with("rec_") => *text = format!("rec_{}", tape.below(4)),
        other => *other = plain(tape),
    }
}

fn number(tape: &mut Tape) -> serde_json::Number {
    match tape.below(4) {
        0 => tape.below(3).into(),
        1 => tape.amount(-5, 2_000_000).into(),
        2 => tape.pick(&[i64::MIN, -1, i64::MAX, 1 << 53, (1 << 53) - 1]).into(),
        _ => u64::MAX.into(),
    }
}

/// Reads, checks and, if there is nothing wrong, calculates: with an answer or an honest refusal.
fn use_it(spec: &ModelSpec, amount: i64) -> Result<bool, TestCaseError> {
    let model = match spec.check() {
        Err(faults) => {
            prop_assert!(!faults.is_empty() && faults.iter().map(|fault| &fault.pointer).is_sorted());
            let _ = spec.with_keys().check();
            return Ok(false);
        }
        Ok(model) => model,
    };
    let result = calculate(Request {
        amount: Money::new(amount, spec.currency.unwrap_or(scene::usd())),
        deductions: &[],
        day: scene::day("2026-06-15"),
        model: &model,
        parties: &[],
        counts: &[],
        detail: Detail::Full,
    });
    prop_assert!(!matches!(result, Err(CalculationError::LawBroken(_))), "{:?} of {:?}", result, spec);
    Ok(true)
}

proptest! {
    #![proptest_config(config())]

    /// Property 33: trees of the words of a model, models with up to four places changed, and models with broken bytes:
    /// each is refused with its faults or calculated, and never a reason to panic.
    #[test]
    fn no_json_is_a_reason_to_panic(mut tape in tapes(320)) {
        let amount = tape.pick(&[1, 100, i64::MAX, 0, -1, i64::MIN]);
        if tape.one_in(4) {
            let json = json!({ "steps": tree(&mut tape, 5), "platformFee": tree(&mut tape, 3) });
            if let Ok(spec) = serde_json::from_value::<ModelSpec>(json) {
                use_it(&spec, amount)?;
            }
            return Ok(());
        }
        let mut json = serde_json::to_value(scene::model(&mut tape)).unwrap();
        for _ in 0..tape.count(1, 4) {
            mutate(&mut json, &mut tape);
        }
        let mut text = json.to_string().into_bytes();
        if let Ok(spec) = serde_json::from_slice::<ModelSpec>(&text) {
            use_it(&spec, amount)?;
        }
        let place = tape.count(0, text.len() - 1);
        text[place] = tape.pick(b"0\"9}]{[:,\xff -");
        if let Ok(spec) = serde_json::from_slice::<ModelSpec>(&text) {
            use_it(&spec, amount)?;
        }
    }
}

/// The mutations above are worth something: some leave a model that calculates, some one with faults, some none at all.
#[test]
fn changed_models_are_of_every_kind() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [0; 3];
    for _ in 0..500 {
        let mut tape = tapes(320).new_tree(&mut runner).unwrap().current();
        let mut json = serde_json::to_value(scene::model(&mut tape)).unwrap();
        mutate(&mut json, &mut tape);
        seen[match serde_json::from_value::<ModelSpec>(json) {
            Err(_) => 0,
            Ok(spec) => 1 + usize::from(use_it(&spec, 1_000).unwrap()),
        }] += 1;
    }
    assert!(seen.iter().all(|seen| *seen > 40), "{seen:?}");
}
