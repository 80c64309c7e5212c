//! Who acts: workers, people, other services, and the notifications of rails.

use crate::{
    bugs::Bug,
    faults::Fault,
    kernel::Mortal,
    laws::Law,
    oracle::at_once,
    provider::{Fate, Transfer, message},
    rail::Line,
    store::Store,
    world::{Names, SimClock, SimDice, Who, World},
};
use app::{
    change::Resolved,
    events::relay_events::relay_events,
    failure::{Class, Failure},
    idempotency::Remembering,
    payouts::{
        act::{Acting, Action, act},
        approve_batch::{ApproveBatch, approve_batch},
        do_jobs::do_jobs,
        execute_batch::Ports,
        gate::Gates,
        pay_carried::{PayCarried, pay_carried},
        receive_notification::{Ears, receive_notification},
        resolve_item::{ResolveItem, resolve_item},
        schedule_payouts::{SchedulePayouts, SchedulePayoutsError, schedule_payouts},
        set_policy::set_policy,
    },
    ports::{
        EventPublisher, PayoutQueries, PublishError, Rails,
        queries::{BatchDetails, BatchFilter, Page},
        rail::Inbound,
        rail::Seen,
    },
    recipients::register_recipient::{RegisterRecipient, register_recipient},
    revenue::{
        needs::Needs,
        publish_revenue_model::{PublishRevenueModel, publish_revenue_model},
        reverse_revenue::{ReverseRevenue, reverse_revenue},
        turns::Turns,
    },
};
use async_trait::async_trait;
use domain::{
    audit::Actor,
    batch::{Batch, BatchStatus},
    event::Event,
    ids::{BatchId, ItemId},
    item::{Item, ItemStatus},
    money::Money,
    recipient::{Destination, RailId, RecipientStatus},
    revenue_model::ModelStatus,
    timestamp::Timestamp,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long a job is leased.
const LEASE: Duration = Duration::from_secs(15);

/// What a text says.
#[expect(clippy::expect_used, reason = "texts of this file")]
pub fn read<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("it can be read")
}

fn rails(world: &Arc<World>, who: Who) -> Rails {
    let line = |place: usize| -> Arc<dyn app::ports::PayoutRail> {
        Arc::new(Line { world: world.clone(), provider: world.providers[place].clone(), who })
    };
    Rails::new(line(0), (1..world.providers.len()).map(line))
}

/// The API: what people and other services ask for.
pub struct Api {
    /// The world.
    pub world: Arc<World>,
    store: Store,
    rails: Rails,
    names: Names,
    dice: SimDice,
    turns: Turns,
    needs: Needs,
    releases: Mutex<BTreeMap<String, BatchId>>,
}

impl Api {
    /// The API of a world.
    pub fn new(world: &Arc<World>) -> Self {
        Self {
            world: world.clone(),
            store: Store::of(world, Who::Api),
            rails: rails(world, Who::Api),
            names: Names(world.kernel.clone()),
            dice: SimDice(world.kernel.clone()),
            turns: Turns::default(),
            needs: Needs::default(),
            releases: Mutex::default(),
        }
    }

    /// What came of it goes into the trace; what is our own fault is a violation.
    fn said<T, E: Failure + Debug>(&self, what: &str, said: Result<T, E>) -> Option<T> {
        match said {
            Ok(answer) => {
                self.world.kernel.note(|| format!("{what}: done"));
                Some(answer)
            }
            Err(error) => {
                self.world.kernel.note(|| format!("{what}: {}", error.code()));
                if error.class() == Class::Internal {
                    self.world.violated(Law::NoFault, format!("{what}: {error:?}"));
                }
                None
            }
        }
    }
    async fn acting<T, E: Failure + Debug>(
        &self,
        who: &str,
        what: String,
        does: impl AsyncFnOnce(Acting<'_>) -> Result<T, E>,
    ) -> Option<T> {
        let actor = Actor { role: Some("operator".to_owned()), ..Actor::of(&read(who)) };
        let acting = Acting {
            repository: &self.store,
            rails: &self.rails,
            ids: &self.names,
            dice: &self.dice,
            actor: &actor,
            now: self.world.now(),
        };
        self.world.kernel.note(|| format!("{who}: {what}"));
        self.said(&what, does(acting).await)
    }

    /// Stores the model of a project.
    pub async fn model(&self, project: &str, spec: Value) {
        let Ok(spec) = serde_json::from_value(spec) else { return };
        let ask = PublishRevenueModel {
            project: read(project),
            spec,
            status: ModelStatus::Active,
            effective_from: None,
            effective_to: None,
            version: None,
            actor: Actor::of(&read("usr_author")),
        };
        let done = publish_revenue_model(&self.store, &self.names, self.world.now(), ask).await;
        self.said("model", done);
    }
    /// Registers or changes a recipient.
    pub async fn register(&self, id: &str, status: RecipientStatus, rail: &RailId, account: u64, minimum: Option<i64>) {
        let mut destination = Destination::bare(rail.clone());
        destination.details.insert("account".to_owned(), json!(account));
        let ask = RegisterRecipient {
            id: read(id),
            status: Some(status),
            tax: None,
            payout_minimums: minimum.into_iter().map(|minor| (read("USD"), minor)).collect(),
            destination: Some(destination),
            actor: Actor::of(&read("usr_clerk")),
        };
        let done = register_recipient(&self.store, &self.rails, &self.names, self.world.now(), ask).await;
        self.said(&format!("register {id} {} {account}", status.as_str()), done);
    }
    /// Releases an escrow.
    pub async fn release(&self, project: &str, escrow: &str, amount: i64, execute_at: Option<Timestamp>) {
        let ask = SchedulePayouts {
            escrow: read(escrow),
            project: read(project),
            milestone: None,
            amount: Money::new(amount, read("USD")),
            as_of: None,
            execute_at,
            deductions: Vec::new(),
            actor: Actor::of(&read("usr_escrow")),
        };
        let nothing = Remembering::nothing();
        let call = self.world.kernel.number();
        let store = Store { call, ..Store::of(&self.world, Who::Api) };
        let Self { rails, names, turns, needs, .. } = self;
        let done = schedule_payouts(&store, rails, names, turns, needs, ask, &nothing).await;
        if matches!(done, Err(SchedulePayoutsError::Store(_) | SchedulePayoutsError::Busy)) {
            self.world.oracle().told_nothing_is_booked(call);
        }
        if let (true, Err(SchedulePayoutsError::AlreadyScheduled { existing, .. })) =
            (self.world.has(Bug::ReleaseIgnoresAmount), &done)
        {
            self.released(escrow, amount, existing);
        }
        if let Some(batch) = self.said(&format!("release {escrow} {amount}"), done) {
            self.released(escrow, amount, &batch);
        }
    }
    fn released(&self, escrow: &str, amount: i64, batch: &Batch) {
        if batch.amount_minor != amount {
            self.world.violated(Law::Allocated, format!("{escrow} of {amount} was booked as {}", batch.amount_minor));
        }
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        if releases.insert(escrow.to_owned(), batch.id).is_some_and(|before| before != batch.id) {
            self.world.violated(Law::Allocated, format!("{escrow} was booked twice"));
        }
    }
    /// Takes back a part of a release.
    pub async fn reverse(&self, id: &str, escrow: &str, amount_minor: i64, strategy: &str) {
        let ask = ReverseRevenue {
            id: read(id),
            escrow: read(escrow),
            amount_minor,
            currency: None,
            strategy: read(strategy),
            reason: None,
            actor: Actor::of(&read("usr_support")),
        };
        let nothing = Remembering::nothing();
        let done = reverse_revenue(&self.store, &self.names, self.world.now(), ask, &nothing).await;
        self.said(&format!("reverse {id} {escrow} {amount_minor} {strategy}"), done);
    }
    /// Pays what is carried.
    pub async fn pay_carried(&self, recipient: &str) {
        let ask =
            PayCarried { recipient: read(recipient), currency: read("USD"), actor: Actor::of(&read("usr_operator")) };
        let nothing = Remembering::nothing();
        let done = pay_carried(&self.store, &self.rails, &self.names, self.world.now(), ask, &nothing).await;
        self.said(&format!("pay carried {recipient}"), done);
    }
    /// Somebody acts.
    pub async fn act(&self, who: &str, action: Action) {
        self.acting(who, format!("{action:?}"), async |acting| act(acting, action, &Remembering::nothing()).await)
            .await;
    }
    /// Somebody says yes to a batch.
    pub async fn approve(&self, who: &str, batch: BatchId) {
        let ask = ApproveBatch { batch, hash: None, approver: read(who) };
        self.acting(who, format!("approve {batch}"), async |acting| {
            approve_batch(acting, ask, &Remembering::nothing()).await
        })
        .await;
    }
    /// Somebody says what became of an item.
    pub async fn resolve(&self, who: &str, item: ItemId, outcome: Resolved) {
        let ask = ResolveItem { item, outcome, evidence: "statement".to_owned(), requester: read(who) };
        self.acting(who, format!("resolve {item} {}", outcome.as_str()), async |acting| {
            resolve_item(acting, ask, &Remembering::nothing()).await
        })
        .await;
    }
    /// So many people must say yes from now on.
    pub async fn policy(&self, approvals: u32) {
        let rule = json!({ "when": "amount", "currency": "USD", "from": 1, "approvals": approvals });
        let rules = if approvals == 0 { Vec::new() } else { vec![rule] };
        let Ok(spec) = serde_json::from_value(json!({ "approval": { "rules": rules } })) else { return };
        self.acting("usr_admin", format!("policy {approvals}"), async |acting| {
            set_policy(acting, spec, read("usr_admin")).await
        })
        .await;
    }

    /// Every batch, as it is.
    pub fn batches(&self) -> Vec<BatchDetails> {
        self.batches_that(|_| true)
    }
    /// Every batch of which this is true, as it is: details are much to read for those who want few.
    fn batches_that(&self, wanted: impl Fn(&Batch) -> bool) -> Vec<BatchDetails> {
        const ALL: Page<BatchId> = Page { limit: 1_000_000, after: None };
        let memory = &self.world.kernel.memory;
        let listed = at_once(memory.batches(BatchFilter::default(), ALL)).and_then(Result::ok);
        let listed = listed.into_iter().flat_map(|paged| paged.data);
        let wanted: BTreeSet<BatchId> = listed.filter(wanted).map(|batch| batch.id).collect();
        let ids = self.world.oracle().batches.clone();
        ids.into_iter().filter(|id| wanted.contains(id)).filter_map(|id| at_once(memory.batch(id))?.ok()?).collect()
    }
    /// One item out of all.
    fn some_item(&self, wanted: impl Fn(&Item) -> bool) -> Option<Item> {
        let items: Vec<Item> = self.batches().into_iter().flat_map(|batch| batch.items).filter(wanted).collect();
        self.world.kernel.chance(|chance| chance.pick(&items).cloned())
    }

    /// What an operator finds out at the provider about a payment that is in doubt.
    pub fn truth(&self, details: &BatchDetails, item: ItemId) -> Option<Resolved> {
        let live = details
            .instructions
            .iter()
            .rev()
            .find(|instruction| instruction.item(item).is_some_and(|part| part.outcome.is_open()))?;
        let provider = self.world.providers.iter().find(|provider| *provider.id() == live.rail)?;
        let transfers = provider.of_key(&live.id.to_string());
        let transfer: Option<&Transfer> = transfers.iter().find(|transfer| transfer.item == item);
        match transfer {
            None => Some(Resolved::NotExecuted),
            Some(transfer) if transfer.is_back() => Some(Resolved::Returned),
            Some(transfer) => match transfer.fate {
                Fate::Settled => Some(Resolved::Paid),
                Fate::Refused(..) => Some(Resolved::Failed),
                Fate::Recalled => Some(Resolved::NotExecuted),
                Fate::Taken => None,
            },
        }
    }
}

/// How long whoever finds nothing to do waits at most. When nothing goes wrong any more, two days and a half pass in
/// which hardly anything happens.
fn longest_idle(world: &World) -> Duration {
    Duration::from_secs(if world.faults.are_on() { 120 } else { 900 })
}

/// A worker, as long as the world goes on.
pub async fn worker(world: Arc<World>, number: u8) {
    let who = Who::Worker(number);
    let kernel = world.kernel.clone();
    let (names, dice) = (Names(kernel.clone()), SimDice(kernel.clone()));
    let rails = rails(&world, who);
    let mut gates = Gates::default();
    let clock =
        Arc::new(SimClock { world: world.clone(), up_for: Mutex::new(Duration::from_secs(1_000 * u64::from(number))) });
    let mut idle = Duration::from_millis(500);
    loop {
        let down_until = world.fleet_down_until();
        if kernel.age() < down_until {
            kernel.sleep(down_until - kernel.age()).await;
        }
        let store = Store::of(&world, who);
        let ports = Ports {
            repository: &store,
            rails: &rails,
            gates: &gates,
            ids: &names,
            dice: &dice,
            clock: clock.as_ref(),
            lease_ends: Duration::ZERO,
            batch_has: &|_| {},
        };
        let dies = world.happens(Fault::ProcessDies).then(|| u32::try_from(kernel.below(40)).unwrap_or(0));
        let stops = world.happens(Fault::ProcessStops).then(|| {
            let span = kernel.chance(|chance| chance.spread(5, 400));
            (u32::try_from(kernel.below(40)).unwrap_or(0), Duration::from_secs(span))
        });
        if world.happens(Fault::ClockLeaps) {
            let by = kernel.chance(|chance| chance.spread(1, 100_000));
            let (clock, kernel) = (clock.clone(), kernel.clone());
            kernel.clone().spawn(async move {
                kernel.sleep_up_to(Duration::from_secs(5)).await;
                clock.leap(Duration::from_secs(by));
            });
        }
        let turn = do_jobs(ports, &store, 8, LEASE);
        match Mortal::new(&kernel, turn, dies, stops).power().await {
            None => {
                kernel.note(|| format!("{} died", who.name()));
                kernel.sleep_up_to(Duration::from_secs(60)).await;
                gates = Gates::default();
            }
            Some(Ok(0) | Err(_)) => {
                kernel.sleep_up_to(idle).await;
                idle = (idle * 2).min(longest_idle(&world));
            }
            Some(Ok(_)) => idle = Duration::from_millis(500),
        }
    }
}

/// Where events go.
struct Subscriber(Arc<World>);

#[async_trait]
impl EventPublisher for Subscriber {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        self.0.kernel.sleep_up_to(Duration::from_millis(5)).await;
        if self.0.happens(Fault::PublishFails) {
            if self.0.has(Bug::NoEventPublishRetry) {
                return Ok(());
            }
            return Err(PublishError("not now".to_owned()));
        }
        self.0.oracle().published(event.id);
        Ok(())
    }
}

/// Whoever delivers events, as long as the world goes on.
pub async fn relay(world: Arc<World>) {
    let kernel = world.kernel.clone();
    loop {
        let store = Store::of(&world, Who::Api);
        let subscriber = Subscriber(world.clone());
        let dies = world.happens(Fault::ProcessDies).then(|| u32::try_from(kernel.below(40)).unwrap_or(0));
        let turn = relay_events(&store, &subscriber, 100, Duration::from_secs(30));
        let done = Mortal::new(&kernel, turn, dies, None).await;
        let has_more = matches!(done, Some(Ok(count)) if count > 0);
        kernel.sleep(if has_more { Duration::from_secs(1) } else { longest_idle(&world) }).await;
    }
}

/// A notification is on its way to us, until it is taken.
pub fn deliver(world: &Arc<World>, rail: RailId, body: Value) {
    let times = if world.happens(Fault::NotificationAgain) { 2 + world.kernel.below(2) } else { 1 };
    for _ in 0..times {
        let (world, rail, body) = (world.clone(), rail.clone(), body.clone());
        let wait = if world.happens(Fault::NotificationLate) { 108_000 } else { 10 };
        let kernel = world.kernel.clone();
        kernel.clone().spawn(async move {
            let mut pause = kernel.chance(|chance| chance.spread(1, wait));
            loop {
                kernel.sleep(Duration::from_secs(pause)).await;
                if world.is_deaf() {
                    pause = (pause * 2).clamp(10, 3_600);
                    continue;
                }
                if hear(&world, &rail, &body).await || world.has(Bug::AcknowledgedBeforeCommit) {
                    return;
                }
                pause = (pause * 2).clamp(10, 3_600);
            }
        });
    }
}

/// A message comes. Answers whether it was taken, or refused for good.
async fn hear(world: &Arc<World>, rail: &RailId, body: &Value) -> bool {
    let kernel = &world.kernel;
    let store = Store::of(world, Who::Ears);
    let rails = rails(world, Who::Ears);
    let (names, dice) = (Names(kernel.clone()), SimDice(kernel.clone()));
    let ears = Ears { repository: &store, rails: &rails, ids: &names, dice: &dice };
    let bytes = body.to_string().into_bytes();
    let inbound = Inbound { headers: Vec::new(), body: bytes, received_at: world.now() };
    let dies = world.happens(Fault::ProcessDies).then(|| u32::try_from(kernel.below(20)).unwrap_or(0));
    let heard = Mortal::new(kernel, receive_notification(ears, rail, inbound), dies, None).await;
    let says = || format!("{} {} {}", body["name"], body["ref"], body["what"]);
    match heard {
        None => false,
        Some(Ok(heard)) => {
            kernel.note(|| format!("heard {}: {} new", says(), heard.taken));
            true
        }
        Some(Err(error)) => {
            kernel.note(|| format!("not heard {}: {}", says(), error.code()));
            if error.class() == Class::Internal {
                world.violated(Law::NoFault, format!("a notification: {error:?}"));
            }
            !error.class().may_succeed_later()
        }
    }
}

/// Somebody else sends notifications about payments that they overheard.
pub async fn forger(world: Arc<World>, until: Duration) {
    let kernel = world.kernel.clone();
    while kernel.age() < until {
        kernel.sleep_up_to(Duration::from_secs(7_200)).await;
        if !world.happens(Fault::NotificationForged) {
            continue;
        }
        let place = usize::try_from(kernel.below(u64::try_from(world.providers.len()).unwrap_or(1))).unwrap_or(0);
        let provider = world.providers[place].clone();
        let transfers = provider.book().transfers.clone();
        let Some(transfer) = kernel.chance(|chance| chance.pick(&transfers).cloned()) else { continue };
        let what = match kernel.below(3) {
            0 => Seen::Settled { reference: None },
            1 => Seen::Rejected { reason: "forged".to_owned(), class: app::ports::rail::Class::Retry },
            _ => Seen::Returned { reason: "forged".to_owned(), returned: transfer.amount, reference: None },
        };
        let body = message(false, &format!("evt_f{}", kernel.number()), &transfer, &what, 0);
        hear(&world, provider.id(), &body).await;
    }
}

/// The rails and the database are down now and then, and every worker.
pub async fn weather(world: Arc<World>, until: Duration) {
    let kernel = world.kernel.clone();
    while kernel.age() < until {
        kernel.sleep_up_to(Duration::from_secs(36_000)).await;
        for provider in &world.providers {
            if world.happens(Fault::RailDown) {
                let span = kernel.chance(|chance| chance.spread(10, 40_000));
                provider.book().down_until = kernel.age() + Duration::from_secs(span);
            }
            if world.happens(Fault::QuestionsDown) {
                let span = kernel.chance(|chance| chance.spread(600, 40_000));
                provider.book().silent_until = kernel.age() + Duration::from_secs(span);
            }
            if world.happens(Fault::WayJammed) {
                let span = kernel.chance(|chance| chance.spread(1_800, 40_000));
                provider.book().jammed_until = kernel.age() + Duration::from_secs(span);
            }
        }
        if world.happens(Fault::StoreReadOnly) {
            let span = kernel.chance(|chance| chance.spread(1, 1_200));
            *world.store_reads_until.lock().unwrap_or_else(PoisonError::into_inner) =
                kernel.age() + Duration::from_secs(span);
        }
        if world.happens(Fault::StoreDown) {
            let span = kernel.chance(|chance| chance.spread(1, 1_200));
            *world.store_down_until.lock().unwrap_or_else(PoisonError::into_inner) =
                kernel.age() + Duration::from_secs(span);
        }
        if world.happens(Fault::FleetDown) {
            let span = kernel.chance(|chance| chance.spread(60, 108_000));
            world.fleet_goes_down(kernel.age() + Duration::from_secs(span));
        }
    }
}

/// Whom there is to be paid.
pub struct Cast {
    /// Their names.
    pub recipients: Vec<String>,
    /// The projects.
    pub projects: Vec<String>,
    /// How many releases there are.
    pub releases: u64,
}

/// The service that releases escrows.
pub async fn escrows(api: Arc<Api>, cast: Arc<Cast>, until: Duration) {
    let world = api.world.clone();
    let kernel = world.kernel.clone();
    let pause = until / u32::try_from(cast.releases).unwrap_or(1).max(1);
    for release in 0..cast.releases {
        kernel.sleep_up_to(pause * 2).await;
        let escrow = format!("esc_{release}");
        let Some(project) = kernel.chance(|chance| chance.pick(&cast.projects).cloned()) else { return };
        let amount = i64::try_from(kernel.chance(|chance| chance.spread(50, 1_000_000))).unwrap_or(1);
        let later = world.happens(Fault::ReleasedForLater);
        let span = Duration::from_secs(kernel.chance(|chance| chance.spread(60, 40_000)));
        let execute_at = later.then(|| world.now().after(span));
        let times = if world.happens(Fault::ReleasedAgain) { 1 + kernel.below(3) } else { 0 };
        for again in 0..=times {
            let (api, project, escrow) = (api.clone(), project.clone(), escrow.clone());
            let other = i64::try_from(kernel.below(2)).unwrap_or(0) * i64::from(again > 0);
            let wait = if kernel.below(2) == 0 { Duration::from_millis(20) } else { Duration::from_secs(600) };
            let kernel = kernel.clone();
            kernel.clone().spawn(async move {
                if again > 0 {
                    kernel.sleep_up_to(wait).await;
                }
                // Whoever asks asks again until there is an answer; a few times are enough here.
                for _ in 0..3 {
                    api.release(&project, &escrow, amount + other, execute_at).await;
                    kernel.sleep_up_to(Duration::from_secs(5)).await;
                    if kernel.below(3) > 0 {
                        break;
                    }
                }
            });
        }
    }
}

/// People who approve, every now and then.
pub async fn approvers(api: Arc<Api>) {
    let kernel = api.world.kernel.clone();
    loop {
        kernel.sleep_up_to(Duration::from_secs(7_200)).await;
        for details in api.batches_that(|batch| batch.approvals.are_missing()) {
            let Some(who) = kernel
                .chance(|chance| chance.pick(&["usr_ann", "usr_bob", "usr_cem", "usr_escrow", "usr_clerk"]).copied())
            else {
                continue;
            };
            api.approve(who, details.batch.id).await;
        }
    }
}

/// People who find out what became of what is in doubt.
pub async fn resolvers(api: Arc<Api>) {
    let kernel = api.world.kernel.clone();
    loop {
        kernel.sleep_up_to(Duration::from_secs(14_400)).await;
        for details in api.batches_that(|batch| batch.status == BatchStatus::Processing) {
            for item in details.items.iter().filter(|item| item.status() == ItemStatus::InDoubt) {
                for who in ["usr_ann", "usr_ann", "usr_bob"] {
                    // What they know is what the provider's book says when they look.
                    let Some(outcome) = api.truth(&details, item.id) else { continue };
                    api.resolve(who, item.id, outcome).await;
                    kernel.sleep_up_to(Duration::from_secs(60)).await;
                }
            }
        }
    }
}

/// People who hold, release, retry and cancel.
pub async fn operators(api: Arc<Api>, until: Duration) {
    let world = api.world.clone();
    let kernel = world.kernel.clone();
    while kernel.age() < until {
        kernel.sleep_up_to(Duration::from_secs(3_600)).await;
        if !world.happens(Fault::PeopleMeddle) {
            continue;
        }
        // Mostly what can be done, and what stands in the way of somebody else.
        let is_any = kernel.below(4) == 0;
        let some = |wanted: fn(ItemStatus) -> bool| api.some_item(|item| is_any || wanted(item.status()));
        let action = match kernel.below(8) {
            0 | 1 => some(|status| status == ItemStatus::Scheduled).map(|item| Action::HoldItem(item.id)),
            2 => some(|status| status == ItemStatus::PendingKyc).map(|item| Action::ReleaseItem(item.id)),
            3 => some(|status| matches!(status, ItemStatus::Failed | ItemStatus::Returned))
                .map(|item| Action::RetryItem(item.id)),
            4 => some(|_| true).map(|item| Action::RetryBatch(item.batch)),
            5 | 6 => some(|status| status.is_in_transit() || status == ItemStatus::Scheduled)
                .map(|item| Action::CancelItem(item.id)),
            _ => some(|_| true).map(|item| Action::CancelBatch(item.batch)),
        };
        let Some(action) = action else { continue };
        api.act("usr_op", action).await;
    }
}

/// Recipients who are blocked and are paid elsewhere; reversals; other policies.
pub async fn changes(api: Arc<Api>, cast: Arc<Cast>, until: Duration) {
    let world = api.world.clone();
    let kernel = world.kernel.clone();
    let mut reversals = 0;
    while kernel.age() < until {
        kernel.sleep_up_to(Duration::from_secs(5_000)).await;
        let Some(recipient) = kernel.chance(|chance| chance.pick(&cast.recipients).cloned()) else { return };
        if world.happens(Fault::RecipientsChange) {
            let status = match kernel.below(4) {
                0 => RecipientStatus::Blocked,
                1 => RecipientStatus::Pending,
                _ => RecipientStatus::Active,
            };
            register(&api, &recipient, status).await;
        }
        if world.happens(Fault::Reversals) {
            reversals += 1;
            let escrow = format!("esc_{}", kernel.below(cast.releases));
            let amount = i64::try_from(kernel.chance(|chance| chance.spread(1, 100_000))).unwrap_or(1);
            let one = format!("recipient:{recipient}");
            let strategies = ["split_ratio", "platform", one.as_str()];
            let strategy = kernel.chance(|chance| chance.pick(&strategies).copied()).unwrap_or("split_ratio");
            api.reverse(&format!("ref_{reversals}"), &escrow, amount, strategy).await;
        }
        if world.happens(Fault::PolicyChanges) {
            let approvals = u32::try_from(kernel.below(3)).unwrap_or(0);
            api.policy(approvals).await;
        }
        if kernel.below(4) == 0 {
            api.pay_carried(&recipient).await;
        }
    }
}

/// Somebody is registered, somewhere.
pub async fn register(api: &Api, recipient: &str, status: RecipientStatus) {
    let kernel = &api.world.kernel;
    let place = usize::try_from(kernel.below(u64::try_from(api.world.providers.len()).unwrap_or(1))).unwrap_or(0);
    let rail = api.world.providers[place].id().clone();
    let minimum =
        (kernel.below(3) == 0).then(|| i64::try_from(kernel.chance(|chance| chance.spread(1, 200_000))).unwrap_or(1));
    api.register(recipient, status, &rail, kernel.below(3), minimum).await;
}
