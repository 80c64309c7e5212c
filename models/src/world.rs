//! Everything outside of the processes: the store, the provider, the books, and what an oracle remembers.

use crate::provider::{AMOUNT_MINOR, Fate, Provider};
use adapters::memory::{JobStands, Memory};
use app::ports::{PayoutQueries, PayoutRepository, queries::BatchDetails};
use domain::{
    ids::{BatchId, InstructionId, ItemId},
    instruction::Instruction,
    item::{Item, ItemStatus},
    ledger::Transaction,
    timestamp::Timestamp,
};
use futures_util::FutureExt;
use std::{collections::BTreeMap, fmt, future::Future, time::Duration};

/// Time moves by so much.
pub const TICK: Duration = Duration::from_secs(10);
/// What is older than this, in milliseconds, is as if it were so old: every window and every bound has passed.
const OLD: i64 = 60_000;
/// The same of what only the settle bound counts for, with what it is waited for beside it.
const ARRIVED: i64 = 30_000;
/// The same of what may be hidden from questions.
const VISIBLE: i64 = 20_000;

/// Everything outside of the processes.
#[derive(Clone)]
pub struct World {
    /// The store: the reference of its contract.
    pub memory: Memory,
    /// The other end of the rail.
    pub provider: Provider,
    /// Balances of the ledger by the kind of account, in minor units.
    pub ledger: BTreeMap<&'static str, i64>,
    /// The lease that was handed out last, and when it is over: the oracle's own count.
    pub lease: Option<(u32, Timestamp)>,
    /// The one batch.
    pub batch: BatchId,
    /// Its one item.
    pub item: ItemId,
    /// Every batch that was ever booked, and of how much.
    pub booked: Vec<(BatchId, i64)>,
    /// How many names were drawn.
    pub names: u64,
    /// How much may still go wrong.
    pub faults: u8,
    /// How often somebody may still say what is not true: the provider, or people.
    pub lies: u8,
    /// How often somebody did.
    pub lied: u8,
    /// A promise that was broken.
    pub broken: Option<&'static str>,
}

/// What never waits, at once.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory store never waits")
}

impl World {
    /// Now, by the database.
    pub fn now(&self) -> Timestamp {
        use app::ports::Clock;
        at_once(self.memory.now()).expect("the memory store can be read")
    }
    /// A promise was broken; the first one counts.
    pub fn breaks(&mut self, promise: &'static str) {
        self.broken.get_or_insert(promise);
    }
    /// The batch with its history.
    pub fn details(&self) -> BatchDetails {
        at_once(self.memory.batch(self.batch)).expect("the memory store can be read").expect("the batch is there")
    }
    /// How the job of the batch stands.
    pub fn job(&self, details: &BatchDetails) -> JobStands {
        self.memory.jobs().into_iter().find(|job| job.id == details.batch.job).expect("the batch has a job")
    }
    /// Adds what was posted to the balances.
    pub fn post(&mut self, transactions: &[Transaction]) {
        for entry in transactions.iter().flat_map(Transaction::entries) {
            *self.ledger.entry(entry.account.kind()).or_default() += entry.amount_minor;
        }
    }
    /// The balance of all accounts of a kind.
    pub fn balance(&self, kind: &str) -> i64 {
        self.ledger.get(kind).copied().unwrap_or_default()
    }
    /// Whether that lease is the one that was handed out last, and goes on for so long.
    pub fn is_leased(&self, attempt: u32, span: Duration) -> bool {
        let now = self.now();
        self.lease.is_some_and(|(last, until)| last == attempt && now < until && now.after(span) <= until)
    }
    /// Whether nothing can happen any more by itself.
    pub fn rests(&self, details: &BatchDetails) -> bool {
        let is_waiting = details
            .items
            .iter()
            .any(|item| matches!(item.status(), ItemStatus::Scheduled | ItemStatus::Processing | ItemStatus::InDoubt));
        self.provider.flights.is_empty()
            && self.provider.messages.is_empty()
            && !is_waiting
            && !details.instructions.iter().any(Instruction::is_open)
    }

    /// What must be true at every moment; the first thing that is not.
    pub fn violation(&self, details: &BatchDetails) -> Option<&'static str> {
        if let Some(broken) = self.broken {
            return Some(broken);
        }
        if self.provider.executed() > 1 + i64::from(self.lied) {
            return Some("I1: paid twice, and nobody took back their word");
        }
        let outcomes = details.instructions.iter().flat_map(|instruction| &instruction.items);
        if outcomes.clone().filter(|part| part.outcome.is_live()).count() > 1 {
            return Some("I8: two live instructions");
        }
        let is_given_up = |key: InstructionId| {
            let found = details.instructions.iter().find(|instruction| instruction.id == key);
            found.is_some_and(|instruction| !instruction.items.iter().any(|part| part.outcome.is_live()))
        };
        // Once the provider has answered a key, what comes late under it does nothing.
        let is_new = |key| self.provider.transfers.iter().all(|transfer| transfer.key != key);
        let stray = self.provider.flights.iter().any(|flight| is_given_up(flight.key.0) && is_new(flight.key));
        if stray {
            return Some("I8: what was given up is still on its way");
        }
        let open = outcomes.filter(|part| part.outcome.is_open()).map(|part| part.amount_minor).sum::<i64>();
        if self.balance("in_transit") != -open {
            return Some("I2: what is on its way is not what the ledger says");
        }
        if self.rests(details) { self.violation_at_rest(details) } else { None }
    }

    /// What must be true once nothing is on its way and everything was told.
    fn violation_at_rest(&self, details: &BatchDetails) -> Option<&'static str> {
        let executed = self.provider.executed() * AMOUNT_MINOR;
        if self.balance("cash") != -executed {
            return Some("I2: the ledger is not the provider's book");
        }
        let paid = details.items.iter().filter(|item| item.status() == ItemStatus::Paid).count();
        let paid = i64::try_from(paid).unwrap_or(i64::MAX) * AMOUNT_MINOR;
        if self.balance("debt") + self.balance("carried") != executed - paid {
            return Some("I1: what was paid beyond what is owed is not a debt");
        }
        None
    }
}

/// How a process stands: where, what it had read, how long ago, and what it heard since. Of one whose lease is lost only
/// where: whatever it read, nothing comes of it, unless the rules that say so were taken away.
pub type Stands = (&'static str, Option<(u64, i64, Vec<&'static str>)>);

/// What matters of a state: how old things are, and not when they happened; which instruction, and not its name. Two
/// states of one shape have the same future.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    item: (&'static str, &'static str, u32, i64),
    instructions: Vec<(&'static str, u32, i64, i64, i64)>,
    proposed: Option<(&'static str, usize)>,
    job: (i64, bool, bool, bool),
    ledger: Vec<(&'static str, i64)>,
    transfers: Vec<(usize, u32, Fate, i64, i64)>,
    flights: Vec<(usize, u32, i64)>,
    messages: Vec<(usize, Fate)>,
    lease: Option<i64>,
    left: (u8, u8, u8),
    broken: Option<&'static str>,
    workers: Vec<Option<Stands>>,
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, instructions, transfers, flights, messages, ledger, workers, .. } = self;
        write!(f, "{item:?} {instructions:?} {transfers:?} {flights:?} {messages:?} {ledger:?} {workers:?}")
    }
}

impl Shape {
    /// Of a world, without its processes.
    pub fn of(world: &World, details: &BatchDetails) -> Self {
        let now = world.now();
        let age = |at: Timestamp| ((now.unix_micros() - at.unix_micros()) / 1_000).clamp(-OLD, OLD);
        let ahead = |at: Timestamp| (-age(at)).max(0);
        let place = |id: InstructionId| {
            details.instructions.iter().position(|instruction| instruction.id == id).unwrap_or(usize::MAX)
        };
        let item: &Item = details.items.first().expect("there is one item");
        let instruction = |instruction: &Instruction| {
            let part = instruction.items.first().expect("it pays something");
            let first = if instruction.is_open() { age(instruction.first_sent_at) } else { 0 };
            let last = if instruction.is_open() { age(instruction.last_sent_at).min(ARRIVED) } else { 0 };
            (part.outcome.as_str(), instruction.tries, first, last, part.returned_minor)
        };
        let proposed = at_once(world.memory.proposed_resolution(world.item)).expect("the memory store can be read");
        let job = world.job(details);
        let run_in = if job.is_done { 0 } else { ahead(job.run_at) };
        let transfer = |transfer: &crate::provider::Transfer| {
            let (key, each) = transfer.key;
            // How old the key is matters as long as something may still come under it.
            let is_asked_for = details.instructions.get(place(key)).is_some_and(Instruction::is_open);
            let may_come = is_asked_for || world.provider.flights.iter().any(|flight| flight.key == transfer.key);
            let left = if is_asked_for { age(transfer.left_at).min(VISIBLE) } else { 0 };
            (place(key), each, transfer.fate, left, if may_come { age(transfer.received_at) } else { 0 })
        };
        let mut messages = world.provider.messages.clone();
        messages.sort_by_key(|(place, fate)| (*place, format!("{fate:?}")));
        let hold = item.state().hold_reason().map_or("", |reason| reason.as_str());
        Self {
            item: (item.status().as_str(), hold, item.retries, item.not_before.map_or(0, ahead)),
            instructions: details.instructions.iter().map(instruction).collect(),
            proposed: proposed.map(|found| (found.value.outcome.as_str(), place(found.value.instruction))),
            job: (run_in, job.is_done, job.is_leased && run_in > 0, job.is_woken && job.is_leased),
            ledger: world.ledger.iter().map(|(kind, balance)| (*kind, *balance)).collect(),
            transfers: world.provider.transfers.iter().map(transfer).collect(),
            flights: world
                .provider
                .flights
                .iter()
                .map(|flight| (place(flight.key.0), flight.key.1, age(flight.left_at)))
                .collect(),
            messages,
            lease: world.lease.map(|(_, until)| ahead(until)),
            left: (world.faults, world.lies, world.lied),
            broken: world.broken,
            workers: Vec::new(),
        }
    }
    /// What of it a turn reads at its beginning.
    pub fn read_by_a_turn(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (&self.item, &self.instructions, &self.proposed).hash(&mut hasher);
        hasher.finish()
    }
    /// The same with the processes as they stand.
    pub fn with(mut self, workers: Vec<Option<Stands>>) -> Self {
        self.workers = workers;
        self
    }
}
