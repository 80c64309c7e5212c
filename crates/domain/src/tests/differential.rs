//! The engine against the naive one: every column, every count, every warning, over histories of several releases.

use super::{
    naive,
    scene::{self, Ledger, Scene, scene, usd},
    tape::{Tape, tapes},
};
use crate::calculation::{Calculation, CalculationError, Detail, Warning};
use proptest::{prelude::*, strategy::ValueTree};

fn warning(warning: &Warning) -> String {
    let code = warning.code();
    match warning {
        Warning::NothingToSplit | Warning::NothingPayable => code.to_owned(),
        Warning::FeeClamped { wanted_minor } => format!("{code} {wanted_minor}"),
        Warning::WithholdingShortfall { recipient, missing_minor } => format!("{code} {recipient} {missing_minor}"),
        Warning::RecipientHeld { recipient, reason } => format!("{code} {recipient} {}", reason.as_str()),
        Warning::CarriedForward { recipient, carried_minor } => format!("{code} {recipient} {carried_minor}"),
    }
}

/// Who, every column, and what each rule withheld.
type Columns = (String, [i128; 10], Vec<(String, i128)>);

/// The engine's answer in the words of the naive one.
fn columns(calculation: &Calculation) -> Vec<Columns> {
    let line = |line: &crate::calculation::Line| {
        let columns = [
            line.gross_minor,
            line.fee_minor,
            line.fee_tax_minor,
            line.tax_minor,
            line.net_minor,
            line.carried_in_minor,
            line.recovered_minor,
            line.held_minor,
            line.carried_forward_minor,
            line.payable_minor,
        ];
        let taxes = line.taxes.iter().map(|tax| (tax.rule.clone(), i128::from(tax.amount_minor))).collect();
        (line.recipient.to_string(), columns.map(i128::from), taxes)
    };
    calculation.lines.iter().map(line).collect()
}

fn naive_columns(answer: &naive::Answer) -> Vec<Columns> {
    let line = |line: &naive::Line| {
        let columns = [
            line.gross,
            line.fee,
            line.fee_tax,
            line.tax,
            line.net,
            line.carried_in,
            line.recovered,
            line.held,
            line.carried_forward,
            line.payable,
        ];
        (line.who.clone(), columns, line.taxes.clone())
    };
    answer.lines.iter().map(line).collect()
}

fn sums(answer: &naive::Answer) -> [i128; 10] {
    let mut sums = [0; 10];
    for (_, columns, _) in naive_columns(answer) {
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum += column;
        }
    }
    sums
}

fn totals(calculation: &Calculation) -> [i128; 10] {
    let totals = calculation.totals;
    [
        totals.gross_minor,
        totals.fee_minor,
        totals.fee_tax_minor,
        totals.tax_minor,
        totals.net_minor,
        totals.carried_in_minor,
        totals.recovered_minor,
        totals.held_minor,
        totals.carried_forward_minor,
        totals.payable_minor,
    ]
    .map(i128::from)
}

fn without_zeros(ledger: &Ledger) -> Ledger {
    ledger.iter().filter(|(_, value)| **value != 0).map(|(name, value)| (name.clone(), *value)).collect()
}

fn compare(scene: &Scene) -> Result<(), TestCaseError> {
    let Scene { spec, model, releases, .. } = scene;
    let mut ledger = scene.ledger.clone();
    let mut memory = scene.ledger.clone();
    for (at, release) in releases.iter().enumerate() {
        let parties = scene::informed(model, release, &memory);
        let question = naive::Question {
            spec,
            amount: release.amount,
            deducted: release.deducted(),
            currency: usd(),
            day: release.day,
            parties: &parties,
        };
        let theirs = naive::calculate(&question, &mut memory);
        let ours = scene::run(model, &mut ledger, release, Detail::Full);
        let (ours, theirs) = match (ours, theirs) {
            (Err(CalculationError::CarriedOutOfRange), None) => return Ok(()),
            (Ok(ours), Some(theirs)) => (ours, theirs),
            (ours, theirs) => panic!("release {at}: {ours:?}, but {theirs:?} of {scene:#?}"),
        };
        prop_assert_eq!(columns(&ours), naive_columns(&theirs), "lines of release {} of {:#?}", at, scene);
        prop_assert_eq!(totals(&ours), sums(&theirs), "totals of release {} of {:#?}", at, scene);
        let warnings: Vec<String> = ours.warnings.iter().map(warning).collect();
        prop_assert_eq!(warnings, theirs.warnings, "release {} of {:#?}", at, scene);
        prop_assert_eq!(
            i128::from(ours.totals.fee_elsewhere_minor),
            theirs.fee_elsewhere,
            "release {} of {:#?}",
            at,
            scene
        );
        prop_assert_eq!(without_zeros(&ledger), without_zeros(&memory), "counts after release {} of {:#?}", at, scene);
    }
    Ok(())
}

proptest! {
    #![proptest_config(super::properties::config())]

    /// 10,000 models of every kind, each with one to four releases.
    #[test]
    fn the_naive_engine_says_the_same(mut tape in tapes(220)) {
        compare(&scene(&mut tape))?;
    }
}

/// What the tapes lead to: every kind of step, of warning and of count, often enough to mean something.
#[test]
fn the_random_scenes_reach_everything() {
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..1_000 {
        let mut tape: Tape = tapes(220).new_tree(&mut runner).unwrap().current();
        let Scene { spec, model, mut ledger, releases } = scene(&mut tape);
        let json = serde_json::to_value(&spec).unwrap();
        for step in json["steps"].as_array().unwrap() {
            *seen.entry(format!("step {}", step["type"].as_str().unwrap())).or_default() += 1;
        }
        for release in &releases {
            if let Ok(calculation) = scene::run(&model, &mut ledger, release, Detail::None) {
                for warning in &calculation.warnings {
                    *seen.entry(format!("warning {}", warning.code())).or_default() += 1;
                }
            }
        }
        for name in without_zeros(&ledger).keys() {
            *seen.entry(format!("count {}", name.split('/').next().unwrap())).or_default() += 1;
        }
    }
    let rare: Vec<_> = seen.iter().filter(|(_, times)| **times < 20).collect();
    assert!(rare.is_empty() && seen.len() == 6 + 6 + 11, "{seen:#?}");
}
