//! What is asked twice under one key is done once, and answered alike.

use super::{release, shares, with};
use crate::harness::{
    answer::Answer,
    home::Engine,
    on_both_databases,
    process::PATIENCE,
    sql,
    world::{NEVER, World, signed, text},
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
    a_calculation_is_answered_alike_for_ever
    another_request_under_the_same_key_is_refused
    what_is_refused_leaves_its_key_free
    a_key_is_looked_at_after_everything_else
    of_32_parallel_calls_under_one_key_to_two_servers_one_is_done
    a_claim_that_a_crash_left_runs_out
    a_repeated_release_is_a_conflict_with_a_key_as_without
    another_release_under_the_same_key_is_refused
    a_release_that_is_refused_leaves_its_key_free
    of_32_parallel_releases_of_one_escrow_under_one_key_one_is_booked
    of_32_parallel_releases_of_many_escrows_under_one_key_one_is_booked
    keys_are_forgotten_when_they_are_old
}

const CALCULATE: &str = "/revenue/calculate";
const SCHEDULE: &str = "/revenue/schedule-payouts";
const CALLS: usize = 32;

async fn world(engine: Engine) -> World {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1), ("rec_ben", 1)])).await;
    world
}

/// Posts under a key, as the system.
async fn under(world: &World, key: &str, path: &str, body: &str) -> Answer {
    let request = world.request(Method::POST, path).bearer_auth(world.token("system"));
    let request = request.header("Idempotency-Key", key).header("Content-Type", "application/json");
    world.send(request.body(body.to_owned())).await
}

async fn calculate(world: &World, key: &str, project: &str, amount: i64) -> Answer {
    let body = json!({ "projectId": project, "amount": amount, "currency": "USD" });
    under(world, key, CALCULATE, &body.to_string()).await
}

async fn schedule(world: &World, key: &str, release: &Value) -> Answer {
    under(world, key, SCHEDULE, &release.to_string()).await
}

#[track_caller]
fn assert_first(answer: &Answer) -> String {
    assert_eq!(answer.header("idempotent-replayed"), None, "{}", answer.text);
    text(&answer.with(200), "calculationId")
}

#[track_caller]
fn assert_replayed(answer: &Answer, first: &Answer) {
    assert_eq!(answer.header("idempotent-replayed"), Some("true"), "{}", answer.text);
    assert_eq!((answer.status, &answer.text), (first.status, &first.text));
    assert_eq!(answer.header("content-type"), first.header("content-type"));
}

/// What somebody does to the table of keys by hand.
async fn execute(world: &World, statement: &str) {
    let rows = sql::execute(&sql::connect(&world.home().database_url()).await, statement).await;
    assert!(rows > 0, "{statement}: no row");
}

/// A crash and a new model in between change nothing; neither do white space, order and quotes.
async fn a_calculation_is_answered_alike_for_ever(engine: Engine) {
    let world = world(engine).await;
    let first = calculate(&world, "key-1", "prj_1", 101).await;
    let id = assert_first(&first);
    assert_replayed(&calculate(&world, "key-1", "prj_1", 101).await, &first);

    world.kill();
    world.start().await;
    world.publish_model("prj_1", &shares(&[("rec_zoe", 1)])).await;
    let spelled = "{\n  \"currency\": \"USD\", \"amount\": 101,\t\"project\\u0049d\": \"prj_1\" }";
    assert_replayed(&under(&world, "\"key-1\"", CALCULATE, spelled).await, &first);

    let other = calculate(&world, "key-2", "prj_1", 101).await;
    assert_ne!(assert_first(&other), id);
    assert_eq!(other.with(200)["breakdown"][0]["recipientId"], "rec_zoe");
}

async fn another_request_under_the_same_key_is_refused(engine: Engine) {
    let world = world(engine).await;
    let first = calculate(&world, "k", "prj_1", 101).await;
    assert_first(&first);
    calculate(&world, "k", "prj_1", 102).await.refused(422, "idempotency_key_reused");
    calculate(&world, "k", "prj_none", 101).await.refused(422, "idempotency_key_reused");
    assert_replayed(&calculate(&world, "k", "prj_1", 101).await, &first);
    // So is another caller: of two people who say yes under one key, the second is not told that they did.
    let body = json!({ "projectId": "prj_1", "amount": 101, "currency": "USD" });
    let somebody_else = signed(&json!({ "sub": "usr_other", "role": "system", "exp": NEVER }));
    let request = world.request(Method::POST, CALCULATE).bearer_auth(somebody_else).header("Idempotency-Key", "k");
    world.send(request.json(&body)).await.refused(422, "idempotency_key_reused");
    // Another operation has keys of its own.
    schedule(&world, "k", &release("esc_1", "prj_1", 100, "USD")).await.with(201);
}

async fn what_is_refused_leaves_its_key_free(engine: Engine) {
    let world = world(engine).await;
    calculate(&world, "k", "prj_new", 101).await.refused(404, "project_not_found");
    calculate(&world, "k", "prj_new", 101).await.refused(404, "project_not_found");
    world.publish_model("prj_new", &with(shares(&[("rec_ana", 1)]), "currency", json!("EUR"))).await;
    calculate(&world, "k", "prj_new", 101).await.faults("split_invalid", &["/currency currency_mismatch"]);
    world.publish_model("prj_new", &shares(&[("rec_ana", 1)])).await;
    let first = calculate(&world, "k", "prj_new", 102).await;
    assert_first(&first);
    assert_replayed(&calculate(&world, "k", "prj_new", 102).await, &first);
}

async fn a_key_is_looked_at_after_everything_else(engine: Engine) {
    let world = world(engine).await;
    let fault = ["/Idempotency-Key invalid_format"];
    let long = "k".repeat(256);
    for path in [CALCULATE, SCHEDULE] {
        let stranger = world.request(Method::POST, path).header("Idempotency-Key", "");
        world.send(stranger.body("{")).await.refused(401, "unauthenticated");
        under(&world, "", path, "{").await.refused(400, "malformed_json");
        under(&world, "", path, "{ \"a\": 1 }").await.refused(422, "validation_error");
        let body = release("esc_1", "prj_1", 100, "USD");
        let body =
            if path == CALCULATE { json!({ "projectId": "prj_1", "amount": 1, "currency": "USD" }) } else { body };
        for bad in ["", "\"", "\"k", "\"\"", &long] {
            under(&world, bad, path, &body.to_string()).await.faults("validation_error", &fault);
        }
    }
    assert_eq!(world.all("/payouts/batches", "batchId").await, Vec::<Value>::new());
}

async fn of_32_parallel_calls_under_one_key_to_two_servers_one_is_done(engine: Engine) {
    let world = Arc::new(world(engine).await);
    let mut second = world.home().start_aside("second", &["serve"]);
    let servers = [world.url(), text(&second.says("serving").await, "url")];
    for round in 0..4 {
        let mut calls = JoinSet::new();
        for call in 0..CALLS {
            let (world, url) = (Arc::clone(&world), servers[call % 2].clone());
            calls.spawn(async move {
                let request =
                    reqwest::Client::new().post(format!("{url}{CALCULATE}")).bearer_auth(world.token("admin"));
                let body = json!({ "projectId": "prj_1", "amount": 101, "currency": "USD" });
                world.send(request.header("Idempotency-Key", format!("k{round}")).json(&body)).await
            });
        }
        let (mut answers, mut first) = (BTreeSet::new(), 0);
        while let Some(answer) = calls.join_next().await {
            let answer = answer.expect("a call comes to its end");
            if answer.status == 409 {
                answer.refused(409, "request_in_progress");
                continue;
            }
            first += usize::from(answer.header("idempotent-replayed").is_none());
            answers.insert(text(&answer.with(200), "calculationId"));
        }
        assert_eq!((first, answers.len()), (1, 1), "{answers:?}");
        let again = calculate(&world, &format!("k{round}"), "prj_1", 101).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert!(answers.contains(&text(&again.with(200), "calculationId")));
    }
    assert!(second.stop().await.success());
}

/// A process that dies at work leaves a row as it is made here by hand.
async fn a_claim_that_a_crash_left_runs_out(engine: Engine) {
    let world = world(engine).await;
    let id = assert_first(&calculate(&world, "k", "prj_1", 101).await);
    let token = match engine {
        Engine::Sqlite => "x'00112233445566778899aabbccddeeff'",
        Engine::Postgres => "'00112233-4455-6677-8899-aabbccddeeff'",
    };
    let unanswered = format!("token = {token}, status = NULL, headers = NULL, body = NULL");
    let far = i64::MAX;
    execute(&world, &format!("UPDATE idempotency_keys SET {unanswered}, claimed_until = {far}")).await;
    calculate(&world, "k", "prj_1", 101).await.refused(409, "request_in_progress");
    calculate(&world, "k", "prj_1", 102).await.refused(422, "idempotency_key_reused");

    execute(&world, "UPDATE idempotency_keys SET claimed_until = 0").await;
    let anew = calculate(&world, "k", "prj_1", 102).await;
    assert_ne!(assert_first(&anew), id);
    assert_replayed(&calculate(&world, "k", "prj_1", 102).await, &anew);
}

async fn a_repeated_release_is_a_conflict_with_a_key_as_without(engine: Engine) {
    let world = world(engine).await;
    let body = release("esc_1", "prj_1", 100, "USD");
    let first = schedule(&world, "k", &body).await;
    let batch = text(&first.with(201), "batchId");
    assert_eq!(first.header("location"), Some(&*format!("/payouts/batches/{batch}")));
    for again in [
        schedule(&world, "k", &body).await,
        schedule(&world, "\"k\"", &body).await,
        schedule(&world, "other", &body).await,
        world.schedule(&body).await,
    ] {
        assert_eq!(again.header("idempotent-replayed"), None);
        let existing = again.refused(409, "already_scheduled")["existing"].clone();
        assert_eq!((text(&existing, "batchId"), &existing["requestMatches"]), (batch.clone(), &json!(true)));
    }
    assert_eq!(world.all("/payouts/batches", "batchId").await.len(), 1);
}

async fn another_release_under_the_same_key_is_refused(engine: Engine) {
    let world = world(engine).await;
    schedule(&world, "k", &release("esc_1", "prj_1", 100, "USD")).await.with(201);
    for other in [
        release("esc_1", "prj_1", 101, "USD"),
        release("esc_2", "prj_1", 100, "USD"),
        release("esc_2", "prj_none", 100, "USD"),
    ] {
        schedule(&world, "k", &other).await.refused(422, "idempotency_key_reused");
    }
    assert_eq!(world.all("/payouts/batches", "batchId").await.len(), 1);
    schedule(&world, "k2", &release("esc_2", "prj_1", 100, "USD")).await.with(201);
}

async fn a_release_that_is_refused_leaves_its_key_free(engine: Engine) {
    let world = world(engine).await;
    schedule(&world, "k", &release("esc_1", "prj_none", 100, "USD")).await.refused(404, "project_not_found");
    schedule(&world, "k", &release("esc_1", "prj_1", 100, "USD")).await.with(201);
}

/// How often each status came, and code where it is refused.
async fn race(world: &Arc<World>, key: &'static str, release: impl Fn(usize) -> Value) -> BTreeMap<String, usize> {
    let mut calls = JoinSet::new();
    for call in 0..CALLS {
        let (world, body) = (Arc::clone(world), release(call));
        calls.spawn(async move { schedule(&world, key, &body).await });
    }
    let mut outcomes = BTreeMap::new();
    while let Some(answer) = calls.join_next().await {
        let answer = answer.expect("a call comes to its end");
        let code = answer.json()["error"]["code"].as_str().unwrap_or("booked").to_owned();
        *outcomes.entry(format!("{} {code}", answer.status)).or_default() += 1;
    }
    outcomes
}

async fn of_32_parallel_releases_of_one_escrow_under_one_key_one_is_booked(engine: Engine) {
    let world = Arc::new(world(engine).await);
    let outcomes = race(&world, "k", |_| release("esc_1", "prj_1", 100, "USD")).await;
    assert_eq!(outcomes, BTreeMap::from([("201 booked".to_owned(), 1), ("409 already_scheduled".to_owned(), 31)]));
    assert_eq!(world.all("/payouts/batches", "batchId").await.len(), 1);
}

async fn of_32_parallel_releases_of_many_escrows_under_one_key_one_is_booked(engine: Engine) {
    let world = Arc::new(world(engine).await);
    let outcomes = race(&world, "k", |call| release(&format!("esc_{call}"), "prj_1", 100, "USD")).await;
    let expected = [("201 booked".to_owned(), 1), ("422 idempotency_key_reused".to_owned(), 31)];
    assert_eq!(outcomes, BTreeMap::from(expected));
    assert_eq!(world.all("/payouts/batches", "batchId").await.len(), 1);
    world.assert_books_balanced().await;
}

async fn keys_are_forgotten_when_they_are_old(engine: Engine) {
    const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;
    let world = world(engine).await;
    let old = assert_first(&calculate(&world, "old", "prj_1", 101).await);
    let young = calculate(&world, "young", "prj_1", 101).await;
    assert_first(&young);
    let age = |key: &str, days: i64| {
        format!("UPDATE idempotency_keys SET created_at = created_at - {} WHERE key = '{key}'", days * DAY_MICROS)
    };
    execute(&world, &age("old", 32)).await;
    execute(&world, &age("young", 30)).await;
    world.kill();
    // The worker looks for old keys when it starts.
    world.start().await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = calculate(&world, "old", "prj_1", 101).await;
        if text(&answer.with(200), "calculationId") != old {
            break;
        }
        assert!(Instant::now() < deadline, "the old key is still known");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_replayed(&calculate(&world, "young", "prj_1", 101).await, &young);
}
