//! The platform fee as written.

use super::{TierBasis, TierMode, is_default};
use crate::{day::Day, ids::RecipientId};
use serde::{Deserialize, Serialize};

/// The platform fee as written: `clamp(half_up(base * rate) + fixed, min, max)`, and never more than the base.
/// Amounts are minor units. Source: revenue-engine design, sections 2 and 7c.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeeSpec {
    /// Parts per million of the base.
    #[serde(default)]
    pub rate_ppm: u64,
    /// Added to what the rate gives.
    #[serde(default)]
    pub fixed: u64,
    /// At least this much.
    #[serde(default)]
    pub min: u64,
    /// At most this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// In place of one rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<FeeTiersSpec>,
    /// What it is taken of. If absent: all lines but those that say `feeable: false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<FeeBase>,
    /// What is rounded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: FeeScope,
    /// Who bears it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bearer: FeeBearer,
    /// Whose lines are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exempt_recipient_ids: Vec<RecipientId>,
    /// Tax on the fee (VAT, GST), in parts per million of it; taken together with it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fee_tax_ppm: u64,
    /// What becomes of it when the amount is reversed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fee_on_refund: FeeOnRefund,
}

/// What the platform fee is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeBase {
    /// All lines, whatever they say.
    Gross,
    /// All lines but those that say `feeable: false`.
    FeeableLines,
}

/// What is rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeScope {
    /// The fee of the whole, once; then it is apportioned.
    #[default]
    Total,
    /// The fee of each line by itself: `fixed`, `min` and `max` are each line's.
    Line,
}

/// Who bears the platform fee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeBearer {
    /// The recipients: it is deducted.
    #[default]
    Recipients,
    /// The platform waives it.
    Platform,
    /// The payer paid it on top: the amount is already without it.
    Payer,
}

/// What becomes of the fee when the amount is reversed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeOnRefund {
    /// The platform gives its part back.
    #[default]
    Returned,
    /// The platform keeps it, and the recipient bears it.
    Kept,
}

/// Tiers of the platform fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeeTiersSpec {
    /// What they are measured by.
    pub basis: TierBasis,
    /// What a tier applies to.
    pub mode: TierMode,
    /// Only what is earned from this day on is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Day>,
    /// From the lowest to the highest.
    pub tiers: Vec<FeeTierSpec>,
}

/// A tier of the platform fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeeTierSpec {
    /// Where it begins, for readers: it must be the end of the tier before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Where it ends, inclusive; the last tier has no end.
    #[serde(default)]
    pub up_to: Option<i64>,
    /// Parts per million of what lies within it.
    #[serde(default)]
    pub rate_ppm: u64,
    /// Added when it is entered.
    #[serde(default)]
    pub flat: u64,
}
