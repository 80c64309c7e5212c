//! Small and quick: what the service costs when nobody asks for anything, and how soon it is there.
//!
//! The binary that is tested has not been optimised. What a release must show is written down here, for the check
//! that is made by hand: `/usr/bin/time` and `VmRSS` of `target/release/disburse serve`.

use crate::harness::{home::Engine, on_both_databases, world::World};
use std::time::{Duration, Instant};

on_both_databases! {
    an_idle_server_is_small
    a_server_is_soon_ready
}

const MIB: u64 = 1024 * 1024;
/// What the release must stay under.
const RESIDENT_RELEASE: u64 = 40 * MIB;
/// What the binary of the tests must stay under.
const RESIDENT_DEBUG: u64 = 56 * MIB;
/// Until the release is ready, on a database that exists.
const READY_RELEASE: Duration = Duration::from_millis(300);
/// Until the binary of the tests is, beside other tests.
const READY_DEBUG: Duration = Duration::from_secs(2);

async fn an_idle_server_is_small(engine: Engine) {
    let world = World::new(engine).await;
    // It has worked, and rests.
    world.publish_model("prj_1", &super::shares(&[("rec_ana", 1), ("rec_ben", 1)])).await;
    for number in 0..20 {
        world.scheduled(&super::release(&format!("esc_{number}"), "prj_1", 100, "USD")).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let resident = world.resident_bytes();
    println!(
        "{engine:?}: {:.1} MiB resident; a release stays under {} MiB",
        resident as f64 / MIB as f64,
        RESIDENT_RELEASE / MIB
    );
    assert!(resident < RESIDENT_DEBUG, "{resident} bytes resident");
}

async fn a_server_is_soon_ready(engine: Engine) {
    let world = World::new(engine).await;
    let mut soonest = Duration::MAX;
    // The soonest of three: the machine has other things to do.
    for _ in 0..3 {
        world.kill();
        let started = Instant::now();
        world.start().await;
        soonest = soonest.min(started.elapsed());
    }
    println!("{engine:?}: ready after {soonest:?}; a release after {READY_RELEASE:?}");
    assert!(soonest < READY_DEBUG, "ready only after {soonest:?}");
}
