//! Who comes at the same time is served together.
//!
//! Nobody waits for a neighbour to come: whoever finds no server starts one, and it takes whatever came while it was
//! busy. Another one is started once many wait, or somebody for long.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot::{self, error::RecvError},
    time::timeout,
};

/// So many who wait are worth another server.
const MANY: usize = 24;
/// Whoever waits for so long does not rely on the servers that are there.
const PATIENCE: Duration = Duration::from_millis(50);

/// What can wait for its turn. Dropped without an answer, it tells whoever asked that nobody knows.
pub(super) trait Waits: Sized {
    /// Takes those who go together from the front of those who wait; one at least, if anybody waits.
    fn take_group(waiting: &mut VecDeque<Self>) -> Vec<Self>;
}

/// Those who wait, and how many serve them.
pub(super) struct Queue<W>(Mutex<State<W>>);

struct State<W> {
    waiting: VecDeque<W>,
    servers: usize,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self(Mutex::new(State { waiting: VecDeque::new(), servers: 0 }))
    }
}

impl<W: Waits> Queue<W> {
    /// Nothing panics while it is locked.
    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits with the others, unless so many wait already. Answers whether the caller is to start a server.
    pub(super) fn join(&self, one: W, waiting_max: usize, servers_max: usize) -> Option<bool> {
        let mut state = self.state();
        if state.waiting.len() >= waiting_max {
            return None;
        }
        state.waiting.push_back(one);
        let is_wanted = state.servers < state.servers_wanted(servers_max);
        state.servers += usize::from(is_wanted);
        Some(is_wanted)
    }

    /// Somebody waits longer than [`PATIENCE`]. Answers whether they are to start a server.
    fn hurry(&self, servers_max: usize) -> bool {
        let mut state = self.state();
        let is_wanted = !state.waiting.is_empty() && state.servers < servers_max;
        state.servers += usize::from(is_wanted);
        is_wanted
    }

    /// Those who go together first, for a server that was just started.
    pub(super) fn first_group(&self) -> Option<Vec<W>> {
        self.state().take_group()
    }

    /// The next who go together. If there are none, or too few for so many servers, this one is done.
    pub(super) fn next_group(&self, servers_max: usize) -> Option<Vec<W>> {
        let mut state = self.state();
        if state.servers > state.servers_wanted(servers_max) {
            state.servers -= 1;
            return None;
        }
        state.take_group()
    }

    /// What whoever waits is answered. If that takes long, perhaps because a server waits for something itself,
    /// `start` starts another one.
    pub(super) async fn answered<T>(
        &self,
        mut answer: oneshot::Receiver<T>,
        servers_max: usize,
        start: impl FnOnce(),
    ) -> Result<T, RecvError> {
        if let Ok(answered) = timeout(PATIENCE, &mut answer).await {
            return answered;
        }
        if self.hurry(servers_max) {
            start();
        }
        answer.await
    }
}

impl<W: Waits> State<W> {
    fn take_group(&mut self) -> Option<Vec<W>> {
        let group = W::take_group(&mut self.waiting);
        if group.is_empty() {
            self.servers -= 1;
            return None;
        }
        Some(group)
    }
}

impl<W> State<W> {
    /// A few are soon served by the one who is there, and two small groups cost more than a large one.
    fn servers_wanted(&self, servers_max: usize) -> usize {
        if self.waiting.len() < MANY { servers_max.min(1) } else { servers_max }
    }
}

/// A server that ends in any other way than by finding nothing to do: those who wait must not wait for ever.
pub(super) struct Server<'a, W: Waits>(&'a Queue<W>);

impl<'a, W: Waits> Server<'a, W> {
    /// One that was just started.
    pub(super) fn of(queue: &'a Queue<W>) -> Self {
        Self(queue)
    }
    /// It found nothing to do.
    pub(super) fn leaves(self) {
        std::mem::forget(self);
    }
}

impl<W: Waits> Drop for Server<'_, W> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.servers -= 1;
        if state.servers == 0 {
            // Nobody answers them, which they are told as such.
            state.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::{self, Receiver, Sender, error::TryRecvError};

    struct Two {
        _answer: Sender<()>,
    }

    impl Waits for Two {
        fn take_group(waiting: &mut VecDeque<Self>) -> Vec<Self> {
            let two = waiting.len().min(2);
            waiting.drain(..two).collect()
        }
    }

    fn one() -> (Two, Receiver<()>) {
        let (answer, answered) = oneshot::channel();
        (Two { _answer: answer }, answered)
    }

    #[test]
    fn whoever_finds_no_server_starts_one_and_it_serves_those_who_came_since() {
        let queue = Queue::default();
        let started: Vec<_> = (0..3).map(|_| queue.join(one().0, 10, 2)).collect();
        assert_eq!(started, [Some(true), Some(false), Some(false)]);
        assert_eq!(queue.first_group().unwrap().len(), 2);
        assert_eq!(queue.next_group(2).unwrap().len(), 1);
        assert!(queue.next_group(2).is_none());
        assert_eq!(queue.join(one().0, 10, 2), Some(true), "it is gone: another is wanted");
    }

    #[test]
    fn many_are_worth_another_server_until_they_are_few() {
        let queue = Queue::default();
        let started = (0..MANY + 9).filter(|_| queue.join(one().0, 100, 2) == Some(true)).count();
        assert_eq!(started, 2);
        assert!(queue.first_group().is_some() && queue.first_group().is_some());
        let mut taken = 4;
        while let Some(group) = queue.next_group(2) {
            taken += group.len();
        }
        assert_eq!(MANY + 9 - taken, MANY - 1, "one of the two leaves as soon as few wait");
        assert!(queue.next_group(2).is_some(), "and the other one goes on");
    }

    #[tokio::test]
    async fn whoever_waits_for_long_starts_another_server() {
        let queue = Queue::default();
        assert_eq!(queue.join(one().0, 10, 2), Some(true));
        // The server hangs with its first group.
        let _hangs = queue.first_group().unwrap();
        let (mine, answer) = one();
        assert_eq!(queue.join(mine, 10, 2), Some(false));
        let before = tokio::time::Instant::now();
        let served = queue.answered(answer, 2, || drop(queue.first_group().unwrap()));
        assert!(served.await.is_err(), "served, as far as this test goes");
        assert!(before.elapsed() >= PATIENCE);

        assert_eq!(queue.join(one().0, 10, 2), Some(false));
        assert!(!queue.hurry(2), "both servers are there");
    }

    #[test]
    fn whoever_finds_too_many_waiting_is_told_so() {
        let queue = Queue::default();
        assert!(queue.join(one().0, 1, 1).is_some());
        assert!(queue.join(one().0, 1, 1).is_none());
        queue.first_group().unwrap();
        assert!(queue.join(one().0, 1, 1).is_some());
    }

    #[test]
    fn a_server_that_breaks_off_leaves_nobody_waiting() {
        let queue = Queue::default();
        let (mine, mut answered) = one();
        assert_eq!(queue.join(mine, 10, 1), Some(true));
        drop(Server::of(&queue));
        assert_eq!(answered.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(queue.join(one().0, 10, 1), Some(true), "another server is wanted");
    }
}
