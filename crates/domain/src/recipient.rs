//! Whom we pay, and over which rail.

use crate::{
    currency::Currency,
    ids::{RecipientId, Requester},
    tax::TaxProfile,
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The short name of a payment rail: `simulator`, `sepa_file`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RailId(String);

/// The text is not 1 to 32 lower-case letters, digits or underscores, starting with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 32 lower-case letters, digits or underscores, starting with a letter")]
pub struct InvalidWord;

pub(crate) fn is_word(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.as_bytes()[0].is_ascii_lowercase()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl RailId {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for RailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for RailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for RailId {
    type Err = InvalidWord;
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        if is_word(text) { Ok(Self(text.to_owned())) } else { Err(InvalidWord) }
    }
}
impl<'de> Deserialize<'de> for RailId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether a recipient may be paid now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientStatus {
    /// May be paid.
    Active,
    /// Must still do something (identity, bank details): what is owed is held.
    Pending,
    /// May not be paid for now: what is owed is held.
    Blocked,
    /// Stands for somebody who is not known yet: what is owed is held.
    Placeholder,
}

impl RecipientStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Active, Self::Pending, Self::Blocked, Self::Placeholder];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Blocked => "blocked",
            Self::Placeholder => "placeholder",
        }
    }
}
impl FromStr for RecipientStatus {
    type Err = InvalidWord;
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(InvalidWord)
    }
}

/// Why a line is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// The recipient must still do something.
    RecipientPending,
    /// The recipient may not be paid for now.
    RecipientBlocked,
    /// The recipient is not known yet.
    RecipientPlaceholder,
    /// Nobody registered the recipient, and the rail cannot pay a stranger.
    RecipientUnregistered,
    /// The rail cannot pay to the recipient's details.
    DestinationUnusable,
    /// The rail cannot put the payment into an instruction, though it takes the details.
    InstructionImpossible,
    /// The rail says that the recipient must act first: nothing can be paid there now.
    RecipientMustAct,
    /// An operator holds it, until an operator releases it.
    OperatorHold,
}

impl HoldReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::RecipientPending,
        Self::RecipientBlocked,
        Self::RecipientPlaceholder,
        Self::RecipientUnregistered,
        Self::DestinationUnusable,
        Self::InstructionImpossible,
        Self::RecipientMustAct,
        Self::OperatorHold,
    ];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RecipientPending => "recipient_pending",
            Self::RecipientBlocked => "recipient_blocked",
            Self::RecipientPlaceholder => "recipient_placeholder",
            Self::RecipientUnregistered => "recipient_unregistered",
            Self::DestinationUnusable => "destination_unusable",
            Self::InstructionImpossible => "instruction_impossible",
            Self::RecipientMustAct => "recipient_must_act",
            Self::OperatorHold => "operator_hold",
        }
    }
}
impl FromStr for HoldReason {
    type Err = InvalidWord;
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(InvalidWord)
    }
}

/// Where the money goes: a rail, and what that rail needs, which only the rail understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Which rail.
    pub rail: RailId,
    /// What the rail needs to know; checked by the rail before it is stored.
    #[serde(default)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl Destination {
    /// A destination that needs no details.
    pub fn bare(rail: RailId) -> Self {
        Self { rail, details: serde_json::Map::new() }
    }
}

/// Somebody who is owed money and whom we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Who.
    pub id: RecipientId,
    /// Whether they may be paid now.
    pub status: RecipientStatus,
    /// What is known of their tax; nothing, if nobody told. That is not the same as a profile without rules.
    pub tax: Option<TaxProfile>,
    /// Less than this many minor units is not sent, but carried until it is enough.
    pub payout_minimums: BTreeMap<Currency, i64>,
    /// Where the money goes.
    pub destination: Destination,
    /// Who last changed where the money goes.
    pub destination_set_by: Requester,
    /// When they were first registered.
    pub created_at: Timestamp,
    /// When they were last changed.
    pub updated_at: Timestamp,
}

impl Recipient {
    /// Why nothing may be paid to this recipient now, if so.
    pub fn hold(&self) -> Option<HoldReason> {
        match self.status {
            RecipientStatus::Active => None,
            RecipientStatus::Pending => Some(HoldReason::RecipientPending),
            RecipientStatus::Blocked => Some(HoldReason::RecipientBlocked),
            RecipientStatus::Placeholder => Some(HoldReason::RecipientPlaceholder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_written() {
        for status in RecipientStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        for reason in HoldReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
    }

    #[test]
    fn a_rail_is_a_word() {
        for text in ["", "Sepa", "1", "a b", "a-b", "a234567890123456789012345678901234"] {
            assert_eq!(text.parse::<RailId>(), Err(InvalidWord), "{text}");
        }
    }
}
