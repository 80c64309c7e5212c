//! Many who count the same at once: nothing is lost, and nobody waits for ever.

use super::{
    Bench, Ports,
    sample::{booked, carried, count, counter, fresh, moves, release},
};
use app::{
    change::{Change, Count},
    ports::CommitError,
};
use domain::{counter::CounterKey, ids::BatchId};
use std::sync::Arc;
use tokio::sync::Barrier;

/// Adds one to each of the counters, from what is there now, until nobody else is faster.
async fn add_one_to_each(ports: &Ports, keys: &[CounterKey], batch: BatchId) {
    for _ in 0..10_000 {
        let mut counts = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            // Some do not look before they add.
            let seen = if place == 3 { None } else { Some(counter(ports, key).await.1) };
            counts.push(count(key, seen, 1, batch));
        }
        match ports.repository.commit(moves(counts)).await {
            Ok(()) => return,
            Err(CommitError::Stale) => {}
            Err(other) => panic!("a race has one kind of loser: {other:?}"),
        }
    }
    panic!("somebody else is always faster");
}

fn key(number: usize) -> CounterKey {
    carried(&format!("rec_{number}"))
}

/// Four of six counters, another four each turn, and another order for every task.
fn chosen(task: usize, turn: usize) -> Vec<CounterKey> {
    let mut places: Vec<usize> = (0..4).map(|step| (turn + step) % 6).collect();
    if task % 2 == 1 {
        places.reverse();
    }
    places.rotate_left(task % 4);
    places.into_iter().map(key).collect()
}

pub async fn movements_in_opposite_orders_are_neither_lost_nor_stuck(bench: &dyn Bench) {
    const TASKS: usize = 8;
    const TURNS: usize = 25;
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let start = Arc::new(Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (ports, start) = (ports.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                for turn in 0..TURNS {
                    add_one_to_each(&ports, &chosen(task, turn), batch).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut total = 0;
    for number in 0..6 {
        let (value, revision) = counter(&ports, &key(number)).await;
        assert_eq!(value, i64::from(revision), "each movement adds one");
        total += revision;
    }
    assert_eq!(usize::try_from(total), Ok(TASKS * TURNS * 4));
    assert_eq!(ports.queries.books().await.unwrap().drifted_counters, 0);
}

/// Many try the same revision, each with a batch of their own: answers whose got through.
async fn race(ports: &Ports, wanted: impl Fn(usize, BatchId) -> Vec<Count>) -> Vec<usize> {
    const WRITERS: usize = 12;
    let (now, start) = (ports.now().await, Arc::new(Barrier::new(WRITERS)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (ports, start) = (ports.clone(), start.clone());
            let release = release(now).pay("rec_ana", 5);
            let change = Change { count: wanted(writer, release.batch.id), ..release.change() };
            tokio::spawn(async move {
                start.wait().await;
                (writer, release.batch.id, ports.repository.commit(change).await)
            })
        })
        .collect();
    let mut won = Vec::new();
    for writer in writers {
        let (writer, batch, answer) = writer.await.unwrap();
        let is_there = ports.repository.batch_for_execution(batch).await.unwrap().is_some();
        match answer {
            Ok(()) => {
                won.push(writer);
                assert!(is_there);
            }
            Err(CommitError::Stale) => assert!(!is_there, "who was too late leaves nothing behind"),
            Err(other) => panic!("{other:?}"),
        }
    }
    won
}

pub async fn of_many_who_make_a_counter_one_wins(bench: &dyn Bench) {
    let ports = bench.ports();
    for round in 0..6 {
        let add = |writer: usize| 1 + i64::try_from(writer).unwrap();
        let won = race(&ports, |writer, batch| vec![count(&key(round), Some(0), add(writer), batch)]).await;
        assert_eq!(won.len(), 1);
        assert_eq!(counter(&ports, &key(round)).await, (add(won[0]), 1));
    }
}

pub async fn of_many_who_move_a_counter_they_read_one_wins(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    ports.commit(moves([count(&key(0), Some(0), 100, batch)])).await;
    for revision in 1..6 {
        // Each makes a counter of its own beside it.
        let beside = |writer: usize| key(fresh_number() * 100 + writer);
        let wanted = |writer: usize, batch| {
            vec![count(&beside(writer), Some(0), 1, batch), count(&key(0), Some(revision), -1, batch)]
        };
        assert_eq!(race(&ports, wanted).await.len(), 1);
        assert_eq!(counter(&ports, &key(0)).await, (100 - i64::from(revision), revision + 1));
    }
}

fn fresh_number() -> usize {
    usize::try_from(fresh().as_u128() % 1_000_000).unwrap()
}

/// Each holds still what the other moves: if both got through, neither would have seen the other.
pub async fn of_two_who_move_what_the_other_holds_still_one_wins(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    ports.commit(moves([count(&key(0), Some(0), 1, batch), count(&key(1), Some(0), 1, batch)])).await;
    for _ in 0..10 {
        let seen = [counter(&ports, &key(0)).await.1, counter(&ports, &key(1)).await.1];
        let wanted = |writer: usize, batch| {
            let (mine, other) = (writer % 2, 1 - writer % 2);
            vec![count(&key(other), Some(seen[other]), 0, batch), count(&key(mine), Some(seen[mine]), 1, batch)]
        };
        assert_eq!(race(&ports, wanted).await.len(), 1);
    }
}
