//! Counters, and what moves them.

use super::{super::Ports, read};
use app::change::{Cause, Change, Count, Reason};
use app::ports::repository::StoredCounter;
use domain::{counter::CounterKey, ids::BatchId};

/// What is carried for somebody in dollars.
pub fn carried(recipient: &str) -> CounterKey {
    CounterKey::carried(&read(recipient), read("USD"))
}

/// What somebody owes in dollars.
pub fn debt(recipient: &str) -> CounterKey {
    CounterKey::debt(&read(recipient), read("USD"))
}

/// A release of that batch moves something that belongs to nobody in particular.
pub fn cause(batch: BatchId) -> Cause {
    Cause { batch, reversal: None, recipient: None, reason: Reason::Release }
}

/// A movement by a release.
pub fn count(key: &CounterKey, seen: Option<u32>, add: i64, batch: BatchId) -> Count {
    Count { key: key.clone(), seen, add, cause: cause(batch) }
}

/// A change that only moves counters.
pub fn moves(counts: impl IntoIterator<Item = Count>) -> Change {
    Change { count: counts.into_iter().collect(), ..Change::default() }
}

/// A counter as it is now: its value and its revision, both zero if it does not exist.
pub async fn counter(ports: &Ports, key: &CounterKey) -> (i64, u32) {
    let found = ports.repository.counters(std::slice::from_ref(key)).await.unwrap();
    assert!(found.len() <= 1, "{found:?}");
    found.first().map_or((0, 0), |StoredCounter { key: named, value, revision }| {
        assert_eq!(named, key);
        (*value, *revision)
    })
}
