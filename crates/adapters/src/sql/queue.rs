//! Who comes at the same time is served together.
//!
//! Nobody waits for a neighbour to come: whoever finds no server starts one, and it takes whatever came while it was
//! busy. Another one is started once many wait, or somebody for long. One that finds nothing to do lingers for a moment,
//! with what it has at hand. Where there is only one, it takes half of those who are around.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{
        Semaphore,
        oneshot::{self, error::RecvError},
    },
    time::timeout,
};

/// So many who wait are worth another server.
const MANY: usize = 24;
/// So few are not parted: what a group costs is mostly the same, however many they are.
const FEW: usize = 16;
/// Whoever waits for so long does not rely on the servers that are there.
const PATIENCE: Duration = Duration::from_millis(50);

/// What can wait for its turn. Dropped without an answer, it tells whoever asked that nobody knows.
pub(super) trait Waits: Sized {
    /// Takes those who go together from the front of those who wait; one at least, if anybody waits.
    fn take_group(waiting: &mut VecDeque<Self>, at_most: usize) -> Vec<Self>;
}

/// Those who wait, and how many serve them.
pub(super) struct Queue<W> {
    state: Mutex<State<W>>,
    /// A permit for each server that lingered and is to serve again.
    called: Semaphore,
}

struct State<W> {
    waiting: VecDeque<W>,
    servers: usize,
    /// Servers that found nothing to do, and were not called since.
    lingering: usize,
    /// So many were in the group that was taken last, if its server serves on.
    last: usize,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        let state = Mutex::new(State { waiting: VecDeque::new(), servers: 0, lingering: 0, last: 0 });
        Self { state, called: Semaphore::new(0) }
    }
}

impl<W: Waits> Queue<W> {
    /// Nothing panics while it is locked.
    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits with the others, unless so many wait already. Answers whether the caller is to start a server.
    pub(super) fn join(&self, one: W, waiting_max: usize, servers_max: usize) -> Option<bool> {
        let mut state = self.state();
        if state.waiting.len() >= waiting_max {
            return None;
        }
        state.waiting.push_back(one);
        let is_wanted = state.servers < state.servers_wanted(servers_max);
        Some(is_wanted && self.is_to_be_started(&mut state))
    }

    /// Somebody waits longer than [`PATIENCE`]. Answers whether they are to start a server.
    fn hurry(&self, servers_max: usize) -> bool {
        let mut state = self.state();
        let is_wanted = !state.waiting.is_empty() && state.servers < servers_max;
        is_wanted && self.is_to_be_started(&mut state)
    }

    /// One more server is wanted. If one lingers, it is called.
    fn is_to_be_started(&self, state: &mut State<W>) -> bool {
        state.servers += 1;
        if state.lingering == 0 {
            return true;
        }
        state.lingering -= 1;
        self.called.add_permits(1);
        false
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

impl<W> State<W> {
    /// A few are soon served by the one who is there, and two small groups cost more than a large one.
    fn servers_wanted(&self, servers_max: usize) -> usize {
        if self.waiting.len() < MANY { servers_max.min(1) } else { servers_max }
    }

    /// The only server takes half of all: those who wait, and those of the last group, who may come again. While it is busy
    /// with them, the others are answered and come again. Had it taken all, nobody would be there when it is done.
    fn taken_at_most(&self, servers_max: usize) -> usize {
        if servers_max > 1 { usize::MAX } else { (self.waiting.len() + self.last).div_ceil(2).max(FEW) }
    }
}

/// Whoever serves those who wait.
pub(super) struct Server<'a, W: Waits> {
    queue: &'a Queue<W>,
    is: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Was started, or called.
    Fresh,
    Serves,
    Lingers,
    Left,
}

impl<'a, W: Waits> Server<'a, W> {
    /// One that was just started.
    pub(super) fn of(queue: &'a Queue<W>) -> Self {
        Self { queue, is: Standing::Fresh }
    }

    /// The next who go together. If there are none, or too few for so many servers, it lingers, and is done if nobody
    /// calls it for so long.
    pub(super) async fn next_group(&mut self, servers_max: usize, linger: Duration) -> Option<Vec<W>> {
        loop {
            if let Some(group) = self.take_group(servers_max) {
                return Some(group);
            }
            if !self.is_called(linger).await {
                return None;
            }
        }
    }

    fn take_group(&mut self, servers_max: usize) -> Option<Vec<W>> {
        let mut state = self.queue.state();
        let is_one_too_many = self.is == Standing::Serves && state.servers > state.servers_wanted(servers_max);
        let at_most = state.taken_at_most(servers_max);
        let group = if is_one_too_many { Vec::new() } else { W::take_group(&mut state.waiting, at_most) };
        state.last = group.len();
        if group.is_empty() {
            state.servers -= 1;
            state.lingering += 1;
            self.is = Standing::Lingers;
            return None;
        }
        self.is = Standing::Serves;
        Some(group)
    }

    async fn is_called(&mut self, linger: Duration) -> bool {
        let called = timeout(linger, self.queue.called.acquire()).await;
        self.is = match called {
            Ok(Ok(permit)) => {
                permit.forget();
                Standing::Fresh
            }
            Ok(Err(_)) | Err(_) => self.leave(),
        };
        self.is == Standing::Fresh
    }

    /// Leaves, unless it is called at this moment.
    fn leave(&self) -> Standing {
        let mut state = self.queue.state();
        if state.lingering > 0 {
            state.lingering -= 1;
            return Standing::Left;
        }
        // Whoever lingers is called: there is a permit for each.
        self.queue.called.forget_permits(1);
        Standing::Fresh
    }
}

/// A server that ends in any other way than by finding nothing to do: those who wait must not wait for ever.
impl<W: Waits> Drop for Server<'_, W> {
    fn drop(&mut self) {
        let is = if self.is == Standing::Lingers { self.leave() } else { self.is };
        if is == Standing::Left {
            return;
        }
        let mut state = self.queue.state();
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
        fn take_group(waiting: &mut VecDeque<Self>, at_most: usize) -> Vec<Self> {
            let two = waiting.len().min(2).min(at_most);
            waiting.drain(..two).collect()
        }
    }

    struct Many {
        _answer: Sender<()>,
    }

    impl Waits for Many {
        fn take_group(waiting: &mut VecDeque<Self>, at_most: usize) -> Vec<Self> {
            let many = waiting.len().min(at_most);
            waiting.drain(..many).collect()
        }
    }

    fn one() -> (Two, Receiver<()>) {
        let (answer, answered) = oneshot::channel();
        (Two { _answer: answer }, answered)
    }

    /// Nobody lingers.
    const LEAVES: Duration = Duration::ZERO;

    #[tokio::test]
    async fn whoever_finds_no_server_starts_one_and_it_serves_those_who_came_since() {
        let queue = Queue::default();
        let started: Vec<_> = (0..3).map(|_| queue.join(one().0, 10, 2)).collect();
        assert_eq!(started, [Some(true), Some(false), Some(false)]);
        let mut server = Server::of(&queue);
        assert_eq!(server.next_group(2, LEAVES).await.unwrap().len(), 2);
        assert_eq!(server.next_group(2, LEAVES).await.unwrap().len(), 1);
        assert!(server.next_group(2, LEAVES).await.is_none());
        drop(server);
        assert_eq!(queue.join(one().0, 10, 2), Some(true), "it is gone: another is wanted");
    }

    #[tokio::test]
    async fn many_are_worth_another_server_until_they_are_few() {
        let queue = Queue::default();
        let started = (0..MANY + 9).filter(|_| queue.join(one().0, 100, 2) == Some(true)).count();
        assert_eq!(started, 2);
        let (mut first, mut second) = (Server::of(&queue), Server::of(&queue));
        assert!(first.next_group(2, LEAVES).await.is_some() && second.next_group(2, LEAVES).await.is_some());
        let mut taken = 4;
        while let Some(group) = first.next_group(2, LEAVES).await {
            taken += group.len();
        }
        assert_eq!(MANY + 9 - taken, MANY - 1, "one of the two leaves as soon as few wait");
        assert!(second.next_group(2, LEAVES).await.is_some(), "and the other one goes on");
    }

    #[test]
    fn the_only_server_takes_half_of_those_who_are_around() {
        let queue = Queue::default();
        let come = |count| {
            (0..count).for_each(|_| assert!(queue.join(Many { _answer: oneshot::channel().0 }, 100, 1).is_some()));
        };
        let mut server = Server::of(&queue);
        let mut sizes = Vec::new();
        come(64);
        for again in [0, 32, 0, 20, 0] {
            sizes.push(server.take_group(1).map_or(0, |group| group.len()));
            come(again);
        }
        assert_eq!(sizes, [32, 32, 32, 0, 16], "nobody is parted from few");
        come(64);
        assert_eq!(server.take_group(2).unwrap().len(), 4 + 64, "where there are two, they do that for each other");
    }

    #[tokio::test]
    async fn a_server_that_lingers_is_called_and_none_is_started() {
        let queue = Queue::default();
        assert_eq!(queue.join(one().0, 10, 2), Some(true));
        let mut server = Server::of(&queue);
        server.next_group(2, LEAVES).await.unwrap();
        let linger = Duration::from_millis(200);
        let (served, started) = tokio::join!(server.next_group(2, linger), async {
            tokio::time::sleep(linger / 2).await;
            queue.join(one().0, 10, 2)
        });
        assert_eq!((served.map(|group| group.len()), started), (Some(1), Some(false)));
        let (served, started) = tokio::join!(server.next_group(2, linger), async {
            tokio::time::sleep(linger * 2).await;
            queue.join(one().0, 10, 2)
        });
        assert_eq!((served.map(|group| group.len()), started), (None, Some(true)), "it had left");
    }

    #[tokio::test]
    async fn a_server_that_is_called_as_it_leaves_serves() {
        let queue = Queue::default();
        assert_eq!(queue.join(one().0, 10, 2), Some(true));
        let mut server = Server::of(&queue);
        server.next_group(2, LEAVES).await.unwrap();
        assert!(server.take_group(2).is_none());
        assert_eq!(queue.join(one().0, 10, 2), Some(false));
        assert!(server.leave() == Standing::Fresh && queue.called.available_permits() == 0);
        server.is = Standing::Fresh;
        assert_eq!(server.next_group(2, LEAVES).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_server_that_breaks_off_as_it_lingers_leaves_nobody_waiting() {
        let queue = Queue::default();
        for is_called in [false, true] {
            assert_eq!(queue.join(one().0, 10, 1), Some(true));
            let mut server = Server::of(&queue);
            server.next_group(1, LEAVES).await.unwrap();
            assert!(server.take_group(1).is_none());
            let (mine, mut answered) = one();
            if is_called {
                assert_eq!(queue.join(mine, 10, 1), Some(false));
            }
            drop(server);
            assert!(!is_called || answered.try_recv() == Err(TryRecvError::Closed));
            let state = queue.state();
            assert_eq!((state.servers, state.lingering, queue.called.available_permits()), (0, 0, 0));
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_long_starts_another_server() {
        let queue = Queue::default();
        assert_eq!(queue.join(one().0, 10, 2), Some(true));
        // The server hangs with its first group.
        let mut server = Server::of(&queue);
        let _hangs = server.next_group(2, LEAVES).await.unwrap();
        let (mine, answer) = one();
        assert_eq!(queue.join(mine, 10, 2), Some(false));
        let before = tokio::time::Instant::now();
        let mut another = Server::of(&queue);
        let served = queue.answered(answer, 2, || drop(another.take_group(2).unwrap()));
        assert!(served.await.is_err(), "served, as far as this test goes");
        assert!(before.elapsed() >= PATIENCE);

        assert_eq!(queue.join(one().0, 10, 2), Some(false));
        assert!(!queue.hurry(2), "both servers are there");
    }

    #[tokio::test]
    async fn whoever_finds_too_many_waiting_is_told_so() {
        let queue = Queue::default();
        assert!(queue.join(one().0, 1, 1).is_some());
        assert!(queue.join(one().0, 1, 1).is_none());
        let mut server = Server::of(&queue);
        server.next_group(1, LEAVES).await.unwrap();
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
