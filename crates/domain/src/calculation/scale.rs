//! Where an amount lies on a scale of tiers, and what went through the scale before.

use super::work::Work;
use crate::{
    day::Day,
    revenue_model::{Scale, spec::TierMode},
};

/// The word for what a tier applies to.
pub(super) fn mode(scale: &Scale) -> &'static str {
    match scale.mode {
        TierMode::Marginal => "marginal",
        TierMode::Volume => "volume",
    }
}

fn is_counted(scale: &Scale, day: Day) -> bool {
    scale.since.is_none_or(|since| since <= day)
}

/// What went through before; nothing if that is not counted.
pub(super) fn count_before(scale: &Scale, day: Day, work: &Work) -> i64 {
    scale.before.filter(|_| is_counted(scale, day)).map_or(0, |slot| work.counts[slot].max(0))
}

/// Counts what goes through now.
pub(super) fn count(scale: &Scale, day: Day, work: &mut Work, amount: i64) {
    if let Some(slot) = scale.before.filter(|_| is_counted(scale, day)) {
        work.counts[slot] = work.counts[slot].saturating_add(amount);
    }
}

/// The tiers that `amount` falls into after `before`, and how much of it into each.
pub(super) fn slices(scale: &Scale, before: i64, amount: i64) -> Vec<(usize, i64)> {
    if amount == 0 {
        return Vec::new();
    }
    let after = i128::from(before) + i128::from(amount);
    let end = |tier: usize| scale.ends[tier].map_or(i128::MAX, i128::from);
    match scale.mode {
        TierMode::Volume => {
            let reached = (0..scale.ends.len()).find(|tier| after <= end(*tier)).unwrap_or(scale.ends.len() - 1);
            vec![(reached, amount)]
        }
        TierMode::Marginal => {
            let mut slices = Vec::new();
            let mut begin = i128::from(before);
            for tier in 0..scale.ends.len() {
                let upto = after.min(end(tier));
                if upto > begin {
                    slices.push((tier, i64::try_from(upto - begin).unwrap_or(amount)));
                    begin = upto;
                }
            }
            slices
        }
    }
}
