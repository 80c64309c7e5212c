//! After a failover, or on a backup that was restored: the rails are asked what they know that we do not.

use super::{release, shares};
use crate::harness::{
    home::{Engine, Home},
    on_both_databases,
    process::Ran,
    sql::{connect, execute, value},
    world::{World, text},
};
use serde_json::{Value, json};

on_both_databases! {
    what_was_paid_after_the_backup_is_told_to_a_person
    what_the_rail_knows_better_is_learned
    a_rail_that_cannot_be_asked_is_told
}

const SINCE: [&str; 3] = ["sweep", "--since", "2020-01-01T00:00:00Z"];
const ALARMS: &str = "SELECT CAST(count(*) AS BIGINT) FROM outbox WHERE type = 'payout.alarm'";

async fn paid(world: &World, escrow: &str) -> String {
    let batch = world.scheduled(&release(escrow, "prj_1", 1_000, "USD")).await;
    assert_eq!(world.settled(&batch).await["status"], "completed");
    batch
}

fn assert_ended(ran: &Ran, code: i32, line: &str) {
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.lines().any(|said| said.starts_with(line)), "no {line} in\n{}", ran.stdout);
}

async fn what_was_paid_after_the_backup_is_told_to_a_person(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    paid(&world, "esc_1").await;
    world.stop().await;
    let backup = world.home().copy().await;
    world.start().await;
    paid(&world, "esc_2").await;
    let transfers = world.transfers().await;
    world.stop().await;
    let well = world.home().run(&SINCE).await;
    assert_ended(&well, 0, "ok       simulator");

    // The database is as it was before, and the provider is not.
    let book = |home: &Home| home.folder().join("data/simulator.db");
    for part in ["", "-wal", "-shm"] {
        let (from, to) =
            (format!("{}{part}", book(world.home()).display()), format!("{}{part}", book(&backup).display()));
        match std::fs::copy(from, &to) {
            Ok(_) => {}
            Err(_) => drop(std::fs::remove_file(to)),
        }
    }
    let database = connect(&backup.database_url()).await;
    assert_eq!(value::<i64>(&database, ALARMS).await, 0);
    for is_first in [true, false] {
        let swept = backup.run(&SINCE).await;
        assert_ended(&swept, 6, "UNKNOWN  simulator        settled");
        assert_ended(&swept, 6, "SWEPT    simulator");
        assert!(swept.stdout.contains("1000 USD"), "{}", swept.stdout);
        assert_eq!(value::<i64>(&database, ALARMS).await, 1, "it is told once");
        assert_one_payment_has_one_name(&backup, &swept, &transfers).await;
        assert_eq!(swept.stderr.contains(&key_of(&swept)), is_first, "{}", swept.stderr);
    }
}

/// What follows `key=` in the line of what is unknown.
fn key_of(swept: &Ran) -> String {
    let word = swept.stdout.split_whitespace().find_map(|word| word.strip_prefix("key="));
    word.unwrap_or_else(|| panic!("no key in\n{}", swept.stdout)).to_owned()
}

/// The sweep, the alarm, `verify` and the provider name it alike.
async fn assert_one_payment_has_one_name(backup: &Home, swept: &Ran, transfers: &[Value]) {
    let key = key_of(swept);
    let transfer = transfers.iter().find(|transfer| transfer["idempotencyKey"] == key.as_str());
    let transfer = transfer.unwrap_or_else(|| panic!("{key} is none of {transfers:?}"));
    let line = swept.stdout.lines().find(|line| line.starts_with("UNKNOWN")).expect("a line");
    let database = connect(&backup.database_url()).await;
    let data = value::<String>(&database, "SELECT data FROM outbox WHERE type = 'payout.alarm'").await;
    let about = serde_json::from_str::<Value>(&data).expect("JSON")["about"].take();
    assert_eq!(
        about,
        json!({ "rail": "simulator", "says": "settled", "key": key, "reference": transfer["id"], "amount": 1_000,
            "currency": "USD", "occurredAt": transfer["createdAt"], "name": about["name"], "wireRef": about["wireRef"] })
    );
    for name in ["name", "wireRef", "reference", "occurredAt"] {
        assert!(line.contains(&text(&about, name)), "{name} of {about} is not in\n{line}");
    }
    let verified = backup.run(&["verify"]).await;
    assert_eq!(verified.code, 6, "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains(&key), "{key} is not in\n{}", verified.stdout);
}

async fn what_the_rail_knows_better_is_learned(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    let fault = json!({ "behaviour": "timeout_after", "recipientId": "rec_ana", "times": 1 });
    world.fault(&fault).await;
    let batch = world.scheduled(&release("esc_1", "prj_1", 1_000, "USD")).await;
    world.batch_once(&batch, |batch| batch["items"][0]["status"] == "in_doubt").await;
    world.kill();
    // Nobody works, and it is learned all the same.
    let swept = world.home().run(&SINCE).await;
    assert_ended(&swept, 0, "ok       simulator");
    let database = connect(&world.home().database_url()).await;
    assert_eq!(value::<String>(&database, "SELECT status FROM items").await, "paid");
    assert_eq!(world.verify().await.code, 0);
    execute(&database, "DELETE FROM jobs").await;
    world.start().await;
    assert_eq!(text(&world.batch(&batch).await, "status"), "completed");
}

async fn a_rail_that_cannot_be_asked_is_told(engine: Engine) {
    let world = World::new(engine).await;
    world.stop().await;
    let arguments = [&SINCE[..], &["--simulator-url", "http://127.0.0.1:9"]].concat();
    let swept = world.home().run(&arguments).await;
    assert_ended(&swept, 69, "UNSEEN   simulator");
    let unset = world.home().run(&["sweep"]).await;
    assert_eq!(unset.code, 2, "{}", unset.stderr);
}
