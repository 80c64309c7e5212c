//! Changes that are committed at the same time share one transaction, and so one wait for the disk.
//!
//! On `PostgreSQL` releases share theirs with releases only, because they are written in a way of their own.
//!
//! Changes that touch the same row, counter or key never share a transaction, and keep their order. If a group
//! fails because of one of its members, each is committed alone, so that it costs nobody but itself.
//!
//! A change that waits here is committed even if its caller is gone.

use super::{
    Sql, at_once,
    dialect::Dialect,
    kept::Kept,
    queue::{Server, Waits},
};
use app::{
    change::{Change, New, Update},
    idempotency::{Claim, KeyedRequest, Remember},
    ports::{CommitError, StoreError},
};
use sea_orm::prelude::Uuid;
use std::collections::{HashSet, VecDeque};
use tokio::sync::oneshot;

/// So many changes wait at most, sixteen groups: whoever comes then is told so at once.
const WAITING_MAX: usize = 1_024;
/// So many changes share a transaction at most.
const GROUP_MAX: usize = 128;
/// Nothing joins a transaction of so many rows: it is long enough for those who wait.
const GROUP_ROWS_MAX: usize = 4_096;

/// A change that waits.
pub(super) struct Committer {
    change: Change,
    /// Whether it may be written as releases are.
    is_release: bool,
    rows: usize,
    touched: Vec<Touched>,
    answer: oneshot::Sender<Result<(), CommitError>>,
}

/// What two changes of one transaction must not have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Touched {
    /// A job or a row that exists.
    Row(Uuid),
    Recipient(String),
    Counter(String),
    Escrow(String),
    Request(String, String),
}

impl Waits for Committer {
    fn take_group(waiting: &mut VecDeque<Self>, at_most: usize) -> Vec<Self> {
        let (mut group, mut left, mut seen) = (Vec::new(), VecDeque::new(), HashSet::new());
        let mut rows = 0;
        let of_releases = waiting.front().is_some_and(|first| first.is_release);
        while group.len() < GROUP_MAX.min(at_most)
            && rows < GROUP_ROWS_MAX
            && let Some(next) = waiting.pop_front()
        {
            let is_apart = next.touched.iter().all(|touched| !seen.contains(touched));
            // Those who are left come before whoever touches the same after them.
            seen.extend(next.touched.iter().cloned());
            if is_apart && next.is_release == of_releases {
                rows += next.rows;
                group.push(next);
            } else {
                left.push_back(next);
            }
        }
        left.append(waiting);
        *waiting = left;
        group
    }
}

impl Sql {
    /// Commits a change, together with others that wait at this moment.
    pub(super) async fn commit_in_turn(&self, change: Change) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        let is_release = self.dialect() == Dialect::Postgres && at_once::is_release(&change);
        let waiting = Committer { is_release, rows: rows_of(&change), touched: touched_by(&change), change, answer };
        let writers_max = writers_max(self.dialect());
        let start = || drop(tokio::spawn(self.clone().write_groups()));
        match self.commits().join(waiting, WAITING_MAX, writers_max) {
            None => return Err(StoreError::Unavailable("too many changes wait to be stored".to_owned()).into()),
            Some(true) => start(),
            Some(false) => {}
        }
        let answer = self.commits().answered(answered, writers_max, start).await;
        answer.unwrap_or_else(|_| Err(CommitError::Unclear("the writer ended".to_owned())))
    }

    async fn write_groups(self) {
        let mut writer = Server::of(self.commits());
        let mut kept = Kept::default();
        while let Some(group) = writer.next_group(writers_max(self.dialect()), self.linger()).await {
            // Should it panic, those of the group are told that nothing is known, and the others have their turn.
            kept = tokio::spawn(self.clone().answer_group(kept, group)).await.unwrap_or_default();
        }
    }

    /// Answers with what is kept for the next group.
    async fn answer_group(self, mut kept: Kept, group: Vec<Committer>) -> Kept {
        let are_releases = group.iter().all(|waiting| waiting.is_release);
        let changes: Vec<&Change> = group.iter().map(|waiting| &waiting.change).collect();
        let mut answers = self.commit_group(&mut kept, are_releases, &changes).await;
        for waiting in group.into_iter().rev() {
            if let Some(answer) = answers.pop() {
                // Whoever asked may be gone.
                let _ = waiting.answer.send(answer);
            }
        }
        kept
    }

    /// The answer to each, in order.
    async fn commit_group(
        &self,
        kept: &mut Kept,
        are_releases: bool,
        group: &[&Change],
    ) -> Vec<Result<(), CommitError>> {
        if are_releases && let Some(answers) = self.commit_releases(kept, group).await {
            return answers;
        }
        if group.len() > 1
            && let Some(answers) = self.commit_together(kept, group).await
        {
            return answers;
        }
        let mut answers = Vec::with_capacity(group.len());
        for change in group {
            answers.push(self.commit_alone(kept, change).await);
        }
        answers
    }
}

/// `PostgreSQL` writes the next group while the last one reaches the disk.
fn writers_max(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sqlite => 1,
        Dialect::Postgres => 2,
    }
}

fn rows_of(change: &Change) -> usize {
    let Change { insert, update, count, post, enqueue, wake, publish, audit, recalled: _, remember: _, lease: _ } =
        change;
    let entries: usize = post.iter().map(|transaction| transaction.entries().len()).sum();
    insert.len() + update.len() + count.len() + entries + enqueue.len() + wake.len() + publish.len() + audit.len()
}

fn touched_by(change: &Change) -> Vec<Touched> {
    let Change { insert, update, count, post: _, enqueue: _, wake, publish: _, audit: _, recalled: _, remember, lease } =
        change;
    let mut touched = Vec::new();
    touched.extend(wake.iter().map(|job| Touched::Row(job.id.uuid())));
    touched.extend(lease.iter().map(|step| Touched::Row(step.lease().job.uuid())));
    touched.extend(update.iter().map(|update| match update {
        Update::Batch(batch) => Touched::Row(batch.value.id.uuid()),
        Update::Item(item) => Touched::Row(item.value.id.uuid()),
        Update::Instruction(instruction) => Touched::Row(instruction.value.id.uuid()),
        Update::Recipient(recipient) => Touched::Recipient(recipient.value.id.to_string()),
        Update::Resolution(resolution) => Touched::Row(resolution.value.id.uuid()),
    }));
    touched.extend(count.iter().map(|count| Touched::Counter(count.key.as_str().to_owned())));
    touched.extend(insert.iter().filter_map(|new| match new {
        New::Batch(batch) => Some(Touched::Escrow(batch.escrow()?.to_string())),
        New::Recipient(recipient) => Some(Touched::Recipient(recipient.id.to_string())),
        // Two of one name are found by the database, and then each is committed alone.
        _ => None,
    }));
    touched.extend(remember.iter().map(|remember| {
        let (Remember::Claimed(Claim { request, .. }, _) | Remember::Unclaimed(request, _)) = remember;
        let KeyedRequest { operation, key, fingerprint: _ } = request;
        Touched::Request(operation.clone(), key.to_string())
    }));
    touched
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(names: &[&str]) -> Vec<Touched> {
        names.iter().map(|name| Touched::Counter((*name).to_owned())).collect()
    }

    fn waiting(rows: usize, touched: &[&str]) -> Committer {
        let (change, answer) = (Change::default(), oneshot::channel().0);
        Committer { change, is_release: false, rows, touched: counters(touched), answer }
    }

    /// What each touches, group by group.
    fn groups(waiting: impl IntoIterator<Item = Committer>) -> Vec<Vec<Vec<Touched>>> {
        let mut waiting = waiting.into_iter().collect();
        std::iter::from_fn(|| {
            let group = Committer::take_group(&mut waiting, usize::MAX);
            (!group.is_empty()).then(|| group.into_iter().map(|one| one.touched).collect())
        })
        .collect()
    }

    #[test]
    fn those_who_touch_the_same_go_one_after_the_other_and_in_order() {
        let waiting = [&["a"][..], &["a", "b"], &["b"], &[], &["c"]].map(|touched| waiting(1, touched));
        let expected = [
            vec![counters(&["a"]), counters(&[]), counters(&["c"])],
            // The third waits for the second, though it has nothing in common with the first.
            vec![counters(&["a", "b"])],
            vec![counters(&["b"])],
        ];
        assert_eq!(groups(waiting), expected);
    }

    #[test]
    fn releases_go_with_releases_and_wait_for_whoever_touches_the_same_before_them() {
        let release = |touched| Committer { is_release: true, ..waiting(1, touched) };
        let waiting = [release(&["a"]), waiting(1, &["b"]), release(&["c"]), release(&["b"]), waiting(1, &["d"])];
        let expected = [
            vec![counters(&["a"]), counters(&["c"])],
            vec![counters(&["b"]), counters(&["d"])],
            vec![counters(&["b"])],
        ];
        assert_eq!(groups(waiting), expected);
    }

    #[test]
    fn a_group_has_an_end() {
        let sizes = |waiting: Vec<Committer>| groups(waiting).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..GROUP_MAX + 1).map(|_| waiting(1, &[])).collect()), [GROUP_MAX, 1]);
        assert_eq!(sizes((0..3).map(|_| waiting(GROUP_ROWS_MAX / 2, &[])).collect()), [2, 1]);
    }
}
