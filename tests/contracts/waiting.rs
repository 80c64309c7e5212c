//! Waiting for work: never longer than was said, and never past a job that this process committed.

use super::{
    Bench, Ports,
    bench::LEASE,
    sample::{enqueue, job, seconds},
};
use app::{
    change::Change,
    job::{Job, LeaseStep},
};
use std::time::Duration;

/// Much less than [`AT_MOST`], and much more than a busy machine needs to notice.
const SOON: Duration = Duration::from_secs(10);
/// So long a worker of these tests waits for a job that nobody tells it of.
const AT_MOST: Duration = Duration::from_secs(120);

pub(super) async fn assert_soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it does not wait that long")
}

pub async fn waiting_ends_after_its_time(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.assert_no_job().await;
    for _ in 0..3 {
        assert_soon(ports.jobs.wait(Duration::from_millis(20))).await;
    }
}

/// Waits as a worker does, and answers once it has a job.
pub(super) fn worker(ports: &Ports) -> tokio::task::JoinHandle<()> {
    let ports = ports.clone();
    tokio::spawn(async move {
        while ports.jobs.claim(1, LEASE).await.unwrap().is_empty() {
            ports.jobs.wait(AT_MOST).await;
        }
    })
}

pub async fn waiting_ends_when_a_job_is_committed(bench: &dyn Bench) {
    let ports = bench.ports();
    let workers = [worker(&ports), worker(&ports), worker(&ports)];
    for _ in &workers {
        tokio::time::sleep(Duration::from_millis(20)).await;
        ports.commit(enqueue(&job(ports.now().await))).await;
    }
    for worker in workers {
        assert_soon(worker).await.unwrap();
    }
}

pub async fn waiting_ends_when_a_job_is_woken(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let (done, later) = (job(now), job(now.after(seconds(6000))));
    ports.commit(enqueue(&done)).await;
    let lease = ports.claim_one().await.lease;
    ports.commit(Change { lease: Some(LeaseStep::Finish(lease)), ..enqueue(&later) }).await;
    for job in [done, later] {
        ports.assert_no_job().await;
        let worker = worker(&ports);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let wake = vec![Job { run_at: ports.now().await, ..job }];
        ports.commit(Change { wake, ..Change::default() }).await;
        assert_soon(worker).await.unwrap();
    }
}

pub async fn a_job_committed_between_claim_and_wait_is_not_missed(bench: &dyn Bench) {
    let ports = bench.ports();
    for _ in 0..5 {
        ports.assert_no_job().await;
        ports.commit(enqueue(&job(ports.now().await))).await;
        assert_soon(ports.jobs.wait(AT_MOST)).await;
        ports.claim_one().await;
    }
    // The same by chance: nobody knows how commit, claim and wait meet.
    for turn in 0..50 {
        let worker = worker(&ports);
        tokio::time::sleep(Duration::from_micros(turn * 37 % 500)).await;
        ports.commit(enqueue(&job(ports.now().await))).await;
        assert_soon(worker).await.unwrap();
    }
}
