//! Parts that depend on how much it is.

use super::config;
use crate::{
    calculation::{Column, Detail, Operation},
    revenue_model::{
        ModelSpec, RevenueModel,
        spec::{LineSpec, StepSpec, TierBasis, TierMode, TierSpec},
    },
    tests::{
        scene::{self, Ledger, Released, rec, usd},
        tape::{Tape, tapes},
    },
};
use proptest::prelude::*;

fn model(mode: TierMode, ends: &[Option<i64>], parts: &[Vec<i64>]) -> RevenueModel {
    let line = |(who, ppm): (usize, &i64)| LineSpec { ppm: Some(*ppm), ..LineSpec::of(rec(who)) };
    let tier = |(up_to, parts): (&Option<i64>, &Vec<i64>)| TierSpec {
        from: None,
        up_to: *up_to,
        lines: parts.iter().enumerate().map(line).collect(),
    };
    let step = StepSpec::Tiers {
        key: Some("k".parse().unwrap()),
        basis: TierBasis::CumulativeAmount,
        mode,
        since: None,
        tiers: ends.iter().zip(parts).map(tier).collect(),
        feeable: None,
    };
    ModelSpec { steps: vec![step], currency: Some(usd()), ..ModelSpec::default() }.check().unwrap()
}

fn ends(tape: &mut Tape, largest: i64) -> Vec<Option<i64>> {
    let mut end = 0;
    let mut ends: Vec<Option<i64>> = (1..tape.count(2, 4))
        .map(|_| {
            end += tape.amount(1, largest);
            Some(end)
        })
        .collect();
    ends.push(None);
    ends
}

fn ledger(before: i64) -> Ledger {
    Ledger::from([("cumulative/k/None".to_owned(), i128::from(before))])
}

/// What each line is entitled to, in millionths, as the explanation writes it: `slice*ppm+slice*ppm`.
fn entitled(model: &RevenueModel, before: i64, amount: i64) -> Vec<i128> {
    let result = scene::run(model, &mut ledger(before), &Released::plain(amount), Detail::Full).unwrap();
    let product = |term: &str| term.split('*').map(|factor| factor.parse::<i128>().unwrap()).product::<i128>();
    let terms = |numerator: &String| numerator.split('+').map(product).sum::<i128>();
    let is_entitlement = |line: &&crate::calculation::ExplanationLine| {
        line.column == Column::Gross && line.operation == Operation::Apportion
    };
    result.explanation.iter().filter(is_entitlement).map(|line| terms(line.numerator.as_ref().unwrap())).collect()
}

proptest! {
    #![proptest_config(config())]

    /// Property 19: what is due of x + y is what is due of x and, after that, of y: exactly, in fractions. Where volume
    /// decides, x is not looked at again when y lifts the sum into another tier, so it does not add up.
    #[test]
    fn marginal_entitlements_add_up_and_volume_ones_do_not(mut tape in tapes(48)) {
        let ends = ends(&mut tape, 5_000);
        let parts: Vec<Vec<i64>> =
            ends.iter().map(|_| tape.parts(1_000_000, 3).into_iter().map(|part| i64::try_from(part).unwrap()).collect()).collect();
        let (before, x, y) = (tape.amount(0, 20_000), tape.amount(1, 9_000), tape.amount(1, 9_000));
        let mode = tape.pick(&[TierMode::Marginal, TierMode::Volume]);
        let model = model(mode, &ends, &parts);
        let sums = |a: Vec<i128>, b: Vec<i128>| a.iter().zip(&b).map(|(a, b)| a + b).collect::<Vec<_>>();
        let (first, second) = (entitled(&model, before, x), entitled(&model, before + x, y));
        let adds_up = sums(first, second) == entitled(&model, before, x + y);
        let tier = |sum: i64| ends.iter().position(|end| end.is_none_or(|end| sum <= end)).unwrap();
        let (here, there) = (&parts[tier(before + x)], &parts[tier(before + x + y)]);
        prop_assert_eq!(adds_up, mode == TierMode::Marginal || here == there);
    }

    /// Property 20: unit by unit, around every end of a tier: the end belongs to the tier it ends. With volume the whole
    /// amount goes where its last unit lies.
    #[test]
    fn every_unit_lies_in_the_tier_whose_end_it_does_not_pass(mut tape in tapes(16)) {
        let ends = ends(&mut tape, 8);
        // Each tier has a recipient of its own, who gets all of it.
        let parts: Vec<Vec<i64>> =
            (0..ends.len()).map(|tier| (0..ends.len()).map(|who| if who == tier { 1_000_000 } else { 0 }).collect()).collect();
        let tier = |unit: i64| ends.iter().position(|end| end.is_none_or(|end| unit <= end)).unwrap();
        let near = tape.pick(&ends).unwrap_or(0);
        let before = (near + tape.amount(0, 2) - 1).max(0);
        let amount = tape.amount(1, 6);
        let mut expected = vec![0; ends.len()];
        (before + 1..=before + amount).for_each(|unit| expected[tier(unit)] += 1);
        let marginal = scene::gross(&model(TierMode::Marginal, &ends, &parts), &mut ledger(before), amount);
        prop_assert_eq!(marginal, expected);
        let mut expected = vec![0; ends.len()];
        expected[tier(before + amount)] = amount;
        let volume = scene::gross(&model(TierMode::Volume, &ends, &parts), &mut ledger(before), amount);
        prop_assert_eq!(volume, expected);
    }
}
