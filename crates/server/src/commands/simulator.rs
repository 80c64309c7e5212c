//! `disburse simulator`: the simulated provider as a process of its own, so that calls to it can really fail.

use super::{Exit, Outcome, say, serve::StopSignals};
use crate::{
    compose,
    config::{Config, Origin},
    listener::Listener,
    logging, simulator_app,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::sync::watch;

/// Where it listens, unless told otherwise: next to the API.
const PORT: u16 = 8090;
/// How long what is in flight may take after a signal to stop. Callers who are to get no answer wait longer than that.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to post what it has to tell, such as `http://127.0.0.1:8080/rails/simulator/webhooks`; needs
    /// DISBURSE_SIMULATOR_SECRET, which the service must know, too
    #[arg(long, value_name = "URL")]
    notify: Option<String>,
}

pub(super) async fn run(config: &Config, args: Args) -> Outcome {
    logging::start();
    let signals = StopSignals::listen()?;
    let secret = config.simulator_secret.as_ref().map(|secret| secret.value.expose().as_bytes().to_vec());
    if args.notify.is_some() && secret.is_none() {
        return Err(say(Exit::Usage, &"--notify needs DISBURSE_SIMULATOR_SECRET: nobody believes what is not signed"));
    }
    let simulator = compose::simulator_http(config, secret).await.map_err(|error| say(Exit::Unreachable, &error))?;
    let listen = match config.listen.origin {
        Origin::Default => SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
        Origin::Flag | Origin::Environment | Origin::File => config.listen.value,
    };
    let listener = Listener::bind(listen, config.limits(), None).await;
    let listener = listener.map_err(|error| say(Exit::Failed, &format!("cannot listen on {listen}: {error}")))?;
    let bound = listener.address();

    let (stop, stopped) = watch::channel(false);
    let notifying = args.notify.map(|url| tokio::spawn(simulator.provider().post_notifications(url, stopped.clone())));
    let serving = tokio::spawn(listener.serve(simulator_app::endpoint(simulator), stopped, GRACE));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), url = format!("http://{bound}"), "simulating a provider");
    signals.wait().await;
    tracing::info!("stopping: finishing what is in flight");
    let _ = stop.send(true);
    if let Some(notifying) = notifying {
        let ended = notifying.await.map_err(|error| say(Exit::Failed, &error))?;
        ended.map_err(|error| say(Exit::Failed, &error))?;
    }
    serving.await.map_err(|error| say(Exit::Failed, &error))
}
