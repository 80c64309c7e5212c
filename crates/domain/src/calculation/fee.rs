//! The platform fee: computed once on the whole, then apportioned over the lines, so that no line ever
//! pays more than it has.

use super::{Column, Explanation, LawBroken, Line, Operation, Warning};
use crate::{
    apportion::{apportion, half_up},
    revenue_model::{PlatformFee, WHOLE_PPM},
};

pub(super) fn take(
    fee: &PlatformFee,
    lines: &mut [Line],
    explanation: &mut Explanation,
    warnings: &mut Vec<Warning>,
) -> Result<(), LawBroken> {
    let base: i64 = lines.iter().map(|line| line.gross_minor).sum();
    let total = total(fee, base, explanation, warnings);
    if total == 0 {
        return Ok(());
    }
    let weights: Vec<u64> = lines.iter().map(|line| line.gross_minor.unsigned_abs()).collect();
    let shares = apportion(total, &weights).map_err(|_| LawBroken("a fee above zero has a base above zero"))?;
    for (line, share) in lines.iter_mut().zip(&shares) {
        line.fee_minor = share.value;
    }
    let parts = lines.iter().map(|line| (&line.recipient, line.gross_minor.unsigned_abs()));
    explanation.apportioned(None, Column::PlatformFee, total, parts, &shares);
    Ok(())
}

/// `min(base, clamp(half_up(base * rate) + fixed, min, max))`
fn total(fee: &PlatformFee, base: i64, explanation: &mut Explanation, warnings: &mut Vec<Warning>) -> i64 {
    if *fee == PlatformFee::default() {
        return 0;
    }
    let base_units = u128::from(base.unsigned_abs());
    let by_rate = half_up(base_units * u128::from(fee.rate_ppm), u128::from(WHOLE_PPM));
    let with_fixed = by_rate + u128::from(fee.fixed);
    let at_least = with_fixed.max(u128::from(fee.min));
    let wanted = fee.max.map_or(at_least, |max| at_least.min(u128::from(max)));
    let total = wanted.min(base_units);

    if wanted > base_units {
        warnings.push(Warning::FeeClamped { wanted_minor: wanted });
    }
    explain(fee, base, [by_rate, with_fixed, wanted, total], explanation);
    minor(total)
}

fn explain(
    fee: &PlatformFee,
    base: i64,
    [by_rate, with_fixed, wanted, total]: [u128; 4],
    explanation: &mut Explanation,
) {
    explanation.rate(None, Column::PlatformFee, Operation::Rate, (base, fee.rate_ppm), minor(by_rate));
    if fee.fixed > 0 {
        explanation.plain(None, Column::PlatformFee, Operation::Fixed, minor(u128::from(fee.fixed)), "fixed");
    }
    if wanted != with_fixed {
        let rule = if wanted > with_fixed { "min" } else { "max" };
        explanation.plain(None, Column::PlatformFee, Operation::Clamp, difference(wanted, with_fixed), rule);
    }
    if total != wanted {
        explanation.plain(None, Column::PlatformFee, Operation::Clamp, difference(total, wanted), "base");
    }
}

fn minor(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn difference(to: u128, from: u128) -> i64 {
    if to >= from { minor(to - from) } else { -minor(from - to) }
}
