//! Places at which the process can be made to die, for tests. A release binary has none of this.
//!
//! Every await of the execution path is a call of a port. So the ports are wrapped, in the composition root, and no use
//! case knows of it. A point is named `caller.port.method.moment`: who calls (`worker` or `api`), what is called, and
//! whether the call is not passed on yet (`before`) or its answer not handed back yet (`after`), as in
//! `worker.repository.commit.after`.
//!
//! * `DISBURSE_CRASH_AT=POINT:N`: the process is killed (SIGKILL) when it comes to that point for the `N`th time.
//! * `DISBURSE_PAUSE_AT=POINT:N`: it is stopped there (SIGSTOP), until somebody lets it go on (SIGCONT).
//! * `DISBURSE_CRASH_LOG=FILE`: each point the process comes to is a line of that file.
//! * `disburse failpoints`, not shown in the help, lists every point.

use crate::compose::Service;
use app::{
    change::{BatchInputs, Change, PaidDestination, PolicyVersion, Resolution, Stored},
    failure::Detail,
};
use app::{
    idempotency::{Claim, IdempotencyKey},
    job::{Claimed, Lease},
    ports::{
        Clock, CommitError, EventPublisher, IdempotencyKeys, JobQueue, Outbox, PayoutRail, PayoutRepository,
        PublishError, Rails, SimulatorNotifications, StoreError,
        idempotency::Claiming,
        rail::{
            BookEntry, Class, Inbound, IngestError, Listed, Lookup, Notification, Order, Preflight, PrepareError,
            RailDown, RailEvent, RailProfile, Recall, Submit,
        },
        repository::{Basis, BatchForExecution, BatchForReversal, InForce, Raise, StoredCounter, Wanted},
    },
};
use async_trait::async_trait;
use domain::{
    batch::{Batch, BatchLine, Fingerprint},
    counter::CounterKey,
    event::Event,
    ids::{BatchId, EscrowId, EventId, InstructionId, ItemId, ProjectId, RecipientId, ReversalId},
    instruction::Instruction,
    recipient::{Destination, RailId, Recipient},
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine},
    timestamp::Timestamp,
};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Where to die.
const CRASH_VARIABLE: &str = "DISBURSE_CRASH_AT";
/// Where to stand still.
const PAUSE_VARIABLE: &str = "DISBURSE_PAUSE_AT";
/// Where to write the points that were come to.
const LOG_VARIABLE: &str = "DISBURSE_CRASH_LOG";
const WORKER: &str = "worker";
const API: &str = "api";

/// Wraps a port: each of its awaited methods has a point before it and one after it. What is not awaited is passed on
/// as it is written in the second block.
macro_rules! with_points {
    ($(#[$doc:meta])* $wrapper:ident of $port:ident as $name:literal {
        $($method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+
    } { $($passed_on:item)* }) => {
        $(#[$doc])*
        struct $wrapper {
            inner: Arc<dyn $port>,
            at: Caller,
        }

        impl $wrapper {
            const METHODS: &[&str] = &[$(concat!($name, ".", stringify!($method))),+];
        }

        #[async_trait]
        impl $port for $wrapper {
            $(async fn $method(&self, $($argument: $kind),*) -> $answer {
                self.at.reaches(concat!($name, ".", stringify!($method), ".before"));
                let answer = self.inner.$method($($argument),*).await;
                self.at.reaches(concat!($name, ".", stringify!($method), ".after"));
                answer
            })+
            $($passed_on)*
        }
    };
}

with_points! {
    /// Where batches are kept.
    Repository of PayoutRepository as "repository" {
        batch_by_escrow(escrow: &EscrowId) -> Result<Option<Batch>, StoreError>;
        model_in_force(project: &ProjectId, as_of: Timestamp) -> Result<InForce, StoreError>;
        basis(wanted: &Wanted) -> Result<Basis, StoreError>;
        newest_model(project: &ProjectId) -> Result<Option<ModelVersion>, StoreError>;
        recipients(ids: &[RecipientId]) -> Result<Vec<Stored<Recipient>>, StoreError>;
        batch_for_execution(batch: BatchId) -> Result<Option<BatchForExecution>, StoreError>;
        instruction(instruction: InstructionId) -> Result<Option<Stored<Instruction>>, StoreError>;
        instruction_of(rail: &RailId, wire_ref: &str) -> Result<Option<Stored<Instruction>>, StoreError>;
        taken_events(rail: &RailId, names: &[String]) -> Result<Vec<String>, StoreError>;
        recipients_paid_at(rail: &RailId, value: &str) -> Result<Vec<RecipientId>, StoreError>;
        batch_of_item(item: ItemId) -> Result<Option<BatchId>, StoreError>;
        policy() -> Result<Option<PolicyVersion>, StoreError>;
        paid_destinations(recipients: &[RecipientId]) -> Result<Vec<PaidDestination>, StoreError>;
        proposed_resolution(item: ItemId) -> Result<Option<Stored<Resolution>>, StoreError>;
        batches_to_be_paid(after: Option<BatchId>, limit: u32) -> Result<Vec<Batch>, StoreError>;
        counters(keys: &[CounterKey]) -> Result<Vec<StoredCounter>, StoreError>;
        counters_of(kind: &str, recipient: &RecipientId) -> Result<Vec<StoredCounter>, StoreError>;
        raised_by(key: &CounterKey, limit: u32) -> Result<Vec<Raise>, StoreError>;
        batch_for_reversal(batch: BatchId) -> Result<Option<BatchForReversal>, StoreError>;
        reversal(reversal: &ReversalId) -> Result<Option<(Reversal, Vec<ReversalLine>)>, StoreError>;
        batch_inputs(batch: BatchId) -> Result<Option<(BatchInputs, Vec<BatchLine>)>, StoreError>;
        batches_held_for(
            recipient: &RecipientId, after: Option<BatchId>, limit: u32
        ) -> Result<Vec<BatchId>, StoreError>;
        commit(change: Change) -> Result<(), CommitError>;
    } {}
}

with_points! {
    /// Where jobs come from.
    Queue of JobQueue as "queue" {
        claim(limit: u32, lease: Duration) -> Result<Vec<Claimed>, StoreError>;
        extend(lease: &Lease, duration: Duration) -> Result<bool, StoreError>;
        release(lease: &Lease, delay: Duration) -> Result<(), StoreError>;
        forget(age: Duration, limit: u32) -> Result<u64, StoreError>;
        wait(at_most: Duration) -> ();
    } {}
}

with_points! {
    /// What is to be published.
    Unsent of Outbox as "outbox" {
        unpublished(limit: u32, lease: Duration) -> Result<Vec<Event>, StoreError>;
        mark_published(events: &[EventId]) -> Result<(), StoreError>;
        forget(age: Duration, limit: u32) -> Result<u64, StoreError>;
    } {}
}

with_points! {
    /// Where it is published.
    Publisher of EventPublisher as "publisher" {
        publish(event: &Event) -> Result<(), PublishError>;
    } {}
}

with_points! {
    /// Which requests were answered.
    Keys of IdempotencyKeys as "keys" {
        claim(claim: &Claim, lease: Duration) -> Result<Claiming, StoreError>;
        give_up(claim: &Claim) -> Result<(), StoreError>;
        answered_for(operation: &str, key: &IdempotencyKey) -> Result<Option<Fingerprint>, StoreError>;
        forget(age: Duration, limit: u32) -> Result<u64, StoreError>;
    } {}
}

with_points! {
    /// What the simulator has to tell.
    Notifications of SimulatorNotifications as "notifications" {
        due_notifications(limit: u32) -> Result<Vec<Notification>, RailDown>;
        mark_delivered(id: &str) -> Result<(), RailDown>;
        mark_failed(id: &str) -> Result<(), RailDown>;
    } {}
}

with_points! {
    /// Time.
    Watch of Clock as "clock" {
        now() -> Result<Timestamp, StoreError>;
    } {
        fn steady(&self) -> Duration {
            self.inner.steady()
        }
    }
}

with_points! {
    /// Where money goes out.
    Rail of PayoutRail as "rail" {
        preflight(destination: &Destination) -> Preflight;
        submit(instruction: &Instruction) -> Submit;
        query(instruction: &Instruction) -> Lookup;
        recall(instruction: &Instruction, items: &[ItemId]) -> Recall;
        list(since: Timestamp, cursor: Option<String>) -> Result<Listed, RailDown>;
        book(after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown>;
    } {
        fn profile(&self) -> RailProfile {
            self.inner.profile()
        }
        fn check(&self, destination: &Destination) -> Result<(), Vec<Detail>> {
            self.inner.check(destination)
        }
        fn prepare(&self, key: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError> {
            self.inner.prepare(key, orders)
        }
        fn class_of(&self, reason: &str) -> Option<Class> {
            self.inner.class_of(reason)
        }
        fn ingest(&self, message: &Inbound) -> Result<Vec<RailEvent>, IngestError> {
            self.inner.ingest(message)
        }
    }
}

/// Who comes to points.
#[derive(Clone)]
struct Caller {
    name: &'static str,
    points: Arc<Points>,
}

impl Caller {
    fn reaches(&self, point: &str) {
        self.points.reached(&format!("{}.{point}", self.name));
    }

    fn rails(&self, rails: &Rails) -> Rails {
        let wrap = |inner: &Arc<dyn PayoutRail>| {
            Arc::new(Rail { inner: Arc::clone(inner), at: self.clone() }) as Arc<dyn PayoutRail>
        };
        let Some(default) = rails.get(rails.default_id()) else { return rails.clone() };
        Rails::new(wrap(default), rails.all().map(wrap))
    }
}

/// A point, and how often it was come to.
type Moment = (String, u64);

/// What happens where, and how often each point was come to.
struct Points {
    deadly: Option<Moment>,
    pause: Option<Moment>,
    log: Option<File>,
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Points {
    /// Nothing, unless the environment asks for it. What it asks for must make sense, or a test would prove nothing.
    fn asked_for() -> Option<Self> {
        let (deadly, pause, log) = (moment(CRASH_VARIABLE), moment(PAUSE_VARIABLE), named(LOG_VARIABLE));
        if deadly.is_none() && pause.is_none() && log.is_none() {
            return None;
        }
        let log = log.map(|path| {
            let opened = OpenOptions::new().create(true).append(true).open(&path);
            opened.unwrap_or_else(|error| give_up(&format!("{LOG_VARIABLE}: {path}: {error}")))
        });
        Some(Self { deadly, pause, log, counts: Mutex::default() })
    }

    fn reached(&self, point: &str) {
        let n = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let n = counts.entry(point.to_owned()).or_default();
            *n += 1;
            *n
        };
        if let Some(mut log) = self.log.as_ref() {
            let _ = log.write_all(format!("{point}\n").as_bytes());
        }
        let is_now = |moment: &Option<Moment>| moment.as_ref().is_some_and(|(at, of)| at == point && *of == n);
        if is_now(&self.deadly) {
            die(point, n);
        }
        if is_now(&self.pause) {
            eprintln!("disburse: pauses at {point}:{n}");
            signal("STOP");
            stands_still();
            eprintln!("disburse: goes on from {point}:{n}");
        }
    }
}

/// What a variable says, if it says anything.
fn named(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The point and the count that a variable names.
fn moment(variable: &str) -> Option<Moment> {
    let text = named(variable)?;
    let read = text.rsplit_once(':').and_then(|(point, n)| Some((point.to_owned(), n.parse().ok()?)));
    let known = read.filter(|(point, n)| *n > 0 && all().contains(point));
    Some(known.unwrap_or_else(|| give_up(&format!("{variable}: `{text}` is no point and count"))))
}

fn give_up(why: &str) -> ! {
    eprintln!("disburse: {why}");
    std::process::exit(2)
}

/// Ends the process as `kill -9` does: nothing is told, nothing is given back. Whoever came here goes no further.
fn die(point: &str, n: u64) -> ! {
    eprintln!("disburse: dies at {point}:{n}");
    signal("KILL");
    // Without `kill` no destructor runs, either; the test sees the other signal.
    std::process::abort()
}

/// Sends this process a signal. The program is used because a call of the system would be `unsafe`.
fn signal(name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &std::process::id().to_string()]).status();
    if !sent.is_ok_and(|status| status.success()) {
        eprintln!("disburse: `kill -{name}` does not work here");
    }
}

/// Returns once the process was stopped and goes on. `kill` is done as soon as the signal waits, which any thread of ours
/// may take, and on a busy machine late: until then this one would go on, into what it was to stop before. From the moment
/// that it is taken nobody comes back from the kernel, this thread neither.
fn stands_still() {
    const STOP: u32 = 19;
    let waits = |status: String| {
        let signals = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).map(str::trim);
        signals.and_then(|set| u64::from_str_radix(set, 16).ok()).is_some_and(|set| set & 1 << (STOP - 1) != 0)
    };
    while std::fs::read_to_string("/proc/self/status").is_ok_and(waits) {
        std::thread::yield_now();
    }
}

/// Every point there is.
pub fn all() -> Vec<String> {
    let of_both = [Repository::METHODS, Keys::METHODS, Watch::METHODS, Rail::METHODS];
    let of_the_worker = [Queue::METHODS, Unsent::METHODS, Publisher::METHODS, Notifications::METHODS];
    let named = |caller: &'static str, ports: &[&[&str]]| -> Vec<String> {
        let methods: Vec<&str> = ports.iter().flat_map(|methods| methods.iter().copied()).collect();
        methods.iter().flat_map(|method| ["before", "after"].map(|at| format!("{caller}.{method}.{at}"))).collect()
    };
    let mut points = named(WORKER, &of_the_worker);
    points.extend(named(WORKER, &of_both));
    points.extend(named(API, &of_both));
    points
}

/// The service with points in it, if the environment asks for them; else as it was.
pub fn over(mut service: Service) -> Service {
    let Some(points) = Points::asked_for() else { return service };
    let points = Arc::new(points);
    let at = Caller { name: API, points: Arc::clone(&points) };
    service.repository = Arc::new(Repository { inner: service.repository, at: at.clone() });
    service.keys = Arc::new(Keys { inner: service.keys, at: at.clone() });
    service.rails = at.rails(&service.rails);
    service.clock = Arc::new(Watch { inner: service.clock, at });

    let at = Caller { name: WORKER, points };
    let worker = &mut service.worker;
    worker.repository = Arc::new(Repository { inner: Arc::clone(&worker.repository), at: at.clone() });
    worker.queue = Arc::new(Queue { inner: Arc::clone(&worker.queue), at: at.clone() });
    worker.outbox = Arc::new(Unsent { inner: Arc::clone(&worker.outbox), at: at.clone() });
    worker.keys = Arc::new(Keys { inner: Arc::clone(&worker.keys), at: at.clone() });
    worker.publisher = Arc::new(Publisher { inner: Arc::clone(&worker.publisher), at: at.clone() });
    worker.notifications = worker
        .notifications
        .take()
        .map(|inner| Arc::new(Notifications { inner, at: at.clone() }) as Arc<dyn SimulatorNotifications>);
    worker.rails = at.rails(&worker.rails);
    worker.clock = Arc::new(Watch { inner: Arc::clone(&worker.clock), at });
    service
}
