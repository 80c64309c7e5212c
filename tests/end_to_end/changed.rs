//! What somebody changed counts for everybody who asks afterwards, whichever server they ask.

use super::{release, shares};
use crate::harness::{
    home::Engine,
    on_both_databases,
    world::{World, text},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};

on_both_databases! {
    a_model_that_was_published_splits_whatever_is_released_afterwards
}

const CALLERS: usize = 4;
const VERSIONS: i64 = 7;
/// Longer than a server recalls nothing after a change.
const PAUSE: Duration = Duration::from_millis(1_500);

/// One that was released, and when that was asked and answered.
struct Released {
    asked: Instant,
    answered: Instant,
    batch: String,
}

/// Releases one after the other, taking turns between the servers, until told to stop.
async fn releases(world: Arc<World>, servers: [String; 2], caller: usize, stop: Arc<AtomicBool>) -> Vec<Released> {
    let mut released = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = released.len();
        let body = release(&format!("esc_{caller}x{number}"), "prj_1", 100, "USD");
        let asked = Instant::now();
        let answer = world.schedule_at(&servers[number % 2], &body).await.with(201);
        released.push(Released { asked, answered: Instant::now(), batch: text(&answer, "batchId") });
    }
    released
}

async fn a_model_that_was_published_splits_whatever_is_released_afterwards(engine: Engine) {
    let world = Arc::new(World::new(engine).await);
    let publish = async |weight| {
        let asked = Instant::now();
        world.publish_model("prj_1", &shares(&[("rec_ana", weight), ("rec_ben", 1)])).await;
        (asked, Instant::now())
    };
    let mut published = vec![publish(1).await];
    let mut second = world.home().start_aside("second", &["serve"]);
    let servers = [world.url(), text(&second.says("serving").await, "url")];
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(releases(Arc::clone(&world), servers.clone(), caller, Arc::clone(&stop)));
    }
    for version in 2..=VERSIONS {
        sleep(PAUSE).await;
        published.push(publish(version).await);
    }
    sleep(PAUSE).await;
    stop.store(true, Ordering::Relaxed);
    let released: Vec<Released> = callers.join_all().await.into_iter().flatten().collect();

    let mut released_under = BTreeMap::new();
    for Released { asked, answered, batch } in &released {
        let version = world.batch(batch).await["modelVersion"].as_u64().expect("a version");
        let known = published.iter().filter(|(_, done)| done < asked).count() as u64;
        let begun = published.iter().filter(|(begun, _)| begun < answered).count() as u64;
        assert!((known..=begun).contains(&version), "{batch}: {version}, of {known} to {begun}");
        *released_under.entry(version).or_insert(0) += 1;
    }
    println!("{engine:?}: released under each version {released_under:?}");
    assert_eq!(released_under.len(), published.len(), "{released_under:?}");
    assert!(second.stop().await.success());
}
