//! Other processes are told that there is something to claim, and heard when they tell so: `NOTIFY` and `LISTEN` of
//! `PostgreSQL`. It is a hint: what is lost is found by polling.
//!
//! Nothing is notified in a transaction that writes: those that do commit one after the other, in the whole database.

use super::{WAIT_MAX, dialect::Dialect, limited::Limited, work::Work};
use sea_orm::{
    ConnectionTrait, DatabaseConnection,
    sqlx::{
        Error, Executor,
        postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    },
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{sleep, timeout},
};

/// Where it is told.
const CHANNEL: &str = "disburse_work";
/// The connection that listens, as the database shows it.
const LISTENER: &str = "disburse listener";
/// The least time between two cries, and between two rings for what was heard: hundreds of commits in a second are not
/// as many looks of every worker.
const GAP: Duration = Duration::from_millis(10);
/// How long to wait before listening again.
const PAUSE: Duration = Duration::from_secs(1);
/// A listener that heard nothing for so long is tried: one whose connection is dead, and who was not told so, hears
/// nothing for ever.
const QUIET: Duration = Duration::from_secs(30);

/// This process among those that share the database. What it does beside ends with this value.
pub(super) struct Neighbours {
    /// How to connect to the database.
    options: Arc<PgConnectOptions>,
    /// By which it knows its own cries.
    name: Arc<str>,
    work: Arc<Work>,
    _crier: Task,
    listener: OnceLock<Task>,
}

impl Neighbours {
    /// Tells them from now on. They tell us nothing yet.
    pub(super) fn of(writer: Limited<DatabaseConnection>, work: Arc<Work>) -> Self {
        let name: Arc<str> = format!("{:032x}", rand::random::<u128>()).into();
        let options = writer.inner().get_postgres_connection_pool().connect_options();
        let crier = Task::start(cry(writer, name.clone(), work.clone()));
        Self { options, name, work, _crier: crier, listener: OnceLock::new() }
    }

    /// From now on they are heard.
    pub(super) fn listen(&self) {
        self.listener.get_or_init(|| {
            // A connection of its own: it is never given back, and those that write are few.
            let options = (*self.options).clone().application_name(LISTENER);
            Task::start(listen(options, self.name.clone(), self.work.clone()))
        });
    }
}

/// Something done beside, until this value goes.
struct Task(AbortHandle);

impl Task {
    fn start(what: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(what).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does it when it is wanted. Whatever wants it meanwhile, and for [`GAP`] afterwards, gets it once more.
async fn whenever<Done: Future<Output = ()>>(wanted: &Notify, mut act: impl FnMut() -> Done) {
    loop {
        wanted.notified().await;
        act().await;
        sleep(GAP).await;
    }
}

/// Tells the others whenever something was told here.
async fn cry(writer: Limited<DatabaseConnection>, name: Arc<str>, work: Arc<Work>) {
    let cry = || async {
        let values = [CHANNEL.into(), (*name).into()];
        let statement = Dialect::Postgres.statement("SELECT pg_notify($1, $2)", values);
        if let Err(error) = writer.execute_raw(statement).await {
            tracing::debug!(error = %error, "other processes were not told of a job; they poll");
        }
    };
    whenever(work.news(), cry).await;
}

/// Rings here whenever another process tells something.
async fn listen(options: PgConnectOptions, name: Arc<str>, work: Arc<Work>) {
    let heard = Notify::new();
    let ring = whenever(&heard, || async { work.hear() });
    tokio::join!(ring, keep_hearing(options, name, &heard));
}

/// However a listener ends, there is another one after a while.
async fn keep_hearing(options: PgConnectOptions, name: Arc<str>, heard: &Notify) {
    let mut is_told = false;
    loop {
        match in_time(listener(&options)).await {
            Ok(listener) => {
                is_told = false;
                // What was told while nobody listened.
                heard.notify_one();
                let ended = hear(listener, &name, heard).await;
                tracing::debug!(ended = ?ended, "a listener ended; another one follows");
            }
            Err(error) if !is_told => {
                is_told = true;
                tracing::warn!(error = %error, "cannot hear other processes; polling for their jobs");
            }
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}

async fn listener(options: &PgConnectOptions) -> Result<PgListener, Error> {
    let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options.clone())).await?;
    // One that is cut off is given up: not each way to lose a connection is one after which it would connect anew.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Until the connection is gone.
async fn hear(mut listener: PgListener, name: &str, heard: &Notify) -> Result<(), Error> {
    loop {
        match timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(cry))) if cry.payload() == name => {}
            Ok(Ok(Some(_))) => heard.notify_one(),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_quiet) => {
                in_time(listener.execute("SELECT 1")).await?;
            }
        }
    }
}

async fn in_time<T>(what: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(WAIT_MAX, what).await.unwrap_or(Err(Error::PoolTimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Mutex, time::Instant};
    use tokio::sync::Semaphore;

    /// Long enough for whatever would be done to be done.
    const LONG: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn what_is_told_while_one_cries_is_one_more_cry() {
        let (work, go) = (Arc::new(Work::default()), Arc::new(Semaphore::new(0)));
        let begun = Arc::new(Mutex::new(0));
        let crying = Task::start({
            let (work, go, begun) = (work.clone(), go.clone(), begun.clone());
            async move {
                let cry = || async {
                    *begun.lock().unwrap() += 1;
                    go.acquire().await.unwrap().forget();
                };
                whenever(work.news(), cry).await;
            }
        });
        let after = |expected: usize| {
            let begun = begun.clone();
            async move {
                sleep(LONG).await;
                assert_eq!(*begun.lock().unwrap(), expected);
            }
        };
        after(0).await;
        work.tell();
        after(1).await;
        // It takes its time.
        for _ in 0..100 {
            work.tell();
        }
        after(1).await;
        go.add_permits(1);
        after(2).await;
        go.add_permits(1);
        after(2).await;
        work.tell();
        after(3).await;
        drop(crying);
        go.add_permits(1);
        sleep(LONG).await;
        work.tell();
        after(3).await;
    }

    #[tokio::test]
    async fn two_cries_are_apart_and_the_first_is_at_once() {
        let (work, cries) = (Arc::new(Work::default()), Arc::new(Mutex::new(Vec::new())));
        let _crying = Task::start({
            let (work, cries) = (work.clone(), cries.clone());
            async move { whenever(work.news(), || async { cries.lock().unwrap().push(Instant::now()) }).await }
        });
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            work.tell();
            tokio::task::yield_now().await;
        }
        let cries = cries.lock().unwrap();
        assert!(cries.len() > 1, "it goes on");
        assert!(cries.windows(2).all(|two| two[1] - two[0] >= GAP), "{cries:?}");
        assert!(cries[0] - begun < LONG / 2, "nobody waits for what may come");
    }

    #[tokio::test]
    async fn what_was_heard_wakes_whoever_waits_and_is_not_told_again() {
        let work = Arc::new(Work::default());
        let waits = work.clone();
        let waiting = tokio::spawn(async move { waits.wait(100 * LONG).await });
        sleep(LONG / 10).await;
        work.hear();
        timeout(50 * LONG, waiting).await.expect("it was woken").unwrap();
        assert!(timeout(LONG, work.news().notified()).await.is_err(), "an echo");
        work.tell();
        timeout(50 * LONG, work.news().notified()).await.expect("what was told here is news");
    }
}
