//! What was committed to be published is published at least once, in order.

use super::{
    Bench, Ports,
    bench::{LEASE, PAST_LEASE},
    sample::{booked, event, first, fresh, insert, recipient, seconds},
};
use app::{
    change::{Change, New},
    ports::{CommitError, queries::EventFilter},
};
use domain::{
    event::{Alarm, Event},
    ids::EventId,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::sync::Barrier;

fn ids(events: &[Event]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

/// Commits so many events, some of them together.
async fn tell(ports: &Ports, count: usize) -> Vec<Event> {
    let now = ports.now().await;
    let events: Vec<Event> = (0..count).map(|_| event(now)).collect();
    for some in events.chunks(3) {
        ports.commit(Change { publish: some.to_vec(), ..Change::default() }).await;
    }
    events
}

pub async fn events_are_handed_out_in_their_order(bench: &dyn Bench) {
    let ports = bench.ports();
    let told = tell(&ports, 20).await;
    let mut found = Vec::new();
    for expected in [7, 7, 6, 0] {
        let some = ports.outbox.unpublished(7, LEASE).await.unwrap();
        assert_eq!(some.len(), expected);
        found.extend(some);
    }
    assert_eq!(found, told);
}

pub async fn an_event_goes_to_one_relay(bench: &dyn Bench) {
    const RELAYS: usize = 8;
    let ports = bench.ports();
    let told = tell(&ports, 60).await;
    let start = Arc::new(Barrier::new(RELAYS));
    let relays: Vec<_> = (0..RELAYS)
        .map(|_| {
            let (ports, start) = (ports.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                let mut mine = Vec::new();
                loop {
                    let some = ports.outbox.unpublished(2, LEASE).await.unwrap();
                    if some.is_empty() {
                        return mine;
                    }
                    mine.extend(some);
                    assert!(mine.len() <= 60, "it never ends");
                }
            })
        })
        .collect();
    let mut found = Vec::new();
    for relay in relays {
        found.extend(relay.await.unwrap());
    }
    found.sort_by_key(|event| event.id);
    assert_eq!(ids(&found), ids(&told), "each once");
}

pub async fn a_published_event_is_not_handed_out_again(bench: &dyn Bench) {
    let ports = bench.ports();
    let told = tell(&ports, 5).await;
    let taken = ports.outbox.unpublished(3, LEASE).await.unwrap();
    ports.outbox.mark_published(&ids(&taken)).await.unwrap();
    assert_eq!(ports.events().await, told[3..]);
    ports.outbox.mark_published(&ids(&told[3..])).await.unwrap();
    bench.pass(PAST_LEASE).await;
    assert_eq!(ports.events().await, []);
}

pub async fn what_a_relay_did_not_publish_comes_back_after_its_lease(bench: &dyn Bench) {
    let ports = bench.ports();
    let told = tell(&ports, 5).await;
    assert_eq!(ports.events().await, told);
    ports.outbox.mark_published(&[told[0].id, told[2].id]).await.unwrap();
    assert_eq!(ports.events().await, []);
    bench.pass(LEASE / 2).await;
    assert_eq!(ports.events().await, []);
    bench.pass(PAST_LEASE / 2).await;
    let newer = tell(&ports, 1).await;
    bench.pass(PAST_LEASE / 2).await;
    let expected = [told[1].clone(), told[3].clone(), told[4].clone(), newer[0].clone()];
    assert_eq!(ports.events().await, expected);
    // Published after its lease ran out is published all the same.
    bench.pass(PAST_LEASE).await;
    ports.outbox.mark_published(&ids(&expected)).await.unwrap();
    assert_eq!(ports.events().await, []);
}

/// Transactions do not commit in the order in which they drew their names: a relay that went on from the last name that
/// it saw would never see the slower one.
pub async fn an_event_that_was_named_earlier_and_committed_later_is_handed_out(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let (slow, fast) = (event(now), event(now));
    assert!(slow.id < fast.id);
    ports.commit(Change { publish: vec![fast.clone()], ..Change::default() }).await;
    assert_eq!(ports.events().await, std::slice::from_ref(&fast));
    ports.outbox.mark_published(&[fast.id]).await.unwrap();
    ports.commit(Change { publish: vec![slow.clone()], ..Change::default() }).await;
    assert_eq!(ports.events().await, [slow]);
}

pub async fn a_refused_change_publishes_nothing(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let person = New::Recipient(recipient("rec_ana", now));
    ports.commit(insert(person.clone())).await;
    let change = Change { publish: vec![event(now), event(now)], ..insert(person) };
    let refused = ports.repository.commit(change).await;
    assert!(matches!(refused, Err(CommitError::Duplicate(_))), "{refused:?}");
    assert_eq!(ports.events().await, []);
}

pub async fn publishing_twice_changes_nothing(bench: &dyn Bench) {
    let ports = bench.ports();
    let told = tell(&ports, 2).await;
    ports.events().await;
    ports.outbox.mark_published(&[told[0].id]).await.unwrap();
    let page = || ports.queries.events(EventFilter::default(), first(10));
    let before = page().await.unwrap();
    bench.pass(PAST_LEASE).await;
    ports.outbox.mark_published(&[told[0].id, EventId::new(fresh())]).await.unwrap();
    ports.outbox.mark_published(&[]).await.unwrap();
    assert_eq!(page().await.unwrap(), before);
    assert_eq!(ports.events().await, told[1..]);
}

pub async fn only_published_events_are_listed(bench: &dyn Bench) {
    let ports = bench.ports();
    let start = ports.now().await;
    let release = booked(&ports).await;
    let page = || ports.queries.events(EventFilter { batch: Some(release.batch.id), kind: None }, first(10));
    assert_eq!(page().await.unwrap().data, []);
    let taken = ports.events().await;
    assert_eq!(page().await.unwrap().data, []);
    bench.pass(LEASE / 2).await;
    ports.outbox.mark_published(&ids(&taken)).await.unwrap();
    let listed = page().await.unwrap().data;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].event, taken[0]);
    assert!(listed[0].published_at >= start.after(LEASE / 2) && listed[0].published_at <= ports.now().await);
}

pub async fn what_was_published_long_ago_is_forgotten_a_few_at_a_time_but_for_alarms(bench: &dyn Bench) {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let ports = bench.ports();
    let told = tell(&ports, 5).await;
    let alarm = Event::alarm(EventId::new(fresh()), Alarm::RailPaused, (None, None), json!({}), ports.now().await);
    ports.commit(Change { publish: vec![alarm.clone()], ..Change::default() }).await;
    let all = ports.events().await;
    assert_eq!(all.len(), 6);
    ports.outbox.mark_published(&ids(&all)).await.unwrap();
    let unpublished = tell(&ports, 2).await;
    assert_eq!(ports.outbox.forget(DAY, 10).await.unwrap(), 0, "they are young");

    bench.pass(DAY + seconds(60)).await;
    let young = tell(&ports, 1).await;
    ports.outbox.mark_published(&ids(&young)).await.unwrap();
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(ports.outbox.forget(DAY, 2).await.unwrap());
    }
    assert_eq!(counts, [2, 2, 1, 0]);
    let listed = ports.queries.events(EventFilter::default(), first(10)).await.unwrap().data;
    let listed: Vec<Event> = listed.into_iter().map(|listed| listed.event).collect();
    assert_eq!(ids(&listed), [young[0].id, alarm.id]);
    assert!(told.iter().all(|old| !listed.contains(old)));
    assert_eq!(ports.events().await, unpublished, "what is not told is not forgotten");
}
