//! The platform fee: computed on the whole and apportioned over the lines, or line by line. Either way no line ever
//! pays more than it has.

use super::{
    Column, Operation,
    explanation::{Apportioned, Explanation},
    scale::{count, count_before, slices},
    work::{Notice, Work},
};
use crate::{
    apportion::{Ties, by_weight, charge_for, half_up, rates::rate},
    day::Day,
    revenue_model::{
        Fee, FeeTiers, RevenueModel, WHOLE_PPM,
        spec::{FeeBearer, FeeScope, TierMode},
    },
};

pub(super) fn take(model: &RevenueModel, day: Day, work: &mut Work, explanation: &mut Explanation<'_>) {
    let fee = model.fee();
    if fee.is_nothing() {
        return;
    }
    let mut bases = std::mem::take(&mut work.weights);
    bases.clear();
    bases.extend(work.lines.iter().enumerate().map(|(who, line)| {
        let base = if fee.all_lines { line.gross_minor } else { line.feeable_minor };
        if fee.is_exempt(who) { 0 } else { base.unsigned_abs() }
    }));
    let base: u64 = bases.iter().sum();
    match (fee.bearer, fee.scope) {
        (FeeBearer::Recipients, FeeScope::Total) => total(fee, day, &bases, base, work, explanation),
        (FeeBearer::Recipients, FeeScope::Line) => by_line(fee, &bases, work, explanation),
        (FeeBearer::Platform, _) => waived(fee, day, &bases, work, explanation),
        (FeeBearer::Payer, _) => paid_on_top(fee, base, work, explanation),
    }
    if let Some(tiers) = &fee.tiers {
        count(&tiers.scale, day, work, minor(base.into()));
    }
    work.weights = bases;
}

/// Once for the whole, then apportioned together with the tax on it.
fn total(fee: &Fee, day: Day, bases: &[u64], base: u64, work: &mut Work, explanation: &mut Explanation<'_>) {
    let (taken, fee_tax) = amount(fee, day, base, work, explanation, None);
    if taken == 0 {
        return;
    }
    by_weight(taken, bases, base, Ties::default(), &mut work.shares);
    for (line, share) in work.lines.iter_mut().zip(&work.shares) {
        line.fee_minor = share.value;
    }
    explain_parts(Column::PlatformFee, taken, base, bases, work, explanation);
    if fee_tax > 0 {
        let fees: Vec<u64> = work.lines.iter().map(|line| line.fee_minor.unsigned_abs()).collect();
        let total = taken.unsigned_abs();
        by_weight(fee_tax, &fees, total, Ties::default(), &mut work.shares);
        for (line, share) in work.lines.iter_mut().zip(&work.shares) {
            line.fee_tax_minor = share.value;
        }
        explain_parts(Column::FeeTax, fee_tax, total, &fees, work, explanation);
    }
}

fn explain_parts(
    column: Column,
    amount: i64,
    total: u64,
    weights: &[u64],
    work: &Work,
    explanation: &mut Explanation<'_>,
) {
    let rule = "largest_remainder/declaration";
    let what = Apportioned { step: None, column, operation: Operation::Apportion, amount, total, rule };
    explanation.apportioned(what, weights.iter().copied().enumerate(), &work.shares);
}

/// Each line by itself: the sum may differ from the rate of the whole by half a unit a line.
fn by_line(fee: &Fee, bases: &[u64], work: &mut Work, explanation: &mut Explanation<'_>) {
    for (who, base) in bases.iter().enumerate().filter(|(_, base)| **base > 0) {
        // Tiers measure the whole, so none are here.
        let (taken, fee_tax) =
            amount(fee, Day::of(crate::timestamp::Timestamp::MIN), *base, work, explanation, Some(who));
        work.lines[who].fee_minor = taken;
        work.lines[who].fee_tax_minor = fee_tax;
    }
}

/// The platform bears it: nobody pays, but the auditor sees what was waived.
fn waived(fee: &Fee, day: Day, bases: &[u64], work: &mut Work, explanation: &mut Explanation<'_>) {
    let base: u64 = bases.iter().sum();
    let silent = &mut Explanation::new(super::Detail::None, &[]);
    let notices = work.notices.len();
    let waived = match fee.scope {
        FeeScope::Total => amount(fee, day, base, work, silent, None).0,
        FeeScope::Line => {
            bases.iter().filter(|base| **base > 0).map(|base| amount(fee, day, *base, work, silent, None).0).sum()
        }
    };
    work.notices.truncate(notices);
    work.fee_elsewhere_minor = waived;
    explanation.value(None, None, Column::PlatformFee, Operation::Rate, waived, "waived: the platform bears it");
}

/// The payer bore it on top of the amount.
fn paid_on_top(fee: &Fee, base: u64, work: &mut Work, explanation: &mut Explanation<'_>) {
    let charge = charge_for(base, fee.rate_ppm, fee.fixed).map_or(0, |charge| minor(u128::from(charge - base)));
    work.fee_elsewhere_minor = charge;
    explanation.value(None, None, Column::PlatformFee, Operation::Rate, charge, "paid on top: the payer bears it");
}

/// What is taken of `base`, and how much of it is tax on the fee.
fn amount(
    fee: &Fee,
    day: Day,
    base: u64,
    work: &mut Work,
    explanation: &mut Explanation<'_>,
    who: Option<usize>,
) -> (i64, i64) {
    let units = u128::from(base);
    let by_rate = match &fee.tiers {
        Some(tiers) => by_tiers(tiers, day, base, work, explanation),
        None => {
            let by_rate = rate(base, fee.rate_ppm);
            let line = (None, who, Column::PlatformFee, Operation::Rate);
            let fraction = || (format!("{base}*{}", fee.rate_ppm), WHOLE_PPM.to_string());
            explanation.quotient(line, minor(by_rate), "half_up", fraction);
            by_rate
        }
    };
    let with_fixed = by_rate + u128::from(fee.fixed);
    let at_least = with_fixed.max(u128::from(fee.min));
    let wanted = fee.max.map_or(at_least, |max| at_least.min(u128::from(max)));
    let own = wanted.min(units);
    if wanted > units {
        work.notices.push(Notice::FeeClamped { wanted_minor: wanted });
    }
    let own_minor = minor(own);
    let fee_tax =
        if fee.tax_ppm == 0 { 0 } else { half_up(own * u128::from(fee.tax_ppm), WHOLE_PPM.into()).min(units - own) };
    // Each as the difference to the one before, none beyond what can be counted: so they sum to what is taken.
    let mut before = minor(by_rate);
    let mut say = |operation, after: u128, rule: &str| {
        let value = minor(after) - before;
        before = minor(after);
        if value != 0 {
            explanation.value(None, who, Column::PlatformFee, operation, value, rule);
        }
    };
    say(Operation::Fixed, with_fixed, "fixed");
    say(Operation::Clamp, wanted, if wanted > with_fixed { "min" } else { "max" });
    say(Operation::Clamp, own, "base");
    if fee.tax_ppm > 0 {
        let line = |column| (None, who, column, Operation::Rate);
        let fraction = || (format!("{own}*{}", fee.tax_ppm), WHOLE_PPM.to_string());
        explanation.quotient(line(Column::PlatformFee), minor(fee_tax), "fee_tax/half_up", fraction);
        if who.is_some() {
            explanation.quotient(line(Column::FeeTax), minor(fee_tax), "fee_tax/half_up", fraction);
        }
    }
    (own_minor + minor(fee_tax), minor(fee_tax))
}

/// `half_up(sum of slice * rate)` and the flats of the tiers that are entered.
fn by_tiers(tiers: &FeeTiers, day: Day, base: u64, work: &Work, explanation: &mut Explanation<'_>) -> u128 {
    let FeeTiers { scale, rates_ppm, flats } = tiers;
    let before = count_before(scale, day, work);
    let slices = slices(scale, before, minor(base.into()));
    let exact: u128 =
        slices.iter().map(|(tier, slice)| u128::from(slice.unsigned_abs()) * u128::from(rates_ppm[*tier])).sum();
    let by_rate = half_up(exact, WHOLE_PPM.into());
    let begin = |tier: usize| if tier == 0 { 0 } else { scale.ends[tier - 1].unwrap_or(i64::MAX) };
    // A marginal tier is entered once; a volume tier is where the whole amount is.
    let is_entered = |tier: usize| scale.mode == TierMode::Volume || before <= begin(tier) && (tier > 0 || before == 0);
    let flat: u128 =
        slices.iter().filter(|(tier, _)| is_entered(*tier)).map(|(tier, _)| u128::from(flats[*tier])).sum();

    let terms: Vec<String> = slices.iter().map(|(tier, slice)| format!("{slice}*{}", rates_ppm[*tier])).collect();
    let line = (None, None, Column::PlatformFee, Operation::TierSlice);
    explanation.quotient(line, minor(by_rate), "half_up", || (terms.join("+"), WHOLE_PPM.to_string()));
    if flat > 0 {
        explanation.value(None, None, Column::PlatformFee, Operation::Fixed, minor(flat), "flat");
    }
    by_rate + flat
}

fn minor(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
