//! Whether the service is alive and ready, and its counters.

use super::Tag;
use crate::{
    compose::Service,
    http::{payload::Js, problem::Answer, problem::ApiError, responses::responses},
};
use poem::{Endpoint, Response, endpoint::make_sync};
use poem_openapi::{Object, OpenApi};
use prometheus_client::{encoding::text, registry::Registry};
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};

/// The media type that Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the service is.
#[derive(Debug, Object, Serialize)]
pub struct Health {
    /// `ok`
    status: String,
}

impl Health {
    fn ok() -> Js<Self> {
        Js(Self { status: "ok".to_owned() })
    }
}

responses! {
    /// Answers of the probes.
    HealthAnswer {
        /// All is well.
        200 Ok(Js<Health>),
    }
    errors []
}

/// The endpoints of this file.
pub struct Probes(pub(super) Arc<Service>);

#[OpenApi]
impl Probes {
    /// Whether the process is alive
    ///
    /// Asks nothing of the database.
    #[oai(path = "/livez", method = "get", operation_id = "livez", tag = "Tag::Probes")]
    async fn livez(&self) -> Answer<HealthAnswer> {
        Ok(HealthAnswer::Ok(Health::ok()))
    }

    /// Whether the service can take requests
    ///
    /// The database answers.
    #[oai(path = "/readyz", method = "get", operation_id = "readyz", tag = "Tag::Probes")]
    async fn readyz(&self) -> Answer<HealthAnswer> {
        self.0.queries.ping().await?;
        Ok(HealthAnswer::Ok(Health::ok()))
    }
}

/// The counters, as Prometheus reads them.
pub(super) fn metrics(registry: Arc<Mutex<Registry>>) -> impl Endpoint<Output = Response> {
    make_sync(move |_| {
        let mut shown = String::new();
        let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        match text::encode(&mut shown, &registry) {
            Ok(()) => Response::builder().content_type(OPEN_METRICS).body(shown),
            Err(error) => ApiError::internal(error).response(),
        }
    })
}
