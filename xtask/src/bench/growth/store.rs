//! A database that is filled from below, past the service.

use super::copies::{Copies, Dialect};
use super::template::{self, Column, Rows};
use crate::bench::store::Store;
use crate::failure::{Failure, Result};
use crate::process;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// For PostgreSQL: a session that fires no trigger, checks no foreign key, does not wait for the disk, and sorts in memory.
const HASTY: &str = "SET session_replication_role = replica; SET synchronous_commit = off; SET work_mem = '256MB'; \
                     SET maintenance_work_mem = '1GB'";
/// The same for SQLite.
const HASTY_SQLITE: &str = "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -1000000; \
                            PRAGMA temp_store = MEMORY";

/// What a table and its indexes take, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Which.
    pub table: String,
    /// Its rows, with what does not fit in them.
    pub rows: f64,
    /// All of its indexes. On SQLite a table of ours is often an index itself, and that counts as rows.
    pub indexes: f64,
}

/// What was taken away before filling, as statements that bring it back.
pub struct Removed(Vec<String>);

impl Store<'_> {
    /// How it spells.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres { .. } => Dialect::Postgres,
            Self::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// The literal of an id.
    pub fn id(&self, id: u128) -> String {
        match self {
            Self::Postgres { .. } => format!("'{id:032x}'::uuid"),
            Self::Sqlite { .. } => format!("x'{id:032x}'"),
        }
    }

    /// How many rows each table has.
    pub fn counts(&self) -> Result<BTreeMap<String, u64>> {
        let tables = match self {
            Self::Postgres { .. } => "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
            Self::Sqlite { .. } => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        };
        let tables = self.ask(tables)?;
        let counts: Vec<String> =
            tables.lines().map(|table| format!("SELECT '{table}', count(*) FROM {table}")).collect();
        let answer = self.ask(&counts.join(" UNION ALL "))?;
        let read = |line: &str| {
            let (table, count) = line.split_once('|')?;
            Some((table.to_owned(), count.parse().ok()?))
        };
        answer.lines().map(|line| read(line).ok_or_else(|| Failure::new(format!("`{line}` is no count")))).collect()
    }

    /// Rows of a table.
    pub fn rows(&self, table: &'static str, which: &str) -> Result<Rows> {
        let columns = match self {
            Self::Postgres { .. } => format!(
                "SELECT column_name, data_type FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND table_name = '{table}' ORDER BY ordinal_position"
            ),
            Self::Sqlite { .. } => format!("SELECT name, type FROM pragma_table_info('{table}')"),
        };
        let columns = self.ask(&columns)?;
        let columns: Vec<Column> = columns
            .lines()
            .filter_map(|line| line.split_once('|'))
            .map(|(name, kind)| Column { name: name.to_owned(), kind: kind.to_owned() })
            .collect();
        let fields: Vec<String> = columns.iter().map(|column| self.lettered(column)).collect();
        let separator = match self {
            Self::Postgres { .. } => " || chr(31) || ",
            Self::Sqlite { .. } => " || char(31) || ",
        };
        let lines = self.ask(&format!("SELECT {} FROM {table} WHERE {which}", fields.join(separator)))?;
        let row = |line| template::read_row(line).ok_or_else(|| Failure::new(format!("`{line}` of {table}")));
        let rows = lines.lines().map(row).collect::<Result<Vec<_>>>()?;
        if rows.is_empty() {
            return Err(Failure::new(format!("such a release has no rows in {table}")));
        }
        Ok(Rows { table, columns, rows })
    }

    /// A value as a letter and what it is.
    fn lettered(&self, Column { name, kind }: &Column) -> String {
        match self {
            Self::Postgres { .. } => {
                let field = match kind.as_str() {
                    "uuid" => format!("'u' || replace(\"{name}\"::text, '-', '')"),
                    "bytea" => format!("'b' || encode(\"{name}\", 'hex')"),
                    "text" => format!("'t' || \"{name}\""),
                    _ => format!("'i' || \"{name}\"::text"),
                };
                format!("coalesce({field}, 'n')")
            }
            Self::Sqlite { .. } => format!(
                "CASE typeof(\"{name}\") WHEN 'null' THEN 'n' WHEN 'text' THEN 't' || \"{name}\" \
                 WHEN 'blob' THEN CASE length(\"{name}\") WHEN 16 THEN 'u' ELSE 'b' END || lower(hex(\"{name}\")) \
                 ELSE 'i' || \"{name}\" END"
            ),
        }
    }

    /// Writes copies.
    pub fn write(&self, copies: &Copies<'_>, first: u64, last: u64) -> Result<()> {
        let statements = copies.statements(first, last).join(";\n");
        match self {
            // What comes in one question is one transaction.
            Self::Postgres { .. } => self.ask(&format!("{HASTY};\n{statements}")),
            Self::Sqlite { .. } => self.ask(&format!("{HASTY_SQLITE};\nBEGIN;\n{statements};\nCOMMIT")),
        }
        .map(drop)
    }

    /// Takes away what costs much while filling and can be made afterwards: indexes that hold no rule that a foreign key
    /// needs, and on SQLite triggers.
    pub fn strip(&self) -> Result<Removed> {
        let list = match self {
            Self::Postgres { .. } => {
                "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', r.conrelid::regclass, r.conname), \
                 format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.conrelid::regclass, r.conname, \
                 pg_get_constraintdef(r.oid)) FROM pg_constraint r WHERE r.contype = 'u' \
                 AND r.connamespace = current_schema()::regnamespace \
                 AND NOT EXISTS (SELECT 1 FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = r.conindid) \
                 UNION ALL SELECT format('DROP INDEX %I', i.indexname), replace(i.indexdef, chr(10), ' ') FROM pg_indexes i \
                 WHERE i.schemaname = current_schema() AND NOT EXISTS \
                 (SELECT 1 FROM pg_constraint r WHERE r.conindid = format('%I', i.indexname)::regclass)"
            }
            Self::Sqlite { .. } => {
                "SELECT 'DROP ' || type || ' ' || name, replace(sql, char(10), ' ') FROM sqlite_master \
                 WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
            }
        };
        let answer = self.ask(list)?;
        let pairs: Vec<(&str, &str)> = answer.lines().filter_map(|line| line.split_once('|')).collect();
        if pairs.len() != answer.lines().count() || pairs.is_empty() {
            return Err(Failure::new(format!("indexes are not as they should be:\n{answer}")));
        }
        let drops: Vec<&str> = pairs.iter().map(|(drop, _)| *drop).collect();
        self.ask(&drops.join(";\n"))?;
        Ok(Removed(pairs.into_iter().map(|(_, back)| back.to_owned()).collect()))
    }

    /// Brings it back.
    pub fn restore(&self, removed: &Removed) -> Result<()> {
        let hasty = if self.dialect() == Dialect::Postgres { HASTY } else { HASTY_SQLITE };
        removed.0.iter().try_for_each(|statement| self.ask(&format!("{hasty};\n{statement}")).map(drop))
    }

    /// What autovacuum would have done by now. SQLite has nothing that does it, and nobody else does.
    pub fn settle(&self) -> Result<()> {
        match self {
            Self::Postgres { databases, .. } => {
                self.ask("VACUUM (ANALYZE)")?;
                databases.checkpoint()
            }
            Self::Sqlite { .. } => self.ask("PRAGMA wal_checkpoint(TRUNCATE)").map(drop),
        }
    }

    /// How many bytes all of it takes.
    pub fn size(&self) -> Result<f64> {
        match self {
            Self::Postgres { .. } => self.number("SELECT pg_database_size(current_database())"),
            Self::Sqlite { .. } => {
                self.number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
            }
        }
    }

    /// How many bytes each table takes, the largest first.
    pub fn sizes(&self) -> Result<Vec<Size>> {
        let sql = match self {
            Self::Postgres { .. } => {
                "SELECT relname, pg_table_size(relid), pg_indexes_size(relid) FROM pg_stat_user_tables \
                 ORDER BY pg_total_relation_size(relid) DESC"
            }
            Self::Sqlite { .. } => {
                "SELECT tbl_name, sum(iif(type = 'table', pgsize, 0)), sum(iif(type = 'index', pgsize, 0)) \
                 FROM dbstat JOIN sqlite_master USING (name) WHERE aggregate = TRUE GROUP BY tbl_name ORDER BY sum(pgsize) DESC"
            }
        };
        let answer = self.ask(sql)?;
        let read = |line: &str| {
            let [table, rows, indexes] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
            Some(Size { table: String::from(table), rows: rows.parse().ok()?, indexes: indexes.parse().ok()? })
        };
        answer.lines().map(|line| read(line).ok_or_else(|| Failure::new(format!("`{line}` is no size")))).collect()
    }

    /// How many bytes are free where it is.
    pub fn free(&self) -> Result<f64> {
        let folder = match self {
            Self::Postgres { .. } => PathBuf::from(self.ask("SHOW data_directory")?),
            Self::Sqlite { file, .. } => file.parent().unwrap_or(Path::new(".")).to_owned(),
        };
        let answer = process::capture(Command::new("df").args(["-B1", "--output=avail"]).arg(&folder))?;
        let free = answer.lines().nth(1).and_then(|line| line.trim().parse().ok());
        free.ok_or_else(|| Failure::new(format!("df does not tell what is free in {}", folder.display())))
    }
}
