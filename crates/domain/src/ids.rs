//! Identifiers: ours (a prefix and a `UUIDv7`) and those that other systems own.
//!
//! Source: product design, section 1. Ours are written as a `TypeID`: prefix, underscore, 26 digits of
//! lower-case Crockford base 32; they are stored as 16 bytes. Foreign ones are stored as text, after
//! folding the forms that have two spellings.

#[cfg(feature = "payouts")]
use serde::Serializer;
use serde::{Deserialize, Deserializer, Serialize};
use std::{fmt, str::FromStr};
#[cfg(feature = "payouts")]
use uuid::Uuid;

/// Why a text is not an identifier of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(String);

#[cfg(feature = "payouts")]
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The 26 base-32 digits of a 128-bit value; the first digit carries 3 bits.
#[cfg(feature = "payouts")]
fn encode(value: u128) -> String {
    (0..26).rev().map(|place| char::from(DIGITS[usize::try_from((value >> (place * 5)) & 31).unwrap_or(0)])).collect()
}

#[cfg(feature = "payouts")]
fn decode(text: &str) -> Option<u128> {
    if text.len() != 26 || !matches!(text.as_bytes()[0], b'0'..=b'7') {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = DIGITS.iter().position(|known| *known == byte)?;
        Some(value << 5 | digit as u128)
    })
}

#[cfg(feature = "payouts")]
macro_rules! own_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every identifier of this kind starts with, underscore included.
            pub const PREFIX: &'static str = concat!($prefix, "_");

            /// Names the thing with this UUID (version 7, drawn by the caller's id port).
            pub fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }
            /// The 16 bytes that are stored.
            pub fn uuid(self) -> Uuid {
                self.0
            }
            /// The 26 digits without the prefix, upper case: short enough for every wire format.
            pub fn digits(self) -> String {
                encode(self.0.as_u128()).to_ascii_uppercase()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::PREFIX, encode(self.0.as_u128()))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(Self::PREFIX)
                    .and_then(decode)
                    .map(|value| Self(Uuid::from_u128(value)))
                    .ok_or_else(|| InvalidId(format!("must be `{}` and 26 digits of base 32", Self::PREFIX)))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

#[cfg(feature = "payouts")]
own_ids! {
    /// A payout batch: what one escrow release became.
    BatchId = "batch";
    /// One payment to one recipient, within a batch.
    ItemId = "item";
    /// What leaves the building: the immutable order to a rail. It is also the idempotency key.
    InstructionId = "ins";
    /// A durable piece of work.
    JobId = "job";
    /// Something that happened, as told to the world.
    EventId = "evt";
    /// A balanced ledger transaction.
    TransactionId = "tx";
    /// One line of a ledger transaction.
    EntryId = "entry";
    /// One run of the calculator.
    CalculationId = "calc";
    /// An entry of the audit log.
    AuditId = "aud";
    /// What people say became of a payment that no rail can tell.
    ResolutionId = "res";
}

/// The text of a foreign identifier in its one stored spelling, or why it is none.
///
/// Accepted: a hyphenated UUID, a 24-digit hexadecimal `ObjectId` (both folded to lower case), or a
/// prefixed id, whose case is kept.
fn canonical(text: &str) -> Result<String, InvalidId> {
    if is_hyphenated_uuid(text) || is_object_id(text) {
        return Ok(text.to_ascii_lowercase());
    }
    if is_prefixed(text) {
        return Ok(text.to_owned());
    }
    Err(InvalidId(
        "must be a hyphenated UUID, a 24-digit hexadecimal ObjectId, or a prefixed id such as `esc_1042`".to_owned(),
    ))
}

fn is_hyphenated_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_object_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `^[a-z][a-z0-9]{1,11}_[A-Za-z0-9]{1,48}$`
fn is_prefixed(text: &str) -> bool {
    let Some((prefix, rest)) = text.split_once('_') else { return false };
    (2..=12).contains(&prefix.len())
        && prefix.as_bytes()[0].is_ascii_lowercase()
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && (1..=48).contains(&rest.len())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

macro_rules! foreign_ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The canonical text, as stored, compared and answered.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                canonical(text).map(Self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

foreign_ids! {
    /// The release of one escrow, named by the escrow service. It is booked at most once, ever.
    EscrowId;
    /// A project, the owner of a revenue model.
    ProjectId;
    /// The milestone that a release belongs to.
    MilestoneId;
    /// Somebody who is owed money.
    RecipientId;
    /// A refund or another reversal, named by whoever asks for it. It is booked at most once, ever.
    ReversalId;
    /// Who asked: the subject of the caller's token.
    Requester;
}

impl Requester {
    /// Our own worker, where nobody asked.
    pub fn worker() -> Self {
        Self("sys_worker".to_owned())
    }
}

#[cfg(feature = "payouts")]
impl ReversalId {
    /// The name under which the cancellation of an item is booked: an item is cancelled at most once.
    pub fn of_cancelled_item(item: ItemId) -> Self {
        Self(format!("cancel_{}", item.digits()))
    }
    /// The name under which the cancellation of a line without an item is booked.
    pub fn of_cancelled_line(batch: BatchId, seq: u32) -> Self {
        Self(format!("cancel_{}L{seq}", batch.digits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_ids_are_read_back_as_written() {
        for value in [0, 1, 31, 32, u128::MAX, 0x0192_f3a0_0000_7000_8000_0000_0000_0001] {
            let id = BatchId::new(Uuid::from_u128(value));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    /// The vector that the TypeID specification publishes for its prefix `prefix`.
    #[test]
    fn our_ids_are_type_ids() {
        let uuid: Uuid = "0110c853-1d09-52d8-d73e-1194e95b5f19".parse().unwrap();
        assert_eq!(BatchId::new(uuid).to_string(), "batch_0123456789abcdefghjkmnpqrs");
        let nil = ItemId::new(Uuid::nil());
        assert_eq!(nil.to_string(), "item_00000000000000000000000000");
        assert_eq!(ItemId::new(Uuid::from_u128(u128::MAX)).to_string(), "item_7zzzzzzzzzzzzzzzzzzzzzzzzz");
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for text in [
            "",
            "batch_",
            "batch_0",
            "item_00000000000000000000000000",
            "batch_80000000000000000000000000",
            "batch_0000000000000000000000000u",
            "batch_0000000000000000000000000A",
            "BATCH_00000000000000000000000000",
            "batch_000000000000000000000000000",
        ] {
            assert!(text.parse::<BatchId>().is_err(), "{text}");
        }
    }

    #[test]
    fn foreign_ids_come_in_three_forms_with_one_spelling_each() {
        let check = |text: &str, stored: &str| {
            assert_eq!(text.parse::<EscrowId>().unwrap().as_str(), stored);
        };
        check("0110C853-1D09-52D8-D73E-1194E95B5F19", "0110c853-1d09-52d8-d73e-1194e95b5f19");
        check("507F1F77BCF86CD799439011", "507f1f77bcf86cd799439011");
        check("esc_AbC1", "esc_AbC1");
        check("a1_x", "a1_x");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "1",
            "escrow",
            "e_1",
            "Esc_1",
            "1sc_1",
            "esc_",
            "esc_a-b",
            "esc_a_b",
            "esc_\u{e9}",
            " esc_1",
            "esc_1 ",
            "esc_1\n",
            "507f1f77bcf86cd79943901",
            "507f1f77bcf86cd79943901g",
            "0110c8531d0952d8d73e1194e95b5f19",
            "0110c853-1d09-52d8-d73e-1194e95b5f1",
            "{0110c853-1d09-52d8-d73e-1194e95b5f19}",
            "abcdefghijklm_1",
            "esc_1234567890123456789012345678901234567890123456789",
        ] {
            assert!(text.parse::<EscrowId>().is_err(), "{text:?}");
        }
    }
}
