//! A numbered, immutable version of a project's model.

use super::{Fault, ModelSpec, RevenueModel};
pub use crate::hash::InvalidHash;
use crate::{
    hash,
    ids::{ProjectId, Requester},
    timestamp::Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// SHA-256 of a model's canonical JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModelHash([u8; 32]);

impl ModelHash {
    /// From the 32 bytes of the digest.
    pub fn of(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}
impl fmt::Display for ModelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hash::write(&self.0, f)
    }
}
impl fmt::Debug for ModelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for ModelHash {
    type Err = InvalidHash;
    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        hash::parse(text).map(Self)
    }
}
impl Serialize for ModelHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for ModelHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether a version may be used to split money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelStatus {
    /// Stored to be worked on, with or without faults; never used.
    Draft,
    /// Used for what was earned in its period.
    Active,
}

impl ModelStatus {
    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
        }
    }
}

/// One version. It never changes once stored; a change is a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelVersion {
    /// Whose model it is.
    pub project: ProjectId,
    /// 1, 2, 3 and so on within the project.
    pub version: u32,
    /// Draft or active.
    pub status: ModelStatus,
    /// First instant, inclusive, at which money is earned under this version.
    pub effective_from: Timestamp,
    /// First instant, if any, at which it no longer is.
    pub effective_to: Option<Timestamp>,
    /// The model as written.
    pub spec: ModelSpec,
    /// Hash of `spec`.
    pub hash: ModelHash,
    /// Who stored it.
    pub created_by: Requester,
    /// When it was stored.
    pub created_at: Timestamp,
}

impl ModelVersion {
    /// Whether money earned at `as_of` is split by this version, unless a newer one also covers that instant.
    pub fn is_in_force(&self, as_of: Timestamp) -> bool {
        self.status == ModelStatus::Active
            && self.effective_from <= as_of
            && self.effective_to.is_none_or(|end| as_of < end)
    }

    /// The checked model.
    ///
    /// # Errors
    /// All faults, which only a draft can have.
    pub fn model(&self) -> Result<RevenueModel, Vec<Fault>> {
        self.spec.check()
    }
}

/// The version that splits money earned at `as_of`: of those that cover the instant, the newest.
pub fn in_force(versions: &[ModelVersion], as_of: Timestamp) -> Option<&ModelVersion> {
    versions.iter().filter(|version| version.is_in_force(as_of)).max_by_key(|version| version.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_micros(second * 1_000_000)
    }
    fn version(number: u32, status: ModelStatus, from: i64, to: Option<i64>) -> ModelVersion {
        let spec = ModelSpec::default();
        ModelVersion {
            project: "prj_1".parse().unwrap(),
            version: number,
            status,
            effective_from: at(from),
            effective_to: to.map(at),
            hash: spec.hash(),
            spec,
            created_by: "usr_1".parse().unwrap(),
            created_at: at(0),
        }
    }

    #[test]
    fn a_version_is_in_force_from_its_first_instant_until_before_its_last() {
        let versions = [version(1, ModelStatus::Active, 10, Some(20))];
        for (second, found) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(in_force(&versions, at(second)).is_some(), found, "{second}");
        }
    }

    #[test]
    fn the_newest_of_several_wins_and_a_draft_never_does() {
        let versions = [
            version(1, ModelStatus::Active, 0, None),
            version(2, ModelStatus::Active, 10, None),
            version(3, ModelStatus::Draft, 0, None),
        ];
        assert_eq!(in_force(&versions, at(5)).unwrap().version, 1);
        assert_eq!(in_force(&versions, at(10)).unwrap().version, 2);
    }

    #[test]
    fn a_hash_is_read_back_as_written_and_nothing_else_is() {
        let hash = ModelHash::of([0xab; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let upper = hash.to_string().to_uppercase();
        for text in ["", "sha256:", "sha256:ab", upper.as_str(), &"\u{e9}".repeat(40)] {
            assert_eq!(text.parse::<ModelHash>(), Err(InvalidHash));
        }
    }
}
