//! Requests, counted and timed. Every label has a bounded number of values, whatever clients send.

use poem::http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use std::{sync::Arc, time::Duration};

/// The route of a request that met none.
const UNMATCHED: &str = "unmatched";

/// Upper bounds in seconds: a local answer is a few milliseconds, a schedule call under load some hundreds.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    method: &'static str,
    route: Arc<str>,
}

/// The counters of the HTTP edge. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    seconds: Family<Operation, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// New counters, shown by this registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics =
            Self { requests: Family::default(), seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)) };
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register("http_request_duration_seconds", "Time to answer", metrics.seconds.clone());
        metrics
    }

    /// Counts one answered request.
    pub fn observe(&self, method: &Method, route: Option<&Arc<str>>, status: StatusCode, took: Duration) {
        let method = known(method);
        let route = route.map_or_else(|| UNMATCHED.into(), Arc::clone);
        self.seconds.get_or_create(&Operation { method, route: Arc::clone(&route) }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Request { method, route, status: status.as_u16() }).inc();
    }
}

/// A method is whatever a client writes there, so only the ones with a meaning get a label.
fn known(method: &Method) -> &'static str {
    const NAMES: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    NAMES.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_make_up_labels() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let route: Arc<str> = "/things/{id}".into();
        metrics.observe(&Method::GET, Some(&route), StatusCode::OK, Duration::from_millis(3));
        for name in ["BREW", "QUERY"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            metrics.observe(&method, None, StatusCode::NOT_FOUND, Duration::ZERO);
        }
        let mut shown = String::new();
        prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
        for line in [
            "http_requests_total{method=\"GET\",route=\"/things/{id}\",status=\"200\"} 1",
            "http_requests_total{method=\"other\",route=\"unmatched\",status=\"404\"} 2",
            "http_request_duration_seconds_bucket{le=\"0.005\",method=\"GET\",route=\"/things/{id}\"} 1",
        ] {
            assert!(shown.contains(line), "{line} in\n{shown}");
        }
        assert!(!shown.contains("BREW"));
    }
}
