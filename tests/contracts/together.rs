//! Many changes or reads at the same moment: whether or not they share a transaction or a statement, each gets its own
//! answer.

use super::{
    Bench, Ports,
    bench::PAST_LEASE,
    sample::{bare, booked, carried, count, counter, fresh, moves, read, recipient, release, seconds, version},
};
use app::{
    change::{Change, New},
    job::{Lease, LeaseStep},
    ports::{
        CommitError, DuplicateKey,
        repository::{InForce, StoredCounter},
    },
};
use domain::{
    ids::{BatchId, JobId, RecipientId},
    timestamp::Timestamp,
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Barrier;

type Answers<T> = Vec<(T, BatchId, Result<(), CommitError>)>;

/// Commits all of them at once. Answers what became of each, with what it was called and its batch.
async fn all_at_once<T: Send + 'static>(ports: &Ports, changes: Vec<(T, Change)>) -> Answers<T> {
    let start = Arc::new(Barrier::new(changes.len()));
    let callers: Vec<_> = changes
        .into_iter()
        .map(|(name, change)| {
            let (ports, start) = (ports.clone(), start.clone());
            tokio::spawn(async move {
                let batch = batch_of(&change);
                start.wait().await;
                (name, batch, ports.repository.commit(change).await)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.unwrap());
    }
    answers
}

fn batch_of(change: &Change) -> BatchId {
    let mut batches = change.insert.iter().filter_map(|new| match new {
        New::Batch(batch) => Some(batch.id),
        _ => None,
    });
    batches.next_back().expect("each has a batch")
}

async fn assert_stored_if_accepted<T>(ports: &Ports, answers: &Answers<T>) {
    for (_, batch, answer) in answers {
        let is_there = ports.repository.batch_for_execution(*batch).await.unwrap().is_some();
        assert_eq!(is_there, answer.is_ok(), "{batch}: {answer:?}");
    }
    let books = ports.queries.books().await.unwrap();
    assert!(books.drifted_counters == 0, "{books:?}");
}

/// What is wrong with a change, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Good,
    /// Of an escrow that was booked before.
    Known,
    /// Of an escrow that others release at this moment.
    Contended,
    /// It read a counter before somebody moved it.
    Outdated,
    /// It moves a counter that others move as well, and did not need to read it.
    Adding,
    /// It was made under a lease that nobody has.
    Late,
}

pub async fn each_of_many_at_once_gets_its_own_answer(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let known = booked(&ports).await;
    let (moved, added) = (carried("rec_moved"), carried("rec_added"));
    ports.commit(moves([count(&moved, None, 7, known.batch.id)])).await;
    let changes = (0..120).map(|number| {
        let kind = match number % 12 {
            1 => Kind::Known,
            2 | 3 => Kind::Contended,
            4 => Kind::Outdated,
            5 | 6 => Kind::Adding,
            7 => Kind::Late,
            _ => Kind::Good,
        };
        let plain = release(now).pay("rec_ana", 700).pay("rec_bob", 300);
        let made = match kind {
            Kind::Known => plain.of_escrow(known.escrow()),
            Kind::Contended => plain.of_escrow(&read("esc_contended")),
            _ => plain,
        };
        let counts = match kind {
            Kind::Outdated => vec![count(&moved, Some(0), 1, made.batch.id)],
            Kind::Adding => vec![count(&added, None, 1, made.batch.id)],
            _ => Vec::new(),
        };
        let nobodys = Lease { job: JobId::new(fresh()), attempt: 1 };
        let lease = (kind == Kind::Late).then_some(LeaseStep::Keep(nobodys));
        (kind, Change { count: counts, lease, ..made.change() })
    });
    let answers = all_at_once(&ports, changes.collect()).await;

    let mut accepted: HashMap<Kind, usize> = HashMap::new();
    for (kind, _, answer) in &answers {
        match (kind, answer) {
            (Kind::Good | Kind::Contended | Kind::Adding, Ok(())) => *accepted.entry(*kind).or_default() += 1,
            (Kind::Known | Kind::Contended, Err(CommitError::Duplicate(DuplicateKey::Escrow(_))))
            | (Kind::Outdated, Err(CommitError::Stale))
            // Two who make the counter at once: the slower one is told to look again.
            | (Kind::Adding, Err(CommitError::Stale))
            | (Kind::Late, Err(CommitError::LeaseLost)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted[&Kind::Good], accepted[&Kind::Contended]), (50, 1));
    assert!(accepted[&Kind::Adding] >= 1, "somebody makes the counter");
    let (value, revision) = counter(&ports, &added).await;
    assert_eq!(
        (usize::try_from(value), usize::try_from(revision)),
        (Ok(accepted[&Kind::Adding]), Ok(accepted[&Kind::Adding]))
    );
    assert_eq!(counter(&ports, &moved).await, (7, 1));
    assert_stored_if_accepted(&ports, &answers).await;
    bench.pass(PAST_LEASE).await;
    assert_eq!(ports.claim_all().await.len(), 1 + answers.iter().filter(|(.., answer)| answer.is_ok()).count());
}

pub async fn one_that_the_database_refuses_costs_only_itself(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    for _ in 0..10 {
        let changes = (0..40).map(|number| {
            let made = release(now).pay("rec_ana", 5);
            let mut change = made.change();
            let is_broken = number == 17;
            if is_broken {
                // A row of a batch that nobody books.
                let stray = release(now).pay("rec_bob", 9);
                change.insert.insert(0, New::Item(stray.items[0].clone()));
            }
            (is_broken, change)
        });
        let answers = all_at_once(&ports, changes.collect()).await;
        for (is_broken, _, answer) in &answers {
            assert_eq!(*is_broken, answer.is_err(), "{answer:?}");
        }
        assert_stored_if_accepted(&ports, &answers).await;
    }
}

/// What is read at the same moment may be read with one statement: each finds their own, and nobody else's.
pub async fn each_of_many_who_read_at_once_finds_what_was_committed_before(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let start = Arc::new(Barrier::new(80));
    let readers = (0..80).map(|number| {
        let (ports, start) = (ports.clone(), start.clone());
        tokio::spawn(async move {
            start.wait().await;
            write_and_read(&ports, number, now).await;
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
}

async fn write_and_read(ports: &Ports, number: u32, now: Timestamp) {
    let who: RecipientId = read(&format!("rec_{number}"));
    let (project, from) = (format!("prj_{number}"), now.after(seconds(u64::from(number))));
    let key = carried(who.as_str());
    let made = bare(now);
    let mut change = made.change();
    change.count.push(count(&key, None, i64::from(number) + 1, made.batch.id));
    change.insert.push(New::Recipient(recipient(who.as_str(), now)));
    change.insert.push(New::ModelVersion(version(&project, 1, from)));
    ports.commit(change).await;

    let repository = ports.repository.as_ref();
    let found = repository.batch_by_escrow(made.escrow()).await.unwrap();
    assert_eq!(found.as_ref(), Some(&made.batch));
    assert_eq!(repository.batch_by_escrow(&read("esc_nobodys")).await.unwrap(), None);
    let found = repository.recipients(&[who.clone(), read("rec_nobody"), who.clone()]).await.unwrap();
    assert_eq!(found.iter().map(|stored| &stored.value.id).collect::<Vec<_>>(), [&who]);
    let found = repository.counters(&[carried("rec_nobody"), key.clone()]).await.unwrap();
    assert_eq!(found, [StoredCounter { key, value: i64::from(number) + 1, revision: 1 }]);
    for (second, expected) in [(0, number == 0), (number, true)] {
        let as_of = now.after(seconds(u64::from(second)));
        match repository.model_in_force(&read(&project), as_of).await.unwrap() {
            InForce::Version(found) => assert!(expected && found.project == read(&project), "{found:?}"),
            found => assert!(!expected && found == InForce::Nothing, "{found:?}"),
        }
    }
    assert_eq!(repository.model_in_force(&read("prj_nobodys"), from).await.unwrap(), InForce::ProjectUnknown);
    assert_eq!(repository.policy().await.unwrap(), None);
    let before = ports.now().await;
    assert!(now <= before && before <= ports.now().await);
}

pub async fn nobody_who_gave_up_waiting_takes_others_along(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let changes = (0..60).map(|number| (number % 3 == 0, bare(now).change()));
    let callers: Vec<_> = changes
        .map(|(gives_up, change)| {
            let (ports, batch) = (ports.clone(), batch_of(&change));
            let task = tokio::spawn(async move { ports.repository.commit(change).await });
            if gives_up {
                task.abort();
            }
            (gives_up, batch, task)
        })
        .collect();
    for (gives_up, batch, task) in callers {
        match task.await {
            Ok(answer) => {
                answer.expect("nothing is wrong with it");
                assert!(ports.repository.batch_for_execution(batch).await.unwrap().is_some());
            }
            Err(error) => assert!(gives_up && error.is_cancelled(), "{error}"),
        }
    }
    // Whatever became of those who gave up: the next has its turn.
    ports.commit(bare(now).change()).await;
}
