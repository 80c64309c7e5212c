//! The worker's timers and signals. What it does in a turn are use cases in `app`.

use app::{
    events::relay_events::relay_events,
    idempotency::forget_old_keys::forget_old_keys,
    payouts::{
        do_jobs::do_jobs, execute_batch::Ports, gate::Gates, hear_simulator::hear_the_simulator,
        receive_notification::Ears,
    },
    ports::{
        Clock, Dice, EventPublisher, IdempotencyKeys, Ids, JobQueue, Outbox, PayoutRepository, Rails,
        SimulatorNotifications,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long a job is ours. Calls to a rail are shorter.
const JOB_LEASE: Duration = Duration::from_secs(15);
/// Jobs done side by side.
const JOBS_AT_ONCE: u32 = 8;
/// The net under the wake-up: how long a job of another process waits at most.
const JOB_POLL: Duration = Duration::from_millis(500);
/// How long events are ours while they are delivered.
const EVENT_LEASE: Duration = Duration::from_secs(30);
/// Events delivered in one turn.
const EVENTS_AT_ONCE: u32 = 256;
/// How often the outbox is looked at.
const EVENT_POLL: Duration = Duration::from_millis(250);
/// How often the simulator inside this process is asked for what it has to tell.
const NOTIFICATION_POLL: Duration = Duration::from_millis(250);
/// How often old idempotency keys are forgotten.
const KEYS_PAUSE: Duration = Duration::from_secs(3_600);
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
}

impl Worker {
    /// Works until told to stop. What is in flight then is finished, so every lease is given back.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        tokio::join!(
            self.do_jobs(stop.clone()),
            self.relay_events(stop.clone()),
            self.hear_the_simulator(stop.clone()),
            self.forget_keys(stop),
        );
    }

    async fn do_jobs(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let ports = Ports {
                repository: self.repository.as_ref(),
                rails: &self.rails,
                gates: &self.gates,
                ids: self.ids.as_ref(),
                dice: self.dice.as_ref(),
                clock: self.clock.as_ref(),
                // Said by each turn, from before its claim.
                lease_ends: Duration::ZERO,
            };
            match do_jobs(ports, self.queue.as_ref(), JOBS_AT_ONCE, JOB_LEASE).await {
                Ok(0) => unless_stopped(&mut stop, self.queue.wait(JOB_POLL)).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = ?error, "cannot claim jobs; trying again");
                    unless_stopped(&mut stop, tokio::time::sleep(TROUBLE)).await;
                }
            }
        }
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

    async fn forget_keys(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = forget_old_keys(self.keys.as_ref()).await {
                tracing::warn!(error = ?error, "cannot forget old idempotency keys; trying again in an hour");
            }
            unless_stopped(&mut stop, tokio::time::sleep(KEYS_PAUSE)).await;
        }
    }
}

async fn unless_stopped(stop: &mut watch::Receiver<bool>, wait: impl Future<Output = ()>) {
    tokio::select! {
        () = wait => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
