//! What raised a counter, so that nobody has to remember where a balance comes from.

use super::{
    Bench, Ports,
    bench::LEASE,
    sample::{booked, carried, debt, moves, read},
};
use app::{
    change::{Cause, Count, Reason},
    ports::repository::Raise,
};
use domain::{counter::CounterKey, ids::BatchId};

async fn batches<const COUNT: usize>(ports: &Ports) -> [BatchId; COUNT] {
    let mut batches = Vec::new();
    for _ in 0..COUNT {
        batches.push(booked(ports).await.batch.id);
    }
    batches.try_into().unwrap()
}

async fn add(ports: &Ports, key: &CounterKey, batch: BatchId, add: i64) {
    because(ports, key, Cause { batch, reversal: None, recipient: None, reason: Reason::Release }, add).await;
}

async fn because(ports: &Ports, key: &CounterKey, cause: Cause, add: i64) {
    ports.commit(moves([Count { key: key.clone(), seen: None, add, cause }])).await;
}

async fn raises(ports: &Ports, key: &CounterKey, limit: u32) -> Vec<(BatchId, i64)> {
    let found = ports.repository.raised_by(key, limit).await.unwrap();
    found.into_iter().map(|raise| (raise.batch, raise.amount_minor)).collect()
}

pub async fn what_raised_a_counter_is_summed_by_batch_newest_first(bench: &dyn Bench) {
    let ports = bench.ports();
    let [one, two, three] = batches(&ports).await;
    let key = carried("rec_ana");
    assert_eq!(raises(&ports, &key, 10).await, []);
    // Newest is a matter of the movements, not of the batches.
    for (batch, raised) in [(two, 10), (three, 200), (two, 5), (one, 7)] {
        add(&ports, &key, batch, raised).await;
        add(&ports, &debt("rec_ana"), batch, 1).await;
        add(&ports, &carried("rec_anab"), batch, 2).await;
    }
    let expected = [(one, 7), (two, 15), (three, 200)];
    assert_eq!(raises(&ports, &key, 10).await, expected);
    for limit in 0..=3 {
        assert_eq!(raises(&ports, &key, limit).await, expected[..usize::try_from(limit).unwrap()]);
    }
    assert_eq!(raises(&ports, &debt("rec_ana"), 10).await, [(one, 1), (two, 2), (three, 1)]);
}

pub async fn what_a_batch_moved_back_is_no_raise_of_it(bench: &dyn Bench) {
    let ports = bench.ports();
    let [one, two, three, four] = batches(&ports).await;
    let key = carried("rec_ana");
    for batch in [one, two, three] {
        add(&ports, &key, batch, 100).await;
    }
    // What takes it along is no part of what raised it.
    add(&ports, &key, four, -120).await;
    assert_eq!(raises(&ports, &key, 10).await, [(three, 100), (two, 100), (one, 100)]);
    let back = |batch| Cause { batch, reversal: Some(read("ref_1")), recipient: None, reason: Reason::Reversal };
    because(&ports, &key, back(two), -100).await;
    because(&ports, &key, back(three), -101).await;
    assert_eq!(raises(&ports, &key, 10).await, [(one, 100)], "what is moved back whole, or more, is none");
}

/// What is carried leaves in the order in which it came: moving a part of it back does not make the rest newer.
pub async fn what_was_moved_back_in_part_keeps_its_place(bench: &dyn Bench) {
    let ports = bench.ports();
    let [one, two, three] = batches(&ports).await;
    let key = carried("rec_ana");
    for batch in [one, two, three] {
        add(&ports, &key, batch, 100).await;
    }
    add(&ports, &key, one, -30).await;
    assert_eq!(raises(&ports, &key, 10).await, [(three, 100), (two, 100), (one, 70)]);
    assert_eq!(raises(&ports, &key, 2).await, [(three, 100), (two, 100)]);
}

pub async fn a_raise_says_why_and_since_when(bench: &dyn Bench) {
    let ports = bench.ports();
    let [one, two] = batches(&ports).await;
    let key = debt("rec_ana");
    let start = ports.now().await;
    bench.pass(LEASE).await;
    let reversal = |id| Cause { batch: one, reversal: Some(read(id)), recipient: None, reason: Reason::Reversal };
    because(&ports, &key, reversal("ref_2"), 60).await;
    let between = ports.now().await.after(LEASE);
    bench.pass(LEASE * 2).await;
    because(&ports, &key, reversal("ref_3"), -20).await;
    let why = Cause { batch: two, reversal: None, recipient: Some(read("rec_ana")), reason: Reason::Escheat };
    because(&ports, &key, why, 5).await;

    let found = ports.repository.raised_by(&key, 10).await.unwrap();
    let [newest, oldest] = &found[..] else { panic!("{found:?}") };
    assert!(newest.since > between, "{newest:?}");
    assert!(oldest.since > start && oldest.since < between, "{oldest:?}");
    let raise = |batch, reversal, reason, amount_minor, since| Raise { batch, reversal, reason, amount_minor, since };
    assert_eq!(*newest, raise(two, None, Reason::Escheat, 5, newest.since));
    // What lowered it does not count for the name.
    assert_eq!(*oldest, raise(one, Some(read("ref_2")), Reason::Reversal, 40, oldest.since));
}
