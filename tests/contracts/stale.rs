//! What was read must still be as it was read, or nothing is written.

use super::{
    Bench, Ports,
    bench::PAST_LEASE,
    sample::{
        all_of, audited, bare, booked, enqueue, event, everything, insert, job, moved, policy, proposal, recipient,
        release, sent, update,
    },
};
use app::{
    change::{Change, New, ResolutionState, Stored, Update},
    job::LeaseStep,
    ports::{CommitError, DuplicateKey},
};
use domain::{
    batch::BatchStatus,
    instruction::Outcome,
    item::{Item, ItemStep},
    recipient::RecipientStatus,
};
use std::sync::Arc;
use tokio::sync::Barrier;

/// A stale write, with good ones of every kind beside it.
async fn assert_stale(ports: &Ports, stale: Update) {
    let now = ports.now().await;
    let beside = booked(ports).await;
    let finished = job(now);
    ports.commit(enqueue(&finished)).await;
    // Whatever was due before is out of the way; the one that could be woken is done.
    for claimed in ports.claim_all().await {
        if claimed.lease.job == finished.id {
            ports.commit(Change { lease: Some(LeaseStep::Finish(claimed.lease)), ..Change::default() }).await;
        }
    }
    ports.events().await;
    let before = everything(ports).await;

    let mut change = moved(&ports.load(beside.batch.id).await, &[0], ItemStep::Cancel, now);
    change.update.insert(1, stale);
    let new = release(now).pay("rec_ana", 5).change();
    change.insert = new.insert;
    change.post = new.post;
    change.enqueue = new.enqueue;
    change.publish.extend(new.publish);
    change.publish.push(event(now));
    change.audit.push(audited("stale", now));
    change.insert.push(New::Policy(policy(77, now)));
    change.wake = vec![finished.clone()];
    let refused = ports.repository.commit(change).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    assert_eq!(everything(ports).await, before);
    assert_eq!(ports.load(beside.batch.id).await.batch.revision, 1);
    ports.assert_no_job().await;
    assert_eq!(ports.events().await, []);
}

pub async fn a_stale_batch_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let read = ports.load(release.batch.id).await.batch;
    ports.commit(update(Update::Batch(read.clone()))).await;
    for revision in [0, 1, 3] {
        let mut stale = Stored { revision, ..read.clone() };
        stale.value.status = BatchStatus::Cancelled;
        assert_stale(&ports, Update::Batch(stale)).await;
    }
    assert_eq!(ports.load(release.batch.id).await.batch, Stored { revision: 2, ..read });
}

pub async fn a_stale_item_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let read = ports.load(release.batch.id).await.items[1].clone();
    ports.commit(update(Update::Item(read.clone()))).await;
    for revision in [0, 1, 3] {
        let value: Item = read.value.clone().after(ItemStep::Cancel, ports.now().await).unwrap();
        assert_stale(&ports, Update::Item(Stored { value, revision })).await;
    }
    assert_eq!(ports.load(release.batch.id).await.items[1], Stored { revision: 2, ..read });
}

pub async fn a_stale_instruction_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let read = sent(&ports, release.batch.id, &[0, 1]).await;
    ports.commit(update(Update::Instruction(read.clone()))).await;
    for revision in [0, 1, 3] {
        let value = all_of(&read, &Outcome::Refused { reason: "no".into() }).value;
        assert_stale(&ports, Update::Instruction(Stored { value, revision })).await;
    }
    assert_eq!(ports.sent(release.batch.id).await, Stored { revision: 2, ..read });
}

pub async fn a_stale_recipient_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let read = Stored { value: recipient("rec_ana", ports.now().await), revision: 1 };
    ports.commit(insert(New::Recipient(read.value.clone()))).await;
    ports.commit(update(Update::Recipient(read.clone()))).await;
    for revision in [0, 1, 3] {
        let mut stale = Stored { revision, ..read.clone() };
        stale.value.status = RecipientStatus::Blocked;
        assert_stale(&ports, Update::Recipient(stale)).await;
    }
    let found = ports.repository.recipients(std::slice::from_ref(&read.value.id)).await.unwrap();
    assert_eq!(found, [Stored { revision: 2, ..read }]);
}

pub async fn a_stale_resolution_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let order = sent(&ports, release.batch.id, &[0]).await.value;
    let read = Stored { value: proposal(&order, 0, ports.now().await), revision: 1 };
    ports.commit(insert(New::Resolution(read.value.clone()))).await;
    ports.commit(update(Update::Resolution(read.clone()))).await;
    for revision in [0, 1, 3] {
        let mut stale = Stored { revision, ..read.clone() };
        stale.value.state = ResolutionState::Withdrawn { at: ports.now().await };
        assert_stale(&ports, Update::Resolution(stale)).await;
    }
    let found = ports.repository.proposed_resolution(release.items[0].id).await.unwrap();
    assert_eq!(found, Some(Stored { revision: 2, ..read }));
}

pub async fn what_does_not_exist_cannot_be_changed(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let nobody = release(now).pay("rec_ana", 1);
    let order = super::sample::instruction(&[&nobody.items[0]], &nobody.batch, now);
    for revision in [0, 1] {
        let batch = Stored { value: nobody.batch.clone(), revision };
        let item = Stored { value: nobody.items[0].clone(), revision };
        let order = Stored { value: order.clone(), revision };
        let person = Stored { value: recipient("rec_nobody", now), revision };
        let resolution = Stored { value: proposal(&order.value, 0, now), revision };
        assert_stale(&ports, Update::Resolution(resolution)).await;
        assert_stale(&ports, Update::Batch(batch)).await;
        assert_stale(&ports, Update::Item(item)).await;
        assert_stale(&ports, Update::Instruction(order)).await;
        assert_stale(&ports, Update::Recipient(person)).await;
    }
}

pub async fn the_same_row_twice_in_a_change_is_stale(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let found = ports.load(release.batch.id).await;
    let item = Update::Item(found.items[0].clone());
    let twice = Change { update: vec![item.clone(), item], ..Change::default() };
    let refused = ports.repository.commit(twice).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    assert_eq!(ports.load(release.batch.id).await, found);
}

/// Tries the same change from many sides at once; answers how many got through.
async fn race(ports: &Ports, change: impl Fn() -> Change) -> usize {
    const WRITERS: usize = 16;
    let start = Arc::new(Barrier::new(WRITERS));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (ports, start, change) = (ports.clone(), start.clone(), change());
            tokio::spawn(async move {
                start.wait().await;
                ports.repository.commit(change).await
            })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(()) => won += 1,
            Err(CommitError::Stale) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    won
}

pub async fn of_many_writers_of_one_revision_one_wins(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let now = ports.now().await;
    for revision in 1..=5 {
        let found = ports.load(release.batch.id).await;
        assert_eq!(found.batch.revision, revision);
        let step = if revision % 2 == 1 {
            ItemStep::Hold(domain::recipient::HoldReason::RecipientPending)
        } else {
            ItemStep::Release
        };
        assert_eq!(race(&ports, || moved(&found, &[0], step.clone(), now)).await, 1);
    }
    let details = ports.queries.batch(release.batch.id).await.unwrap().unwrap();
    assert_eq!(details.events.len(), 1 + 5, "the losers said nothing");
}

pub async fn of_many_writers_of_a_recipient_one_wins(bench: &dyn Bench) {
    let ports = bench.ports();
    let value = recipient("rec_ana", ports.now().await);
    ports.commit(insert(New::Recipient(value.clone()))).await;
    for revision in 1..=5 {
        let write = || update(Update::Recipient(Stored { value: value.clone(), revision }));
        assert_eq!(race(&ports, write).await, 1);
    }
}

pub async fn the_lease_is_looked_at_first_then_revisions_then_keys(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let lease = ports.claim_one().await.lease;
    let mut stale = ports.load(release.batch.id).await.batch;
    stale.revision = 9;
    let duplicate = bare(ports.now().await).of_escrow(release.escrow());
    let duplicate = insert(New::Batch(duplicate.batch));
    let keep = Some(LeaseStep::Keep(lease));
    let both = Change { update: vec![Update::Batch(stale)], ..duplicate.clone() };
    let all = Change { lease: keep.clone(), ..both };
    let refused = ports.repository.commit(all.clone()).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    let refused = ports.repository.commit(Change { lease: keep, ..duplicate }).await;
    assert!(matches!(refused, Err(CommitError::Duplicate(DuplicateKey::Escrow(_)))), "{refused:?}");
    bench.pass(PAST_LEASE).await;
    let refused = ports.repository.commit(all).await;
    assert!(matches!(refused, Err(CommitError::LeaseLost)), "{refused:?}");
}
