//! What the service needs may be away for a while: the answer is 503, or the work waits, and nothing is lost.

use super::{
    promises::{assert_paid_exactly_once, persistent, projects},
    release,
};
use crate::harness::{
    home::Engine,
    on_both_databases,
    sql::{connect, execute},
    world::{World, list, text},
};
use reqwest::Method;
use sea_orm::DatabaseConnection;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

on_both_databases! {
    silence_of_the_provider_is_no_failure
}

/// The simulator's book can be read but not written for longer than the rail waits.
async fn silence_of_the_provider_is_no_failure(engine: Engine) {
    let world = World::new(engine).await;
    projects(&world).await;
    let book = world.simulator_book().await;
    execute(&book, "BEGIN IMMEDIATE").await;
    let id = world.scheduled(&release("esc_1", "prj_mixed", 30_000, "USD")).await;
    let in_doubt = |item: &serde_json::Value| item["status"] == "in_doubt";
    let batch = world.batch_once(&id, |batch| list(batch, "items").iter().all(in_doubt)).await;
    assert_eq!(batch["status"], "processing");
    // What nobody knows is in transit, and shown as open: neither paid nor owed.
    world.assert_books_balanced().await;
    assert_eq!(world.balance("in_transit:simulator", "USD").await, -i64_of(&batch["totalNet"]));

    execute(&book, "ROLLBACK").await;
    assert_paid_exactly_once(&world, &BTreeSet::from([id.clone()])).await;
    // Whether the late call is found by asking or is sent again, it is the one instruction under its one key.
    let details = world.batch(&id).await;
    let attempts = list(&details, "attempts");
    assert_eq!(attempts.len(), list(&details, "items").len(), "{attempts:#?}");
    assert!(attempts.iter().all(|attempt| attempt["generation"] == 1), "{attempts:#?}");
}

fn i64_of(value: &serde_json::Value) -> i64 {
    value.as_i64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_program_writes_to_the_file_the_answer_is_503() {
    let world = World::new(Engine::Sqlite).await;
    projects(&world).await;
    let other = connect(&world.home().database_url()).await;
    execute(&other, "BEGIN IMMEDIATE").await;
    let body = release("esc_1", "prj_good", 30_000, "USD");
    let asked = Instant::now();
    world.schedule(&body).await.refused(503, "unavailable");
    assert!(asked.elapsed() < Duration::from_secs(20), "told only after {:?}", asked.elapsed());
    world.get("/payouts/batches").await.with(200);

    execute(&other, "ROLLBACK").await;
    let batch = world.scheduled(&body).await;
    assert_paid_exactly_once(&world, &BTreeSet::from([batch])).await;
}

/// The server of the test run, and the name of this world's database on it.
async fn postgres(world: &World) -> (DatabaseConnection, String) {
    let url = world.home().database_url();
    let name = url.rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let server =
        std::env::var("DISBURSE_TEST_POSTGRES_URL").expect("DISBURSE_TEST_POSTGRES_URL: run `cargo xtask test`");
    (connect(&server).await, name)
}

fn cut(name: &str) -> String {
    format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
}

/// Each cut may come between a commit and its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_promised_survives_connections_that_break() {
    let world = Arc::new(World::new(Engine::Postgres).await);
    projects(&world).await;
    let (server, name) = postgres(&world).await;
    let mut callers = JoinSet::new();
    for number in 0..40 {
        let body = release(&format!("esc_{number}"), "prj_mixed", 10_000 + number, "USD");
        callers.spawn(persistent(Arc::clone(&world), body));
    }
    for _ in 0..20 {
        execute(&server, &cut(&name)).await;
        crate::harness::chance::pause(60).await;
    }
    let mut batches = BTreeSet::new();
    while let Some(batch) = callers.join_next().await {
        batches.insert(batch.expect("a caller comes to its end"));
    }
    assert_eq!(batches.len(), 40);
    assert_paid_exactly_once(&world, &batches).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_503_and_comes_back() {
    let world = Arc::new(World::new(Engine::Postgres).await);
    projects(&world).await;
    let (server, name) = postgres(&world).await;
    execute(&server, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")).await;
    execute(&server, &cut(&name)).await;
    let body = release("esc_1", "prj_good", 30_000, "USD");
    let asked = Instant::now();
    let mut calls = JoinSet::new();
    for path in ["/payouts/batches", "/events", "/ledger/trial-balance", "/recipients/rec_ana", "/readyz"] {
        let world = Arc::clone(&world);
        calls.spawn(async move { drop(world.get(path).await.refused(503, "unavailable")) });
    }
    world.schedule(&body).await.refused(503, "unavailable");
    while let Some(call) = calls.join_next().await {
        call.expect("each is told");
    }
    assert!(asked.elapsed() < Duration::from_secs(20), "told only after {:?}", asked.elapsed());
    assert_eq!(world.send(world.request(Method::GET, "/livez")).await.with(200)["status"], "ok");

    execute(&server, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")).await;
    let back = Instant::now();
    let batch = loop {
        match world.schedule(&body).await {
            answer if answer.status == 503 => drop(answer.refused(503, "unavailable")),
            answer => break text(&answer.with(201), "batchId"),
        }
    };
    assert!(back.elapsed() < Duration::from_secs(15), "back only after {:?}", back.elapsed());
    assert_paid_exactly_once(&world, &BTreeSet::from([batch])).await;
}
