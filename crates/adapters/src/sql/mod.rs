//! State, jobs and the outbox in a database: the same code on SQLite and on `PostgreSQL`.
//!
//! A change is one transaction, so what commits together is never seen apart. What can be a rule of the database
//! is one: see `migration`. `now` is the database's clock and a stored offset, evaluated in the statement that
//! needs it, so that leases mean the same on every machine.
//!
//! * `commit`, `group`, `taken`, `load`: the repository; what is committed at the same time shares a transaction
//! * `kept`: a connection that is kept from one group to the next
//! * `limited`: a database that does not answer
//! * `reads`: what is read at the same time shares a statement; `queue`: how those who come at the same time are served
//! * `facts`: what every release and every payment depends on; `recall`: what of it is known of a moment ago
//! * `execution`: batches that are to be paid, many in one look
//! * `counters`: what is counted from release to release
//! * `claim`, `work`: jobs and events are handed out, each to one; who waits for them is told
//! * `notify`: other processes are told, and heard
//! * `idempotency`: keys of requests that may be sent again
//! * `queries`, `books`: pages, and what the books are compared with
//! * `clock`: the time that everybody agrees on; `durability`: whether what was committed stays
//! * `rows`: one entity a table
//! * `migration`: the schema and its rules
//! * `dialect`, `bulk`, `error`: what the two databases call things; many rows at once; what went wrong

mod arguments;
mod at_once;
mod books;
pub(crate) mod bulk;
mod claim;
mod clock;
mod commit;
mod counters;
mod dialect;
mod durability;
mod error;
mod execution;
mod facts;
mod group;
mod idempotency;
mod kept;
mod limited;
mod load;
mod migration;
mod notify;
mod queries;
mod queue;
mod reads;
mod recall;
mod rows;
mod taken;
mod work;

pub use durability::Loss;
pub use error::SqlError;
pub use migration::MigrationStatus;

use crate::sqlite::never_reuse_what_is_unclear;
use dialect::Dialect;
use group::Committer;
use limited::{ANSWER_MAX, Limited, Patience};
use notify::Neighbours;
use queue::Queue;
use reads::Reads;
use recall::Recall;
use sea_orm::{
    AccessMode, ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbErr, IsolationLevel,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use work::Work;

/// How long to wait for a connection.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long to wait on SQLite for another process to write. Shorter than the wait for the connection that writes: who
/// gets it from somebody who waited in vain has yet to wait for the same process, and a caller for both.
const LOCK_MAX: Duration = Duration::from_secs(5);
/// How long to wait before a new file is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// A connection that was not used for so long is tried before it is used.
const IDLE_TRY: Duration = Duration::from_secs(30);
/// A connection that was not used for so long is closed.
const IDLE_CLOSE: Duration = Duration::from_secs(120);
/// A statement is planned once for each connection, and for tables of any size. The planner would see that a table is
/// empty, decide to read all of it, and still do so when it has a million rows; and it would plan what takes an array
/// anew each time. Whatever is sent so finds its rows by an index, one after the other.
const PLANS_ONCE: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];
/// So many connections that plan once.
const WRITERS_MAX: u32 = 10;
/// Whoever serves others on `PostgreSQL` keeps its connection for so long after the last of them.
const LINGER: Duration = Duration::from_millis(200);

/// A database. Cheap to clone.
#[derive(Clone)]
pub struct Sql {
    shared: Arc<Shared>,
}

struct Shared {
    /// Lists, and whatever else looks through tables.
    lists: Limited<DatabaseConnection>,
    /// SQLite has one writer at a time, so it gets one connection: waiting for it is fair and costs nothing, while
    /// waiting in SQLite is polling; and its pages stay in its cache, while a write by one connection empties the
    /// caches of all others. `PostgreSQL` gets connections that plan a statement once.
    writer: Limited<DatabaseConnection>,
    dialect: Dialect,
    /// Changes that wait to be committed.
    commits: Queue<Committer>,
    reads: Reads,
    recall: Recall,
    work: Arc<Work>,
    /// None on SQLite: processes that share a file poll.
    neighbours: Option<Neighbours>,
    /// By the clock that is never set.
    opened_at: std::time::Instant,
}

impl Sql {
    /// Opens `sqlite://path/to/file.db`, which is created with its folders if it is missing, or
    /// `postgres://user@host/database`.
    ///
    /// # Errors
    /// If it is neither, or cannot be opened.
    pub async fn connect(url: &str) -> Result<Self, SqlError> {
        let (dialect, lists, writer, patience) = if url.starts_with("sqlite://") {
            create_folder_of(url).await?;
            // What undoes half a statement is small, and a file for it takes a twentieth of the work.
            let writer = sqlite_options(url, 1, &[("cache_size", "-16384"), ("temp_store", "MEMORY")]);
            let writer = open_sqlite(writer).await?;
            let lists = open_sqlite(sqlite_options(url, 7, &[("cache_size", "-4096")])).await?;
            (Dialect::Sqlite, lists, writer, Patience::default())
        } else if let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) {
            let url = format!("postgres://{rest}");
            let patience = Patience::of(ANSWER_MAX);
            let mut writers = postgres_options(&url, WRITERS_MAX, &PLANS_ONCE);
            patience.watch(&mut writers, false);
            let writer = Database::connect(writers).await?;
            let mut lists = postgres_options(&url, 6, &[]);
            // Whoever asks for a list may go before it is there.
            patience.watch(&mut lists, true);
            // Each is tried before it is used: after a restart of the database nobody who asks for a list is told of it.
            lists.test_before_acquire_if_idle_for(Duration::ZERO);
            (Dialect::Postgres, Database::connect(lists).await?, writer, patience)
        } else {
            return Err(SqlError::UnknownScheme);
        };
        let opened_at = std::time::Instant::now();
        let (commits, reads, recall) = (Queue::default(), Reads::default(), Recall::default());
        let work = Arc::<Work>::default();
        let limited = |connections: DatabaseConnection| Limited::new(connections, patience.clone());
        let neighbours = (dialect == Dialect::Postgres).then(|| Neighbours::of(limited(writer.clone()), work.clone()));
        let (lists, writer) = (limited(lists), limited(writer));
        let shared = Shared { lists, writer, dialect, commits, reads, recall, work, neighbours, opened_at };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The pool of connections, for those who look at rows directly. Nothing limits how long a statement takes.
    pub fn database(&self) -> &DatabaseConnection {
        self.lists().inner()
    }

    /// Where lists are read, and whatever else is asked for seldom.
    fn lists(&self) -> &Limited<DatabaseConnection> {
        &self.shared.lists
    }

    /// Where everything is written.
    fn writer(&self) -> &Limited<DatabaseConnection> {
        &self.shared.writer
    }

    /// Where that is read which every release and every payment needs: in `PostgreSQL` nobody who looks through the
    /// whole of a table is in the way, and what is asked is planned.
    fn reader(&self) -> &Limited<DatabaseConnection> {
        match self.dialect() {
            Dialect::Sqlite => self.lists(),
            Dialect::Postgres => self.writer(),
        }
    }

    fn dialect(&self) -> Dialect {
        self.shared.dialect
    }

    /// How long those who serve others wait for more of them.
    fn linger(&self) -> Duration {
        match self.dialect() {
            Dialect::Sqlite => Duration::ZERO,
            Dialect::Postgres => LINGER,
        }
    }

    fn commits(&self) -> &Queue<Committer> {
        &self.shared.commits
    }

    fn reads(&self) -> &Reads {
        &self.shared.reads
    }

    fn recall(&self) -> &Recall {
        &self.shared.recall
    }

    fn work(&self) -> &Work {
        &self.shared.work
    }

    /// A transaction that writes. On SQLite it takes the right to write at once: one that starts by reading cannot
    /// get it later while another process writes.
    async fn begin_write(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.writer().inner().begin_with_options(options).await
    }

    /// A transaction that reads: all of its statements see the same moment.
    async fn begin_read(&self) -> Result<Limited<DatabaseTransaction>, DbErr> {
        self.begin_read_on(self.lists()).await
    }

    async fn begin_read_on(
        &self,
        connections: &Limited<DatabaseConnection>,
    ) -> Result<Limited<DatabaseTransaction>, DbErr> {
        let (patience, connections) = (connections.patience(), connections.inner());
        let begun = patience.wait_for(connections.begin_with_options(self.read_options())).await?;
        Ok(Limited::new(begun, patience.clone()))
    }

    /// The same for what may take as long as it does.
    async fn begin_long_read(&self) -> Result<DatabaseTransaction, DbErr> {
        self.database().begin_with_options(self.read_options()).await
    }

    fn read_options(&self) -> TransactionOptions {
        match self.dialect() {
            Dialect::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
                ..TransactionOptions::default()
            },
            Dialect::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
        }
    }
}

async fn create_folder_of(url: &str) -> Result<(), SqlError> {
    let options: SqliteConnectOptions = url.parse().map_err(SqlError::Url)?;
    match options.get_filename().parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => tokio::fs::create_dir_all(folder).await.map_err(SqlError::Folder),
        None => Ok(()),
    }
}

/// Whoever opens a new file first turns it to WAL, and SQLite does not let the others wait for that.
async fn open_sqlite(options: ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match Database::connect(options.clone()).await {
            Err(error) if error::is_busy(&error) && Instant::now() < deadline => sleep(BUSY_PAUSE).await,
            opened => return opened,
        }
    }
}

/// The cache is that of each connection, in KiB and negative; it grows as far as it is used.
fn sqlite_options(url: &str, connections_max: u32, more: &'static [(&'static str, &'static str)]) -> ConnectOptions {
    let mut options = with_limits(url, connections_max);
    never_reuse_what_is_unclear(&mut options);
    options.map_sqlx_sqlite_opts(move |options| {
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that was answered survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(LOCK_MAX)
            .foreign_keys(true)
            // Without them INSERT OR REPLACE removes rows behind the back of the triggers.
            .pragma("recursive_triggers", "ON")
            .statement_cache_capacity(bulk::STATEMENTS_KEPT);
        more.iter().fold(options, |options, (name, value)| options.pragma(*name, *value))
    });
    options
}

fn postgres_options(
    url: &str,
    connections_max: u32,
    settings: &'static [(&'static str, &'static str)],
) -> ConnectOptions {
    let mut options = with_limits(url, connections_max);
    options.set_application_name("disburse").map_sqlx_postgres_opts(|options| {
        let options = options.options(settings.iter().copied());
        options.options([
            // A writer sees what was committed before its statement: it waits for a row, then looks again.
            ("default_transaction_isolation", "read committed"),
            // The planner takes an array of unknown length for a long one, and would compile what takes microseconds.
            ("jit", "off"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "30s"),
        ])
    });
    options
}

fn with_limits(url: &str, connections_max: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .sqlx_logging(false)
        .max_connections(connections_max)
        .acquire_timeout(WAIT_MAX)
        .test_before_acquire_if_idle_for(IDLE_TRY)
        .idle_timeout(IDLE_CLOSE);
    options
}
