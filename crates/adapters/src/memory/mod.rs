//! The repository in one process: the reference of the contract, and the ground that fast tests stand on.
//!
//! * [`Memory`]: what callers hold; its clock stands still until somebody moves it
//! * `world`: everything that is known, and how reads find it
//! * `commit`: what a change must find, and what it does then
//! * `counted`: what is counted from release to release, and what was taken back
//! * `keys`: what must be unique
//! * `jobs`, `outbox`: what is leased
//! * `idempotency`: keys of requests that may be sent again
//! * `queries`, `books`: pages and sums

mod books;
mod commit;
mod counted;
mod idempotency;
mod jobs;
mod keys;
mod outbox;
mod queries;
mod repository;
mod world;

use app::ports::{Clock, StoreError};
use async_trait::async_trait;
use domain::timestamp::Timestamp;
use jobs::JobRow;
pub use jobs::JobStands;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use world::World;

/// 2026-01-01T00:00:00Z, in microseconds.
const START_UNIX_MICROS: i64 = 1_767_225_600_000_000;

/// State, jobs, outbox, pages and clock of one process. What is in it ends with it.
#[derive(Debug)]
pub struct Memory {
    world: Mutex<World>,
    /// Told whenever a job may have become due.
    work: Notify,
}

impl Default for Memory {
    /// Empty, at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        let world = World { now: Timestamp::from_unix_micros(START_UNIX_MICROS), ..World::default() };
        Self { world: Mutex::new(world), work: Notify::new() }
    }
}

/// Another world that goes on by itself from here: whoever tries everything that may happen next needs many.
impl Clone for Memory {
    fn clone(&self) -> Self {
        Self { world: Mutex::new(self.world().clone()), work: Notify::new() }
    }
}

impl Memory {
    /// How every job stands, the first made first.
    pub fn jobs(&self) -> Vec<JobStands> {
        self.world().jobs.values().map(JobRow::stands).collect()
    }

    /// Moves the clock forward. It does not move otherwise.
    pub fn advance(&self, by: Duration) {
        let mut world = self.world();
        world.now = world.now.after(by);
        self.tell_of_work(&mut world);
    }

    /// A change is checked before it is applied, so a panic elsewhere leaves a world that can be used.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_of_work(&self, world: &mut World) {
        world.work_told += 1;
        self.work.notify_waiters();
    }
}

#[async_trait]
impl Clock for Memory {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.world().now)
    }

    fn steady(&self) -> Duration {
        self.world().now.since(Timestamp::from_unix_micros(START_UNIX_MICROS))
    }
}
