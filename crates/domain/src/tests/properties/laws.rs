//! What holds for the result as a whole, whatever the model.

use super::config;
use crate::{
    calculation::{
        Calculation, CalculationError, Calculator, Column, Detail, ExplanationLine, Line, Release, Warning, calculate,
    },
    money::AMOUNT_MINOR_MAX,
    revenue_model::{
        ModelSpec,
        spec::{FeeBearer, FeeScope, StepSpec},
    },
    tests::{
        scene::{self, Released, Scene, scene, usd},
        tape::{Tape, tapes},
    },
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn sum(calculation: &Calculation, column: fn(&Line) -> i64) -> i128 {
    calculation.lines.iter().map(|line| i128::from(column(line))).sum()
}

/// L1 to L5, computed once more.
fn assert_laws(release: &Released, calculation: &Calculation) -> Result<(), TestCaseError> {
    let totals = calculation.totals;
    let deducted: i128 = release.deductions.iter().map(|deduction| i128::from(deduction.amount_minor)).sum();
    prop_assert_eq!(i128::from(totals.deductions_minor), deducted);
    prop_assert_eq!(sum(calculation, |line| line.gross_minor), i128::from(release.amount) - deducted, "L1");
    for line in &calculation.lines {
        prop_assert_eq!(line.gross_minor, line.fee_minor + line.tax_minor + line.net_minor, "L2");
        prop_assert!((0..=line.gross_minor).contains(&line.fee_minor), "L4");
        prop_assert!((0..=line.gross_minor - line.fee_minor).contains(&line.tax_minor) && line.net_minor >= 0, "L4");
        prop_assert!((0..=line.fee_minor).contains(&line.fee_tax_minor), "L4");
        prop_assert_eq!(line.taxes.iter().map(|tax| tax.amount_minor).sum::<i64>(), line.tax_minor, "L3");
        let left = i128::from(line.net_minor) + i128::from(line.carried_in_minor);
        let right = [line.recovered_minor, line.held_minor, line.carried_forward_minor, line.payable_minor];
        prop_assert!(right.iter().all(|part| *part >= 0), "L5");
        prop_assert_eq!(left, right.into_iter().map(i128::from).sum::<i128>(), "L5");
    }
    for (total, column) in [
        (totals.gross_minor, (|line| line.gross_minor) as fn(&Line) -> i64),
        (totals.fee_minor, |line| line.fee_minor),
        (totals.fee_tax_minor, |line| line.fee_tax_minor),
        (totals.tax_minor, |line| line.tax_minor),
        (totals.net_minor, |line| line.net_minor),
        (totals.carried_in_minor, |line| line.carried_in_minor),
        (totals.recovered_minor, |line| line.recovered_minor),
        (totals.held_minor, |line| line.held_minor),
        (totals.carried_forward_minor, |line| line.carried_forward_minor),
        (totals.payable_minor, |line| line.payable_minor),
    ] {
        prop_assert_eq!(i128::from(total), sum(calculation, column), "L3");
    }
    Ok(())
}

/// L6: the explanation sums to every column of every line, and speaks of nobody else.
fn assert_explained(calculation: &Calculation) -> Result<(), TestCaseError> {
    let mut sums: BTreeMap<(String, Column), i128> = BTreeMap::new();
    for ExplanationLine { recipient, column, value, .. } in &calculation.explanation {
        if let Some(recipient) = recipient {
            *sums.entry((recipient.to_string(), *column)).or_default() += i128::from(*value);
        }
    }
    for line in &calculation.lines {
        for (column, value) in [
            (Column::Gross, line.gross_minor),
            (Column::PlatformFee, line.fee_minor),
            (Column::FeeTax, line.fee_tax_minor),
            (Column::TaxWithheld, line.tax_minor),
            (Column::Net, line.net_minor),
            (Column::CarriedIn, line.carried_in_minor),
            (Column::Recovered, line.recovered_minor),
            (Column::Held, line.held_minor),
            (Column::CarriedForward, line.carried_forward_minor),
            (Column::Payable, line.payable_minor),
        ] {
            let explained = sums.remove(&(line.recipient.to_string(), column)).unwrap_or(0);
            prop_assert_eq!(explained, i128::from(value), "{:?} of {}", column, line.recipient);
        }
    }
    prop_assert!(sums.is_empty(), "{:?}", sums);
    let lines = calculation.explanation.iter().zip(1..);
    prop_assert!(lines.into_iter().all(|(line, seq)| line.seq == seq));
    Ok(())
}

/// Every limit as large as it may be, in one of two cases.
fn enlarge(tape: &mut Tape, spec: &mut ModelSpec) {
    let mut enlarge = |amount: &mut i64| {
        if tape.one_in(2) {
            *amount = AMOUNT_MINOR_MAX;
        }
    };
    for step in &mut spec.steps {
        match step {
            StepSpec::Fixed { amount, .. } => enlarge(amount),
            StepSpec::Recoup { lines, .. } => lines.iter_mut().for_each(|line| enlarge(&mut line.principal)),
            StepSpec::Share { lines, .. } => {
                for line in lines {
                    line.max.iter_mut().for_each(&mut enlarge);
                    line.lifetime_max.iter_mut().for_each(&mut enlarge);
                }
            }
            StepSpec::Tiers { tiers, .. } => {
                tiers.iter_mut().rev().nth(1).and_then(|tier| tier.up_to.as_mut()).into_iter().for_each(&mut enlarge);
                tiers.iter_mut().for_each(|tier| tier.from = None);
            }
            StepSpec::Remainder { .. } => {}
            StepSpec::RecoupFromShare { target, .. } => enlarge(target),
        }
    }
    let most = AMOUNT_MINOR_MAX.unsigned_abs();
    if let Some(fee) = &mut spec.platform_fee {
        fee.fixed = tape.pick(&[fee.fixed, most]);
        fee.max = tape.pick(&[fee.max, Some(most), None]);
        if fee.max.is_none_or(|max| max == most) {
            fee.min = tape.pick(&[fee.min, most]);
        }
        for tier in fee.tiers.iter_mut().flat_map(|tiers| &mut tiers.tiers) {
            tier.flat = tape.pick(&[tier.flat, most]);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    /// Property 1: L1 to L6, for models, recipients and histories of every kind.
    #[test]
    fn the_laws_hold_for_every_model(mut tape in tapes(220)) {
        let Scene { model, mut ledger, releases, .. } = scene(&mut tape);
        for release in &releases {
            let calculation = scene::run(&model, &mut ledger, release, Detail::Full).unwrap();
            assert_laws(release, &calculation)?;
            assert_explained(&calculation)?;
        }
    }

    /// Property 2: the same again is the same to the byte; so is a model that was written down and read again, and a
    /// calculator that was used before.
    #[test]
    fn the_same_input_gives_the_same_result_to_the_byte(mut tape in tapes(220)) {
        let Scene { spec, model, ledger, releases } = scene(&mut tape);
        let release = &releases[0];
        let of = |model: &_| scene::run(model, &mut ledger.clone(), release, Detail::Full).unwrap();
        let calculation = of(&model);
        prop_assert_eq!(format!("{calculation:?}"), format!("{:?}", of(&model)));
        let read: ModelSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
        prop_assert_eq!(&of(&read.check().unwrap()), &calculation);

        let (parties, counts) = (scene::informed(&model, release, &ledger), scene::counts(&model, &ledger));
        let mut calculator = Calculator::with_parties(&model, &parties);
        let plain = Release {
            amount_minor: release.amount,
            currency: usd(),
            deductions_minor: release.deducted(),
            day: release.day,
        };
        let other = Release { amount_minor: 12_345, deductions_minor: 0, ..plain };
        calculator.split(&other, &counts).unwrap();
        let split = calculator.split(&plain, &counts).unwrap();
        prop_assert_eq!(split.totals(), calculation.totals);
        prop_assert!(split.lines().zip(&calculation.lines).all(|((who, amounts), line)| *who == line.recipient && *amounts == line.amounts));
    }

    /// Property 25: neither 2^63 - 1 nor 2^53 - 1, in amounts, limits, counts and balances, overflows anything.
    #[test]
    fn the_largest_amounts_overflow_nothing(mut tape in tapes(280)) {
        let Scene { mut spec, mut releases, .. } = scene(&mut tape);
        enlarge(&mut tape, &mut spec);
        let model = spec.check().unwrap();
        let huge = [i64::MAX, i64::MAX - 1, AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX + 1, 1];
        let mut ledger = scene::Ledger::new();
        for counted in model.counted() {
            let name = scene::name(counted, &model);
            if !name.starts_with("residue") && tape.one_in(2) {
                ledger.insert(name, i128::from(tape.pick(&huge)));
            }
        }
        for who in model.recipients() {
            for kind in ["carried", "debt"] {
                if tape.one_in(8) {
                    ledger.insert(format!("{kind}/{who}"), i128::from(tape.pick(&huge)));
                }
            }
        }
        let mut release = releases.swap_remove(0);
        release.deductions.clear();
        release.amount = tape.pick(&huge);
        for party in &mut release.parties {
            party.minimum_minor = tape.pick(&[party.minimum_minor, i64::MAX]);
            party.granularity_minor = tape.pick(&[party.granularity_minor, i64::MAX]);
        }
        let parties = scene::informed(&model, &release, &ledger);
        let result = calculate(crate::calculation::Request {
            amount: crate::money::Money::new(release.amount, usd()),
            deductions: &[],
            day: release.day,
            model: &model,
            parties: &parties,
            counts: &scene::counts(&model, &ledger),
            detail: Detail::Full,
        });
        match result {
            Ok(calculation) => {
                assert_laws(&release, &calculation)?;
                assert_explained(&calculation)?;
            }
            Err(error) => prop_assert_eq!(error, CalculationError::CarriedOutOfRange),
        }
    }

    /// Property 31: the explanation sums to every column; a summary is its lines about the whole, and how much is explained
    /// changes nothing else.
    #[test]
    fn the_explanation_sums_to_every_column(mut tape in tapes(220)) {
        let Scene { spec, model, ledger, releases } = scene(&mut tape);
        let of = |detail| scene::run(&model, &mut ledger.clone(), &releases[0], detail).unwrap();
        let (full, summary, none) = (of(Detail::Full), of(Detail::Summary), of(Detail::None));
        assert_explained(&full)?;
        if spec.platform_fee.is_some_and(|fee| fee.bearer == FeeBearer::Recipients && fee.scope == FeeScope::Total) {
            let of_whole = summary.explanation.iter().filter(|line| line.column == Column::PlatformFee);
            prop_assert_eq!(of_whole.map(|line| line.value).sum::<i64>(), full.totals.fee_minor);
        }
        let whole = |line: &&ExplanationLine| line.recipient.is_none();
        let told = |line: &ExplanationLine| (line.column, line.value, line.numerator.clone(), line.rule.clone());
        prop_assert!(full.explanation.iter().filter(whole).map(told).eq(summary.explanation.iter().map(told)));
        prop_assert!(none.explanation.is_empty());
        let bare = |calculation: Calculation| Calculation { explanation: Vec::new(), ..calculation };
        prop_assert_eq!(&bare(full), &none);
        prop_assert_eq!(&bare(summary), &none);
    }

    /// Property 32: what is owed to somebody, with what was carried, is recovered, held, carried on or paid; the ledger of
    /// what is carried and owed says the same; whoever is held neither pays nor is paid.
    #[test]
    fn what_is_owed_is_recovered_held_carried_or_paid(mut tape in tapes(220)) {
        let Scene { model, mut ledger, releases, .. } = scene(&mut tape);
        for release in &releases {
            let parties = scene::informed(&model, release, &ledger);
            let calculation = scene::run(&model, &mut ledger, release, Detail::None).unwrap();
            for (at, line) in calculation.lines.iter().enumerate() {
                let right = line.recovered_minor + line.held_minor + line.carried_forward_minor + line.payable_minor;
                prop_assert_eq!(line.net_minor + line.carried_in_minor, right);
                prop_assert!(line.hold.is_none() || line.payable_minor + line.carried_in_minor + line.carried_forward_minor == 0);
                prop_assert!(line.hold.is_some() || line.held_minor == 0);
                let told = |code: &str| calculation.warnings.iter().any(|warning| {
                    warning.code() == code && warning.recipient() == Some(&line.recipient)
                });
                prop_assert_eq!(told("recipient_held"), line.hold.is_some());
                prop_assert_eq!(told("carried_forward"), line.carried_forward_minor > 0);
                let Some(party) = parties.get(at) else { continue };
                let booked = |name: String| ledger.get(&name).copied().unwrap_or(0);
                let moved = i128::from(line.carried_forward_minor) - i128::from(line.carried_in_minor);
                prop_assert_eq!(booked(format!("carried/{}", line.recipient)), i128::from(party.carried_minor) + moved);
                let owed = i128::from(party.debt_minor - line.recovered_minor);
                prop_assert_eq!(booked(format!("debt/{}", line.recipient)), owed);
                prop_assert!(owed >= 0 && line.payable_minor % party.granularity_minor == 0);
                prop_assert!(line.payable_minor == 0 || line.payable_minor > party.minimum_minor - party.granularity_minor);
            }
            let is_empty = release.deducted() == release.amount;
            prop_assert_eq!(calculation.warnings.contains(&Warning::NothingToSplit), is_empty);
        }
    }
}
