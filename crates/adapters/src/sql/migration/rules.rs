//! Rules that are more than a constraint, as triggers. They hold for everybody who writes, with two exceptions: in
//! `PostgreSQL` the owner of a table can switch them off (the service should not own its tables), and in SQLite
//! `INSERT OR REPLACE` goes around the rules against removal for whoever has `recursive_triggers` off.

use crate::sql::dialect::Dialect;

/// What the triggers of `PostgreSQL` call; SQLite's say it themselves.
pub(super) fn functions(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => POSTGRES_FUNCTIONS,
    }
}

/// Rows are added, never edited, never removed.
pub(super) fn append_only(dialect: Dialect, table: &str) -> String {
    match dialect {
        Dialect::Sqlite => sqlite_refusal(table, "update", "UPDATE") + &sqlite_refusal(table, "delete", "DELETE"),
        Dialect::Postgres => postgres_refusal(table, "UPDATE OR DELETE OR TRUNCATE"),
    }
}

/// Rows are never removed, and these columns of theirs never set again.
pub(super) fn fixed(dialect: Dialect, table: &str, columns: &[&str]) -> String {
    let update = format!("UPDATE OF {}", columns.join(", "));
    match dialect {
        Dialect::Sqlite => sqlite_refusal(table, "update", &update) + &sqlite_refusal(table, "delete", "DELETE"),
        Dialect::Postgres => postgres_refusal(table, &format!("{update} OR DELETE OR TRUNCATE")),
    }
}

/// A header is refused unless its entries are there, are at least two, have its currency and sum to zero; an entry
/// is refused once its header is there.
pub(super) fn balanced(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => SQLITE_BALANCED,
        Dialect::Postgres => POSTGRES_BALANCED,
    }
    .to_owned()
}

fn sqlite_refusal(table: &str, name: &str, what: &str) -> String {
    let word = name.to_uppercase();
    format!(
        "CREATE TRIGGER {table}_no_{name} BEFORE {what} ON {table} BEGIN
           SELECT RAISE(ABORT, 'append_only: {word} of {table} is refused');
         END;\n"
    )
}

fn postgres_refusal(table: &str, what: &str) -> String {
    format!(
        "CREATE TRIGGER {table}_append_only BEFORE {what} ON {table}
           FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();\n"
    )
}

/// Columns that name a row of another table, if they name anything: looked at once a statement, in place of a foreign key,
/// which `PostgreSQL` looks at row by row.
pub(super) fn postgres_references(table: &str, columns: &[(&str, &str)]) -> String {
    let drops: Vec<String> = columns
        .iter()
        .map(|(column, _)| format!("ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey;\n"))
        .collect();
    // A scalar is found row by row and by its index, whatever the planner thinks of the tables.
    let is_missing = |(column, of): &(&str, &str)| {
        format!("fresh.{column} IS NOT NULL AND (SELECT true FROM {of} WHERE id = fresh.{column}) IS NULL")
    };
    let is_missing: Vec<String> = columns.iter().map(is_missing).collect();
    format!(
        "{}CREATE FUNCTION refuse_stray_{table}() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh WHERE {}) THEN
    RAISE foreign_key_violation USING MESSAGE = 'foreign key: what a row of {table} refers to is missing';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER {table}_refer AFTER INSERT ON {table}
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION refuse_stray_{table}();
",
        drops.concat(),
        is_missing.join(" OR "),
    )
}

// Each SUM stays small: the sum of amounts may exceed 64 bits on the way.
const SQLITE_BALANCED: &str = "
CREATE TRIGGER ledger_entries_not_late AFTER INSERT ON ledger_entries
  WHEN EXISTS (SELECT 1 FROM ledger_transactions WHERE id = NEW.transaction_id)
BEGIN
  SELECT RAISE(ABORT, 'append_only: the ledger transaction is closed');
END;
CREATE TRIGGER ledger_transactions_balanced AFTER INSERT ON ledger_transactions
  WHEN (SELECT count(*) < 2
          OR sum(amount_minor / 1000000) * 1000000 + sum(amount_minor % 1000000) <> 0
          OR max(currency <> NEW.currency)
        FROM ledger_entries WHERE transaction_id = NEW.id)
BEGIN
  SELECT RAISE(ABORT, 'unbalanced: the entries of the ledger transaction do not add up');
END;
";

const POSTGRES_FUNCTIONS: &str = "
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'append_only: % of % is refused', TG_OP, TG_TABLE_NAME;
END $$;

-- Both are planned once a connection, perhaps while the tables are empty: without sequential scans the plan stays
-- good while they grow.
CREATE FUNCTION refuse_late_entries() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh
             WHERE (SELECT true FROM ledger_transactions header WHERE header.id = fresh.transaction_id)) THEN
    RAISE EXCEPTION 'append_only: the ledger transaction is closed';
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION refuse_unbalanced_headers() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM fresh
             WHERE (SELECT count(*) < 2 OR sum(entry.amount_minor) <> 0 OR bool_or(entry.currency <> fresh.currency)
                    FROM ledger_entries entry WHERE entry.transaction_id = fresh.id)) THEN
    RAISE EXCEPTION 'unbalanced: the entries of the ledger transaction do not add up';
  END IF;
  RETURN NULL;
END $$;
";

const POSTGRES_BALANCED: &str = "
CREATE TRIGGER ledger_entries_not_late AFTER INSERT ON ledger_entries
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION refuse_late_entries();
CREATE TRIGGER ledger_transactions_balanced AFTER INSERT ON ledger_transactions
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION refuse_unbalanced_headers();
";
