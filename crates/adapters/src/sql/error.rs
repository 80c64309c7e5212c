//! What went wrong in the database, in the words of the ports.

use app::ports::{CommitError, StoreError};
use sea_orm::{DbErr, RuntimeErr, sqlx};

/// Why a database cannot be opened or brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The URL names no database that we know.
    #[error("the URL of the database must start with `sqlite://` or `postgres://`")]
    UnknownScheme,
    /// The URL names no file.
    #[error("the URL of the database cannot be read: {0}")]
    Url(#[source] sqlx::Error),
    /// The folder of the SQLite file cannot be created.
    #[error("the folder of the database cannot be created: {0}")]
    Folder(#[source] std::io::Error),
    /// The database has steps of a schema that this version does not know: their names.
    #[error(
        "the database was made by another version of the service, with {0}, which this version does not know: \
         use the version that made it, or an empty database"
    )]
    OtherVersion(String),
    /// A newer version took away what this one needs: the steps that a version must know now.
    #[error(
        "the schema of the database is too new for this version of the service, which does not know {0}: use a newer one"
    )]
    LeftBehind(String),
    /// The database cannot be used.
    #[error("the database cannot be used: {0}")]
    Database(#[from] DbErr),
}

/// A read or a write failed, and nothing was applied.
pub(super) fn store(error: DbErr) -> StoreError {
    if is_our_fault(&error) {
        StoreError::Corrupt(error.to_string())
    } else {
        StoreError::Unavailable(error.to_string())
    }
}

/// COMMIT itself failed. Only if the database says why, and the reason is one that it finds before it commits, is
/// it certain that nothing was applied.
pub(super) fn commit(error: DbErr) -> CommitError {
    if Code::of(&error).is_some_and(|code| code.is_certain_refusal()) {
        CommitError::Store(store(error))
    } else {
        CommitError::Unclear(error.to_string())
    }
}

/// The key that was taken, if that is what went wrong: the constraint's name on `PostgreSQL`, the columns on SQLite.
pub(super) fn taken_key(error: &DbErr) -> Option<String> {
    let refusal = refusal(error).filter(|refusal| refusal.is_unique_violation())?;
    let columns = || refusal.message().strip_prefix("UNIQUE constraint failed: ");
    refusal.constraint().or_else(columns).map(ToOwned::to_owned)
}

/// Whether somebody else is using the SQLite file.
pub(super) fn is_busy(error: &DbErr) -> bool {
    matches!(Code::of(error), Some(Code::Sqlite(5 | 6)))
}

/// Whether somebody else held for too long what was to be changed.
pub(super) fn is_held(error: &DbErr) -> bool {
    // 55P03: a lock was waited for as long as is allowed.
    matches!(Code::of(error), Some(Code::Postgres(state)) if state == "55P03")
}

/// Whether it is about the rows that were written, and not about the database: other rows may be written now.
pub(super) fn is_of_one(error: &DbErr) -> bool {
    is_our_fault(error) || Code::of(error).is_some_and(|code| code.is_crosswise())
}

/// A value that cannot be read, a rule that we broke, or a statement that is wrong: it will not be better later.
fn is_our_fault(error: &DbErr) -> bool {
    match error {
        DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } => true,
        _ => match sqlx_error(error) {
            Some(
                sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::TypeNotFound { .. },
            ) => true,
            _ => Code::of(error).is_some_and(|code| code.is_broken_rule()),
        },
    }
}

fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

fn refusal(error: &DbErr) -> Option<&dyn sqlx::error::DatabaseError> {
    sqlx_error(error).and_then(sqlx::Error::as_database_error)
}

/// What the database itself says.
#[derive(Debug)]
enum Code {
    /// The primary result code.
    Sqlite(u32),
    /// The five characters of SQLSTATE.
    Postgres(String),
}

impl Code {
    fn of(error: &DbErr) -> Option<Self> {
        let refusal = refusal(error)?;
        let code = refusal.code()?;
        if refusal.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
            code.parse::<u32>().ok().map(|code| Self::Sqlite(code & 0xff))
        } else {
            Some(Self::Postgres(code.into_owned()))
        }
    }

    /// Data, integrity, syntax, or a trigger that raised.
    fn is_broken_rule(&self) -> bool {
        match self {
            // ERROR, CONSTRAINT, MISMATCH, RANGE
            Self::Sqlite(code) => matches!(code, 1 | 19 | 20 | 25),
            Self::Postgres(state) => ["22", "23", "42", "P0"].iter().any(|class| state.starts_with(class)),
        }
    }

    /// Somebody else holds what was to be written, or waits for what we hold.
    fn is_crosswise(&self) -> bool {
        // 55P03: a lock was waited for as long as is allowed.
        matches!(self, Self::Postgres(state) if state.starts_with("40") || state == "55P03")
    }

    /// Whether it is certain, after this answer to COMMIT, that nothing was committed.
    fn is_certain_refusal(&self) -> bool {
        match self {
            // BUSY, LOCKED, CONSTRAINT: the transaction is still open, and is rolled back.
            Self::Sqlite(code) => matches!(code, 5 | 6 | 19),
            // 40003: the server does not know either.
            Self::Postgres(state) => self.is_broken_rule() || self.is_crosswise() && state != "40003",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(state: &str) -> Code {
        Code::Postgres(state.to_owned())
    }

    #[test]
    fn only_a_reason_found_before_the_commit_proves_that_nothing_was_committed() {
        for certain in ["23503", "40001", "40P01", "55P03", "P0001"] {
            assert!(postgres(certain).is_certain_refusal(), "{certain}");
        }
        // A server that is stopped, a disk that fails, a link that breaks: it may have been written.
        for unclear in ["57P01", "57P02", "58030", "53100", "08006", "40003", "XX000"] {
            assert!(!postgres(unclear).is_certain_refusal(), "{unclear}");
        }
        assert!(Code::Sqlite(5).is_certain_refusal() && Code::Sqlite(19).is_certain_refusal());
        assert!(!Code::Sqlite(10).is_certain_refusal() && !Code::Sqlite(13).is_certain_refusal());
    }

    #[test]
    fn a_connection_that_broke_under_a_commit_leaves_it_unclear() {
        let broken =
            DbErr::Query(RuntimeErr::SqlxError(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()).into()));
        assert!(matches!(store(broken.clone()), StoreError::Unavailable(_)));
        assert!(matches!(commit(broken), CommitError::Unclear(_)));
    }
}
