//! The database is killed (SIGKILL, every process of it) under load and started again, or gives up by itself because the
//! disk does not say that it has what was written. It is a cluster of the test's own,
//! which writes to the disk as one in earnest.

use super::{deployment::Deployment, is_soak, judge::judge, load::Load};
use crate::harness::{chance::Seeded, cluster::Cluster, home::Home, process::PATIENCE, sick_disk::SickDisk};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// In CI, and if `DISBURSE_SOAK` says so.
const KILLS: (usize, usize) = (3, 25);
/// Between two releases of a caller at most.
const PAUSE_MS: u64 = 400;
/// How long the callers go on at most before the next one.
const UNTIL_NEXT_MS: u64 = 2_500;
/// How long the database stays away at most.
const AWAY_MS: u64 = 500;
/// How soon a release is acknowledged again once the database serves: broken connections are noticed when they are used,
/// and callers come again after at most 50 ms.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_of_kills_of_the_database_loses_nothing_and_pays_nobody_twice() {
    let kills = if is_soak() { KILLS.1 } else { KILLS.0 };
    let mut cluster = Cluster::new().await;
    let recoveries = break_again_and_again(&mut cluster, kills, false).await;
    assert_eq!(recoveries, kills, "each start was a recovery:\n{}", cluster.said());
}

/// It does not trust a disk that once said so: it gives everything up, and what it cannot have back then it has back from
/// its log when it is started over a disk that is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_of_sick_disks_under_the_database_loses_nothing_and_pays_nobody_twice() {
    let mut cluster = Cluster::new().await;
    let recoveries = break_again_and_again(&mut cluster, if is_soak() { 5 } else { 1 }, true).await;
    assert!(recoveries > 0 && cluster.said().contains("PANIC"), "it did not give up:\n{}", cluster.said());
}

/// Under load. Answers how often the database says that it recovered.
async fn break_again_and_again(cluster: &mut Cluster, times: usize, is_disk: bool) -> usize {
    let started = Instant::now();
    let mut chance = Seeded::new("a database that breaks");
    let deployment = Arc::new(Deployment::in_home(Home::beside(&cluster.url())).await);
    let load = Load::start(&deployment, &mut chance, PAUSE_MS).await;
    let mut longest = Duration::ZERO;
    for turn in 0..times {
        chance.pause(UNTIL_NEXT_MS).await;
        if is_disk {
            let log = deployment.world.home().folder().join(format!("disk_{turn}.strace"));
            let (disk, panics) = (SickDisk::of(&cluster.process_ids(), log).await, panics(cluster));
            let deadline = Instant::now() + PATIENCE;
            while panics == self::panics(cluster) {
                assert!(Instant::now() < deadline, "it does not mind:\n{}", cluster.said());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cluster.kill();
            disk.heal().await;
        } else {
            cluster.kill();
        }
        chance.pause(AWAY_MS).await;
        cluster.start().await;
        let (serves, before) = (Instant::now(), load.acknowledged());
        while load.acknowledged() == before {
            assert!(serves.elapsed() < ACKNOWLEDGED_WITHIN, "nothing is acknowledged:\n{}", deployment.worker_said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest = longest.max(serves.elapsed());
        // They find it again by themselves.
        deployment.assert_all_run();
    }
    let acknowledged = load.end().await;
    let verdict = judge(&deployment.world, &acknowledged).await;
    println!(
        "the database was {} {times} times in {:?}: {verdict:?}; acknowledged again within {longest:?}",
        if is_disk { "on a sick disk" } else { "killed" },
        started.elapsed()
    );
    cluster.said().matches("database system was not properly shut down").count()
}

fn panics(cluster: &Cluster) -> usize {
    cluster.said().matches("PANIC:").count()
}
