//! What is counted from release to release, and what was taken back.

use super::world::World;
use app::{
    change::{Cause, Count},
    ports::repository::{BatchForReversal, Movement, Raise, StoredCounter},
};
use domain::{
    batch::BatchLine,
    counter::CounterKey,
    ids::{BatchId, RecipientId, ReversalId},
    reversal::ReversalLine,
    timestamp::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// A movement, and when it was made.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) movement: Movement,
    pub(super) at: Timestamp,
}

impl World {
    pub(super) fn counter(&self, key: &CounterKey) -> Option<StoredCounter> {
        let (value, revision) = *self.counters.get(key)?;
        Some(StoredCounter { key: key.clone(), value, revision })
    }

    pub(super) fn counters_of(&self, kind: &str, recipient: &RecipientId) -> Vec<StoredCounter> {
        let prefix = format!("{kind}:{recipient}:");
        let theirs = self.counters.keys().filter(|key| key.as_str().starts_with(&prefix));
        theirs.filter_map(|key| self.counter(key)).collect()
    }

    /// Whether every counter that was read is as it was read. Whoever moves one twice read it before the first of the
    /// two.
    pub(super) fn counters_are_as_read(&self, counts: &[Count]) -> bool {
        let revision = |key| self.counters.get(key).map_or(0, |(_, revision)| *revision);
        let mut named = BTreeSet::new();
        counts
            .iter()
            .all(|count| named.insert(&count.key) && count.seen.is_none_or(|seen| seen == revision(&count.key)))
    }

    /// Whether every counter can be as large as it would be.
    pub(super) fn counters_fit(&self, counts: &[Count]) -> bool {
        let value = |key| self.counters.get(key).map_or(0, |(value, _)| *value);
        counts.iter().all(|count| value(&count.key).checked_add(count.add).is_some())
    }

    pub(super) fn move_counter(&mut self, count: Count) {
        let Count { key, seen: _, add, cause } = count;
        if add == 0 {
            return;
        }
        let (value, revision) = self.counters.entry(key.clone()).or_default();
        *value += add;
        *revision += 1;
        self.moves.push(Moved { movement: Movement { key, add, cause }, at: self.now });
    }

    pub(super) fn raised_by(&self, key: &CounterKey, limit: u32) -> Vec<Raise> {
        let mut sums: BTreeMap<BatchId, i64> = BTreeMap::new();
        // What is known of those that raised it, and which was the last of them.
        let mut raises: BTreeMap<BatchId, (usize, Raise)> = BTreeMap::new();
        let theirs = self.moves.iter().enumerate().filter(|(_, moved)| moved.movement.key == *key);
        for (place, Moved { movement, at }) in theirs {
            let Cause { batch, reversal, recipient: _, reason } = movement.cause.clone();
            *sums.entry(batch).or_default() += movement.add;
            if movement.add > 0 {
                let first = Raise { batch, reversal: None, reason, amount_minor: 0, since: *at };
                let (last, raise) = raises.entry(batch).or_insert((place, first));
                *last = place;
                raise.reversal = raise.reversal.take().max(reversal);
                raise.reason = if reason.as_str() > raise.reason.as_str() { reason } else { raise.reason };
            }
        }
        for (batch, (_, raise)) in &mut raises {
            raise.amount_minor = sums.get(batch).copied().unwrap_or_default();
        }
        let mut raises: Vec<(usize, Raise)> =
            raises.into_values().filter(|(_, raise)| raise.amount_minor > 0).collect();
        raises.sort_by_key(|(last, _)| std::cmp::Reverse(*last));
        raises.into_iter().map(|(_, raise)| raise).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
    }

    pub(super) fn lines_of(&self, batch: BatchId) -> impl Iterator<Item = &BatchLine> {
        self.lines.range((batch, 0)..=(batch, u32::MAX)).map(|(_, line)| line)
    }

    /// The lines of reversals that are wanted, each with its source if that is known.
    pub(super) fn reversal_lines(&self, wanted: impl Fn(&ReversalLine) -> bool) -> Vec<ReversalLine> {
        let lines = self.reversal_lines.iter().filter(|(_, line)| wanted(line));
        let with_source = |(key, line): (&(ReversalId, u32), &ReversalLine)| {
            let source = self.sources.get(key).map(|found| found.source);
            ReversalLine { source, ..line.clone() }
        };
        lines.map(with_source).collect()
    }

    pub(super) fn batch_for_reversal(&self, batch: BatchId) -> Option<BatchForReversal> {
        let found = self.batches.get(&batch)?.clone();
        let release = found.value.release();
        let version = release.and_then(|of| self.models.get(&(of.project.clone(), of.model_version))).cloned();
        let mut reversals: Vec<_> =
            self.reversals.values().filter(|reversal| reversal.batch == batch).cloned().collect();
        reversals.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let moves = self.moves.iter().map(|moved| &moved.movement);
        Some(BatchForReversal {
            items: self.items_of(batch).cloned().collect(),
            lines: self.lines_of(batch).cloned().collect(),
            reversals,
            reversal_lines: self.reversal_lines(|line| line.batch == batch),
            movements: moves.filter(|movement| movement.cause.batch == batch).cloned().collect(),
            model: version,
            batch: found,
        })
    }
}
