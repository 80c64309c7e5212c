//! Keys of requests that may be sent again, and what was answered to them.

use super::script::{Script, spell};

pub(super) const MIGRATION: Script = Script { name: "m0002_idempotency", statements: |dialect| spell(dialect, TABLES) };

const TABLES: &str = "
CREATE TABLE idempotency_keys (
  operation {text} NOT NULL,
  key {text} NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  fingerprint {bytes} NOT NULL CHECK (length(fingerprint) = 32),
  token {id},
  claimed_until {int},
  status {int} CHECK (status BETWEEN 100 AND 599),
  headers {text},
  body {text},
  created_at {int} NOT NULL,
  CONSTRAINT idempotency_keys_pkey PRIMARY KEY (operation, key),
  -- It is claimed, or it was answered.
  CHECK ((token IS NULL) = (claimed_until IS NULL)),
  CHECK ((token IS NULL) = (status IS NOT NULL)),
  CHECK ((status IS NULL) = (headers IS NULL)),
  CHECK ((status IS NULL) = (body IS NULL))
) {table};
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::dialect::Dialect;

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert!(!spell(dialect, TABLES).contains(['{', '}']));
        }
    }
}
