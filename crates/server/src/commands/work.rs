//! `disburse worker`: the work without an API.

use super::{Exit, Outcome, say, serve};
use crate::{compose, config::Config, logging};
use tokio::sync::watch;

pub(super) async fn run(config: &Config) -> Outcome {
    logging::start();
    let signals = serve::StopSignals::listen()?;
    let service = compose::service(config).await.map_err(|error| say(Exit::Unreachable, &error))?;
    let (stop, stopped) = watch::channel(false);
    let worker = serve::supervise(service.worker, stopped);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), database = config.database_for_people(), "working");
    signals.wait().await;
    tracing::info!("stopping: finishing what is in flight");
    let _ = stop.send(true);
    worker.await.map_err(|error| say(Exit::Failed, &error))
}
