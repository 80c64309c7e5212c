//! On `PostgreSQL` what every release and every payment writes refers to what is there, as before, but is looked at once a
//! statement, not once a row: a foreign key asks a question of its own for each row, and locks the row that it finds.
//! Nothing is lost by that, for what is referred to is never removed and never named anew
//! ([`rules::append_only`], [`rules::fixed`]).
//!
//! Ledger entries and their header may come with one statement. A version that writes the entries first, and their header
//! with the next statement, goes on.

use super::{rules, script::Script};
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0008_references", statements: script };

/// Tables, their columns, and whose ids those are.
const REFERENCES: [(&str, &[(&str, &str)]); 5] = [
    ("items", &[("batch_id", "batches")]),
    ("batch_lines", &[("batch_id", "batches"), ("item_id", "items")]),
    ("batch_inputs", &[("batch_id", "batches")]),
    ("instructions", &[("batch_id", "batches")]),
    ("instruction_items", &[("instruction_id", "instructions"), ("item_id", "items")]),
];

fn script(dialect: Dialect) -> String {
    match dialect {
        // There a foreign key is one look into a tree.
        Dialect::Sqlite => String::new(),
        Dialect::Postgres => {
            let references = REFERENCES.map(|(table, columns)| rules::postgres_references(table, columns));
            references.concat() + LEDGER
        }
    }
}

/// An entry is refused if its header was there before its statement. Whatever one statement wrote has the same `xmin` and
/// `cmin`. If the header is still to come, as it is from a version that writes entries first, it is waited for until the
/// commit; the service need not be allowed to do that by itself.
const LEDGER: &str = "
ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_transaction_id_fkey;

CREATE TABLE ledger_entries_ahead (
  transaction_id uuid NOT NULL REFERENCES ledger_transactions (id) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT ledger_entries_ahead_pkey PRIMARY KEY (transaction_id)
);
CREATE FUNCTION await_header(ahead uuid) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
  INSERT INTO ledger_entries_ahead (transaction_id) VALUES (ahead) ON CONFLICT DO NOTHING
$$;

CREATE OR REPLACE FUNCTION refuse_late_entries() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  written record;
  is_late boolean;
  ahead uuid[];
BEGIN
  SELECT entry.xmin, entry.cmin INTO written FROM ledger_entries entry
    WHERE (entry.transaction_id, entry.seq) = (SELECT transaction_id, seq FROM fresh LIMIT 1);
  SELECT bool_or(header.xmin <> written.xmin OR NOT header.cmin = written.cmin),
         array_agg(named.id) FILTER (WHERE header.id IS NULL)
    INTO is_late, ahead
    FROM (SELECT DISTINCT transaction_id AS id FROM fresh) named
    LEFT JOIN ledger_transactions header ON header.id = named.id;
  IF is_late THEN
    RAISE EXCEPTION 'append_only: the ledger transaction is closed';
  ELSIF ahead IS NOT NULL THEN
    PERFORM await_header(id) FROM UNNEST(ahead) AS id;
  END IF;
  RETURN NULL;
END $$;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_that_is_looked_at_by_the_statement_is_no_foreign_key_any_more() {
        let script = script(Dialect::Postgres);
        for (table, columns) in REFERENCES {
            for (column, of) in columns {
                assert!(script.contains(&format!("ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey")));
                assert!(script.contains(&format!("FROM {of} WHERE id = fresh.{column}")));
            }
        }
        assert!(self::script(Dialect::Sqlite).is_empty());
    }
}
