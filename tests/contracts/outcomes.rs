//! What became of an item is known item by item, and decides whether its instruction still occupies it.

use super::{
    Bench, Ports,
    duplicates::refused,
    sample::{all_of, booked, insert, instruction, release, sent, update},
};
use app::{
    change::{Change, New, Stored, Update},
    ports::{CommitError, DuplicateKey},
};
use domain::{
    ids::{InstructionId, ItemId},
    instruction::{Instruction, Outcome},
};

/// One item of an instruction as it is known now.
fn learned(found: &Stored<Instruction>, place: usize, outcome: Outcome) -> Update {
    let item = found.value.items[place].item;
    Update::Instruction(found.clone().try_map(|known| known.learn(item, outcome)).unwrap())
}

fn no() -> Outcome {
    Outcome::Refused { reason: "no".into() }
}
fn paid() -> Outcome {
    Outcome::Settled { reference: Some("po_1".into()) }
}

async fn found(ports: &Ports, id: InstructionId) -> Stored<Instruction> {
    ports.repository.instruction(id).await.unwrap().expect("the instruction exists")
}

/// Tries to send items of a batch once more, whatever is known of them. What is let through is given up at once.
async fn is_free(ports: &Ports, release: &super::sample::Release, place: usize) -> bool {
    let one = instruction(&[&release.items[place]], &release.batch, ports.now().await);
    match ports.repository.commit(insert(New::Instruction(one.clone()))).await {
        Ok(()) => {
            let one = Stored { value: one, revision: 1 };
            ports.commit(update(Update::Instruction(all_of(&one, &Outcome::Absent)))).await;
            true
        }
        Err(CommitError::Duplicate(key)) => {
            assert_eq!(key, DuplicateKey::LiveInstruction(release.items[place].id));
            false
        }
        Err(other) => panic!("{other:?}"),
    }
}

pub async fn an_item_of_an_instruction_is_let_go_alone(bench: &dyn Bench) {
    let ports = bench.ports();
    for outcome in Outcome::WORDS.map(|word| Outcome::of(word, None, Some("no".into())).unwrap()) {
        let release = booked(&ports).await;
        let order = sent(&ports, release.batch.id, &[0, 1]).await;
        let mut known = order.clone();
        known.value.items[1].outcome = outcome.clone();
        ports.commit(update(Update::Instruction(known.clone()))).await;
        assert_eq!(found(&ports, order.value.id).await, Stored { revision: 2, ..known });
        assert!(!is_free(&ports, &release, 0).await, "nothing is known of the other");
        assert_eq!(is_free(&ports, &release, 1).await, !outcome.is_live(), "{outcome:?}");
    }
}

pub async fn what_was_given_up_may_turn_out_to_be_paid(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let order = sent(&ports, release.batch.id, &[0, 1]).await;
    ports.commit(update(learned(&order, 0, no()))).await;
    assert!(is_free(&ports, &release, 0).await);
    let order = found(&ports, order.value.id).await;
    ports.commit(update(learned(&order, 0, paid()))).await;
    assert!(!is_free(&ports, &release, 0).await, "it is paid");
    // It came back: it may be sent again, and what is known is not lost.
    let order = found(&ports, order.value.id).await;
    assert_eq!(order.value.items[0].outcome, paid());
    ports.commit(update(learned(&order, 0, Outcome::Returned { reference: None, reason: "R03".into() }))).await;
    assert!(is_free(&ports, &release, 0).await);
}

pub async fn what_was_given_up_and_sent_anew_is_not_paid_twice(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let one = sent(&ports, release.batch.id, &[0, 1]).await;
    ports.commit(update(learned(&one, 0, no()))).await;
    let now = ports.now().await;
    let two = instruction(&[&release.items[0]], &release.batch, now);
    ports.commit(insert(New::Instruction(two.clone()))).await;
    let one = found(&ports, one.value.id).await;
    match refused(&ports, update(learned(&one, 0, paid()))).await {
        CommitError::Duplicate(key) => assert_eq!(key, DuplicateKey::LiveInstruction(release.items[0].id)),
        other => panic!("{other:?}"),
    }
    // Paid all the same, and nobody's item: that is a stray.
    ports.commit(update(learned(&one, 0, Outcome::Stray { reference: None }))).await;
    assert_eq!(ports.load(release.batch.id).await.strays, [release.items[0].id]);
    assert!(!is_free(&ports, &release, 0).await);
}

pub async fn what_one_lets_go_another_takes_in_the_same_change(bench: &dyn Bench) {
    let ports = bench.ports();
    for turned in [false, true] {
        let release = booked(&ports).await;
        let one = sent(&ports, release.batch.id, &[0]).await;
        ports.commit(update(learned(&one, 0, no()))).await;
        let two = instruction(&[&release.items[0]], &release.batch, ports.now().await);
        let two = Stored { value: two, revision: 1 };
        ports.commit(insert(New::Instruction(two.value.clone()))).await;
        let one = found(&ports, one.value.id).await;
        let mut both = vec![learned(&one, 0, paid()), learned(&two, 0, Outcome::Recalled)];
        if turned {
            both.reverse();
        }
        // And a third takes nothing that the first has.
        let three = instruction(&[&release.items[0]], &release.batch, ports.now().await);
        let all = Change { update: both.clone(), insert: vec![New::Instruction(three)], ..Change::default() };
        let error = refused(&ports, all).await;
        let CommitError::Duplicate(key) = &error else { panic!("{error:?}") };
        assert_eq!(*key, DuplicateKey::LiveInstruction(release.items[0].id));
        ports.commit(Change { update: both, ..Change::default() }).await;
        assert_eq!(found(&ports, one.value.id).await.value.items[0].outcome, paid());
        assert_eq!(found(&ports, two.value.id).await.value.items[0].outcome, Outcome::Recalled);
        assert!(!is_free(&ports, &release, 0).await);
    }
}

pub async fn an_instruction_is_unresolved_until_all_of_it_is_known(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let order = sent(&ports, release.batch.id, &[0, 1]).await;
    for (place, outcome, is_open) in [
        (0, Outcome::Accepted { reference: Some("po_1".into()) }, true),
        (1, no(), true),
        (0, Outcome::Recalled, false),
        (1, Outcome::Stray { reference: None }, false),
    ] {
        let known = found(&ports, order.value.id).await;
        ports.commit(update(learned(&known, place, outcome))).await;
        let unresolved: Vec<_> = ports.load(release.batch.id).await.unresolved;
        let known = found(&ports, order.value.id).await;
        assert_eq!(unresolved, if is_open { vec![known.clone()] } else { vec![] });
        let executed = ports.queries.executed(&[order.value.id]).await.unwrap();
        assert_eq!(executed[0].unresolved, is_open);
        assert_eq!(ports.queries.books().await.unwrap().unresolved_instructions, u64::from(is_open));
    }
}

pub async fn strays_are_those_of_the_batch(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut strays: Vec<(domain::ids::BatchId, Vec<ItemId>)> = Vec::new();
    for places in [&[][..], &[2], &[0, 1]] {
        let release = release(now).pay("rec_ana", 1).pay("rec_bob", 2).pay("rec_cyd", 3).book(&ports).await;
        for place in places {
            // Twice for each: an item is named once.
            for _ in 0..2 {
                let mut order = instruction(&[&release.items[*place]], &release.batch, now);
                order.items[0].outcome = Outcome::Stray { reference: None };
                ports.commit(insert(New::Instruction(order))).await;
            }
        }
        strays.push((release.batch.id, places.iter().map(|place| release.items[*place].id).collect()));
    }
    for (batch, items) in strays {
        assert_eq!(ports.load(batch).await.strays, items);
    }
}

/// What would be occupied twice is only looked at when everything is as it was read.
pub async fn revisions_are_looked_at_before_what_is_occupied(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let one = sent(&ports, release.batch.id, &[0]).await;
    ports.commit(update(learned(&one, 0, no()))).await;
    ports.commit(insert(New::Instruction(instruction(&[&release.items[0]], &release.batch, ports.now().await)))).await;
    let taken = learned(&found(&ports, one.value.id).await, 0, paid());
    let stale = Update::Batch(Stored { revision: 9, ..ports.load(release.batch.id).await.batch });
    let both = Change { update: vec![taken.clone(), stale], ..Change::default() };
    assert!(matches!(ports.repository.commit(both).await, Err(CommitError::Stale)));
    let key = super::sample::carried("rec_ana");
    let moved = vec![super::sample::count(&key, Some(9), 1, release.batch.id)];
    let both = Change { update: vec![taken.clone()], count: moved, ..Change::default() };
    assert!(matches!(ports.repository.commit(both).await, Err(CommitError::Stale)));
    let alone = ports.repository.commit(update(taken)).await;
    assert!(matches!(alone, Err(CommitError::Duplicate(DuplicateKey::LiveInstruction(_)))), "{alone:?}");
}
