//! The model as its author wrote it.

use super::{ModelHash, PlatformFee};
use crate::{currency::Currency, ids::RecipientId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What decides the cents, exactly as written: `percent` stays `percent`, faults stay faults. When it
/// applies (effective dates, status) is a matter of the version, not of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What the platform keeps; nothing, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_fee: Option<PlatformFee>,
}

/// Who gets the odd unit when remainders are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TieBreak {
    /// The line that is listed first.
    #[default]
    Declaration,
}

/// A clause as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum StepSpec {
    /// Divides the pool among its lines.
    Share {
        /// Who gets which part.
        lines: Vec<LineSpec>,
    },
}

/// One line of a share step as written: exactly one of the five parts, if it has no fault.
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
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<ModelSpec>(r#"{"steps":[],"extra":1}"#).is_err());
        assert!(
            serde_json::from_str::<ModelSpec>(r#"{"steps":[{"type":"share","lines":[],"portionPpm":1}]}"#).is_err()
        );
    }
}
