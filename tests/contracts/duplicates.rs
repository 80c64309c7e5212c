//! What must be unique is unique, and a change that would break it leaves nothing behind.

use super::{
    Bench, Ports,
    sample::{
        audited, bare, booked, enqueue, event, everything, fresh, insert, instruction, job, policy, read, recipient,
        refuse, release, send, sent, settle, version,
    },
};
use app::{
    change::{Change, New, PaidDestination, Stored},
    ports::{CommitError, DuplicateKey},
};
use domain::{
    ids::{BatchId, TransactionId},
    instruction::Instruction,
    item::{ItemStatus, ItemStep},
    ledger::{Account, postings},
};
use std::sync::Arc;
use tokio::sync::Barrier;

/// Commits what must be refused for that key, with something of every kind beside it, and looks at everything.
async fn assert_refused(ports: &Ports, change: Change, key: &DuplicateKey) {
    match refused(ports, change).await {
        CommitError::Duplicate(found) => assert_eq!(found, *key),
        other => panic!("{other:?} instead of {key:?}"),
    }
}

/// See [`assert_refused`]: what the change was refused for.
pub async fn refused(ports: &Ports, mut change: Change) -> CommitError {
    let now = ports.now().await;
    // Whatever was due before is out of the way.
    ports.claim_all().await;
    ports.events().await;
    let before = everything(ports).await;
    let beside = release(now).pay("rec_ana", 5).change();
    change.insert.splice(0..0, beside.insert);
    change.insert.push(New::Recipient(recipient("rec_cyd", now)));
    change.insert.push(New::Policy(policy(77, now)));
    let paid = PaidDestination { recipient: read("rec_cyd"), destination: [7; 32], at: now };
    change.insert.push(New::PaidDestination(paid));
    change.audit.push(audited("refused", now));
    change.post.splice(0..0, beside.post);
    change.enqueue.splice(0..0, beside.enqueue);
    change.publish.extend(beside.publish);
    change.publish.push(event(now));
    let error = ports.repository.commit(change).await.expect_err("the change is refused");
    assert_eq!(everything(ports).await, before);
    ports.assert_no_job().await;
    assert_eq!(ports.events().await, []);
    error
}

pub async fn a_second_batch_for_an_escrow_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let one = booked(&ports).await;
    let escrow = one.escrow().clone();
    let two = release(ports.now().await).pay("rec_zoe", 9).of_escrow(&escrow);
    assert_refused(&ports, two.change(), &DuplicateKey::Escrow(escrow.clone())).await;
    assert_eq!(ports.repository.batch_by_escrow(&escrow).await.unwrap(), Some(one.batch));
    assert_eq!(ports.repository.batch_for_execution(two.batch.id).await.unwrap(), None);
}

pub async fn a_second_model_of_one_version_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let one = version("prj_film", 1, now);
    ports.commit(insert(New::ModelVersion(one.clone()))).await;
    ports.commit(insert(New::ModelVersion(version("prj_other", 1, now)))).await;
    let mut two = version("prj_film", 1, now);
    two.created_by = read("usr_other");
    let key = DuplicateKey::ModelVersion(one.project.clone(), 1);
    assert_refused(&ports, insert(New::ModelVersion(two)), &key).await;
}

pub async fn a_recipient_registered_twice_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let one = recipient("rec_ana", ports.now().await);
    ports.commit(insert(New::Recipient(one.clone()))).await;
    assert_refused(&ports, insert(New::Recipient(one.clone())), &DuplicateKey::Recipient(one.id)).await;
}

/// An instruction for the first item of a batch, whatever is known of the item.
async fn another(ports: &Ports, batch: BatchId) -> Instruction {
    let found = ports.load(batch).await;
    instruction(&[&found.items[0].value], &found.batch.value, ports.now().await)
}

pub async fn a_second_live_instruction_for_an_item_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    sent(&ports, release.batch.id, &[1, 0]).await;
    let two = insert(New::Instruction(another(&ports, release.batch.id).await));
    assert_refused(&ports, two, &DuplicateKey::LiveInstruction(release.items[0].id)).await;
}

pub async fn an_accepted_instruction_still_occupies_its_item(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let one = sent(&ports, release.batch.id, &[0]).await;
    let found = ports.load(release.batch.id).await;
    ports.commit(settle(&found, &one, ports.now().await)).await;
    let two = insert(New::Instruction(another(&ports, release.batch.id).await));
    assert_refused(&ports, two, &DuplicateKey::LiveInstruction(release.items[0].id)).await;
}

pub async fn a_refused_instruction_no_longer_occupies_its_item(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let now = ports.now().await;
    let mut ids = Vec::new();
    for generation in 1..=3 {
        let one = sent(&ports, release.batch.id, &[0]).await;
        assert_eq!(one.value.generation, generation);
        ids.push(one.value.id);
        ports.commit(refuse(&ports.load(release.batch.id).await, &one, now)).await;
        let found = ports.load(release.batch.id).await;
        assert_eq!((found.items[0].value.status(), found.unresolved.len()), (ItemStatus::Failed, 0));
        ports.commit(super::sample::moved(&found, &[0], ItemStep::Retry, now)).await;
    }
    let found = ports.queries.item(release.items[0].id).await.unwrap().unwrap().instructions;
    assert_eq!(found.iter().map(|instruction| instruction.id).collect::<Vec<_>>(), ids);
}

pub async fn an_instruction_may_be_replaced_in_the_change_that_refuses_it(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let one = sent(&ports, release.batch.id, &[0, 1]).await;
    let two = another(&ports, release.batch.id).await;
    let mut change = refuse(&ports.load(release.batch.id).await, &one, ports.now().await);
    change.insert.push(New::Instruction(two.clone()));
    ports.commit(change).await;
    assert_eq!(ports.sent(release.batch.id).await, Stored { value: two, revision: 1 });
}

pub async fn a_job_that_exists_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let one = job(ports.now().await);
    ports.commit(enqueue(&one)).await;
    assert_refused(&ports, enqueue(&one), &DuplicateKey::Job(one.id)).await;
    bench.pass(super::bench::PAST_LEASE).await;
    ports.claim_one().await;
}

pub async fn nothing_is_posted_twice(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let instruction = sent(&ports, release.batch.id, &[0, 1]).await.value;
    let post = |transaction| Change { post: vec![transaction], ..Change::default() };
    let paid = |place: usize| postings::paid(TransactionId::new(fresh()), &instruction, &instruction.items[place], now);
    ports.commit(post(paid(0).unwrap())).await;
    let error = refused(&ports, post(paid(0).unwrap())).await;
    assert!(matches!(error, CommitError::Duplicate(DuplicateKey::Other(_))), "{error:?}");
    ports.commit(post(paid(1).unwrap())).await;
    // What comes back in parts is posted as often as a part comes.
    for minor in [1, 1, 2] {
        let to = Account::Carried(read("rec_ana"));
        let (id, part) = (TransactionId::new(fresh()), &instruction.items[0]);
        ports.commit(post(postings::returned_in_part(id, &instruction, part, to, minor, now).unwrap())).await;
    }
}

pub async fn a_name_drawn_twice_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let one = booked(&ports).await;
    let (_, sending) = send(&ports.load(one.batch.id).await, &[0], now);
    ports.commit(sending.clone()).await;
    let New::Instruction(instruction) = &sending.insert[0] else { panic!("it inserts an instruction") };
    let mut same_instruction = another(&ports, one.batch.id).await;
    same_instruction.items[0].item = one.items[1].id;
    same_instruction.id = instruction.id;
    let mut same_batch = bare(now).batch;
    same_batch.id = one.batch.id;
    let mut same_item = one.items[0].clone();
    same_item.seq = 7;
    let mut same_place = release(now).pay("rec_ana", 1).items[0].clone();
    same_place.batch = one.batch.id;
    let mut same_wire_ref = another(&ports, one.batch.id).await;
    same_wire_ref.items[0].item = one.items[1].id;
    same_wire_ref.items[0].wire_ref = instruction.items[0].wire_ref.clone();
    let noted = audited("batch.look", now);
    ports.commit(Change { audit: vec![noted.clone()], ..Change::default() }).await;
    let told = ports.queries.batch(one.batch.id).await.unwrap().unwrap().events;
    for change in [
        insert(New::Batch(same_batch)),
        insert(New::Item(same_item)),
        insert(New::Item(same_place)),
        insert(New::Instruction(same_instruction)),
        Change { post: vec![sending.post[0].clone()], ..Change::default() },
        Change { publish: vec![told[0].clone()], ..Change::default() },
        Change { audit: vec![noted.clone()], ..Change::default() },
        insert(New::Instruction(same_wire_ref)),
    ] {
        let what = format!("{change:?}");
        let error = refused(&ports, change).await;
        assert!(matches!(error, CommitError::Duplicate(DuplicateKey::Other(_))), "{error:?} for {what}");
    }
}

pub async fn one_change_may_not_contradict_itself(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let one = release(now).pay("rec_ana", 9);
    let two = release(now).pay("rec_ana", 9).of_escrow(one.escrow());
    let mut both = one.change();
    both.insert.extend(two.change().insert);
    assert_refused(&ports, both, &DuplicateKey::Escrow(one.escrow().clone())).await;

    let mut twice = one.change();
    for _ in 0..2 {
        twice.insert.push(New::Instruction(instruction(&[&one.items[0]], &one.batch, now)));
    }
    assert_refused(&ports, twice, &DuplicateKey::LiveInstruction(one.items[0].id)).await;
}

pub async fn a_row_without_its_batch_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let stray = release(ports.now().await).pay("rec_ana", 9);
    refused(&ports, insert(New::Item(stray.items[0].clone()))).await;
    let order = instruction(&[&stray.items[0]], &stray.batch, ports.now().await);
    refused(&ports, insert(New::Instruction(order))).await;
    assert_eq!(ports.queries.item(stray.items[0].id).await.unwrap(), None);
}

pub async fn of_32_releases_of_one_escrow_one_is_booked(bench: &dyn Bench) {
    const CALLERS: usize = 32;
    let ports = bench.ports();
    let now = ports.now().await;
    let start = Arc::new(Barrier::new(CALLERS));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (ports, start) = (ports.clone(), start.clone());
            let release = release(now).pay("rec_ana", 700).pay("rec_bob", 300);
            let release = release.of_escrow(&read("esc_contended"));
            tokio::spawn(async move {
                start.wait().await;
                (release.batch.id, ports.repository.commit(release.change()).await)
            })
        })
        .collect();
    let mut won = Vec::new();
    for caller in callers {
        match caller.await.unwrap() {
            (batch, Ok(())) => won.push(batch),
            (_, Err(CommitError::Duplicate(DuplicateKey::Escrow(escrow)))) => assert_eq!(escrow, read("esc_contended")),
            (_, Err(other)) => panic!("{other:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    let batch = ports.repository.batch_by_escrow(&read("esc_contended")).await.unwrap().unwrap();
    assert_eq!(batch.id, won[0]);
    let pages = ports.queries.batches(Default::default(), super::sample::first(10)).await.unwrap();
    assert_eq!(pages.data.len(), 1);
    assert_eq!(ports.claim_one().await.lease.job, batch.job);
    assert_eq!(ports.events().await.len(), 1);
}
