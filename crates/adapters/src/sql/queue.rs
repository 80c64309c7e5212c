//! Who comes at the same time is served together.
//!
//! Nobody waits for a neighbour to come: whoever finds a free server starts it, and it takes whatever came while it was
//! busy.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

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
        let is_free = state.servers < servers_max;
        state.servers += usize::from(is_free);
        Some(is_free)
    }

    /// The next who go together. If there are none, the server is done: whoever comes next starts another.
    pub(super) fn next_group(&self) -> Option<Vec<W>> {
        let mut state = self.state();
        let group = W::take_group(&mut state.waiting);
        if group.is_empty() {
            state.servers -= 1;
            return None;
        }
        Some(group)
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
    fn whoever_finds_a_free_server_starts_it_and_it_serves_those_who_came_since() {
        let queue = Queue::default();
        let started: Vec<_> = (0..4).map(|_| queue.join(one().0, 10, 2)).collect();
        assert_eq!(started, [Some(true), Some(true), Some(false), Some(false)]);
        assert_eq!(queue.next_group().unwrap().len(), 2);
        assert_eq!(queue.next_group().unwrap().len(), 2);
        assert!(queue.next_group().is_none());
        assert_eq!(queue.join(one().0, 10, 1), Some(false), "one server is left");
        assert!(queue.next_group().is_some() && queue.next_group().is_none());
        assert_eq!(queue.join(one().0, 10, 1), Some(true), "both are gone: another is wanted");
    }

    #[test]
    fn whoever_finds_too_many_waiting_is_told_so() {
        let queue = Queue::default();
        assert!(queue.join(one().0, 1, 1).is_some());
        assert!(queue.join(one().0, 1, 1).is_none());
        queue.next_group().unwrap();
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
