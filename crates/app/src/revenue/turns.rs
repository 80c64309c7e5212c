//! Releases of one project whose model counts take turns within a process: whoever read the same counters would lose
//! the race anyway. Across processes the commit finds out, and the loser calculates anew.

use domain::ids::ProjectId;
use futures_util::lock::{Mutex, OwnedMutexGuard};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex as Blocking, PoisonError},
};

/// One queue a project, as long as somebody stands in it.
#[derive(Debug, Default)]
pub struct Turns(Blocking<HashMap<ProjectId, Arc<Mutex<()>>>>);

/// Somebody's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<()>);

impl Turns {
    /// Waits for a turn.
    pub async fn wait(&self, project: &ProjectId) -> Turn {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever stands in a queue holds it, so one that only this map holds is empty.
            queues.retain(|_, queue| Arc::strong_count(queue) > 1);
            queues.entry(project.clone()).or_default().clone()
        };
        Turn(queue.lock_owned().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn one_after_the_other_and_projects_side_by_side() {
        let turns = Turns::default();
        let (one, two) = ("prj_1".parse().unwrap(), "prj_2".parse().unwrap());
        let first = turns.wait(&one).await;
        let _other = turns.wait(&two).await;
        let mut second = Box::pin(turns.wait(&one));
        assert!(second.as_mut().now_or_never().is_none(), "the first is not done");
        drop(first);
        second.await;
    }
}
