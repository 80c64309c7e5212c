//! Lines are worked on side by side and answered in their order, while the rest is still being worked on.

use super::{
    super::{
        context::{self, Context},
        payload::{self, FromBody},
        problem::{Answer, ApiError, Problem},
        responses::declare,
    },
    Lines, NDJSON, schema,
};
use app::idempotency::StoredAnswer;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use poem::{Body, IntoResponse, Response};
use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry},
    types::Type,
};
use std::{
    future::Future,
    io,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};
use tokio::sync::Semaphore;
use tracing::{Instrument, Span};

/// Lines that are worked on at once: enough for a store that commits together what comes together.
const AT_ONCE: usize = 64;
/// After so many lines in a row that had to wait for something that is down, the others of the call are not tried: each
/// would wait as long, and ten thousand of them for minutes.
const IN_VAIN_MAX: u32 = 64;

/// Where lines are worked on, of all calls together: two calls at once do not take twice as much from everybody else.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// The answer to many lines: for each of them, in their order, what `S` describes.
pub struct Outcomes<S> {
    body: Body,
    shape: PhantomData<fn() -> S>,
}

impl<S: Type> Outcomes<S> {
    /// Works on the lines. Whoever stops listening stops it, but not what was begun.
    pub fn of<T, F, W>(lines: Lines<T>, places: &Places, work: F) -> Self
    where
        T: FromBody + 'static,
        F: Fn(T) -> W + Send + Sync + 'static,
        W: Future<Output = Answer<StoredAnswer>> + Send + 'static,
    {
        let call = Arc::new(Call {
            work,
            places: places.clone(),
            context: context::current(),
            span: Span::current(),
            in_vain: AtomicU32::new(0),
            tally: Tally::of(lines.0.len()),
        });
        let answers = stream::iter(lines.0.into_iter().zip(1..))
            .map(move |(line, number)| Arc::clone(&call).answer::<T, W>(line, number))
            .buffered(AT_ONCE)
            // What is ready together leaves together.
            .ready_chunks(AT_ONCE)
            .map(|ready| Ok::<_, io::Error>(ready.concat()));
        Self { body: Body::from_bytes_stream(answers), shape: PhantomData }
    }
}

impl<S> IntoResponse for Outcomes<S> {
    fn into_response(self) -> Response {
        Response::builder().content_type(NDJSON).body(self.body)
    }
}

impl<S: Type> ApiResponse for Outcomes<S> {
    /// What is wrong with a line stands in its line; here is what is wrong with the request as a whole.
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(schema(S::schema_ref())));
        let outcomes = MetaResponse {
            description: "One outcome for each line of the request, in their order, as they become known.",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: NDJSON, schema }],
            headers: Vec::new(),
        };
        let refused = [
            (Problem::MalformedJson, "The body is empty, or broke off. Nothing was done."),
            (Problem::PayloadTooLarge, "The body is too large; send its lines in several calls. Nothing was done."),
            (Problem::TooSlow, "The body did not come in time. Nothing was done."),
            (Problem::UnsupportedMediaType, "The body has to be sent as application/x-ndjson. Nothing was done."),
            (Problem::Invalid, "There are too many lines, or a parameter that is not taken here. Nothing was done."),
        ];
        let refused = refused.map(|(problem, description)| MetaResponse { description, ..declare(problem) });
        MetaResponses { responses: [outcomes].into_iter().chain(refused).collect() }
    }

    fn register(registry: &mut Registry) {
        S::register(registry);
    }
}

/// What the lines of one call have in common.
struct Call<F> {
    work: F,
    places: Places,
    context: Arc<Context>,
    span: Span,
    /// How many lines in a row had to wait for something that is down.
    in_vain: AtomicU32,
    tally: Tally,
}

impl<F: Send + Sync + 'static> Call<F> {
    /// What becomes of a line, as it leaves.
    async fn answer<T, W>(self: Arc<Self>, line: Bytes, number: u32) -> String
    where
        T: FromBody + 'static,
        F: Fn(T) -> W,
        W: Future<Output = Answer<StoredAnswer>> + Send + 'static,
    {
        let call = Arc::clone(&self);
        let work = async move { call.work_on(&line).await.unwrap_or_else(|error| error.stored()) };
        let work = context::scope(Arc::clone(&self.context), work).instrument(self.span.clone());
        // A task of its own: one that panics takes nobody with it.
        let done = tokio::spawn(work).await;
        let broke = async |error| ApiError::internal(error).stored();
        let StoredAnswer { status, body, .. } = match done {
            Ok(answer) => answer,
            Err(error) => context::scope(Arc::clone(&self.context), broke(error)).await,
        };
        self.tally.count(status);
        format!("{{\"line\":{number},\"status\":{status},\"body\":{body}}}\n")
    }

    async fn work_on<T, W>(&self, line: &[u8]) -> Answer<StoredAnswer>
    where
        T: FromBody,
        F: Fn(T) -> W,
        W: Future<Output = Answer<StoredAnswer>>,
    {
        if line.len() > T::LIMIT {
            return Err(payload::too_large(T::LIMIT));
        }
        let asked = payload::read(line, Vec::new())?;
        let _place = self.places.0.acquire().await.map_err(ApiError::internal)?;
        if self.in_vain.load(Relaxed) >= IN_VAIN_MAX {
            let message = "Not tried, for the lines before had to wait in vain: send the same line again later.";
            return Err(ApiError::new(Problem::Unavailable, message));
        }
        let outcome = (self.work)(asked).await;
        match &outcome {
            Err(error) if error.problem == Problem::Unavailable => drop(self.in_vain.fetch_add(1, Relaxed)),
            Ok(_) | Err(_) => self.in_vain.store(0, Relaxed),
        }
        outcome
    }
}

/// What became of a call, for the log.
struct Tally {
    lines: usize,
    began: Instant,
    done: AtomicU32,
    refused: AtomicU32,
    failed: AtomicU32,
}

impl Tally {
    fn of(lines: usize) -> Self {
        let none = AtomicU32::default;
        Self { lines, began: Instant::now(), done: none(), refused: none(), failed: none() }
    }

    fn count(&self, status: u16) {
        let counter = match status {
            ..400 => &self.done,
            400..500 => &self.refused,
            500.. => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl<F> Drop for Call<F> {
    fn drop(&mut self) {
        let Tally { lines, began, done, refused, failed } = &self.tally;
        self.span.in_scope(|| {
            tracing::info!(
                lines,
                done = done.load(Relaxed),
                refused = refused.load(Relaxed),
                failed = failed.load(Relaxed),
                duration_ms = began.elapsed().as_secs_f64() * 1000.0,
                request_id = self.context.request_id(),
                "lines answered"
            );
        });
    }
}
