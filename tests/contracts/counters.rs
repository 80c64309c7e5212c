//! What is counted from release to release: moved only if it is as it was read.

use super::{
    Bench, Ports,
    duplicates::refused,
    sample::{bare, booked, carried, cause, count, counter, debt, everything, found, fresh, insert, moves, read},
};
use app::{
    change::{Cause, Change, Count, New, Reason},
    ports::{
        CommitError, StoreError,
        repository::{Movement, StoredCounter},
    },
};
use domain::{counter::CounterKey, ids::BatchId};

/// The names of so many counters, in the order of the names.
fn numbered(count: usize) -> Vec<CounterKey> {
    (0..count).map(|number| CounterKey::stored(format!("lifetime:prj_film:USD:k:rec_{number:03}"))).collect()
}

async fn assert_stale(ports: &Ports, change: Change) {
    let what = format!("{:?}", change.count);
    let error = refused(ports, change).await;
    assert!(matches!(error, CommitError::Stale), "{error:?} for {what}");
}

pub async fn a_counter_is_the_sum_of_its_movements(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let key = carried("rec_ana");
    assert_eq!(counter(&ports, &key).await, (0, 0), "it does not exist");
    let mut value = 0;
    for (revision, add) in (0..).zip([5, -7, 3, -1, i64::MAX, -i64::MAX, i64::MIN + 5, i64::MAX]) {
        ports.commit(moves([count(&key, Some(revision), add, batch)])).await;
        value += add;
        assert_eq!(counter(&ports, &key).await, (value, revision + 1));
    }
    assert_eq!(counter(&ports, &debt("rec_ana")).await, (0, 0), "it was not this one that moved");
    assert_eq!(ports.queries.books().await.unwrap().drifted_counters, 0);
}

pub async fn movements_are_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let (one, two) = (booked(&ports).await.batch.id, booked(&ports).await.batch.id);
    let key = CounterKey::stored("tax_base:rec_ana:USD:us_nra:2026".to_owned());
    let why = |batch, reversal: Option<&str>, recipient: Option<&str>, reason| Cause {
        batch,
        reversal: reversal.map(read),
        recipient: recipient.map(read),
        reason,
    };
    let causes = [
        why(one, None, None, Reason::Release),
        why(one, None, Some("rec_ana"), Reason::Carry),
        why(two, None, None, Reason::Release),
        why(one, Some("ref_1"), Some("rec_bob"), Reason::Reversal),
        why(one, Some("ref_2"), None, Reason::Escheat),
    ];
    let mut written = Vec::new();
    for (add, cause) in (1..).zip(causes) {
        let movement = Movement { key: key.clone(), add: if add == 4 { -1 } else { add }, cause };
        let Movement { key, add, cause } = movement.clone();
        ports.commit(moves([Count { key, seen: None, add, cause }])).await;
        written.push(movement);
    }
    for batch in [one, two] {
        let expected: Vec<Movement> =
            written.iter().filter(|movement| movement.cause.batch == batch).cloned().collect();
        assert_eq!(found(&ports, batch).await.movements, expected, "oldest first");
    }
}

pub async fn a_counter_that_moved_since_it_was_read_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let (key, other) = (carried("rec_ana"), debt("rec_ana"));
    for seen in [0, 1] {
        ports.commit(moves([count(&key, Some(seen), 10, batch)])).await;
    }
    for seen in [0, 1, 3] {
        for add in [4, -4, 0] {
            // Those beside it that are as they were read do not help.
            let beside = [count(&other, Some(0), 3, batch), count(&carried("rec_bob"), None, 3, batch)];
            let all = beside.into_iter().chain([count(&key, Some(seen), add, batch)]);
            assert_stale(&ports, moves(all)).await;
        }
    }
    assert_eq!(counter(&ports, &key).await, (20, 2));
    assert_eq!(counter(&ports, &other).await, (0, 0));
}

pub async fn a_counter_that_was_made_meanwhile_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let key = carried("rec_ana");
    let change = moves([count(&key, Some(0), 5, batch)]);
    ports.commit(change.clone()).await;
    assert_stale(&ports, change).await;
    assert_eq!(counter(&ports, &key).await, (5, 1));
}

pub async fn a_counter_that_does_not_exist_has_no_revision(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    for seen in [1, 2] {
        for add in [5, 0] {
            assert_stale(&ports, moves([count(&carried("rec_ana"), Some(seen), add, batch)])).await;
        }
    }
    assert_eq!(counter(&ports, &carried("rec_ana")).await, (0, 0));
}

pub async fn whoever_did_not_look_adds_to_whatever_is_there(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let key = debt("rec_ana");
    for (times, add) in (1..).zip([10, 4, -3]) {
        ports.commit(moves([count(&key, None, add, batch)])).await;
        assert_eq!(counter(&ports, &key).await.1, times);
    }
    ports.commit(moves([count(&key, None, 0, batch)])).await;
    assert_eq!(counter(&ports, &key).await, (11, 3));
    assert_stale(&ports, moves([count(&key, Some(0), 1, batch)])).await;
    ports.commit(moves([count(&key, Some(3), 1, batch)])).await;
    assert_eq!(counter(&ports, &key).await, (12, 4));
}

pub async fn what_is_held_still_does_not_move(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let (key, absent) = (carried("rec_ana"), debt("rec_ana"));
    ports.commit(moves([count(&key, Some(0), 5, batch)])).await;
    let before = everything(&ports).await;
    let hold = || moves([count(&key, Some(1), 0, batch), count(&absent, Some(0), 0, batch)]);
    for _ in 0..2 {
        ports.commit(hold()).await;
    }
    assert_eq!(everything(&ports).await, before);
    assert_eq!(found(&ports, batch).await.movements.len(), 1);
    ports.commit(moves([count(&absent, Some(0), 5, batch)])).await;
    assert_stale(&ports, hold()).await;
}

pub async fn many_counters_move_in_one_change(bench: &dyn Bench) {
    const MANY: usize = 300;
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let keys = numbered(MANY);
    let all = |seen: &dyn Fn(usize) -> u32, add: i64| {
        let one = |(place, key): (usize, &CounterKey)| count(key, Some(seen(place)), add, batch);
        // The order in which they are named is not theirs.
        moves(keys.iter().enumerate().rev().map(one))
    };
    // Every third exists, so that a change has both kinds in every part of it.
    let third = keys.iter().step_by(3).map(|key| count(key, Some(0), 1, batch));
    ports.commit(moves(third)).await;
    let known = |place: usize| u32::from(place.is_multiple_of(3));
    for stale in [0, 1, 150, 298, 299] {
        let seen = |place| known(place) + u32::from(place == stale);
        assert_stale(&ports, all(&seen, 7)).await;
    }
    ports.commit(all(&known, 7)).await;
    let mut found_now = ports.repository.counters(&keys).await.unwrap();
    found_now.sort_by(|one, two| one.key.cmp(&two.key));
    let expected: Vec<StoredCounter> = keys
        .iter()
        .enumerate()
        .map(|(place, key)| {
            let before = known(place);
            StoredCounter { key: key.clone(), value: 7 + i64::from(before), revision: 1 + before }
        })
        .collect();
    assert_eq!(found_now, expected);
    assert_eq!(found(&ports, batch).await.movements.len(), MANY + MANY / 3);
    ports.commit(all(&|place| 1 + known(place), -7)).await;
    assert_eq!(ports.queries.books().await.unwrap().drifted_counters, 0);
}

pub async fn the_same_counter_twice_in_a_change_is_stale(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let key = carried("rec_ana");
    for (one, two) in [((Some(0), 5), (Some(0), 6)), ((None, 5), (None, 5)), ((Some(0), 5), (Some(0), 0))] {
        assert_stale(&ports, moves([one, two].map(|(seen, add)| count(&key, seen, add, batch)))).await;
    }
    assert_eq!(counter(&ports, &key).await, (0, 0));
}

pub async fn a_counter_that_would_not_fit_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let (high, low) = (carried("rec_ana"), carried("rec_bob"));
    ports.commit(moves([count(&high, None, i64::MAX, batch), count(&low, None, i64::MIN, batch)])).await;
    for (key, add) in [(&high, 1), (&high, i64::MAX), (&low, -1), (&low, i64::MIN)] {
        let error =
            refused(&ports, moves([count(&debt("rec_ana"), None, 5, batch), count(key, None, add, batch)])).await;
        assert!(matches!(error, CommitError::Store(StoreError::Corrupt(_))), "{error:?}");
    }
    assert_eq!(counter(&ports, &high).await, (i64::MAX, 1));
    assert_eq!(counter(&ports, &low).await, (i64::MIN, 1));
}

pub async fn a_movement_without_its_batch_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let nobody = BatchId::new(fresh());
    let error = refused(&ports, moves([count(&carried("rec_ana"), None, 5, nobody)])).await;
    assert!(matches!(error, CommitError::Store(StoreError::Corrupt(_))), "{error:?}");
    // It may come with it.
    let new = bare(ports.now().await).batch;
    let count = vec![count(&carried("rec_ana"), Some(0), 5, new.id)];
    ports.commit(Change { count, ..insert(New::Batch(new)) }).await;
}

pub async fn revisions_of_counters_are_looked_at_before_keys(bench: &dyn Bench) {
    let ports = bench.ports();
    let one = booked(&ports).await;
    let two = bare(ports.now().await).of_escrow(one.escrow());
    let stale = vec![count(&carried("rec_ana"), Some(1), 5, one.batch.id)];
    assert_stale(&ports, Change { count: stale, ..two.change() }).await;
    let fine = vec![count(&carried("rec_ana"), Some(0), 5, one.batch.id)];
    let error = refused(&ports, Change { count: fine, ..two.change() }).await;
    assert!(matches!(error, CommitError::Duplicate(_)), "{error:?}");
    assert_eq!(counter(&ports, &carried("rec_ana")).await, (0, 0));
}

pub async fn counters_are_found_by_their_names(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let keys = numbered(300);
    let written = (1..).zip(&keys).map(|(add, key)| count(key, None, add, batch));
    ports.commit(moves(written)).await;
    let mut asked: Vec<CounterKey> = keys.iter().step_by(2).cloned().collect();
    asked.push(carried("rec_nobody"));
    asked.push(asked[0].clone());
    asked.push(CounterKey::stored("lifetime:prj_film:USD:k:rec_00".to_owned()));
    let mut answer = ports.repository.counters(&asked).await.unwrap();
    answer.sort_by(|one, two| one.key.cmp(&two.key));
    let expected: Vec<StoredCounter> = (1..)
        .zip(&keys)
        .step_by(2)
        .map(|(value, key)| StoredCounter { key: key.clone(), value, revision: 1 })
        .collect();
    assert_eq!(answer, expected);
}

pub async fn the_counters_of_a_recipient_are_nobody_elses(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let of = |kind: fn(&_, _) -> CounterKey, who: &str, currency: &str| kind(&read(who), read(currency));
    let theirs = [of(CounterKey::carried, "rec_ab", "EUR"), of(CounterKey::carried, "rec_ab", "USD")];
    let others = [
        of(CounterKey::carried, "rec_a", "USD"),
        of(CounterKey::carried, "rec_abc", "USD"),
        of(CounterKey::carried, "rec_AB", "USD"),
        of(CounterKey::carried, "rec_aB", "USD"),
        of(CounterKey::debt, "rec_ab", "USD"),
        CounterKey::tax_base(&read("rec_ab"), read("USD"), "us_nra", "2026"),
        CounterKey::sequence(&read("prj_film")),
    ];
    let all = theirs.iter().chain(&others).zip(1..).map(|(key, add)| count(key, None, add, batch));
    ports.commit(moves(all)).await;
    let keys = async |kind: &str, who: &str| {
        let found = ports.repository.counters_of(kind, &read(who)).await.unwrap();
        let mut found: Vec<String> = found.into_iter().map(|counter| counter.key.to_string()).collect();
        found.sort();
        found
    };
    assert_eq!(keys("carried", "rec_ab").await, ["carried:rec_ab:EUR", "carried:rec_ab:USD"]);
    assert_eq!(keys("carried", "rec_a").await, ["carried:rec_a:USD"]);
    assert_eq!(keys("carried", "rec_AB").await, ["carried:rec_AB:USD"]);
    assert_eq!(keys("debt", "rec_ab").await, ["debt:rec_ab:USD"]);
    assert_eq!(keys("debt", "rec_a").await, [""; 0]);
    assert_eq!(keys("tax_base", "rec_ab").await, ["tax_base:rec_ab:USD:us_nra:2026"]);
    assert_eq!(keys("carrie", "rec_ab").await, [""; 0]);
    let found = ports.repository.counters_of("debt", &read("rec_ab")).await.unwrap();
    assert_eq!(found, [StoredCounter { key: others[4].clone(), value: 7, revision: 1 }]);
}

/// Whose line moves a counter does not choose the counter.
pub async fn the_cause_of_a_movement_is_only_told(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = booked(&ports).await.batch.id;
    let cause = Cause { recipient: Some(read("rec_bob")), ..cause(batch) };
    let key = carried("rec_ana");
    ports.commit(moves([Count { key: key.clone(), seen: Some(0), add: 5, cause }])).await;
    assert_eq!(counter(&ports, &key).await, (5, 1));
    assert_eq!(ports.repository.counters_of("carried", &read("rec_bob")).await.unwrap(), []);
}
