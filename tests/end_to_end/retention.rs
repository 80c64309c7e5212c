//! What is long done is forgotten, and whatever comes later is done all the same.

use super::states::payment::Payment;
use crate::harness::{
    home::Engine,
    on_both_databases,
    process::PATIENCE,
    sql::{connect, value},
    world::{World, list},
};
use serde_json::json;
use std::time::{Duration, Instant};

on_both_databases! {
    what_is_long_done_is_forgotten_and_a_batch_is_worked_on_all_the_same
}

const DAY: i64 = 86_400;

/// What is old is looked for when a worker starts, and every hour. Answers what a question does once it is that.
async fn forgets(world: &World, question: &str, expected: i64) {
    world.stop().await;
    world.start().await;
    let database = connect(&world.home().database_url()).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found: i64 = value(&database, question).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{question}: {found}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn what_is_long_done_is_forgotten_and_a_batch_is_worked_on_all_the_same(engine: Engine) {
    const JOBS: &str = "SELECT CAST(count(*) AS BIGINT) FROM jobs WHERE kind = 'execute_batch'";
    const EVENTS: &str = "SELECT CAST(count(*) AS BIGINT) FROM outbox WHERE batch_id IS NOT NULL";
    let world = World::new(engine).await;
    let details = json!({ "behaviour": "late_return", "after": "20d" });
    let payment = Payment::to(&world, "late", details).await;
    let moved = ["worker record_intent", "rail settle"];
    payment.stands("paid", &moved, &["sent", "paid"], "paid").await;

    world.advance(6 * DAY).await;
    forgets(&world, JOBS, 1).await;
    world.advance(2 * DAY).await;
    forgets(&world, JOBS, 0).await;

    // It comes back when nothing is left of its job, and is sent anew.
    payment.change(json!({})).await;
    world.advance(15 * DAY).await;
    let moved = ["worker record_intent", "rail settle", "rail return"];
    payment.stands("returned", &moved, &["sent", "paid", "returned"], "returned").await;
    payment.act("retry").await;
    let moved = [&moved[..], &["usr_op retry", "worker record_intent", "rail settle"]].concat();
    payment.stands("paid", &moved, &["sent", "paid", "returned", "sent", "paid"], "paid").await;

    // What was told goes, and what happened stays.
    let told = list(&world.batch(&payment.batch).await, "timeline").len();
    world.events(&payment.batch, told).await;
    world.advance(31 * DAY).await;
    forgets(&world, EVENTS, 0).await;
    let batch = world.batch(&payment.batch).await;
    assert_eq!((batch["status"].as_str(), list(&batch, "timeline").len()), (Some("completed"), 0));
    assert!(world.audit(&payment.item).await.len() >= moved.len());
    assert_eq!(world.verify().await.code, 0);
}
