//! Jobs: ready or done, and leased while they are done.

use super::{Memory, world::World};
use app::{
    job::{Claimed, Job, Lease, LeaseStep},
    ports::{JobQueue, StoreError},
};
use async_trait::async_trait;
use domain::{ids::JobId, timestamp::Timestamp};
use std::time::Duration;

/// A job, and who has it.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    /// Its `run_at` is when it is due; under a lease, when the lease runs out.
    job: Job,
    done: bool,
    /// When it was done last.
    done_at: Timestamp,
    leased: bool,
    woken: bool,
    attempt: u32,
}

/// How a job stands, for whoever compares worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobStands {
    /// Which job.
    pub id: JobId,
    /// When it is due; under a lease, when the lease runs out.
    pub run_at: Timestamp,
    /// Whether there is nothing to do any more.
    pub is_done: bool,
    /// Whether somebody claimed it and has not given it back.
    pub is_leased: bool,
    /// Whether somebody woke it meanwhile.
    pub is_woken: bool,
    /// How often it was claimed.
    pub attempt: u32,
}

impl JobRow {
    pub(super) fn stands(&self) -> JobStands {
        let Self { job, done, done_at: _, leased, woken, attempt } = self;
        JobStands {
            id: job.id,
            run_at: job.run_at,
            is_done: *done,
            is_leased: *leased,
            is_woken: *woken,
            attempt: *attempt,
        }
    }
    pub(super) fn new(job: Job) -> Self {
        Self { job, done: false, done_at: Timestamp::from_unix_micros(0), leased: false, woken: false, attempt: 0 }
    }

    /// One that was forgotten and is woken. A claim a second is more than there ever were: so nobody had such an attempt.
    fn anew(job: Job, now: Timestamp) -> Self {
        let attempt = u32::try_from(now.unix_micros() / 1_000_000).unwrap_or(0);
        Self { attempt, ..Self::new(job) }
    }

    /// Whether the claimer with that attempt still has it. A lease that ran out is lost, claimed anew or not.
    pub(super) fn is_held(&self, attempt: u32, now: Timestamp) -> bool {
        self.is_leased(now) && self.attempt == attempt
    }
    fn is_leased(&self, now: Timestamp) -> bool {
        !self.done && self.leased && self.job.run_at > now
    }
    fn is_due(&self, now: Timestamp) -> bool {
        !self.done && self.job.run_at <= now
    }

    fn claim(&mut self, until: Timestamp) -> Claimed {
        self.job.run_at = until;
        self.leased = true;
        self.woken = false;
        self.attempt += 1;
        Claimed { lease: Lease { job: self.job.id, attempt: self.attempt }, kind: self.job.kind.clone() }
    }

    fn due_at(&mut self, at: Timestamp) {
        self.job.run_at = at;
        self.leased = false;
        self.done = false;
    }

    /// There is something to do again: never earlier than the one who has it gives it back.
    fn wake(&mut self, at: Timestamp, now: Timestamp) {
        if self.is_leased(now) {
            self.woken = true;
        } else if self.done {
            self.due_at(at);
        } else {
            self.due_at(at.min(self.job.run_at));
        }
    }

    fn finish(&mut self, now: Timestamp) {
        if self.woken {
            self.due_at(now);
        } else {
            self.done = true;
            self.done_at = now;
            self.leased = false;
        }
    }

    fn again(&mut self, at: Timestamp, now: Timestamp) {
        self.due_at(if self.woken { now } else { at });
    }
}

impl World {
    /// Does with a lease what the commit under it says. The lease was checked before.
    pub(super) fn step_lease(&mut self, step: LeaseStep) {
        let now = self.now;
        match step {
            LeaseStep::Keep(_) => {}
            LeaseStep::Finish(lease) => self.with_job(lease.job, |job| job.finish(now)),
            LeaseStep::Again(lease, at) => self.with_job(lease.job, |job| job.again(at, now)),
        }
    }

    /// There is something to do again, whatever became of it.
    pub(super) fn wake(&mut self, job: Job) {
        let now = self.now;
        match self.jobs.get_mut(&job.id) {
            Some(row) => row.wake(job.run_at, now),
            None => {
                self.jobs.insert(job.id, JobRow::anew(job, now));
            }
        }
    }

    fn forget_jobs(&mut self, age: Duration, limit: u32) -> u64 {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let old = self.jobs.iter().filter(|(_, job)| job.done && job.done_at.after(age) < self.now);
        let old: Vec<JobId> = old.map(|(id, _)| *id).take(limit).collect();
        for id in &old {
            self.jobs.remove(id);
        }
        old.len() as u64
    }

    fn with_job(&mut self, id: JobId, step: impl FnOnce(&mut JobRow)) {
        if let Some(job) = self.jobs.get_mut(&id) {
            step(job);
        }
    }

    /// The job of a lease, unless it was lost.
    fn held(&mut self, lease: &Lease) -> Option<&mut JobRow> {
        let now = self.now;
        self.jobs.get_mut(&lease.job).filter(|job| job.is_held(lease.attempt, now))
    }

    fn claim(&mut self, limit: u32, lease: Duration) -> Vec<Claimed> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (now, until) = (self.now, self.now.after(lease));
        let mut due: Vec<&mut JobRow> = self.jobs.values_mut().filter(|job| job.is_due(now)).collect();
        due.sort_by_key(|job| (job.job.run_at, job.job.id));
        let claimed: Vec<Claimed> = due.into_iter().take(limit).map(|job| job.claim(until)).collect();
        if claimed.len() < limit {
            // A full hand leaves open whether there was more.
            self.work_seen = self.work_told;
        }
        claimed
    }
}

#[async_trait]
impl JobQueue for Memory {
    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Claimed>, StoreError> {
        Ok(self.world().claim(limit, lease))
    }

    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<bool, StoreError> {
        let mut world = self.world();
        let until = world.now.after(duration);
        Ok(world.held(lease).map(|job| job.job.run_at = until).is_some())
    }

    async fn release(&self, lease: &Lease, delay: Duration) -> Result<(), StoreError> {
        let mut world = self.world();
        let at = world.now.after(delay);
        if let Some(job) = world.held(lease) {
            job.due_at(at);
            self.tell_of_work(&mut world);
        }
        Ok(())
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        Ok(self.world().forget_jobs(age, limit))
    }

    async fn wait(&self, at_most: Duration) {
        // Listens before it looks: what is committed in between wakes it.
        let told = self.work.notified();
        let nothing_new = {
            let world = self.world();
            world.work_seen == world.work_told
        };
        if nothing_new {
            // Either way there may be work now.
            let _ = tokio::time::timeout(at_most, told).await;
        }
    }
}
