//! `disburse doctor`: every setting with where it came from, and whether everything can be reached.

use super::{Exit, Outcome};
use crate::{
    compose::{self, ComposeError},
    config::{Config, Origin},
    signing_key::signing_key,
};
use std::fmt::Display;

pub(super) async fn run(config: &Config) -> Outcome {
    setting("listen", &config.listen.value, config.listen.origin);
    setting("database_url", &config.database_for_people(), config.database_url.origin);
    setting("data_dir", &config.data_dir.value.display(), config.data_dir.origin);
    setting("mode", &config.mode.value.as_str(), config.mode.origin);
    match &config.simulator_url {
        Some(url) => setting("simulator_url", &url.value, url.origin),
        None => setting("simulator_url", &"(inside this process)", Origin::Default),
    }
    let accepts = &config.accept_data_loss;
    setting("data_loss", &if accepts.value { "accepted" } else { "refused" }, accepts.origin);
    setting("connections", &config.connections_max.value, config.connections_max.origin);
    setting("request_time", &format!("{} s", config.request_seconds_max.value), config.request_seconds_max.origin);
    match &config.rate_limit {
        Some(limit) => setting("rate_limit", &format!("{} a second for each subject", limit.value), limit.origin),
        None => setting("rate_limit", &"(none)", Origin::Default),
    }
    let (jobs, events) = (&config.jobs_days_kept, &config.events_days_kept);
    setting("jobs_kept", &format!("{} days", jobs.value), jobs.origin);
    setting("events_kept", &format!("{} days", events.value), events.origin);
    match &config.tls {
        Some(tls) => setting("tls", &tls.certificate.value.display(), tls.certificate.origin),
        None => setting("tls", &"(not used)", Origin::Default),
    }
    match &config.stripe {
        Some(stripe) => setting("stripe", &"(key given)", stripe.secret_key.origin),
        None => setting("stripe", &"(not used)", Origin::Default),
    }
    match &config.jwt_secret {
        Some(secret) => setting("jwt_secret", &"(given)", secret.origin),
        None => setting("jwt_secret", &"(development key in data_dir)", Origin::Default),
    }
    outln!("");

    let key = check("signing key", signing_key(config).map(|_| "ok".to_owned()));
    let tls = config.tls.is_none() || check("certificate", config.read_tls().map(|_| "ok".to_owned()));
    let looking = compose::looking(config).await;
    let reached = match &looking {
        Ok(looking) => looking.queries.ping().await.map_err(|error| format!("{error:?}")),
        Err(error) => Err(error.to_string()),
    };
    let database = check("database", reached.map(|()| "reached, schema up to date".to_owned()));
    // What cannot be reached is not waited for twice.
    let is_there = !matches!(looking, Err(ComposeError::Sql(_) | ComposeError::NoDatabase(_)));
    let commits = is_there && check("commits", compose::accepted_loss(config).await.map(kept));
    let clock = match &looking {
        Ok(looking) => {
            check("clock", looking.clock.now().await.map(|now| now.to_string()).map_err(|error| format!("{error:?}")))
        }
        Err(_) => false,
    };
    if key && tls && database && commits && clock { Ok(()) } else { Err(Exit::Failed) }
}

fn kept(accepted: Option<impl Display>) -> String {
    match accepted {
        None => "what is acknowledged stays".to_owned(),
        Some(loss) => format!("data loss is accepted: {loss}"),
    }
}

fn setting(name: &str, value: &dyn Display, origin: Origin) {
    outln!("{name:<14} {origin:<14} {value}");
}

fn check<E: Display>(name: &str, result: Result<String, E>) -> bool {
    match &result {
        Ok(text) => outln!("ok     {name:<14} {text}"),
        Err(error) => outln!("FAILED {name:<14} {error}"),
    }
    result.is_ok()
}
