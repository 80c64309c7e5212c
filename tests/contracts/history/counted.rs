//! What is counted from release to release, and what is taken back.

use super::{History, PEOPLE};
use crate::contracts::{
    Ports,
    sample::{
        Release, carried, carry, count, counter, debt, escheat, finish, found, fresh, moved, moves, read, reverse,
    },
};
use app::{
    change::{Count, New},
    job::Job,
    ports::repository::{BatchForReversal, Raise},
};
use domain::{
    counter::CounterKey,
    ids::{BatchId, TransactionId},
    item::{ItemStatus, ItemStep},
    ledger::postings,
    reversal::Strategy,
};
use std::collections::BTreeMap;

impl History<'_> {
    /// The counters that a release moves, read now or some time ago.
    pub(super) async fn carried(&mut self, release: &Release) -> Vec<Count> {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for line in &release.lines {
            *sums.entry(line.recipient.as_str()).or_default() += line.carried_forward_minor - line.carried_in_minor;
        }
        let mut counts = Vec::new();
        for (who, add) in sums {
            let seen = self.seen(&carried(who)).await;
            counts.push(count(&carried(who), seen, add, release.batch.id));
        }
        counts
    }

    /// The revision of a counter, or one that it had or will have, or none.
    async fn seen(&mut self, key: &CounterKey) -> Option<u32> {
        let (_, revision) = counter(&self.one, key).await;
        match self.random.below(12) {
            0 => Some(revision.saturating_sub(1)),
            1 => Some(revision + 1),
            2..=4 => None,
            _ => Some(revision),
        }
    }

    /// A batch with all that was taken back of it, as it is or as it was some time ago.
    async fn found(&mut self) -> Option<BatchForReversal> {
        let batch = self.random.of(&self.known.batches)?;
        let now = found(&self.one, batch).await;
        let before = if self.random.one_in(5) { self.random.of(&self.known.histories) } else { None };
        self.known.histories.push(now.clone());
        Some(before.unwrap_or(now))
    }

    pub(super) async fn take_back(&mut self) {
        let Some(found) = self.found().await else { return };
        let earlier: i64 = found.reversals.iter().map(|reversal| reversal.amount_minor).sum();
        let left = usize::try_from(found.batch.value.gross_minor() - earlier).unwrap();
        if found.batch.value.escrow().is_none() || left == 0 {
            return;
        }
        let amount = i64::try_from(1 + self.random.below(left)).unwrap();
        let strategy = if self.random.one_in(4) { Strategy::Platform } else { Strategy::SplitRatio };
        let id = format!("ref_{}", self.random.below(150));
        let reversed = reverse(&found, &id, amount, strategy, self.one.now().await);
        if self.commit(reversed.change).await {
            self.known.waiting.extend(reversed.lines.into_iter().filter(|line| line.source.is_none()));
        }
    }

    /// Books a line that waited, perhaps once more.
    pub(super) async fn finish(&mut self) {
        let Some(line) = self.random.of(&self.known.waiting) else { return };
        let found = found(&self.one, line.batch).await;
        let item = found.items.iter().find(|item| Some(item.value.id) == line.item).expect("it waits for an item");
        let is_beyond = line.gross_minor > item.value.amount_minor - item.value.reversed_minor;
        if !item.value.status().is_in_transit() && !is_beyond {
            let change = finish(&found, &line, self.one.now().await);
            self.commit(change).await;
        }
    }

    /// An item that is held goes to the platform and to somebody else.
    pub(super) async fn let_go(&mut self) {
        let Some(batch) = self.random.of(&self.known.batches) else { return };
        let (found, at) = (self.one.load(batch).await, self.one.now().await);
        let held = found.items.iter().position(|item| item.value.status() == ItemStatus::PendingKyc);
        let Some(place) = held else { return };
        let item = &found.items[place].value;
        let platform_minor = i64::try_from(self.random.below(usize::try_from(item.due_minor()).unwrap())).unwrap();
        let others = [(read("rec_cyd"), item.due_minor() - platform_minor)];
        let id = TransactionId::new(fresh());
        let posted = postings::escheated(id, &found.batch.value, item, &others, platform_minor, at).unwrap();
        let mut change = moved(&found, &[place], ItemStep::Cancel, at);
        change.insert.push(New::Escheat(escheat(item, platform_minor, at)));
        change.post.push(posted);
        change.count = vec![count(&carried("rec_cyd"), None, others[0].1, batch)];
        self.commit(change).await;
    }

    /// What is carried is paid without a release.
    pub(super) async fn pay_carried(&mut self) {
        let who = PEOPLE[self.random.below(PEOPLE.len())];
        let (value, _) = counter(&self.one, &carried(who)).await;
        if value > 0 {
            let at = self.one.now().await;
            let paid = carry(who, value, at);
            let mut change = paid.change();
            change.count = self.carried(&paid).await;
            if self.commit(change).await {
                self.known.batches.push(paid.batch.id);
                self.known.jobs.push(Job::of(&paid.batch, at));
            }
        }
    }

    /// Some counters move, or are held still; now and then one is named twice.
    pub(super) async fn count(&mut self) {
        let Some(batch) = self.random.of(&self.known.batches) else { return };
        let mut counts = Vec::new();
        for _ in 0..=self.random.below(4) {
            let key = self.key();
            let seen = self.seen(&key).await;
            let add = i64::try_from(self.random.below(9)).unwrap() - 4;
            counts.push(count(&key, seen, add, batch));
        }
        self.commit(moves(counts)).await;
    }

    fn key(&mut self) -> CounterKey {
        let who = PEOPLE[self.random.below(PEOPLE.len())];
        match self.random.below(4) {
            0 => debt(who),
            1 => CounterKey::carried(&read(who), read("EUR")),
            2 => CounterKey::sequence(&read("prj_film")),
            _ => CounterKey::tax_base(&read(who), read("USD"), "us_nra", &self.random.below(9).to_string()),
        }
    }

    pub(super) async fn look_at_what_is_counted(&mut self) {
        let who = PEOPLE[self.random.below(PEOPLE.len())];
        let limit = u32::try_from(self.random.below(5)).unwrap();
        same!(self, queries.owed_to(&read(who), limit));
        same!(self, queries.has_lines(&read(who)));
        same!(self, repository.counters_of("carried", &read(who)));
        let reversal = read(&format!("ref_{}", self.random.below(150)));
        same!(self, repository.reversal(&reversal));
        let key = if self.random.one_in(2) { carried(who) } else { self.key() };
        // Since when is told by clocks of their own.
        let raises = async |ports: &Ports| -> Vec<(BatchId, String, i64)> {
            let raises = ports.repository.raised_by(&key, limit).await.unwrap();
            let named =
                |raise: Raise| (raise.batch, format!("{:?} {:?}", raise.reason, raise.reversal), raise.amount_minor);
            raises.into_iter().map(named).collect()
        };
        let (one, two) = (raises(&self.one).await, raises(&self.two).await);
        assert_eq!(one, two);
    }
}
