//! The outbox: what was committed to be published, and what was.

use super::Memory;
use app::ports::{Outbox, StoreError, queries::PublishedEvent};
use async_trait::async_trait;
use domain::{
    event::{Event, EventKind},
    ids::EventId,
    timestamp::Timestamp,
};
use std::time::Duration;

/// An event that was not published yet, and until when somebody tries to.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) event: Event,
    leased_until: Option<Timestamp>,
}

impl Pending {
    pub(super) fn new(event: Event) -> Self {
        Self { event, leased_until: None }
    }
}

#[async_trait]
impl Outbox for Memory {
    async fn unpublished(&self, limit: u32, lease: Duration) -> Result<Vec<Event>, StoreError> {
        let mut world = self.world();
        let (now, until) = (world.now, world.now.after(lease));
        let free = world.pending.values_mut().filter(|pending| pending.leased_until.is_none_or(|end| end <= now));
        let taken = free.take(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(taken
            .map(|pending| {
                pending.leased_until = Some(until);
                pending.event.clone()
            })
            .collect())
    }

    async fn mark_published(&self, events: &[EventId]) -> Result<(), StoreError> {
        let mut world = self.world();
        for id in events {
            if let Some(pending) = world.pending.remove(id) {
                let published = PublishedEvent { event: pending.event, published_at: world.now };
                world.published.insert(*id, published);
            }
        }
        Ok(())
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        let mut world = self.world();
        let now = world.now;
        let is_old = |told: &PublishedEvent| told.published_at.after(age) < now && told.event.kind != EventKind::Alarm;
        let old = world.published.iter().filter(|(_, told)| is_old(told));
        let old: Vec<EventId> = old.map(|(id, _)| *id).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        for id in &old {
            world.published.remove(id);
        }
        Ok(old.len() as u64)
    }
}
