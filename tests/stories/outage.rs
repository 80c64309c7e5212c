//! A provider is down for hours, and much is to be paid.

use super::stage::Stage;
use crate::contracts::memory;
use domain::item::ItemStatus;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Calls that the rail allows in a second.
const LIMIT: u32 = 50;
const BATCHES: usize = 20;
const ITEMS: usize = 500;

/// 10,000 items in 20 batches; nobody answers for six hours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_six_hours_without_a_provider_ten_thousand_items_are_paid_once_and_slowly_enough() {
    let bench = memory().await;
    let stage = Stage::new(&bench);
    {
        let mut profile = stage.rail.profile.lock().unwrap();
        profile.calls_per_second_max = LIMIT;
        profile.replay_window = None;
    }
    let lines: Vec<Value> = (0..ITEMS).map(|n| json!({ "recipientId": format!("rec_{n}"), "weight": 1 })).collect();
    stage.model(json!({ "steps": [{ "type": "share", "lines": lines }] })).await;
    stage.rail.is_down(true);
    let mut batches = Vec::new();
    for n in 0..BATCHES {
        batches.push(stage.release(&format!("esc_{n}"), 500_000, "USD").await);
    }
    let down_since = stage.ports.now().await;
    // Long steps first, so that the six hours are short for us; then second by second.
    while stage.ports.now().await.since(down_since) < Duration::from_secs(6 * 3_600) {
        stage.pass(Duration::from_secs(30)).await;
    }
    let during = stage.rail.calls().len();
    stage.rail.is_down(false);
    let up_since = stage.ports.now().await;
    let mut seconds = 0;
    let left = async || {
        let mut left = 0;
        for batch in &batches {
            let items = stage.batch(batch.id).await.items;
            left += items.iter().filter(|item| item.status() != ItemStatus::Paid).count();
        }
        left
    };
    while left().await > 0 {
        for _ in 0..30 {
            stage.pass(Duration::from_secs(1)).await;
            seconds += 1;
        }
        assert!(seconds < 1_800, "recovery takes too long: {} are left", left().await);
    }
    let mut by_second: BTreeMap<i64, u32> = BTreeMap::new();
    for call in stage.rail.calls() {
        *by_second.entry(call.unix_micros() / 1_000_000).or_default() += 1;
    }
    let peak = by_second.values().max().copied().unwrap_or_default();
    println!(
        "{} items: {during} calls in 6 h without a provider, recovered in {} s, at most {peak} calls in a second",
        BATCHES * ITEMS,
        stage.ports.now().await.since(up_since).as_secs(),
    );
    assert!(peak <= LIMIT, "{peak} calls in one second");
    assert!(during < 10_000, "a provider that is down is left alone: {during} calls");
    for n in 0..ITEMS {
        let recipient = format!("rec_{n}");
        assert_eq!(stage.rail.times_paid(&recipient), BATCHES, "{recipient}");
    }
    stage.assert_balanced().await;
}
