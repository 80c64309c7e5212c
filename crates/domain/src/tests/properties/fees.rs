//! The platform fee and what is withheld.

use super::config;
use crate::{
    apportion::{half_even, half_up},
    calculation::{Calculation, Detail, Party, Warning, Withholding},
    revenue_model::{
        ModelSpec,
        spec::{FeeBase, FeeBearer, FeeScope, FeeSpec, FeeTierSpec, FeeTiersSpec, StepSpec, TierBasis, TierMode},
    },
    tests::{
        naive,
        scene::{self, Ledger, Released, rec, shares, tax_rule},
        tape::{Tape, tapes},
    },
};
use proptest::prelude::*;

fn run(spec: &ModelSpec, amount: i64, parties: Vec<Party>) -> Calculation {
    let release = Released { parties, ..Released::plain(amount) };
    scene::run(&spec.check().unwrap(), &mut Ledger::new(), &release, Detail::None).unwrap()
}

fn weights(tape: &mut Tape) -> Vec<u64> {
    let most = tape.pick(&[1, 5, 1_000]);
    (0..tape.count(1, 8)).map(|_| tape.between(1, most)).collect()
}

/// A fee of any kind but of tiers, borne by the recipients.
fn fee(tape: &mut Tape) -> FeeSpec {
    let min = if tape.one_in(3) { tape.below(1_000) } else { 0 };
    FeeSpec {
        rate_ppm: tape.ppm(),
        fixed: if tape.one_in(3) { tape.below(1_000) } else { 0 },
        min,
        max: if tape.one_in(3) { Some(min + tape.below(1_000)) } else { None },
        fee_tax_ppm: if tape.one_in(3) { tape.ppm() } else { 0 },
        ..FeeSpec::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Property 11: the lines' parts of the fee sum to what the formula gives for the whole, and no line pays more than it
    /// has, nor another by more than a unit beyond its part.
    #[test]
    fn no_line_pays_more_than_it_has_and_together_they_pay_the_fee(mut tape in tapes(48)) {
        let (weights, amount, fee) = (weights(&mut tape), tape.money(), fee(&mut tape));
        let expected = naive::fee(&fee, amount.into(), 0);
        let result = run(&ModelSpec { platform_fee: Some(fee), ..shares(&weights) }, amount, Vec::new());
        let taken = i128::from(result.totals.fee_minor);
        prop_assert_eq!((taken, i128::from(result.totals.fee_tax_minor)), (expected.taken + expected.tax, expected.tax));
        prop_assert_eq!(result.lines.iter().map(|line| i128::from(line.fee_minor)).sum::<i128>(), taken);
        for line in &result.lines {
            prop_assert!((0..=line.gross_minor).contains(&line.fee_minor));
            let exact = taken * i128::from(line.gross_minor);
            prop_assert!((i128::from(line.fee_minor) * i128::from(amount) - exact).abs() < i128::from(amount));
        }
        let is_clamped = result.warnings.iter().any(|warning| matches!(warning, Warning::FeeClamped { .. }));
        prop_assert_eq!(is_clamped, expected.wanted > i128::from(amount));
    }

    /// Property 12: without a cap, more money never means a smaller fee; also with marginal tiers, but not with volume ones.
    #[test]
    fn more_money_never_means_a_smaller_fee(mut tape in tapes(48)) {
        let weights = weights(&mut tape);
        let mut fee = FeeSpec { max: None, ..fee(&mut tape) };
        if tape.one_in(3) {
            let tier = |tape: &mut Tape, up_to| FeeTierSpec { from: None, up_to, rate_ppm: tape.ppm(), flat: tape.below(100) };
            let tiers = [Some(100), Some(100_000), None].map(|end| tier(&mut tape, end)).to_vec();
            let (basis, mode) = (TierBasis::Amount, TierMode::Marginal);
            fee = FeeSpec { rate_ppm: 0, tiers: Some(FeeTiersSpec { basis, mode, since: None, tiers }), ..fee };
        }
        let mut spec = ModelSpec { platform_fee: Some(fee), ..shares(&weights) };
        spec.currency = Some(scene::usd());
        let (amount, more) = (tape.money(), tape.pick(&[1, 1, 7, 10_000]));
        let fee = |amount| run(&spec, amount, Vec::new()).totals.fee_minor;
        prop_assert!(fee(amount) <= fee(amount + more));
    }

    /// Property 13: the fee lies between its minimum and its maximum, or is all there is. The tax on it comes on top.
    #[test]
    fn the_fee_lies_within_its_limits_unless_there_is_less(mut tape in tapes(48)) {
        let (weights, amount) = (weights(&mut tape), tape.money());
        let fee = FeeSpec { scope: tape.pick(&[FeeScope::Total, FeeScope::Line]), ..fee(&mut tape) };
        let FeeSpec { min, max, scope, .. } = fee;
        let result = run(&ModelSpec { platform_fee: Some(fee), ..shares(&weights) }, amount, Vec::new());
        let is_within = |fee: i64, tax: i64, base: i64| {
            let own = (fee - tax).unsigned_abs();
            (own >= min || fee == base) && max.is_none_or(|max| own <= max) && fee <= base
        };
        match scope {
            FeeScope::Total => prop_assert!(is_within(result.totals.fee_minor, result.totals.fee_tax_minor, amount)),
            FeeScope::Line => for line in &result.lines {
                prop_assert!(is_within(line.fee_minor, line.fee_tax_minor, line.gross_minor), "{:?}", line);
            }
        }
    }

    /// Property 14: whatever the rules want, together they take at most what the fee left; what they did not get is said.
    #[test]
    fn tax_never_takes_more_than_the_fee_left(mut tape in tapes(160)) {
        let (weights, amount, fee) = (weights(&mut tape), tape.money(), fee(&mut tape));
        let party = |tape: &mut Tape| {
            let tax = (0..tape.count(0, 3)).map(|at| Withholding {
                rule: tax_rule(tape, at),
                year_to_date_minor: tape.amount(0, 30_000),
            });
            Party { tax: tax.collect(), ..Party::default() }
        };
        let parties: Vec<Party> = weights.iter().map(|_| party(&mut tape)).collect();
        let spec = ModelSpec { platform_fee: Some(fee), ..shares(&weights) };
        let model = spec.check().unwrap();
        let result = crate::calculation::calculate(crate::calculation::Request {
            amount: crate::money::Money::new(amount, scene::usd()),
            deductions: &[],
            day: scene::day("2026-06-15"),
            model: &model,
            parties: &parties,
            counts: &[],
            detail: Detail::None,
        }).unwrap();
        for (line, party) in result.lines.iter().zip(&parties) {
            prop_assert!((0..=line.gross_minor - line.fee_minor).contains(&line.tax_minor) && line.net_minor >= 0);
            let short = result.warnings.iter().any(|warning| {
                matches!(warning, Warning::WithholdingShortfall { recipient, missing_minor } if *recipient == line.recipient && *missing_minor > 0)
            });
            prop_assert!(!short || line.net_minor == 0);
            for (taken, tax) in line.taxes.iter().zip(&party.tax) {
                let rule = tax.rule.spec();
                prop_assert!(line.net_minor == 0 || taken.amount_minor.unsigned_abs() % rule.granularity == 0);
                prop_assert!(rule.rate_ppm * rule.taxable_ppm > 0 || taken.amount_minor == 0);
            }
        }
    }

    /// Property 24: exactly the middle is rounded up, in the fee and in the tax, and a unit less is rounded down.
    #[test]
    fn the_middle_is_rounded_up(mut tape in tapes(16)) {
        let denominator = 2 * u128::from(tape.between(1, 1_000_000));
        let whole = u128::from(tape.below(1 << 40));
        let middle = whole * denominator + denominator / 2;
        prop_assert_eq!([half_up(middle - 1, denominator), half_up(middle, denominator)], [whole, whole + 1]);
        prop_assert_eq!(half_even(middle, denominator), whole + whole % 2);
        prop_assert_eq!([half_even(middle - 1, denominator), half_even(middle + 1, denominator)], [whole, whole + 1]);
        // No number lies in the middle of an odd denominator.
        let odd = denominator + 1;
        prop_assert_eq!([half_up(whole * odd + odd / 2, odd), half_up(whole * odd + odd / 2 + 1, odd)], [whole, whole + 1]);

        let amount = 2 * tape.amount(0, 1_000_000_000) + 1;
        let half = FeeSpec { rate_ppm: 500_000, ..FeeSpec::default() };
        let tax = Withholding { rule: crate::tax::TaxRule::flat("half", 500_000).unwrap(), year_to_date_minor: 0 };
        let party = Party { tax: vec![tax], ..Party::default() };
        let spec = ModelSpec { platform_fee: Some(half), ..shares(&[1]) };
        let line = run(&spec, amount, vec![party.clone()]).lines[0].amounts;
        // Fee and tax both want the upper half: the tax is cut by the unit.
        prop_assert_eq!((line.fee_minor, line.tax_minor), (amount / 2 + 1, amount / 2));
        prop_assert_eq!(run(&shares(&[1]), amount, vec![party]).totals.tax_minor, amount / 2 + 1);
    }

    /// Property 34: who is exempt, and what says `feeable: false`, pays no fee and adds nothing to what it is taken of; who
    /// has no rule, or a rule of nothing, has nothing withheld.
    #[test]
    fn who_is_exempt_pays_nothing_and_adds_nothing(mut tape in tapes(64)) {
        let (weights, amount) = (weights(&mut tape), tape.money());
        let mut fee = fee(&mut tape);
        fee.base = tape.pick(&[None, Some(FeeBase::FeeableLines), Some(FeeBase::Gross)]);
        fee.bearer = FeeBearer::Recipients;
        let is_exempt: Vec<bool> = weights.iter().map(|_| tape.one_in(3)).collect();
        let is_spared: Vec<bool> = weights.iter().map(|_| tape.one_in(3)).collect();
        fee.exempt_recipient_ids = (0..weights.len()).filter(|at| is_exempt[*at]).map(rec).collect();
        let mut spec = shares(&weights);
        if let StepSpec::Share { lines, feeable, .. } = &mut spec.steps[0] {
            // The step speaks for lines that say nothing.
            *feeable = tape.pick(&[None, Some(true), Some(false)]);
            for (line, spared) in lines.iter_mut().zip(&is_spared) {
                line.feeable = if *spared == (*feeable == Some(false)) { None } else { Some(!spared) };
            }
        }
        spec.platform_fee = Some(fee.clone());
        let of_nothing = |tape: &mut Tape| {
            let mut rule = tax_rule(tape, 0).spec().clone();
            if tape.one_in(2) { rule.rate_ppm = 0 } else { rule.taxable_ppm = 0 };
            Withholding { rule: rule.try_into().unwrap(), year_to_date_minor: 0 }
        };
        let parties = weights.iter().map(|_| {
            let tax = if tape.one_in(2) { vec![of_nothing(&mut tape)] } else { Vec::new() };
            Party { tax, ..Party::default() }
        }).collect();
        let result = run(&spec, amount, parties);
        let pays = |at: usize| !is_exempt[at] && (fee.base == Some(FeeBase::Gross) || !is_spared[at]);
        let base: i64 = (0..weights.len()).filter(|at| pays(*at)).map(|at| result.lines[at].gross_minor).sum();
        let expected = naive::fee(&fee, base.into(), 0);
        prop_assert_eq!(i128::from(result.totals.fee_minor), expected.taken + expected.tax);
        for (at, line) in result.lines.iter().enumerate() {
            prop_assert!(pays(at) || line.fee_minor == 0);
            prop_assert_eq!(line.tax_minor, 0);
        }
    }
}

/// What a payer pays on top is the smallest charge that leaves the goal, as trying every charge shows.
#[test]
fn the_charge_is_what_trying_every_charge_finds() {
    for goal in (0..2_000).chain(9_990..10_010) {
        for (rate, fixed) in [(0, 0), (29_000, 30), (500_000, 0), (123_457, 3)] {
            let charge = crate::calculation::charge_for(goal, rate, fixed).map(i128::from);
            assert_eq!(
                charge,
                Some(i128::from(goal) + naive::on_top(goal.into(), rate.into(), fixed.into())),
                "{goal}"
            );
        }
    }
}
