//! Jobs are handed out: each to one worker at a time, never early, and again if nobody finishes them.

use super::{
    Bench,
    bench::{LEASE, PAST_LEASE},
    sample::{enqueue, job, read, release, seconds},
};
use app::{
    change::Change,
    job::{Claimed, Job, JobKind, Lease, LeaseStep},
};
use domain::ids::JobId;
use std::{sync::Arc, time::Duration};
use tokio::sync::Barrier;

fn finish(lease: Lease) -> Change {
    Change { lease: Some(LeaseStep::Finish(lease)), ..Change::default() }
}

fn ids(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|claimed| claimed.lease.job).collect()
}

pub async fn a_job_is_handed_out_as_it_was_enqueued(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let booked = release(now).pay("rec_ana", 1);
    let change = booked.change();
    let mut jobs = change.enqueue.clone();
    jobs.extend(
        [
            JobKind::ReleaseHeldItems(read("rec_ana")),
            JobKind::PayCarried(read("rec_ana")),
            JobKind::FinishReversal(read("0110c853-1d09-52d8-d73e-1194e95b5f19")),
            JobKind::EscheatItems(booked.batch.id),
        ]
        .map(|kind| Job { kind, ..job(now) }),
    );
    ports.commit(change).await;
    for job in &jobs[1..] {
        ports.commit(enqueue(job)).await;
    }
    let claimed = ports.claim_all().await;
    let claim = |job: Job| Claimed { lease: Lease { job: job.id, attempt: 1 }, kind: job.kind };
    assert_eq!(claimed, jobs.into_iter().map(claim).collect::<Vec<_>>());
}

/// Two claimers rarely meet, so there are many of them, and they start together.
pub async fn a_job_goes_to_one_worker(bench: &dyn Bench) {
    const JOBS: usize = 20;
    const WORKERS: usize = 8;
    let ports = bench.ports();
    for _ in 0..3 {
        let now = ports.now().await;
        let mut all: Vec<_> = (0..JOBS).map(|_| job(now)).collect();
        ports.commit(Change { enqueue: all.clone(), ..Change::default() }).await;
        let start = Arc::new(Barrier::new(WORKERS));
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (ports, start) = (ports.clone(), start.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    let mut mine = Vec::new();
                    loop {
                        let claimed = ports.jobs.claim(1, LEASE).await.unwrap();
                        assert!(claimed.len() <= 1 && mine.len() <= JOBS);
                        match claimed.into_iter().next() {
                            Some(claimed) => mine.push(claimed.lease),
                            None => return mine,
                        }
                    }
                })
            })
            .collect();
        let mut claimed = Vec::new();
        for worker in workers {
            claimed.extend(worker.await.unwrap());
        }
        assert!(claimed.iter().all(|lease| lease.attempt == 1));
        let mut claimed: Vec<JobId> = claimed.into_iter().map(|lease| lease.job).collect();
        claimed.sort();
        all.sort_by_key(|job| job.id);
        assert_eq!(claimed, all.iter().map(|job| job.id).collect::<Vec<_>>(), "each once");
    }
}

pub async fn a_claimed_job_is_handed_out_again_only_after_its_lease(bench: &dyn Bench) {
    let ports = bench.ports();
    let job = job(ports.now().await);
    ports.commit(enqueue(&job)).await;
    for attempt in 1..=4 {
        assert_eq!(ports.claim_one().await.lease, Lease { job: job.id, attempt });
        ports.assert_no_job().await;
        bench.pass(LEASE / 2).await;
        ports.assert_no_job().await;
        bench.pass(LEASE / 2 + seconds(1)).await;
    }
}

pub async fn a_job_does_not_run_before_its_time(bench: &dyn Bench) {
    let ports = bench.ports();
    let job = job(ports.now().await.after(seconds(600)));
    ports.commit(enqueue(&job)).await;
    ports.assert_no_job().await;
    bench.pass(seconds(500)).await;
    ports.assert_no_job().await;
    bench.pass(seconds(101)).await;
    assert_eq!(ports.claim_one().await.lease, Lease { job: job.id, attempt: 1 });
}

pub async fn the_oldest_job_is_handed_out_first(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let jobs = [30, 10, 50, 20, 40].map(|second| job(now.after(seconds(second))));
    for job in &jobs {
        ports.commit(enqueue(job)).await;
    }
    bench.pass(seconds(100)).await;
    assert_eq!(ids(&ports.jobs.claim(2, LEASE).await.unwrap()), [jobs[1].id, jobs[3].id]);
    assert_eq!(ids(&ports.jobs.claim(2, LEASE).await.unwrap()), [jobs[0].id, jobs[4].id]);
    assert_eq!(ids(&ports.jobs.claim(2, LEASE).await.unwrap()), [jobs[2].id]);
    assert_eq!(ports.jobs.claim(2, LEASE).await.unwrap(), []);
}

pub async fn a_finished_job_is_gone(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let lease = ports.claim_one().await.lease;
    ports.commit(finish(lease)).await;
    ports.assert_no_job().await;
    bench.pass(PAST_LEASE * 100).await;
    ports.assert_no_job().await;
}

pub async fn a_job_to_be_done_again_is_due_when_it_said(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let lease = ports.claim_one().await.lease;
    let again = LeaseStep::Again(lease.clone(), ports.now().await.after(seconds(600)));
    ports.commit(Change { lease: Some(again), ..Change::default() }).await;
    bench.pass(seconds(500)).await;
    ports.assert_no_job().await;
    bench.pass(seconds(101)).await;
    let claimed = ports.claim_one().await.lease;
    assert_eq!(claimed, Lease { attempt: 2, ..lease });
    let at_once = LeaseStep::Again(claimed, ports.now().await);
    ports.commit(Change { lease: Some(at_once), ..Change::default() }).await;
    assert_eq!(ports.claim_one().await.lease.attempt, 3);
}

pub async fn work_that_goes_on_keeps_its_lease(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let lease = ports.claim_one().await.lease;
    for _ in 0..3 {
        ports.commit(Change { lease: Some(LeaseStep::Keep(lease.clone())), ..Change::default() }).await;
        ports.assert_no_job().await;
    }
    ports.commit(finish(lease)).await;
    bench.pass(PAST_LEASE).await;
    ports.assert_no_job().await;
}

pub async fn a_job_given_back_is_due_after_its_delay(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.commit(enqueue(&job(ports.now().await))).await;
    let one = ports.claim_one().await.lease;
    ports.jobs.release(&one, seconds(0)).await.unwrap();
    let two = ports.claim_one().await.lease;
    assert_eq!(two, Lease { attempt: 2, ..one });
    ports.jobs.release(&two, seconds(600)).await.unwrap();
    bench.pass(seconds(500)).await;
    ports.assert_no_job().await;
    bench.pass(seconds(101)).await;
    assert_eq!(ports.claim_one().await.lease.attempt, 3);
}

pub async fn jobs_that_are_long_done_are_forgotten_a_few_at_a_time_and_no_others(bench: &dyn Bench) {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let ports = bench.ports();
    let now = ports.now().await;
    let (waiting, abandoned) = (job(now.after(DAY * 2)), job(now));
    ports.commit(Change { enqueue: (0..5).map(|_| job(now)).collect(), ..Change::default() }).await;
    for claimed in ports.claim_all().await {
        ports.commit(finish(claimed.lease)).await;
    }
    ports.commit(Change { enqueue: vec![waiting.clone(), abandoned.clone()], ..Change::default() }).await;
    assert_eq!(ports.claim_one().await.lease.job, abandoned.id);
    assert_eq!(ports.jobs.forget(DAY, 10).await.unwrap(), 0, "they are young");

    bench.pass(DAY + seconds(60)).await;
    let young = job(now);
    ports.commit(enqueue(&young)).await;
    let lease = ports.claim_all().await.into_iter().find(|claimed| claimed.lease.job == young.id).unwrap().lease;
    ports.commit(finish(lease)).await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(ports.jobs.forget(DAY, 2).await.unwrap());
    }
    assert_eq!(counts, [2, 2, 1, 0]);

    // What is not done stays, however old it is; what was done lately, too.
    bench.pass(DAY).await;
    assert_eq!(ids(&ports.claim_all().await), [abandoned.id, waiting.id]);
    bench.pass(seconds(60)).await;
    assert_eq!(ports.jobs.forget(DAY, 10).await.unwrap(), 1);
}
