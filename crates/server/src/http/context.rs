//! What belongs to one request and is needed far from it: its id and its route.
//!
//! Both live in a task-local, so that an error can name the request without every function passing the
//! id along, and so that a panic leaves them in place.

use poem::http::HeaderMap;
use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

/// The header that carries the id in both directions.
pub const REQUEST_ID: &str = "X-Request-Id";

tokio::task_local! {
    static CURRENT: Arc<Context>;
}

/// One request, as its log lines and its error name it.
#[derive(Debug)]
pub struct Context {
    request_id: String,
    route: OnceLock<Arc<str>>,
}

impl Context {
    /// Takes the caller's id if it is a sane one, else draws one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut sent = headers.get_all(REQUEST_ID).iter();
        let request_id = match (sent.next().and_then(|id| id.to_str().ok()), sent.next()) {
            (Some(id), None) if is_sane(id) => id.to_owned(),
            _ => format!("req_{:032x}", rand::random::<u128>()),
        };
        Self { request_id, route: OnceLock::new() }
    }

    /// The id that finds the log line.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The pattern of the path, if an operation was reached.
    pub fn route(&self) -> Option<&Arc<str>> {
        self.route.get()
    }
}

/// What may go into a log line and a header as it is.
fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Runs the handling of a request in its context.
pub async fn scope<F: Future>(context: Arc<Context>, handling: F) -> F::Output {
    CURRENT.scope(context, handling).await
}

/// The request being handled, for what goes on elsewhere in its name. Outside of a request it is one of nobody.
pub fn current() -> Arc<Context> {
    CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Context::of(&HeaderMap::new())))
}

/// The id of the request being handled; none outside of one.
pub fn request_id() -> Option<String> {
    CURRENT.try_with(|context| context.request_id.clone()).ok()
}

/// Notes which route the request took. The first one stays.
pub fn note_route(route: &Arc<str>) {
    let _outside_of_a_request = CURRENT.try_with(|context| context.route.set(Arc::clone(route)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    fn id_for(sent: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for id in sent {
            headers.append(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        }
        Context::of(&headers).request_id
    }

    #[test]
    fn a_sane_id_is_kept() {
        for id in ["a", "0194-ABC_def.9", &"x".repeat(128)] {
            assert_eq!(id_for(&[id]), id);
        }
    }

    #[test]
    fn any_other_is_replaced_by_a_fresh_one() {
        for sent in [&[][..], &[""], &["a b"], &["a;b"], &["é"], &[&"x".repeat(129)], &["one", "two"]] {
            let id = id_for(sent);
            assert!(id.starts_with("req_") && id.len() == 36 && is_sane(&id), "{sent:?} {id}");
        }
        assert_ne!(id_for(&[]), id_for(&[]));
    }
}
