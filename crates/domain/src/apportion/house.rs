//! At least one unit for everybody: the rule by which seats of the House of Representatives were apportioned.
//!
//! A line without a whole unit is lifted to one and comes last in the order of remainders. It reproduces the
//! apportionments of 1882 and 1891; water-filling with floors of one does not. If the lifts take more than there is,
//! water-filling it is all the same. Source: revenue-engine design, section 4.

use super::{
    Share, Ties, by_weight, floors, give,
    limits::{Limit, fill},
};

/// Divides `pool` by `weights`, all above zero. With fewer units than lines nobody can be promised one: then the
/// remainders alone decide. Whoever was lifted has no remainder.
pub(crate) fn apportion(pool: i64, weights: &[u64], total: u64, ties: Ties) -> Vec<Share> {
    let mut shares = Vec::with_capacity(weights.len());
    if usize::try_from(pool).is_ok_and(|pool| pool < weights.len()) {
        by_weight(pool, weights, total, ties, &mut shares);
        return shares;
    }
    let left = floors(pool, weights, total, &mut shares);
    let lifted = shares.iter().filter(|share| share.floor == 0).count() as u64;
    if lifted > left {
        return fill(pool, weights, &vec![Limit { min: 1, ..Limit::NONE }; weights.len()], ties).shares;
    }
    for share in shares.iter_mut().filter(|share| share.floor == 0) {
        *share = Share { value: 1, floor: 1, remainder: 0 };
    }
    // The units that are left are fewer than the other lines with a remainder, so nobody is lifted twice.
    give(&mut shares, left - lifted, ties, 1);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pool: i64, weights: &[u64]) -> Vec<i64> {
        let shares = apportion(pool, weights, weights.iter().sum(), Ties::default());
        shares.iter().map(|share| share.value).collect()
    }

    #[test]
    fn everybody_gets_a_unit_if_there_is_one_for_each() {
        assert_eq!(values(10, &[98, 1, 1]), [8, 1, 1]);
        assert_eq!(values(3, &[98, 1, 1]), [1, 1, 1]);
        assert_eq!(values(2, &[98, 1, 1]), [2, 0, 0]);
        assert_eq!(values(100, &[1, 1, 1]), [34, 33, 33]);
    }

    /// Two lines below one unit each, and only one unit left over: the lifts do not fit.
    #[test]
    fn when_the_lifts_take_too_much_it_is_floors_of_one() {
        assert_eq!(values(5, &[49, 49, 1, 1]), [2, 1, 1, 1]);
    }
}
