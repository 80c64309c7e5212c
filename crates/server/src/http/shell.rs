//! The outermost layer: every request gets an id, a log line and a place in the metrics, and every answer,
//! even to a panic, leaves in our shape.

use super::{
    context::{self, Context, REQUEST_ID},
    metrics::Metrics,
    payload::JSON,
    problem::ApiError,
};
use poem::{
    Body, Endpoint, EndpointExt, PathPattern, Request, Response,
    http::{HeaderValue, Method, header},
    middleware::CatchPanic,
};
use std::{sync::Arc, time::Instant};
use tracing::Instrument;

/// Puts the shell around an endpoint.
pub fn wrap<E: Endpoint + 'static>(inner: E, metrics: Metrics) -> impl Endpoint<Output = Response> {
    let panicked = |_payload| ApiError::internal("a handler panicked").response();
    Shell { inner: inner.with(CatchPanic::new().with_handler(panicked)), metrics }
}

/// Sends panics to the log, with their place and the request they broke, but without their words, which
/// may hold what was sent.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, request_id = context::request_id(), "panic");
    }));
}

struct Shell<E> {
    inner: E,
    metrics: Metrics,
}

impl<E: Endpoint<Output = Response>> Endpoint for Shell<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let context = Arc::new(Context::of(request.headers()));
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let span = tracing::info_span!("request", request_id = context.request_id());

        let handling = context::scope(Arc::clone(&context), self.handle(request));
        let mut answer = handling.instrument(span.clone()).await;
        finish(&mut answer, &method, &context);

        let took = started.elapsed();
        let status = answer.status();
        self.metrics.observe(&method, context.route(), status, took);
        span.in_scope(|| {
            tracing::info!(
                %method,
                path,
                route = context.route().map(AsRef::as_ref),
                status = status.as_u16(),
                duration_ms = took.as_secs_f64() * 1000.0,
                request_id = context.request_id(),
                "answered"
            );
        });
        Ok(answer)
    }
}

impl<E: Endpoint<Output = Response>> Shell<E> {
    async fn handle(&self, request: Request) -> Response {
        let (route, answer) = match self.inner.call(request).await {
            Ok(answer) => (answer.data::<PathPattern>().cloned(), answer),
            Err(error) => {
                let route = error.data::<PathPattern>().cloned();
                (route, ApiError::of_framework(error).response())
            }
        };
        if let Some(PathPattern(route)) = route {
            context::note_route(&route);
        }
        in_our_shape(answer)
    }
}

/// An error of the framework is plain text or empty; pages for people, which are HTML, stay as they are.
fn in_our_shape(answer: Response) -> Response {
    let status = answer.status();
    let media_type = answer.content_type().unwrap_or_default();
    let for_people = media_type.starts_with("text/html");
    if !(status.is_client_error() || status.is_server_error()) || media_type == JSON || for_people {
        return answer;
    }
    let mut ours = ApiError::of_status(status).response();
    for (name, value) in answer.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            ours.headers_mut().insert(name, value.clone());
        }
    }
    ours
}

fn finish(answer: &mut Response, method: &Method, context: &Context) {
    if method == Method::HEAD {
        answer.set_body(Body::empty());
    }
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(context.request_id()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Amounts and names are not for caches; what is, such as a script, says so itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
