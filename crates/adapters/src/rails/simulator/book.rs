//! What the simulator was asked to pay: a `SQLite` file of its own, so that it survives our crash and our
//! database's.

use super::{destination::Outcome, wire::Payment};
use domain::{money::Money, timestamp::Timestamp};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement, Value,
};
use sha2::{Digest, Sha256};
use std::{path::Path, time::Duration};

/// The book cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The file cannot be opened, read or written.
    #[error("the simulator's book cannot be used: {0}")]
    Database(#[from] DbErr),
    /// It did not answer in time.
    #[error("the simulator's book did not answer in time")]
    TooSlow,
    /// A row holds what the simulator never wrote.
    #[error("the simulator's book holds what cannot be: {0}")]
    Corrupt(String),
    /// The folder of the file cannot be made.
    #[error("the folder of the simulator's book cannot be made: {0}")]
    Folder(#[from] std::io::Error),
}

/// One transfer.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) item: String,
    pub(super) recipient: String,
    pub(super) amount: Money,
    pub(super) outcome: Outcome,
    pub(super) created_at: Timestamp,
}

/// What became of a request.
pub(super) enum Recorded {
    /// This transfer, made now or at an earlier call under the same key.
    Entry(Entry),
    /// The key came before with another body. Nothing was done now.
    KeyUsedWithAnotherBody,
}

#[derive(Clone)]
pub(super) struct Book {
    database: DatabaseConnection,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS transfers (
  id              TEXT PRIMARY KEY NOT NULL,
  idempotency_key TEXT UNIQUE NOT NULL,
  body_sha256     BLOB NOT NULL,
  item_id         TEXT NOT NULL,
  recipient_id    TEXT NOT NULL,
  amount_minor    INTEGER NOT NULL CHECK (amount_minor > 0),
  currency        TEXT NOT NULL,
  outcome         TEXT NOT NULL CHECK (outcome IN ('paid', 'declined')),
  created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID";

const COLUMNS: &str =
    "id, idempotency_key, body_sha256, item_id, recipient_id, amount_minor, currency, outcome, created_at";

impl Book {
    pub(super) async fn open(file: &Path) -> Result<Self, BookError> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = ConnectOptions::new(format!("sqlite://{}", file.display()));
        let file = file.to_owned();
        options.max_connections(2).sqlx_logging(false).map_sqlx_sqlite_opts(move |options| {
            use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            options
                .filename(&file)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
        });
        let database = Database::connect(options).await?;
        database.execute_unprepared(SCHEMA).await?;
        Ok(Self { database })
    }

    /// Makes a transfer, unless the key was used before. One statement, so it happens whole or not at all.
    pub(super) async fn record(
        &self,
        id: String,
        key: &str,
        body: &[u8],
        payment: &Payment,
    ) -> Result<Recorded, BookError> {
        let fingerprint = Sha256::digest(body).to_vec();
        let amount = payment.money();
        let values: [Value; 8] = [
            id.into(),
            key.into(),
            fingerprint.clone().into(),
            payment.item_id.clone().into(),
            payment.recipient_id.clone().into(),
            amount.amount_minor.into(),
            amount.currency.to_string().into(),
            payment.outcome().as_str().into(),
        ];
        let insert = format!(
            "INSERT INTO transfers ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)
             ON CONFLICT (idempotency_key) DO NOTHING"
        );
        self.database.execute_raw(statement(insert, values)).await?;

        let select = format!("SELECT {COLUMNS} FROM transfers WHERE idempotency_key = ?");
        let row = self.database.query_one_raw(statement(select, [key.into()])).await?;
        let row = row.ok_or_else(|| BookError::Corrupt(format!("the transfer under {key} vanished")))?;
        if row.try_get::<Vec<u8>>("", "body_sha256")? != fingerprint {
            return Ok(Recorded::KeyUsedWithAnotherBody);
        }
        read(&row).map(Recorded::Entry)
    }

    pub(super) async fn find(&self, key: &str) -> Result<Option<Entry>, BookError> {
        let select = format!("SELECT {COLUMNS} FROM transfers WHERE idempotency_key = ?");
        self.database.query_one_raw(statement(select, [key.into()])).await?.as_ref().map(read).transpose()
    }

    pub(super) async fn oldest_first(&self, after: Option<String>, limit: u32) -> Result<Vec<Entry>, BookError> {
        let after = after.unwrap_or_default();
        let select = format!("SELECT {COLUMNS} FROM transfers WHERE id > ? ORDER BY id LIMIT ?");
        self.list(statement(select, [after.into(), i64::from(limit).into()])).await
    }

    pub(super) async fn newest_first(&self, after: Option<String>, limit: u32) -> Result<Vec<Entry>, BookError> {
        // Greater than every id.
        let after = after.unwrap_or_else(|| "~".to_owned());
        let select = format!("SELECT {COLUMNS} FROM transfers WHERE id < ? ORDER BY id DESC LIMIT ?");
        self.list(statement(select, [after.into(), i64::from(limit).into()])).await
    }

    async fn list(&self, select: Statement) -> Result<Vec<Entry>, BookError> {
        self.database.query_all_raw(select).await?.iter().map(read).collect()
    }
}

fn statement<const N: usize>(sql: String, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

fn read(row: &QueryResult) -> Result<Entry, BookError> {
    let corrupt = |what: String| BookError::Corrupt(what);
    let currency: String = row.try_get("", "currency")?;
    let outcome: String = row.try_get("", "outcome")?;
    Ok(Entry {
        id: row.try_get("", "id")?,
        key: row.try_get("", "idempotency_key")?,
        item: row.try_get("", "item_id")?,
        recipient: row.try_get("", "recipient_id")?,
        amount: Money::new(
            row.try_get("", "amount_minor")?,
            currency.parse().map_err(|error| corrupt(format!("currency: {error}")))?,
        ),
        outcome: Outcome::of(&outcome).ok_or_else(|| corrupt(format!("outcome `{outcome}`")))?,
        created_at: Timestamp::from_unix_micros(row.try_get("", "created_at")?),
    })
}
