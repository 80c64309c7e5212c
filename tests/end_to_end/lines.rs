//! Many releases in one call: each has an outcome of its own, and is booked at most once.

use super::{
    promises::{assert_paid_exactly_once, projects},
    release, shares,
};
use crate::harness::{
    answer::Answer,
    chance,
    home::Engine,
    on_both_databases,
    world::{World, text},
};
use reqwest::Method;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

on_both_databases! {
    each_line_is_answered_as_it_would_be_alone
    of_lines_with_one_escrow_one_is_booked
    a_call_that_is_sent_again_books_nothing_anew
    the_same_call_many_times_at_once_to_two_servers_books_each_line_once
    lines_of_one_project_that_counts_are_booked_one_after_the_other
    ten_thousand_lines_are_taken_and_one_more_is_not
    a_call_that_is_wrong_as_a_whole_books_nothing
    a_kill_in_the_middle_and_the_same_call_again_book_each_line_once
}

const PATH: &str = "/revenue/schedule-payouts/bulk";

fn body(releases: impl IntoIterator<Item = Value>) -> String {
    releases.into_iter().map(|release| format!("{release}\n")).collect()
}

fn good(numbers: impl IntoIterator<Item = usize>) -> String {
    body(numbers.into_iter().map(|number| {
        let amount = 10_000 + i64::try_from(number).expect("few releases");
        release(&format!("esc_{number}"), if number % 2 == 0 { "prj_good" } else { "prj_mixed" }, amount, "USD")
    }))
}

/// The batch that a line became, now or before.
#[track_caller]
fn batch_of((status, body): &(u16, Value)) -> String {
    match status {
        201 => text(body, "batchId"),
        409 => {
            let error = &body["error"];
            assert_eq!(
                (&error["code"], &error["existing"]["requestMatches"]),
                (&json!("already_scheduled"), &json!(true))
            );
            text(&error["existing"], "batchId")
        }
        other => panic!("{other}: {body}"),
    }
}

fn count(outcomes: &[(u16, Value)]) -> BTreeMap<u16, usize> {
    outcomes.iter().fold(BTreeMap::new(), |mut counts, (status, _)| {
        *counts.entry(*status).or_default() += 1;
        counts
    })
}

/// What an error says, but not in which request.
fn without_request(mut body: Value) -> Value {
    body["error"].as_object_mut().expect("an error").remove("requestId");
    body
}

async fn each_line_is_answered_as_it_would_be_alone(engine: Engine) {
    let world = World::new(engine).await;
    projects(&world).await;
    let booked = world.scheduled(&release("esc_0", "prj_good", 500, "USD")).await;
    let mut stranger = release("esc_9", "prj_good", 500, "USD");
    stranger["tenant"] = json!("x");
    let mut faults = release("9", "prj_good", 0, "usd");
    faults["deductions"] = json!([{ "type": "gift", "amount": 1 }]);
    let deducted = json!([{ "type": "refund", "amount": 600 }]);
    let mut too_much = release("esc_9", "prj_good", 500, "USD");
    too_much["deductions"] = deducted;
    let wrong = [
        release("esc_0", "prj_good", 500, "USD").to_string(),
        release("esc_0", "prj_nobody", 501, "EUR").to_string(),
        release("esc_9", "prj_nobody", 500, "USD").to_string(),
        stranger.to_string(),
        faults.to_string(),
        too_much.to_string(),
        r#"{"escrowId":"esc_9","escrowId":"esc_8","projectId":"prj_good","amount":1.0,"currency":"USD"}"#.to_owned(),
        "{".to_owned(),
        String::new(),
        " \t".to_owned(),
        "{} {}".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\u{feff}{}".to_owned(),
        format!("{{\"escrowId\":\"{}\"}}", "x".repeat(256 << 10)),
    ];
    // A good line stands between any two of them.
    let good: Vec<Value> =
        (1..=wrong.len()).map(|number| release(&format!("esc_1{number}"), "prj_good", 1000, "USD")).collect();
    let lines: Vec<String> =
        wrong.iter().zip(&good).flat_map(|(wrong, good)| [wrong.clone(), good.to_string()]).collect();
    let outcomes = world.schedule_lines(lines.join("\r\n")).await.outcomes();
    assert_eq!(outcomes.len(), lines.len());

    let mut batches = BTreeSet::from([booked]);
    for (place, line) in lines.iter().enumerate() {
        let (status, body) = &outcomes[place];
        if place % 2 == 1 {
            let (id, job) = (text(body, "batchId"), text(body, "jobId"));
            let expected = json!({
                "batchId": id, "escrowId": good[place / 2]["escrowId"], "projectId": "prj_good", "status": "scheduled",
                "currency": "USD", "itemsCount": 3, "estimatedTotalPayout": body["estimatedTotalPayout"], "jobId": job,
                "message": "Payout batch scheduled and execution job queued."
            });
            assert_eq!((status, body), (&201, &expected));
            assert_eq!(world.batch(&id).await["totalNet"], body["estimatedTotalPayout"]);
            batches.insert(id);
            continue;
        }
        let request = world.request(Method::POST, "/revenue/schedule-payouts").bearer_auth(world.token("system"));
        let alone = world.send(request.header("content-type", "application/json").body(line.clone())).await;
        assert!(alone.status >= 400, "{line}");
        let body = body.clone();
        if *status == 409 {
            // Meanwhile its batch has gone on.
            assert_eq!(body["error"]["existing"]["batchId"], alone.json()["error"]["existing"]["batchId"]);
        } else {
            assert_eq!((*status, without_request(body)), (alone.status, without_request(alone.json())), "{line}");
        }
    }
    let statuses: Vec<u16> = outcomes.iter().step_by(2).map(|(status, _)| *status).collect();
    assert_eq!(statuses, [409, 409, 404, 422, 422, 422, 422, 400, 400, 400, 400, 422, 422, 400, 413]);
    assert_eq!(outcomes[0].1["error"]["existing"]["requestMatches"], true);
    assert_eq!(outcomes[2].1["error"]["existing"]["requestMatches"], false);
    assert_paid_exactly_once(&world, &batches).await;

    // Who asked is who scheduled, and the audit log names the one request.
    let answer = world.schedule_lines(body([release("esc_30", "prj_good", 1, "USD")])).await;
    let id = batch_of(&answer.outcomes()[0]);
    assert_eq!(world.batch(&id).await["scheduledBy"], "usr_test");
    let audit = world.get("/audit?limit=100").await.with(200).to_string();
    assert!(audit.contains(answer.header("x-request-id").expect("an id")), "{audit}");
}

async fn of_lines_with_one_escrow_one_is_booked(engine: Engine) {
    let world = World::new(engine).await;
    projects(&world).await;
    let same = release("esc_1", "prj_good", 300, "USD");
    let spelled = release("0110C853-1D09-52D8-D73E-1194E95B5F19", "prj_good", 300, "USD");
    let other = release("0110c853-1d09-52d8-d73e-1194e95b5f19", "prj_good", 301, "USD");
    let lines: Vec<Value> = [&same, &spelled, &other].into_iter().cycle().take(60).cloned().collect();
    let outcomes = world.schedule_lines(body(lines)).await.outcomes();
    assert_eq!(count(&outcomes), BTreeMap::from([(201, 2), (409, 58)]));
    let mut batches = BTreeMap::new();
    for (outcome, escrow) in outcomes.iter().zip(["esc", "uuid", "uuid"].into_iter().cycle()) {
        let told = match outcome {
            (201, body) => text(body, "batchId"),
            (_, body) => text(&body["error"]["existing"], "batchId"),
        };
        batches.entry(escrow).or_insert_with(BTreeSet::new).insert(told);
    }
    assert!(batches.values().all(|told| told.len() == 1), "{batches:?}");
    // All that said the same as the one that was booked are told so.
    let matches = |(_, body): &(u16, Value)| body["error"]["existing"]["requestMatches"] == true;
    assert_eq!(outcomes.iter().filter(|outcome| matches(outcome)).count(), 19 + 19);
    assert_paid_exactly_once(&world, &batches.into_values().flatten().collect()).await;
}

async fn a_call_that_is_sent_again_books_nothing_anew(engine: Engine) {
    let world = World::new(engine).await;
    projects(&world).await;
    let first = world.schedule_lines(good(0..40)).await.outcomes();
    assert_eq!(count(&first), BTreeMap::from([(201, 40)]));
    let again = world.schedule_lines(good(0..40)).await.outcomes();
    assert_eq!(count(&again), BTreeMap::from([(409, 40)]));
    let told = |outcomes: &[(u16, Value)]| outcomes.iter().map(batch_of).collect::<Vec<_>>();
    assert_eq!(told(&first), told(&again), "line by line");
    // More of it, in another order: what is new is booked.
    let more = world.schedule_lines(good((20..60).rev())).await.outcomes();
    assert_eq!(count(&more), BTreeMap::from([(201, 20), (409, 20)]));
    assert!(more[..20].iter().all(|(status, _)| *status == 201), "the new ones stand first");
    let batches: BTreeSet<String> = first.iter().chain(&more).map(batch_of).collect();
    assert_eq!(batches.len(), 60);
    assert_paid_exactly_once(&world, &batches).await;
}

async fn the_same_call_many_times_at_once_to_two_servers_books_each_line_once(engine: Engine) {
    const LINES: usize = 60;
    let world = Arc::new(World::new(engine).await);
    projects(&world).await;
    let mut second = world.home().start_aside("second", &["serve"]);
    let servers = [world.url(), text(&second.says("serving").await, "url")];
    let mut calls = JoinSet::new();
    for call in 0..6 {
        let (world, url) = (Arc::clone(&world), servers[call % 2].clone());
        calls.spawn(async move { world.send(world.lines_to(&url, good(0..LINES))).await.outcomes() });
    }
    let (mut booked, mut told) = (0, vec![BTreeSet::new(); LINES]);
    while let Some(outcomes) = calls.join_next().await {
        let outcomes = outcomes.expect("a call comes to its end");
        booked += outcomes.iter().filter(|(status, _)| *status == 201).count();
        for (place, outcome) in outcomes.iter().enumerate() {
            told[place].insert(batch_of(outcome));
        }
    }
    assert_eq!(booked, LINES);
    assert!(told.iter().all(|batches| batches.len() == 1), "{told:?}");
    assert_paid_exactly_once(&world, &told.into_iter().flatten().collect()).await;
    assert!(second.stop().await.success());
}

/// Each reads what the others have counted.
async fn lines_of_one_project_that_counts_are_booked_one_after_the_other(engine: Engine) {
    let world = World::new(engine).await;
    let model = json!({ "currency": "USD", "steps": [
        { "type": "recoup", "key": "advance", "lines": [{ "recipientId": "rec_label", "principal": 2_500 }] },
        { "type": "share", "lines": [{ "recipientId": "rec_ana", "weight": 1 }] }] });
    world.publish_model("prj_count", &model).await;
    let lines = (0..50).map(|number| release(&format!("esc_{number}"), "prj_count", 100, "USD"));
    let outcomes = world.schedule_lines(body(lines)).await.outcomes();
    assert_eq!(count(&outcomes), BTreeMap::from([(201, 50)]));
    let mut paid = BTreeMap::new();
    for outcome in &outcomes {
        for item in world.settled(&batch_of(outcome)).await["items"].as_array().expect("items") {
            *paid.entry(text(item, "recipientId")).or_default() += item["netAmount"].as_i64().expect("an amount");
        }
    }
    assert_eq!(paid, BTreeMap::from([("rec_ana".to_owned(), 2_500), ("rec_label".to_owned(), 2_500)]));
    world.assert_books_balanced().await;
}

async fn ten_thousand_lines_are_taken_and_one_more_is_not(engine: Engine) {
    const LINES: usize = 10_000;
    let world = World::new(engine).await;
    projects(&world).await;
    // One in five hundred is good: it is the lines that count here.
    let line = |number: usize| match number % 500 {
        0 => good([number]),
        _ => format!("{{\"escrowId\":\"esc_{number}\"}}\n"),
    };
    let most: String = (0..LINES).map(line).collect();
    let refused = world.schedule_lines(format!("{most}{}", good([LINES]))).await.refused(422, "too_many_lines");
    assert!(refused["message"].as_str().is_some_and(|said| said.contains("several calls")), "{refused}");
    assert_eq!(world.all("/payouts/batches", "batchId").await, Vec::<Value>::new());

    let outcomes = world.schedule_lines(format!("{most}\n\n")).await.outcomes();
    assert_eq!(count(&outcomes), BTreeMap::from([(201, LINES / 500), (422, LINES - LINES / 500)]));
    let batches = outcomes.iter().filter(|(status, _)| *status == 201).map(batch_of).collect();
    assert_paid_exactly_once(&world, &batches).await;
}

async fn a_call_that_is_wrong_as_a_whole_books_nothing(engine: Engine) {
    let world = World::new(engine).await;
    projects(&world).await;
    let ask = |role: &str| world.request(Method::POST, PATH).bearer_auth(world.token(role));
    let lines = || good(0..3);
    let send = async |request: reqwest::RequestBuilder| world.send(request).await;
    let ndjson = |request: reqwest::RequestBuilder| request.header("content-type", "application/x-ndjson");

    send(ndjson(world.request(Method::POST, PATH)).body(lines())).await.refused(401, "unauthenticated");
    for role in ["viewer", "auditor", "operator", "approver", "creator"] {
        send(ndjson(ask(role)).body(lines())).await.refused(403, "not_system");
    }
    for media_type in ["application/json", "application/ndjson", "text/csv", "application/x-ndjson; charset=utf-16"] {
        let refused = send(ask("system").header("content-type", media_type).body(lines())).await;
        refused.refused(415, "unsupported_media_type");
    }
    send(ask("system").body(lines())).await.refused(415, "unsupported_media_type");
    let packed = ndjson(ask("system")).header("content-encoding", "gzip").body(lines());
    send(packed).await.refused(415, "unsupported_media_type");

    for empty in ["", "\n", " \r\n\t\r\n"] {
        world.schedule_lines(empty).await.refused(400, "malformed_json");
    }
    let keyed = world.lines_to(&world.url(), lines()).header("Idempotency-Key", "k");
    send(keyed).await.faults("validation_error", &["/Idempotency-Key not_accepted"]);
    let strays = ndjson(world.request(Method::POST, &format!("{PATH}?dry_run=1"))).bearer_auth(world.token("admin"));
    send(strays.body(lines())).await.faults("validation_error", &["/dry_run unknown_parameter"]);
    assert_eq!(world.all("/payouts/batches", "batchId").await, Vec::<Value>::new());

    // What is not UTF-8 is wrong in its own line only.
    let mut bytes = good([1]).into_bytes();
    bytes.extend(b"{\"escrowId\":\"esc_\xff\"}\n");
    bytes.extend(good([2]).into_bytes());
    let outcomes = world.schedule_lines(bytes).await.outcomes();
    let statuses: Vec<u16> = outcomes.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [201, 400, 201]);
    let fits = good([3]) + &" ".repeat((8 << 20) - good([3]).len());
    assert_eq!(count(&world.schedule_lines(fits).await.outcomes()), BTreeMap::from([(201, 1)]));
}

/// What was told until that many lines were, and the server was killed; and whether that broke the answer off.
async fn told_until_killed(world: &World, body: String, lines: usize) -> (Vec<(u16, Value)>, bool) {
    let mut answer = world.lines_to(&world.url(), body).send().await.expect("it begins to answer");
    let mut told = Vec::new();
    while told.iter().filter(|byte| **byte == b'\n').count() < lines {
        match answer.chunk().await.expect("it answers until it is killed") {
            Some(chunk) => told.extend(chunk),
            None => break,
        }
    }
    world.kill();
    let broke_off = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => told.extend(chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    let told = String::from_utf8_lossy(&told).into_owned();
    let outcome = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        (u16::try_from(line["status"].as_u64().expect("a status")).expect("a status"), line["body"].clone())
    };
    let whole = told.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    (whole.map(outcome).collect(), broke_off)
}

async fn a_kill_in_the_middle_and_the_same_call_again_book_each_line_once(engine: Engine) {
    const LINES: usize = 600;
    let world = World::with_options(engine, &["--no-worker"]).await;
    projects(&world).await;
    let mut promised: BTreeMap<usize, String> = BTreeMap::new();
    let mut broken_off = 0;
    for kill in 0..3 {
        let (told, broke_off) = told_until_killed(&world, good(0..LINES), 1 + kill * LINES / 4).await;
        assert!(broke_off || told.len() == LINES, "an answer that broke off looks as if it had come to its end");
        broken_off += usize::from(broke_off);
        for (place, outcome) in told.iter().enumerate() {
            let batch = batch_of(outcome);
            assert_eq!(promised.entry(place).or_insert_with(|| batch.clone()), &batch, "line {place}");
        }
        world.start().await;
    }
    assert!(broken_off > 0, "no kill came in the middle");
    let last = world.schedule_lines(good(0..LINES)).await.outcomes();
    for (place, batch) in &promised {
        assert_eq!(&batch_of(&last[*place]), batch, "line {place}");
    }
    let batches: BTreeSet<String> = last.iter().map(batch_of).collect();
    let listed = world.all("/payouts/batches", "batchId").await;
    let listed: BTreeSet<String> = listed.iter().map(|batch| text(batch, "batchId")).collect();
    assert_eq!((batches.len(), &listed), (LINES, &batches), "each escrow is one batch, and there is no other");
    world.assert_books_balanced().await;
    assert_eq!(world.verify().await.code, 0);
}

async fn connect(url: &str) -> DatabaseConnection {
    Database::connect(ConnectOptions::new(url).max_connections(1).to_owned()).await.expect("a database")
}

async fn execute(database: &DatabaseConnection, sql: &str) {
    database.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Sends until every line is booked. Answers the last outcomes, and how often each status came.
async fn until_booked(world: &World, lines: &str) -> (Vec<(u16, Value)>, BTreeMap<u16, usize>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut came = BTreeMap::new();
    loop {
        let outcomes = world.schedule_lines(lines.to_owned()).await.outcomes();
        for (status, times) in count(&outcomes) {
            *came.entry(status).or_default() += times;
        }
        if outcomes.iter().all(|(status, _)| matches!(status, 201 | 409)) {
            return (outcomes, came);
        }
        assert!(Instant::now() < deadline, "after a minute {:?}", count(&outcomes));
        chance::pause(50).await;
    }
}

/// Each line that is tried waits for seconds, 64 at once: ten times that would be more than a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_can_be_written_the_call_is_told_so_soon_and_wrong_lines_are_told_apart() {
    const LINES: usize = 640;
    let world = World::new(Engine::Sqlite).await;
    projects(&world).await;
    let other = connect(&world.home().database_url()).await;
    execute(&other, "BEGIN IMMEDIATE").await;
    let lines = good(0..LINES) + "{\n";
    let asked = Instant::now();
    let outcomes = world.schedule_lines(lines).await.outcomes();
    assert!(asked.elapsed() < Duration::from_secs(45), "told only after {:?}", asked.elapsed());
    assert_eq!(count(&outcomes), BTreeMap::from([(400, 1), (503, LINES)]));
    assert!(outcomes[..LINES].iter().all(|(_, body)| body["error"]["code"] == "unavailable"));
    execute(&other, "ROLLBACK").await;
    let (outcomes, _) = until_booked(&world, &good(0..LINES / 10)).await;
    assert_paid_exactly_once(&world, &outcomes.iter().map(batch_of).collect()).await;
}

/// Each cut may come between a commit and its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_survive_connections_that_break_under_them() {
    const LINES: usize = 200;
    let world = Arc::new(World::new(Engine::Postgres).await);
    projects(&world).await;
    let url = world.home().database_url();
    let name = url.rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default();
    let server =
        std::env::var("DISBURSE_TEST_POSTGRES_URL").expect("DISBURSE_TEST_POSTGRES_URL: run `cargo xtask test`");
    let server = connect(&server).await;
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let caller = Arc::clone(&world);
    let calling = tokio::spawn(async move { until_booked(&caller, &good(0..LINES)).await });
    let mut cuts = 0;
    while !calling.is_finished() && cuts < 20 {
        execute(&server, &cut).await;
        cuts += 1;
        chance::pause(60).await;
    }
    let (outcomes, came) = calling.await.expect("the caller comes to its end");
    assert!(came.keys().all(|status| matches!(status, 201 | 409 | 503)), "{came:?}");
    println!("{cuts} cuts: {came:?}");
    assert_paid_exactly_once(&world, &outcomes.iter().map(batch_of).collect()).await;
}

/// What a reader of the answer sees of a call that is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_what_became_of_a_call() {
    let world = World::new(Engine::Sqlite).await;
    world.publish_model("prj_good", &shares(&[("rec_ana", 1)])).await;
    let lines = body([release("esc_1", "prj_good", 1, "USD"), release("esc_2", "prj_nobody", 1, "USD")]);
    let answer: Answer = world.schedule_lines(lines).await;
    assert_eq!(count(&answer.outcomes()), BTreeMap::from([(201, 1), (404, 1)]));
    let deadline = Instant::now() + Duration::from_secs(10);
    let said = loop {
        let said = std::fs::read_to_string(world.home().log()).expect("a log");
        if let Some(line) = said.lines().find(|line| line.contains("lines answered")) {
            break line.to_owned();
        }
        assert!(Instant::now() < deadline, "{said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let said: Value = serde_json::from_str(&said).expect("a log line is JSON");
    for (name, expected) in [("lines", 2), ("done", 1), ("refused", 1), ("failed", 0)] {
        assert_eq!(said[name], expected, "{said}");
    }
    assert_eq!(said["request_id"].as_str(), answer.header("x-request-id"));
}
