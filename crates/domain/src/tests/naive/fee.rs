//! The platform fee and what a payer pays on top, by the formulae of the design.

use super::Fraction;
use crate::revenue_model::spec::{FeeSpec, TierMode};

/// A fee, and what the formula wanted before it was cut to its base.
pub struct Fee {
    pub wanted: i128,
    pub taken: i128,
    pub tax: i128,
}

/// `F = min(B, clamp(half_up(B * rate) + fixed, min, max))`, the rate by tiers if there are any, and the tax on it.
pub fn fee(spec: &FeeSpec, base: i128, before: i128) -> Fee {
    let by_rate = match &spec.tiers {
        None => Fraction::ppm(spec.rate_ppm.into()).times(base).half_up(),
        Some(tiers) => {
            let ends: Vec<Option<i64>> = tiers.tiers.iter().map(|tier| tier.up_to).collect();
            let (mut exact, mut flats) = (Fraction::ppm(0), 0);
            let mut begin = 0;
            for (tier, slice) in tiers.tiers.iter().zip(slices(&ends, tiers.mode, before, base)) {
                exact = exact.plus(Fraction::ppm(tier.rate_ppm.into()).times(slice));
                // Slices are entered by their first unit, whole amounts each time.
                let is_entered = slice > 0 && (tiers.mode == TierMode::Volume || before <= begin);
                flats += if is_entered { i128::from(tier.flat) } else { 0 };
                begin = tier.up_to.map_or(begin, i128::from);
            }
            exact.half_up() + flats
        }
    };
    let wanted = (by_rate + i128::from(spec.fixed)).max(spec.min.into());
    let wanted = spec.max.map_or(wanted, |max| wanted.min(max.into()));
    let taken = wanted.min(base);
    let tax = Fraction::ppm(spec.fee_tax_ppm.into()).times(taken).half_up().min(base - taken);
    Fee { wanted, taken, tax }
}

/// How much of an amount lies in each tier; the end of a tier belongs to it.
pub fn slices(ends: &[Option<i64>], mode: TierMode, before: i128, amount: i128) -> Vec<i128> {
    let after = before + amount;
    let mut begin = 0;
    let mut is_reached = false;
    let mut slices = Vec::new();
    for end in ends {
        let end = end.map_or(i128::MAX, i128::from);
        slices.push(match mode {
            TierMode::Marginal => (after.min(end) - before.max(begin)).max(0),
            TierMode::Volume if !is_reached && after <= end => {
                is_reached = true;
                amount
            }
            TierMode::Volume => 0,
        });
        begin = end;
    }
    slices
}

/// What a payer pays on top, so that after the fee at least `goal` is left: every charge is tried, from one that is
/// surely too small.
pub fn on_top(goal: i128, rate_ppm: i128, fixed: i128) -> i128 {
    let left = 1_000_000 - rate_ppm;
    if left <= 0 {
        return 0;
    }
    let exact = Fraction::new(1_000_000, left).times(goal + fixed);
    let mut charge = (exact.down() - Fraction::new(1_000_000, left).up() - 2).max(0);
    while charge - Fraction::ppm(rate_ppm).times(charge).half_up() - fixed < goal {
        charge += 1;
    }
    if charge > i128::from(i64::MAX) { 0 } else { charge - goal }
}
