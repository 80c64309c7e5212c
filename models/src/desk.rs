//! What a process sees of the world. It lets a use case go on from call to call and stands still in between.
//!
//! A use case is a future, and a future cannot be copied. So what stands still is kept as the answers that it got so far:
//! to go on it is run from its beginning, gets the same answers again, and then one call more. That is sound because a
//! use case draws nothing by itself: names, dice and time are ports, too.

use crate::{
    provider::{Fate as Becomes, Provider, REPLAY_WINDOW, Receipt, SETTLE_BOUND},
    rules::Weakening,
    world::{World, at_once},
};
use app::{
    change::{BatchInputs, Change, New, PaidDestination, PolicyVersion, Resolution, Stored, Update},
    failure::Detail,
    job::{Claimed, Lease, LeaseStep},
    ports::{
        Clock, CommitError, Dice, DuplicateKey, Ids, JobQueue, PayoutRail, PayoutRepository, Rails, StoreError,
        rail::{
            BookEntry, Class, Inbound, IngestError, Listed, Lookup, Order, Preflight, PrepareError, RailDown,
            RailEvent, RailProfile, Recall, Submit,
        },
        repository::{Basis, BatchForExecution, BatchForReversal, InForce, Raise, StoredCounter, Wanted},
    },
};
use async_trait::async_trait;
use domain::{
    batch::{Batch, BatchLine, Fingerprint, Origin},
    counter::CounterKey,
    ids::{BatchId, EscrowId, InstructionId, ItemId, ProjectId, RecipientId, ReversalId},
    instruction::{Instruction, Outcome},
    ledger::TransactionKind,
    recipient::{Destination, RailId, Recipient},
    revenue_model::ModelVersion,
    reversal::{Reversal, ReversalLine},
    timestamp::Timestamp,
};
use futures_util::FutureExt;
use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use uuid::Uuid;

/// How long a job is leased.
pub const LEASE: Duration = Duration::from_secs(15);
/// How long a call takes at most, and so how much of a lease must be left for one.
const CALL_MAX: Duration = Duration::from_secs(5);
/// How long after its intent a call may leave: what the use case waits for beside the settle bound.
const ALLOWANCE: Duration = Duration::from_secs(10);

/// Before which call a process stands, or after which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before it claims a job.
    Claim,
    /// Before it asks what became of an instruction.
    Query,
    /// Before it commits.
    Commit,
    /// After the intent was committed, before the rail is called.
    Call,
    /// Before it reads whether the escrow was booked.
    Look,
}

impl Point {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Query => "query",
            Self::Commit => "commit",
            Self::Call => "call",
            Self::Look => "look",
        }
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It does what it is for.
    Fine,
    /// A question is not answered.
    Dead,
    /// A question is answered as if what arrived a moment ago had not.
    Lags,
    /// A commit fails.
    Fails,
    /// A commit is applied, and the answer is lost.
    Unclear,
    /// A commit is not applied, and whether it was is not known.
    UnclearLost,
    /// A payment arrives, and the answer comes back.
    Arrives(Receipt),
    /// A payment arrives, and the answer is lost.
    Silent(Receipt),
    /// A payment is lost on its way.
    Lost,
    /// A payment is on its way for longer than anybody waits for the answer.
    Late,
    /// A payment never leaves, and that is known.
    NotSent,
}

/// What a use case got so far.
pub type Answer = Arc<dyn Any + Send + Sync>;

/// A process that stands still: what it got so far, and where it is.
#[derive(Clone)]
pub struct Process {
    answers: Vec<Answer>,
    names: u64,
    /// Where it stands.
    pub at: Point,
    /// What it heard of a rail, in words.
    pub heard: Vec<&'static str>,
    /// The attempt of the job that it claimed.
    pub attempt: Option<u32>,
    /// When it began.
    pub began_at: Timestamp,
    /// What it read at its beginning, as a hash.
    pub seen: u64,
    /// What every batch says that it was asked for, to a process that does not compare it.
    pub asked: Option<Fingerprint>,
}

impl Process {
    /// How much it was told.
    pub fn knows(&self) -> usize {
        self.answers.len()
    }
    /// One that has not begun, and stands there. Its names are of its own.
    pub fn new(world: &mut World, at: Point) -> Self {
        world.names += 1;
        let (names, began_at) = (world.names * 1_000, world.now());
        Self { answers: Vec::new(), names, at, heard: Vec::new(), attempt: None, began_at, seen: 0, asked: None }
    }
}

/// What a process sees of the world.
pub struct Desk {
    weak: Option<Weakening>,
    inner: Mutex<Inner>,
}

struct Inner {
    world: World,
    process: Process,
    /// How many answers were used, and how many names drawn, since it was run from its beginning.
    used: usize,
    drawn: u64,
    /// How many calls may still be made at which it stands still otherwise; nothing if it never does.
    may: Option<u32>,
    fate: Fate,
    number: usize,
    /// A message that is being told.
    told: Option<RailEvent>,
}

/// A process goes on with one call, of which that becomes. Answers whether it came to its end, and with what.
pub fn go_on<T, F: Future<Output = T>>(
    world: World,
    process: Process,
    (number, fate, weak): (usize, Fate, Option<Weakening>),
    use_case: impl FnOnce(Arc<Desk>) -> F,
) -> (World, Result<T, Process>) {
    // What was committed already is not committed again: after the intent there is only the call.
    let may = Some(u32::from(process.at != Point::Call));
    let inner = Inner { world, process, used: 0, drawn: 0, may, fate, number, told: None };
    let desk = Arc::new(Desk { weak, inner: Mutex::new(inner) });
    let done = use_case(desk.clone()).now_or_never();
    let Inner { world, process, .. } = taken(desk);
    (world, done.ok_or(process))
}

/// A use case that is done at once, and of whose calls nothing goes wrong but what `fate` says of the first.
pub fn do_at_once<T, F: Future<Output = T>>(
    mut world: World,
    (fate, told, weak): (Fate, Option<RailEvent>, Option<Weakening>),
    use_case: impl FnOnce(Arc<Desk>) -> F,
) -> (World, T) {
    let process = Process::new(&mut world, Point::Claim);
    let inner = Inner { world, process, used: 0, drawn: 0, may: None, fate, number: usize::MAX, told };
    let desk = Arc::new(Desk { weak, inner: Mutex::new(inner) });
    let done = at_once(use_case(desk.clone()));
    (taken(desk).world, done)
}

/// What is left once the use case is gone.
fn taken(desk: Arc<Desk>) -> Inner {
    Arc::into_inner(desk).expect("nobody else has it").inner.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The one rail.
pub fn rails(desk: &Arc<Desk>) -> Rails {
    Rails::new(desk.clone(), [])
}

impl Desk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn has(&self, weakening: Weakening) -> bool {
        self.weak == Some(weakening)
    }

    /// An answer that was given before, or a new one; or it stands still.
    async fn step<T: Clone + Send + Sync + 'static>(
        &self,
        at: Option<Point>,
        call: impl FnOnce(&mut Inner) -> T + Send,
    ) -> T {
        if let Some(answer) = self.try_step(at, call) {
            return answer;
        }
        std::future::pending().await
    }
    fn try_step<T: Clone + Send + Sync + 'static>(
        &self,
        at: Option<Point>,
        call: impl FnOnce(&mut Inner) -> T,
    ) -> Option<T> {
        let mut inner = self.inner();
        if let Some(known) = inner.process.answers.get(inner.used).cloned() {
            inner.used += 1;
            return Some(known.downcast_ref::<T>().expect("the same call as before").clone());
        }
        if let (Some(at), Some(may)) = (at, inner.may) {
            if may == 0 {
                inner.process.at = at;
                return None;
            }
            inner.may = Some(may - 1);
        }
        let answer = call(&mut inner);
        inner.process.answers.push(Arc::new(answer.clone()));
        inner.used += 1;
        Some(answer)
    }
}

macro_rules! reads {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty $(, $hook:ident)?;)+) => {
        #[async_trait]
        impl PayoutRepository for Desk {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$answer, StoreError> {
                Ok(self.step(None, |inner| {
                    let answer = at_once(inner.world.memory.$name($($arg),*)).expect("the memory store can be read");
                    $(let answer = $hook(self.weak, answer);)?
                    answer
                }).await)
            })+

            async fn batch_by_escrow(&self, escrow: &EscrowId) -> Result<Option<Batch>, StoreError> {
                let found = self.step(Some(Point::Look), |inner| {
                    at_once(inner.world.memory.batch_by_escrow(escrow)).expect("the memory store can be read")
                }).await;
                let asked = self.inner().process.asked;
                Ok(found.map(|batch| as_asked(batch, asked)))
            }
            async fn commit(&self, change: Change) -> Result<(), CommitError> {
                self.write(change).await
            }
        }
    };
}

reads! {
    model_in_force(project: &ProjectId, as_of: Timestamp) -> InForce;
    basis(wanted: &Wanted) -> Basis;
    newest_model(project: &ProjectId) -> Option<ModelVersion>;
    recipients(ids: &[RecipientId]) -> Vec<Stored<Recipient>>;
    batch_for_execution(batch: BatchId) -> Option<BatchForExecution>;
    instruction(instruction: InstructionId) -> Option<Stored<Instruction>>;
    instruction_of(rail: &RailId, wire_ref: &str) -> Option<Stored<Instruction>>, without_ranks;
    taken_events(rail: &RailId, names: &[String]) -> Vec<String>;
    recipients_paid_at(rail: &RailId, value: &str) -> Vec<RecipientId>;
    batch_of_item(item: ItemId) -> Option<BatchId>;
    policy() -> Option<PolicyVersion>;
    paid_destinations(recipients: &[RecipientId]) -> Vec<PaidDestination>;
    proposed_resolution(item: ItemId) -> Option<Stored<Resolution>>, by_somebody_else;
    batches_to_be_paid(after: Option<BatchId>, limit: u32) -> Vec<Batch>;
    counters(keys: &[CounterKey]) -> Vec<StoredCounter>;
    counters_of(kind: &str, recipient: &RecipientId) -> Vec<StoredCounter>;
    raised_by(key: &CounterKey, limit: u32) -> Vec<Raise>;
    batch_for_reversal(batch: BatchId) -> Option<BatchForReversal>;
    reversal(reversal: &ReversalId) -> Option<(Reversal, Vec<ReversalLine>)>;
    batch_inputs(batch: BatchId) -> Option<(BatchInputs, Vec<BatchLine>)>;
    batches_held_for(recipient: &RecipientId, after: Option<BatchId>, limit: u32) -> Vec<BatchId>;
}

fn without_ranks(weak: Option<Weakening>, found: Option<Stored<Instruction>>) -> Option<Stored<Instruction>> {
    let mut found = found;
    if let (Some(Weakening::RanksIgnored), Some(found)) = (weak, &mut found) {
        found.value.items.iter_mut().for_each(|part| part.outcome = Outcome::Sent);
    }
    found
}
fn by_somebody_else(weak: Option<Weakening>, found: Option<Stored<Resolution>>) -> Option<Stored<Resolution>> {
    let mut found = found;
    if let (Some(Weakening::ResolvedAlone), Some(found)) = (weak, &mut found) {
        found.value.proposed_by = crate::read("usr_nobody");
    }
    found
}

fn as_asked(mut batch: Batch, asked: Option<Fingerprint>) -> Batch {
    if let (Some(asked), Origin::Release(release)) = (asked, &mut batch.origin) {
        release.fingerprint = asked;
    }
    batch
}
fn booked(new: &New) -> Option<(BatchId, i64)> {
    if let New::Batch(batch) = new { Some((batch.id, batch.amount_minor)) } else { None }
}

/// What became of a commit, in a form that can be given again.
#[derive(Clone)]
enum Committed {
    Done,
    LeaseLost,
    Stale,
    Duplicate(DuplicateKey),
    Failed,
    Unclear,
}

impl From<Result<(), CommitError>> for Committed {
    fn from(done: Result<(), CommitError>) -> Self {
        match done {
            Ok(()) => Self::Done,
            Err(CommitError::LeaseLost) => Self::LeaseLost,
            Err(CommitError::Stale) => Self::Stale,
            Err(CommitError::Duplicate(key)) => Self::Duplicate(key),
            Err(CommitError::Store(_)) => Self::Failed,
            Err(CommitError::Unclear(_)) => Self::Unclear,
        }
    }
}

impl From<Committed> for Result<(), CommitError> {
    fn from(committed: Committed) -> Self {
        Err(match committed {
            Committed::Done => return Ok(()),
            Committed::LeaseLost => CommitError::LeaseLost,
            Committed::Stale => CommitError::Stale,
            Committed::Duplicate(key) => CommitError::Duplicate(key),
            Committed::Failed => CommitError::Store(StoreError::Unavailable("modelled".to_owned())),
            Committed::Unclear => CommitError::Unclear("modelled".to_owned()),
        })
    }
}

impl Desk {
    async fn write(&self, change: Change) -> Result<(), CommitError> {
        // After an intent it stands still: whatever may happen between the commit and the call happens here.
        let is_intent = matches!(change.lease, Some(LeaseStep::Keep(_)));
        let known = self.inner().process.answers.len();
        let done = self.step(Some(Point::Commit), |inner| inner.commit(change, self.weak)).await;
        let stands = {
            let mut inner = self.inner();
            let is_new = inner.process.answers.len() > known && inner.may.is_some();
            let stands = is_new && is_intent && matches!(done, Committed::Done);
            if stands {
                inner.process.at = Point::Call;
            }
            stands
        };
        if stands {
            std::future::pending::<()>().await;
        }
        done.into()
    }
}

impl Inner {
    fn commit(&mut self, mut change: Change, weak: Option<Weakening>) -> Committed {
        let is_intent = change.insert.iter().any(|new| matches!(new, New::Instruction(_)));
        if self.fate == Fate::Fails {
            let is_believed = is_intent && weak == Some(Weakening::UnstoredIntent);
            return if is_believed { Committed::Done } else { Committed::Failed };
        }
        if self.fate == Fate::UnclearLost {
            return if weak == Some(Weakening::UnclearIsDone) { Committed::Done } else { Committed::Unclear };
        }
        // Nobody in a model reads these, and every state would carry them along.
        change.audit.clear();
        change.publish.clear();
        let lease = change.lease.as_ref().map(|step| step.lease().clone());
        let ends = !matches!(change.lease, None | Some(LeaseStep::Keep(_)));
        let is_held = lease.as_ref().is_none_or(|lease| self.world.is_leased(lease.attempt, Duration::ZERO));
        match weak {
            Some(Weakening::NoFencing | Weakening::WorkerClockLease) => change.lease = None,
            Some(Weakening::NeverLookedAtAgain) => {
                if let Some(LeaseStep::Again(lease, _)) = change.lease.take() {
                    change.lease = Some(LeaseStep::Finish(lease));
                }
            }
            Some(Weakening::ReturnNotPosted) => change.post.retain(|posted| posted.kind() != TransactionKind::Returned),
            Some(Weakening::LateSuccessIgnored) => {
                change.post.retain(|posted| posted.kind() != TransactionKind::PaidLate);
            }
            Some(Weakening::CheckThenInsert) => self.without_its_key(&mut change),
            _ => {}
        }
        let booked: Vec<(BatchId, i64)> = change.insert.iter().filter_map(booked).collect();
        let posted = change.post.clone();
        let done = at_once(self.world.memory.commit(change.clone()));
        let done = match done {
            Err(CommitError::Stale) if weak == Some(Weakening::StaleIgnored) => {
                let change = self.refreshed(change);
                at_once(self.world.memory.commit(change))
            }
            done => done,
        };
        if done.is_ok() {
            self.world.post(&posted);
            self.world.booked.extend(booked);
            if !is_held {
                self.world.breaks("I7: written under a lost lease");
            }
            if ends && is_held {
                self.world.lease = None;
            }
        }
        match (self.fate, done) {
            (Fate::Unclear, Ok(())) if weak == Some(Weakening::UnclearIsDone) => Committed::Done,
            (Fate::Unclear, Ok(())) => Committed::Unclear,
            (_, done) => done.into(),
        }
    }
    /// A lease is over at its end, not after it.
    fn is_over(&self) -> bool {
        self.world.lease.is_none_or(|(_, until)| self.world.now() >= until)
    }

    /// The unique key does not see the batch: it stands under a name of its own, unless there is none yet.
    fn without_its_key(&self, change: &mut Change) {
        let is_taken = !self.world.booked.is_empty();
        for new in &mut change.insert {
            if let (true, New::Batch(batch)) = (is_taken, new)
                && let Origin::Release(release) = &mut batch.origin
            {
                release.escrow = crate::read(&format!("esc_other{}", self.number));
            }
        }
    }

    /// The change as if everything had been read just now.
    fn refreshed(&self, mut change: Change) -> Change {
        let memory = &self.world.memory;
        for update in &mut change.update {
            match update {
                Update::Batch(stored) => {
                    if let Ok(Some(now)) = at_once(memory.batch_for_execution(stored.value.id)) {
                        stored.revision = now.batch.revision;
                    }
                }
                Update::Item(stored) => {
                    if let Ok(Some(now)) = at_once(memory.batch_for_execution(stored.value.batch)) {
                        let found = now.items.iter().find(|item| item.value.id == stored.value.id);
                        stored.revision = found.map_or(stored.revision, |item| item.revision);
                    }
                }
                Update::Instruction(stored) => {
                    if let Ok(Some(now)) = at_once(memory.instruction(stored.value.id)) {
                        stored.revision = now.revision;
                    }
                }
                Update::Recipient(_) | Update::Resolution(_) => {}
            }
        }
        change
    }

    /// The only call that moves money leaves.
    fn submit(&mut self, instruction: &Instruction, weak: Option<Weakening>) -> Submit {
        let now = self.world.now();
        if let Some(attempt) = self.process.attempt
            && !self.world.is_leased(attempt, CALL_MAX)
        {
            self.world.breaks("a call leaves beside its lease");
        }
        if self.world.provider.flights.iter().any(|flight| flight.key.0 != instruction.id) {
            self.world.breaks("I8: two payments of one item are on their way");
        }
        let flight = Provider::flight(instruction, weak == Some(Weakening::NewKeyEachTry), now);
        let unknown = || Submit::Unknown { cause: "no answer".to_owned() };
        let submit = match self.fate {
            Fate::Arrives(receipt) => {
                let place = self.world.provider.receive(flight, receipt, now);
                let transfer = &self.world.provider.transfers[place];
                match transfer.fate {
                    Becomes::Refused { retry, .. } => Submit::Refused {
                        reason: "refused".to_owned(),
                        class: if retry { Class::Retry } else { Class::Fail },
                    },
                    _ => Submit::Accepted { reference: None, seen: vec![transfer.says()] },
                }
            }
            Fate::Silent(receipt) => {
                self.world.provider.receive(flight, receipt, now);
                unknown()
            }
            Fate::Late => {
                self.world.provider.flights.push(flight);
                unknown()
            }
            Fate::NotSent => Submit::NotSent { cause: "refused".to_owned(), retry_after: None, ours: false },
            Fate::Lost | Fate::Fine | Fate::Dead | Fate::Lags | Fate::Fails | Fate::Unclear | Fate::UnclearLost => {
                unknown()
            }
        };
        let submit = match submit {
            Submit::Unknown { cause } if weak == Some(Weakening::NewKeyAfterSilence) => {
                Submit::Refused { reason: cause, class: Class::Retry }
            }
            submit => submit,
        };
        self.process.heard.push(match &submit {
            Submit::Accepted { seen, .. } => seen.first().map_or("accepted", |event| event.what.as_str()),
            Submit::Refused { class, .. } => class.as_str(),
            Submit::NotSent { .. } => "not sent",
            Submit::Unknown { .. } => "unknown",
        });
        submit
    }

    fn query(&mut self, instruction: &Instruction, weak: Option<Weakening>) -> Lookup {
        let found = self.world.provider.last_of(instruction.id);
        let lookup = match (self.fate, found) {
            (Fate::Dead, _) if weak == Some(Weakening::SilenceIsAbsence) => Lookup::ProvenAbsent,
            (Fate::Dead, _) => Lookup::CannotTell { cause: "no answer".to_owned() },
            (Fate::Lags, _) | (_, None) => Lookup::ProvenAbsent,
            (_, Some(place)) => Lookup::Found(vec![self.world.provider.transfers[place].says()]),
        };
        self.process.heard.push(match &lookup {
            Lookup::Found(events) => events.first().map_or("found", |event| event.what.as_str()),
            Lookup::ProvenAbsent => "absent",
            Lookup::CannotTell { .. } => "cannot tell",
        });
        lookup
    }

    fn recall(&mut self, instruction: &Instruction, weak: Option<Weakening>) -> Recall {
        let found = self.world.provider.last_of(instruction.id);
        let refused = || Recall::Refused { reason: "too late".to_owned() };
        match found.map(|place| (place, self.world.provider.transfers[place].fate)) {
            Some((place, Becomes::Taken)) => {
                self.world.provider.transfers[place].fate = Becomes::Recalled;
                if self.fate == Fate::Dead {
                    Recall::Unknown { cause: "no answer".to_owned() }
                } else {
                    Recall::Recalled
                }
            }
            Some((_, Becomes::Recalled)) => Recall::Recalled,
            _ if weak == Some(Weakening::RecallBelieved) => Recall::Recalled,
            _ => refused(),
        }
    }
}

#[async_trait]
impl JobQueue for Desk {
    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Claimed>, StoreError> {
        let claimed = self.step(Some(Point::Claim), |inner| {
            // The first worker's clock is far behind: the end that it writes has passed already.
            let is_behind = self.has(Weakening::WorkerClockLease) && inner.number == 0;
            let span = if is_behind { Duration::ZERO } else { lease };
            let claimed = at_once(inner.world.memory.claim(limit, span)).expect("the memory store can be read");
            if let Some(one) = claimed.first() {
                if inner.world.lease.is_some() && !inner.is_over() {
                    inner.world.breaks("a job is handed to two at once");
                }
                inner.world.lease = Some((one.lease.attempt, inner.world.now().after(lease)));
                inner.process.attempt = Some(one.lease.attempt);
            }
            claimed
        });
        Ok(claimed.await)
    }
    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<bool, StoreError> {
        Ok(self.step(None, |inner| at_once(inner.world.memory.extend(lease, duration)).unwrap_or(false)).await)
    }
    async fn release(&self, lease: &Lease, delay: Duration) -> Result<(), StoreError> {
        let release = self.step(None, |inner| {
            if inner.world.is_leased(lease.attempt, Duration::ZERO) {
                inner.world.lease = None;
            }
            at_once(inner.world.memory.release(lease, delay)).is_ok()
        });
        release.await;
        Ok(())
    }
    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        Ok(self.step(None, |inner| at_once(JobQueue::forget(&inner.world.memory, age, limit)).unwrap_or(0)).await)
    }
    async fn wait(&self, _: Duration) {}
}

#[async_trait]
impl Clock for Desk {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.step(None, |inner| inner.world.now()).await)
    }
    fn steady(&self) -> Duration {
        if self.has(Weakening::NoSteadyClock) {
            return Duration::ZERO;
        }
        self.try_step(None, |inner| inner.world.memory.steady()).unwrap_or_default()
    }
}

impl Ids for Desk {
    fn fresh(&self) -> Uuid {
        let mut inner = self.inner();
        // Drawn anew each time that the use case is run again, and the same each time.
        inner.drawn += 1;
        Uuid::from_u128(u128::from(inner.process.names + inner.drawn) << 64)
    }
}

impl Dice for Desk {
    fn below(&self, _: u64) -> u64 {
        0
    }
}

#[async_trait]
impl PayoutRail for Desk {
    fn profile(&self) -> RailProfile {
        let is_people = self.inner().may.is_none();
        let settle_bound = match self.weak {
            Some(Weakening::NoSettleBound) => Duration::ZERO,
            Some(Weakening::NoAllowance) => SETTLE_BOUND.saturating_sub(ALLOWANCE),
            Some(Weakening::ResolvedTooEarly) if is_people => Duration::ZERO,
            _ => SETTLE_BOUND,
        };
        let replay_window = match self.weak {
            Some(Weakening::ReplayAfterWindow) => None,
            Some(Weakening::ReplayToTheEnd) => Some(REPLAY_WINDOW + SETTLE_BOUND),
            Some(Weakening::ResolvedTooEarly) if is_people => Some(Duration::ZERO),
            _ => Some(REPLAY_WINDOW),
        };
        RailProfile {
            id: crate::read("alpha"),
            items_max: 1,
            replay_window,
            settle_bound,
            pays_strangers: true,
            charges_returns: false,
            calls_per_second_max: 1_000,
            granularities: BTreeMap::new(),
        }
    }
    fn check(&self, _: &Destination) -> Result<(), Vec<Detail>> {
        Ok(())
    }
    fn prepare(&self, key: InstructionId, _: &[Order]) -> Result<Vec<u8>, PrepareError> {
        Ok(key.to_string().into_bytes())
    }
    async fn preflight(&self, _: &Destination) -> Preflight {
        Preflight::Ready
    }
    async fn submit(&self, instruction: &Instruction) -> Submit {
        self.step(None, |inner| inner.submit(instruction, self.weak)).await
    }
    async fn query(&self, instruction: &Instruction) -> Lookup {
        self.step(Some(Point::Query), |inner| inner.query(instruction, self.weak)).await
    }
    async fn recall(&self, instruction: &Instruction, _: &[ItemId]) -> Recall {
        self.step(None, |inner| inner.recall(instruction, self.weak)).await
    }
    async fn list(&self, _: Timestamp, _: Option<String>) -> Result<Listed, RailDown> {
        Err(RailDown("this rail keeps no list".to_owned()))
    }
    async fn book(&self, _: Option<String>, _: u32) -> Result<Option<Vec<BookEntry>>, RailDown> {
        Ok(None)
    }
    fn ingest(&self, _: &Inbound) -> Result<Vec<RailEvent>, IngestError> {
        Ok(self.inner().told.clone().into_iter().collect())
    }
}
