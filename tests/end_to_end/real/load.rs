//! Callers who go on releasing, as the contract asks them to: what is not answered, or answered 503, is sent again.

use super::{
    super::{
        promises::{persistent_under, repeated},
        release, shares,
    },
    deployment::Deployment,
};
use crate::harness::{chance::Seeded, world::World};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// Callers at a time.
const CALLERS: usize = 4;
/// So many batches may wait: what is looked at is how soon work goes on, not how long a queue is.
const WAITING_MAX: usize = 16;
/// Each of so many acknowledged releases is sent once more, under its key.
const REPEATED_ONE_OF: u64 = 4;

/// How the provider treats somebody, and what that comes to.
const PEOPLE: [(&str, &str, Option<&str>); 7] = [
    ("rec_ana", "paid", None),
    ("rec_ben", "paid", None),
    ("rec_flaky", "error_500_then_success", None),
    ("rec_slow", "slow", Some("1s")),
    ("rec_declined", "decline", None),
    // No answer comes, and it was executed; nobody hears of it, until they do.
    ("rec_lost", "timeout_after", None),
    ("rec_silent", "silent", Some("3s")),
];

/// Projects with how many of thirty-two releases are theirs. No answer costs a worker five seconds.
const PROJECTS: [(&str, u64, [&str; 3]); 4] = [
    ("prj_plain", 17, ["rec_ana", "rec_ben", "rec_flaky"]),
    ("prj_mixed", 13, ["rec_ana", "rec_slow", "rec_declined"]),
    ("prj_lost", 1, ["rec_ana", "rec_ben", "rec_lost"]),
    ("prj_silent", 1, ["rec_ana", "rec_ben", "rec_silent"]),
];

/// Stores the people and the projects.
pub async fn projects(world: &World) {
    for (recipient, behaviour, after) in PEOPLE {
        let mut details = json!({ "behaviour": behaviour });
        if let Some(after) = after {
            details["after"] = after.into();
        }
        world.register(recipient, &json!({ "destination": { "rail": "simulator", "details": details } })).await;
    }
    for (project, _, people) in PROJECTS {
        world.publish_model(project, &shares(&people.map(|recipient| (recipient, 1)))).await;
    }
}

/// Who is not paid, because the provider declines it.
pub fn is_declined(recipient: &Value) -> bool {
    recipient == "rec_declined"
}

/// What the callers share.
#[derive(Default)]
struct Said {
    next: AtomicUsize,
    is_over: AtomicBool,
    /// The batch of each escrow that somebody was told of.
    acknowledged: Mutex<BTreeMap<String, String>>,
    /// How many batches wait, as somebody counted last.
    waiting: AtomicUsize,
}

/// Callers at work.
pub struct Load {
    said: Arc<Said>,
    callers: JoinSet<()>,
}

impl Load {
    /// They begin, each with pauses of up to so many milliseconds.
    pub async fn start(deployment: &Arc<Deployment>, chance: &mut Seeded, pause_ms_max: u64) -> Self {
        projects(&deployment.world).await;
        let said = Arc::new(Said::default());
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call(Arc::clone(deployment), Arc::clone(&said), chance.fork(), pause_ms_max));
        }
        Self { said, callers }
    }

    /// How many releases were acknowledged.
    pub fn acknowledged(&self) -> usize {
        lock(&self.said.acknowledged).len()
    }

    /// So many batches wait.
    pub fn gauge(&self) -> impl Fn(usize) + Send + Sync + 'static {
        let said = Arc::clone(&self.said);
        move |waiting| said.waiting.store(waiting, SeqCst)
    }

    /// They end what they are at. Answers the batch of each escrow.
    pub async fn end(mut self) -> BTreeMap<String, String> {
        self.said.is_over.store(true, SeqCst);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("a caller comes to its end");
        }
        lock(&self.said.acknowledged).clone()
    }
}

async fn call(deployment: Arc<Deployment>, said: Arc<Said>, mut chance: Seeded, pause_ms_max: u64) {
    while !said.is_over.load(SeqCst) {
        if said.waiting.load(SeqCst) > WAITING_MAX {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let number = said.next.fetch_add(1, SeqCst);
        let (escrow, amount) = (format!("esc_{number}"), 10_000 + i64::try_from(number).expect("few releases"));
        let mut place = chance.below(32);
        let project = PROJECTS.iter().find(|(_, share, _)| match place.checked_sub(*share) {
            Some(rest) => {
                place = rest;
                false
            }
            None => true,
        });
        let body = release(&escrow, project.expect("the shares are thirty-two").0, amount, "USD");
        let key = (chance.below(2) == 0).then(|| format!("key of {escrow}"));
        let batch = persistent_under(&deployment.world, &body, key.as_deref()).await;
        if key.is_some() && chance.below(REPEATED_ONE_OF) == 0 {
            assert_eq!(repeated(&deployment.world, &body, key.as_deref()).await, batch, "{escrow} is two batches");
        }
        lock(&said.acknowledged).insert(escrow, batch);
        chance.pause(pause_ms_max).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
