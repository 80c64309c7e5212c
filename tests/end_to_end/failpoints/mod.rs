//! The process is killed at every await of the execution path, and nothing that was promised is lost, and nobody is paid
//! twice. What the points are: `crates/server/src/failpoints.rs`.

mod oracle;
mod pauses;
mod play;
mod webhooks;

use crate::harness::{
    home::{Engine, Home},
    on_both_databases,
    process::{disburse, run},
};
use futures_util::FutureExt;
use oracle::judge;
use play::{Player, stage};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Instant,
};
use tokio::{sync::Semaphore, task::JoinSet};

on_both_databases! {
    a_soak_of_kills_at_every_await_loses_nothing_and_pays_nobody_twice
}

/// Processes at a time, of both databases together.
static PROCESSES: Semaphore = Semaphore::const_new(4);

/// Methods that the scenario does not come to, and why. The list of points is the program's: what is neither come to nor
/// here is a failure, and so is what is here and come to.
const UNREACHED: [(&str, &str); 41] = [
    ("worker.queue.extend", "no job makes its lease longer"),
    ("worker.keys.claim", "requests come with keys, jobs do not"),
    ("worker.keys.give_up", "as above"),
    ("worker.keys.answered_for", "as above"),
    ("worker.rail.recall", "people give up, and the worker hears of it"),
    ("worker.rail.list", "whoever compares books lists"),
    ("worker.rail.book", "as above"),
    ("worker.repository.batch_by_escrow", "a request schedules"),
    ("worker.repository.basis", "as above"),
    ("worker.repository.model_in_force", "as above"),
    ("worker.repository.newest_model", "as above"),
    ("worker.repository.paid_destinations", "only under a policy with a cooling-off"),
    ("worker.repository.batches_to_be_paid", "only when a policy was changed"),
    ("worker.repository.recipients_paid_at", "this provider does not tell of changed details"),
    ("worker.repository.batch_of_item", "people act on items"),
    ("worker.repository.proposed_resolution", "people say what became of a payment"),
    ("worker.repository.raised_by", "nobody carries or owes anything here"),
    ("worker.repository.batch_inputs", "as above"),
    ("api.keys.give_up", "only a request that is refused gives its key up"),
    ("api.keys.answered_for", "only a release with a key looks for that"),
    ("api.keys.forget", "the worker forgets"),
    ("api.rail.preflight", "the worker pays"),
    ("api.rail.submit", "as above"),
    ("api.rail.query", "as above"),
    ("api.rail.list", "whoever compares books lists"),
    ("api.rail.book", "as above, and the judge comes after the play"),
    ("api.repository.newest_model", "the model is stored before the play"),
    ("api.repository.model_in_force", "only to calculate or to show it"),
    ("api.repository.policy", "a release asks for its basis; the policy is stored before the play"),
    ("api.repository.instruction", "the worker hears what this provider tells; another sentence is about webhooks"),
    ("api.repository.instruction_of", "as above"),
    ("api.repository.taken_events", "as above"),
    ("api.repository.recipients_paid_at", "as above"),
    ("api.repository.paid_destinations", "only under a policy with a cooling-off"),
    ("api.repository.proposed_resolution", "nobody says what became of a payment"),
    ("api.repository.batches_to_be_paid", "no policy is changed"),
    ("api.repository.batches_held_for", "a job releases"),
    ("api.repository.counters_of", "nobody asks for what is carried"),
    ("api.repository.reversal", "nothing is reversed here"),
    ("api.repository.raised_by", "nothing is reversed here"),
    ("api.repository.batch_inputs", "as above"),
];
/// Come to in some plays and not in others: whoever hears first of a recall, the worker or whoever asked for it, writes
/// it down, and a job whose batch somebody else has changed is given back.
const SOMETIMES: [&str; 3] =
    ["worker.repository.batch_for_reversal", "worker.repository.counters", "worker.repository.reversal"];
/// Come to for certain only if the database refuses that anybody is paid.
const IN_TROUBLE: [&str; 2] = ["worker.queue.release", "worker.notifications.mark_failed"];
/// Of the points that are come to more than once, those at which money and what we know of it part: killed the second
/// time, too. `cargo xtask soak` kills at each time.
const OFTEN: [&str; 4] = [
    "worker.repository.commit.before",
    "worker.repository.commit.after",
    "worker.rail.submit.before",
    "worker.rail.submit.after",
];
const OFTEN_TIMES: u64 = 3;

async fn a_soak_of_kills_at_every_await_loses_nothing_and_pays_nobody_twice(engine: Engine) {
    let started = Instant::now();
    let stage = Arc::new(stage(engine).await);
    let mut counts = rehearse(&stage, false).await;
    let mut troubled = rehearse(&stage, true).await;
    counts.retain(|point, _| !IN_TROUBLE.contains(&method(point)));
    troubled.retain(|point, _| IN_TROUBLE.contains(&method(point)));
    every_point_is_accounted_for(&all_points().await, counts.keys().chain(troubled.keys()));
    let is_soak = std::env::var("DISBURSE_SOAK").is_ok_and(|value| value == "1");
    let mut runs: Vec<Run> = Vec::new();
    for (counts, in_trouble) in [(&counts, false), (&troubled, true)] {
        for (point, count) in counts {
            let usual = if OFTEN.contains(&point.as_str()) { OFTEN_TIMES } else { 1 };
            let most = if is_soak { *count } else { usual.min(*count) };
            runs.extend((1..=most).map(|n| Run { point: point.clone(), n, in_trouble }));
        }
    }
    let (points, kills) = (counts.len() + troubled.len(), runs.len());
    let (missed, failed) = play_all(&stage, runs).await;
    println!(
        "{kills} kills at {points} points of {engine:?} in {:?}; not come to again: {missed:?}",
        started.elapsed()
    );
    assert!(failed.is_empty(), "{} of {kills} failed: {failed:#?}", failed.len());
    // How often a point is come to depends on who is faster; the first time does not.
    let excused = |(point, n): &(String, u64)| *n > 1 || SOMETIMES.contains(&method(point));
    assert!(missed.iter().all(excused) && missed.len() * 5 <= kills, "never come to: {missed:?}");
}

fn method(point: &str) -> &str {
    point.rsplit_once('.').expect("a moment").0
}

fn every_point_is_accounted_for<'a>(all: &[String], reached: impl Iterator<Item = &'a String>) {
    let methods = |points: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> {
        points.map(|point| method(point)).filter(|method| !SOMETIMES.contains(method)).map(str::to_owned).collect()
    };
    let (all, mut reached) = (methods(&mut all.iter()), reached);
    let reached = methods(&mut reached);
    assert!(all.len() > 50, "{all:?}");
    let missing: BTreeSet<&str> = all.difference(&reached).map(String::as_str).collect();
    let listed: BTreeSet<&str> = UNREACHED.iter().map(|(method, _)| *method).collect();
    assert_eq!(missing, listed, "what is not come to, and what is said not to be");
}

/// How often each point was come to.
type Counts = BTreeMap<String, u64>;

/// One way to play it.
struct Run {
    point: String,
    n: u64,
    in_trouble: bool,
}

/// Every point that the program has.
async fn all_points() -> Vec<String> {
    let listed = run(disburse(&std::env::temp_dir(), &["failpoints"])).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    listed.stdout.lines().map(str::to_owned).collect()
}

/// Plays it without a crash. Answers how often each point was come to.
async fn rehearse(stage: &Home, in_trouble: bool) -> Counts {
    let _one = PROCESSES.acquire().await.expect("it is never closed");
    let home = stage.copy().await;
    let log = home.folder().join("points.log");
    let mut player = Player::new(home, None, log.to_str(), in_trouble).await;
    let batch = player.play().await;
    // Whoever judges comes to points, too.
    let reached = std::fs::read_to_string(log).expect("it was written");
    judge(&player, &batch).await;
    player.world.stop().await;
    let mut counts = BTreeMap::new();
    for point in reached.lines() {
        *counts.entry(point.to_owned()).or_default() += 1;
    }
    counts
}

/// Plays it once for each crash, some at a time. Answers which were not come to, and where it went wrong.
async fn play_all(stage: &Arc<Home>, runs: Vec<Run>) -> (Vec<(String, u64)>, Vec<String>) {
    let mut plays = JoinSet::new();
    for run in runs {
        let stage = Arc::clone(stage);
        plays.spawn(async move {
            let _one = PROCESSES.acquire().await.expect("it is never closed");
            let played = AssertUnwindSafe(play_with(&stage, &run)).catch_unwind().await;
            (run.point, run.n, played.map_err(|panic| said(panic.as_ref())))
        });
    }
    let (mut missed, mut failed) = (Vec::new(), Vec::new());
    for (point, n, died) in plays.join_all().await {
        match died {
            Ok(true) => {}
            Ok(false) => missed.push((point, n)),
            Err(why) => failed.push(format!("{point}:{n}: {why}")),
        }
    }
    (missed, failed)
}

/// Answers whether the server came to the point, and died.
async fn play_with(stage: &Home, run: &Run) -> bool {
    let mut player = Player::new(stage.copy().await, Some((&run.point, run.n)), None, run.in_trouble).await;
    let batch = player.play().await;
    let died = !player.still_to_die();
    // What the judge asks must not kill the server.
    if !died {
        player.world.stop().await;
        player.world.start().await;
    }
    judge(&player, &batch).await;
    // A database is dropped with it, and that must not keep the others waiting.
    tokio::task::spawn_blocking(move || drop(player)).await.expect("it goes well");
    died
}

/// What somebody panicked with.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
