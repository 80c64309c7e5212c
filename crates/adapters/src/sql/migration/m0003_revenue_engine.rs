//! Lines of batches, what was counted from release to release, and what was taken back.

use super::{
    rules,
    script::{Script, spell},
};
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0003_revenue_engine", statements: script };

fn script(dialect: Dialect) -> String {
    let mut script = spell(dialect, TABLES);
    for table in APPEND_ONLY {
        script += &rules::append_only(dialect, table);
    }
    script + &rules::fixed(dialect, "counters", &["id"])
}

/// Tables whose rows are added, never edited, never removed.
const APPEND_ONLY: [&str; 7] =
    ["batch_lines", "batch_inputs", "counter_movements", "reversals", "reversal_lines", "reversal_sources", "escheats"];

const TABLES: &str = "
CREATE TABLE batch_lines (
  batch_id {id} NOT NULL REFERENCES batches (id),
  seq {int} NOT NULL CHECK (seq >= 0),
  recipient_id {text} NOT NULL,
  item_id {id} REFERENCES items (id),
  gross_minor {int} NOT NULL CHECK (gross_minor >= 0),
  fee_minor {int} NOT NULL CHECK (fee_minor BETWEEN 0 AND gross_minor),
  fee_tax_minor {int} NOT NULL CHECK (fee_tax_minor BETWEEN 0 AND fee_minor),
  tax_minor {int} NOT NULL CHECK (tax_minor BETWEEN 0 AND gross_minor - fee_minor),
  taxes {text} NOT NULL,
  carried_in_minor {int} NOT NULL CHECK (carried_in_minor >= 0),
  recovered_minor {int} NOT NULL CHECK (recovered_minor >= 0),
  carried_forward_minor {int} NOT NULL CHECK (carried_forward_minor >= 0),
  payable_minor {int} NOT NULL CHECK (payable_minor >= 0),
  CONSTRAINT batch_lines_pkey PRIMARY KEY (batch_id, seq),
  CHECK (gross_minor - fee_minor - tax_minor + carried_in_minor
           = recovered_minor + carried_forward_minor + payable_minor),
  CHECK ((item_id IS NOT NULL) = (payable_minor > 0))
) {lean_table};
CREATE INDEX batch_lines_by_recipient ON batch_lines (recipient_id, batch_id);

CREATE TABLE batch_inputs (
  batch_id {id} NOT NULL REFERENCES batches (id),
  inputs {text} NOT NULL,
  CONSTRAINT batch_inputs_pkey PRIMARY KEY (batch_id)
) {lean_table};

-- A counter is the sum of its moves; its revision is how many there were.
CREATE TABLE counters (
  id {text} NOT NULL,
  value {int} NOT NULL,
  revision {int} NOT NULL CHECK (revision >= 1),
  CONSTRAINT counters_pkey PRIMARY KEY (id)
) {lean_table};

CREATE TABLE counter_movements (
  counter_id {text} NOT NULL,
  revision {int} NOT NULL CHECK (revision >= 1),
  add_minor {int} NOT NULL CHECK (add_minor <> 0),
  batch_id {id} NOT NULL REFERENCES batches (id),
  reversal_id {text},
  recipient_id {text},
  reason {text} NOT NULL CHECK (reason IN (
    'release', 'carry', 'reversal', 'escheat', 'cancellation', 'late_payment', 'return')),
  created_at {int} NOT NULL,
  CONSTRAINT counter_movements_pkey PRIMARY KEY (counter_id, revision)
) {lean_table};
CREATE INDEX counter_movements_by_batch ON counter_movements (batch_id);

CREATE TABLE reversals (
  id {text} NOT NULL,
  batch_id {id} NOT NULL REFERENCES batches (id),
  amount_minor {int} NOT NULL CHECK (amount_minor > 0),
  currency {text} NOT NULL CHECK (length(currency) = 3),
  strategy {text} NOT NULL,
  platform_minor {int} NOT NULL CHECK (platform_minor BETWEEN 0 AND amount_minor),
  reason {text},
  requested_by {text} NOT NULL,
  fingerprint {bytes} NOT NULL CHECK (length(fingerprint) = 32),
  created_at {int} NOT NULL,
  CONSTRAINT reversals_pkey PRIMARY KEY (id)
) {table};
CREATE INDEX reversals_by_batch ON reversals (batch_id);

CREATE TABLE reversal_lines (
  reversal_id {text} NOT NULL REFERENCES reversals (id),
  seq {int} NOT NULL CHECK (seq >= 0),
  batch_id {id} NOT NULL REFERENCES batches (id),
  recipient_id {text} NOT NULL,
  item_id {id} REFERENCES items (id),
  gross_minor {int} NOT NULL CHECK (gross_minor > 0),
  fee_minor {int} NOT NULL CHECK (fee_minor >= 0),
  fee_tax_minor {int} NOT NULL CHECK (fee_tax_minor >= 0),
  tax_minor {int} NOT NULL CHECK (tax_minor >= 0),
  taxes {text} NOT NULL,
  net_minor {int} NOT NULL CHECK (net_minor >= 0),
  fee_kept_minor {int} NOT NULL CHECK (fee_kept_minor >= 0),
  fee_tax_kept_minor {int} NOT NULL CHECK (fee_tax_kept_minor >= 0),
  CONSTRAINT reversal_lines_pkey PRIMARY KEY (reversal_id, seq),
  CHECK (gross_minor = net_minor + fee_minor + fee_tax_minor + tax_minor)
) {lean_table};
CREATE INDEX reversal_lines_by_batch ON reversal_lines (batch_id);

CREATE TABLE reversal_sources (
  reversal_id {text} NOT NULL,
  seq {int} NOT NULL,
  payable_minor {int} NOT NULL CHECK (payable_minor >= 0),
  carried_minor {int} NOT NULL CHECK (carried_minor >= 0),
  debt_minor {int} NOT NULL CHECK (debt_minor >= 0),
  booked_at {int} NOT NULL,
  CONSTRAINT reversal_sources_pkey PRIMARY KEY (reversal_id, seq),
  FOREIGN KEY (reversal_id, seq) REFERENCES reversal_lines (reversal_id, seq)
) {lean_table};

CREATE TABLE escheats (
  item_id {id} NOT NULL REFERENCES items (id),
  batch_id {id} NOT NULL REFERENCES batches (id),
  platform_minor {int} NOT NULL CHECK (platform_minor >= 0),
  released_minor {int} NOT NULL CHECK (released_minor >= 0),
  created_at {int} NOT NULL,
  CONSTRAINT escheats_pkey PRIMARY KEY (item_id)
) {lean_table};
";

#[cfg(test)]
mod tests {
    use super::*;
    use app::change::Reason;

    #[test]
    fn every_reason_has_its_place_in_the_schema() {
        assert!(Reason::ALL.iter().all(|reason| TABLES.contains(&format!("'{}'", reason.as_str()))));
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert!(!script(dialect).contains(['{', '}']));
        }
    }
}
