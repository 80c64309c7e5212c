//! What is read at the same time is read with one statement.
//!
//! Whoever asks while others of the same kind are being read waits for their end, and is read with all who came
//! meanwhile. The statement begins after each of them asked: they see what they would have seen alone.

use super::{
    Sql, bulk,
    error::store,
    execution::ToExecute,
    facts::Fact,
    kept::Kept,
    queue::{Queue, Server, Waits},
    rows::{batch, columns},
};
use app::ports::StoreError;
use async_trait::async_trait;
use domain::{batch::Batch, ids::EscrowId};
use sea_orm::FromQueryResult;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokio::sync::oneshot;

/// A statement is for about so many keys. Whoever wants more goes alone: nobody else must wait for that.
const TOGETHER_MAX: usize = 256;
/// So many statements of a kind are under way at most.
const SERVERS_MAX: usize = 2;

/// A kind of read: by keys, of which each names one value at most.
#[async_trait]
pub(super) trait Kind: Sized + 'static {
    type Key: Ord + Clone + Send + Sync + 'static;
    type Value: Clone + Send + Sync + 'static;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>>;

    async fn read(sql: &Sql, kept: &mut Kept, wanted: BTreeSet<Self::Key>) -> Result<Found<Self>, StoreError>;
}

/// What was found, by key.
pub(super) type Found<K> = BTreeMap<<K as Kind>::Key, <K as Kind>::Value>;

/// Somebody who waits for a read.
pub(super) struct Reader<K: Kind> {
    wanted: BTreeSet<K::Key>,
    answer: oneshot::Sender<Result<Vec<K::Value>, StoreError>>,
}

impl<K: Kind> Waits for Reader<K> {
    fn take_group(waiting: &mut VecDeque<Self>, at_most: usize) -> Vec<Self> {
        let (mut group, mut wanted) = (Vec::new(), 0);
        while wanted < TOGETHER_MAX
            && group.len() < at_most
            && let Some(next) = waiting.pop_front()
        {
            wanted += next.wanted.len();
            group.push(next);
        }
        group
    }
}

/// What was found, and how many still want each of it: the last one gets it without a copy.
struct Shares<K: Kind>(BTreeMap<K::Key, (K::Value, usize)>);

impl<K: Kind> Shares<K> {
    fn of(found: Found<K>, group: &[Reader<K>]) -> Self {
        let mut shares = Self(found.into_iter().map(|(key, value)| (key, (value, 0))).collect());
        for key in group.iter().flat_map(|reader| &reader.wanted) {
            if let Some((_, wanted)) = shares.0.get_mut(key) {
                *wanted += 1;
            }
        }
        shares
    }

    fn share(&mut self, key: &K::Key) -> Option<K::Value> {
        let (value, wanted) = self.0.get_mut(key)?;
        *wanted = wanted.saturating_sub(1);
        if *wanted > 0 { Some(value.clone()) } else { self.0.remove(key).map(|(value, _)| value) }
    }
}

/// Who waits for what.
#[derive(Default)]
pub(super) struct Reads {
    batches_of_escrows: Queue<Reader<BatchOfEscrow>>,
    pub(super) batches_to_execute: Queue<Reader<ToExecute>>,
    pub(super) facts: Queue<Reader<Fact>>,
}

impl Sql {
    /// Those of the wanted that exist.
    pub(super) async fn read_together<K: Kind>(
        &self,
        wanted: impl IntoIterator<Item = K::Key>,
    ) -> Result<Vec<K::Value>, StoreError> {
        let wanted: BTreeSet<K::Key> = wanted.into_iter().collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if wanted.len() > TOGETHER_MAX {
            return Ok(K::read(self, &mut Kept::default(), wanted).await?.into_values().collect());
        }
        let (answer, answered) = oneshot::channel();
        let reader = Reader { wanted, answer };
        let queue = K::queue(self.reads());
        let start = || drop(tokio::spawn(self.clone().serve_readers::<K>()));
        if queue.join(reader, usize::MAX, SERVERS_MAX) == Some(true) {
            start();
        }
        queue
            .answered(answered, SERVERS_MAX, start)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the reader ended".to_owned())))
    }

    async fn serve_readers<K: Kind>(self) {
        let mut server = Server::of(K::queue(self.reads()));
        let mut kept = Kept::default();
        while let Some(group) = server.next_group(SERVERS_MAX, self.linger()).await {
            let wanted = group.iter().flat_map(|reader| reader.wanted.iter().cloned()).collect();
            let mut found = K::read(&self, &mut kept, wanted).await.map(|found| Shares::of(found, &group));
            let is_alone = group.len() == 1;
            for Reader { wanted, answer } in group {
                let theirs = match &mut found {
                    Ok(found) => Ok(wanted.iter().filter_map(|key| found.share(key)).collect()),
                    // What cannot be read must not keep others from what can.
                    Err(StoreError::Corrupt(_)) if !is_alone => {
                        K::read(&self, &mut kept, wanted).await.map(|found| found.into_values().collect())
                    }
                    Err(error) => Err(error.clone()),
                };
                // Whoever asked may be gone.
                let _ = answer.send(theirs);
            }
        }
    }

    pub(super) async fn read_batch_of_escrow(&self, escrow: &EscrowId) -> Result<Option<Batch>, StoreError> {
        Ok(self.read_together::<BatchOfEscrow>([escrow.clone()]).await?.pop())
    }
}

enum BatchOfEscrow {}

#[async_trait]
impl Kind for BatchOfEscrow {
    type Key = EscrowId;
    type Value = Batch;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.batches_of_escrows
    }

    async fn read(sql: &Sql, _: &mut Kept, wanted: BTreeSet<EscrowId>) -> Result<Found<Self>, StoreError> {
        let mut found = Found::<Self>::new();
        for part in bulk::statements(sql.dialect(), wanted.into_iter().map(|key| key.to_string().into()).collect()) {
            let named = bulk::is_one_of(sql.dialect(), 0, "escrow_id", part).map_err(store)?;
            let statement = format!("SELECT {} FROM batches WHERE {}", columns::<batch::Entity>("batches"), named.sql);
            let statement = sql.dialect().statement(statement, named.values);
            for row in batch::Model::find_by_statement(statement).all(sql.reader()).await.map_err(store)? {
                let batch = row.read()?.value;
                found.extend(batch.escrow().cloned().map(|escrow| (escrow, batch)));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            LazyLock,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::Duration,
    };

    /// Everything is there but 13, which cannot be read.
    struct Numbers;

    static QUEUE: LazyLock<Queue<Reader<Numbers>>> = LazyLock::new(Queue::default);
    static STATEMENTS: AtomicUsize = AtomicUsize::new(0);

    #[async_trait]
    impl Kind for Numbers {
        type Key = u32;
        type Value = u32;

        fn queue(_: &Reads) -> &Queue<Reader<Self>> {
            &QUEUE
        }

        async fn read(_: &Sql, _: &mut Kept, wanted: BTreeSet<u32>) -> Result<Found<Self>, StoreError> {
            STATEMENTS.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            if wanted.contains(&13) {
                return Err(StoreError::Corrupt("13".to_owned()));
            }
            Ok(wanted.into_iter().map(|number| (number, number)).collect())
        }
    }

    /// Each of so many at the same time; each wants two, one of which everybody wants. Answers how many statements it took.
    async fn read_all(sql: &Sql, who_wants_13: Option<u32>) -> usize {
        let before = STATEMENTS.load(SeqCst);
        let readers: Vec<_> = (0..60)
            .map(|number| {
                let sql = sql.clone();
                let wanted = if who_wants_13 == Some(number) { vec![13] } else { vec![100 + number, 7, 7] };
                tokio::spawn(async move { sql.read_together::<Numbers>(wanted).await })
            })
            .collect();
        for (number, reader) in (0..).zip(readers) {
            match reader.await.unwrap() {
                Ok(found) => assert_eq!(found, [7, 100 + number]),
                Err(StoreError::Corrupt(_)) if who_wants_13 == Some(number) => {}
                other => panic!("{number}: {other:?}"),
            }
        }
        STATEMENTS.load(SeqCst) - before
    }

    #[tokio::test]
    async fn who_comes_meanwhile_shares_a_statement_and_what_cannot_be_read_costs_only_whoever_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let sql = Sql::connect(&format!("sqlite://{}/a.db", folder.path().display())).await.unwrap();
        let statements = read_all(&sql, None).await;
        assert!(statements <= SERVERS_MAX + 1, "{statements} for 60 readers");
        read_all(&sql, Some(30)).await;
        assert!(sql.read_together::<Numbers>([]).await.unwrap().is_empty());
        assert_eq!(sql.read_together::<Numbers>(1_000..1_300).await.unwrap().len(), 300, "too many to share");
    }
}
