//! A lease is the right to do a job: whoever lost it writes nothing.

use super::{
    Bench, Ports,
    bench::{LEASE, PAST_LEASE},
    sample::{booked, enqueue, event, everything, fresh, insert, job, moved, recipient, release, seconds},
};
use app::{
    change::{Change, New},
    job::{Lease, LeaseStep},
    ports::CommitError,
};
use domain::{ids::JobId, item::ItemStep};
use std::sync::Arc;
use tokio::sync::Barrier;

/// That nothing can be written under a lease, whatever the step; there is something of every kind to be written.
async fn assert_lost(ports: &Ports, lease: &Lease) {
    let now = ports.now().await;
    let beside = booked(ports).await;
    let done = job(now);
    ports.commit(enqueue(&done)).await;
    for claimed in ports.claim_all().await {
        if claimed.lease.job == done.id {
            ports.commit(Change { lease: Some(LeaseStep::Finish(claimed.lease)), ..Change::default() }).await;
        }
    }
    ports.events().await;
    let before = everything(ports).await;
    let steps =
        [LeaseStep::Keep(lease.clone()), LeaseStep::Finish(lease.clone()), LeaseStep::Again(lease.clone(), now)];
    for step in steps {
        let new = release(now).pay("rec_ana", 5).change();
        let mut change = moved(&ports.load(beside.batch.id).await, &[0], ItemStep::Cancel, now);
        change.insert = new.insert;
        change.insert.push(New::Recipient(recipient("rec_cyd", now)));
        change.post = new.post;
        change.enqueue = new.enqueue;
        change.wake = vec![done.clone()];
        change.publish.push(event(now));
        change.lease = Some(step);
        let refused = ports.repository.commit(change).await;
        assert!(matches!(refused, Err(CommitError::LeaseLost)), "{refused:?}");
    }
    assert_eq!(everything(ports).await, before);
    assert_eq!(ports.load(beside.batch.id).await.batch.revision, 1);
    ports.assert_no_job().await;
    assert_eq!(ports.events().await, []);
}

pub async fn a_lost_lease_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let slow = ports.claim_one().await.lease;
    bench.pass(PAST_LEASE).await;
    let quick = ports.claim_one().await.lease;
    assert_eq!(quick, Lease { attempt: 2, ..slow.clone() });
    assert_lost(&ports, &slow).await;
    ports.commit(Change { lease: Some(LeaseStep::Keep(quick)), ..Change::default() }).await;
}

pub async fn an_expired_lease_is_lost_before_anybody_claims_it(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let lease = ports.claim_one().await.lease;
    bench.pass(PAST_LEASE).await;
    let change = Change {
        lease: Some(LeaseStep::Finish(lease.clone())),
        publish: vec![event(ports.now().await)],
        ..Change::default()
    };
    let refused = ports.repository.commit(change).await;
    assert!(matches!(refused, Err(CommitError::LeaseLost)), "{refused:?}");
    assert_eq!(ports.events().await, []);
    assert_eq!(ports.claim_one().await.lease, Lease { attempt: 2, ..lease });
}

pub async fn a_lease_that_was_used_up_is_lost(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    ports.commit(enqueue(&job(now))).await;
    let lease = ports.claim_one().await.lease;
    let again = LeaseStep::Again(lease.clone(), now.after(seconds(600)));
    ports.commit(Change { lease: Some(again), ..Change::default() }).await;
    assert_lost(&ports, &lease).await;
    bench.pass(seconds(601)).await;
    let due = ports.claim_all().await.into_iter().map(|claimed| claimed.lease);
    let lease = due.into_iter().find(|found| found.job == lease.job).unwrap();
    ports.commit(Change { lease: Some(LeaseStep::Finish(lease.clone())), ..Change::default() }).await;
    assert_lost(&ports, &lease).await;
}

pub async fn a_lease_that_was_given_back_is_lost(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let lease = ports.claim_one().await.lease;
    ports.jobs.release(&lease, seconds(600)).await.unwrap();
    assert_lost(&ports, &lease).await;
    assert!(!ports.jobs.extend(&lease, LEASE).await.unwrap());
}

pub async fn a_lease_of_an_unknown_job_is_lost(bench: &dyn Bench) {
    let ports = bench.ports();
    let job = job(ports.now().await.after(seconds(600)));
    ports.commit(enqueue(&job)).await;
    assert_lost(&ports, &Lease { job: JobId::new(fresh()), attempt: 1 }).await;
    for attempt in [0, 1] {
        assert_lost(&ports, &Lease { job: job.id, attempt }).await;
    }
    assert!(!ports.jobs.extend(&Lease { job: job.id, attempt: 0 }, LEASE).await.unwrap());
}

pub async fn an_extended_lease_lasts_longer(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let lease = ports.claim_one().await.lease;
    for _ in 0..3 {
        bench.pass(LEASE / 2).await;
        assert!(ports.jobs.extend(&lease, LEASE).await.unwrap());
        ports.assert_no_job().await;
    }
    let keep = Change { lease: Some(LeaseStep::Keep(lease.clone())), ..Change::default() };
    ports.commit(keep).await;
    // From now, not from when it would have ended: it can also be made shorter.
    assert!(ports.jobs.extend(&lease, seconds(10)).await.unwrap());
    bench.pass(seconds(11)).await;
    assert_eq!(ports.claim_one().await.lease, Lease { attempt: 2, ..lease });
}

pub async fn a_lost_lease_cannot_be_extended(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let slow = ports.claim_one().await.lease;
    bench.pass(PAST_LEASE).await;
    assert!(!ports.jobs.extend(&slow, LEASE).await.unwrap(), "it ran out");
    let quick = ports.claim_one().await.lease;
    assert!(!ports.jobs.extend(&slow, LEASE * 100).await.unwrap(), "somebody else has it");
    ports.commit(Change { lease: Some(LeaseStep::Finish(quick.clone())), ..Change::default() }).await;
    assert!(!ports.jobs.extend(&quick, LEASE).await.unwrap(), "it is done");
    bench.pass(PAST_LEASE).await;
    ports.assert_no_job().await;
}

pub async fn a_lost_lease_cannot_give_the_job_back(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let slow = ports.claim_one().await.lease;
    bench.pass(PAST_LEASE).await;
    let quick = ports.claim_one().await.lease;
    ports.jobs.release(&slow, seconds(0)).await.unwrap();
    ports.assert_no_job().await;
    ports.commit(Change { lease: Some(LeaseStep::Finish(quick.clone())), ..Change::default() }).await;
    ports.jobs.release(&quick, seconds(0)).await.unwrap();
    ports.assert_no_job().await;
}

pub async fn of_many_workers_under_one_lease_one_finishes(bench: &dyn Bench) {
    const WORKERS: usize = 8;
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let lease = ports.claim_one().await.lease;
    let start = Arc::new(Barrier::new(WORKERS));
    let now = ports.now().await;
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let (ports, start, lease) = (ports.clone(), start.clone(), lease.clone());
            tokio::spawn(async move {
                let mut change = insert(New::Recipient(recipient(&format!("rec_worker{number}"), now)));
                change.lease = Some(LeaseStep::Finish(lease));
                change.publish = vec![event(now)];
                start.wait().await;
                ports.repository.commit(change).await
            })
        })
        .collect();
    let mut finished = 0;
    for worker in workers {
        match worker.await.unwrap() {
            Ok(()) => finished += 1,
            Err(CommitError::LeaseLost) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((finished, ports.events().await.len()), (1, 1));
}
