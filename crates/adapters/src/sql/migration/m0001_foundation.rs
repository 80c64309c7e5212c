//! Everything: batches and what belongs to them, the ledger, jobs, the outbox, the clock.
//!
//! Ids of ours are 16 bytes, ids of others text; instants are microseconds since 1970; amounts are minor units of
//! the currency beside them.

use super::{
    rules,
    script::{Script, spell},
};
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0001_foundation", statements: script };

fn script(dialect: Dialect) -> String {
    let mut script = spell(dialect, TABLES);
    script += rules::functions(dialect);
    for table in APPEND_ONLY {
        script += &rules::append_only(dialect, table);
    }
    for (table, columns) in FIXED {
        script += &rules::fixed(dialect, table, columns);
    }
    script + &rules::balanced(dialect)
}

/// Tables whose rows are added, never edited, never removed.
const APPEND_ONLY: [&str; 3] = ["revenue_models", "ledger_transactions", "ledger_entries"];

/// Tables whose rows are never removed, and the columns in which they never change.
const FIXED: [(&str, &[&str]); 4] = [
    (
        "batches",
        &[
            "id",
            "kind",
            "recipient_id",
            "escrow_id",
            "project_id",
            "milestone_id",
            "scheduled_by",
            "currency",
            "amount_minor",
            "deductions_minor",
            "fee_minor",
            "fee_tax_minor",
            "tax_minor",
            "total_net_minor",
            "model_version",
            "model_hash",
            "as_of",
            "execute_at",
            "fingerprint",
            "job_id",
            "items_count",
            "created_at",
        ],
    ),
    (
        "items",
        &[
            "id",
            "batch_id",
            "seq",
            "recipient_id",
            "amount_minor",
            "fee_minor",
            "tax_minor",
            "net_minor",
            "payable_minor",
            "created_at",
        ],
    ),
    ("instructions", &["id", "batch_id", "rail", "currency", "amount_minor", "generation", "body"]),
    ("instruction_items", &["instruction_id", "item_id", "seq", "wire_ref", "amount_minor", "destination"]),
];

const TABLES: &str = "
CREATE TABLE clock (
  id {int} NOT NULL PRIMARY KEY CHECK (id = 1),
  offset_us {int} NOT NULL
) {table};
INSERT INTO clock (id, offset_us) VALUES (1, 0);

CREATE TABLE revenue_models (
  project_id {text} NOT NULL,
  version {int} NOT NULL CHECK (version >= 1),
  status {text} NOT NULL CHECK (status IN ('draft', 'active')),
  effective_from {int} NOT NULL,
  effective_to {int},
  spec {text} NOT NULL,
  hash {bytes} NOT NULL CHECK (length(hash) = 32),
  created_by {text} NOT NULL,
  created_at {int} NOT NULL,
  CONSTRAINT revenue_models_pkey PRIMARY KEY (project_id, version)
) {table};

CREATE TABLE recipients (
  id {text} NOT NULL,
  status {text} NOT NULL CHECK (status IN ('active', 'pending', 'blocked', 'placeholder')),
  tax {text},
  payout_minimums {text} NOT NULL,
  rail {text} NOT NULL,
  details {text} NOT NULL,
  destination_set_by {text} NOT NULL,
  created_at {int} NOT NULL,
  updated_at {int} NOT NULL,
  revision {int} NOT NULL CHECK (revision >= 1),
  CONSTRAINT recipients_pkey PRIMARY KEY (id)
) {table};
CREATE INDEX recipients_by_rail ON recipients (rail, id);

CREATE TABLE batches (
  id {id} NOT NULL,
  kind {text} NOT NULL CHECK (kind IN ('release', 'carry')),
  recipient_id {text},
  escrow_id {text},
  project_id {text},
  milestone_id {text},
  scheduled_by {text} NOT NULL,
  currency {text} NOT NULL CHECK (length(currency) = 3),
  amount_minor {int} NOT NULL CHECK (amount_minor >= 0),
  deductions_minor {int} NOT NULL CHECK (deductions_minor >= 0),
  fee_minor {int} NOT NULL CHECK (fee_minor >= 0),
  fee_tax_minor {int} NOT NULL CHECK (fee_tax_minor BETWEEN 0 AND fee_minor),
  tax_minor {int} NOT NULL CHECK (tax_minor >= 0),
  total_net_minor {int} NOT NULL CHECK (total_net_minor >= 0),
  model_version {int} CHECK (model_version >= 1),
  model_hash {bytes} CHECK (length(model_hash) = 32),
  as_of {int},
  execute_at {int},
  due_at {int} NOT NULL,
  approvals_required {int} NOT NULL CHECK (approvals_required >= 0),
  approvals_given {int} NOT NULL CHECK (approvals_given >= 0),
  fingerprint {bytes} CHECK (length(fingerprint) = 32),
  job_id {id} NOT NULL,
  items_count {int} NOT NULL CHECK (items_count >= 0),
  status {text} NOT NULL CHECK (status IN (
    'awaiting_approval', 'scheduled', 'processing', 'completed', 'partial', 'failed', 'cancelled')),
  created_at {int} NOT NULL,
  updated_at {int} NOT NULL,
  revision {int} NOT NULL CHECK (revision >= 1),
  CONSTRAINT batches_pkey PRIMARY KEY (id),
  CONSTRAINT batches_escrow UNIQUE (escrow_id),
  -- An approval names the maker, and can name nobody else.
  CONSTRAINT batches_maker UNIQUE (id, scheduled_by),
  CHECK (amount_minor = deductions_minor + fee_minor + tax_minor + total_net_minor),
  -- A release has an escrow and a model, a carry has a recipient, and neither has what is the other's.
  CHECK ((kind = 'release') = (amount_minor > 0)),
  CHECK ((kind = 'release') = (escrow_id IS NOT NULL)),
  CHECK ((kind = 'release') = (project_id IS NOT NULL)),
  CHECK ((kind = 'release') = (model_version IS NOT NULL)),
  CHECK ((kind = 'release') = (model_hash IS NOT NULL)),
  CHECK ((kind = 'release') = (as_of IS NOT NULL)),
  CHECK ((kind = 'release') = (fingerprint IS NOT NULL)),
  CHECK ((kind = 'carry') = (recipient_id IS NOT NULL))
) {lean_table};
CREATE INDEX batches_by_project ON batches (project_id, id);
-- Most batches are completed: those that people look for are few.
CREATE INDEX batches_by_status ON batches (status, id) WHERE status <> 'completed';

CREATE TABLE items (
  id {id} NOT NULL,
  batch_id {id} NOT NULL REFERENCES batches (id),
  seq {int} NOT NULL CHECK (seq >= 0),
  recipient_id {text} NOT NULL,
  amount_minor {int} NOT NULL CHECK (amount_minor >= 0),
  fee_minor {int} NOT NULL CHECK (fee_minor >= 0),
  tax_minor {int} NOT NULL CHECK (tax_minor >= 0),
  net_minor {int} NOT NULL CHECK (net_minor >= 0),
  payable_minor {int} NOT NULL CHECK (payable_minor > 0),
  reversed_minor {int} NOT NULL CHECK (reversed_minor BETWEEN 0 AND amount_minor),
  taken_minor {int} NOT NULL CHECK (taken_minor BETWEEN 0 AND payable_minor),
  attempts {int} NOT NULL CHECK (attempts >= 0),
  retries {int} NOT NULL CHECK (retries >= 0),
  not_before {int},
  status {text} NOT NULL CHECK (status IN (
    'scheduled', 'pending_kyc', 'processing', 'in_doubt', 'paid', 'failed', 'returned', 'cancelled')),
  hold_reason {text} CHECK (hold_reason IN (
    'recipient_pending', 'recipient_blocked', 'recipient_placeholder', 'recipient_unregistered',
    'destination_unusable', 'instruction_impossible', 'recipient_must_act', 'operator_hold')),
  reference {text},
  reason {text},
  processed_at {int},
  created_at {int} NOT NULL,
  updated_at {int} NOT NULL,
  revision {int} NOT NULL CHECK (revision >= 1),
  CONSTRAINT items_pkey PRIMARY KEY (id),
  CONSTRAINT items_place UNIQUE (batch_id, seq),
  CHECK (net_minor = amount_minor - fee_minor - tax_minor),
  CHECK ((hold_reason IS NOT NULL) = (status = 'pending_kyc')),
  CHECK ((reason IS NOT NULL) = (status IN ('failed', 'returned'))),
  CHECK (reference IS NULL OR status IN ('paid', 'returned')),
  CHECK ((processed_at IS NOT NULL) = (status IN ('paid', 'failed', 'returned', 'cancelled')))
) {lean_table};
CREATE INDEX items_held ON items (recipient_id, batch_id) WHERE status = 'pending_kyc';
CREATE INDEX items_owed ON items (recipient_id, id)
  WHERE status IN ('scheduled', 'pending_kyc', 'failed', 'returned');

CREATE TABLE instructions (
  id {id} NOT NULL,
  batch_id {id} NOT NULL REFERENCES batches (id),
  rail {text} NOT NULL,
  currency {text} NOT NULL CHECK (length(currency) = 3),
  amount_minor {int} NOT NULL CHECK (amount_minor > 0),
  generation {int} NOT NULL CHECK (generation >= 1),
  body {bytes} NOT NULL,
  tries {int} NOT NULL CHECK (tries >= 0),
  first_sent_at {int} NOT NULL,
  last_sent_at {int} NOT NULL,
  open {bool} NOT NULL,
  revision {int} NOT NULL CHECK (revision >= 1),
  CONSTRAINT instructions_pkey PRIMARY KEY (id)
) {table};
CREATE INDEX instructions_by_batch ON instructions (batch_id, id);
-- Of most instructions nothing is left to be learned.
CREATE INDEX instructions_open ON instructions (batch_id, id) WHERE open;

CREATE TABLE instruction_items (
  instruction_id {id} NOT NULL REFERENCES instructions (id),
  item_id {id} NOT NULL REFERENCES items (id),
  seq {int} NOT NULL CHECK (seq >= 0),
  wire_ref {text} NOT NULL,
  amount_minor {int} NOT NULL CHECK (amount_minor > 0),
  destination {bytes} NOT NULL CHECK (length(destination) = 32),
  outcome {text} NOT NULL CHECK (outcome IN (
    'sent', 'accepted', 'refused', 'absent', 'recalled', 'settled', 'stray', 'returned')),
  reference {text},
  reason {text},
  returned_minor {int} NOT NULL CHECK (returned_minor BETWEEN 0 AND amount_minor),
  live {bool} NOT NULL,
  CONSTRAINT instruction_items_pkey PRIMARY KEY (instruction_id, item_id),
  CONSTRAINT instruction_items_wire_ref UNIQUE (wire_ref),
  CHECK (live = (outcome IN ('sent', 'accepted', 'settled'))),
  CHECK ((reason IS NOT NULL) = (outcome IN ('refused', 'returned'))),
  CHECK (reference IS NULL OR outcome IN ('accepted', 'settled', 'returned', 'stray'))
) {lean_table};
-- Two live instructions for one item would pay it twice.
CREATE UNIQUE INDEX instruction_items_live ON instruction_items (item_id) WHERE live;
CREATE INDEX instruction_items_past ON instruction_items (item_id) WHERE NOT live;
-- There are hardly any.
CREATE INDEX instruction_items_strays ON instruction_items (item_id) WHERE outcome = 'stray';

CREATE TABLE ledger_transactions (
  id {id} NOT NULL,
  kind {text} NOT NULL,
  batch_id {id} NOT NULL,
  item_id {id},
  instruction_id {id},
  currency {text} NOT NULL CHECK (length(currency) = 3),
  posted_at {int} NOT NULL,
  CONSTRAINT ledger_transactions_pkey PRIMARY KEY (id)
) {lean_table};
CREATE INDEX ledger_transactions_by_batch ON ledger_transactions (batch_id, id);
-- Nothing is posted twice, but what may come back in parts.
CREATE UNIQUE INDEX ledger_transactions_once ON ledger_transactions
  (instruction_id, item_id, kind, (CASE WHEN kind IN ('returned_in_part') THEN id ELSE instruction_id END))
  WHERE instruction_id IS NOT NULL;

-- The entries of a transaction are written before its header: when the header comes, all of them are there.
CREATE TABLE ledger_entries (
  transaction_id {id} NOT NULL REFERENCES ledger_transactions (id) DEFERRABLE INITIALLY DEFERRED,
  seq {int} NOT NULL CHECK (seq >= 0),
  account_kind {text} NOT NULL,
  account_subject {text} NOT NULL,
  currency {text} NOT NULL,
  amount_minor {int} NOT NULL CHECK (amount_minor <> 0),
  CONSTRAINT ledger_entries_pkey PRIMARY KEY (transaction_id, seq)
) {lean_table};
CREATE INDEX ledger_entries_by_account ON ledger_entries (account_kind, account_subject, transaction_id);

CREATE TABLE jobs (
  id {id} NOT NULL,
  kind {text} NOT NULL,
  subject {text} NOT NULL,
  state {text} NOT NULL CHECK (state IN ('ready', 'done')),
  run_at {int} NOT NULL,
  leased {bool} NOT NULL,
  woken {bool} NOT NULL,
  attempt {int} NOT NULL CHECK (attempt >= 0),
  CONSTRAINT jobs_pkey PRIMARY KEY (id),
  CHECK (state = 'ready' OR NOT leased)
) {lean_table};
-- While a job is leased its run_at is the end of the lease: one index finds what is due and what was abandoned.
CREATE INDEX jobs_due ON jobs (run_at, id) WHERE state = 'ready';

CREATE TABLE outbox (
  id {id} NOT NULL,
  type {text} NOT NULL,
  batch_id {id},
  item_id {id},
  data {text} NOT NULL,
  occurred_at {int} NOT NULL,
  leased_until {int},
  published_at {int},
  CONSTRAINT outbox_pkey PRIMARY KEY (id)
) {table};
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
CREATE INDEX outbox_by_batch ON outbox (batch_id, id);
CREATE INDEX outbox_by_type ON outbox (type, id);
";

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        batch::BatchStatus,
        instruction::Outcome,
        item::ItemStatus,
        ledger::TransactionKind,
        recipient::{HoldReason, RecipientStatus},
    };

    #[test]
    fn every_word_has_its_place_in_the_schema() {
        let words = BatchStatus::ALL.map(BatchStatus::as_str).into_iter();
        let words = words.chain(ItemStatus::ALL.map(ItemStatus::as_str));
        let words = words.chain(RecipientStatus::ALL.map(RecipientStatus::as_str));
        let words = words.chain(HoldReason::ALL.map(HoldReason::as_str)).chain(Outcome::WORDS);
        for word in words {
            assert!(TABLES.contains(&format!("'{word}'")), "{word}");
        }
    }

    #[test]
    fn whatever_may_be_posted_again_is_named() {
        let again = TransactionKind::ALL.into_iter().filter(|kind| !kind.is_once());
        let words: Vec<String> = again.map(|kind| format!("'{}'", kind.as_str())).collect();
        assert!(TABLES.contains(&format!("CASE WHEN kind IN ({})", words.join(", "))));
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert!(!script(dialect).contains(['{', '}']));
        }
    }
}
