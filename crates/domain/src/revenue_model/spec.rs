//! The model as its author wrote it.

use super::ModelHash;
use crate::{currency::Currency, day::Day, ids::RecipientId, tax::TaxProfile};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// What decides the cents, exactly as written: `percent` stays `percent`, faults stay faults. When it
/// applies (effective dates, status) is a matter of the version, not of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelSpec {
    /// The clauses, in order.
    pub steps: Vec<StepSpec>,
    /// Binds the model to one currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Who gets the odd unit when remainders are equal.
    #[serde(default)]
    pub tie_break: TieBreak,
    /// Whether every line of a share step gets at least one unit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub min_unit_per_line: bool,
    /// What the platform keeps; nothing, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_fee: Option<FeeSpec>,
    /// How recipients are taxed of whom there is no valid tax profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_tax_profile: Option<TaxProfile>,
    /// What happens to net amounts that are not simply paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<SettlementSpec>,
}

/// Who gets the odd unit when remainders are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TieBreak {
    /// The line that is listed first.
    #[default]
    Declaration,
    /// The lines take turns: the first one is the number of the project's release, modulo the lines.
    Rotate,
    /// Whoever got too little before: residues are kept from release to release, within one version.
    Carry,
}

/// The name of something that is counted from release to release. It stays the same across versions, whatever the
/// order of steps.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StepKey(String);

/// The text is not 1 to 64 letters, digits, dashes or underscores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 letters, digits, dashes or underscores")]
pub struct InvalidStepKey;

impl FromStr for StepKey {
    type Err = InvalidStepKey;
    fn from_str(text: &str) -> Result<Self, InvalidStepKey> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidStepKey)
        }
    }
}
impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for StepKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

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

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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

/// What happens to net amounts that are not simply paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettlementSpec {
    /// The part of a net amount that a recipient's debt may take, in parts per million; all of it, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_ppm: Option<u64>,
    /// Days after which a line that is still held goes the way of `fallback`; 1,095 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escheat_after_days: Option<u32>,
    /// What then becomes of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fallback: Fallback,
}

/// What becomes of a line that nobody claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// It stays held.
    #[default]
    RemainHeld,
    /// The other recipients of its batch get it, in proportion to their net amounts.
    ReleaseProRata,
    /// The platform gets it.
    Platform,
}

impl ModelSpec {
    /// SHA-256 of the canonical JSON: keys sorted, no white space, no floats, defaults written out or
    /// left out always alike. Anybody can recompute it from what the API answers.
    pub fn hash(&self) -> ModelHash {
        // serde_json sorts the keys of a tree; a model is made of strings and integers, which cannot fail.
        let canonical = serde_json::to_value(self).map(|tree| tree.to_string()).unwrap_or_default();
        ModelHash::of(Sha256::digest(canonical.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> ModelSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_hash_ignores_the_order_of_keys_and_nothing_else() {
        let one =
            spec(r#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_a","ppm":1000000}]}],"currency":"USD"}"#);
        let same =
            spec(r#"{"currency":"USD","steps":[{"lines":[{"ppm":1000000,"recipientId":"rec_a"}],"type":"share"}]}"#);
        let other =
            spec(r#"{"currency":"EUR","steps":[{"lines":[{"ppm":1000000,"recipientId":"rec_a"}],"type":"share"}]}"#);
        assert_eq!(one.hash(), same.hash());
        assert_ne!(one.hash(), other.hash());
    }

    /// The canonical form is a promise to everybody who stored a hash.
    #[test]
    fn the_canonical_form_does_not_change() {
        let model = spec(
            r#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_a","percent":"70"},{"recipientId":"rec_b","remaining":true}]}],"platformFee":{"ratePpm":50000}}"#,
        );
        let canonical = r#"{"platformFee":{"fixed":0,"min":0,"ratePpm":50000},"steps":[{"lines":[{"percent":"70","recipientId":"rec_a"},{"recipientId":"rec_b","remaining":true}],"type":"share"}],"tieBreak":"declaration"}"#;
        assert_eq!(serde_json::to_value(&model).unwrap().to_string(), canonical);
        assert_eq!(model.hash(), ModelHash::of(Sha256::digest(canonical).into()));
    }

    #[test]
    fn every_step_is_read_back_as_written() {
        let text = r#"{"steps":[
            {"type":"fixed","key":"costs","amount":15000,"per":"lifetime","recipientId":"rec_a","feeable":false},
            {"type":"recoup","key":"advance","lines":[{"recipientId":"rec_a","principal":5}],"multiplePpm":1200000,"crossCollateralId":"pool"},
            {"type":"tiers","key":"steam","basis":"cumulative_amount","mode":"marginal","since":"2018-10-01","tiers":[
                {"from":0,"upTo":10,"lines":[{"recipientId":"rec_a","ppm":1000000}]},{"upTo":null,"lines":[{"recipientId":"rec_b","bps":10000}]}]},
            {"type":"remainder","recipientId":"rec_c","placeholder":true},
            {"type":"recoup_from_share","key":"label","fromRecipientId":"rec_a","toRecipientId":"rec_b","target":7,"ratePpm":500000}],
            "defaultTaxProfile":{"rules":[{"code":"us_backup","ratePpm":240000}]},
            "settlement":{"fallback":"release_pro_rata"},"minUnitPerLine":true,"tieBreak":"rotate",
            "platformFee":{"tiers":{"basis":"amount","mode":"volume","tiers":[{"upTo":null,"ratePpm":10,"flat":2}]},"bearer":"payer","feeOnRefund":"kept"}}"#;
        let model = spec(text);
        let again: ModelSpec = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
        assert_eq!((again.hash(), &again), (model.hash(), &model));
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<ModelSpec>(r#"{"steps":[],"extra":1}"#).is_err());
        assert!(serde_json::from_str::<ModelSpec>(r#"{"steps":[{"type":"share","lines":[],"portion":1}]}"#).is_err());
    }
}
