//! A job has something to do again, whatever became of it.

use super::{
    Bench, Ports,
    bench::PAST_LEASE,
    sample::{enqueue, job, seconds},
};
use app::{
    change::Change,
    job::{Job, Lease, LeaseStep},
    ports::CommitError,
};
use domain::timestamp::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::sync::Barrier;

/// Longer than any lease.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

fn wake(job: &Job, run_at: Timestamp) -> Change {
    Change { wake: vec![Job { run_at, ..job.clone() }], ..Change::default() }
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

/// A job that was done under this lease, and forgotten.
async fn forgotten(bench: &dyn Bench, ports: &Ports) -> (Job, Lease) {
    let (job, lease) = leased(ports).await;
    ports.commit(under(LeaseStep::Finish(lease.clone()))).await;
    bench.pass(KEPT + seconds(60)).await;
    assert_eq!(ports.jobs.forget(KEPT, 10).await.unwrap(), 1);
    (job, lease)
}

pub async fn a_forgotten_job_that_is_woken_runs_again(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, _) = forgotten(bench, &ports).await;
    ports.assert_no_job().await;
    ports.commit(wake(&job, ports.now().await.after(seconds(600)))).await;
    ports.assert_no_job().await;
    ports.commit(wake(&job, ports.now().await.after(seconds(300)))).await;
    bench.pass(seconds(301)).await;
    let claimed = ports.claim_one().await;
    assert_eq!((claimed.lease.job, claimed.kind), (job.id, job.kind.clone()));
    ports.commit(under(LeaseStep::Finish(claimed.lease.clone()))).await;
    ports.commit(wake(&job, ports.now().await)).await;
    let again = ports.claim_one().await.lease;
    assert_eq!(again, Lease { attempt: claimed.lease.attempt + 1, ..claimed.lease });
}

/// Somebody who stood still all the time must not take the new job for theirs.
pub async fn a_lease_of_before_a_job_was_forgotten_stays_lost(bench: &dyn Bench) {
    let ports = bench.ports();
    let (job, old) = forgotten(bench, &ports).await;
    ports.commit(wake(&job, ports.now().await)).await;
    for _ in 0..3 {
        let claimed = ports.claim_one().await.lease;
        assert!(claimed.attempt > old.attempt + 100_000, "{claimed:?}");
        let refused = ports.repository.commit(under(LeaseStep::Finish(old.clone()))).await;
        assert!(matches!(refused, Err(CommitError::LeaseLost)), "{refused:?}");
        assert!(!ports.jobs.extend(&old, super::bench::LEASE).await.unwrap());
        ports.jobs.release(&claimed, seconds(0)).await.unwrap();
    }
}

pub async fn of_many_who_wake_forgotten_jobs_nobody_is_refused_and_each_is_made_once(bench: &dyn Bench) {
    const CALLERS: usize = 16;
    let ports = bench.ports();
    let now = ports.now().await;
    let mut jobs: Vec<Job> = (0..5).map(|_| job(now)).collect();
    let start = Arc::new(Barrier::new(CALLERS));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (ports, start, mut wake) = (ports.clone(), start.clone(), jobs.clone());
            wake.rotate_left(caller % 5);
            tokio::spawn(async move {
                start.wait().await;
                ports.repository.commit(Change { wake, ..Change::default() }).await
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    let mut claimed: Vec<_> = ports.claim_all().await.into_iter().map(|claimed| claimed.lease.job).collect();
    claimed.sort();
    jobs.sort_by_key(|job| job.id);
    assert_eq!(claimed, jobs.iter().map(|job| job.id).collect::<Vec<_>>());
}

/// Whoever forgets and whoever wakes meet: the job is due afterwards, whoever was faster.
pub async fn a_job_that_is_forgotten_while_it_is_woken_is_due(bench: &dyn Bench) {
    let ports = bench.ports();
    for _ in 0..20 {
        let (job, lease) = leased(&ports).await;
        ports.commit(under(LeaseStep::Finish(lease))).await;
        bench.pass(KEPT + seconds(60)).await;
        let now = ports.now().await;
        let (forgotten, woken) = tokio::join!(ports.jobs.forget(KEPT, 10), ports.repository.commit(wake(&job, now)));
        forgotten.unwrap();
        woken.unwrap();
        let claimed = ports.claim_one().await.lease;
        assert_eq!(claimed.job, job.id);
        ports.commit(under(LeaseStep::Finish(claimed))).await;
    }
}
