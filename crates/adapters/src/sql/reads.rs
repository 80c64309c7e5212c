//! What is read at the same time is read with one statement.
//!
//! Whoever asks while others of the same kind are being read waits for their end, and is read with all who came
//! meanwhile. The statement begins after each of them asked: they see what they would have seen alone.

use super::{
    Sql, bulk,
    error::store,
    execution::ToExecute,
    queue::{Queue, Server, Waits},
    rows::{batch, columns, policy, recipient, revenue_model},
};
use app::{
    change::{PolicyVersion, Stored},
    ports::{
        StoreError,
        repository::{InForce, StoredCounter},
    },
};
use async_trait::async_trait;
use domain::{
    batch::Batch,
    counter::CounterKey,
    ids::{EscrowId, ProjectId, RecipientId},
    recipient::Recipient,
    revenue_model::ModelVersion,
    timestamp::Timestamp,
};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryOrder, QuerySelect};
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

    async fn read(sql: &Sql, wanted: BTreeSet<Self::Key>) -> Result<Found<Self>, StoreError>;
}

/// What was found, by key.
pub(super) type Found<K> = BTreeMap<<K as Kind>::Key, <K as Kind>::Value>;

/// Somebody who waits for a read.
pub(super) struct Reader<K: Kind> {
    wanted: BTreeSet<K::Key>,
    answer: oneshot::Sender<Result<Vec<K::Value>, StoreError>>,
}

impl<K: Kind> Waits for Reader<K> {
    fn take_group(waiting: &mut VecDeque<Self>) -> Vec<Self> {
        let (mut group, mut wanted) = (Vec::new(), 0);
        while wanted < TOGETHER_MAX
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
    models_in_force: Queue<Reader<ModelInForce>>,
    recipients: Queue<Reader<StoredRecipient>>,
    counters: Queue<Reader<StoredCounters>>,
    policies: Queue<Reader<NewestPolicy>>,
    times: Queue<Reader<Now>>,
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
            return Ok(K::read(self, wanted).await?.into_values().collect());
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

    async fn read_one<K: Kind>(&self, wanted: K::Key) -> Result<Option<K::Value>, StoreError> {
        Ok(self.read_together::<K>([wanted]).await?.pop())
    }

    async fn serve_readers<K: Kind>(self) {
        let queue = K::queue(self.reads());
        let server = Server::of(queue);
        let mut next = queue.first_group();
        while let Some(group) = next {
            let wanted = group.iter().flat_map(|reader| reader.wanted.iter().cloned()).collect();
            let mut found = K::read(&self, wanted).await.map(|found| Shares::of(found, &group));
            let is_alone = group.len() == 1;
            for Reader { wanted, answer } in group {
                let theirs = match &mut found {
                    Ok(found) => Ok(wanted.iter().filter_map(|key| found.share(key)).collect()),
                    // What cannot be read must not keep others from what can.
                    Err(StoreError::Corrupt(_)) if !is_alone => {
                        K::read(&self, wanted).await.map(|found| found.into_values().collect())
                    }
                    Err(error) => Err(error.clone()),
                };
                // Whoever asked may be gone.
                let _ = answer.send(theirs);
            }
            next = queue.next_group(SERVERS_MAX);
        }
        server.leaves();
    }

    pub(super) async fn read_batch_of_escrow(&self, escrow: &EscrowId) -> Result<Option<Batch>, StoreError> {
        self.read_one::<BatchOfEscrow>(escrow.clone()).await
    }

    pub(super) async fn read_model_in_force(
        &self,
        project: &ProjectId,
        as_of: Timestamp,
    ) -> Result<InForce, StoreError> {
        Ok(match self.read_one::<ModelInForce>((project.clone(), as_of)).await? {
            None => InForce::ProjectUnknown,
            Some(version) if version.is_in_force(as_of) => InForce::Version(Box::new(version)),
            Some(_) => InForce::Nothing,
        })
    }

    pub(super) async fn read_recipients(&self, ids: &[RecipientId]) -> Result<Vec<Stored<Recipient>>, StoreError> {
        self.read_together::<StoredRecipient>(ids.iter().cloned()).await
    }

    pub(super) async fn read_counters(&self, keys: &[CounterKey]) -> Result<Vec<StoredCounter>, StoreError> {
        self.read_together::<StoredCounters>(keys.iter().cloned()).await
    }

    pub(super) async fn read_policy(&self) -> Result<Option<PolicyVersion>, StoreError> {
        self.read_one::<NewestPolicy>(()).await
    }

    pub(super) async fn read_time(&self) -> Result<Timestamp, StoreError> {
        let read = self.read_one::<Now>(()).await?;
        read.ok_or_else(|| store(DbErr::RecordNotFound("the clock".to_owned())))
    }
}

/// The rows whose column has one of these values.
async fn rows_of<E: EntityTrait, K: ToString>(
    sql: &Sql,
    table: &str,
    column: &str,
    wanted: BTreeSet<K>,
) -> Result<Vec<E::Model>, StoreError> {
    let mut rows = Vec::new();
    for part in bulk::statements(sql.dialect(), wanted.into_iter().map(|key| key.to_string().into()).collect()) {
        let named = bulk::is_one_of(sql.dialect(), column, part).map_err(store)?;
        let statement = format!("SELECT {} FROM {table} WHERE {}", columns::<E>(table), named.sql);
        let statement = sql.dialect().statement(statement, named.values);
        rows.extend(E::Model::find_by_statement(statement).all(sql.reader()).await.map_err(store)?);
    }
    Ok(rows)
}

enum BatchOfEscrow {}

#[async_trait]
impl Kind for BatchOfEscrow {
    type Key = EscrowId;
    type Value = Batch;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.batches_of_escrows
    }

    async fn read(sql: &Sql, wanted: BTreeSet<EscrowId>) -> Result<Found<Self>, StoreError> {
        let mut found = Found::<Self>::new();
        for row in rows_of::<batch::Entity, _>(sql, "batches", "escrow_id", wanted).await? {
            let batch = row.read()?.value;
            found.extend(batch.escrow().cloned().map(|escrow| (escrow, batch)));
        }
        Ok(found)
    }
}

/// Of a project's versions the one in force at an instant, else any.
enum ModelInForce {}

#[derive(FromQueryResult)]
struct Place {
    place: i64,
}

#[async_trait]
impl Kind for ModelInForce {
    type Key = (ProjectId, Timestamp);
    type Value = ModelVersion;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.models_in_force
    }

    async fn read(sql: &Sql, wanted: BTreeSet<Self::Key>) -> Result<Found<Self>, StoreError> {
        let mut found = Found::<Self>::new();
        for part in bulk::statements(sql.dialect(), wanted.into_iter().collect()) {
            let row = |(place, (project, as_of)): (i64, &Self::Key)| {
                vec![place.into(), project.as_str().into(), as_of.unix_micros().into()]
            };
            let wanted = bulk::source(sql.dialect(), (0..).zip(&part).map(row).collect()).map_err(store)?;
            // One statement, so one moment.
            let statement = format!(
                "WITH wanted (place, project_id, as_of) AS ({})
                 SELECT wanted.place, {} FROM wanted
                 JOIN revenue_models AS version ON version.project_id = wanted.project_id AND version.version = COALESCE(
                   (SELECT max(version) FROM revenue_models AS covering WHERE covering.project_id = wanted.project_id
                    AND status = 'active' AND effective_from <= wanted.as_of
                    AND (effective_to IS NULL OR effective_to > wanted.as_of)),
                   (SELECT max(version) FROM revenue_models AS known WHERE known.project_id = wanted.project_id))",
                wanted.sql,
                columns::<revenue_model::Entity>("version")
            );
            let statement = sql.dialect().statement(statement, wanted.values);
            let rows = sql.reader().query_all_raw(statement).await.map_err(store)?;
            for row in rows {
                let Place { place } = Place::from_query_result(&row, "").map_err(store)?;
                let version = revenue_model::Model::from_query_result(&row, "").map_err(store)?.read()?;
                let key = usize::try_from(place).ok().and_then(|place| part.get(place));
                found.extend(key.cloned().map(|key| (key, version)));
            }
        }
        Ok(found)
    }
}

enum StoredRecipient {}

#[async_trait]
impl Kind for StoredRecipient {
    type Key = RecipientId;
    type Value = Stored<Recipient>;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.recipients
    }

    async fn read(sql: &Sql, wanted: BTreeSet<RecipientId>) -> Result<Found<Self>, StoreError> {
        let mut found = Found::<Self>::new();
        for row in rows_of::<recipient::Entity, _>(sql, "recipients", "id", wanted).await? {
            let stored = row.read()?;
            found.insert(stored.value.id.clone(), stored);
        }
        Ok(found)
    }
}

enum StoredCounters {}

#[async_trait]
impl Kind for StoredCounters {
    type Key = CounterKey;
    type Value = StoredCounter;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.counters
    }

    async fn read(sql: &Sql, wanted: BTreeSet<CounterKey>) -> Result<Found<Self>, StoreError> {
        let found = sql.counters_named(wanted).await?;
        Ok(found.into_iter().map(|counter| (counter.key.clone(), counter)).collect())
    }
}

enum NewestPolicy {}

#[async_trait]
impl Kind for NewestPolicy {
    type Key = ();
    type Value = PolicyVersion;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.policies
    }

    async fn read(sql: &Sql, _: BTreeSet<()>) -> Result<Found<Self>, StoreError> {
        let newest = policy::Entity::find().order_by_desc(policy::Column::Version).limit(1);
        let newest = newest.one(sql.reader()).await.map_err(store)?;
        newest.map(|row| Ok(((), row.read()?))).into_iter().collect()
    }
}

enum Now {}

#[async_trait]
impl Kind for Now {
    type Key = ();
    type Value = Timestamp;

    fn queue(reads: &Reads) -> &Queue<Reader<Self>> {
        &reads.times
    }

    async fn read(sql: &Sql, _: BTreeSet<()>) -> Result<Found<Self>, StoreError> {
        let statement = sql.dialect().statement(format!("SELECT {}", sql.dialect().now()), []);
        let row = sql.reader().query_one_raw(statement).await.map_err(store)?;
        let micros = row.map(|row| row.try_get_by_index::<i64>(0)).transpose().map_err(store)?;
        Ok(micros.map(|micros| ((), Timestamp::from_unix_micros(micros))).into_iter().collect())
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

        async fn read(_: &Sql, wanted: BTreeSet<u32>) -> Result<Found<Self>, StoreError> {
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
