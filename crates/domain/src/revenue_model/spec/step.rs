//! The clauses of a model as written.

use super::{StepKey, is_default};
use crate::{day::Day, ids::RecipientId};
use serde::{Deserialize, Serialize};

/// A clause as written. Amounts are minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum StepSpec {
    /// An amount, each time or once.
    Fixed {
        /// Names what is counted; needed if `per` is `lifetime`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<StepKey>,
        /// How much.
        amount: i64,
        /// Each time, or once.
        #[serde(default, skip_serializing_if = "is_default")]
        per: Per,
        /// Who gets it, if it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recipient_id: Option<RecipientId>,
        /// Whether that one is not known yet.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        placeholder: bool,
        /// Who gets which part of it, if it is several.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<LineSpec>,
        /// Whether the platform takes its fee of it; `true`, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        feeable: Option<bool>,
    },
    /// Gives back what was advanced, and stops.
    Recoup {
        /// Names what is counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<StepKey>,
        /// Who advanced how much. They share by what is still outstanding.
        lines: Vec<RecoupLineSpec>,
        /// What they get back of it: 1,000,000 is once, 1,200,000 is 120 %.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        multiple_ppm: Option<i64>,
        /// The part of the pool that may be used for it; all of it, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate_ppm: Option<i64>,
        /// Counts together with every step of every project that says the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cross_collateral_id: Option<StepKey>,
        /// Whether the platform takes its fee of it; `true`, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        feeable: Option<bool>,
    },
    /// Divides the pool, or a part of it, among its lines.
    Share {
        /// Names what is counted; needed if a line has a `lifetimeMax`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<StepKey>,
        /// The part of the pool that is divided; all of it, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        portion_ppm: Option<i64>,
        /// Who gets which part.
        lines: Vec<LineSpec>,
        /// Whether the platform takes its fee of it; `true`, if absent. A line may say otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        feeable: Option<bool>,
    },
    /// Divides the whole pool, at parts that depend on how much it is.
    Tiers {
        /// Names what is counted; needed if `basis` is `cumulative_amount`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<StepKey>,
        /// What the tiers are measured by.
        basis: TierBasis,
        /// What a tier applies to.
        mode: TierMode,
        /// Only what is earned from this day on is counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Day>,
        /// From the lowest to the highest.
        tiers: Vec<TierSpec>,
        /// Whether the platform takes its fee of it; `true`, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        feeable: Option<bool>,
    },
    /// Gives all that is left to one.
    Remainder {
        /// Who gets it.
        recipient_id: RecipientId,
        /// Whether they are not known yet.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        placeholder: bool,
        /// Whether the platform takes its fee of it; `true`, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        feeable: Option<bool>,
    },
    /// Moves a part of what one got to another until that one has its target back (an advance of a label). Done when
    /// the pool is empty, wherever it is listed.
    #[serde(rename = "recoup_from_share")]
    RecoupFromShare {
        /// Names what is counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<StepKey>,
        /// Whose share is used.
        from_recipient_id: RecipientId,
        /// Who gets it.
        to_recipient_id: RecipientId,
        /// Until so much was moved.
        target: i64,
        /// The part of the share that may be used; all of it, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rate_ppm: Option<i64>,
    },
}

/// How often a fixed amount is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Each time.
    #[default]
    Calculation,
    /// Once.
    Lifetime,
}

/// What tiers are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierBasis {
    /// Everything that went through the step so far.
    CumulativeAmount,
    /// Only what goes through it now.
    Amount,
}

/// What a tier applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierMode {
    /// The slice that lies within it.
    Marginal,
    /// The whole amount, if it is the tier that was reached.
    Volume,
}

/// One line as written: exactly one of the five parts, if it has no fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineSpec {
    /// Who gets it.
    pub recipient_id: RecipientId,
    /// Parts per million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppm: Option<i64>,
    /// Percent as a decimal string, with up to four decimals: `"33.3333"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<String>,
    /// Basis points: 10,000 = 100 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bps: Option<i64>,
    /// A weight relative to the other lines: three lines of weight 1 are exact thirds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// Whatever the percentages of the other lines leave.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remaining: bool,
    /// At least so much, as long as there is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// At most so much of one release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// At most so much of all releases together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_max: Option<i64>,
    /// Whether the platform takes its fee of it; as the step says, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feeable: Option<bool>,
    /// Whether the recipient is not known yet: what they get is held until somebody registers them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placeholder: bool,
}

impl LineSpec {
    /// A line that says no part yet.
    pub fn of(recipient_id: RecipientId) -> Self {
        Self {
            recipient_id,
            ppm: None,
            percent: None,
            bps: None,
            weight: None,
            remaining: false,
            min: None,
            max: None,
            lifetime_max: None,
            feeable: None,
            placeholder: false,
        }
    }
}

/// Who advanced how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecoupLineSpec {
    /// Who.
    pub recipient_id: RecipientId,
    /// How much.
    pub principal: i64,
    /// Whether they are not known yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placeholder: bool,
}

/// A tier as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TierSpec {
    /// Where it begins, for readers: it must be the end of the tier before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Where it ends, inclusive; the last tier has no end.
    #[serde(default)]
    pub up_to: Option<i64>,
    /// Who gets which part.
    pub lines: Vec<LineSpec>,
}
