//! Time that passes only when nobody has anything to do, and tasks that run one at a time in an order that chance
//! decides. One thread, no runtime: the same seed gives the same run.

use crate::chance::Chance;
use adapters::memory::Memory;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

/// Something that runs by itself.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Lines that a log keeps at most.
const LOG_MAX: usize = 200_000;

/// Time, chance, tasks, and what happened.
pub struct Kernel {
    state: Mutex<State>,
    halted: Arc<AtomicBool>,
    cuts: AtomicU64,
    /// Everything that is stored; its clock is the clock of the world.
    pub memory: Arc<Memory>,
}

struct State {
    micros: u64,
    next: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    ready: BTreeSet<u64>,
    spawned: Vec<(u64, Task)>,
    chance: Chance,
    hash: u64,
    lines: u64,
    log: Vec<String>,
    keeps_log: bool,
}

impl Kernel {
    /// A world that has not begun yet. `keeps_log` keeps every line of what happens.
    pub fn new(seed: u64, keeps_log: bool) -> Self {
        let state = State {
            micros: 0,
            next: 0,
            timers: BTreeMap::new(),
            ready: BTreeSet::new(),
            spawned: Vec::new(),
            chance: Chance::new(seed),
            hash: 0xcbf2_9ce4_8422_2325,
            lines: 0,
            log: Vec::new(),
            keeps_log,
        };
        Self {
            state: Mutex::new(state),
            halted: Arc::default(),
            cuts: AtomicU64::new(0),
            memory: Arc::new(Memory::default()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the world has been there.
    pub fn age(&self) -> Duration {
        Duration::from_micros(self.state().micros)
    }
    /// Asks chance.
    pub fn chance<T>(&self, ask: impl FnOnce(&mut Chance) -> T) -> T {
        ask(&mut self.state().chance)
    }
    /// A number below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.chance(|chance| chance.below(bound))
    }
    /// A number that nobody got before.
    pub fn number(&self) -> u64 {
        let mut state = self.state();
        state.next += 1;
        state.next
    }

    /// What ends the run at once when it is set: nothing happens after it.
    pub fn halt(&self) -> Arc<AtomicBool> {
        self.halted.clone()
    }
    /// Whether the run has ended.
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed)
    }
    /// Every process that has a [`Mortal::power`] dies where it is.
    pub fn cut_power(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Something happened: part of the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let mut state = self.state();
        let line = line();
        let micros = state.micros;
        for byte in micros.to_le_bytes().iter().chain(line.as_bytes()) {
            state.hash = (state.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        state.lines += 1;
        if state.keeps_log && state.log.len() < LOG_MAX {
            let mut text = String::new();
            let (seconds, rest) = (micros / 1_000_000, micros / 1_000 % 1_000);
            let _ =
                write!(text, "{:>4}h{:02}m{:02}.{rest:03}  {line}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
            state.log.push(text);
        }
    }
    /// The hash of everything that happened, and how much that was.
    pub fn trace(&self) -> (u64, u64) {
        let state = self.state();
        (state.hash, state.lines)
    }
    /// What happened, as far as it was kept.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Lets something run by itself.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        state.spawned.push((id, Box::pin(task)));
    }

    /// Lets go of whoever would still wait: what they hold holds the kernel, and none of it would ever be freed.
    pub fn end(&self) {
        let (timers, spawned) = {
            let mut state = self.state();
            (std::mem::take(&mut state.timers), std::mem::take(&mut state.spawned))
        };
        drop((timers, spawned));
    }

    /// Waits.
    pub fn sleep(self: &Arc<Self>, span: Duration) -> Sleep {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX / 4);
        let due = self.state().micros.saturating_add(micros);
        Sleep { kernel: self.clone(), due, is_registered: false }
    }
    /// Waits between nothing and so long.
    pub fn sleep_up_to(self: &Arc<Self>, span: Duration) -> Sleep {
        let micros = self.below(u64::try_from(span.as_micros()).unwrap_or(u64::MAX).saturating_add(1));
        self.sleep(Duration::from_micros(micros))
    }
}

/// Waiting.
pub struct Sleep {
    kernel: Arc<Kernel>,
    due: u64,
    is_registered: bool,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let kernel = self.kernel.clone();
        let mut state = kernel.state();
        if state.micros >= self.due {
            return Poll::Ready(());
        }
        if !self.is_registered {
            state.next += 1;
            let key = (self.due, state.next);
            state.timers.insert(key, context.waker().clone());
            self.is_registered = true;
        }
        Poll::Pending
    }
}

struct Bell {
    kernel: Arc<Kernel>,
    task: u64,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.kernel.state().ready.insert(self.task);
    }
}

/// Runs tasks.
#[derive(Default)]
pub struct Runner {
    tasks: BTreeMap<u64, Task>,
}

impl Runner {
    /// Runs everything until the world is so old, or nothing is left to do.
    pub fn run_until(&mut self, kernel: &Arc<Kernel>, age: Duration) {
        let end = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        while !kernel.is_halted() {
            let next = {
                let mut state = kernel.state();
                let spawned = std::mem::take(&mut state.spawned);
                state.ready.extend(spawned.iter().map(|(id, _)| *id));
                self.tasks.extend(spawned);
                let count = u64::try_from(state.ready.len()).unwrap_or(1);
                let place = usize::try_from(state.chance.below(count)).unwrap_or(0);
                let next = state.ready.iter().nth(place).copied();
                if let Some(next) = next {
                    state.ready.remove(&next);
                }
                next
            };
            if let Some(id) = next {
                let Some(task) = self.tasks.get_mut(&id) else { continue };
                let waker = Waker::from(Arc::new(Bell { kernel: kernel.clone(), task: id }));
                if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    self.tasks.remove(&id);
                }
                continue;
            }
            let (passed, wakers) = {
                let mut state = kernel.state();
                let due = state.timers.keys().next().map_or(end, |(due, _)| *due).min(end);
                let passed = due.saturating_sub(state.micros);
                state.micros = state.micros.max(due);
                let mut wakers = Vec::new();
                while let Some(entry) = state.timers.first_entry() {
                    if entry.key().0 > due {
                        break;
                    }
                    wakers.push(entry.remove());
                }
                (passed, wakers)
            };
            kernel.memory.advance(Duration::from_micros(passed));
            if wakers.is_empty() && kernel.age() >= age {
                return;
            }
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// A future of a process that may die or stand still wherever it waits.
pub struct Mortal<F> {
    inner: Option<Pin<Box<F>>>,
    kernel: Arc<Kernel>,
    /// It dies when it was polled so often.
    dies_after: Option<u32>,
    /// It stands still when it was polled so often, for so long.
    stops_after: Option<(u32, Duration)>,
    stopped: Option<Sleep>,
    /// It dies when the power was cut more often than that.
    cuts: Option<u64>,
}

impl<F: Future> Mortal<F> {
    /// Runs `inner` for as long as it lives.
    pub fn new(kernel: &Arc<Kernel>, inner: F, dies_after: Option<u32>, stops_after: Option<(u32, Duration)>) -> Self {
        Self {
            inner: Some(Box::pin(inner)),
            kernel: kernel.clone(),
            dies_after,
            stops_after,
            stopped: None,
            cuts: None,
        }
    }
    /// It dies with all others when the power is cut.
    #[must_use]
    pub fn power(mut self) -> Self {
        self.cuts = Some(self.kernel.cuts.load(Ordering::Relaxed));
        self
    }
}

impl<F: Future> Future for Mortal<F> {
    /// Nothing if it died.
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.cuts.is_some_and(|cuts| cuts != this.kernel.cuts.load(Ordering::Relaxed)) {
            this.inner = None;
            return Poll::Ready(None);
        }
        if let Some(left) = &mut this.dies_after {
            if *left == 0 {
                this.inner = None;
                return Poll::Ready(None);
            }
            *left -= 1;
        }
        if let Some((left, span)) = &mut this.stops_after {
            if *left == 0 {
                this.stopped = Some(this.kernel.sleep(*span));
                this.stops_after = None;
            } else {
                *left -= 1;
            }
        }
        if let Some(stopped) = &mut this.stopped {
            match Pin::new(stopped).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => this.stopped = None,
            }
        }
        match &mut this.inner {
            Some(inner) => inner.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

impl<F> Unpin for Mortal<F> {}
