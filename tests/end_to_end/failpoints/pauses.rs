//! A worker that stands still (SIGSTOP) until its lease is over and somebody else has done its job, and then goes on as
//! if nothing had happened.

use super::super::{promises::assert_paid_exactly_once, release, shares};
use crate::harness::{
    home::Engine,
    on_both_databases,
    process::Process,
    world::{World, list, text},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};

on_both_databases! {
    a_worker_that_stood_still_beyond_its_lease_writes_nothing_and_pays_nobody_again
    a_cancel_is_done_also_if_the_worker_heard_of_the_recall_first
    a_worker_that_stood_still_between_intent_and_call_does_not_call_under_a_lease_that_is_over
}

/// Longer than every lease of a worker.
const BEYOND_LEASES_SECONDS: u64 = 40;
/// Of the 15 seconds of a lease a call may take 5: after this a machine must not call any more.
const TOO_LATE_TO_CALL: Duration = Duration::from_millis(10_500);
/// It can be stopped while it writes to a file, and then nobody else can. Seldom; the play is given anew.
const TRIES: usize = 4;

/// A server without a worker, a batch, and a worker that stands still at that moment of it.
struct Standing {
    world: World,
    batch: String,
    standing: Process,
}

async fn standing(engine: Engine, moment: &str, settings: &serde_json::Value) -> Standing {
    for _ in 0..TRIES {
        let world = World::with_options(engine, &["--no-worker"]).await;
        // Nobody is registered, which would be jobs of its own: the batch is the only one.
        world.publish_model("prj_good", &shares(&[("rec_ana", 1), ("rec_ben", 1), ("rec_cleo", 1)])).await;
        world.put("/simulator/settings", settings).await.with(200);
        let batch = world.scheduled(&release("esc_1", "prj_good", 30_000, "USD")).await;
        let mut standing = worker(&world, "first", Some(moment));
        standing.pauses().await;
        assert!(standing.said().contains(&format!("disburse: pauses at {moment}")), "{}", standing.said());
        let one = json!({ "seconds": 1 });
        let is_free = world.post("/test/clock/advance", &one).await.status == 200
            // The simulator's book is a file of its own, on both databases.
            && world.put("/simulator/settings", settings).await.status == 200;
        if is_free {
            return Standing { world, batch, standing };
        }
        standing.go_on();
    }
    panic!("it always holds the database")
}

fn worker(world: &World, name: &str, moment: Option<&str>) -> Process {
    let mut command = world.home().command(&["worker"]);
    if let Some(moment) = moment {
        command.env("DISBURSE_PAUSE_AT", moment);
    }
    Process::start(command, world.home().folder().join(format!("{name}.log")))
}

impl Standing {
    /// Another worker does the job, and then the first goes on.
    async fn taken_over(mut self) {
        let world = &self.world;
        let mut other = worker(world, "second", None);
        other.says("working").await;
        world.post("/test/clock/advance", &json!({ "seconds": BEYOND_LEASES_SECONDS })).await.with(200);
        world.settled(&self.batch).await;
        let before = world.batch(&self.batch).await;
        let transfers = world.transfers().await;

        self.standing.go_on();
        let lost = self.standing.says("lost the lease of a job").await;
        assert_eq!(lost["kind"], "execute_batch");
        // It works on, and has nothing to do with that job any more.
        let more = world.scheduled(&release("esc_2", "prj_good", 30_000, "USD")).await;
        world.settled(&more).await;
        let ours = |transfer: &serde_json::Value| {
            list(&before, "items").iter().any(|item| item["itemId"] == transfer["itemId"])
        };
        let after: Vec<_> = world.transfers().await.into_iter().filter(ours).collect();
        assert_eq!(after, transfers, "the provider was asked for more");
        assert_eq!(world.batch(&self.batch).await, before, "something was written under the lease that was lost");
        assert_executed_once(world, &BTreeSet::from([self.batch.clone(), more])).await;
        assert!(other.stop().await.success() && self.standing.stop().await.success());
    }
}

/// Every item of these batches is paid, and was executed once, whatever else the provider was asked; the books balance.
async fn assert_executed_once(world: &World, batches: &BTreeSet<String>) {
    let transfers = world.transfers().await;
    for batch in batches {
        for item in list(&world.batch(batch).await, "items") {
            assert_eq!(item["status"], "paid", "{item:#}");
            let ours = transfers.iter().filter(|transfer| transfer["itemId"] == item["itemId"]);
            let executed: Vec<i64> = ours.filter_map(|transfer| transfer["executed"].as_i64()).collect();
            assert_eq!(executed, [item["payableAmount"].as_i64().expect("a number")], "{item:#} {transfers:#?}");
        }
    }
    assert_paid_exactly_once(world, batches).await;
}

async fn a_worker_that_stood_still_beyond_its_lease_writes_nothing_and_pays_nobody_again(engine: Engine) {
    // Claimed and not begun; intent and no call; called and the answer not written.
    for moment in
        ["worker.queue.claim.after:1", "worker.repository.commit.after:1", "worker.repository.commit.before:2"]
    {
        standing(engine, moment, &json!({})).await.taken_over().await;
    }
}

/// The provider forgets keys: what is called late, under the key of an order that somebody else has given up meanwhile,
/// would be paid a second time.
async fn a_worker_that_stood_still_between_intent_and_call_does_not_call_under_a_lease_that_is_over(engine: Engine) {
    let forgetful = json!({ "replayWindowSeconds": 1 });
    let standing = standing(engine, "worker.repository.commit.after:1", &forgetful).await;
    tokio::time::sleep(TOO_LATE_TO_CALL).await;
    standing.taken_over().await;
}

async fn a_cancel_is_done_also_if_the_worker_heard_of_the_recall_first(engine: Engine) {
    let world = World::with_options(engine, &["--no-worker"]).await;
    let slow = json!({ "rail": "simulator", "details": { "behaviour": "slow", "after": "300d" } });
    world.register("rec_slow", &json!({ "destination": slow })).await;
    world.publish_model("prj_slow", &shares(&[("rec_slow", 1)])).await;
    let batch = world.scheduled(&release("esc_1", "prj_slow", 100, "USD")).await;
    let mut worker = worker(&world, "worker", None);
    worker.says("working").await;
    world.batch_once(&batch, |batch| batch["attempts"][0]["status"] == "accepted").await;
    let mut command = world.home().command(&["serve", "--no-worker"]);
    command.env("DISBURSE_PAUSE_AT", "api.rail.recall.after:1");
    let mut second = Process::start(command, world.home().folder().join("second.log"));
    let url = text(&second.says("serving").await, "url");
    let item = text(&world.batch(&batch).await["items"][0], "itemId");
    let cancel = reqwest::Client::builder().no_proxy().build().expect("a client");
    let cancel = cancel.post(format!("{url}/payouts/items/{item}/cancel")).bearer_auth(world.token("admin"));
    let cancel = tokio::spawn(cancel.json(&json!({})).send());
    second.pauses().await;
    world.post("/test/clock/advance", &json!({ "seconds": 400 })).await.with(200);
    world.batch_once(&batch, |batch| batch["status"] == "cancelled").await;
    second.go_on();
    let answer = cancel.await.expect("it is not interrupted").expect("an answer");
    let (status, body) = (answer.status().as_u16(), answer.text().await.expect("a body"));
    assert_eq!(status, 200, "{body}");
    assert_eq!(world.transfers().await[0]["executed"], 0);
    world.assert_books_balanced().await;
    assert!(worker.stop().await.success() && second.stop().await.success());
}
