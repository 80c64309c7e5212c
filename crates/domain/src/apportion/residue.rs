//! Largest remainder with a memory: what a line got too little last time counts for it the next time.
//!
//! Residues are kept in units of 1 / total weight, so they are exact, and they only make sense while the weights stay
//! as they are: within one version of a model. They sum to zero. Source: revenue-engine design, section 4 (`carry`).
//!
//! What a line got of all releases together stays within a unit of its part. There is one exception: if others had so
//! much in advance that their claims are below zero, they pay nothing back, and a line may lack up to two units for once.

use super::Share;

/// Divides `amount` (not negative): line `i` is entitled to `entitled[i] / denominator`, which sum to `amount`, and to
/// its residue. Updates the residues, which must sum to zero, as they do after any number of calls.
pub(crate) fn apportion(amount: i64, entitled: &[u128], denominator: u64, residues: &mut [i64]) -> Vec<Share> {
    let whole = i128::from(denominator);
    let claim = |at: usize, residues: &[i64]| i128::try_from(entitled[at]).unwrap_or(0) + i128::from(residues[at]);
    let mut shares: Vec<Share> = Vec::with_capacity(entitled.len());
    let mut rests: Vec<i128> = Vec::with_capacity(entitled.len());
    for at in 0..entitled.len() {
        let claim = claim(at, residues);
        // Nobody pays for having got too much before: they get nothing until it is made up for.
        let floor = claim.div_euclid(whole).max(0);
        let rest = claim - floor * whole;
        let floor = i64::try_from(floor).unwrap_or(amount);
        shares.push(Share { value: floor, floor, remainder: u64::try_from(rest.max(0)).unwrap_or(0) });
        rests.push(rest);
    }
    let mut left = i128::from(amount) - shares.iter().map(|share| i128::from(share.floor)).sum::<i128>();
    let mut order: Vec<usize> = (0..entitled.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(rests[*at]), *at));
    for at in &order {
        if left > 0 {
            shares[*at].value += 1;
            left -= 1;
        }
    }
    // Claims below zero leave more whole units than there are: those with the least rest give one back.
    for at in order.iter().rev() {
        if left < 0 && shares[*at].value > 0 {
            shares[*at].value -= 1;
            left += 1;
        }
    }
    for at in 0..entitled.len() {
        let rest = claim(at, residues) - i128::from(shares[at].value) * whole;
        residues[at] = i64::try_from(rest).unwrap_or(0);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_who_share_one_unit_take_turns() {
        let mut residues = [0; 3];
        let mut turn =
            || apportion(1, &[1, 1, 1], 3, &mut residues).iter().map(|share| share.value).collect::<Vec<_>>();
        assert_eq!([turn(), turn(), turn()], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
        assert_eq!(residues, [0; 3]);
    }

    /// The first two had most of a unit too much, the others too little; a small amount cannot make good for both.
    #[test]
    fn nobody_pays_back_what_they_had_in_advance() {
        let mut residues = [-6, -6, 6, 6];
        let shares = apportion(1, &[0, 0, 5, 5], 10, &mut residues);
        assert_eq!(shares.iter().map(|share| share.value).collect::<Vec<_>>(), [0, 0, 1, 0]);
        assert_eq!(residues, [-6, -6, 1, 11]);
    }
}
