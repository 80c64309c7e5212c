//! What must be true at the end, whatever broke on the way.

use super::{is_soak, load::is_declined};
use crate::harness::{
    acting::number,
    world::{World, list, text},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// How long what is on its way at the end may take, in CI and in a soak: a lease, questions about what nobody answered, and
/// patience. What is long in doubt is looked at seldom, up to every 300 s.
const SETTLED_WITHIN: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(420));

/// What was looked at.
#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
pub struct Verdict {
    /// Batches, all of them acknowledged.
    batches: usize,
    /// Items that are paid, each once.
    paid: usize,
    /// Orders in the provider's book, declined ones among them.
    orders: usize,
}

/// Everything acknowledged is there and nothing else; each item that is due was paid once and no other was, in the
/// provider's own book; every order there is one that we know; the books balance.
pub async fn judge(world: &World, acknowledged: &BTreeMap<String, String>) -> Verdict {
    let listed: BTreeMap<String, String> = world
        .all("/payouts/batches", "batchId")
        .await
        .iter()
        .map(|batch| (text(batch, "escrowId"), text(batch, "batchId")))
        .collect();
    let lost: Vec<_> = acknowledged.iter().filter(|(escrow, batch)| listed.get(*escrow) != Some(batch)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(listed.len(), acknowledged.len(), "there are batches that nobody was told of");
    // What is wrong by now need not be waited for.
    nobody_is_paid_twice(&world.transfers().await);

    let deadline = Instant::now() + if is_soak() { SETTLED_WITHIN.1 } else { SETTLED_WITHIN.0 };
    let (mut items, mut ours) = (Vec::new(), BTreeSet::new());
    for batch in acknowledged.values() {
        let settled = world.settled_by(batch, deadline).await;
        items.extend_from_slice(list(&settled, "items"));
        for attempt in list(&settled, "attempts") {
            assert_ne!(attempt["status"], "sent", "what became of it is not known: {attempt:#}");
            ours.insert(text(attempt, "instructionId"));
        }
    }
    let transfers = world.transfers().await;
    nobody_is_paid_twice(&transfers);
    let mut by_item: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for transfer in &transfers {
        let key = text(transfer, "idempotencyKey");
        assert!(ours.contains(&key), "sent although its intent is not stored: {transfer:#}");
        assert!(keys.insert(key), "a key was used twice: {transfer:#}");
        by_item.entry(transfer["itemId"].as_str().expect("an item")).or_default().push(transfer);
    }
    let mut paid = 0;
    for item in &items {
        let orders = by_item.remove(text(item, "itemId").as_str()).unwrap_or_default();
        let executed: Vec<i64> = orders.iter().map(|order| number(order, "executed")).filter(|sum| *sum > 0).collect();
        let (status, expected) = match is_declined(&item["recipientId"]) {
            true => ("failed", Vec::new()),
            false => ("paid", vec![number(item, "payableAmount")]),
        };
        assert_eq!(
            (item["status"].as_str(), executed),
            (Some(status), expected),
            "{item:#} in their book: {orders:#?}"
        );
        paid += usize::from(status == "paid");
    }
    assert!(by_item.is_empty(), "paid to nobody that we know: {by_item:#?}");
    world.assert_books_balance_soon().await;
    let verified = world.verify().await;
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    Verdict { batches: acknowledged.len(), paid, orders: transfers.len() }
}

fn nobody_is_paid_twice(transfers: &[Value]) {
    let mut paid: BTreeMap<Option<&str>, &Value> = BTreeMap::new();
    for transfer in transfers.iter().filter(|transfer| number(transfer, "executed") > 0) {
        let before = paid.insert(transfer["itemId"].as_str(), transfer);
        assert!(before.is_none(), "paid twice: {before:#?} and {transfer:#}");
    }
}
