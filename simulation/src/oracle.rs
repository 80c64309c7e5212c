//! What must be true, whatever goes wrong.
//!
//! It looks at the mechanism and not only at the balances: a rail's idempotency key hides a worker that calls twice.

use crate::{
    books::{Imbalance, Incremental},
    laws::Law,
    provider::{Fate, Provider, Transfer},
    world::{Who, World},
};
use adapters::memory::Memory;
use app::{
    change::{Change, New, ResolutionState, Stored, Update},
    job::{Claimed, LeaseStep},
    ports::{
        PayoutQueries, PayoutRepository,
        queries::{Books, ItemDetails},
    },
};
use domain::{
    approval::{Approval, ApprovedItem, content_hash},
    batch::Batch,
    event::EventKind,
    ids::{BatchId, EventId, InstructionId, ItemId, JobId, Requester, ResolutionId},
    instruction::{Instruction, Outcome},
    item::{Item, ItemState, ItemStatus},
    recipient::{HoldReason, RailId},
};
use futures_util::FutureExt as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Most times that one key is submitted in ten minutes.
const SUBMITS_MAX: u32 = 120;
/// Most times that one key is asked for in ten minutes: whoever is in a batch with others that are in a hurry is asked
/// for as often as they are.
const ASKS_MAX: u32 = 700;
/// Most times that one job is begun in ten minutes.
const TURNS_MAX: u32 = 700;

/// A job that somebody has.
#[derive(Clone, Copy, Debug)]
struct Held {
    who: Who,
    attempt: u32,
    until: Duration,
    /// The ten minutes that are counted, and how often it was begun in them.
    counted: (u64, u32),
}

/// What is known of an instruction's calls.
#[derive(Clone, Debug, Default)]
struct Calls {
    items: Vec<ItemId>,
    on_the_way: u32,
    waiting: u32,
    /// The ten minutes that are counted, and how often it was submitted and asked for in them.
    counted: (u64, u32, u32),
}

impl Calls {
    fn count(&mut self, world: &World, pays: bool) {
        let slot = world.kernel.age().as_secs() / 600;
        if self.counted.0 != slot {
            self.counted = (slot, 0, 0);
        }
        if pays { self.counted.1 += 1 } else { self.counted.2 += 1 }
    }
}

/// What must be true.
#[derive(Default)]
pub struct Oracle {
    violations: Vec<String>,
    /// Ends the run at the first violation.
    halt: Arc<AtomicBool>,
    books: Incremental,
    jobs: BTreeMap<JobId, Held>,
    calls: BTreeMap<InstructionId, Calls>,
    approvals: Vec<Approval>,
    /// Codes of alarms, and the item they are about.
    pub alarms: Vec<(String, Option<ItemId>)>,
    /// Every event that was committed, and those that somebody took.
    committed: BTreeSet<EventId>,
    published: BTreeSet<EventId>,
    /// How many claims there were.
    pub claims: u64,
    /// How many calls there were.
    pub submits: u64,
    /// Every batch that was booked.
    pub batches: Vec<BatchId>,
    /// Who proposed what became of a payment.
    proposed: BTreeMap<ResolutionId, Requester>,
    /// What rails said, by its name.
    heard: BTreeSet<(RailId, String)>,
    /// Who asked for each batch.
    makers: BTreeMap<BatchId, Requester>,
    /// The names of payments of which somebody was told something that can be believed.
    credible: BTreeSet<String>,
    /// Calls that booked a release, and those that were told for certain that they did not.
    booked: BTreeSet<u64>,
    not_booked: BTreeSet<u64>,
}

/// What a change is going to replace.
pub struct Before {
    items: BTreeMap<ItemId, Option<ItemDetails>>,
    instructions: BTreeMap<InstructionId, Instruction>,
}

/// The memory store never waits.
pub fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}

fn item_of(memory: &Memory, item: ItemId) -> Option<ItemDetails> {
    at_once(memory.item(item))?.ok()?
}

/// What the ledger and everything it is compared with say.
pub fn books(memory: &Memory) -> Option<Books> {
    at_once(memory.books())?.ok()
}

impl Oracle {
    /// An oracle that ends the run by this at the first violation.
    pub fn new(halt: Arc<AtomicBool>) -> Self {
        Self { halt, ..Self::default() }
    }
    /// Something is not as it must be. The run ends with that.
    pub fn violated(&mut self, law: Law, what: impl AsRef<str>) {
        self.halt.store(true, Ordering::Relaxed);
        if self.violations.len() < 20 {
            self.violations.push(format!("{}: {}", law.as_str(), what.as_ref()));
        }
    }
    /// Everything that was not as it must be.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    // --- jobs ---------------------------------------------------------------------------------------------------

    /// Somebody was given a job. Answers whether nobody else has it.
    pub fn claimed(&mut self, world: &World, who: Who, claimed: &Claimed, until: Duration) -> bool {
        self.claims += 1;
        let slot = world.kernel.age().as_secs() / 600;
        let before = self.jobs.get(&claimed.lease.job).copied();
        let turns = before.filter(|before| before.counted.0 == slot).map_or(1, |before| before.counted.1 + 1);
        let held = Held { who, attempt: claimed.lease.attempt, until, counted: (slot, turns) };
        self.jobs.insert(claimed.lease.job, held);
        if turns == TURNS_MAX + 1 {
            let (kind, subject) = (claimed.kind.as_str(), claimed.kind.subject());
            self.violated(
                Law::NoStorm,
                format!("{kind} {subject} is begun more than {TURNS_MAX} times in ten minutes"),
            );
        }
        before.is_none_or(|before| before.attempt < held.attempt && before.until <= world.kernel.age())
    }

    fn check_lease(&mut self, world: &World, who: Who, change: &Change) {
        let age = world.kernel.age();
        let worker = matches!(who, Who::Worker(_));
        match &change.lease {
            None if worker => self.violated(Law::Leased, format!("{} wrote without a lease", who.name())),
            None => {}
            Some(step) => {
                let lease = step.lease();
                let held = self.jobs.get(&lease.job).copied();
                if held.is_none_or(|held| held.attempt != lease.attempt || held.until <= age || held.who != who) {
                    self.violated(Law::Leased, format!("{} wrote under a lost lease: {lease:?} {held:?}", who.name()));
                }
                // What is given back is nobody's.
                if !matches!(step, LeaseStep::Keep(_))
                    && let Some(held) = self.jobs.get_mut(&lease.job)
                {
                    held.until = age;
                }
            }
        }
    }
    /// A job was given back.
    pub fn released(&mut self, job: JobId, attempt: u32, age: Duration) {
        if let Some(held) = self.jobs.get_mut(&job).filter(|held| held.attempt == attempt) {
            held.until = held.until.min(age);
        }
    }

    // --- commits ------------------------------------------------------------------------------------------------

    /// What a change is going to replace.
    pub fn before(&self, world: &World, change: &Change) -> Before {
        let memory = world.kernel.memory.as_ref();
        let mut before = Before { items: BTreeMap::new(), instructions: BTreeMap::new() };
        for update in &change.update {
            match update {
                Update::Item(new) => {
                    before.items.insert(new.value.id, item_of(memory, new.value.id));
                }
                Update::Instruction(new) => {
                    let found = at_once(memory.instruction(new.value.id)).and_then(Result::ok).flatten();
                    if let Some(Stored { value, .. }) = found {
                        before.instructions.insert(value.id, value);
                    }
                }
                Update::Batch(_) | Update::Recipient(_) | Update::Resolution(_) => {}
            }
        }
        for new in &change.insert {
            if let New::Instruction(instruction) = new {
                for part in &instruction.items {
                    before.items.entry(part.item).or_insert_with(|| item_of(memory, part.item));
                }
            }
        }
        before
    }

    /// A change was applied to the store, whoever knows of it.
    pub fn booked(&mut self, change: &Change) {
        for imbalance in self.books.applied(change) {
            let (law, what) = match imbalance {
                Imbalance::Sum(what) => (Law::SumsToZero, what),
                Imbalance::Allocation(what) => (Law::Allocated, what),
                Imbalance::Executed(what) => (Law::AsTheProvider, what),
                Imbalance::Account(what) => (Law::Balanced, what),
            };
            self.violated(law, what);
        }
        let total = self.books.total();
        if total != 0 {
            self.violated(Law::SumsToZero, format!("the ledger sums to {total}"));
        }
    }

    /// A change was committed.
    pub fn committed(&mut self, world: &World, (who, call): (Who, u64), change: &Change, before: &Before) {
        self.check_lease(world, who, change);
        self.committed.extend(change.publish.iter().map(|event| event.id));
        for event in change.publish.iter().filter(|event| event.kind == EventKind::Alarm) {
            let code = event.data["code"].as_str().unwrap_or_default().to_owned();
            world.kernel.note(|| format!("alarm {code} {}", event.data));
            self.alarms.push((code, event.item));
        }
        for update in &change.update {
            match update {
                Update::Item(new) => self.item_moved(world, change, before, &new.value),
                Update::Instruction(new) => {
                    if let Some(old) = before.instructions.get(&new.value.id) {
                        self.instruction_learned(world, change, old, &new.value);
                    }
                }
                Update::Resolution(new) => {
                    if let ResolutionState::Confirmed { by, .. } = &new.value.state
                        && self.proposed.get(&new.value.id) == Some(by)
                    {
                        self.violated(Law::SecondPerson, format!("{by} confirmed what they proposed"));
                    }
                }
                Update::Batch(_) | Update::Recipient(_) => {}
            }
        }
        for new in &change.insert {
            match new {
                New::Policy(version) => {
                    let rules = version.spec.check().map(|policy| policy.approval.rules).unwrap_or_default();
                    world.policy_becomes(rules.iter().map(|rule| rule.approvals).max().unwrap_or(0));
                }
                New::Batch(batch) => {
                    self.batches.push(batch.id);
                    self.makers.insert(batch.id, batch.scheduled_by.clone());
                    if call > 0 {
                        self.booked_by(call);
                    }
                }
                New::Instruction(instruction) => self.recorded(world, before, instruction),
                New::Approval(approval) => {
                    let maker = self.makers.get(&approval.batch()).unwrap_or(approval.maker());
                    if approval.approver() == maker {
                        self.violated(Law::SecondPerson, format!("{} approved their own batch", approval.approver()));
                    }
                    self.approvals.push(approval.clone());
                }
                New::Resolution(resolution) => {
                    self.proposed.insert(resolution.id, resolution.proposed_by.clone());
                }
                New::RailEvent(taken) => {
                    let is_new = self.heard.insert((taken.rail.clone(), taken.event.dedupe.clone()));
                    if !is_new {
                        self.violated(Law::AsTheProvider, format!("{} was heard twice", taken.event.dedupe));
                    }
                }
                _ => {}
            }
        }
    }

    /// I6: a move has its event and its entry in the audit log. And it is true.
    fn item_moved(&mut self, world: &World, change: &Change, before: &Before, new: &Item) {
        let Some(Some(old)) = before.items.get(&new.id) else { return };
        let (was, is) = (old.item.status(), new.status());
        if was == is {
            return;
        }
        world.kernel.note(|| format!("item {} of {}: {} -> {}", new.id, new.recipient, was.as_str(), is.as_str()));
        let told =
            change.publish.iter().rev().find(|event| event.item == Some(new.id) && event.kind != EventKind::Alarm);
        if told.is_none_or(|event| event.kind != EventKind::Item(is)) {
            self.violated(Law::Told, format!("item {} became {} without its event", new.id, is.as_str()));
        }
        let subject = new.id.to_string();
        if !change.audit.iter().any(|entry| entry.subject == subject) {
            self.violated(Law::Told, format!("item {} became {} without an audit entry", new.id, is.as_str()));
        }
        let executed = executed(world, new.id);
        if is == ItemStatus::Paid && executed.is_empty() {
            self.violated(Law::AsTheProvider, format!("item {} is called paid, and nothing was executed", new.id));
        }
        if is == ItemStatus::Returned && !executed.iter().any(Transfer::is_back) {
            self.violated(Law::AsTheProvider, format!("item {} is called returned, and it did not come back", new.id));
        }
        if was == ItemStatus::Cancelled {
            self.violated(Law::NotWhileHeld, format!("item {} was cancelled, and is {}", new.id, is.as_str()));
        }
    }

    /// What is said of an instruction is true.
    fn instruction_learned(&mut self, world: &World, change: &Change, old: &Instruction, new: &Instruction) {
        let key = new.id.to_string();
        let provider = world.providers.iter().find(|provider| *provider.id() == new.rail);
        let transfers = provider.map(|provider| provider.of_key(&key)).unwrap_or_default();
        let on_the_way = self.calls.get(&new.id).is_some_and(|calls| calls.on_the_way > 0);
        for part in &new.items {
            let was = old.item(part.item).map(|part| &part.outcome);
            if was == Some(&part.outcome) {
                continue;
            }
            world.kernel.note(|| format!("instruction {} of item {}: {}", new.id, part.item, part.outcome.as_str()));
            let is_of_people = change
                .update
                .iter()
                .any(|update| matches!(update, Update::Resolution(found) if found.value.item == part.item));
            let is_said = matches!(
                part.outcome,
                Outcome::Settled { .. } | Outcome::Stray { .. } | Outcome::Returned { .. } | Outcome::Refused { .. }
            );
            if is_said && !is_of_people && !self.credible.contains(&part.wire_ref) {
                let (key, what) = (new.id, part.outcome.as_str());
                self.violated(
                    Law::AsTheProvider,
                    format!("{key} is called {what}, and all that was said of it named another amount"),
                );
            }
            let transfer = transfers.iter().find(|transfer| transfer.item == part.item);
            let is_executed = transfer.is_some_and(|transfer| transfer.is_executed() && !transfer.is_lie);
            let is_pending = transfer.is_some_and(|transfer| transfer.fate == Fate::Taken);
            match &part.outcome {
                Outcome::Refused { .. } | Outcome::Absent | Outcome::Recalled => {
                    if is_executed || is_pending {
                        self.violated(
                            Law::AsTheProvider,
                            format!("{} is called {} and was taken or executed", new.id, part.outcome.as_str()),
                        );
                    }
                    if on_the_way && part.outcome == Outcome::Absent {
                        self.violated(
                            Law::AsTheProvider,
                            format!("{} is called absent while it is on its way", new.id),
                        );
                    }
                }
                Outcome::Settled { .. } | Outcome::Stray { .. } | Outcome::Returned { .. } => {
                    if !transfer.is_some_and(Transfer::is_executed) {
                        self.violated(
                            Law::AsTheProvider,
                            format!("{} is called {} and was not executed", new.id, part.outcome.as_str()),
                        );
                    }
                }
                Outcome::Sent | Outcome::Accepted { .. } => {}
            }
        }
    }

    /// An intent was committed: it must be allowed to be sent.
    fn recorded(&mut self, world: &World, before: &Before, instruction: &Instruction) {
        world.kernel.note(|| {
            format!(
                "intent {} for {:?}",
                instruction.id,
                instruction.items.iter().map(|part| (part.item.to_string(), part.amount_minor)).collect::<Vec<_>>()
            )
        });
        let calls = self.calls.entry(instruction.id).or_default();
        calls.items = instruction.items.iter().map(|part| part.item).collect();
        for part in &instruction.items {
            let Some(Some(details)) = before.items.get(&part.item) else {
                self.violated(Law::StoredFirst, format!("an intent for an item that is not there: {}", part.item));
                continue;
            };
            let ItemDetails { item, batch, .. } = details;
            let may_be_sent = match item.state() {
                ItemState::Scheduled => true,
                ItemState::PendingKyc { reason } => *reason != HoldReason::OperatorHold,
                _ => false,
            };
            if !may_be_sent {
                self.violated(Law::NotWhileHeld, format!("item {} is {:?} and is to be sent", part.item, item.state()));
            }
            if part.amount_minor != item.due_minor() {
                self.violated(
                    Law::StoredFirst,
                    format!("item {} is due {} and {} is to be sent", part.item, item.due_minor(), part.amount_minor),
                );
            }
            self.check_approvals(world, batch, item, part.destination);
        }
    }

    fn check_approvals(&mut self, world: &World, batch: &Batch, item: &Item, destination: [u8; 32]) {
        let required = world.approvals_required();
        let amount_minor = item.due_minor();
        let one = ApprovedItem { item: item.id, recipient: &item.recipient, amount_minor, destination };
        let hash = content_hash(batch.id, batch.currency, batch.execute_at, &[one]);
        let maker = self.makers.get(&batch.id).unwrap_or(&batch.scheduled_by);
        let given: BTreeSet<&Requester> = self
            .approvals
            .iter()
            .filter(|approval| approval.items().get(&item.id) == Some(&hash))
            .map(Approval::approver)
            .filter(|approver| *approver != maker)
            .collect();
        if given.len() < required {
            let count = given.len();
            self.violated(
                Law::SecondPerson,
                format!("item {} is to be sent with {count} of {required} approvals", item.id),
            );
        }
    }

    // --- what people and rails are told ---------------------------------------------------------------------------

    /// A rail said something of a payment that names the amount that was ordered.
    pub fn told_credibly(&mut self, wire_ref: &str) {
        if !self.credible.contains(wire_ref) {
            self.credible.insert(wire_ref.to_owned());
        }
    }
    /// A call booked a release.
    fn booked_by(&mut self, call: u64) {
        self.booked.insert(call);
        self.check_told(call);
    }
    /// Whoever made a call was told that it certainly booked nothing.
    pub fn told_nothing_is_booked(&mut self, call: u64) {
        self.not_booked.insert(call);
        self.check_told(call);
    }
    fn check_told(&mut self, call: u64) {
        if self.booked.contains(&call) && self.not_booked.contains(&call) {
            self.violated(
                Law::Allocated,
                format!("call {call} booked a release, and its caller was told that it did not"),
            );
        }
    }

    // --- calls --------------------------------------------------------------------------------------------------

    /// A worker calls a rail.
    pub fn submits(&mut self, world: &World, who: Who, instruction: &Instruction) {
        let memory = world.kernel.memory.as_ref();
        let age = world.kernel.age();
        self.submits += 1;
        let stored = at_once(memory.instruction(instruction.id)).and_then(Result::ok).flatten();
        let Some(stored) = stored else {
            self.violated(Law::StoredFirst, format!("{} is sent and was never stored", instruction.id));
            return;
        };
        if stored.value.body != instruction.body || stored.value.tries != instruction.tries {
            self.violated(Law::StoredFirst, format!("{} is sent otherwise than it is stored", instruction.id));
        }
        let batch = at_once(memory.batch(instruction.batch)).and_then(Result::ok).flatten();
        let Some(batch) = batch else { return };
        let held = self.jobs.get(&batch.batch.job).copied();
        if held.is_none_or(|held| held.who != who || held.until < age + Duration::from_secs(5)) {
            self.violated(
                Law::Leased,
                format!("{} calls for {} under a lease that ends: {held:?} at {age:?}", who.name(), instruction.id),
            );
        }
        for part in &instruction.items {
            let item = batch.items.iter().find(|item| item.id == part.item);
            // Whoever stored that it is sent again may hear meanwhile that it had arrived: under its key it is the same
            // payment, and nothing moves.
            let known = stored.value.items.iter().find(|known| known.item == part.item).map(|known| &known.outcome);
            let has_arrived =
                stored.value.tries > 1 && matches!(known, Some(Outcome::Settled { .. } | Outcome::Returned { .. }));
            if !has_arrived && item.is_none_or(|item| !item.status().is_in_transit()) {
                let status = item.map(Item::status);
                self.violated(Law::NotWhileHeld, format!("item {} is {status:?} and is sent", part.item));
            }
            let others = self.calls.iter().filter(|(id, calls)| {
                **id != instruction.id
                    && calls.items.contains(&part.item)
                    && calls.on_the_way > 0
                    && !is_dead(world, **id, part.item)
            });
            if let Some((other, _)) = others.into_iter().next() {
                let what = format!("item {} is sent while {other} is on its way", part.item);
                self.violated(Law::OneCall, what);
            }
        }
        let calls = self.calls.entry(instruction.id).or_default();
        calls.count(world, true);
        calls.waiting += 1;
        let (submits, waiting) = (calls.counted.1, calls.waiting);
        if waiting > 1 {
            // Another process may stand still with a call that its lease outlived; two that run do not call at once.
            world.kernel.note(|| format!("{} is waited for {waiting} times", instruction.id));
        }
        if submits == SUBMITS_MAX + 1 {
            self.violated(
                Law::NoStorm,
                format!("{} is submitted more than {SUBMITS_MAX} times in ten minutes", instruction.id),
            );
        }
    }
    /// Whoever waited for the answer to a call waits no more.
    pub fn submitted(&mut self, instruction: &Instruction) {
        if let Some(calls) = self.calls.get_mut(&instruction.id) {
            calls.waiting = calls.waiting.saturating_sub(1);
        }
    }
    /// A request leaves.
    pub fn leaves(&mut self, instruction: &Instruction) {
        self.calls.entry(instruction.id).or_default().on_the_way += 1;
    }
    /// A request arrives.
    pub fn arrives(&mut self, instruction: &Instruction) {
        self.calls.entry(instruction.id).or_default().on_the_way -= 1;
    }
    /// A worker asks a rail.
    pub fn asks(&mut self, world: &World, instruction: &Instruction) {
        let calls = self.calls.entry(instruction.id).or_default();
        calls.count(world, false);
        if calls.counted.2 == ASKS_MAX + 1 {
            self.violated(
                Law::NoStorm,
                format!("{} is asked for more than {ASKS_MAX} times in ten minutes", instruction.id),
            );
        }
    }

    /// I1: a provider executed a transfer.
    pub fn executed(&mut self, world: &World, provider: &Provider, transfer: &Transfer) {
        let all = executed(world, transfer.item);
        let net = all.iter().filter(|transfer| !transfer.is_back() && !transfer.is_lie).count();
        let elsewhere = all.iter().filter(|transfer| transfer.is_lie).count();
        if net > 1 || (net == 1 && elsewhere == 0 && all.iter().filter(|one| !one.is_back()).count() > 1) {
            self.violated(Law::PaidOnce, format!("item {} was paid {net} times (at {})", transfer.item, provider.id()));
        }
        let details = item_of(world.kernel.memory.as_ref(), transfer.item);
        if let Some(details) = details
            && !transfer.is_lie
            && matches!(details.item.status(), ItemStatus::Cancelled | ItemStatus::PendingKyc | ItemStatus::Failed)
        {
            let status = details.item.status();
            self.violated(Law::NotWhileHeld, format!("item {} is {} and is executed", transfer.item, status.as_str()));
        }
    }

    // --- events -------------------------------------------------------------------------------------------------

    /// Somebody took an event.
    pub fn published(&mut self, event: EventId) {
        self.published.insert(event);
        if !self.committed.contains(&event) {
            self.violated(Law::Told, format!("event {event} was published and never committed"));
        }
    }
    /// How many events nobody took.
    pub fn unpublished(&self) -> usize {
        self.committed.difference(&self.published).count()
    }
}

/// Whether a call that is on its way cannot execute an item under a key any more: its provider refused it there, or gave
/// it up. If that was a lie, it executed it by itself, and the call can do nothing either.
fn is_dead(world: &World, key: InstructionId, item: ItemId) -> bool {
    let key = key.to_string();
    let transfers = world.providers.iter().flat_map(|provider| provider.of_key(&key));
    let of_item: Vec<Transfer> = transfers.filter(|transfer| transfer.item == item).collect();
    let is_dead = |transfer: &Transfer| transfer.is_lie || matches!(transfer.fate, Fate::Refused(..) | Fate::Recalled);
    !of_item.is_empty() && of_item.iter().all(is_dead)
}

/// Every transfer for an item that was executed, at every provider.
pub fn executed(world: &World, item: ItemId) -> Vec<Transfer> {
    let all = world.providers.iter().flat_map(|provider| provider.of_item(item));
    all.filter(Transfer::is_executed).collect()
}
