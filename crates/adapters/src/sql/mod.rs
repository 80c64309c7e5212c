//! State, jobs and the outbox in a database: the same code on SQLite and on `PostgreSQL`.
//!
//! A change is one transaction, so what commits together is never seen apart. What can be a rule of the database
//! is one: see [`migration`]. `now` is the database's clock and a stored offset, evaluated in the statement that
//! needs it, so that leases mean the same on every machine.
//!
//! * [`commit`], [`load`]: the repository
//! * [`claim`]: jobs and events are handed out, each to one
//! * [`queries`], [`books`]: pages, and what the books are compared with
//! * [`clock`]: the time that everybody agrees on
//! * [`rows`]: one entity a table
//! * [`migration`]: the schema and its rules
//! * [`dialect`], [`bulk`], [`error`]: what the two databases call things; many rows at once; what went wrong

mod books;
mod bulk;
mod claim;
mod clock;
mod commit;
mod dialect;
mod error;
mod load;
mod migration;
mod queries;
mod rows;
mod work;

pub use error::SqlError;
pub use migration::MigrationStatus;

use dialect::Dialect;
use sea_orm::{
    AccessMode, ConnAcquireErr, ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbErr,
    IsolationLevel, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use std::{ops::Deref, path::Path, sync::Arc, time::Duration};
use tokio::sync::{Mutex, MutexGuard};
use work::Work;

/// How long to wait for a connection of the pool.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// How long to wait for the right to write to an SQLite file: within the process, and for other processes.
const SQLITE_WRITE_WAIT_MAX: Duration = Duration::from_secs(10);
/// After so long without use a connection is looked at before it is used, and given up later.
const IDLE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(120));
const SQLITE_CONNECTIONS_MAX: u32 = 8;
const POSTGRES_CONNECTIONS_MAX: u32 = 16;

/// A database. Cheap to clone.
#[derive(Clone)]
pub struct Sql {
    shared: Arc<Shared>,
}

struct Shared {
    database: DatabaseConnection,
    dialect: Dialect,
    work: Work,
    /// SQLite has one writer at a time. Waiting here is fair and costs nothing; waiting in SQLite is polling.
    sqlite_turn: Mutex<()>,
}

impl Sql {
    /// Opens `sqlite://path/to/file.db`, which is created with its folders if it is missing, or
    /// `postgres://user@host/database`.
    ///
    /// # Errors
    /// If it is neither, or cannot be opened.
    pub async fn connect(url: &str) -> Result<Self, SqlError> {
        let (dialect, options) = if let Some(rest) = url.strip_prefix("sqlite:") {
            create_folder_of(rest.trim_start_matches("//")).await?;
            (Dialect::Sqlite, sqlite_options(url))
        } else if let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) {
            (Dialect::Postgres, postgres_options(&format!("postgres://{rest}")))
        } else {
            return Err(SqlError::UnknownScheme);
        };
        let database = Database::connect(options).await?;
        let shared = Shared { database, dialect, work: Work::default(), sqlite_turn: Mutex::new(()) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The pool of connections, for those who look at rows directly.
    pub fn database(&self) -> &DatabaseConnection {
        &self.shared.database
    }

    fn dialect(&self) -> Dialect {
        self.shared.dialect
    }

    fn work(&self) -> &Work {
        &self.shared.work
    }

    /// A transaction that writes. On SQLite it takes the right to write at once: one that starts by reading cannot
    /// get it later while somebody else writes.
    async fn begin_write(&self) -> Result<Write<'_>, DbErr> {
        let turn = self.turn_to_write().await?;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.database().begin_with_options(options).await?;
        Ok(Write { transaction, _turn: turn })
    }

    /// To be held around a statement that writes by itself.
    async fn turn_to_write(&self) -> Result<Option<MutexGuard<'_, ()>>, DbErr> {
        match self.dialect() {
            Dialect::Sqlite => {
                match tokio::time::timeout(SQLITE_WRITE_WAIT_MAX, self.shared.sqlite_turn.lock()).await {
                    Ok(turn) => Ok(Some(turn)),
                    Err(_) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
                }
            }
            Dialect::Postgres => Ok(None),
        }
    }

    /// A transaction that reads: all of its statements see the same moment.
    async fn begin_read(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = match self.dialect() {
            Dialect::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
                ..TransactionOptions::default()
            },
            Dialect::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
        };
        self.database().begin_with_options(options).await
    }
}

/// A transaction that writes. Dropped without a commit it leaves nothing behind.
struct Write<'a> {
    // Dropped first: the next writer gets its turn when this transaction is on its way out.
    transaction: DatabaseTransaction,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Write<'_> {
    async fn commit(self) -> Result<(), DbErr> {
        self.transaction.commit().await
    }
    async fn rollback(self) -> Result<(), DbErr> {
        self.transaction.rollback().await
    }
}

impl Deref for Write<'_> {
    type Target = DatabaseTransaction;
    fn deref(&self) -> &DatabaseTransaction {
        &self.transaction
    }
}

async fn create_folder_of(file: &str) -> Result<(), SqlError> {
    let path = Path::new(file.split('?').next().unwrap_or_default());
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => tokio::fs::create_dir_all(folder).await.map_err(SqlError::Folder),
        None => Ok(()),
    }
}

fn sqlite_options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(SQLITE_CONNECTIONS_MAX).map_sqlx_sqlite_opts(|options| {
        options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that was answered survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_WRITE_WAIT_MAX)
            .foreign_keys(true)
            // Without them INSERT OR REPLACE removes rows behind the back of the triggers.
            .pragma("recursive_triggers", "ON")
            // Negative: KiB, for each connection, as far as it is used.
            .pragma("cache_size", "-16384")
    });
    with_limits(options)
}

fn postgres_options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(POSTGRES_CONNECTIONS_MAX).set_application_name("disburse").map_sqlx_postgres_opts(
        |options| {
            options.options([
                // A writer sees what was committed before its statement: it waits for a row, then looks again.
                ("default_transaction_isolation", "read committed"),
                ("lock_timeout", "5s"),
                ("idle_in_transaction_session_timeout", "30s"),
            ])
        },
    );
    with_limits(options)
}

fn with_limits(mut options: ConnectOptions) -> ConnectOptions {
    options
        .sqlx_logging(false)
        .acquire_timeout(ACQUIRE_MAX)
        .test_before_acquire_if_idle_for(IDLE.0)
        .idle_timeout(IDLE.1);
    options
}
