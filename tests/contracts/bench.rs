//! What a promise is tried on.

use crate::harness::databases::{self, PostgresDatabase};
use adapters::{memory::Memory, sql::Sql};
use app::{
    change::{Change, Stored},
    job::Claimed,
    ports::{Clock, IdempotencyKeys, JobQueue, Outbox, PayoutQueries, PayoutRepository, repository::BatchForExecution},
};
use async_trait::async_trait;
use domain::{event::Event, ids::BatchId, instruction::Instruction, timestamp::Timestamp};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

/// How long things are leased in these tests: much longer than a test takes.
pub const LEASE: Duration = Duration::from_secs(60);
/// How long time is moved to be sure that a lease ran out.
pub const PAST_LEASE: Duration = Duration::from_secs(61);

/// An empty store of some adapter, and a hand on its time.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The adapter, port by port.
    fn ports(&self) -> Ports;
    /// Lets time pass.
    async fn pass(&self, time: Duration);
}

/// One adapter, port by port.
#[derive(Clone)]
pub struct Ports {
    /// Loads and commits.
    pub repository: Arc<dyn PayoutRepository>,
    /// Hands out jobs.
    pub jobs: Arc<dyn JobQueue>,
    /// Hands out events.
    pub outbox: Arc<dyn Outbox>,
    /// Knows which requests were answered.
    pub keys: Arc<dyn IdempotencyKeys>,
    /// Answers pages.
    pub queries: Arc<dyn PayoutQueries>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Ports {
    /// Everything that one value can do.
    pub fn of<T>(adapter: Arc<T>) -> Self
    where
        T: PayoutRepository + JobQueue + Outbox + IdempotencyKeys + PayoutQueries + Clock + 'static,
    {
        Self {
            repository: adapter.clone(),
            jobs: adapter.clone(),
            outbox: adapter.clone(),
            keys: adapter.clone(),
            queries: adapter.clone(),
            clock: adapter,
        }
    }

    /// Now.
    pub async fn now(&self) -> Timestamp {
        self.clock.now().await.unwrap()
    }
    /// Commits what must be accepted.
    pub async fn commit(&self, change: Change) {
        self.repository.commit(change).await.expect("the change is accepted");
    }
    /// A batch that exists.
    pub async fn load(&self, batch: BatchId) -> BatchForExecution {
        self.repository.batch_for_execution(batch).await.unwrap().expect("the batch exists")
    }
    /// The only unresolved instruction of a batch.
    pub async fn sent(&self, batch: BatchId) -> Stored<Instruction> {
        let mut unresolved = self.load(batch).await.unresolved;
        assert_eq!(unresolved.len(), 1);
        unresolved.remove(0)
    }
    /// Every job that is due.
    pub async fn claim_all(&self) -> Vec<Claimed> {
        self.jobs.claim(1000, LEASE).await.unwrap()
    }
    /// The only job that is due.
    pub async fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim_all().await;
        assert_eq!(claimed.len(), 1, "one job is due: {claimed:?}");
        claimed.remove(0)
    }
    /// That nothing is due.
    pub async fn assert_no_job(&self) {
        assert_eq!(self.claim_all().await, []);
    }
    /// Every event that may be published.
    pub async fn events(&self) -> Vec<Event> {
        self.outbox.unpublished(1000, LEASE).await.unwrap()
    }
}

/// The reference.
pub struct InMemory(Arc<Memory>);

#[async_trait]
impl Bench for InMemory {
    fn ports(&self) -> Ports {
        Ports::of(self.0.clone())
    }
    async fn pass(&self, time: Duration) {
        self.0.advance(time);
    }
}

/// A database, and what must outlive the test.
pub struct InSql<Keep> {
    sql: Sql,
    _keep: Keep,
}

#[async_trait]
impl<Keep: Send + Sync> Bench for InSql<Keep> {
    fn ports(&self) -> Ports {
        Ports::of(Arc::new(self.sql.clone()))
    }
    async fn pass(&self, time: Duration) {
        self.sql.advance_clock(time).await.expect("the clock can be moved");
    }
}

/// An empty world in this process.
pub async fn memory() -> InMemory {
    InMemory(Arc::default())
}

/// An empty SQLite file.
pub async fn sqlite() -> InSql<TempDir> {
    let (sql, folder) = databases::sqlite().await;
    InSql { sql, _keep: folder }
}

/// An empty PostgreSQL database.
pub async fn postgres() -> InSql<PostgresDatabase> {
    let (sql, database) = databases::postgres().await;
    InSql { sql, _keep: database }
}
