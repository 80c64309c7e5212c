//! How soon work goes on after a worker was killed, as the jobs themselves say.

use crate::harness::sql::{connect, value};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// How soon a new worker does something, and how soon each job that the dead one had is taken up: the lease of a job
/// (15 s) and 5 seconds.
const RESUMED_WITHIN: Duration = Duration::from_secs(15 + 5);

/// A job, and the how manieth to have it.
type Hold = (String, i64);

/// Watches the jobs.
pub struct Watch {
    shared: Arc<Shared>,
    jobs: Jobs,
    looking: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Restarts after which nothing was claimed yet, with what was claimed before.
    idle: Mutex<Vec<(Instant, i64)>>,
    resumed: Mutex<Vec<Duration>>,
    /// What was in somebody's hands when they died, and when somebody was there again.
    abandoned: Mutex<BTreeMap<Hold, Instant>>,
    taken_up: Mutex<Vec<Duration>>,
}

/// What a dead worker has left.
pub struct Left {
    held: BTreeSet<Hold>,
    claims: i64,
}

impl Left {
    /// In that database, by a worker that was killed just now.
    pub async fn of(database_url: &str) -> Self {
        Jobs::of(database_url).await.left().await
    }

    /// Whether it had any job in its hands.
    pub fn is_something(&self) -> bool {
        !self.held.is_empty()
    }
}

/// How soon.
#[derive(Debug)]
#[expect(dead_code, reason = "they are printed")]
pub struct Figures {
    /// From a restart of the worker until it claims something: half of them within this.
    resumed_median: Duration,
    /// And all of them.
    resumed_max: Duration,
    /// Jobs that were in a dead worker's hands.
    pub jobs_abandoned: usize,
    /// From the restart until such a job is taken up: half of them within this.
    taken_up_median: Duration,
    /// And all of them.
    taken_up_max: Duration,
}

impl Watch {
    /// Begins to look. How many batches are on their way is told all the time.
    pub async fn start(database_url: &str, gauge: impl Fn(usize) + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let (ours, jobs) = (Arc::clone(&shared), Jobs::of(database_url).await);
        let looking = tokio::spawn(async move {
            loop {
                gauge(jobs.waiting().await);
                ours.look(&jobs.left().await);
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { shared, jobs: Jobs::of(database_url).await, looking }
    }

    /// What a worker has left that was killed just now.
    pub async fn left(&self) -> Left {
        self.jobs.left().await
    }

    /// Another one is there from now on.
    pub fn restarted(&self, left: Left) {
        let now = Instant::now();
        lock(&self.shared.idle).push((now, left.claims));
        lock(&self.shared.abandoned).extend(left.held.into_iter().map(|hold| (hold, now)));
    }

    /// Waits until all of it is taken up. None of it took longer than it may.
    pub async fn end(self) -> Figures {
        while !lock(&self.shared.abandoned).is_empty() || !lock(&self.shared.idle).is_empty() {
            tokio::time::sleep(LOOK).await;
            assert!(!self.looking.is_finished(), "nobody looks any more");
        }
        self.looking.abort();
        let sorted = |spans: &Mutex<Vec<Duration>>| {
            let mut spans = std::mem::take(&mut *lock(spans));
            spans.sort_unstable();
            spans
        };
        let (resumed, taken_up) = (sorted(&self.shared.resumed), sorted(&self.shared.taken_up));
        let median = |spans: &[Duration]| spans.get(spans.len() / 2).copied().unwrap_or_default();
        let longest = |spans: &[Duration]| spans.last().copied().unwrap_or_default();
        Figures {
            resumed_median: median(&resumed),
            resumed_max: longest(&resumed),
            jobs_abandoned: taken_up.len(),
            taken_up_median: median(&taken_up),
            taken_up_max: longest(&taken_up),
        }
    }
}

impl Shared {
    fn look(&self, Left { held, claims }: &Left) {
        let now = Instant::now();
        lock(&self.idle).retain(|(since, before)| {
            let took = now - *since;
            assert!(took <= RESUMED_WITHIN, "nothing is claimed {took:?} after a restart");
            if claims > before {
                lock(&self.resumed).push(took);
            }
            claims == before
        });
        lock(&self.abandoned).retain(|hold, since| {
            let took = now - *since;
            assert!(took <= RESUMED_WITHIN, "nobody has taken up {hold:?} in {took:?}");
            let is_left = held.contains(hold);
            if !is_left {
                lock(&self.taken_up).push(took);
            }
            is_left
        });
    }
}

/// The table of jobs, over a connection of its own.
struct Jobs(DatabaseConnection);

impl Jobs {
    async fn of(database_url: &str) -> Self {
        Self(connect(database_url).await)
    }

    /// Those in somebody's hands, and how often any was claimed. A lease that ran out is held until somebody else claims
    /// the job.
    async fn left(&self) -> Left {
        let name = if self.0.get_database_backend() == DbBackend::Sqlite { "hex(id)" } else { "id::text" };
        let sql = format!("SELECT {name}, CAST(attempt AS BIGINT) FROM jobs WHERE state = 'ready' AND leased");
        let statement = Statement::from_string(self.0.get_database_backend(), sql);
        let rows = self.0.query_all_raw(statement).await.expect("the jobs can be read");
        let held =
            rows.iter().map(|row| (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap())).collect();
        let claims = value(&self.0, "SELECT CAST(coalesce(sum(attempt), 0) AS BIGINT) FROM jobs").await;
        Left { held, claims }
    }

    /// How many are due and in nobody's hands: those of a dead worker keep nobody from going on.
    async fn waiting(&self) -> usize {
        let now = match self.0.get_database_backend() {
            DbBackend::Sqlite => "unixepoch('subsec') * 1000000",
            _ => "extract(epoch FROM clock_timestamp()) * 1000000",
        };
        let sql = format!("SELECT count(*) FROM jobs WHERE state = 'ready' AND NOT leased AND run_at <= {now}");
        usize::try_from(value::<i64>(&self.0, &sql).await).expect("a count")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
