//! A job that exists has something to do again, whatever became of it.

use super::{
    Bench, Ports,
    bench::PAST_LEASE,
    sample::{enqueue, event, fresh, insert, job, recipient, seconds},
};
use app::{
    change::{Change, New},
    job::{Job, Lease, LeaseStep, Wake},
    ports::CommitError,
};
use domain::{ids::JobId, timestamp::Timestamp};

fn wake(job: &Job, run_at: Timestamp) -> Change {
    Change { wake: vec![Wake { job: job.id, run_at }], ..Change::default() }
}

fn under(step: LeaseStep) -> Change {
    Change { lease: Some(step), ..Change::default() }
}

/// A job that is leased now.
async fn leased(ports: &Ports) -> (Job, Lease) {
    let job = job(ports.now().await);
    ports.commit(enqueue(&job)).await;
    let lease = ports.claim_one().await.lease;
    (job, lease)
}

pub async fn a_finished_job_that_is_woken_runs_again(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, lease) = leased(&ports).await;
    ports.commit(under(LeaseStep::Finish(lease.clone()))).await;
    ports.assert_no_job().await;
    ports.commit(wake(&job, ports.now().await)).await;
    let claimed = ports.claim_one().await;
    assert_eq!((claimed.lease, claimed.kind), (Lease { attempt: 2, ..lease }, job.kind));
}

pub async fn a_woken_job_does_not_run_before_its_time(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, lease) = leased(&ports).await;
    ports.commit(under(LeaseStep::Finish(lease))).await;
    ports.commit(wake(&job, ports.now().await.after(seconds(600)))).await;
    bench.pass(seconds(500)).await;
    ports.assert_no_job().await;
    bench.pass(seconds(101)).await;
    ports.claim_one().await;
}

pub async fn a_job_is_woken_earlier_but_never_later(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let job = job(now.after(seconds(600)));
    ports.commit(enqueue(&job)).await;
    ports.commit(wake(&job, now.after(seconds(9000)))).await;
    ports.commit(wake(&job, now.after(seconds(300)))).await;
    ports.commit(wake(&job, now.after(seconds(400)))).await;
    bench.pass(seconds(200)).await;
    ports.assert_no_job().await;
    bench.pass(seconds(101)).await;
    let lease = ports.claim_one().await.lease;
    // Given back for later, it is still only brought forward.
    ports.jobs.release(&lease, seconds(600)).await.unwrap();
    ports.commit(wake(&job, ports.now().await)).await;
    ports.claim_one().await;
}

pub async fn a_job_woken_under_its_lease_runs_again_after_it_finishes(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, lease) = leased(&ports).await;
    ports.commit(wake(&job, ports.now().await.after(seconds(600)))).await;
    ports.assert_no_job().await;
    ports.commit(under(LeaseStep::Finish(lease.clone()))).await;
    assert_eq!(ports.claim_one().await.lease, Lease { attempt: 2, ..lease });
}

pub async fn a_job_woken_under_its_lease_runs_at_once_instead_of_later(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, lease) = leased(&ports).await;
    ports.commit(wake(&job, ports.now().await)).await;
    let later = ports.now().await.after(seconds(600));
    ports.commit(under(LeaseStep::Again(lease.clone(), later))).await;
    assert_eq!(ports.claim_one().await.lease, Lease { attempt: 2, ..lease });
}

pub async fn a_job_woken_under_its_lease_stays_with_its_worker(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, lease) = leased(&ports).await;
    ports.commit(wake(&job, ports.now().await)).await;
    ports.assert_no_job().await;
    ports.commit(under(LeaseStep::Keep(lease.clone()))).await;
    assert!(ports.jobs.extend(&lease, super::bench::LEASE).await.unwrap());
    bench.pass(seconds(30)).await;
    ports.assert_no_job().await;
    ports.commit(under(LeaseStep::Finish(lease.clone()))).await;
    assert_eq!(ports.claim_one().await.lease, Lease { attempt: 2, ..lease });
}

pub async fn a_job_woken_after_its_lease_ran_out_is_due(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, lease) = leased(&ports).await;
    bench.pass(PAST_LEASE).await;
    ports.commit(wake(&job, ports.now().await.after(seconds(600)))).await;
    let again = ports.claim_one().await.lease;
    assert_eq!(again, Lease { attempt: 2, ..lease });
    // It was not woken under that lease, so it is done when it is done.
    ports.commit(under(LeaseStep::Finish(again))).await;
    bench.pass(seconds(1000)).await;
    ports.assert_no_job().await;
}

pub async fn waking_is_forgotten_once_the_job_is_claimed(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, lease) = leased(&ports).await;
    for _ in 0..3 {
        ports.commit(wake(&job, ports.now().await)).await;
    }
    ports.commit(under(LeaseStep::Finish(lease))).await;
    let second = ports.claim_one().await.lease;
    ports.commit(under(LeaseStep::Finish(second))).await;
    bench.pass(PAST_LEASE).await;
    ports.assert_no_job().await;

    // Also when the lease under which it was woken was lost.
    ports.commit(wake(&job, ports.now().await)).await;
    ports.claim_one().await;
    ports.commit(wake(&job, ports.now().await)).await;
    bench.pass(PAST_LEASE).await;
    let last = ports.claim_one().await.lease;
    ports.commit(under(LeaseStep::Finish(last))).await;
    bench.pass(PAST_LEASE).await;
    ports.assert_no_job().await;
}

pub async fn waking_an_unknown_job_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let known = job(now.after(seconds(600)));
    ports.commit(enqueue(&known)).await;
    let mut change = insert(New::Recipient(recipient("rec_ana", now)));
    let wake = |job| Wake { job, run_at: now };
    change.wake = vec![wake(known.id), wake(JobId::new(fresh()))];
    change.publish = vec![event(now)];
    change.enqueue = vec![job(now)];
    let refused = ports.repository.commit(change).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
    assert_eq!(ports.queries.recipient(&"rec_ana".parse().unwrap()).await.unwrap(), None);
    assert_eq!(ports.events().await, []);
    ports.assert_no_job().await;
}
