//! The body of a request, which has to come in time.

use futures_util::{Stream, stream};
use poem::Body;
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// So many bytes that have come are worth a second more: a large body over a slow line is no slow body.
const BYTES_A_SECOND_MIN: u64 = 64 * 1024;

/// The same body, which breaks off with [`io::ErrorKind::TimedOut`] when it takes longer than `at_most`, and a second
/// for each 64 KiB of it.
pub(super) fn in_time(body: Body, at_most: Duration) -> Body {
    if body.is_empty() {
        return body;
    }
    let mut coming = Coming {
        chunks: Box::pin(body.into_bytes_stream()),
        began: Instant::now(),
        at_most,
        taken: 0,
        late: Box::pin(sleep_until(Instant::now() + at_most)),
    };
    Body::from_bytes_stream(stream::poll_fn(move |cx| coming.poll_next(cx)))
}

struct Coming<S> {
    chunks: Pin<Box<S>>,
    began: Instant,
    at_most: Duration,
    taken: u64,
    late: Pin<Box<Sleep>>,
}

impl<B: AsRef<[u8]>, S: Stream<Item = io::Result<B>>> Coming<S> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<B>>> {
        if let Poll::Ready(next) = self.chunks.as_mut().poll_next(cx) {
            if let Some(Ok(chunk)) = &next {
                self.taken += chunk.as_ref().len() as u64;
            }
            return Poll::Ready(next);
        }
        loop {
            if self.late.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let by = self.began + self.at_most + Duration::from_secs(self.taken / BYTES_A_SECOND_MIN);
            if by <= Instant::now() {
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            self.late.as_mut().reset(by);
        }
    }
}
