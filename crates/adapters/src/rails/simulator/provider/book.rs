//! What the simulator was asked to do, what becomes of it, and how it is told to misbehave: a `SQLite` file of its own,
//! so that it survives our crash and our database's.

use super::{
    api::{Happening, Saying, StatusWord, TransferView},
    behaviour::Life,
    entries::Entries,
};
use crate::sqlite::never_reuse_what_is_unclear;
use app::ports::{Ids, StoreError};
use domain::{
    currency::Currency,
    ids::{EventId, InstructionId},
    timestamp::Timestamp,
};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use std::{collections::HashMap, path::Path, time::Duration};

/// How long opening a new file is tried while somebody else is at it.
const OPEN_TRIES: u32 = 500;
/// How long it waits between two tries.
const OPEN_PAUSE: Duration = Duration::from_millis(20);
/// How long to wait for the right to write.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// What the tables are like.
const VERSION: i64 = 2;

/// The book cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The file cannot be opened, read or written.
    #[error("the simulator's book cannot be used: {0}")]
    Database(#[from] DbErr),
    /// A row holds what the simulator never wrote.
    #[error("the simulator's book holds what cannot be: {0}")]
    Corrupt(String),
    /// The folder of the file cannot be made.
    #[error("the folder of the simulator's book cannot be made: {0}")]
    Folder(#[from] std::io::Error),
    /// The file was made by another version of this program.
    #[error("the simulator's book is of another version; move `simulator.db` away")]
    OtherVersion,
    /// Nobody knows what time it is.
    #[error("the simulator cannot tell the time: {0}")]
    Clock(#[from] StoreError),
    /// Whoever writes in the book is gone.
    #[error("the simulator is stopping")]
    Stopping,
}

#[derive(Clone)]
pub(crate) struct Book {
    reader: DatabaseConnection,
    /// SQLite has one writer at a time, so it gets one connection: waiting for it is fair, waiting in SQLite is polling.
    writer: DatabaseConnection,
}

/// Seven tables. Keys are apart from transfers, because a key may be forgotten while its transfer never is. What will
/// happen to a transfer stands in `events` from its beginning.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS transfers (
  id              TEXT PRIMARY KEY NOT NULL,
  idempotency_key TEXT NOT NULL,
  item_id         TEXT NOT NULL,
  reference       TEXT NOT NULL,
  recipient_id    TEXT NOT NULL,
  amount_minor    INTEGER NOT NULL CHECK (amount_minor > 0),
  executes_minor  INTEGER NOT NULL CHECK (executes_minor > 0),
  currency        TEXT NOT NULL,
  silent_until    INTEGER,
  created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS transfers_by_key ON transfers (idempotency_key);
CREATE TABLE IF NOT EXISTS keys (
  idempotency_key TEXT PRIMARY KEY NOT NULL,
  body_sha256     BLOB NOT NULL,
  transfer_id     TEXT NOT NULL,
  first_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
  id              TEXT PRIMARY KEY NOT NULL,
  transfer_id     TEXT NOT NULL,
  seq             INTEGER NOT NULL,
  what            TEXT NOT NULL,
  at              INTEGER NOT NULL,
  code            TEXT,
  returned_minor  INTEGER,
  UNIQUE (transfer_id, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_by_time ON events (at, id);
CREATE TABLE IF NOT EXISTS notifications (
  id              TEXT PRIMARY KEY NOT NULL,
  transfer_id     TEXT NOT NULL,
  due_at          INTEGER NOT NULL,
  next_at         INTEGER NOT NULL,
  tries           INTEGER NOT NULL,
  is_forged       INTEGER NOT NULL,
  is_done         INTEGER NOT NULL,
  body            BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notifications_to_do ON notifications (next_at) WHERE is_done = 0;
CREATE TABLE IF NOT EXISTS lost_calls (
  idempotency_key TEXT PRIMARY KEY NOT NULL,
  calls           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faults (
  id              TEXT PRIMARY KEY NOT NULL,
  behaviour       TEXT NOT NULL,
  recipient_id    TEXT,
  times_left      INTEGER CHECK (times_left >= 0),
  code            TEXT,
  after_us        INTEGER,
  returned_minor  INTEGER,
  amount_minor    INTEGER,
  retry_after_us  INTEGER,
  created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings (
  name            TEXT PRIMARY KEY NOT NULL,
  value           TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO settings VALUES ('secret', lower(hex(randomblob(32))));
PRAGMA user_version = 2";

impl Book {
    pub(crate) async fn open(file: &Path) -> Result<Self, BookError> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let book = Self { writer: connect(file, 1).await?, reader: connect(file, 2).await? };
        let write = book.begin_write().await?;
        let row = write.query_one_raw(plain("PRAGMA user_version")).await?;
        let version: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        let tables = write.query_all_raw(plain("SELECT 1 FROM sqlite_master LIMIT 1")).await?;
        if version != VERSION && !tables.is_empty() {
            return Err(BookError::OtherVersion);
        }
        write.execute_unprepared(SCHEMA).await?;
        write.commit().await?;
        Ok(book)
    }

    /// A transaction that writes; it takes the right to write at once.
    pub(crate) async fn begin_write(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.writer.begin_with_options(options).await
    }
    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }
    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Transfers under a key, as they are at that instant.
    pub(crate) async fn under_key(&self, key: &str, now: Timestamp) -> Result<Vec<Kept>, BookError> {
        let rows = statement("SELECT * FROM transfers WHERE idempotency_key = ? ORDER BY id", [key.into()]);
        views(&self.reader, rows, now).await
    }

    pub(crate) async fn oldest_first(&self, after: &str, limit: u32, now: Timestamp) -> Result<Vec<Kept>, BookError> {
        let values = [after.into(), i64::from(limit).into()];
        views(&self.reader, statement("SELECT * FROM transfers WHERE id > ? ORDER BY id LIMIT ?", values), now).await
    }

    pub(crate) async fn newest_first(
        &self,
        before: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Kept>, BookError> {
        // The default is greater than every id.
        let values = [before.unwrap_or("~").into(), i64::from(limit).into()];
        views(&self.reader, statement("SELECT * FROM transfers WHERE id < ? ORDER BY id DESC LIMIT ?", values), now)
            .await
    }

    /// What happened since `since` and after the saying `after`, oldest first, but what is kept silent.
    pub(crate) async fn said_since(
        &self,
        since: Timestamp,
        after: Option<(Timestamp, String)>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Saying>, BookError> {
        let (after_at, after_id) = after.unwrap_or((Timestamp::MIN, String::new()));
        let values: [Value; 6] = [
            since.unix_micros().into(),
            now.unix_micros().into(),
            now.unix_micros().into(),
            after_at.unix_micros().into(),
            after_id.into(),
            i64::from(limit).into(),
        ];
        let sql = "SELECT e.id AS event_id, e.what, e.at, e.code, e.returned_minor, t.* FROM events e
             JOIN transfers t ON t.id = e.transfer_id
             WHERE e.at >= ? AND e.at <= ? AND (t.silent_until IS NULL OR t.silent_until <= ?) AND (e.at, e.id) > (?, ?)
             ORDER BY e.at, e.id LIMIT ?";
        let rows = self.reader.query_all_raw(statement(sql, values)).await?;
        rows.iter().map(|row| said(row, &Row::read(row)?)).collect()
    }
}

async fn connect(file: &Path, connections: u32) -> Result<DatabaseConnection, BookError> {
    let mut options = ConnectOptions::new(format!("sqlite://{}", file.display()));
    never_reuse_what_is_unclear(&mut options);
    let path = file.to_owned();
    options.max_connections(connections).sqlx_logging(false).map_sqlx_sqlite_opts(move |options| {
        use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
        options
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(WAIT_MAX)
    });
    let mut tries = 0;
    loop {
        // Whoever opens a new file first turns it to WAL, and SQLite does not let the others wait for that.
        match Database::connect(options.clone()).await {
            Err(error) if tries < OPEN_TRIES && error.to_string().contains("locked") => {
                tries += 1;
                tokio::time::sleep(OPEN_PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// A transfer, and until when nothing is told of it.
pub(crate) struct Kept {
    pub(crate) view: TransferView,
    silent_until: Option<Timestamp>,
}

impl Kept {
    pub(crate) fn is_silent(&self, now: Timestamp) -> bool {
        self.silent_until.is_some_and(|until| now < until)
    }
}

/// A transfer as its row has it.
pub(crate) struct Row {
    id: String,
    key: String,
    item: String,
    reference: String,
    recipient: String,
    amount_minor: i64,
    executes_minor: i64,
    currency: Currency,
    silent_until: Option<i64>,
    created_at: Timestamp,
}

impl Row {
    fn read(row: &QueryResult) -> Result<Self, BookError> {
        let currency: String = row.try_get("", "currency")?;
        Ok(Self {
            id: row.try_get("", "id")?,
            key: row.try_get("", "idempotency_key")?,
            item: row.try_get("", "item_id")?,
            reference: row.try_get("", "reference")?,
            recipient: row.try_get("", "recipient_id")?,
            amount_minor: row.try_get("", "amount_minor")?,
            executes_minor: row.try_get("", "executes_minor")?,
            currency: currency.parse().map_err(|error| BookError::Corrupt(format!("currency: {error}")))?,
            silent_until: row.try_get("", "silent_until")?,
            created_at: Timestamp::from_unix_micros(row.try_get("", "created_at")?),
        })
    }

    fn with(self, events: Vec<Saying>) -> Kept {
        // What is executed or came back stays so, in whatever order it was said.
        let status = events.iter().map(|said| said.what.status()).max();
        let was_executed = events.iter().any(|said| matches!(said.what, Happening::Settled | Happening::Returned));
        let view = TransferView {
            id: self.id,
            idempotency_key: self.key,
            item_id: self.item,
            recipient_id: self.recipient,
            amount: self.amount_minor,
            currency: self.currency,
            status: StatusWord(status.unwrap_or(app::ports::rail::TransferStatus::Pending)),
            executed: if was_executed { self.executes_minor } else { 0 },
            returned: events.iter().filter_map(|said| said.returned).max().unwrap_or(0),
            created_at: self.created_at,
            events,
        };
        Kept { view, silent_until: self.silent_until.map(Timestamp::from_unix_micros) }
    }
}

/// A saying, from a row of `events` and its transfer.
fn said(row: &QueryResult, transfer: &Row) -> Result<Saying, BookError> {
    let what: String = row.try_get("", "what")?;
    let what = Happening::of(&what).ok_or_else(|| BookError::Corrupt(format!("`{what}` of {}", transfer.id)))?;
    let amount = match what {
        Happening::Settled => transfer.executes_minor,
        _ => transfer.amount_minor,
    };
    Ok(Saying {
        id: row.try_get("", "event_id")?,
        what,
        created: Timestamp::from_unix_micros(row.try_get("", "at")?),
        transfer: transfer.id.clone(),
        idempotency_key: transfer.key.clone(),
        reference: transfer.reference.clone(),
        amount,
        currency: transfer.currency,
        returned: row.try_get("", "returned_minor")?,
        code: row.try_get("", "code")?,
    })
}

/// Those transfers with what happened to them until then.
pub(crate) async fn views(
    connection: &impl ConnectionTrait,
    select: Statement,
    until: Timestamp,
) -> Result<Vec<Kept>, BookError> {
    let transfers: Vec<Row> =
        connection.query_all_raw(select).await?.iter().map(Row::read).collect::<Result<_, _>>()?;
    let ids = || transfers.iter().map(|transfer| transfer.id.as_str());
    let (Some(first), Some(last)) = (ids().min(), ids().max()) else { return Ok(Vec::new()) };
    let sql = "SELECT id AS event_id, transfer_id, what, at, code, returned_minor FROM events
         WHERE transfer_id BETWEEN ? AND ? AND at <= ? ORDER BY transfer_id, seq";
    let values = [first.into(), last.into(), until.unix_micros().into()];
    let mut events: HashMap<String, Vec<QueryResult>> = HashMap::new();
    for row in connection.query_all_raw(statement(sql, values)).await? {
        events.entry(row.try_get("", "transfer_id")?).or_default().push(row);
    }
    let view = |transfer: Row| {
        let events = events.remove(&transfer.id).unwrap_or_default();
        let events = events.iter().map(|row| said(row, &transfer)).collect::<Result<_, _>>()?;
        Ok(transfer.with(events))
    };
    transfers.into_iter().map(view).collect()
}

/// What a transfer is made from.
pub(crate) struct NewTransfer<'a> {
    pub(crate) key: &'a str,
    pub(crate) fingerprint: &'a [u8],
    pub(crate) order: &'a super::api::TransferRequest,
    pub(crate) life: Life,
    pub(crate) now: Timestamp,
}

/// Enters a transfer, all that will happen to it and all that will be told of it, and takes the key for it.
pub(super) fn make(entries: &mut Entries, ids: &dyn Ids, new: NewTransfer<'_>) -> Result<Kept, BookError> {
    let NewTransfer { key, fingerprint, order, life, now } = new;
    let transfer = Row {
        id: format!("sim_{}", digits(ids)),
        key: key.to_owned(),
        item: order.item_id.clone(),
        reference: order.reference.clone(),
        recipient: order.recipient_id.clone(),
        amount_minor: order.amount,
        executes_minor: life.executed_minor,
        currency: order.currency,
        silent_until: life.silent_until.map(Timestamp::unix_micros),
        created_at: now,
    };
    entries.transfers.push([
        transfer.id.clone().into(),
        key.into(),
        transfer.item.clone().into(),
        transfer.reference.clone().into(),
        transfer.recipient.clone().into(),
        transfer.amount_minor.into(),
        transfer.executes_minor.into(),
        transfer.currency.to_string().into(),
        transfer.silent_until.into(),
        now.unix_micros().into(),
    ]);
    entries.keys.push([key.into(), fingerprint.to_vec().into(), transfer.id.clone().into(), now.unix_micros().into()]);

    let mut events = Vec::new();
    for (seq, planned) in (1i64..).zip(life.events) {
        let said = Saying {
            id: event_name(ids),
            what: planned.what,
            created: planned.at,
            transfer: transfer.id.clone(),
            idempotency_key: transfer.key.clone(),
            reference: transfer.reference.clone(),
            amount: if planned.what == Happening::Settled { transfer.executes_minor } else { transfer.amount_minor },
            currency: transfer.currency,
            returned: planned.returned_minor,
            code: planned.code,
        };
        entries.events.push(event(&said, seq));
        for at in planned.told_at {
            entries.notifications.push(notification(ids, (&said, at, false))?);
        }
        events.push(said);
    }
    if let (Some(at), Some(first)) = (life.forged_at, events.first()) {
        let claim = Saying {
            id: event_name(ids),
            what: Happening::Returned,
            created: at,
            returned: Some(transfer.amount_minor),
            code: Some("account_closed".to_owned()),
            ..first.clone()
        };
        entries.notifications.push(notification(ids, (&claim, at, true))?);
    }
    events.retain(|said| said.created <= now);
    Ok(transfer.with(events))
}

/// Gives up what has not happened yet.
pub(crate) async fn give_up(
    write: &DatabaseTransaction,
    ids: &dyn Ids,
    transfer: &TransferView,
    now: Timestamp,
) -> Result<(), BookError> {
    let values = [transfer.id.clone().into(), now.unix_micros().into()];
    write.execute_raw(statement("DELETE FROM events WHERE transfer_id = ? AND at > ?", values)).await?;
    let values = [transfer.id.clone().into()];
    write.execute_raw(statement("DELETE FROM notifications WHERE transfer_id = ? AND is_done = 0", values)).await?;
    let Some(first) = transfer.events.first() else { return Ok(()) };
    let said = Saying { id: event_name(ids), what: Happening::Recalled, created: now, ..first.clone() };
    let seq = i64::try_from(transfer.events.len()).unwrap_or(i64::MAX).saturating_add(1);
    let entries = Entries { events: vec![event(&said, seq)], ..Entries::default() };
    Ok(entries.write(write).await?)
}

/// The row of something that happens.
fn event(said: &Saying, seq: i64) -> [Value; 7] {
    [
        said.id.clone().into(),
        said.transfer.clone().into(),
        seq.into(),
        said.what.as_str().into(),
        said.created.unix_micros().into(),
        said.code.clone().into(),
        said.returned.into(),
    ]
}

/// The row of what is to be told.
fn notification(ids: &dyn Ids, (said, at, is_forged): (&Saying, Timestamp, bool)) -> Result<[Value; 8], BookError> {
    let body = serde_json::to_vec(said).map_err(|error| BookError::Corrupt(error.to_string()))?;
    let id = format!("ntf_{}", digits(ids));
    let at = at.unix_micros();
    let (tries, is_done) = (0_i64.into(), false.into());
    Ok([id.into(), said.transfer.clone().into(), at.into(), at.into(), tries, is_forged.into(), is_done, body.into()])
}

fn event_name(ids: &dyn Ids) -> String {
    EventId::new(ids.fresh()).to_string()
}

/// The 26 digits of a name that nobody drew before.
pub(crate) fn digits(ids: &dyn Ids) -> String {
    InstructionId::new(ids.fresh()).digits().to_ascii_lowercase()
}

pub(crate) fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

pub(crate) fn plain(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Sqlite, sql)
}
