//! A connection to PostgreSQL is cut at a commit: before the server hears of it, or after it has committed and before
//! anybody is told. Either way the same thing is done once.

use super::{
    super::{
        promises::{assert_paid_exactly_once, persistent_under, projects},
        release,
    },
    is_soak,
};
use crate::harness::{
    acting::number as field,
    commit_cutter::{CommitCutter, Cut, Writes},
    home::{Engine, Home},
    process::Process,
    sql::{connect, value},
    world::{World, text},
};
use std::{collections::BTreeSet, time::Duration};

/// Cuts on each side, of releases, of intents and of outcomes: in CI, and if `DISBURSE_SOAK` says so.
const CUTS: (usize, usize) = (15, 100);

/// A world whose processes reach their database over something that cuts; and where it really is.
async fn world_over_a_cutter(options: &[&'static str]) -> (World, CommitCutter, String) {
    let home = Home::new(Engine::Postgres).await;
    let direct = home.database_url();
    let cutter = CommitCutter::to(&direct).await;
    let world = World::in_home(home.reached_at(cutter.url()), options).await;
    (world, cutter, direct)
}

fn cuts() -> usize {
    if is_soak() { CUTS.1 } else { CUTS.0 }
}

/// How many batches an escrow became, as the database itself says.
async fn batches_of(direct: &str, escrow: &str) -> i64 {
    let database = connect(direct).await;
    let count = value(&database, &format!("SELECT count(*) FROM batches WHERE escrow_id = '{escrow}'")).await;
    database.close().await.expect("a connection can be closed");
    count
}

/// Without a key: it is said again over another connection, and the caller hears of nothing. With one, cut before: the
/// caller is told so, and nothing is there; cut after: it is there, and the caller is told which it is, for it was read
/// again, or that it is not known. Sent again, it is the one batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_of_releases_that_are_cut_at_their_commit_are_booked_once() {
    let (world, cutter, direct) = world_over_a_cutter(&["--no-worker"]).await;
    projects(&world).await;
    let (mut batches, mut told) = (BTreeSet::new(), 0);
    for number in 0..2 * cuts() {
        let cut = if number % 2 == 0 { Cut::Before } else { Cut::After };
        let key = (number % 3 == 0).then(|| format!("key {number}"));
        let escrow = format!("esc_{number}");
        let body = release(&escrow, "prj_mixed", 10_000, "USD");
        cutter.order(Writes::Release, [Some(cut)]);
        let request = world.request(reqwest::Method::POST, "/revenue/schedule-payouts").json(&body);
        let mut request = request.bearer_auth(world.token("system"));
        if let Some(key) = &key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = world.send(request).await;
        let there = batches_of(&direct, &escrow).await;
        let is_said_again = key.is_none();
        assert_eq!(there, i64::from(is_said_again || cut == Cut::After), "{cut:?}: {}", answer.text);
        let first = match (cut, answer.status) {
            _ if is_said_again => Some(text(&answer.with(201), "batchId")),
            (Cut::After, 201) => {
                told += 1;
                Some(text(&answer.json(), "batchId"))
            }
            _ => {
                answer.refused(503, "unavailable");
                None
            }
        };
        let batch = persistent_under(&world, &body, key.as_deref()).await;
        assert!(first.is_none_or(|first| first == batch), "{escrow} is two batches");
        assert_eq!(batches_of(&direct, &escrow).await, 1);
        batches.insert(batch);
    }
    let of_each = cuts();
    let made: Vec<_> = cutter.made().into_iter().collect();
    assert_eq!(made, [((Writes::Release, Cut::Before), of_each), ((Writes::Release, Cut::After), of_each)]);
    println!(
        "{of_each} releases cut before the commit and as many after it; {told} of those with a key were answered 201"
    );

    let mut worker = world.home().start_aside("worker", &["worker"]);
    worker.says("working").await;
    assert_paid_exactly_once(&world, &batches).await;
    assert!(worker.stop().await.success());
}

/// What is to be sent is not known to be written, or is not; what came back is not known to be written, or is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_of_payments_that_are_cut_at_their_commits_are_made_once() {
    let (world, cutter, _) = world_over_a_cutter(&["--no-worker"]).await;
    projects(&world).await;
    // Some pass, so that no job is cut each time it comes.
    let turns = [Some(Cut::Before), None, Some(Cut::After), None];
    let orders = || turns.into_iter().cycle().take(turns.len() * cuts());
    cutter.order(Writes::Intent, orders());
    cutter.order(Writes::Outcome, orders());
    let mut worker = world.home().start_aside("worker", &["worker"]);
    worker.says("working").await;
    let (mut batches, mut number) = (BTreeSet::new(), 0);
    while cutter.made().values().sum::<usize>() < 4 * cuts() {
        let body = release(&format!("esc_{number}"), "prj_mixed", 10_000, "USD");
        batches.insert(persistent_under(&world, &body, None).await);
        number += 1;
        assert!(number < 40 * cuts(), "the commits of payments are not cut: {:?}", cutter.made());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let made = cutter.made();
    assert!(made.len() == 4 && made.values().all(|count| *count == cuts()), "{made:?}");
    assert_paid_exactly_once(&world, &batches).await;
    assert!(said_that_it_failed(&worker) > 0, "the worker noticed nothing");
    println!("{made:?} over {} batches", batches.len());
    let executed: i64 = world.transfers().await.iter().map(|transfer| field(transfer, "executed")).sum();
    assert_eq!(-world.balance("cash:simulator", "USD").await, executed, "what went out and what we booked");
    assert!(worker.stop().await.success());
}

fn said_that_it_failed(worker: &Process) -> usize {
    worker.said().matches("could not do a job; trying again").count()
}
