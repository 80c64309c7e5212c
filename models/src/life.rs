//! One item from its release to its end: its instructions, its rail, people, and workers under leases.

use crate::{
    begin::{empty_world, publish_model, release},
    desk::{Desk, Fate, LEASE, Point, Process, do_at_once, go_on, rails},
    provider::{AMOUNT_MINOR, Fate as Becomes, Receipt, SETTLE_BOUND, saying},
    rules::Weakening,
    world::{Shape, Stands, TICK, World},
};
use app::{
    change::Resolved,
    failure::{Class, Failure},
    idempotency::Remembering,
    payouts::{
        act::{Acting, Action as PeopleDo, act},
        do_jobs::do_jobs,
        execute_batch::Ports,
        gate::Gates,
        receive_notification::{Ears, receive_notification},
        resolve_item::{ResolveItem, resolve_item},
    },
    ports::{StoreError, queries::BatchDetails, rail::Inbound},
    recipients::register_recipient::{RegisterRecipient, register_recipient},
};
use domain::{
    audit::Actor,
    item::ItemStatus,
    recipient::{Destination, RecipientStatus},
};
use stateright::{Model, Property};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A payment is lost or late, or its answer is.
    Call,
    /// A question is not answered, or not truly.
    Question,
    /// A commit fails, or its answer is lost.
    Commit,
    /// A worker dies.
    Death,
    /// What was paid comes back; a recall is not answered.
    Return,
}

impl Kind {
    /// Everything.
    pub const ALL: &'static [Self] = &[Self::Call, Self::Question, Self::Commit, Self::Death, Self::Return];
}

/// What is tried, and what is taken away.
pub struct Life {
    /// How many workers there are.
    pub workers: usize,
    /// How much goes wrong at most on one path.
    pub faults: u8,
    /// What of all that can.
    pub kinds: &'static [Kind],
    /// How often the provider or people say what is not true, at most on one path.
    pub lies: u8,
    /// What the provider does with a new call.
    pub receipts: &'static [Receipt],
    /// Whether people cancel, retry, and say what became of a payment.
    pub has_people: bool,
    /// Whether it is looked for a way to rest from every state.
    pub must_rest: bool,
    /// Most instructions of the item, and most calls under one key.
    pub most: (usize, u32),
    /// What is taken away.
    pub weak: Option<Weakening>,
    #[doc(hidden)]
    pub resting: Mutex<HashSet<u64>>,
}

impl Life {
    /// One item, one worker, everything that a rail and people may do.
    pub fn of_an_item(weak: Option<Weakening>) -> Self {
        Self {
            workers: 1,
            faults: 2,
            kinds: Kind::ALL,
            lies: 1,
            receipts: &[
                Receipt::Settles,
                Receipt::Takes,
                Receipt::RefusesForNow,
                Receipt::RefusesForGood,
                Receipt::Lies,
            ],
            has_people: true,
            must_rest: true,
            most: (3, 3),
            weak,
            resting: Mutex::default(),
        }
    }
    /// Several workers under leases, with a rail that is simple.
    pub fn of_leases(workers: usize, weak: Option<Weakening>) -> Self {
        Self {
            workers,
            faults: 1,
            kinds: Kind::ALL,
            lies: 0,
            receipts: &[Receipt::Settles],
            has_people: false,
            must_rest: true,
            most: (2, 3),
            weak,
            resting: Mutex::default(),
        }
    }
}

/// A state: everything outside of the processes, and the processes as they stand.
#[derive(Clone)]
pub struct State {
    world: Arc<World>,
    workers: Vec<Option<Process>>,
    details: Arc<BatchDetails>,
    shape: Shape,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
    }
}
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.shape.hash(hasher);
    }
}
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shape.fmt(f)
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A worker makes its next call, of which that becomes.
    Work(usize, Fate),
    /// A worker dies.
    Dies(usize),
    /// A payment that was on its way arrives.
    Arrives(usize, Receipt),
    /// Something becomes of a transfer at the provider.
    Becomes(usize, Becomes),
    /// A message of the provider is told.
    Tells(usize),
    /// Time passes.
    Tick,
    /// Somebody says what became of the payment.
    Proposes(Resolved),
    /// Somebody says the same: another one, if two people are needed.
    Confirms(Resolved, bool),
    /// Somebody gives the item up; of the recall that becomes.
    Cancels(Fate),
    /// Somebody has it sent again.
    Retries,
}

fn state(world: World, workers: Vec<Option<Process>>, weak: Option<Weakening>) -> State {
    let details = world.details();
    let now = world.now();
    let stands = |process: &Process| -> Stands {
        let age = i64::try_from(now.since(process.began_at).as_millis()).unwrap_or(i64::MAX).min(40_000);
        let has_lease = process.attempt.is_some_and(|attempt| world.is_leased(attempt, Duration::ZERO));
        let matters = has_lease || weak.is_some();
        (process.at.as_str(), matters.then(|| (process.seen, age, process.heard.clone())))
    };
    let shape = Shape::of(&world, &details);
    let stand = workers.iter().map(|worker| worker.as_ref().map(stands)).collect();
    State { world: Arc::new(world), workers, details: Arc::new(details), shape: shape.with(stand) }
}

/// A turn of a worker.
async fn turn(desk: Arc<Desk>) {
    // What could not be done is in the world: whoever looks at it finds out.
    let _ = do_one(&desk).await;
}
async fn do_one(desk: &Arc<Desk>) -> Result<usize, StoreError> {
    let (rails, gates) = (rails(desk), Gates::default());
    let ports = Ports {
        repository: &**desk,
        rails: &rails,
        gates: &gates,
        ids: &**desk,
        dice: &**desk,
        clock: &**desk,
        lease_ends: Duration::ZERO,
        batch_has: &|_| {},
    };
    do_jobs(ports, &**desk, 1, LEASE).await
}

impl Life {
    /// A release of one item, for one recipient, that nobody has looked at.
    fn begin(&self) -> World {
        let world = empty_world(self.faults, self.lies);
        let now = world.now();
        let recipient = RegisterRecipient {
            id: crate::read("rec_ana"),
            status: Some(RecipientStatus::Active),
            tax: None,
            payout_minimums: BTreeMap::new(),
            destination: Some(Destination::bare(crate::read("alpha"))),
            actor: Actor::of(&crate::read("usr_clerk")),
        };
        let (set_up, ()) = do_at_once(world, (Fate::Fine, None, None), async |desk| {
            publish_model(&desk, now).await;
            let rails = rails(&desk);
            register_recipient(&*desk, &rails, &*desk, now, recipient).await.expect("a recipient is registered");
        });
        // Whoever registers somebody leaves work behind that is of no interest here.
        let (mut set_up, ()) =
            do_at_once(set_up, (Fate::Fine, None, None), async |desk| while let Ok(1..) = do_one(&desk).await {});
        set_up.lease = None;
        let (mut world, batch) =
            do_at_once(set_up, (Fate::Fine, None, None), async |desk| release(&desk, AMOUNT_MINOR).await);
        world.batch = batch.expect("a release is booked").id;
        world.item = world.details().items.first().expect("it has an item").id;
        world
    }

    /// What may become of the next call of a process.
    fn fates(&self, state: &State, process: &Process, fates: &mut Vec<Fate>) {
        let world = &state.world;
        let fails = |kind| world.faults > 0 && self.kinds.contains(&kind);
        match process.at {
            Point::Claim | Point::Look => fates.push(Fate::Fine),
            Point::Commit => {
                fates.push(Fate::Fine);
                if fails(Kind::Commit) {
                    fates.extend([Fate::Fails, Fate::Unclear]);
                }
            }
            Point::Query => {
                fates.push(Fate::Fine);
                let now = world.now();
                let may_hide =
                    world.provider.transfers.last().is_some_and(|last| now.since(last.left_at) < SETTLE_BOUND);
                if fails(Kind::Question) {
                    fates.push(Fate::Dead);
                    fates.extend(may_hide.then_some(Fate::Lags));
                }
            }
            Point::Call => {
                let receipts = self.receipts_of(world, None);
                fates.extend(receipts.iter().map(|receipt| Fate::Arrives(*receipt)));
                if fails(Kind::Call) {
                    fates.extend([Fate::Lost, Fate::Late, Fate::NotSent]);
                    fates.extend(receipts.iter().map(|receipt| Fate::Silent(*receipt)));
                }
            }
        }
    }
    /// What the provider may do with a call: what is known already is done once.
    fn receipts_of(&self, world: &World, flight: Option<usize>) -> Vec<Receipt> {
        let is_new = match flight {
            Some(place) => world.provider.is_new(&world.provider.flights[place], world.now()),
            None => true,
        };
        let all = if is_new { self.receipts } else { &self.receipts[..1] };
        all.iter().copied().filter(|receipt| *receipt != Receipt::Lies || world.lies > 0).collect()
    }

    fn work(&self, world: World, number: usize, process: Option<Process>, fate: Fate) -> (World, Option<Process>) {
        let mut world = world;
        let is_new = process.is_none();
        let process = process.unwrap_or_else(|| Process::new(&mut world, Point::Claim));
        let (world, done) = go_on(world, process, (number, fate, self.weak), turn);
        let mut process = done.err();
        if let (true, Some(process)) = (is_new, &mut process) {
            process.seen = Shape::of(&world, &world.details()).read_by_a_turn();
        }
        (world, process)
    }

    /// What people do.
    fn acting<T, E: Failure>(
        &self,
        world: World,
        (who, fate): (&str, Fate),
        does: impl AsyncFnOnce(Acting<'_>) -> Result<T, E>,
    ) -> World {
        let now = world.now();
        let (mut world, done) = do_at_once(world, (fate, None, self.weak), async |desk| {
            let (rails, actor) = (rails(&desk), Actor::of(&crate::read(who)));
            does(Acting { repository: &*desk, rails: &rails, ids: &*desk, dice: &*desk, actor: &actor, now }).await
        });
        if done.is_err_and(|error| error.class() == Class::Internal) {
            world.breaks("our own fault: people met a contradiction");
        }
        world
    }
    fn says(&self, world: World, who: &str, outcome: Resolved) -> World {
        let item = world.item;
        let ask = ResolveItem { item, outcome, evidence: "a statement".to_owned(), requester: crate::read(who) };
        self.acting(world, (who, Fate::Fine), async |acting| resolve_item(acting, ask, &Remembering::nothing()).await)
    }
    fn tell(&self, world: World, place: usize) -> World {
        let mut world = world;
        let (transfer, fate) = world.provider.messages.remove(place);
        let event = saying(&world.provider.transfers[transfer].wire_ref, fate);
        let message = Inbound { headers: Vec::new(), body: Vec::new(), received_at: world.now() };
        let (mut world, done) = do_at_once(world, (Fate::Fine, Some(event), self.weak), async |desk| {
            let rails = rails(&desk);
            let ears = Ears { repository: &*desk, rails: &rails, ids: &*desk, dice: &*desk };
            receive_notification(ears, &crate::read("alpha"), message).await
        });
        if done.is_err_and(|error| error.class() == Class::Internal) {
            world.breaks("our own fault: a message met a contradiction");
        }
        world
    }
    fn arrive(world: &mut World, place: usize, receipt: Receipt) {
        let flight = world.provider.flights.remove(place);
        let now = world.now();
        world.provider.receive(flight, receipt, now);
    }

    /// What people find out at the provider about what is in doubt.
    fn truth(state: &State) -> Resolved {
        let open = state.details.instructions.iter().rev().find(|instruction| instruction.is_open());
        let found = open.and_then(|instruction| state.world.provider.last_of(instruction.id));
        match found.map(|place| state.world.provider.transfers[place].fate) {
            None | Some(Becomes::Recalled | Becomes::Taken) => Resolved::NotExecuted,
            Some(Becomes::Settled) => Resolved::Paid,
            Some(Becomes::Returned) => Resolved::Returned,
            Some(Becomes::Refused { .. }) => Resolved::Failed,
        }
    }

    fn people(&self, state: &State, acts: &mut Vec<Act>) {
        let status = state.details.items.first().map(|item| item.status());
        match status {
            Some(ItemStatus::InDoubt) => {
                let truth = Self::truth(state);
                acts.push(Act::Proposes(truth));
                acts.push(Act::Confirms(truth, true));
                if self.weak == Some(Weakening::ResolvedAlone) {
                    acts.push(Act::Confirms(truth, false));
                }
                acts.push(Act::Cancels(Fate::Fine));
                if state.world.lies > 0 && truth != Resolved::NotExecuted {
                    acts.push(Act::Proposes(Resolved::NotExecuted));
                    acts.push(Act::Confirms(Resolved::NotExecuted, true));
                }
            }
            Some(ItemStatus::Processing | ItemStatus::Scheduled | ItemStatus::PendingKyc) => {
                acts.push(Act::Cancels(Fate::Fine));
                if state.world.faults > 0
                    && self.kinds.contains(&Kind::Return)
                    && status == Some(ItemStatus::Processing)
                {
                    acts.push(Act::Cancels(Fate::Dead));
                }
            }
            Some(ItemStatus::Failed | ItemStatus::Returned) => acts.extend([Act::Cancels(Fate::Fine), Act::Retries]),
            Some(ItemStatus::Paid | ItemStatus::Cancelled) | None => {}
        }
    }

    /// Whether everything comes to rest once nothing goes wrong any more.
    fn can_rest(&self, state: &State) -> bool {
        let mut passed = Vec::new();
        let mut now = state.clone();
        for _ in 0..12 {
            let mut hasher = DefaultHasher::new();
            now.shape.hash(&mut hasher);
            let hash = hasher.finish();
            if self.resting.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash) {
                break;
            }
            passed.push(hash);
            if now.world.rests(&now.details) && now.workers.iter().all(Option::is_none) {
                break;
            }
            now = self.one_quiet_round(now);
            if passed.len() == 12 {
                return false;
            }
        }
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).extend(passed);
        true
    }
    /// Whatever is under way comes to its end, then a long time passes and a worker looks.
    fn one_quiet_round(&self, state: State) -> State {
        let mut world = (*state.world).clone();
        for (number, process) in state.workers.into_iter().enumerate() {
            let mut process = process;
            for _ in 0..8 {
                let Some(stands) = process.take() else { break };
                let fate = if stands.at == Point::Call { Fate::Arrives(Receipt::Settles) } else { Fate::Fine };
                (world, process) = self.work(world, number, Some(stands), fate);
            }
        }
        while !world.provider.flights.is_empty() {
            Self::arrive(&mut world, 0, Receipt::Settles);
        }
        for place in 0..world.provider.transfers.len() {
            if world.provider.transfers[place].fate == Becomes::Taken {
                world.provider.becomes(place, Becomes::Settled);
            }
        }
        while !world.provider.messages.is_empty() {
            world = self.tell(world, 0);
        }
        world.memory.advance(Duration::from_secs(4_000));
        let mut process = Some(Process::new(&mut world, Point::Claim));
        for _ in 0..8 {
            let Some(stands) = process.take() else { break };
            let fate = if stands.at == Point::Call { Fate::Arrives(Receipt::Settles) } else { Fate::Fine };
            (world, process) = self.work(world, 0, Some(stands), fate);
        }
        crate::life::state(world, vec![None; self.workers], self.weak)
    }
}

impl Model for Life {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        vec![state(self.begin(), vec![None; self.workers], self.weak)]
    }

    fn actions(&self, state: &State, acts: &mut Vec<Act>) {
        let world = &state.world;
        let now = world.now();
        if world.broken.is_some() {
            return;
        }
        let job = world.job(&state.details);
        let is_due = !job.is_done && job.run_at <= now;
        // Those who do nothing are alike, unless one of them has a clock of its own.
        let is_alike = self.weak != Some(Weakening::WorkerClockLease);
        let mut has_idle = false;
        for (number, worker) in state.workers.iter().enumerate() {
            match worker {
                None => {
                    if is_due && !(is_alike && has_idle) {
                        acts.push(Act::Work(number, Fate::Fine));
                    }
                    has_idle = true;
                }
                Some(process) => {
                    let mut fates = Vec::new();
                    self.fates(state, process, &mut fates);
                    acts.extend(fates.into_iter().map(|fate| Act::Work(number, fate)));
                    if world.faults > 0 && self.kinds.contains(&Kind::Death) {
                        acts.push(Act::Dies(number));
                    }
                }
            }
        }
        for place in 0..world.provider.flights.len() {
            let receipts = self.receipts_of(world, Some(place));
            acts.extend(receipts.into_iter().map(|receipt| Act::Arrives(place, receipt)));
        }
        for (place, transfer) in world.provider.transfers.iter().enumerate() {
            match transfer.fate {
                Becomes::Taken => {
                    acts.push(Act::Becomes(place, Becomes::Settled));
                    acts.push(Act::Becomes(place, Becomes::Refused { retry: false, lies: false }));
                }
                Becomes::Settled if world.faults > 0 && self.kinds.contains(&Kind::Return) => {
                    acts.push(Act::Becomes(place, Becomes::Returned));
                }
                Becomes::Refused { lies: true, .. } => acts.push(Act::Becomes(place, Becomes::Settled)),
                Becomes::Settled | Becomes::Returned | Becomes::Recalled | Becomes::Refused { .. } => {}
            }
        }
        acts.extend((0..world.provider.messages.len()).map(Act::Tells));
        // What is on its way arrives before its bound has passed.
        let must_arrive = |left_at: domain::timestamp::Timestamp| now.after(TICK).since(left_at) >= SETTLE_BOUND;
        if !world.provider.flights.iter().any(|flight| must_arrive(flight.left_at)) {
            acts.push(Act::Tick);
        }
        if self.has_people {
            self.people(state, acts);
        }
    }

    fn next_state(&self, last: &State, act: Act) -> Option<State> {
        let mut world = (*last.world).clone();
        let mut workers = last.workers.clone();
        match act {
            Act::Work(number, fate) => {
                if !matches!(fate, Fate::Fine | Fate::Arrives(_)) {
                    world.faults -= 1;
                }
                if matches!(fate, Fate::Arrives(Receipt::Lies) | Fate::Silent(Receipt::Lies)) {
                    (world.lies, world.lied) = (world.lies - 1, world.lied + 1);
                }
                let process = workers[number].take();
                (world, workers[number]) = self.work(world, number, process, fate);
            }
            Act::Dies(number) => {
                world.faults -= 1;
                workers[number] = None;
            }
            Act::Arrives(place, receipt) => {
                if receipt == Receipt::Lies {
                    (world.lies, world.lied) = (world.lies - 1, world.lied + 1);
                }
                Self::arrive(&mut world, place, receipt);
            }
            Act::Becomes(place, fate) => {
                if fate == Becomes::Returned {
                    world.faults -= 1;
                }
                world.provider.becomes(place, fate);
            }
            Act::Tells(place) => world = self.tell(world, place),
            Act::Tick => world.memory.advance(TICK),
            Act::Proposes(outcome) => world = self.says(world, "usr_one", outcome),
            Act::Confirms(outcome, is_another) => {
                let lies = outcome != Self::truth(last);
                world = self.says(world, if is_another { "usr_two" } else { "usr_one" }, outcome);
                let is_resolved = world.details().items.iter().all(|item| item.status() != ItemStatus::InDoubt);
                if is_resolved && !is_another {
                    world.breaks("one person said what became of it and confirmed it");
                }
                if lies && is_resolved {
                    (world.lies, world.lied) = (world.lies.saturating_sub(1), world.lied + 1);
                }
            }
            Act::Cancels(fate) => {
                if fate != Fate::Fine {
                    world.faults -= 1;
                }
                let item = world.item;
                world = self
                    .acting(world, ("usr_one", fate), async |acting| act_on(acting, PeopleDo::CancelItem(item)).await);
            }
            Act::Retries => {
                let item = world.item;
                world = self.acting(world, ("usr_one", Fate::Fine), async |acting| {
                    act_on(acting, PeopleDo::RetryItem(item)).await
                });
            }
        }
        let next = state(world, workers, self.weak);
        (next.shape != last.shape).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // The checker stops at once only if all properties are decided: with one, its counterexample is a shortest one.
        let kept =
            Property::<Self>::always("every promise is kept, and everything can come to rest", |model, state| {
                state.violation().is_none() && (!model.must_rest || model.can_rest(state))
            });
        if self.weak.is_some() {
            return vec![kept];
        }
        let is_paid = |_: &Self, state: &State| state.world.provider.executed() == 1;
        let mut all = vec![kept, Property::<Self>::sometimes("it is paid", is_paid)];
        all.extend(self.sights());
        all
    }

    fn within_boundary(&self, state: &State) -> bool {
        let (instructions, tries) = self.most;
        state.details.instructions.len() <= instructions
            && state.details.instructions.iter().all(|instruction| instruction.tries <= tries)
    }
}

async fn act_on(acting: Acting<'_>, action: PeopleDo) -> Result<app::payouts::act::Acted, app::payouts::act::ActError> {
    act(acting, action, &Remembering::nothing()).await
}

impl Life {
    /// What must be seen on some path, or the model would be poorer than it says.
    fn sights(&self) -> Vec<Property<Self>> {
        fn has(state: &State, outcome: &str) -> bool {
            let parts = state.details.instructions.iter().flat_map(|instruction| &instruction.items);
            parts.clone().any(|part| part.outcome.as_str() == outcome)
        }
        let mut all = Vec::new();
        if self.faults > 0 && self.kinds.contains(&Kind::Call) {
            all.push(Property::<Self>::sometimes("it is proven absent", |_, state: &State| has(state, "absent")));
            all.push(Property::<Self>::sometimes("something is on its way", |_, state: &State| {
                !state.world.provider.flights.is_empty()
            }));
            all.push(Property::<Self>::sometimes("it is sent anew", |_, state: &State| {
                state.details.instructions.len() == 2
            }));
        }
        if self.lies > 0 && self.receipts.contains(&Receipt::Lies) {
            all.push(Property::<Self>::sometimes("what was refused is paid", |_, state: &State| {
                state.world.lied > 0 && has(state, "settled")
            }));
        }
        if self.has_people && self.receipts.contains(&Receipt::Lies) {
            all.push(Property::<Self>::sometimes("a stray is a debt", |_, state: &State| {
                has(state, "stray") && state.world.balance("debt") == AMOUNT_MINOR
            }));
        }
        if self.has_people && self.receipts.contains(&Receipt::Takes) {
            all.push(Property::<Self>::sometimes("it is recalled", |_, state: &State| has(state, "recalled")));
        }
        if self.faults > 0 && self.kinds.contains(&Kind::Return) {
            all.push(Property::<Self>::sometimes("it comes back", |_, state: &State| has(state, "returned")));
        }
        all
    }
}

impl State {
    /// What is broken, if something is.
    pub fn violation(&self) -> Option<&'static str> {
        self.world.violation(&self.details)
    }
}
