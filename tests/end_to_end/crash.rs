//! Whoever was told 201 is paid exactly once, whatever happens to the process in between.

use super::{release, shares, with};
use crate::harness::{
    chance,
    home::{Engine, Home},
    on_both_databases,
    world::{World, list, text},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
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
/// A killed worker's jobs are taken up after their lease (15 s); all of this is patience.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(60);
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
            let number = turn * RELEASES_A_KILL + number;
            let project = if number.is_multiple_of(2) { "prj_good" } else { "prj_mixed" };
            let body = release(&format!("esc_{number}"), project, 10_000 + number as i64, "USD");
            callers.spawn(persistent(Arc::clone(&world), body));
        }
        chance::pause(150).await;
        world.kill();
        world.start().await;
        chance::pause(30).await;
    }
    while let Some(fate) = callers.join_next().await {
        fates.push(fate.expect("a caller comes to its end"));
    }
    let batches: BTreeSet<String> = fates.iter().cloned().collect();
    assert_eq!((fates.len(), batches.len()), (kills * RELEASES_A_KILL, kills * RELEASES_A_KILL));
    assert_paid_exactly_once(&world, &batches).await;
}

/// Everybody is paid in one project; in the other, one of three is declined.
async fn projects(world: &World) {
    let declined = json!({ "rail": "simulator", "details": { "outcome": "declined" } });
    world.register("rec_dan", &json!({ "destination": declined })).await;
    world.register("rec_ben", &json!({ "taxRatePpm": 100_000 })).await;
    let fee = json!({ "ratePpm": 50_000 });
    let good = shares(&[("rec_ana", 1), ("rec_ben", 1), ("rec_cleo", 1)]);
    world.publish_model("prj_good", &with(good, "platformFee", fee.clone())).await;
    let mixed = shares(&[("rec_ana", 1), ("rec_dan", 1), ("rec_ben", 1)]);
    world.publish_model("prj_mixed", &with(mixed, "platformFee", fee)).await;
}

/// Repeats a release until it is booked, as the contract asks callers to. Answers the batch.
async fn persistent(world: Arc<World>, body: Value) -> String {
    let deadline = Instant::now() + TAKEN_UP_WITHIN;
    loop {
        let request = world.request(Method::POST, "/revenue/schedule-payouts");
        let request = request.bearer_auth(world.token("system")).json(&body);
        match world.try_send(request).await {
            Ok(answer) if answer.status == 201 => return text(&answer.json(), "batchId"),
            Ok(answer) if answer.status == 409 => {
                let existing = answer.refused(409, "already_scheduled")["existing"].clone();
                assert_eq!(existing["requestMatches"], true);
                return text(&existing, "batchId");
            }
            Ok(answer) => drop(answer.refused(503, "unavailable")),
            // Nobody there: it is being killed.
            Err(_) => {}
        }
        assert!(Instant::now() < deadline, "{body} is not booked");
        chance::pause(50).await;
    }
}

async fn assert_paid_exactly_once(world: &World, batches: &BTreeSet<String>) {
    let deadline = Instant::now() + TAKEN_UP_WITHIN;
    let mut items = BTreeMap::new();
    for batch in batches {
        let settled = loop {
            let found = world.batch(batch).await;
            if !matches!(text(&found, "status").as_str(), "scheduled" | "processing") {
                break found;
            }
            assert!(Instant::now() < deadline, "not settled: {found:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for item in list(&settled, "items") {
            items.insert(text(item, "itemId"), item.clone());
        }
        for attempt in list(&settled, "attempts") {
            assert_ne!(attempt["status"], "sent", "{attempt:#}");
        }
    }
    let listed: BTreeSet<String> =
        world.all("/payouts/batches", "batchId").await.iter().map(|batch| text(batch, "batchId")).collect();
    assert_eq!(&listed, batches, "there are batches that nobody was told of");

    let transfers = world.transfers().await;
    let keys: BTreeSet<String> = transfers.iter().map(|transfer| text(transfer, "idempotencyKey")).collect();
    assert_eq!(keys.len(), transfers.len(), "a key was used twice");
    let mut by_item: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for transfer in &transfers {
        by_item.entry(text(transfer, "itemId")).or_default().push(transfer);
    }
    assert_eq!(by_item.len(), items.len());
    for (id, item) in &items {
        let outcome = if item["recipientId"] == "rec_dan" { ("failed", "declined") } else { ("paid", "paid") };
        let [transfer] = by_item[id].as_slice() else { panic!("paid more than once: {item:#} {:#?}", by_item[id]) };
        assert_eq!((item["status"].as_str(), transfer["outcome"].as_str()), (Some(outcome.0), Some(outcome.1)));
        assert_eq!((&transfer["amount"], &transfer["recipientId"]), (&item["payableAmount"], &item["recipientId"]));
    }
    world.assert_books_balanced().await;
    let verified = world.verify().await;
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
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
    let mut worker = world.home().start(&["worker"]);
    worker.says("working").await;
    let deadline = Instant::now() + TAKEN_UP_WITHIN;
    while world.get("/simulator/transfers?limit=1").await.with(200)["data"] == json!([]) {
        assert!(Instant::now() < deadline, "the worker does not work:\n{}", worker.said());
    }
    worker.kill();
    let mut other = world.home().start(&["worker"]);
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
