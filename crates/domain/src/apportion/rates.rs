//! Rates and multiples: every other division of money than the sharing of it.

use super::Ties;

/// Parts per million that make a whole: 1,000,000 = 100 %.
pub const WHOLE_PPM: u64 = 1_000_000;

/// `numerator / denominator`, rounded half up; for rates on amounts that are not negative.
///
/// # Panics
/// If `denominator` is zero, which no caller passes: denominators here are constants.
pub fn half_up(numerator: u128, denominator: u128) -> u128 {
    numerator / denominator + u128::from(numerator % denominator >= denominator.div_ceil(2))
}

/// `numerator / denominator`, rounded to the nearest whole number, the middle to the even one.
///
/// # Panics
/// If `denominator` is zero, as for [`half_up`].
pub fn half_even(numerator: u128, denominator: u128) -> u128 {
    let (whole, rest) = (numerator / denominator, numerator % denominator);
    let is_up = match (rest * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => whole % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    whole + u128::from(is_up)
}

/// A rate of at most 100 % of `base`, rounded half up.
pub(crate) fn rate(base: u64, rate_ppm: u64) -> u128 {
    match base.checked_mul(rate_ppm).and_then(|product| product.checked_add(WHOLE_PPM / 2)) {
        // 64 bits are several times faster than 128.
        Some(product) => u128::from(product / WHOLE_PPM),
        None => half_up(u128::from(base) * u128::from(rate_ppm), WHOLE_PPM.into()),
    }
}

/// A rate of at most 100 % of `amount`, rounded down: the rest stays where it is.
pub(crate) fn rate_down(amount: i64, rate_ppm: u64) -> i64 {
    let product = i128::from(amount) * i128::from(rate_ppm) / i128::from(WHOLE_PPM);
    i64::try_from(product).unwrap_or(amount)
}

/// The largest multiple of `granularity` that is at most `amount`, which is not negative.
pub(crate) fn multiple_down(amount: i64, granularity: i64) -> i64 {
    amount - amount % granularity.max(1)
}

impl Ties {
    /// The lines take turns: the first one is the number of the turn, modulo the lines.
    pub(crate) fn of_turn(turn: usize, lines: usize) -> Self {
        Self { first: if turn == 0 { 0 } else { turn % lines.max(1) } }
    }
}

/// The smallest charge of which a fee of `rate_ppm` and `fixed`, rounded half up, leaves at least `goal`. All amounts
/// are minor units; none if the rate takes everything or the charge does not fit.
///
/// `(goal + fixed) / (1 - rate)`; the short form `goal / (1 - rate) + fixed` is too little.
///
/// ```
/// assert_eq!(domain::calculation::charge_for(10_000, 29_000, 30), Some(10_330));
/// ```
pub fn charge_for(goal: u64, rate_ppm: u64, fixed: u64) -> Option<u64> {
    let whole = u128::from(WHOLE_PPM);
    let left_ppm = whole.checked_sub(u128::from(rate_ppm)).filter(|left| *left > 0)?;
    let leaves = |charge: u128| charge.checked_sub(half_up(charge * u128::from(rate_ppm), whole) + u128::from(fixed));
    let near = (u128::from(goal) + u128::from(fixed)) * whole / left_ppm;
    // Rounding moves the answer by less than the units that one unit of net takes.
    let reach = whole / left_ppm + 2;
    // `leaves` never falls while the charge grows, so the first that is enough can be bisected.
    let (mut low, mut high) = (near.saturating_sub(reach), near + reach);
    while low < high {
        let middle = low.midpoint(high);
        if leaves(middle).is_some_and(|net| net >= u128::from(goal)) { high = middle } else { low = middle + 1 }
    }
    u64::try_from(low).ok().filter(|charge| i64::try_from(*charge).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_rounded_up() {
        for (numerator, denominator, rounded) in
            [(0, 2, 0), (1, 2, 1), (3, 2, 2), (1, 3, 0), (2, 3, 1), (5, 10, 1), (4, 10, 0)]
        {
            assert_eq!(half_up(numerator, denominator), rounded, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn a_rate_is_the_same_in_64_bits_and_in_128() {
        for ppm in [0, 1, 3, 2_049, 26_315, 500_000, 999_999, 1_000_000] {
            // Around the largest base whose product with the rate has 64 bits: 2^64 / 2,049 is below 2^53.
            let edge = u64::MAX / ppm.max(1);
            for base in [0, 1, 19, 10_000, edge - 1, edge, edge.saturating_add(1), u64::MAX] {
                assert_eq!(rate(base, ppm), half_up(u128::from(base) * u128::from(ppm), 1_000_000), "{base} at {ppm}");
            }
        }
    }

    #[test]
    fn the_charge_is_the_smallest_that_leaves_the_goal() {
        assert_eq!(charge_for(100_000, 29_000, 30), Some(103_017));
        assert_eq!(charge_for(0, 0, 0), Some(0));
        assert_eq!(charge_for(1, 1_000_000, 0), None);
        for goal in 0..300 {
            for (rate_ppm, fixed) in [(29_000, 30), (500_000, 1), (999_999, 0), (0, 7), (333_333, 3)] {
                let leaves = |charge: u64| {
                    i128::from(charge) - i128::try_from(rate(charge, rate_ppm)).unwrap() - i128::from(fixed)
                };
                let charge = charge_for(goal, rate_ppm, fixed).unwrap();
                assert!(leaves(charge) >= i128::from(goal), "{goal} at {rate_ppm}");
                assert!(
                    charge == 0 || leaves(charge - 1) < i128::from(goal),
                    "{goal} at {rate_ppm}: {charge} is too much"
                );
            }
        }
    }
}
