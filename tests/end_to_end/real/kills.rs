//! A server, a worker and a provider are killed (SIGKILL) under load, at any moment, and started again.

use super::{deployment::Deployment, is_soak, judge::judge, load::Load, resumption::Watch};
use crate::harness::{chance::Seeded, home::Engine, on_both_databases};
use std::{sync::Arc, time::Instant};

on_both_databases! {
    a_soak_of_kills_under_load_loses_nothing_and_pays_nobody_twice
}

/// Kills of server and worker, and beside them some of the provider: in CI, and if `DISBURSE_SOAK` says so.
const KILLS: (usize, usize) = (5, 100);
/// Between two releases of a caller at most.
const PAUSE_MS: u64 = 60;
/// How long the callers go on at most before the next one.
const UNTIL_NEXT_MS: u64 = 2_000;
/// Each of so many turns the provider is killed, too.
const PROVIDER_EVERY: usize = 4;

async fn a_soak_of_kills_under_load_loses_nothing_and_pays_nobody_twice(engine: Engine) {
    let (started, kills) = (Instant::now(), if is_soak() { KILLS.1 } else { KILLS.0 });
    let mut chance = Seeded::new("kills under load");
    let deployment = Arc::new(Deployment::new(engine).await);
    let load = Load::start(&deployment, &mut chance, PAUSE_MS).await;
    let watch = Watch::start(&deployment.world.home().database_url(), load.gauge()).await;
    let (mut servers, mut workers, mut providers) = (0, 0, 0);
    for turn in 0..kills {
        chance.pause(UNTIL_NEXT_MS).await;
        deployment.assert_all_run();
        // The server, the worker, or both.
        let (is_server, is_worker) = [(true, false), (false, true), (false, true), (true, true)][turn % 4];
        if is_worker {
            deployment.kill_worker();
            let left = watch.left().await;
            deployment.start_worker().await;
            watch.restarted(left);
            workers += 1;
        }
        if is_server {
            deployment.world.kill();
            deployment.world.start().await;
            servers += 1;
        }
        if turn % PROVIDER_EVERY == PROVIDER_EVERY - 1 {
            deployment.kill_provider();
            chance.pause(200).await;
            deployment.start_provider().await;
            providers += 1;
        }
    }
    let acknowledged = load.end().await;
    let figures = watch.end().await;
    let verdict = judge(&deployment.world, &acknowledged).await;
    println!(
        "{kills} kills on {engine:?} ({servers} of the server, {workers} of the worker; and {providers} of the provider) \
         in {:?}: {verdict:?}; {figures:?}",
        started.elapsed()
    );
    assert!(figures.jobs_abandoned > 0, "no worker was killed with a job in its hands");
    deployment.assert_all_run();
}
