//! Whether an entry comes too late is asked of each header by itself, and so by its index. As a join it could be planned so
//! that all headers were read, by whoever does not tell the planner otherwise, as our own connections do.

use super::script::Script;
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0012_late_entries", statements: script };

fn script(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => LATE,
    }
    .to_owned()
}

const LATE: &str = "
CREATE OR REPLACE FUNCTION refuse_late_entries() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  written record;
  is_late boolean;
  ahead uuid[];
BEGIN
  SELECT entry.xmin, entry.cmin INTO written FROM ledger_entries entry
    WHERE (entry.transaction_id, entry.seq) = (SELECT transaction_id, seq FROM fresh LIMIT 1);
  SELECT bool_or(looked.is_late), array_agg(looked.id) FILTER (WHERE looked.is_late IS NULL)
    INTO is_late, ahead
    FROM (SELECT named.id, (SELECT header.xmin <> written.xmin OR NOT header.cmin = written.cmin
                            FROM ledger_transactions header WHERE header.id = named.id) AS is_late
          FROM (SELECT DISTINCT transaction_id AS id FROM fresh) named) looked;
  IF is_late THEN
    RAISE EXCEPTION 'append_only: the ledger transaction is closed';
  ELSIF ahead IS NOT NULL THEN
    PERFORM await_header(id) FROM UNNEST(ahead) AS id;
  END IF;
  RETURN NULL;
END $$;
";
