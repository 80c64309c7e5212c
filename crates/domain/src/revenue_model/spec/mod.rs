//! The model as its author wrote it: [`step`] by step, with its [`fee`].

pub mod fee;
pub mod step;

pub use fee::{FeeBase, FeeBearer, FeeOnRefund, FeeScope, FeeSpec, FeeTierSpec, FeeTiersSpec};
pub use step::{LineSpec, Per, RecoupLineSpec, StepSpec, TierBasis, TierMode, TierSpec};

use super::ModelHash;
use crate::{currency::Currency, tax::TaxProfile};
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

/// For fields that are left out of what is written as long as they are not used.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
