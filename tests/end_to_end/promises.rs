//! What a caller was promised with a 201, and whether it was kept.

use super::{shares, with};
use crate::harness::{
    chance,
    world::{World, list, text},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// A killed worker's jobs are taken up after their lease (15 s); all of this is patience.
pub const TAKEN_UP_WITHIN: Duration = Duration::from_secs(60);

/// Everybody is paid in one project; in the other, one of three is declined.
pub async fn projects(world: &World) {
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
pub async fn persistent(world: Arc<World>, body: Value) -> String {
    persistent_under(&world, &body, None).await
}

/// The same under an idempotency key.
pub async fn persistent_under(world: &World, body: &Value, key: Option<&str>) -> String {
    until_booked(world, body, key, true).await
}

/// Sends a release that was booked once more. Answers the batch that it is told of.
pub async fn repeated(world: &World, body: &Value, key: Option<&str>) -> String {
    until_booked(world, body, key, false).await
}

async fn until_booked(world: &World, body: &Value, key: Option<&str>, may_be_new: bool) -> String {
    let deadline = Instant::now() + TAKEN_UP_WITHIN;
    loop {
        let request = world.request(Method::POST, "/revenue/schedule-payouts");
        let mut request = request.bearer_auth(world.token("system")).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let last = match world.try_send(request).await {
            Ok(answer) if answer.status == 201 && may_be_new => return text(&answer.json(), "batchId"),
            Ok(answer) if answer.status == 409 => {
                let existing = answer.refused(409, "already_scheduled")["existing"].clone();
                assert_eq!(existing["requestMatches"], true);
                return text(&existing, "batchId");
            }
            Ok(answer) => answer.refused(503, "unavailable").to_string(),
            // Nobody there: it is being killed.
            Err(error) => error.to_string(),
        };
        assert!(Instant::now() < deadline, "{body} is not booked: {last}");
        chance::pause(50).await;
    }
}

/// Every item of these batches has one transfer in the simulator's book, and the books balance.
pub async fn assert_paid_exactly_once(world: &World, batches: &BTreeSet<String>) {
    let deadline = Instant::now() + TAKEN_UP_WITHIN;
    let mut items = BTreeMap::new();
    for batch in batches {
        let settled = world.settled_by(batch, deadline).await;
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
