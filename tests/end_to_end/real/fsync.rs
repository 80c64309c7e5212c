//! The disk does not say that it has what was written (`fsync` fails with EIO). On SQLite: PostgreSQL gives up by itself
//! then, as `database_kills` has it.

use super::{
    super::{
        promises::{assert_paid_exactly_once, persistent_under, projects},
        release,
    },
    deployment::Deployment,
};
use crate::harness::{home::Engine, sick_disk::SickDisk, world::text};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long the service may take to go on after the disk is well again: what could not be done is tried again after
/// seconds, and a worker that lost what it had begun waits for its own lease.
const ON_AGAIN_WITHIN: Duration = Duration::from_secs(30);
/// How long each sickness lasts.
const SICK: Duration = Duration::from_secs(3);

/// While it is sick no release is acknowledged, and the service goes on by itself afterwards: also a kill right then
/// takes nothing away that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sick_disk_did_not_take_is_not_acknowledged_and_nothing_is_paid_twice() {
    let deployment = Deployment::new(Engine::Sqlite).await;
    let world = &deployment.world;
    projects(world).await;
    let mut batches = BTreeSet::new();
    let mut failed = 0;
    for turn in 0..4 {
        for number in 0..4 {
            let body = release(&format!("esc_{turn}before{number}"), "prj_mixed", 10_000, "USD");
            batches.insert(persistent_under(world, &body, None).await);
        }
        // The server, the worker, or both.
        let (mut server, mut worker) = (None, None);
        if turn != 1 {
            server =
                Some(SickDisk::of(&[world.id()], world.home().folder().join(format!("server_{turn}.strace"))).await);
        }
        if turn != 0 {
            worker = Some(
                SickDisk::of(&[deployment.worker_id()], world.home().folder().join(format!("worker_{turn}.strace")))
                    .await,
            );
        }
        let sick_until = Instant::now() + SICK;
        let mut number = 0;
        while Instant::now() < sick_until {
            let body = release(&format!("esc_{turn}during{number}"), "prj_mixed", 10_000, "USD");
            number += 1;
            let answer = world.schedule(&body).await;
            match &server {
                Some(_) => drop(answer.refused(503, "unavailable")),
                None => drop(batches.insert(text(&answer.with(201), "batchId"))),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for disk in server.into_iter().chain(worker) {
            let here = disk.heal().await;
            assert!(here > 0, "nothing failed in turn {turn}");
            failed += here;
        }
        deployment.assert_all_run();
        // It goes on by itself, and what was refused is done by sending it again.
        let well = Instant::now();
        for number in 0..number {
            let body = release(&format!("esc_{turn}during{number}"), "prj_mixed", 10_000, "USD");
            batches.insert(persistent_under(world, &body, None).await);
        }
        assert!(well.elapsed() < ON_AGAIN_WITHIN, "the server went on only after {:?}", well.elapsed());
        if turn == 2 {
            world.kill();
            deployment.kill_worker();
            world.start().await;
            deployment.start_worker().await;
        }
    }
    println!("{failed} failures of the disk, {} batches", batches.len());
    assert_paid_exactly_once(world, &batches).await;
    // What counts is on the disk, and not in a transaction that one connection has still open.
    world.kill();
    deployment.kill_worker();
    world.start().await;
    deployment.start_worker().await;
    assert_paid_exactly_once(world, &batches).await;
}
