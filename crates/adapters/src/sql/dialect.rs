//! The few words in which the two databases differ.

use sea_orm::{DbBackend, Statement, Value};
use std::time::Duration;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// One file, for one machine.
    Sqlite,
    /// A server, for many machines.
    Postgres,
}

/// Longer spans are cut: a hundred years never overflow an instant.
const SPAN_MICROS_MAX: i64 = 100 * 365 * 86_400 * 1_000_000;

impl Dialect {
    /// How SeaORM calls it.
    pub(super) fn backend(self) -> DbBackend {
        match self {
            Self::Sqlite => DbBackend::Sqlite,
            Self::Postgres => DbBackend::Postgres,
        }
    }

    /// The expression for now: the database's clock and the stored offset, in microseconds.
    pub(super) fn now(self) -> &'static str {
        match self {
            // SQLite has milliseconds, as a floating number: rounded before they are multiplied.
            Self::Sqlite => {
                "(CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000 + (SELECT offset_us FROM clock))"
            }
            Self::Postgres => {
                "((extract(epoch FROM clock_timestamp()) * 1000000)::bigint + (SELECT offset_us FROM clock))"
            }
        }
    }

    /// A column to be selected by a statement of its own that need not wait for the disk: all that a crash does is to
    /// undo it. Whatever is committed after it, and waits, brings it to the disk as well.
    pub(super) fn unawaited(self) -> &'static str {
        match self {
            // Only for the transaction that the statement is.
            Self::Postgres => "set_config('synchronous_commit', 'off', true) AS unawaited",
            Self::Sqlite => "NULL AS unawaited",
        }
    }

    /// What follows the selection of rows that others may be selecting at the same time. SQLite has one writer.
    pub(super) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// A statement with `$1`, `$2` and so on, which both understand.
    pub(super) fn statement(self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.backend(), sql, values)
    }
}

/// A span as it is added to an instant.
pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX).min(SPAN_MICROS_MAX)
}
