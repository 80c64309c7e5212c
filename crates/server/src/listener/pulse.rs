//! When a connection is over.
//!
//! One rule for all that keep a connection without using it: those that send nothing, a head byte by byte, half a
//! handshake, or nothing after an answer. Bytes that come in do not count, for they are what a slow caller sends; a
//! request counts from the end of its head to the end of its answer.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// How long a connection may be without a request.
pub(super) const QUIET_MAX: Duration = Duration::from_secs(10);
/// How long a peer may leave unread what waits to be sent to it.
pub(super) const UNREAD_MAX: Duration = Duration::from_secs(30);

/// What happens on one connection.
pub(super) struct Pulse(Mutex<State>);

struct State {
    /// Requests whose head has come and whose answer has not gone.
    requests: usize,
    /// Since when there is none.
    quiet_since: Instant,
    /// Since when the peer takes nothing of what is to be sent to it.
    unread_since: Option<Instant>,
}

/// A request under way; it is answered, or given up, when this goes.
pub(super) struct Request(Arc<Pulse>);

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { requests: 0, quiet_since: now, unread_since: None }))
    }

    /// A head has come.
    pub(super) fn request(self: &Arc<Self>) -> Request {
        self.state().requests += 1;
        Request(Arc::clone(self))
    }

    /// There is something to send, and the peer has no room for it.
    pub(super) fn has_to_wait(&self, now: Instant) {
        self.state().unread_since.get_or_insert(now);
    }

    /// The peer has taken something.
    pub(super) fn goes_on(&self, now: Instant) {
        let mut state = self.state();
        if state.unread_since.take().is_some() {
            // The rest of an answer leaves after its request has ended.
            state.quiet_since = now;
        }
    }

    /// Whether it is over by now.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.over_at().is_some_and(|at| at <= now)
    }

    /// Comes back when it is over.
    pub(super) async fn over(&self) {
        loop {
            let now = Instant::now();
            // Whatever begins now is not over before that.
            let at = self.over_at().unwrap_or(now + QUIET_MAX);
            if at <= now {
                return;
            }
            sleep_until(at).await;
        }
    }

    /// When it is over, if nothing happens until then; never while a request is under way.
    fn over_at(&self) -> Option<Instant> {
        let state = self.state();
        match (state.unread_since, state.requests) {
            (Some(since), _) => Some(since + UNREAD_MAX),
            (None, 0) => Some(state.quiet_since + QUIET_MAX),
            (None, 1..) => None,
        }
    }

    fn end(&self, now: Instant) {
        let mut state = self.state();
        state.requests -= 1;
        state.quiet_since = now;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.end(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_asks_for_nothing_is_gone_after_ten_seconds() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        assert!(!pulse.is_over(start + QUIET_MAX - Duration::from_millis(1)));
        assert!(pulse.is_over(start + QUIET_MAX));
    }

    #[test]
    fn a_request_keeps_its_connection_however_long_it_takes() {
        let start = Instant::now();
        let pulse = Arc::new(Pulse::new(start));
        let (first, second) = (pulse.request(), pulse.request());
        drop(first);
        assert!(!pulse.is_over(start + seconds(3600)));
        drop(second);
        // It counts from the end of the last one.
        assert!(!pulse.is_over(start + QUIET_MAX));
        assert!(pulse.is_over(Instant::now() + QUIET_MAX));
    }

    #[test]
    fn who_does_not_read_is_gone_even_with_a_request_under_way() {
        let start = Instant::now();
        let pulse = Arc::new(Pulse::new(start));
        let request = pulse.request();
        pulse.has_to_wait(start);
        pulse.has_to_wait(start + seconds(20));
        assert!(pulse.is_over(start + UNREAD_MAX), "it counts from the first time");
        pulse.goes_on(start + seconds(29));
        assert!(!pulse.is_over(start + UNREAD_MAX));
        drop(request);
    }

    #[test]
    fn the_rest_of_an_answer_has_its_time() {
        let start = Instant::now();
        let pulse = Arc::new(Pulse::new(start));
        drop(pulse.request());
        pulse.has_to_wait(start + seconds(1));
        assert!(!pulse.is_over(start + seconds(25)));
        pulse.goes_on(start + seconds(25));
        assert!(!pulse.is_over(start + seconds(34)));
        assert!(pulse.is_over(start + seconds(35)));
        // Sending without having to wait is no reason to stay: a peer can have its pings answered for ever.
        pulse.goes_on(start + seconds(34));
        assert!(pulse.is_over(start + seconds(35)));
    }
}
