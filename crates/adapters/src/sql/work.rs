//! Tells waiting claimers of this process that there is something to claim.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};
use tokio::sync::Notify;

/// Counts what was told, and remembers how far the last claimer who left nothing behind had seen.
#[derive(Default)]
pub(super) struct Work {
    told: AtomicU64,
    seen: AtomicU64,
    bell: Notify,
    news: Notify,
}

impl Work {
    /// There is something to claim: committed, so that a claim from now on finds it.
    pub(super) fn tell(&self) {
        self.hear();
        self.news.notify_one();
    }

    /// Another process says so. Who told everybody is not answered: that would go round for ever.
    pub(super) fn hear(&self) {
        self.told.fetch_add(1, SeqCst);
        self.bell.notify_waiters();
    }

    /// Something was told here that other processes do not know of. However much it was, it is news once.
    pub(super) fn news(&self) -> &Notify {
        &self.news
    }

    /// What a claim that starts now will see.
    pub(super) fn told(&self) -> u64 {
        self.told.load(SeqCst)
    }

    /// A claim that saw so much left nothing behind.
    pub(super) fn saw(&self, told: u64) {
        self.seen.fetch_max(told, SeqCst);
    }

    /// Waits until something is told that no claim has seen yet.
    pub(super) async fn wait(&self, at_most: Duration) {
        // Listens before it looks: what is told in between rings.
        let bell = self.bell.notified();
        if self.seen.load(SeqCst) == self.told() {
            // Either way there may be something now.
            let _ = tokio::time::timeout(at_most, bell).await;
        }
    }
}
