//! Largest remainder (Hamilton): the only place that divides money.
//!
//! For an amount `A` and weights `w` with sum `W`, line `i` first gets `floor(A * w_i / W)`; the units that
//! are left go, one each, to the lines with the largest remainder `A * w_i mod W`. Ties go to the line
//! listed first: a replay must give the same cents. The integers are compared, never fractions.
//! Source: revenue-engine design, section 4.
//!
//! What this does not promise, because no method can: more money never takes a unit from anybody (the
//! Alabama paradox). So a payout is never computed as the difference of two apportionments.

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
    let magnitude = u128::from(amount.unsigned_abs());
    let sign: i64 = if amount < 0 { -1 } else { 1 };

    let mut left = amount.unsigned_abs();
    let mut shares = Vec::with_capacity(weights.len());
    for weight in weights {
        let product = magnitude * u128::from(*weight);
        let (floor, remainder) = divide(product, total);
        left -= floor;
        let floor = signed(floor, sign);
        shares.push(Share { value: floor, floor, remainder });
    }
    for at in largest_remainders(&shares, left) {
        shares[at].value += sign;
    }

    debug_assert!(shares.iter().map(|share| i128::from(share.value)).sum::<i128>() == i128::from(amount));
    Ok(shares)
}

fn total_weight(weights: &[u64]) -> Result<u64, ApportionError> {
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
        // The usual case, several times faster than 128 bits.
        Ok(product) => (product / total, product % total),
        Err(_) => ((product / u128::from(total)) as u64, (product % u128::from(total)) as u64),
    }
}

#[expect(clippy::cast_possible_wrap, reason = "floor <= |amount|; -2^63 alone wraps, to itself")]
fn signed(magnitude: u64, sign: i64) -> i64 {
    (magnitude as i64).wrapping_mul(sign)
}

/// The `count` lines that get a unit more: largest remainder first, then the order of declaration.
fn largest_remainders(shares: &[Share], count: u64) -> Vec<usize> {
    // Fewer units are left than lines have a remainder, so the count fits.
    let count = usize::try_from(count).unwrap_or(shares.len()).min(shares.len());
    let mut order: Vec<usize> = (0..shares.len()).collect();
    if count == 0 {
        return Vec::new();
    }
    let key = |at: &usize| (std::cmp::Reverse(shares[*at].remainder), *at);
    order.select_nth_unstable_by_key(count - 1, key);
    order.truncate(count);
    order
}

/// `numerator / denominator`, rounded half up; for rates on amounts that are not negative.
///
/// # Panics
/// If `denominator` is zero, which no caller passes: denominators here are constants.
pub fn half_up(numerator: u128, denominator: u128) -> u128 {
    numerator / denominator + u128::from(numerator % denominator >= denominator.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn half_is_rounded_up() {
        for (numerator, denominator, rounded) in
            [(0, 2, 0), (1, 2, 1), (3, 2, 2), (1, 3, 0), (2, 3, 1), (5, 10, 1), (4, 10, 0)]
        {
            assert_eq!(half_up(numerator, denominator), rounded, "{numerator}/{denominator}");
        }
    }

    prop_compose! {
        fn case()(amount in 0..=i64::MAX, weights in prop::collection::vec(prop_oneof![Just(0u64), 1..5u64, 1..1_000_000_000u64], 1..20))
            (amount in prop_oneof![Just(amount), Just(amount % 1000)], mut weights in Just(weights)) -> (i64, Vec<u64>) {
            weights[0] = weights[0].max(1);
            (amount, weights)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn shares_sum_to_the_amount((amount, weights) in case()) {
            prop_assert_eq!(values(amount, &weights).iter().map(|v| i128::from(*v)).sum::<i128>(), i128::from(amount));
        }

        #[test]
        fn every_share_lies_within_a_unit_of_its_quota((amount, weights) in case()) {
            let total: u128 = weights.iter().copied().map(u128::from).sum();
            for (value, weight) in values(amount, &weights).iter().zip(&weights) {
                let product = u128::from(amount.unsigned_abs()) * u128::from(*weight);
                let value = u128::try_from(*value).unwrap();
                prop_assert!(product / total <= value && value <= product.div_ceil(total));
            }
        }

        #[test]
        fn no_weight_no_money((amount, weights) in case()) {
            for (value, weight) in values(amount, &weights).iter().zip(&weights) {
                prop_assert!(*weight > 0 || *value == 0);
            }
        }

        #[test]
        fn equal_weights_differ_by_one_unit_at_most_and_larger_ones_never_get_less((amount, weights) in case()) {
            let shares = values(amount, &weights);
            for i in 0..weights.len() {
                for j in 0..weights.len() {
                    if weights[i] == weights[j] {
                        prop_assert!(shares[i].abs_diff(shares[j]) <= 1);
                    } else if weights[i] > weights[j] {
                        prop_assert!(shares[i] >= shares[j]);
                    }
                }
            }
        }

        #[test]
        fn scaling_the_weights_changes_nothing((amount, weights) in case(), factor in 1..1_000u64) {
            let scaled: Vec<u64> = weights.iter().map(|weight| weight * factor).collect();
            prop_assert_eq!(values(amount, &weights), values(amount, &scaled));
        }

        #[test]
        fn a_whole_round_more_gives_everybody_their_weight_more((amount, weights) in case()) {
            let total: i64 = weights.iter().map(|w| i64::try_from(*w).unwrap()).sum();
            prop_assume!(amount.checked_add(total).is_some());
            let more: Vec<i64> = values(amount, &weights).iter().zip(&weights).map(|(v, w)| v + i64::try_from(*w).unwrap()).collect();
            prop_assert_eq!(values(amount + total, &weights), more);
        }

        #[test]
        fn a_negative_amount_is_the_mirror_image((amount, weights) in case()) {
            let mirrored: Vec<i64> = values(amount, &weights).iter().map(|value| -value).collect();
            prop_assert_eq!(values(-amount, &weights), mirrored);
        }

        #[test]
        fn no_other_division_is_closer(amount in 0..16i64, weights in prop::collection::vec(0..9u64, 1..5)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let total: i128 = weights.iter().copied().map(i128::from).sum();
            // Sum of |share * W - amount * w|: the error in units of 1/W.
            let error = |shares: &[i64]| -> i128 {
                shares.iter().zip(&weights).map(|(s, w)| (i128::from(*s) * total - i128::from(amount) * i128::from(*w)).abs()).sum()
            };
            let ours = error(&values(amount, &weights));
            let mut best = i128::MAX;
            each_division(amount, weights.len(), &mut Vec::new(), &mut |shares| best = best.min(error(shares)));
            prop_assert_eq!(ours, best);
        }
    }

    fn each_division(left: i64, lines: usize, so_far: &mut Vec<i64>, visit: &mut impl FnMut(&[i64])) {
        if lines == 1 {
            so_far.push(left);
            visit(so_far);
            so_far.pop();
            return;
        }
        for value in 0..=left {
            so_far.push(value);
            each_division(left - value, lines - 1, so_far, visit);
            so_far.pop();
        }
    }
}
