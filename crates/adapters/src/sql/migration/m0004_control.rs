//! What people and rails say of payments, and who did what: approvals, policies, resolutions, the audit log.

use super::{
    rules,
    script::{Script, spell},
};
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0004_control", statements: script };

fn script(dialect: Dialect) -> String {
    let mut script = spell(dialect, TABLES);
    for table in APPEND_ONLY {
        script += &rules::append_only(dialect, table);
    }
    script + &rules::fixed(dialect, "resolutions", RESOLUTION_FIXED)
}

/// Tables whose rows are added, never edited, never removed.
const APPEND_ONLY: [&str; 5] = ["rail_events", "approvals", "policies", "paid_destinations", "audit_log"];

/// What a resolution says never changes; only what became of it does.
const RESOLUTION_FIXED: &[&str] =
    &["id", "item_id", "instruction_id", "outcome", "evidence", "note", "proposed_by", "proposed_at"];

const TABLES: &str = "
CREATE TABLE rail_events (
  rail {text} NOT NULL,
  dedupe {text} NOT NULL,
  instruction_id {id} REFERENCES instructions (id),
  about_kind {text} NOT NULL CHECK (about_kind IN ('item', 'instruction', 'destination')),
  about_value {text} NOT NULL,
  what {text} NOT NULL CHECK (what IN (
    'accepted', 'settled', 'rejected', 'returned', 'recalled', 'details_changed')),
  reason {text},
  class {text} CHECK (class IN ('retry', 'hold', 'fail', 'ops')),
  reference {text},
  amount_minor {int},
  currency {text} CHECK (length(currency) = 3),
  returned_minor {int},
  returned_currency {text} CHECK (length(returned_currency) = 3),
  occurred_at {int},
  received_at {int} NOT NULL,
  evidence {bytes} NOT NULL CHECK (length(evidence) = 32),
  verdict {text} NOT NULL CHECK (verdict IN ('applied', 'known', 'alarmed')),
  CONSTRAINT rail_events_pkey PRIMARY KEY (rail, dedupe),
  CHECK ((reason IS NOT NULL) = (what IN ('rejected', 'returned'))),
  CHECK ((class IS NOT NULL) = (what = 'rejected')),
  CHECK (reference IS NULL OR what IN ('accepted', 'settled', 'returned')),
  CHECK ((amount_minor IS NULL) = (currency IS NULL)),
  CHECK ((returned_minor IS NOT NULL) = (what = 'returned')),
  CHECK ((returned_minor IS NULL) = (returned_currency IS NULL))
) {lean_table};

-- Nobody approves what they made, and nobody can say that somebody else made it.
CREATE TABLE approvals (
  batch_id {id} NOT NULL,
  maker {text} NOT NULL,
  approver {text} NOT NULL,
  items {text} NOT NULL,
  hash {bytes} NOT NULL CHECK (length(hash) = 32),
  note {text},
  created_at {int} NOT NULL,
  -- One that has run out may be given again.
  CONSTRAINT approvals_pkey PRIMARY KEY (batch_id, approver, hash, created_at),
  CONSTRAINT approvals_maker FOREIGN KEY (batch_id, maker) REFERENCES batches (id, scheduled_by),
  CHECK (maker <> approver)
) {lean_table};

CREATE TABLE policies (
  version {int} NOT NULL CHECK (version >= 1),
  spec {text} NOT NULL,
  set_by {text} NOT NULL,
  set_at {int} NOT NULL,
  CONSTRAINT policies_pkey PRIMARY KEY (version)
) {lean_table};

CREATE TABLE paid_destinations (
  recipient_id {text} NOT NULL,
  destination {bytes} NOT NULL CHECK (length(destination) = 32),
  created_at {int} NOT NULL,
  CONSTRAINT paid_destinations_pkey PRIMARY KEY (recipient_id, destination)
) {lean_table};

-- Whoever proposed a resolution does not confirm it.
CREATE TABLE resolutions (
  id {id} NOT NULL,
  item_id {id} NOT NULL,
  instruction_id {id} NOT NULL,
  outcome {text} NOT NULL CHECK (outcome IN ('paid', 'failed', 'not_executed', 'returned')),
  evidence {text} NOT NULL,
  note {text},
  proposed_by {text} NOT NULL,
  proposed_at {int} NOT NULL,
  status {text} NOT NULL CHECK (status IN ('proposed', 'confirmed', 'withdrawn')),
  decided_by {text},
  decided_at {int},
  revision {int} NOT NULL CHECK (revision >= 1),
  CONSTRAINT resolutions_pkey PRIMARY KEY (id),
  FOREIGN KEY (instruction_id, item_id) REFERENCES instruction_items (instruction_id, item_id),
  CHECK (decided_by IS NULL OR decided_by <> proposed_by),
  CHECK ((decided_by IS NOT NULL) = (status = 'confirmed')),
  CHECK ((decided_at IS NULL) = (status = 'proposed'))
) {table};
CREATE UNIQUE INDEX resolutions_proposed ON resolutions (item_id) WHERE status = 'proposed';

CREATE TABLE audit_log (
  id {id} NOT NULL,
  at {int} NOT NULL,
  actor {text} NOT NULL,
  role {text},
  action {text} NOT NULL,
  subject {text} NOT NULL,
  note {text},
  request_id {text},
  before {text},
  after {text},
  CONSTRAINT audit_log_pkey PRIMARY KEY (id)
) {table};
CREATE INDEX audit_log_by_subject ON audit_log (subject, id);
CREATE INDEX audit_log_by_actor ON audit_log (actor, id);
";

#[cfg(test)]
mod tests {
    use super::*;
    use app::{
        change::{Resolved, Verdict},
        ports::rail::Class,
    };

    #[test]
    fn every_word_has_its_place_in_the_schema() {
        let words = Resolved::ALL.map(Resolved::as_str).into_iter();
        let words = words.chain(Verdict::ALL.map(Verdict::as_str)).chain(Class::ALL.map(Class::as_str));
        for word in words {
            assert!(TABLES.contains(&format!("'{word}'")), "{word}");
        }
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert!(!script(dialect).contains(['{', '}']));
        }
    }
}
