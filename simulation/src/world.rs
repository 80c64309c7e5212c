//! Everything that one run consists of.

use crate::{
    bugs::Bug,
    faults::{Fault, Faults},
    kernel::Kernel,
    laws::Law,
    oracle::Oracle,
    provider::Provider,
};
use app::ports::{Clock, Dice, Ids, StoreError};
use async_trait::async_trait;
use domain::timestamp::Timestamp;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use uuid::Uuid;

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The so-manieth worker.
    Worker(u8),
    /// The API, for a person or another service.
    Api,
    /// The API, for a rail.
    Ears,
}

impl Who {
    /// Its name in the log.
    pub fn name(self) -> String {
        match self {
            Self::Worker(number) => format!("worker {number}"),
            Self::Api => "api".to_owned(),
            Self::Ears => "ears".to_owned(),
        }
    }
}

/// Everything that one run consists of.
pub struct World {
    /// Time, chance, and what happened.
    pub kernel: Arc<Kernel>,
    /// What goes wrong.
    pub faults: Faults,
    /// What must be true.
    pub oracle: Mutex<Oracle>,
    /// Where money goes out.
    pub providers: Vec<Arc<Provider>>,
    /// What was broken on purpose.
    pub bug: Option<Bug>,
    /// Until when the database is down.
    pub store_down_until: Mutex<Duration>,
    /// Until when the database only reads.
    pub store_reads_until: Mutex<Duration>,
    /// Until when every worker is down.
    pub fleet_down_until: Mutex<Duration>,
    /// Until when nobody takes notifications.
    pub deaf_until: Mutex<Duration>,
    /// How many people must say yes, and since when; two entries while a change of it is under way.
    pub approvals: Mutex<Vec<(Duration, u32)>>,
}

impl World {
    /// Whether that happens now.
    pub fn happens(&self, fault: Fault) -> bool {
        let drawn = self.kernel.below(1_000);
        let happens = self.faults.happens(fault, drawn);
        if happens {
            self.kernel.note(|| format!("! {}", fault.as_str()));
        }
        happens
    }
    /// Whether that was broken on purpose.
    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
    /// What must be true.
    pub fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Something is not as it must be.
    pub fn violated(&self, law: Law, what: impl AsRef<str>) {
        self.kernel.note(|| format!("VIOLATION {}: {}", law.as_str(), what.as_ref()));
        self.oracle().violated(law, what);
    }
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(START_UNIX_MICROS).after(self.kernel.age())
    }
    /// Until when every worker is down.
    pub fn fleet_down_until(&self) -> Duration {
        *self.fleet_down_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Every worker dies where it is, and is down until then.
    pub fn fleet_goes_down(&self, until: Duration) {
        self.kernel.cut_power();
        self.fleet_may_start(until);
    }
    /// Every worker dies where it is, and until then there is none, and nobody who takes notifications.
    pub fn site_goes_down(&self, until: Duration) {
        self.fleet_goes_down(until);
        self.deaf_until(until);
    }
    /// Nobody takes notifications until then.
    pub fn deaf_until(&self, until: Duration) {
        *self.deaf_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
    /// Whether nobody takes notifications now.
    pub fn is_deaf(&self) -> bool {
        self.kernel.age() < *self.deaf_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Every worker that is down is so until then.
    pub fn fleet_may_start(&self, from: Duration) {
        *self.fleet_down_until.lock().unwrap_or_else(PoisonError::into_inner) = from;
    }
    /// So many people must say yes from now on.
    pub fn policy_becomes(&self, approvals: u32) {
        let age = self.kernel.age();
        self.approvals.lock().unwrap_or_else(PoisonError::into_inner).push((age, approvals));
    }
    /// How many people must have said yes to what is about to be sent: as few as any policy says that was in force a
    /// minute ago or since, for whoever sends it may have read it then.
    pub fn approvals_required(&self) -> usize {
        let since = self.kernel.age().saturating_sub(Duration::from_secs(60));
        let known = self.approvals.lock().unwrap_or_else(PoisonError::into_inner);
        let last_before = known.iter().rposition(|(at, _)| *at <= since).unwrap_or(0);
        let least = known.iter().skip(last_before).map(|(_, approvals)| *approvals).min();
        usize::try_from(least.unwrap_or(0)).unwrap_or(0)
    }
    /// Whether the database is down.
    pub fn is_store_down(&self) -> bool {
        self.kernel.age() < *self.store_down_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Whether the database takes no writes.
    pub fn is_store_read_only(&self) -> bool {
        self.is_store_down()
            || self.kernel.age() < *self.store_reads_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the clock of the memory store starts.
const START_UNIX_MICROS: i64 = 1_767_225_600_000_000;

/// Names, in the order of time.
pub struct Names(pub Arc<Kernel>);

impl Ids for Names {
    fn fresh(&self) -> Uuid {
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.0.number().to_be_bytes());
        let millis = u64::try_from(START_UNIX_MICROS / 1_000).unwrap_or(0)
            + u64::try_from(self.0.age().as_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

/// The dice of every process.
pub struct SimDice(pub Arc<Kernel>);

impl Dice for SimDice {
    fn below(&self, bound: u64) -> u64 {
        self.0.below(bound)
    }
}

/// The database's clock, and the steady one of a machine.
pub struct SimClock {
    /// The world.
    pub world: Arc<World>,
    /// When the machine was started, before the world began, and how far its clock has leapt since.
    pub up_for: Mutex<Duration>,
}

impl SimClock {
    /// The clock leaps forward, as that of a machine does that was asleep.
    pub fn leap(&self, by: Duration) {
        *self.up_for.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

#[async_trait]
impl Clock for SimClock {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        if self.world.is_store_down() {
            return Err(StoreError::Unavailable("down".to_owned()));
        }
        Ok(self.world.now())
    }
    fn steady(&self) -> Duration {
        let up_for = *self.up_for.lock().unwrap_or_else(PoisonError::into_inner);
        if self.world.has(Bug::SlowMachineClock) {
            return up_for + self.world.kernel.age() / 4;
        }
        up_for + self.world.kernel.age()
    }
}
