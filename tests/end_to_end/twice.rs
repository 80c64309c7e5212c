//! An escrow is booked at most once, however often and wherever it is asked for.

use super::{release, shares};
use crate::harness::{
    home::Engine,
    on_both_databases,
    world::{World, list, text},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::task::JoinSet;

on_both_databases! {
    of_32_parallel_calls_for_one_escrow_one_is_booked
    of_32_parallel_calls_to_two_servers_one_is_booked
    many_escrows_raced_for_by_two_servers_are_booked_once_each
    two_spellings_of_an_escrow_are_one_escrow
    two_parallel_changes_of_one_thing_leave_one_of_them
}

const CALLS: usize = 32;

/// All of them at once, taking turns between the servers. Answers how often each status came.
async fn race(world: &Arc<World>, servers: &[String], body: &Value) -> BTreeMap<u16, usize> {
    let mut calls = JoinSet::new();
    for call in 0..CALLS {
        let (world, url, body) = (Arc::clone(world), servers[call % servers.len()].clone(), body.clone());
        calls.spawn(async move { world.schedule_at(&url, &body).await });
    }
    let mut statuses = BTreeMap::new();
    let mut batches = BTreeSet::new();
    while let Some(answer) = calls.join_next().await {
        let answer = answer.expect("a call comes to its end");
        *statuses.entry(answer.status).or_default() += 1;
        if answer.status == 201 {
            batches.insert(text(&answer.json(), "batchId"));
        } else {
            let existing = answer.refused(409, "already_scheduled")["existing"].clone();
            assert_eq!(existing["requestMatches"], true);
            batches.insert(text(&existing, "batchId"));
        }
    }
    assert_eq!(batches.len(), 1, "the callers were told of {batches:?}");
    statuses
}

/// One batch, one set of postings, one transfer for each of its two items.
async fn assert_booked_once(world: &World) {
    let batches = world.all("/payouts/batches", "batchId").await;
    let [batch] = batches.as_slice() else { panic!("{batches:#?}") };
    let settled = world.settled(&text(batch, "batchId")).await;
    assert_eq!((settled["status"].as_str(), list(&settled, "attempts").len()), (Some("completed"), 2));
    let transactions = world.all("/ledger/transactions", "transactionId").await;
    let mut kinds: Vec<String> = transactions.iter().map(|found| text(found, "kind")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["paid", "paid", "released", "scheduled", "sent", "sent"]);
    assert_eq!(world.transfers().await.len(), 2);
    world.assert_books_balanced().await;
}

async fn of_32_parallel_calls_for_one_escrow_one_is_booked(engine: Engine) {
    let world = Arc::new(World::new(engine).await);
    world.publish_model("prj_1", &shares(&[("rec_ana", 1), ("rec_ben", 1)])).await;
    let statuses = race(&world, &[world.url()], &release("esc_1", "prj_1", 101, "USD")).await;
    assert_eq!(statuses, BTreeMap::from([(201, 1), (409, 31)]));
    assert_booked_once(&world).await;
}

async fn of_32_parallel_calls_to_two_servers_one_is_booked(engine: Engine) {
    let world = Arc::new(World::new(engine).await);
    world.publish_model("prj_1", &shares(&[("rec_ana", 1), ("rec_ben", 1)])).await;
    let mut second = world.home().start_aside("second", &["serve"]);
    let url = text(&second.says("serving").await, "url");
    let statuses = race(&world, &[world.url(), url], &release("esc_1", "prj_1", 101, "USD")).await;
    assert_eq!(statuses, BTreeMap::from([(201, 1), (409, 31)]));
    assert_booked_once(&world).await;
    assert!(second.stop().await.success());
}

/// Both servers work, too: no job is done by both.
async fn many_escrows_raced_for_by_two_servers_are_booked_once_each(engine: Engine) {
    const ESCROWS: usize = 8;
    let world = Arc::new(World::new(engine).await);
    world.publish_model("prj_1", &shares(&[("rec_ana", 1), ("rec_ben", 1)])).await;
    let mut second = world.home().start_aside("second", &["serve"]);
    let servers = [world.url(), text(&second.says("serving").await, "url")];
    let mut races = JoinSet::new();
    for escrow in 0..ESCROWS {
        let (world, servers) = (Arc::clone(&world), servers.clone());
        let body = release(&format!("esc_{escrow}"), "prj_1", 101, "USD");
        races.spawn(async move { race(&world, &servers, &body).await });
    }
    while let Some(statuses) = races.join_next().await {
        assert_eq!(statuses.expect("a race comes to its end"), BTreeMap::from([(201, 1), (409, 31)]));
    }
    for batch in world.all("/payouts/batches", "batchId").await {
        assert_eq!(world.settled(&text(&batch, "batchId")).await["status"], "completed");
    }
    let transfers = world.transfers().await;
    let items: BTreeSet<String> = transfers.iter().map(|transfer| text(transfer, "itemId")).collect();
    assert_eq!((transfers.len(), items.len()), (2 * ESCROWS, 2 * ESCROWS));
    world.assert_books_balanced().await;
    assert!(second.stop().await.success());
}

async fn two_spellings_of_an_escrow_are_one_escrow(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    for (first, second) in [
        ("0110C853-1D09-52D8-D73E-1194E95B5F19", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
        ("507F1F77BCF86CD799439011", "507f1f77bcf86cd799439011"),
    ] {
        let scheduled = world.schedule(&release(first, "prj_1", 100, "USD")).await.with(201);
        assert_eq!(scheduled["escrowId"], second, "one spelling is stored and answered");
        let error = world.schedule(&release(second, "prj_1", 100, "USD")).await.refused(409, "already_scheduled");
        assert_eq!(
            (&error["existing"]["batchId"], error["existing"]["requestMatches"].as_bool()),
            (&scheduled["batchId"], Some(true))
        );
        for spelling in [first, second] {
            assert_eq!(world.all(&format!("/payouts/batches?escrowId={spelling}"), "batchId").await.len(), 1);
        }
    }
    // A prefixed id keeps its case: these are two.
    world.scheduled(&release("esc_a", "prj_1", 100, "USD")).await;
    world.scheduled(&release("esc_A", "prj_1", 100, "USD")).await;
    assert_eq!(world.all("/payouts/batches", "batchId").await.len(), 4);
}

async fn two_parallel_changes_of_one_thing_leave_one_of_them(engine: Engine) {
    let world = Arc::new(World::new(engine).await);
    let mut calls = JoinSet::new();
    for call in 0..16_i64 {
        let world = Arc::clone(&world);
        calls.spawn(async move {
            let model = shares(&[("rec_ana", 1), ("rec_ben", 1 + call)]);
            let stored = loop {
                // Whoever loses too many races is told to come again.
                match world.put("/projects/prj_1/revenue-model", &model).await {
                    answer if answer.status == 503 => drop(answer.refused(503, "unavailable")),
                    answer => break answer.with(201),
                }
            };
            let about = serde_json::json!({ "taxRatePpm": 1000 * call });
            while world.put("/recipients/rec_ana", &about).await.status == 503 {}
            stored["version"].as_u64().expect("a number")
        });
    }
    let mut versions = BTreeSet::new();
    while let Some(version) = calls.join_next().await {
        versions.insert(version.expect("a call comes to its end"));
    }
    assert_eq!(versions, (1..=16).collect(), "every version has its number");
    let listed = world.all_by("/projects/prj_1/revenue-models", "version", 5).await;
    let listed: Vec<u64> = listed.iter().filter_map(|found| found["version"].as_u64()).collect();
    assert_eq!(listed, (1..=16).rev().collect::<Vec<_>>());
    let rate = world.get("/recipients/rec_ana").await.with(200)["taxRatePpm"].as_u64();
    assert!(rate.is_some_and(|rate| rate % 1000 == 0 && rate < 16_000));
}
