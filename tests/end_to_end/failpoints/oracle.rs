//! What must be true at the end, whatever died on the way.

use super::play::{CAST, Player};
use crate::harness::world::{list, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Looks at everything.
pub async fn judge(player: &Player, batch: &str) {
    let world = &player.world;
    let batches: Vec<String> =
        world.all("/payouts/batches", "batchId").await.iter().map(|batch| text(batch, "batchId")).collect();
    assert_eq!(batches, [batch], "what was promised is there, once");
    let found = world.batch(batch).await;
    assert_eq!(found["status"], "partial");
    let items = list(&found, "items");
    let ends: BTreeMap<String, String> =
        items.iter().map(|item| (text(item, "recipientId"), text(item, "status"))).collect();
    assert_eq!(ends, CAST.map(|(recipient, _, end)| (recipient.to_owned(), end.to_owned())).into());
    for attempt in list(&found, "attempts") {
        assert_ne!(attempt["status"], "sent", "what became of it is not known: {attempt:#}");
    }
    let transfers = world.transfers().await;
    for item in items {
        paid_at_most_once(item, &transfers);
        let audit = world.all(&format!("/audit?subject={}", text(item, "itemId")), "auditId").await;
        every_move_was_told(item, list(&found, "timeline"), audit);
    }
    let published = world.all(&format!("/events?batchId={batch}"), "eventId").await;
    let ids = |events: &[Value]| events.iter().map(|event| text(event, "eventId")).collect::<BTreeSet<_>>();
    assert_eq!(ids(&published), ids(list(&found, "timeline")), "every event is published");
    assert!(published.iter().all(|event| event["publishedAt"].is_string()), "{published:#?}");
    world.assert_books_balanced().await;
    let verified = world.verify().await;
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
}

/// The provider's own book is asked, not ours.
fn paid_at_most_once(item: &Value, transfers: &[Value]) {
    let ours: Vec<&Value> = transfers.iter().filter(|transfer| transfer["itemId"] == item["itemId"]).collect();
    let number = |transfer: &Value, name: &str| transfer[name].as_i64().expect("a number");
    let executed: Vec<&&Value> = ours.iter().filter(|transfer| number(transfer, "executed") > 0).collect();
    let left: i64 = ours.iter().map(|transfer| number(transfer, "executed") - number(transfer, "returned")).sum();
    let (times, amount) = match item["status"].as_str() {
        Some("paid") => (1, item["payableAmount"].as_i64().expect("a number")),
        Some("returned") => (1, 0),
        _ => (0, 0),
    };
    assert_eq!((executed.len(), left), (times, amount), "{item:#} in the provider's book: {ours:#?}");
    // One order for each time that somebody decided to pay, under one key each.
    let orders = if item["recipientId"] == "rec_retried" { 2 } else { 1 };
    let keys: BTreeSet<String> = ours.iter().map(|transfer| text(transfer, "idempotencyKey")).collect();
    assert_eq!((ours.len(), keys.len()), (orders, orders), "{item:#} in the provider's book: {ours:#?}");
}

/// Each state after the first came with an event and an entry in the audit log, and the entries are a chain.
fn every_move_was_told(item: &Value, timeline: &[Value], mut audit: Vec<Value>) {
    let told = timeline.iter().filter(|event| event["itemId"] == item["itemId"]);
    let told: Vec<String> = told.map(|event| text(&event["data"], "status")).collect();
    audit.reverse();
    audit.retain(|entry| entry["before"].is_object());
    // That it is there was told with its batch, unless it was held.
    let first = audit.first().map(|entry| text(&entry["before"], "status")).expect("every one of them moved");
    let mut moves = vec![first];
    for entry in &audit {
        assert_eq!(Some(&text(&entry["before"], "status")), moves.last(), "{item:#}: a gap in {audit:#?}");
        moves.push(text(&entry["after"], "status"));
    }
    let silent = usize::from(moves[0] == "scheduled");
    assert_eq!(told, moves[silent..], "{item:#}: events and audit log differ: {audit:#?}");
    assert_eq!(moves.last().map(|last| json!(last)).as_ref(), Some(&item["status"]));
}
