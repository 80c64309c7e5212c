//! The edge as a client meets it, over a small API that has one endpoint of each kind.

mod document;
mod errors;
mod errors_page;
mod idempotency;
mod ndjson;
mod order;
mod sample;
mod shell;

use super::{
    docs,
    metrics::Metrics,
    openapi::{About, Document},
    routes, shell as edge,
    token::TokenKey,
};
use poem::{
    Endpoint, EndpointExt, Response, Route,
    http::{HeaderMap, StatusCode},
    test::{TestClient, TestRequestBuilder, TestResponse},
};
use prometheus_client::registry::Registry;
use sample::{Lists, Sample};
use serde_json::Value;
use std::time::Duration;

const ABOUT: About = About { title: "Sample", version: "1.0.0", description: "For tests." };

type Api = (Sample, Lists);

fn key() -> TokenKey {
    TokenKey::with_clock(b"a secret of thirty-two bytes, ok", || 1_800_000_000).unwrap()
}

fn token(role: &str) -> String {
    let token = key().sign(&"user_1".parse().unwrap(), role, Duration::from_secs(60)).unwrap();
    format!("Bearer {token}")
}

/// The sample behind the whole edge, and the registry that its metrics go to.
fn server_and_registry() -> (TestClient<impl Endpoint<Output = Response>>, Registry) {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let route = docs::mount(routes::mount(Route::new(), (Sample, Lists)), || Document::of::<Api>(ABOUT));
    (TestClient::new(edge::wrap(route.data(key()), metrics)), registry)
}

fn server() -> TestClient<impl Endpoint<Output = Response>> {
    server_and_registry().0
}

/// An answer, taken apart.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    async fn of<E: Endpoint>(request: TestRequestBuilder<'_, E>) -> Self {
        Self::read(request.send().await).await
    }

    async fn read(TestResponse(response): TestResponse) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status.as_u16(), headers: parts.headers, body: body.into_string().await.unwrap() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Holds that this is the one error shape, whatever the error.
    fn error(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.body);
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        let error = body["error"].as_object().unwrap();
        for key in error.keys() {
            assert!(["code", "message", "details", "existing", "requestId"].contains(&key.as_str()), "{body}");
        }
        assert!(!error["code"].as_str().unwrap().is_empty() && !error["message"].as_str().unwrap().is_empty());
        assert_eq!(error["requestId"].as_str(), self.header("x-request-id"), "{body}");
        for detail in error.get("details").map_or(&Vec::new(), |details| details.as_array().unwrap()) {
            let keys: Vec<_> = detail.as_object().unwrap().keys().map(String::as_str).collect();
            assert!(keys == ["code", "field", "message"] || keys == ["code", "field", "message", "meta"], "{body}");
        }
        body["error"].clone()
    }

    /// Holds status and code of an error.
    #[track_caller]
    fn refused(&self, status: StatusCode, code: &str) -> Value {
        let error = self.error();
        assert_eq!((self.status, error["code"].as_str().unwrap()), (status.as_u16(), code), "{error}");
        error
    }

    /// Holds the faults of a 422, as `field code`.
    #[track_caller]
    fn faults(&self, expected: &[&str]) -> Value {
        let error = self.refused(StatusCode::UNPROCESSABLE_ENTITY, "validation_error");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let faults = error["details"].as_array().unwrap().iter();
        let seen: Vec<_> = faults.map(|fault| format!("{} {}", text(&fault["field"]), text(&fault["code"]))).collect();
        assert_eq!(seen, expected);
        error
    }
}
