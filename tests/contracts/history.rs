//! The property of the whole: whatever is done, in whatever order, an adapter answers as the reference does.
//! `counted` is what is counted from release to release, and what is taken back; `control` what people and rails say.
//!
//! Time is counted in hours, and what is due later is due at half past: so the minutes that a database's own
//! clock runs ahead while the test runs never decide anything.

use super::{
    Bench, Ports,
    bench::{self, InMemory},
    sample::{
        audited, everything, first, insert, moved, read, recipient, refuse, release, send, settle, update, version,
    },
};
use app::{
    change::{Change, New, Stored, Update},
    job::{Claimed, Job, Lease, LeaseStep},
    ports::{
        CommitError, DuplicateKey,
        queries::{BatchFilter, EventFilter, Page, TransactionFilter},
        repository::{BatchForExecution, BatchForReversal},
    },
};
use domain::{
    batch::BatchStatus,
    ids::{BatchId, EscrowId, EventId, InstructionId},
    instruction::Instruction,
    item::{ItemStatus, ItemStep},
    recipient::{HoldReason, RecipientStatus},
    revenue_model::ModelStatus,
    reversal::ReversalLine,
    timestamp::Timestamp,
};
use std::time::Duration;

/// The same answer from both.
macro_rules! same {
    ($history:expr, $port:ident . $call:ident ( $($argument:expr),* )) => {{
        let one = $history.one.$port.$call($($argument),*).await.unwrap();
        let two = $history.two.$port.$call($($argument),*).await.unwrap();
        assert_eq!(one, two);
        one
    }};
}

mod control;
mod counted;

const STEPS: usize = 1_000;
const HOUR: Duration = Duration::from_secs(3600);
const PEOPLE: [&str; 3] = ["rec_ana", "rec_bob", "rec_cyd"];

pub async fn any_history_has_the_same_outcome_as_in_memory(bench: &dyn Bench) {
    let reference = bench::memory().await;
    let (one, two) = (reference.ports(), bench.ports());
    let random = Random(2026);
    let mut history = History { random, reference, bench, one, two, known: Known::default() };
    for step in 0..STEPS {
        history.step().await;
        if step % 100 == 99 {
            history.compare_everything().await;
        }
    }
    let outcomes = &history.known.outcomes;
    for outcome in [
        "ok",
        "stale",
        "lease lost",
        "escrow",
        "live",
        "recipient",
        "model",
        "reversal",
        "rail event",
        "approval",
        "policy",
    ] {
        assert!(outcomes.iter().any(|found| found == outcome), "the history never saw `{outcome}`");
    }
}

/// The same numbers at every run: a difference can be looked at again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }
    fn one_in(&mut self, turns: usize) -> bool {
        self.below(turns) == 0
    }
    fn of<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        if choices.is_empty() { None } else { Some(choices[self.below(choices.len())].clone()) }
    }
    /// Some hours and a half.
    fn later(&mut self, hours: usize) -> Duration {
        HOUR * u32::try_from(self.below(hours)).unwrap() + HOUR / 2
    }
}

/// What the history has made so far.
#[derive(Default)]
struct Known {
    batches: Vec<BatchId>,
    escrows: Vec<EscrowId>,
    jobs: Vec<Job>,
    leases: Vec<Lease>,
    events: Vec<EventId>,
    instructions: Vec<InstructionId>,
    /// Batches as they once were.
    memories: Vec<BatchForExecution>,
    histories: Vec<BatchForReversal>,
    /// Lines of reversals that waited when they were booked.
    waiting: Vec<ReversalLine>,
    /// Names under which rails said something.
    said: Vec<String>,
    outcomes: Vec<String>,
}

struct History<'a> {
    random: Random,
    reference: InMemory,
    bench: &'a dyn Bench,
    one: Ports,
    two: Ports,
    known: Known,
}

impl History<'_> {
    async fn step(&mut self) {
        match self.random.below(36) {
            0 => self.book().await,
            1..=8 => self.work().await,
            9 => self.register().await,
            10 => self.publish_model().await,
            11..=13 => self.claim().await,
            14 => self.touch_a_lease().await,
            15 => self.wake().await,
            16 => self.relay().await,
            17 => {
                let hours = HOUR * u32::try_from(1 + self.random.below(3)).unwrap();
                self.reference.pass(hours).await;
                self.bench.pass(hours).await;
            }
            18..=20 => self.take_back().await,
            21 => self.finish().await,
            22..=23 => self.let_go().await,
            24..=25 => self.count().await,
            26..=27 => self.pay_carried().await,
            28..=29 => self.learn().await,
            30 => self.hear().await,
            31 => self.approve().await,
            32 => self.set_a_policy().await,
            33 => self.resolve().await,
            _ => self.look().await,
        }
    }

    /// Commits to both, and compares the answers. What is due is due equally late on both.
    async fn commit(&mut self, change: Change) -> bool {
        let (here, there) = (self.one.now().await, self.two.now().await);
        let moved = |at: Timestamp| {
            let ahead = at.unix_micros() - here.unix_micros();
            Timestamp::from_unix_micros(there.unix_micros() + ahead)
        };
        let mut same = change.clone();
        same.enqueue.iter_mut().for_each(|job| job.run_at = moved(job.run_at));
        same.wake.iter_mut().for_each(|wake| wake.run_at = moved(wake.run_at));
        if let Some(LeaseStep::Again(_, at)) = &mut same.lease {
            *at = moved(*at);
        }
        let what = format!("{change:#?}");
        let one = outcome(&self.one.repository.commit(change).await);
        let two = outcome(&self.two.repository.commit(same).await);
        assert_eq!(one, two, "{what}");
        let is_ok = one == "ok";
        self.known.outcomes.push(one);
        is_ok
    }

    async fn book(&mut self) {
        let at = self.one.now().await;
        let mut new = release(at);
        for person in PEOPLE.into_iter().cycle().take(self.random.below(5)) {
            let net = i64::try_from(1 + self.random.below(1000)).unwrap();
            new = match self.random.below(4) {
                0 => new.hold(person, net, self.random.of(&HoldReason::ALL).unwrap()),
                1 => new.pay_less(person, net, 3, 2),
                2 => new.carry(person, net),
                _ => new.pay(person, net),
            };
        }
        new = new.pay("rec_dan", 1);
        if self.random.one_in(3)
            && let Some(taken) = self.random.of(&self.known.escrows)
        {
            new = new.of_escrow(&taken);
        }
        let mut change = new.change();
        change.count = self.carried(&new).await;
        change.enqueue[0].run_at = if self.random.one_in(2) { at } else { at.after(self.random.later(5)) };
        let events: Vec<EventId> = change.publish.iter().map(|event| event.id).collect();
        if self.commit(change).await {
            self.known.batches.push(new.batch.id);
            self.known.escrows.push(new.escrow().clone());
            self.known.jobs.push(Job::of(&new.batch, at));
            self.known.events.extend(events);
        }
    }

    /// Something happens to an item, as it was found now or some time ago, with or without a lease.
    async fn work(&mut self) {
        let Some(batch) = self.random.of(&self.known.batches) else { return };
        let mut found = self.one.load(batch).await;
        if self.random.one_in(5)
            && let Some(before) = self.random.of(&self.known.memories)
        {
            found = before;
        }
        let place = self.random.below(found.items.len());
        let Some(mut change) = self.change(&found, place).await else { return };
        if self.random.one_in(3) {
            change.lease = self.lease_step().await;
        }
        if self.random.one_in(3)
            && let Some(job) = self.random.of(&self.known.jobs)
        {
            change.wake.push(Job { run_at: self.one.now().await.after(self.random.later(4)), ..job });
        }
        let at = self.one.now().await;
        change.audit = change.publish.iter().map(|event| audited(&event.kind.to_string(), at)).collect();
        let events: Vec<EventId> = change.publish.iter().map(|event| event.id).collect();
        if self.commit(change).await {
            self.known.events.extend(events);
        }
        self.known.memories.push(found);
    }

    async fn change(&mut self, found: &BatchForExecution, place: usize) -> Option<Change> {
        let at = self.one.now().await;
        let item = &found.items[place].value;
        let step = |step| Some(moved(found, &[place], step, at));
        let hold = HoldReason::RecipientPending;
        match item.status() {
            ItemStatus::Scheduled => match self.random.below(4) {
                0 => step(ItemStep::Hold(hold)),
                1 => step(ItemStep::Cancel),
                _ => {
                    let (instruction, change) = send(found, &self.with_another(found, place), at);
                    self.known.instructions.push(instruction.id);
                    Some(change)
                }
            },
            ItemStatus::PendingKyc => step(ItemStep::Release),
            ItemStatus::Processing | ItemStatus::InDoubt => {
                let carries = |sent: &&Stored<Instruction>| sent.value.items.iter().any(|part| part.item == item.id);
                let sent = found.unresolved.iter().find(carries)?;
                if sent.value.items.iter().any(|part| !part.outcome.is_open()) {
                    // Something was learned of a part alone: only another such word fits.
                    return None;
                }
                match self.random.below(4) {
                    0 if item.status() == ItemStatus::Processing => step(ItemStep::LoseTrack),
                    1 => Some(refuse(found, sent, at)),
                    _ => Some(settle(found, sent, at)),
                }
            }
            ItemStatus::Paid => step(ItemStep::Return { reference: None, reason: "R03".into() }),
            ItemStatus::Failed | ItemStatus::Returned => step(ItemStep::Retry),
            ItemStatus::Cancelled => None,
        }
    }

    /// The place, and perhaps the place of another item that is scheduled.
    fn with_another(&mut self, found: &BatchForExecution, place: usize) -> Vec<usize> {
        let other = self.random.below(found.items.len());
        if other != place && found.items[other].value.status() == ItemStatus::Scheduled {
            vec![place, other]
        } else {
            vec![place]
        }
    }

    async fn lease_step(&mut self) -> Option<LeaseStep> {
        let newest = self.known.leases.len().saturating_sub(6);
        let lease = self.random.of(&self.known.leases[newest..])?;
        Some(match self.random.below(3) {
            0 => LeaseStep::Keep(lease),
            1 => LeaseStep::Finish(lease),
            _ => LeaseStep::Again(lease, self.one.now().await.after(self.random.later(4))),
        })
    }

    async fn register(&mut self) {
        let mut person = recipient(PEOPLE[self.random.below(3)], self.one.now().await);
        person.status = self.random.of(&RecipientStatus::ALL).unwrap();
        let known = self.one.repository.recipients(std::slice::from_ref(&person.id)).await.unwrap();
        let change = match known.first() {
            Some(known) if !self.random.one_in(4) => {
                let revision = known.revision - u32::from(self.random.one_in(4));
                update(Update::Recipient(Stored { value: person, revision }))
            }
            _ => insert(New::Recipient(person)),
        };
        self.commit(change).await;
    }

    async fn publish_model(&mut self) {
        let number = u32::try_from(1 + self.random.below(8)).unwrap();
        let from = self.one.now().await.after(self.random.later(6));
        let mut version = version("prj_film", number, from);
        if self.random.one_in(3) {
            version.status = ModelStatus::Draft;
        }
        if self.random.one_in(2) {
            version.effective_to = Some(from.after(self.random.later(6)));
        }
        self.commit(insert(New::ModelVersion(version))).await;
    }

    /// All that is due: what is due at the same time on a clock that stands still is not on one that runs.
    async fn claim(&mut self) {
        let lease = self.random.later(4);
        let claim = async |ports: &Ports| {
            let mut claimed = ports.jobs.claim(1000, lease).await.unwrap();
            claimed.sort_by_key(|claimed: &Claimed| claimed.lease.job);
            claimed
        };
        let (one, two) = (claim(&self.one).await, claim(&self.two).await);
        assert_eq!(one, two);
        self.known.leases.extend(one.into_iter().map(|claimed| claimed.lease));
    }

    async fn touch_a_lease(&mut self) {
        if let Some(step) = self.lease_step().await {
            match step {
                LeaseStep::Keep(lease) => {
                    let longer = self.random.later(4);
                    same!(self, jobs.extend(&lease, longer));
                }
                LeaseStep::Again(lease, _) => {
                    let delay = self.random.later(4);
                    same!(self, jobs.release(&lease, delay));
                }
                LeaseStep::Finish(_) => {
                    self.commit(Change { lease: Some(step), ..Change::default() }).await;
                }
            }
        }
    }

    async fn wake(&mut self) {
        // Nobody wakes one that nobody made: its attempt would tell the clocks apart.
        let is_known = !self.random.one_in(8);
        let job = if is_known { self.random.of(&self.known.jobs) } else { None };
        if is_known && job.is_none() {
            return;
        }
        let run_at =
            self.one.now().await.after(if self.random.one_in(2) { Duration::ZERO } else { self.random.later(4) });
        let wake = job.into_iter().map(|job| Job { run_at, ..job }).collect();
        self.commit(Change { wake, ..Change::default() }).await;
    }

    async fn relay(&mut self) {
        let (limit, lease) = (u32::try_from(1 + self.random.below(30)).unwrap(), self.random.later(3));
        let events = same!(self, outbox.unpublished(limit, lease));
        let mut delivered: Vec<EventId> = events.iter().map(|event| event.id).collect();
        delivered.truncate(self.random.below(delivered.len() + 1));
        delivered.extend(self.random.of(&self.known.events));
        same!(self, outbox.mark_published(&delivered));
    }

    /// A few questions at random.
    async fn look(&mut self) {
        let at = self.one.now().await.after(self.random.later(8));
        same!(self, repository.model_in_force(&read("prj_film"), at));
        same!(self, repository.newest_model(&read("prj_film")));
        let person = read(PEOPLE[self.random.below(3)]);
        let after = self.random.of(&self.known.batches);
        same!(self, repository.batches_held_for(&person, after, 3));
        self.look_at_what_is_counted().await;
        self.look_at_what_was_said().await;
        let Some(batch) = self.random.of(&self.known.batches) else { return };
        same!(self, repository.batch_for_execution(batch));
        let page = Page { limit: 4, after };
        let status = self.random.of(&BatchStatus::ALL);
        same!(self, queries.batches(BatchFilter { status, ..BatchFilter::default() }, page.clone()));
        let filter = TransactionFilter { batch: Some(batch), account: None };
        same!(self, queries.transactions(filter.clone(), first(5)));
        let instructions = [self.random.of(&self.known.instructions), self.random.of(&self.known.instructions)];
        let instructions: Vec<InstructionId> = instructions.into_iter().flatten().collect();
        let executed = async |ports: &Ports| {
            let mut found = ports.queries.executed(&instructions).await.unwrap();
            found.sort_by_key(|executed| executed.instruction);
            found
        };
        let (one, two) = (executed(&self.one).await, executed(&self.two).await);
        assert_eq!(one, two);
        let published = async |ports: &Ports| {
            let page = ports.queries.events(EventFilter { batch: Some(batch), kind: None }, first(10)).await;
            page.unwrap().map(|published| published.event)
        };
        let (one, two) = (published(&self.one).await, published(&self.two).await);
        assert_eq!(one, two);
    }

    async fn compare_everything(&self) {
        assert_eq!(everything(&self.one).await, everything(&self.two).await);
        for batch in &self.known.batches {
            same!(self, repository.batch_for_execution(*batch));
        }
    }
}

/// What became of a commit, as far as it is promised. Of several items that are taken, any may be named.
fn outcome(result: &Result<(), CommitError>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(CommitError::Stale) => "stale".to_owned(),
        Err(CommitError::LeaseLost) => "lease lost".to_owned(),
        Err(CommitError::Duplicate(key)) => match key {
            DuplicateKey::Escrow(_) => "escrow".to_owned(),
            DuplicateKey::LiveInstruction(_) => "live".to_owned(),
            DuplicateKey::Recipient(_) => "recipient".to_owned(),
            DuplicateKey::ModelVersion(..) => "model".to_owned(),
            DuplicateKey::Job(_) => "job".to_owned(),
            DuplicateKey::Reversal(_) => "reversal".to_owned(),
            DuplicateKey::RailEvent(..) => "rail event".to_owned(),
            DuplicateKey::Approval(_) => "approval".to_owned(),
            DuplicateKey::Policy(_) => "policy".to_owned(),
            DuplicateKey::Resolution(_) => "resolution".to_owned(),
            DuplicateKey::IdempotencyKey => "idempotency".to_owned(),
            DuplicateKey::Other(_) => "other".to_owned(),
        },
        Err(error @ (CommitError::Store(_) | CommitError::Unclear(_))) => panic!("{error:?}"),
    }
}
