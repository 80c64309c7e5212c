//! One entity a table: `write` makes a row of a domain value, `read` a domain value of a row. Rows are taken
//! apart without `..`, so that a new column asks for its field in both directions.

pub(super) mod approval;
pub(super) mod audit_entry;
pub(super) mod batch;
pub(super) mod batch_input;
pub(super) mod batch_line;
pub(super) mod escheat;
pub(super) mod event;
pub(super) mod idempotency_key;
pub(super) mod instruction;
pub(super) mod instruction_item;
pub(super) mod item;
pub(super) mod job;
pub(super) mod ledger_entry;
pub(super) mod ledger_transaction;
pub(super) mod paid_destination;
pub(super) mod policy;
pub(super) mod rail_event;
pub(super) mod recipient;
pub(super) mod resolution;
pub(super) mod revenue_model;
pub(super) mod reversal;
pub(super) mod reversal_line;
pub(super) mod reversal_source;

use app::ports::StoreError;
use sea_orm::{EntityTrait, IdenStatic, Iterable};
use std::fmt::Display;

/// The columns of a table, under the name that a statement has for it. Never `*`: a statement that is prepared must
/// answer the same after a newer version has added a column.
pub(super) fn columns<E: EntityTrait>(table: &str) -> String {
    let columns: Vec<String> = E::Column::iter().map(|column| format!("{table}.{}", column.as_str())).collect();
    columns.join(", ")
}

/// The row that is read: named in the error, so that a value that cannot be is found by hand.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'static str,
    pub(super) id: &'a (dyn Display + Sync),
}

impl Place<'_> {
    /// The value of a column, or the error that names it.
    pub(super) fn column<T, E: Display>(self, column: &str, value: Result<T, E>) -> Result<T, StoreError> {
        let Self { table, id } = self;
        value.map_err(|error| StoreError::Corrupt(format!("{table} {id}: {column}: {error}")))
    }

    /// A count, which both databases keep as a signed number.
    pub(super) fn count(self, column: &str, value: i64) -> Result<u32, StoreError> {
        self.column(column, u32::try_from(value))
    }

    /// The 32 bytes of a digest.
    pub(super) fn digest(self, column: &str, value: Vec<u8>) -> Result<[u8; 32], StoreError> {
        self.column(column, <[u8; 32]>::try_from(value).map_err(|_| "must be 32 bytes"))
    }

    /// A value that the row's state needs.
    pub(super) fn needed<T>(self, column: &str, value: Option<T>) -> Result<T, StoreError> {
        self.column(column, value.ok_or("is missing"))
    }

    /// The one of `all` that is written as `text`.
    pub(super) fn word<T: Copy>(
        self,
        column: &str,
        text: &str,
        all: impl IntoIterator<Item = T>,
        as_str: impl Fn(T) -> &'static str,
    ) -> Result<T, StoreError> {
        let found = all.into_iter().find(|one| as_str(*one) == text);
        self.column(column, found.ok_or_else(|| format!("`{text}` is none of its words")))
    }
}

/// A text from outside, without the one character that `PostgreSQL` cannot keep in a text.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A part that is kept as JSON. What is kept so is made of strings and integers, which cannot fail.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The 32 bytes of a hash: half the room of its text.
pub(super) fn digest_of(hash: &impl Display) -> Vec<u8> {
    let text = hash.to_string();
    let digits = text.strip_prefix("sha256:").unwrap_or_default().as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, next| byte << 4 | digit(*next))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::revenue_model::ModelHash;

    #[test]
    fn a_hash_is_kept_as_its_bytes() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 8).unwrap());
        assert_eq!(digest_of(&ModelHash::of(bytes)), bytes);
    }
}
