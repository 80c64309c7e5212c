//! `disburse bulk`: the releases of a file, by the million. [`calculate`] splits them without a database; [`schedule`]
//! sends them to a running server.

mod batch;
mod calculate;
mod columns;
mod counters;
mod failure;
mod job;
mod lines;
mod lines_csv;
mod lines_parquet;
mod models;
mod output;
mod progress;
mod records;
mod reject;
mod release;
mod schedule;
mod send;
mod source;
mod source_parquet;
mod tally;
mod turn;

use super::{Exit, Outcome, serve::StopSignals};
use domain::timestamp::Timestamp;
use failure::BulkError;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Split the releases of a file, without a database
    Calculate(calculate::Args),
    /// Send the releases of a file to a running server; safe to do again
    Schedule(schedule::Args),
}

/// How long a block may take to come to its end after a signal to stop.
const GRACE: Duration = Duration::from_secs(3);

pub(super) async fn run(command: Command) -> Outcome {
    let signals = StopSignals::listen()?;
    let (outcome, as_json) = match command {
        Command::Calculate(args) => {
            let as_json = args.json;
            (calculate(args, signals).await, as_json)
        }
        Command::Schedule(args) => (schedule::run(&args, signals).await, args.json),
    };
    outcome.map_err(|error| {
        error.tell(as_json);
        error.exit()
    })
}

/// On threads of its own: one of them may wait for input that never comes.
async fn calculate(args: calculate::Args, signals: StopSignals) -> Result<(), BulkError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (done, mut is_done) = oneshot::channel();
    let stopping = Arc::clone(&stop);
    thread::spawn(move || done.send(calculate::run(&args, now(), &stopping)));
    let broken = |_| BulkError::Failed("the command broke; this is a fault of disburse".to_owned());
    tokio::select! {
        outcome = &mut is_done => return outcome.map_err(broken)?,
        () = signals.wait() => stop.store(true, Ordering::Relaxed),
    }
    match tokio::time::timeout(GRACE, is_done).await {
        Ok(outcome) => outcome.map_err(broken)?,
        Err(_) => {
            output::remove_partial();
            Err(BulkError::Interrupted)
        }
    }
}

/// There is no database whose clock could be asked.
#[expect(clippy::disallowed_methods, reason = "a file is split without a database, so without the Clock port")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
