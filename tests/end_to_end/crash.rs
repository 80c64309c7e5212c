//! Whoever was told 201 is paid exactly once, whatever happens to the process in between.

use super::{
    promises::{TAKEN_UP_WITHIN, assert_paid_exactly_once, persistent, projects},
    release,
};
use crate::harness::{
    chance,
    home::{Engine, Home},
    on_both_databases,
    world::World,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

on_both_databases! {
    what_was_promised_before_a_kill_is_paid_exactly_once
    what_was_promised_survives_a_soak_of_kills
    a_kill_while_the_schema_is_made_leaves_a_database_that_starts
    the_work_of_a_killed_worker_is_taken_up_by_another
    a_stop_finishes_what_is_in_flight_and_loses_nothing
    a_caller_who_stays_connected_does_not_hold_up_a_stop
}

/// Releases that are on their way at each kill.
const RELEASES_A_KILL: usize = 12;
/// Without an idle connection to wait for.
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

async fn what_was_promised_before_a_kill_is_paid_exactly_once(engine: Engine) {
    kill_again_and_again(engine, 5).await;
}

/// A hundred kills if `DISBURSE_SOAK` says so (`cargo xtask soak` does), and always a few.
async fn what_was_promised_survives_a_soak_of_kills(engine: Engine) {
    let soak = std::env::var("DISBURSE_SOAK").is_ok_and(|value| value == "1");
    kill_again_and_again(engine, if soak { 100 } else { 2 }).await;
}

async fn kill_again_and_again(engine: Engine, kills: usize) {
    let world = Arc::new(World::new(engine).await);
    projects(&world).await;
    let mut callers = JoinSet::new();
    let mut fates = Vec::new();
    for turn in 0..kills {
        for number in 0..RELEASES_A_KILL {
            let number = i64::try_from(turn * RELEASES_A_KILL + number).expect("few releases");
            let project = if number % 2 == 0 { "prj_good" } else { "prj_mixed" };
            let body = release(&format!("esc_{number}"), project, 10_000 + number, "USD");
            callers.spawn(persistent(Arc::clone(&world), body));
        }
        chance::pause(150).await;
        world.kill();
        world.start().await;
        chance::pause(30).await;
        // Between kills there is time for as many as came, or in a long run callers would only pile up.
        while callers.len() > 2 * RELEASES_A_KILL {
            fates.extend(callers.join_next().await.map(|fate| fate.expect("a caller comes to its end")));
        }
    }
    while let Some(fate) = callers.join_next().await {
        fates.push(fate.expect("a caller comes to its end"));
    }
    let batches: BTreeSet<String> = fates.iter().cloned().collect();
    assert_eq!((fates.len(), batches.len()), (kills * RELEASES_A_KILL, kills * RELEASES_A_KILL));
    assert_paid_exactly_once(&world, &batches).await;
}

async fn a_kill_while_the_schema_is_made_leaves_a_database_that_starts(engine: Engine) {
    let home = Home::new(engine).await;
    for _ in 0..6 {
        let mut server = home.start(&["serve"]);
        chance::pause(120).await;
        server.kill();
    }
    let world = World::in_home(home, &[]).await;
    projects(&world).await;
    let batch = world.scheduled(&release("esc_1", "prj_good", 100, "USD")).await;
    assert_eq!(world.settled(&batch).await["status"], "completed");
    world.assert_books_balanced().await;
}

async fn the_work_of_a_killed_worker_is_taken_up_by_another(engine: Engine) {
    let world = World::with_options(engine, &["--no-worker"]).await;
    projects(&world).await;
    let mut batches = BTreeSet::new();
    for number in 0..30 {
        batches.insert(world.scheduled(&release(&format!("esc_{number}"), "prj_good", 10_000, "USD")).await);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.transfers().await.is_empty(), "somebody works although there is no worker");

    // It is killed as soon as it has paid somebody, with jobs in its hands.
    let mut worker = world.home().start_aside("worker", &["worker"]);
    worker.says("working").await;
    let deadline = Instant::now() + TAKEN_UP_WITHIN;
    while world.get("/simulator/transfers?limit=1").await.with(200)["data"] == json!([]) {
        assert!(Instant::now() < deadline, "the worker does not work:\n{}", worker.said());
    }
    worker.kill();
    let mut other = world.home().start_aside("worker", &["worker"]);
    other.says("working").await;
    assert_paid_exactly_once(&world, &batches).await;
    assert!(other.stop().await.success());
}

async fn a_stop_finishes_what_is_in_flight_and_loses_nothing(engine: Engine) {
    let world = Arc::new(World::new(engine).await);
    projects(&world).await;
    let mut callers = JoinSet::new();
    for number in 0..40 {
        let body = release(&format!("esc_{number}"), "prj_mixed", 10_000 + number, "USD");
        callers.spawn(persistent(Arc::clone(&world), body));
    }
    chance::pause(200).await;
    world.stop().await;
    world.start().await;
    let started = Instant::now();
    let mut batches = BTreeSet::new();
    while let Some(batch) = callers.join_next().await {
        batches.insert(batch.expect("a caller comes to its end"));
    }
    assert_eq!(batches.len(), 40);
    assert_paid_exactly_once(&world, &batches).await;
    // Leases were given back: nobody waited for one to run out.
    assert!(started.elapsed() < Duration::from_secs(10), "taken up only after {:?}", started.elapsed());
}

async fn a_caller_who_stays_connected_does_not_hold_up_a_stop(engine: Engine) {
    let world = World::new(engine).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client that keeps its connections");
    let answer = client.get(format!("{}/livez", world.url())).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a body"), r#"{"status":"ok"}"#);
    let asked = Instant::now();
    world.stop().await;
    assert!(asked.elapsed() < STOPPED_WITHIN, "stopped only after {:?}", asked.elapsed());
    drop(client);
}
