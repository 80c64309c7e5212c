//! The clock of a machine is set, forwards and backwards, while the service works (libfaketime; the steady clock stays
//! what it is). On PostgreSQL it is that of the service, and the database's is another; on SQLite it is the same, for the
//! database is in the process.

use super::{
    super::{promises::persistent_under, release},
    deployment::Deployment,
    judge::judge,
    load::{Load, projects},
    resumption::Left,
};
use crate::harness::{
    chance::Seeded,
    home::{Engine, Home},
    tools::faketime_library,
    world::{World, signed, text},
};
use reqwest::Method;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Between two releases of a caller at most.
const PAUSE_MS: u64 = 600;
/// How long each clock is kept.
const KEPT: Duration = Duration::from_millis(1_500);
/// How soon a release is acknowledged after a step.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// How soon the provider has executed what it took.
const EXECUTED_WITHIN: Duration = Duration::from_secs(5);
/// How soon what it took is looked at again, however long ago that seems to be, in seconds.
const LOOKED_AT_WITHIN: i64 = 3_600;
/// A day, in seconds.
const DAY: i64 = 86_400;

/// The clock of the server and the worker, but not of the provider and of PostgreSQL.
struct FakeClock {
    file: PathBuf,
}

impl FakeClock {
    fn of(home: Home) -> (Self, Home) {
        let file = home.folder().join("clock");
        let clock = Self { file };
        clock.set(0);
        let home = home
            .with("LD_PRELOAD", faketime_library().to_str().expect("a path"))
            .with("FAKETIME_TIMESTAMP_FILE", clock.file.to_str().expect("a path"))
            .with("FAKETIME_NO_CACHE", "1")
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .with("DONT_FAKE_MONOTONIC", "1");
        (clock, home)
    }

    /// So many seconds before or after what it is.
    fn set(&self, seconds: i64) {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n")).expect("the clock can be written");
        fs::rename(next, &self.file).expect("the clock can be set");
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock that is not faked is what the others are compared with")]
fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_secs()).expect("it is not that late")
}

/// Whether a token is honoured that ends so many seconds from now, by the clock that is not faked.
async fn is_honoured(world: &World, ends_in: i64) -> bool {
    let token = signed(&json!({ "sub": "usr_test", "role": "admin", "exp": unix_seconds() + ends_in }));
    let answer = world.send(world.request(Method::GET, "/payouts/batches?limit=1").bearer_auth(token)).await;
    assert!(matches!(answer.status, 200 | 401), "{}", answer.text);
    answer.status == 200
}

async fn goes_on(load: &Load) {
    let (since, before) = (Instant::now(), load.acknowledged());
    while load.acknowledged() == before {
        assert!(since.elapsed() < ACKNOWLEDGED_WITHIN, "nothing is acknowledged after the step");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Leases, due times and the age of orders go by the database's clock: a service whose own clock is set pays as if nothing
/// had happened. Tokens go by the service's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_clock_is_set_pays_once_and_in_time() {
    let mut chance = Seeded::new("steps of the service's clock");
    let (clock, home) = FakeClock::of(Home::new(Engine::Postgres).await);
    let started = unix_seconds();
    let deployment = Arc::new(Deployment::in_home(home).await);
    let (world, load) = (&deployment.world, Load::start(&deployment, &mut chance, PAUSE_MS).await);
    for seconds in [400 * DAY, -300, 7_200, 0] {
        clock.set(seconds);
        goes_on(&load).await;
        // What ends in an hour, and what ended a minute ago.
        let honoured = (is_honoured(world, 3_600).await, is_honoured(world, -60).await);
        let expected = (seconds < 3_600, seconds < 0);
        assert_eq!(honoured, expected, "tokens by a clock that is {seconds} s off");
        tokio::time::sleep(KEPT).await;
        deployment.assert_all_run();
    }
    let acknowledged = load.end().await;
    let verdict = judge(world, &acknowledged).await;
    for batch in world.all("/payouts/batches", "batchId").await {
        let at: domain::timestamp::Timestamp = text(&batch, "createdAt").parse().expect("an instant");
        let at = at.unix_micros() / 1_000_000;
        assert!((started - 1..=unix_seconds() + 1).contains(&at), "not by the database's clock: {batch:#}");
    }
    println!("four steps of the service's clock: {verdict:?}");
}

/// Forwards, every lease is over at once, and what was sent seems old: it is sent again under its key, and nobody is paid
/// again; what the provider had taken is looked at within an hour of that clock. Backwards, what was due waits until the
/// clock is where it was: later, once, and not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_clock_is_set_pays_once_and_backwards_later() {
    const BACK: i64 = 20;
    let mut chance = Seeded::new("steps of the database's clock");
    let (clock, home) = FakeClock::of(Home::new(Engine::Sqlite).await);
    let deployment = Arc::new(Deployment::in_home(home).await);
    let (world, load) = (&deployment.world, Load::start(&deployment, &mut chance, PAUSE_MS).await);
    let mut now = 0;
    for forwards in [60, 3_600, 40 * DAY] {
        tokio::time::sleep(KEPT).await;
        now += forwards;
        clock.set(now);
        goes_on(&load).await;
        deployment.assert_all_run();
    }
    tokio::time::sleep(KEPT).await;
    clock.set(now - BACK);
    let back = Instant::now();
    goes_on(&load).await;
    let mut acknowledged = load.end().await;
    // What is released after the step does not wait for it.
    acknowledged.extend(one_more(world).await);
    // What was with the provider at a leap looks as old as the leap is long, and is looked at as seldom.
    tokio::time::sleep(EXECUTED_WITHIN).await;
    clock.set(now + LOOKED_AT_WITHIN);
    let verdict = judge(world, &acknowledged).await;
    deployment.assert_all_run();
    println!("four steps of the database's clock: {verdict:?}; settled {:?} after the step back", back.elapsed());
}

/// A worker that is killed, and a clock that is set back before another one comes: its jobs wait for their leases by the
/// clock as it is now, and are done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_a_step_back_made_longer_is_waited_for() {
    const FORWARDS: i64 = 60;
    const BACK: i64 = 10;
    /// A lease (15 s), how far the clock was set back, and patience.
    const LEASE_AND_BACK: Duration = Duration::from_secs(15 + 10 + 25);
    let (clock, home) = FakeClock::of(Home::new(Engine::Sqlite).await);
    let deployment = Deployment::in_home(home).await;
    let world = &deployment.world;
    projects(world).await;
    clock.set(FORWARDS);
    let mut acknowledged = BTreeMap::new();
    for number in 0..4 {
        let escrow = format!("esc_{number}");
        // Nobody answers for seconds: it has the jobs in its hands when it dies.
        let body = release(&escrow, "prj_lost", 10_000, "USD");
        acknowledged.insert(escrow, persistent_under(world, &body, None).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    deployment.kill_worker();
    assert!(Left::of(&world.home().database_url()).await.is_something(), "the worker had nothing to do");
    // Later than the models, which are not in force before they were stored.
    clock.set(FORWARDS - BACK);
    deployment.start_worker().await;
    let back = Instant::now();
    acknowledged.extend(one_more(world).await);
    judge(world, &acknowledged).await;
    assert!(back.elapsed() < LEASE_AND_BACK, "the leases are waited for, and longer: {:?}", back.elapsed());
}

async fn one_more(world: &World) -> Option<(String, String)> {
    let body = release("esc_afterwards", "prj_plain", 10_000, "USD");
    let batch = persistent_under(world, &body, None).await;
    Some(("esc_afterwards".to_owned(), batch))
}
