//! Largest remainder over entitlements: each line's claim is already a numerator over one denominator.
//!
//! Tiers need it: the slices of an amount are divided at different rates, but rounded once.

use super::{Share, Ties, give};

/// Divides `amount` (not negative): line `i` is entitled to `entitled[i] / denominator`, and these sum to `amount`.
pub(crate) fn apportion(amount: i64, entitled: &[u128], denominator: u64, ties: Ties) -> Vec<Share> {
    let mut left = amount;
    let mut shares: Vec<Share> = entitled
        .iter()
        .map(|entitled| {
            let floor = i64::try_from(entitled / u128::from(denominator)).unwrap_or(amount);
            left -= floor;
            let remainder = u64::try_from(entitled % u128::from(denominator)).unwrap_or(0);
            Share { value: floor, floor, remainder }
        })
        .collect();
    give(&mut shares, left.unsigned_abs(), ties, 1);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One unit at 70/30 and one at 75/25: 1.45 and 0.55.
    #[test]
    fn two_units_across_a_tier_are_rounded_once() {
        let shares = apportion(2, &[1_450_000, 550_000], 1_000_000, Ties::default());
        assert_eq!(shares.iter().map(|share| share.value).collect::<Vec<_>>(), [1, 1]);
    }
}
