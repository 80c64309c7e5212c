//! Whose turn it is: what many threads do side by side is told in order.
//!
//! Every block of input has a number. A thread that must be in order waits for its number; one that has nothing to say
//! passes without waiting. Nothing is queued, so what waits is never more than one block a thread.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Somebody gave up: there will be no further turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over;

/// Turns from 0 upwards.
#[derive(Default)]
pub(super) struct Turn {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Those that passed before it was their turn.
    passed: BTreeSet<u64>,
    is_over: bool,
}

impl Turn {
    /// Comes back when all before `number` have passed.
    pub(super) fn wait(&self, number: u64) -> Result<(), Over> {
        let waiting = self.lock();
        let unlucky = |state: &mut State| state.next < number && !state.is_over;
        let state = self.changed.wait_while(waiting, unlucky).unwrap_or_else(PoisonError::into_inner);
        if state.is_over { Err(Over) } else { Ok(()) }
    }

    /// `number` is done, or has nothing to do.
    pub(super) fn pass(&self, number: u64) {
        let mut state = self.lock();
        state.passed.insert(number);
        while let Some(first) = state.passed.first().copied().filter(|first| *first == state.next) {
            state.passed.remove(&first);
            state.next += 1;
        }
        self.changed.notify_all();
    }

    /// Nobody need wait any more.
    pub(super) fn give_up(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn threads_speak_in_order_whoever_comes_first() {
        let (turn, said) = (Turn::default(), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for number in (0..8).rev() {
                let (turn, said) = (&turn, &said);
                scope.spawn(move || {
                    if number % 3 != 1 {
                        turn.wait(number).unwrap();
                        said.lock().unwrap().push(number);
                    }
                    turn.pass(number);
                });
            }
        });
        assert_eq!(*said.lock().unwrap(), [0, 2, 3, 5, 6]);
    }

    #[test]
    fn whoever_waits_learns_that_it_is_over() {
        let turn = Turn::default();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| turn.wait(1));
            turn.give_up();
            assert_eq!(waiting.join().unwrap(), Err(Over));
        });
    }
}
