//! Caps and floors: water-filling, then largest remainder on whoever is not at a limit.
//!
//! Lines that the exact shares push beyond a limit are locked there: those below their floor first, if together they
//! miss at least as much as those above their cap have too much; otherwise those above. Their amount and weight leave,
//! and the rest is looked at again. A whole-number limit is never broken by the last unit, for nobody gets more than
//! their exact share rounded up. Source: revenue-engine design, section 4.

use super::{Share, Ties, by_weight};

/// What a line gets at least and at most, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

impl Limit {
    pub(crate) const NONE: Self = Self { min: 0, max: i64::MAX };
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is at its floor.
    Floor,
    /// It is at its cap.
    Cap,
    /// It shares what the others left.
    Free,
}

/// The shares, and how they came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// What each line gets. A locked line has no remainder.
    pub(crate) shares: Vec<Share>,
    /// Where each line ended.
    pub(crate) places: Vec<Place>,
    /// What the free lines shared.
    pub(crate) shared_minor: i64,
    /// The sum of their weights.
    pub(crate) shared_weight: u64,
    /// Whether there was not enough for all floors, so that they were the weights.
    pub(crate) by_floors: bool,
}

impl Filled {
    /// What was given out: less than the pool only if every line is at its cap.
    pub(crate) fn taken_minor(&self) -> i64 {
        self.shares.iter().map(|share| share.value).sum()
    }
}

/// Divides `pool` (not negative) by `weights` within `limits`. If the floors alone exceed the pool, they are the weights.
pub(crate) fn fill(pool: i64, weights: &[u64], limits: &[Limit], ties: Ties) -> Filled {
    let floors: i128 = limits.iter().map(|limit| i128::from(limit.min)).sum();
    if floors > i128::from(pool) {
        return by_floors(pool, limits, ties);
    }
    let mut places = vec![Place::Free; weights.len()];
    let mut left = pool;
    loop {
        let total: u64 = free(&places).map(|at| weights[at]).sum();
        if total == 0 {
            break;
        }
        let Some(locked) = violators(left, total, weights, limits, &places) else { break };
        for (at, place) in locked {
            places[at] = place;
            left -= locked_at(limits[at], place);
        }
    }
    share_the_rest(left, weights, limits, places, ties)
}

fn free(places: &[Place]) -> impl Iterator<Item = usize> + '_ {
    (0..places.len()).filter(|at| places[*at] == Place::Free)
}

fn locked_at(limit: Limit, place: Place) -> i64 {
    match place {
        Place::Floor => limit.min,
        Place::Cap => limit.max,
        Place::Free => 0,
    }
}

/// The lines to lock next, if any lies beyond a limit. All figures in units of 1 / `total`.
fn violators(
    left: i64,
    total: u64,
    weights: &[u64],
    limits: &[Limit],
    places: &[Place],
) -> Option<Vec<(usize, Place)>> {
    let (mut below, mut above) = (Vec::new(), Vec::new());
    let (mut deficit, mut excess) = (0u128, 0u128);
    for at in free(places) {
        let exact = u128::from(left.unsigned_abs()) * u128::from(weights[at]);
        let floor = u128::from(limits[at].min.unsigned_abs()) * u128::from(total);
        let cap = u128::from(limits[at].max.unsigned_abs()) * u128::from(total);
        if exact < floor {
            deficit += floor - exact;
            below.push((at, Place::Floor));
        } else if exact > cap {
            excess += exact - cap;
            above.push((at, Place::Cap));
        }
    }
    if below.is_empty() && above.is_empty() {
        return None;
    }
    Some(if !below.is_empty() && deficit >= excess { below } else { above })
}

fn share_the_rest(left: i64, weights: &[u64], limits: &[Limit], places: Vec<Place>, ties: Ties) -> Filled {
    // Who is locked takes no part, but keeps their place in the order of ties.
    let open: Vec<u64> =
        weights.iter().zip(&places).map(|(weight, place)| if *place == Place::Free { *weight } else { 0 }).collect();
    let shared_weight: u64 = open.iter().sum();
    let mut shares = Vec::with_capacity(weights.len());
    let shared_minor = if shared_weight == 0 { 0 } else { left };
    by_weight(shared_minor, &open, shared_weight.max(1), ties, &mut shares);
    for (at, place) in places.iter().enumerate() {
        if *place != Place::Free {
            let value = locked_at(limits[at], *place);
            shares[at] = Share { value, floor: value, remainder: 0 };
        }
    }
    Filled { shares, places, shared_minor, shared_weight, by_floors: false }
}

/// There is not enough for all floors: they become the weights.
fn by_floors(pool: i64, limits: &[Limit], ties: Ties) -> Filled {
    // A checked model's floors add up to 2^53 at most.
    let weights: Vec<u64> = limits.iter().map(|limit| limit.min.unsigned_abs()).collect();
    let total = weights.iter().sum::<u64>().max(1);
    let mut shares = Vec::with_capacity(weights.len());
    by_weight(pool, &weights, total, ties, &mut shares);
    Filled {
        places: vec![Place::Free; weights.len()],
        shares,
        shared_minor: pool,
        shared_weight: total,
        by_floors: true,
    }
}
