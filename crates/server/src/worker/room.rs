//! How much is done side by side. Jobs of small batches are many, because what they commit at the same time they commit
//! together; jobs of large ones are few, because all their items are to be read, sent and answered under one lease.
//!
//! How large a batch is shows when it is read. Until then a job takes as much room as the largest slice.

use app::payouts::execute_batch::SLICE_ITEMS_MAX;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::Notify;

/// So many jobs side by side at most.
const JOBS_MAX: usize = 256;
/// So many items of their slices together at most.
const ITEMS_MAX: usize = 32 * SLICE_ITEMS_MAX;

/// The room of a worker.
#[derive(Default)]
pub(super) struct Room {
    jobs: AtomicUsize,
    items: AtomicUsize,
    /// Told when there is more of it.
    more: Notify,
}

impl Room {
    /// For how many jobs more there is room now. Whoever takes places is one, so it does not shrink until then.
    pub(super) fn free(&self) -> u32 {
        let jobs = JOBS_MAX.saturating_sub(self.jobs.load(Relaxed));
        let items = ITEMS_MAX.saturating_sub(self.items.load(Relaxed));
        u32::try_from(jobs.min(items / SLICE_ITEMS_MAX)).unwrap_or(u32::MAX)
    }

    /// A place for a job that was claimed.
    pub(super) fn take(self: &Arc<Self>) -> Place {
        self.jobs.fetch_add(1, Relaxed);
        self.items.fetch_add(SLICE_ITEMS_MAX, Relaxed);
        Place { room: self.clone(), items: AtomicUsize::new(SLICE_ITEMS_MAX) }
    }

    /// Waits until there is more room than when it was last waited for.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }
}

/// The room that a job takes, until it is dropped.
pub(super) struct Place {
    room: Arc<Room>,
    items: AtomicUsize,
}

impl Place {
    /// Its batch has so many items.
    pub(super) fn is_for(&self, items: usize) {
        let items = items.min(SLICE_ITEMS_MAX);
        self.room.items.fetch_add(items, Relaxed);
        self.room.items.fetch_sub(self.items.swap(items, Relaxed), Relaxed);
        self.room.more.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.jobs.fetch_sub(1, Relaxed);
        self.room.items.fetch_sub(*self.items.get_mut(), Relaxed);
        self.room.more.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_large_batches_or_many_small_ones() {
        let room = Arc::new(Room::default());
        assert_eq!(room.free(), 32);
        let unread: Vec<_> = (0..32).map(|_| room.take()).collect();
        assert_eq!(room.free(), 0, "as if all of them were large");

        unread.iter().for_each(|place| place.is_for(10_000));
        assert_eq!(room.free(), 0);
        drop(unread);
        assert_eq!(room.free(), 32);

        let mut small = Vec::new();
        while room.free() > 0 {
            let place = room.take();
            place.is_for(2);
            small.push(place);
        }
        assert_eq!(small.len(), JOBS_MAX);
        drop(small);
        assert_eq!(room.free(), 32);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_more_room() {
        let room = Arc::new(Room::default());
        let place = room.take();
        place.is_for(2);
        room.more().await;
        drop(place);
        room.more().await;
    }
}
