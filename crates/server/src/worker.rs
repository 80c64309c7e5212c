//! The worker's timers and signals. What it does in a turn are use cases in `app`.

mod room;

use app::{
    events::{forget_old_events::forget_old_events, relay_events::relay_events},
    idempotency::forget_old_keys::forget_old_keys,
    job::Claimed,
    payouts::{
        do_jobs::do_job, execute_batch::Ports, forget_done_jobs::forget_done_jobs, gate::Gates,
        hear_simulator::hear_the_simulator, receive_notification::Ears,
    },
    ports::{
        Clock, Dice, EventPublisher, IdempotencyKeys, Ids, JobQueue, Outbox, PayoutRepository, Rails,
        SimulatorNotifications, StoreError,
    },
};
use room::{Place, Room};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

/// How long a job is ours. Calls to a rail are shorter.
const JOB_LEASE: Duration = Duration::from_secs(15);
/// The net under the wake-up: how long a job of another process waits at most, if nobody tells us of it.
const JOB_POLL: Duration = Duration::from_millis(500);
/// How long events are ours while they are delivered.
const EVENT_LEASE: Duration = Duration::from_secs(30);
/// Events delivered in one turn.
const EVENTS_AT_ONCE: u32 = 256;
/// How often the outbox is looked at.
const EVENT_POLL: Duration = Duration::from_millis(250);
/// How often the simulator inside this process is asked for what it has to tell.
const NOTIFICATION_POLL: Duration = Duration::from_millis(250);
/// How often what is old is forgotten.
const FORGET_PAUSE: Duration = Duration::from_secs(3_600);
/// How long to wait when the database cannot be used.
const TROUBLE: Duration = Duration::from_secs(1);

/// Everything the worker needs. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    /// Where batches are kept.
    pub repository: Arc<dyn PayoutRepository>,
    /// Where jobs come from.
    pub queue: Arc<dyn JobQueue>,
    /// What is to be published.
    pub outbox: Arc<dyn Outbox>,
    /// Which requests were answered.
    pub keys: Arc<dyn IdempotencyKeys>,
    /// Where it is published.
    pub publisher: Arc<dyn EventPublisher>,
    /// What the simulator inside this process has to tell, in test mode.
    pub notifications: Option<Arc<dyn SimulatorNotifications>>,
    /// Where money goes out.
    pub rails: Rails,
    /// How fast they may be called.
    pub gates: Arc<Gates>,
    /// Names.
    pub ids: Arc<dyn Ids>,
    /// Chance.
    pub dice: Arc<dyn Dice>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long what is done is kept.
    pub kept: Kept,
}

/// How long what is done is kept at least. How long idempotency keys are kept is promised to callers, and no setting.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Jobs that are done.
    pub jobs: Duration,
    /// Events that were delivered, but for alarms.
    pub events: Duration,
}

impl Worker {
    /// Works until told to stop. What is in flight then is finished, so every lease is given back.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        tokio::join!(
            self.do_jobs(stop.clone()),
            self.relay_events(stop.clone()),
            self.hear_the_simulator(stop.clone()),
            self.forget_what_is_old(stop),
        );
    }

    /// Whenever there is room, the next jobs are claimed: one whose rail does not answer keeps no other waiting.
    async fn do_jobs(&self, mut stop: watch::Receiver<bool>) {
        let (room, mut under_way) = (Arc::new(Room::default()), JoinSet::new());
        while !*stop.borrow() {
            while let Some(done) = under_way.try_join_next() {
                tell_of_a_panic(done);
            }
            let free = room.free();
            if free == 0 {
                unless_stopped(&mut stop, room.more()).await;
                continue;
            }
            // By this machine's own count, from before the claim: a lease is never longer here than the database means it.
            let lease_ends = self.clock.steady() + JOB_LEASE;
            match self.queue.claim(free, JOB_LEASE).await {
                Ok(claimed) => {
                    let is_all = claimed.len() < usize::try_from(free).unwrap_or(usize::MAX);
                    for job in claimed {
                        let (worker, place) = (self.clone(), room.take());
                        under_way.spawn(async move { worker.do_job(job, lease_ends, place).await });
                    }
                    if is_all {
                        unless_stopped(&mut stop, self.queue.wait(JOB_POLL)).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = ?error, "cannot claim jobs; trying again");
                    unless_stopped(&mut stop, tokio::time::sleep(TROUBLE)).await;
                }
            }
        }
        while let Some(done) = under_way.join_next().await {
            tell_of_a_panic(done);
        }
    }

    async fn do_job(&self, job: Claimed, lease_ends: Duration, place: Place) {
        let ports = Ports {
            repository: self.repository.as_ref(),
            rails: &self.rails,
            gates: &self.gates,
            ids: self.ids.as_ref(),
            dice: self.dice.as_ref(),
            clock: self.clock.as_ref(),
            lease_ends,
            batch_has: &|items| place.is_for(items),
        };
        do_job(ports, self.queue.as_ref(), job).await;
    }

    async fn relay_events(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match relay_events(self.outbox.as_ref(), self.publisher.as_ref(), EVENTS_AT_ONCE, EVENT_LEASE).await {
                Ok(0) => unless_stopped(&mut stop, tokio::time::sleep(EVENT_POLL)).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = ?error, "cannot deliver events; trying again");
                    unless_stopped(&mut stop, tokio::time::sleep(TROUBLE)).await;
                }
            }
        }
    }

    /// The simulator inside this process has no way to call us: what it has to tell is fetched.
    async fn hear_the_simulator(&self, mut stop: watch::Receiver<bool>) {
        let Some(notifications) = &self.notifications else { return };
        while !*stop.borrow() {
            match hear_the_simulator(notifications.as_ref(), self.ears(), self.clock.as_ref()).await {
                Ok(0) => unless_stopped(&mut stop, tokio::time::sleep(NOTIFICATION_POLL)).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = ?error, "cannot hear the simulator; trying again");
                    unless_stopped(&mut stop, tokio::time::sleep(TROUBLE)).await;
                }
            }
        }
    }

    fn ears(&self) -> Ears<'_> {
        Ears {
            repository: self.repository.as_ref(),
            rails: &self.rails,
            ids: self.ids.as_ref(),
            dice: self.dice.as_ref(),
        }
    }

    /// Each by itself: what the service may not remove keeps it from nothing else. Several processes may do so at once.
    async fn forget_what_is_old(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            tell_of_what_stays("idempotency keys", forget_old_keys(self.keys.as_ref()).await);
            tell_of_what_stays("jobs", forget_done_jobs(self.queue.as_ref(), self.kept.jobs).await);
            tell_of_what_stays("events", forget_old_events(self.outbox.as_ref(), self.kept.events).await);
            unless_stopped(&mut stop, tokio::time::sleep(FORGET_PAUSE)).await;
        }
    }
}

fn tell_of_what_stays(what: &str, forgotten: Result<u64, StoreError>) {
    match forgotten {
        Ok(0) => {}
        Ok(count) => tracing::info!(what, count, "forgot what was kept long enough"),
        Err(error) => tracing::warn!(what, error = ?error, "cannot forget what is old; trying again in an hour"),
    }
}

/// Its lease runs out, and somebody else does it.
fn tell_of_a_panic(done: Result<(), JoinError>) {
    if let Err(error) = done {
        tracing::error!(error = %error, "a job ended without an answer");
    }
}

async fn unless_stopped(stop: &mut watch::Receiver<bool>, wait: impl Future<Output = ()>) {
    tokio::select! {
        () = wait => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
