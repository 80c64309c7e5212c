//! Largest remainder (Hamilton): the only place that divides money.
//!
//! For an amount `A` and weights `w` with sum `W`, line `i` first gets `floor(A * w_i / W)`; the units that
//! are left go, one each, to the lines with the largest remainder `A * w_i mod W`. Ties go to the line
//! listed first: a replay must give the same cents. The integers are compared, never fractions.
//! Source: revenue-engine design, section 4.
//!
//! What this does not promise, because no method can: more money never takes a unit from anybody (the
//! Alabama paradox). So a payout is never computed as the difference of two apportionments.
//!
//! * `limits`: with caps and floors (water-filling)
//! * `house`: at least one unit for everybody (the rule of the House of Representatives)
//! * `residue`: with what earlier apportionments left over, so that nobody is unlucky for ever
//! * `parts`: over entitlements that are not a plain amount times a weight
//! * `rates`: rates of an amount, and multiples of a unit

pub(crate) mod house;
pub(crate) mod limits;
pub(crate) mod parts;
pub(crate) mod rates;
pub(crate) mod residue;

pub use rates::{WHOLE_PPM, charge_for, half_even, half_up};

/// One line of an apportionment, with everything needed to redo it with a pencil.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// What the line gets: `floor` and, for some, one unit more.
    pub value: i64,
    /// `floor(amount * weight / total weight)`, mirrored for a negative amount.
    pub floor: i64,
    /// `amount * weight mod total weight`.
    pub remainder: u64,
}

impl Share {
    /// The unit that the line got because of its remainder: 0 or 1 (-1 when a negative amount is divided).
    pub fn extra_unit(&self) -> i64 {
        self.value - self.floor
    }
}

/// Why an amount cannot be apportioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApportionError {
    /// There is nobody to give it to.
    #[error("there is no weight above zero")]
    ZeroTotalWeight,
    /// The weights add up to more than 2^63 - 1, where a product could overflow.
    #[error("the weights add up to more than 2^63 - 1")]
    WeightOverflow,
}

/// Divides `amount` by `weights`, to the unit: the shares always sum to `amount`.
///
/// A weight of zero gets nothing. A negative amount is the mirror image of the positive one.
///
/// ```
/// let shares = domain::apportion::apportion(100, &[1, 1, 1])?;
/// assert_eq!(shares.iter().map(|share| share.value).collect::<Vec<_>>(), [34, 33, 33]);
/// # Ok::<(), domain::apportion::ApportionError>(())
/// ```
///
/// # Errors
/// See [`ApportionError`]. An empty list of weights has no weight above zero.
pub fn apportion(amount: i64, weights: &[u64]) -> Result<Vec<Share>, ApportionError> {
    let total = total_weight(weights)?;
    let mut shares = Vec::with_capacity(weights.len());
    by_weight(amount, weights, total, Ties::default(), &mut shares);
    Ok(shares)
}

/// Which line wins a tie: the lines in order, starting with this one and going round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ties {
    /// The line that comes first.
    pub(crate) first: usize,
}

impl Ties {
    fn rank(self, at: usize, lines: usize) -> usize {
        if at >= self.first { at - self.first } else { at + lines - self.first }
    }
}

/// As [`apportion`], into a list that is used again and with a total that is known: above zero, at most 2^63 - 1.
pub(crate) fn by_weight(amount: i64, weights: &[u64], total: u64, ties: Ties, shares: &mut Vec<Share>) {
    let left = floors(amount, weights, total, shares);
    let sign: i64 = if amount < 0 { -1 } else { 1 };
    give(shares, left, ties, sign);
    debug_assert!(shares.iter().map(|share| i128::from(share.value)).sum::<i128>() == i128::from(amount));
}

/// The whole units of every share. Answers how many units are left.
fn floors(amount: i64, weights: &[u64], total: u64, shares: &mut Vec<Share>) -> u64 {
    shares.clear();
    let magnitude = amount.unsigned_abs();
    let sign: i64 = if amount < 0 { -1 } else { 1 };
    let mut left = magnitude;
    let mut share = |(floor, remainder): (u64, u64)| {
        left -= floor;
        let floor = signed(floor, sign);
        Share { value: floor, floor, remainder }
    };
    if magnitude.checked_mul(total).is_some() {
        // No product is larger than this one: 64 bits, several times faster than 128.
        let parts = weights.iter().map(|weight| (magnitude * weight / total, magnitude * weight % total));
        shares.extend(parts.map(&mut share));
    } else {
        let parts = weights.iter().map(|weight| divide(u128::from(magnitude) * u128::from(*weight), total));
        shares.extend(parts.map(&mut share));
    }
    left
}

pub(crate) fn total_weight(weights: &[u64]) -> Result<u64, ApportionError> {
    let total: u128 = weights.iter().copied().map(u128::from).sum();
    match u64::try_from(total) {
        Ok(0) => Err(ApportionError::ZeroTotalWeight),
        Ok(total) if i64::try_from(total).is_ok() => Ok(total),
        _ => Err(ApportionError::WeightOverflow),
    }
}

/// Quotient and remainder of a product of an amount and one weight by the total weight: both fit, for
/// the weight is at most the total.
#[expect(clippy::cast_possible_truncation, reason = "quotient <= amount, remainder < total")]
fn divide(product: u128, total: u64) -> (u64, u64) {
    match u64::try_from(product) {
        Ok(product) => (product / total, product % total),
        Err(_) => ((product / u128::from(total)) as u64, (product % u128::from(total)) as u64),
    }
}

#[expect(clippy::cast_possible_wrap, reason = "floor <= |amount|; -2^63 alone wraps, to itself")]
fn signed(magnitude: u64, sign: i64) -> i64 {
    (magnitude as i64).wrapping_mul(sign)
}

/// Lines up to which comparing each with each is faster than sorting.
const FEW: usize = 12;

/// Gives one unit of that sign each to the `count` lines with the largest remainder, ties as told.
fn give(shares: &mut [Share], count: u64, ties: Ties, sign: i64) {
    // Fewer units are left than lines have a remainder, so the count fits.
    let count = usize::try_from(count).unwrap_or(shares.len()).min(shares.len());
    if count == 0 {
        return;
    }
    let lines = shares.len();
    if lines <= FEW {
        // Without a branch that depends on the amount: it would be guessed wrongly half of the time.
        let mut rest = [0; FEW];
        let (last, first) = shares.split_at_mut(ties.first.min(lines));
        for (rest, share) in rest.iter_mut().zip(first.iter().chain(&*last)) {
            *rest = share.remainder;
        }
        let mut at = 0;
        for part in [first, last] {
            for share in part {
                let (before, after) = rest[..lines].split_at(at);
                let ahead = before.iter().map(|other| usize::from(*other >= share.remainder)).sum::<usize>()
                    + after.iter().map(|other| usize::from(*other > share.remainder)).sum::<usize>();
                share.value += sign * i64::from(ahead < count);
                at += 1;
            }
        }
        return;
    }
    let mut order: Vec<usize> = (0..lines).collect();
    let key = |at: &usize| (std::cmp::Reverse(shares[*at].remainder), ties.rank(*at, lines));
    order.select_nth_unstable_by_key(count - 1, key);
    order.truncate(count);
    for at in order {
        shares[at].value += sign;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(amount: i64, weights: &[u64]) -> Vec<i64> {
        apportion(amount, weights).unwrap().iter().map(|share| share.value).collect()
    }
    fn check(case: &str, expected: &str) {
        let (amount, weights) = case.split_once(" by ").unwrap();
        let weights: Vec<u64> = weights.split(' ').map(|weight| weight.parse().unwrap()).collect();
        let got: Vec<String> = values(amount.parse().unwrap(), &weights).iter().map(ToString::to_string).collect();
        assert_eq!(got.join(" "), expected, "{case}");
    }

    #[test]
    fn the_largest_remainder_gets_the_unit_and_ties_go_to_the_first() {
        check("100 by 1 1 1", "34 33 33");
        check("200000 by 70 30", "140000 60000");
        check("100 by 2 3 1", "33 50 17");
        check("1 by 1 1", "1 0");
        check("0 by 1 2", "0 0");
        check("5 by 0 1 0", "0 5 0");
        check("-100 by 1 1 1", "-34 -33 -33");
        check("9223372036854775807 by 1 1 1", "3074457345618258603 3074457345618258602 3074457345618258602");
        check("9223372036854775807 by 999999 1", "9223362813482738952 9223372036855");
        check("-9223372036854775808 by 1", "-9223372036854775808");
    }

    /// Adding a unit takes one from the small line. No method that stays within the quota avoids this.
    #[test]
    fn the_alabama_paradox_is_real_and_stays() {
        check("10 by 6 6 2", "4 4 2");
        check("11 by 6 6 2", "5 5 1");
        check("22 by 4 11 11", "4 9 9");
        check("23 by 4 11 11", "3 10 10");
    }

    #[test]
    fn ten_thousand_lines() {
        let weights = vec![1; 10_000];
        let shares = values(9_999, &weights);
        assert!(shares[..9_999].iter().all(|value| *value == 1) && shares[9_999] == 0);
        let shares = values(10_001, &weights);
        assert!(shares[0] == 2 && shares[1..].iter().all(|value| *value == 1));
    }

    #[test]
    fn without_weight_there_is_no_share() {
        assert_eq!(apportion(1, &[]), Err(ApportionError::ZeroTotalWeight));
        assert_eq!(apportion(1, &[0, 0]), Err(ApportionError::ZeroTotalWeight));
        assert_eq!(apportion(1, &[u64::MAX, 1]), Err(ApportionError::WeightOverflow));
        assert_eq!(apportion(1, &[1 << 63]), Err(ApportionError::WeightOverflow));
    }
}
