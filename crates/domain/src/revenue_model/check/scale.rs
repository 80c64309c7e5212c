//! Where tiers begin and end.

use super::{Check, FaultCode, TIERS_MAX};

/// The ends of a tier as written.
pub(super) struct Ends {
    pub(super) from: Option<i64>,
    pub(super) up_to: Option<i64>,
}

impl Check {
    /// The inclusive ends: ascending, without gap, the last open.
    pub(super) fn ends(&mut self, tiers: &[Ends], pointer: &str) -> Vec<Option<i64>> {
        if tiers.is_empty() {
            self.faults.add(FaultCode::NoLines, pointer, "there must be at least one tier");
        }
        if tiers.len() > TIERS_MAX {
            self.faults.add(FaultCode::TooManyLines, pointer, format!("there are at most {TIERS_MAX} tiers"));
            return Vec::new();
        }
        let mut begin = 0;
        for (at, tier) in tiers.iter().enumerate() {
            let is_last = at + 1 == tiers.len();
            let place = format!("{pointer}/{at}");
            if tier.from.is_some_and(|from| from != begin) {
                let message = format!("a tier begins where the one before it ends: {begin}");
                self.faults.add(FaultCode::TierGap, format!("{place}/from"), message);
            }
            match tier.up_to {
                Some(_) if is_last => {
                    let message = "the last tier has no end: say `null`";
                    self.faults.add(FaultCode::TierLastNotOpen, format!("{place}/upTo"), message);
                }
                Some(end) if end <= begin => {
                    let message = format!("a tier ends after the one before it: above {begin}");
                    self.faults.add(FaultCode::TierNotIncreasing, format!("{place}/upTo"), message);
                }
                Some(end) => begin = self.amount(end, format!("{place}/upTo"), 1),
                None if is_last => {}
                None => {
                    let message = "only the last tier has no end";
                    self.faults.add(FaultCode::TierNotIncreasing, format!("{place}/upTo"), message);
                }
            }
        }
        tiers.iter().map(|tier| tier.up_to).collect()
    }
}
