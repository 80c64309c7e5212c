//! One seed from its beginning to its end: first things go wrong, then nothing does, and everything must come to rest.

use crate::{
    actors::{Api, Cast, approvers, changes, escrows, forger, operators, register, relay, resolvers, weather, worker},
    bugs::Bug,
    faults::{Fault, Faults},
    kernel::{Kernel, Runner},
    laws::Law,
    listener::Listener,
    oracle::{Oracle, at_once, executed},
    provider::Provider,
    rail::Line,
    world::{Who, World},
};
use app::{
    ledger::check_books::check_books,
    payouts::act::Action,
    ports::{PayoutRail, Rails, rail::RailProfile},
};
use domain::{
    item::ItemStatus,
    recipient::{HoldReason, RecipientStatus},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3_600);

/// What came of a seed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was not as it must be.
    pub violations: Vec<String>,
    /// The hash of everything that happened, and how much that was.
    pub trace: (u64, u64),
    /// What happened, if it was kept.
    pub log: Vec<String>,
    /// How often what went wrong.
    pub faults: BTreeMap<Fault, u64>,
    /// How long the world was there.
    pub age: Duration,
    /// How many items there were in which status.
    pub items: BTreeMap<&'static str, u64>,
    /// How many calls moved money, or tried to.
    pub submits: u64,
}

/// Runs a seed.
pub fn run(seed: u64, bug: Option<Bug>, keeps_log: bool) -> Outcome {
    let kernel = Arc::new(Kernel::new(seed, keeps_log));
    let world = Arc::new(build(&kernel, bug));
    let listener = Listener(world.clone());
    let played = catch_unwind(AssertUnwindSafe(|| tracing::subscriber::with_default(listener, || play(&world))));
    if let Err(panicked) = played {
        let text = panicked.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panicked.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.violated(Law::NoFault, format!("a panic: {}", text.unwrap_or_default()));
    }
    let mut items = BTreeMap::new();
    for details in Api::new(&world).batches() {
        for item in details.items {
            *items.entry(item.status().as_str()).or_default() += 1;
        }
    }
    let violations = world.oracle().violations().to_vec();
    let submits = world.oracle().submits;
    kernel.end();
    Outcome {
        violations,
        trace: kernel.trace(),
        log: kernel.log(),
        faults: world.faults.happened(),
        age: kernel.age(),
        items,
        submits,
    }
}

fn build(kernel: &Arc<Kernel>, bug: Option<Bug>) -> World {
    let faults = kernel.chance(Faults::draw);
    let count = 1 + kernel.below(2);
    let providers = (0..count).map(|number| Arc::new(provider(kernel, number))).collect();
    World {
        kernel: kernel.clone(),
        faults,
        oracle: Mutex::new(Oracle::new(kernel.halt())),
        providers,
        bug,
        store_down_until: Mutex::default(),
        store_reads_until: Mutex::default(),
        fleet_down_until: Mutex::default(),
        deaf_until: Mutex::default(),
        approvals: Mutex::new(vec![(Duration::ZERO, 0)]),
    }
}

fn provider(kernel: &Kernel, number: u64) -> Provider {
    let seconds =
        if kernel.below(2) == 0 { kernel.chance(|chance| chance.spread(120, 600)) } else { 20 + kernel.below(100) };
    let bound = Duration::from_secs(seconds);
    let windows = [None, Some(Duration::from_secs(1_800)), Some(HOUR * 3), Some(HOUR * 24)];
    let window = kernel.chance(|chance| chance.pick(&windows).copied()).flatten();
    let profile = RailProfile {
        id: crate::actors::read(if number == 0 { "alpha" } else { "beta" }),
        items_max: u32::try_from(1 + kernel.below(3)).unwrap_or(1),
        replay_window: window,
        settle_bound: bound,
        pays_strangers: kernel.below(2) == 0,
        charges_returns: false,
        calls_per_second_max: u32::try_from(kernel.chance(|chance| chance.spread(1, 100))).unwrap_or(1),
        granularities: BTreeMap::new(),
    };
    // What was on its way for a part of the bound may be found only after the rest of it.
    let lag = bound / 100 * u32::try_from(kernel.below(100)).unwrap_or(50);
    Provider::new(profile, lag, bound - lag)
}

fn play(world: &Arc<World>) {
    let kernel = &world.kernel;
    let mut runner = Runner::default();
    let api = Arc::new(Api::new(world));
    let chaos = HOUR * u32::try_from(4 + kernel.below(24)).unwrap_or(6);
    let recipients: Vec<String> = (0..2 + kernel.below(5)).map(|number| format!("rec_{number}")).collect();
    let projects: Vec<String> = (0..1 + kernel.below(2)).map(|number| format!("prj_{number}")).collect();
    let cast = Arc::new(Cast { recipients, projects, releases: 4 + kernel.below(12) });

    kernel.spawn(begin(api.clone(), cast.clone()));
    runner.run_until(kernel, Duration::from_secs(60));
    for number in 0..u8::try_from(2 + kernel.below(3)).unwrap_or(2) {
        kernel.spawn(worker(world.clone(), number));
    }
    kernel.spawn(relay(world.clone()));
    kernel.spawn(forger(world.clone(), chaos));
    kernel.spawn(weather(world.clone(), chaos));
    kernel.spawn(escrows(api.clone(), cast.clone(), chaos));
    kernel.spawn(approvers(api.clone()));
    kernel.spawn(resolvers(api.clone()));
    kernel.spawn(operators(api.clone(), chaos));
    kernel.spawn(changes(api.clone(), cast.clone(), chaos));
    let mut age = HOUR;
    while age < chaos {
        runner.run_until(kernel, age);
        check_ledger(world, false);
        if kernel.is_halted() {
            return;
        }
        age += HOUR * 3;
    }
    runner.run_until(kernel, chaos);
    if kernel.is_halted() {
        return;
    }
    heal(world);
    kernel.spawn(mend(api.clone(), cast.clone()));
    // What a provider began to think about in the chaos takes up to a day more, and so does a window.
    runner.run_until(kernel, chaos + HOUR * 60);
    if kernel.is_halted() {
        return;
    }
    check_ledger(world, true);
    check_rest(world, &api);
    let before = world.oracle().claims;
    runner.run_until(kernel, chaos + HOUR * 72);
    if kernel.is_halted() {
        return;
    }
    let claims = world.oracle().claims - before;
    if claims > 150 {
        world.violated(Law::Rests, format!("{claims} jobs were done in half a day on which nothing happened"));
    }
    let unpublished = world.oracle().unpublished();
    if unpublished > 0 {
        world.violated(Law::Told, format!("{unpublished} events never reached anybody"));
    }
}

async fn begin(api: Arc<Api>, cast: Arc<Cast>) {
    let kernel = api.world.kernel.clone();
    api.world.faults.stop();
    for project in &cast.projects {
        let count = u64::try_from(cast.recipients.len()).unwrap_or(1);
        let mut left: u64 = 100;
        let mut lines = Vec::new();
        for (place, who) in cast.recipients.iter().enumerate() {
            let is_last = place + 1 == cast.recipients.len();
            let percent = if is_last { left } else { 1 + kernel.below(100 / count).min(left.saturating_sub(count)) };
            left -= percent.min(left);
            lines.push(json!({ "recipientId": who, "percent": percent.to_string() }));
        }
        api.model(
            project,
            json!({ "platformFee": { "ratePpm": 50_000 }, "steps": [{ "type": "share", "lines": lines }] }),
        )
        .await;
    }
    for recipient in &cast.recipients {
        match kernel.below(6) {
            0 => {}
            1 => register(&api, recipient, RecipientStatus::Pending).await,
            _ => register(&api, recipient, RecipientStatus::Active).await,
        }
    }
    let approvals = u32::try_from(kernel.below(4).saturating_sub(1)).unwrap_or(0);
    api.policy(approvals).await;
    api.world.faults.start();
}

fn heal(world: &World) {
    world.kernel.note(|| "from here on nothing goes wrong".to_owned());
    world.faults.stop();
    let age = world.kernel.age();
    for provider in &world.providers {
        let mut book = provider.book();
        (book.down_until, book.silent_until, book.jammed_until) = (age, age, age);
    }
    *world.store_down_until.lock().unwrap_or_else(PoisonError::into_inner) = age;
    *world.store_reads_until.lock().unwrap_or_else(PoisonError::into_inner) = age;
    world.fleet_may_start(age);
    world.deaf_until(age);
}

/// People put in order what waits for them.
async fn mend(api: Arc<Api>, cast: Arc<Cast>) {
    for recipient in &cast.recipients {
        register(&api, recipient, RecipientStatus::Active).await;
    }
    for item in api.batches().into_iter().flat_map(|batch| batch.items) {
        if item.state().hold_reason() == Some(HoldReason::OperatorHold) && api.world.kernel.below(2) == 0 {
            api.act("usr_op", Action::ReleaseItem(item.id)).await;
        }
    }
}

/// What the ledger says is what everything else says; at the end also what the providers say.
fn check_ledger(world: &Arc<World>, is_end: bool) {
    let line = |provider: &Arc<Provider>| -> Arc<dyn PayoutRail> {
        Arc::new(Line { world: world.clone(), provider: provider.clone(), who: Who::Api })
    };
    let lines: Vec<_> = world.providers.iter().map(line).collect();
    let rails = Rails::new(lines[0].clone(), lines.into_iter().skip(1));
    match at_once(check_books(world.kernel.memory.as_ref(), &rails)) {
        Some(Ok(trial)) => {
            for check in &trial.checks {
                // At the end nothing is under way any more: no payment without an answer, no return unheard.
                let holds = if is_end {
                    check.is_ok() && check.open == 0
                } else {
                    check.is_ok() || check.name.starts_with("rail_book")
                };
                if !holds {
                    world.violated(law_of(&check.name), format!("{check:?}"));
                }
            }
        }
        other => world.violated(Law::Balanced, format!("the books cannot be checked: {other:?}")),
    }
}

fn law_of(check: &str) -> Law {
    if check.starts_with("rail_book") || check == "cash" { Law::AsTheProvider } else { Law::Balanced }
}

/// I5: everything has come to rest, or waits for a person who has something to do.
fn check_rest(world: &Arc<World>, api: &Api) {
    for details in api.batches() {
        for item in &details.items {
            let status = item.status();
            let rests = match status {
                ItemStatus::Paid | ItemStatus::Failed | ItemStatus::Returned | ItemStatus::Cancelled => true,
                ItemStatus::PendingKyc => true,
                ItemStatus::Scheduled => details.batch.approvals.are_missing(),
                ItemStatus::Processing | ItemStatus::InDoubt => false,
            };
            if !rests {
                world.violated(
                    Law::Rests,
                    format!("item {} of {} stays {}", item.id, details.batch.id, status.as_str()),
                );
            }
            let all = executed(world, item.id);
            let net = all.iter().filter(|transfer| !transfer.is_back()).count();
            let is_told =
                world.oracle().alarms.iter().any(|(code, about)| code == "paid_twice" && *about == Some(item.id));
            if net > 1 && !is_told {
                world.violated(Law::PaidOnce, format!("item {} was paid {net} times, and nobody was told", item.id));
            }
        }
    }
}
