//! `disburse serve`: the API, and the worker in the same process.

use super::{Exit, Outcome, say};
use crate::{
    compose::{self, Service},
    config::Config,
    http,
    listener::Listener,
    logging,
    signing_key::signing_key,
    worker::Worker,
};
use std::time::Duration;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

/// How long what is in flight may take after a signal to stop.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leave the work to `disburse worker`
    #[arg(long)]
    no_worker: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> Outcome {
    logging::start();
    let stop = StopSignals::listen()?;
    let server = Running::start(config, !args.no_worker).await?;
    server.greet(config);
    stop.wait().await;
    tracing::info!("stopping: finishing what is in flight");
    server.stop().await
}

/// A server that listens.
pub(super) struct Running {
    /// Where, as a URL.
    pub(super) url: String,
    stop: watch::Sender<bool>,
    api: JoinHandle<()>,
    worker: Option<JoinHandle<()>>,
}

impl Running {
    pub(super) async fn start(config: &Config, with_worker: bool) -> Result<Self, Exit> {
        let key = signing_key(config).map_err(|error| say(Exit::Usage, &error))?;
        let tls = config.read_tls().map_err(|error| say(Exit::Usage, &error))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let service = compose::service(config).await.map_err(|error| say(Exit::Unreachable, &error))?;
        let Service { worker, .. } = service.clone();
        let endpoint = http::endpoint(service, key, config.bounds());
        let listener = Listener::bind(config.listen.value, config.limits(), tls).await.map_err(|error| {
            say(Exit::Failed, &format!("cannot listen on {}: {error}; name another with --listen", config.listen.value))
        })?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            url: format!("{scheme}://{}", listener.address()),
            stop,
            api: tokio::spawn(listener.serve(endpoint, stopped.clone(), GRACE)),
            worker: with_worker.then(|| supervise(worker, stopped)),
        })
    }

    fn greet(&self, config: &Config) {
        let url = &self.url;
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(version, url, database = config.database_for_people(), "serving");
        if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            eprintln!("\n  disburse {version}, test mode: the simulator pays nobody in earnest");
            eprintln!("  API       {url}");
            eprintln!("  API page  {url}/docs");
            eprintln!("  data      {}", config.database_for_people());
            eprintln!("  token     disburse token --role admin\n");
        }
    }

    /// Stops taking requests, finishes what is in flight, gives leases back.
    pub(super) async fn stop(self) -> Outcome {
        let _ = self.stop.send(true);
        let worker = async {
            if let Some(worker) = self.worker {
                let _ = worker.await;
            }
        };
        let (api, ()) = tokio::join!(self.api, worker);
        api.map_err(|error| say(Exit::Failed, &error))
    }
}

/// Runs the worker, and starts it anew should it ever panic: a job that does so must not stop all others.
pub(super) fn supervise(worker: Worker, stop: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !*stop.borrow() {
            match tokio::spawn(worker.clone().run(stop.clone())).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(error = %error, "the worker broke; starting it anew");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    })
}

/// The signals that ask the process to stop. They are listened for from the moment this is made, so it is made before
/// anything is started.
pub(super) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    pub(super) fn listen() -> Result<Self, Exit> {
        let listen = |kind| signal(kind).map_err(|error| say(Exit::Failed, &error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Comes back when one of them came, also if it came before.
    pub(super) async fn wait(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
