//! The answers that other projects publish, run against ours: every case of every file of the index. See
//! `tests/vectors/README.md`.
//!
//! * [`weights`]: amounts and weights, in as many rounding rules as there are libraries
//! * [`house`]: seats of the House of Representatives
//! * [`flows`]: ordered destinations, waterfalls, caps, tiers, what is refused
//! * [`fees`]: fees, fee tiers and withholding
//! * [`examples`]: the worked examples of the design

mod examples;
mod fees;
mod flows;
mod house;
mod weights;

use crate::{
    calculation::{Calculation, Detail, Party},
    revenue_model::{Fault, ModelSpec},
    tests::scene::{self, Ledger, Released},
};
use serde_json::{Value, json};

/// What of a file ran: all cases, and those of them that largest remainder must match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ran {
    cases: usize,
    matched: usize,
}

impl Ran {
    fn of(cases: usize) -> Self {
        Self { cases, matched: 0 }
    }
}

macro_rules! files {
    ($($name:literal => $run:path),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../tests/vectors/", $name)), $run as fn(&Value) -> Ran)),+]
    };
}

/// A file of the index: its name, its text, and what runs it.
type File = (&'static str, &'static str, fn(&Value) -> Ran);

/// Each file of the index.
fn files() -> [File; 27] {
    files![
        "alabama_small.json" => weights::run,
        "apportionment_py.json" => weights::run,
        "brick_money_first_n.json" => weights::run,
        "brick_money_largest_ratio.json" => weights::run,
        "brick_money_largest_remainder.json" => weights::run,
        "brick_money_separate.json" => weights::separate,
        "census1880_hamilton_275_350.json" => house::census,
        "cscheck_allocator.json" => weights::run,
        "currency_js.json" => weights::run,
        "derived_worked_examples.json" => examples::run,
        "dinero_js.json" => weights::run,
        "fee_vectors.json" => fees::run,
        "go_money.json" => weights::run,
        "govalues_money.json" => weights::run,
        "iso4217.json" => no_cases,
        "lago_tiers.json" => fees::tiers,
        "liberapay_rotation.json" => weights::run,
        "nmoneys.json" => weights::run,
        "noda_money.json" => weights::run,
        "numscript_allotment.json" => weights::run,
        "numscript_waterfall.json" => flows::ordered,
        "rusty_money.json" => weights::run,
        "shopify_money_max_amounts.json" => flows::caps,
        "tax_vectors.json" => fees::taxes,
        "waterfall_facts.json" => flows::facts,
        "zeroxsplits_validation.json" => flows::refused,
        "zeroxsplits_waterfall.json" => flows::thresholds,
    ]
}

/// A table and no cases: `every_currency_of_the_table_is_accepted_and_every_other_refused` reads it.
fn no_cases(file: &Value) -> Ran {
    assert!(file.get("cases").is_none());
    Ran::default()
}

fn file(name: &str) -> Value {
    let (_, text, _) = files().into_iter().find(|(known, ..)| *known == name).unwrap();
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_case_of_every_file_of_the_index_runs() {
    let index: Value = serde_json::from_str(include_str!("../../../tests/vectors/INDEX.json")).unwrap();
    let index = index.as_array().unwrap();
    assert_eq!(index.len(), files().len(), "a file that is not in the index, or one that is not run");
    let mut sum = Ran::default();
    for entry in index {
        let name = entry["file"].as_str().unwrap();
        let (_, text, run) = files().into_iter().find(|(known, ..)| *known == name).unwrap_or_else(|| panic!("{name}"));
        let ran = run(&serde_json::from_str(text).unwrap());
        let expected = Ran { cases: number(&entry["cases"]), matched: number(&entry["must_match"]) };
        assert_eq!(ran, expected, "{name}");
        sum.cases += ran.cases;
        sum.matched += ran.matched;
    }
    assert_eq!(sum, Ran { cases: 236, matched: 100 });
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}
fn amount(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no amount"))
}
fn amounts(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(amount).collect()
}
fn cases(file: &Value) -> &Vec<Value> {
    file["cases"].as_array().unwrap()
}

/// A model as somebody would send it; steps that count need no key here.
fn spec(spec: &Value) -> ModelSpec {
    serde_json::from_value::<ModelSpec>(spec.clone()).unwrap().with_keys()
}
fn faults(model: &Value) -> Vec<&'static str> {
    let told = |faults: Vec<Fault>| faults.iter().map(|fault| fault.code.as_str()).collect();
    spec(model).check().map_or_else(told, |_| Vec::new())
}
/// A model of these steps, in dollars.
fn steps(steps: Value) -> Value {
    json!({ "currency": "USD", "steps": steps })
}

/// Splits amounts one after the other, each with what the earlier ones counted.
fn history(model: &Value, amounts: &[i64], parties: &[Party]) -> Vec<Calculation> {
    let model = spec(model).check().unwrap_or_else(|faults| panic!("{faults:?} of {model}"));
    let mut ledger = Ledger::new();
    let release = |amount: &i64| {
        let release = Released { parties: parties.to_vec(), ..Released::plain(*amount) };
        scene::run(&model, &mut ledger, &release, Detail::Full).unwrap()
    };
    amounts.iter().map(release).collect()
}
fn split(model: &Value, amount: i64) -> Calculation {
    history(model, &[amount], &[]).remove(0)
}

/// What a recipient got, gross.
fn gross_of(calculation: &Calculation, who: &str) -> i64 {
    let line = calculation.lines.iter().find(|line| line.recipient.as_str() == format!("rec_{who}"));
    line.unwrap_or_else(|| panic!("no line of {who}")).gross_minor
}
fn gross(calculation: &Calculation) -> Vec<i64> {
    calculation.lines.iter().map(|line| line.gross_minor).collect()
}

/// What a step gave somebody, or everybody, by the explanation.
fn of_step(calculation: &Calculation, step: usize, who: Option<&str>) -> i64 {
    let is_meant = |line: &&crate::calculation::ExplanationLine| {
        let recipient = line.recipient.as_ref();
        line.step == Some(step)
            && recipient.is_some_and(|recipient| who.is_none_or(|who| recipient.as_str() == format!("rec_{who}")))
    };
    calculation.explanation.iter().filter(is_meant).map(|line| line.value).sum()
}

/// The teaching example "Fate of the Monarchs", in cents.
fn film() -> Value {
    let investors = |field: &str, value: i64| -> Vec<Value> {
        (1..=5).map(|number| json!({ "recipientId": format!("rec_investor{number}"), field: value })).collect()
    };
    let mut profits = investors("ppm", 100_000);
    for (who, ppm) in
        [("company", 300_000), ("star1", 50_000), ("star2", 50_000), ("star3", 50_000), ("director", 50_000)]
    {
        profits.push(json!({ "recipientId": format!("rec_{who}"), "ppm": ppm }));
    }
    steps(json!([
        { "type": "share", "portionPpm": 250_000, "lines": [{ "recipientId": "rec_distributor", "ppm": 1_000_000 }] },
        { "type": "recoup", "lines": [{ "recipientId": "rec_distributor", "principal": 2_500_000 }], "feeable": false },
        { "type": "share", "portionPpm": 100_000, "lines": [{ "recipientId": "rec_agent", "ppm": 1_000_000 }] },
        { "type": "fixed", "amount": 1_000_000, "per": "lifetime", "recipientId": "rec_agent", "feeable": false },
        { "type": "recoup", "multiplePpm": 1_200_000, "lines": investors("principal", 5_000_000) },
        { "type": "share", "lines": profits },
    ]))
}
