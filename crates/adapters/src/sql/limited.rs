//! A database that does not answer. One whose machine stopped, or that is behind a network that swallows everything, says
//! nothing, and a connection to it is never seen to break: whoever waits for its answer would wait for ever, even when
//! another server has taken over long ago.

use super::kept::failed;
use async_trait::async_trait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    sqlx::{
        Connection, Error,
        postgres::{PgConnection, PgPoolOptions},
    },
};
use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// A statement that takes longer than this is given up, and its connection with it. Those of ours take milliseconds, the
/// largest ones seconds; for a lock they wait five.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How long a connection that comes back may take to say that it lives.
const RETURN_MAX: Duration = Duration::from_secs(5);

/// Who waits how long. All who share it learn that the database was silent.
#[derive(Clone, Default)]
pub(super) struct Patience {
    /// For ever, if none: SQLite is in this process.
    at_most: Option<Duration>,
    silence: Arc<Mutex<Option<Instant>>>,
}

impl Patience {
    pub(super) fn of(at_most: Duration) -> Self {
        Self { at_most: Some(at_most), silence: Arc::default() }
    }

    /// Its end, or that it took too long. The connection then has a statement under way and must not be used again.
    pub(super) async fn wait<T>(&self, what: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let Some(at_most) = self.at_most else { return what.await };
        match timeout(at_most, what).await {
            Ok(done) => done,
            Err(_elapsed) => {
                tracing::warn!(seconds = at_most.as_secs(), "the database did not answer; connecting anew");
                *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Err(silent())
            }
        }
    }

    pub(super) async fn wait_for<T>(&self, what: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        self.wait(async { Ok(what.await) }).await.unwrap_or_else(|error| Err(failed(error)))
    }

    /// Whether a connection of such an age was made after the database had last been silent. Those before lead to a server
    /// that may never answer again.
    fn trusts(&self, age: Duration) -> bool {
        let silence = *self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        silence.is_none_or(|since| age < since.elapsed())
    }

    /// Connections that lead to a silent server are neither handed out nor taken back. With `tries_returned` each that
    /// comes back is asked whether it lives: whoever had it may have gone in the middle of a statement.
    pub(super) fn watch(&self, options: &mut ConnectOptions, tries_returned: bool) {
        let patience = self.clone();
        options.map_sqlx_postgres_before_acquire(move |_, about| {
            let is_trusted = patience.trusts(about.age);
            Box::pin(async move { if is_trusted { Ok(true) } else { Err(silent()) } })
        });
        let patience = self.clone();
        options.map_sqlx_postgres_pool_opts(move |pool: PgPoolOptions| {
            let patience = patience.clone();
            pool.after_release(move |connection: &mut PgConnection, about| {
                let is_trusted = patience.trusts(about.age);
                Box::pin(async move {
                    if tries_returned && is_trusted {
                        timeout(RETURN_MAX, connection.ping()).await.unwrap_or_else(|_| Err(silent()))?;
                    }
                    // An error closes it without a word, which nobody might read.
                    if is_trusted { Ok(true) } else { Err(silent()) }
                })
            })
        });
    }
}

fn silent() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not answer"))
}

/// Connections, or a transaction, whose statements have an end.
pub(super) struct Limited<C> {
    inner: C,
    patience: Patience,
}

impl<C> Limited<C> {
    pub(super) fn new(inner: C, patience: Patience) -> Self {
        Self { inner, patience }
    }

    pub(super) fn inner(&self) -> &C {
        &self.inner
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }
}

impl Limited<DatabaseTransaction> {
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        self.patience.wait_for(self.inner.commit()).await
    }
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Limited<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.patience.wait_for(self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.patience.wait_for(self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.patience.wait_for(self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.patience.wait_for(self.inner.query_all_raw(statement)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn who_waited_too_long_trusts_only_what_is_younger() {
        let patience = Patience::of(Duration::from_millis(20));
        let other = patience.clone();
        assert!(patience.trusts(Duration::from_secs(3_600)));
        assert_eq!(patience.wait(async { Ok(7) }).await.unwrap(), 7);
        assert!(patience.wait(pending::<Result<(), Error>>()).await.is_err());
        assert!(!other.trusts(Duration::from_secs(3_600)), "all of them learn it");
        std::thread::sleep(Duration::from_millis(5));
        assert!(other.trusts(Duration::ZERO), "a new one");
    }

    #[tokio::test]
    async fn who_has_all_the_time_waits() {
        let waited = timeout(Duration::from_millis(50), Patience::default().wait(pending::<Result<(), Error>>())).await;
        assert!(waited.is_err());
    }
}
