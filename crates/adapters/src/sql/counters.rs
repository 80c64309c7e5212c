//! Counters: read all at once, and moved only if they are as they were read.
//!
//! Rows that exist are locked in the order of their names before any of them moves, so that two changes that move the
//! same counters never wait for each other crosswise.

use super::{Sql, bulk, commit::Refused, dialect::Dialect, error::store, kept::Write, limited::Limited, rows::Place};
use app::{
    change::{Cause, Count, Reason},
    ports::{
        StoreError,
        repository::{Movement, Raise, StoredCounter},
    },
};
use domain::{
    counter::CounterKey,
    ids::{BatchId, RecipientId, ReversalId},
    timestamp::Timestamp,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Value, prelude::Uuid};
use std::collections::{BTreeMap, BTreeSet};

impl Sql {
    pub(super) async fn read_counters_of(
        &self,
        kind: &str,
        recipient: &RecipientId,
    ) -> Result<Vec<StoredCounter>, StoreError> {
        // `;` is the character after `:`.
        let (from, to) = (format!("{kind}:{recipient}:"), format!("{kind}:{recipient};"));
        let sql = "SELECT id, value, revision FROM counters WHERE id >= $1 AND id < $2 ORDER BY id";
        let statement = self.dialect().statement(sql, [from.into(), to.into()]);
        let rows = self.lists().query_all_raw(statement).await.map_err(store)?;
        rows.iter().map(counter).collect()
    }

    pub(super) async fn read_raises(&self, key: &CounterKey, limit: u32) -> Result<Vec<Raise>, StoreError> {
        // What raised it names its reversal and its reason, and when it was; what lowered it does not count for these.
        let sql = "SELECT batch_id, max(CASE WHEN add_minor > 0 THEN reversal_id END),
                     max(CASE WHEN add_minor > 0 THEN reason END), CAST(sum(add_minor) AS bigint),
                     min(CASE WHEN add_minor > 0 THEN created_at END)
                   FROM counter_movements WHERE counter_id = $1
                   GROUP BY batch_id HAVING sum(add_minor) > 0
                   ORDER BY max(CASE WHEN add_minor > 0 THEN revision END) DESC LIMIT $2";
        let statement = self.dialect().statement(sql, [key.as_str().into(), i64::from(limit).into()]);
        let rows = self.lists().query_all_raw(statement).await.map_err(store)?;
        rows.iter().map(|row| raise(key, row)).collect()
    }
}

/// How a batch and its reversals moved counters, oldest first.
pub(super) async fn movements_of(
    read: &Limited<DatabaseTransaction>,
    dialect: Dialect,
    batch: BatchId,
) -> Result<Vec<Movement>, StoreError> {
    let sql = "SELECT counter_id, add_minor, reversal_id, recipient_id, reason FROM counter_movements
               WHERE batch_id = $1 ORDER BY created_at, counter_id, revision";
    let rows = read.query_all_raw(dialect.statement(sql, [batch.uuid().into()])).await.map_err(store)?;
    let movement = |row: &QueryResult| {
        let key: String = at(row, 0)?;
        let place = Place { table: "counter_movements", id: &key };
        let reversal: Option<String> = at(row, 2)?;
        let recipient: Option<String> = at(row, 3)?;
        let reason: String = at(row, 4)?;
        let cause = Cause {
            batch,
            reversal: place.column("reversal_id", reversal.map(|id| id.parse()).transpose())?,
            recipient: place.column("recipient_id", recipient.map(|id| id.parse()).transpose())?,
            reason: place.word("reason", &reason, Reason::ALL, Reason::as_str)?,
        };
        Ok(Movement { key: CounterKey::stored(key.clone()), add: at(row, 1)?, cause })
    };
    rows.iter().map(movement).collect()
}

/// Counters that nobody else moves before the commit, with their revisions.
pub(super) struct Locked(BTreeMap<String, i64>);

/// Holds the counters of changes. Those that do not exist yet have nothing that could be held.
pub(super) async fn lock_counters<'a>(
    write: &Write<'_>,
    dialect: Dialect,
    counts: impl Iterator<Item = &'a Count>,
) -> Result<Locked, DbErr> {
    let keys: BTreeSet<&str> = counts.map(|count| count.key.as_str()).collect();
    Ok(Locked(lock(write, dialect, keys.into_iter().collect()).await?))
}

impl Locked {
    /// Whether the counters of a change are as they were read.
    pub(super) fn are_as_seen(&self, counts: &[Count]) -> bool {
        let keys: BTreeSet<&str> = counts.iter().map(|count| count.key.as_str()).collect();
        // Whoever moves a counter twice read it before the first of the two.
        keys.len() == counts.len()
            && counts.iter().all(|count| count.seen.is_none_or(|seen| i64::from(seen) == self.revision(count)))
    }

    /// Moves counters, each once. Answers those that moved, each with the revision it has now.
    pub(super) async fn move_them<'a>(
        &self,
        write: &Write<'_>,
        dialect: Dialect,
        counts: impl Iterator<Item = &'a Count>,
    ) -> Result<Vec<(&'a Count, i64)>, Refused> {
        let mut moved: Vec<&Count> = counts.filter(|count| count.add != 0).collect();
        moved.sort_by_key(|count| count.key.as_str());
        let (known, new): (Vec<&Count>, Vec<&Count>) = moved.iter().partition(|count| self.revision(count) > 0);
        update(write, dialect, known).await?;
        insert(write, dialect, new).await?;
        Ok(moved.into_iter().map(|count| (count, self.revision(count) + 1)).collect())
    }

    /// 0 if it does not exist.
    fn revision(&self, count: &Count) -> i64 {
        self.0.get(count.key.as_str()).copied().unwrap_or(0)
    }
}

/// Writes down what moved counters. The batches that moved them must be there.
pub(super) async fn write_moves(write: &Write<'_>, dialect: Dialect, moved: Vec<(&Count, i64)>) -> Result<(), DbErr> {
    let now = dialect.now();
    for part in bulk::statements(dialect, moved) {
        let row = |(count, revision): (&Count, i64)| move_values(count, revision).to_vec();
        let source = bulk::source(dialect, part.into_iter().map(row).collect())?;
        let sql = format!(
            "WITH moved (counter_id, revision, add_minor, batch_id, reversal_id, recipient_id, reason) AS ({})
             INSERT INTO counter_movements
               (counter_id, revision, add_minor, batch_id, reversal_id, recipient_id, reason, created_at)
             SELECT counter_id, revision, add_minor, batch_id, reversal_id, recipient_id, reason, {now} FROM moved",
            source.sql
        );
        write.execute_raw(dialect.statement(sql, source.values)).await?;
    }
    Ok(())
}

fn move_values(Count { key, seen: _, add, cause }: &Count, revision: i64) -> [Value; 7] {
    let Cause { batch, reversal, recipient, reason } = cause;
    [
        key.as_str().into(),
        revision.into(),
        (*add).into(),
        batch.uuid().into(),
        reversal.as_ref().map(ReversalId::as_str).into(),
        recipient.as_ref().map(RecipientId::as_str).into(),
        reason.as_str().into(),
    ]
}

/// The revisions of those that exist, which nobody else moves before the commit.
async fn lock(write: &Write<'_>, dialect: Dialect, keys: Vec<&str>) -> Result<BTreeMap<String, i64>, DbErr> {
    let lock = match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => "FOR UPDATE",
    };
    let mut found = BTreeMap::new();
    for part in bulk::statements(dialect, keys.into_iter().map(Value::from).collect()) {
        let named = bulk::is_one_of(dialect, 0, "id", part)?;
        let sql = format!("SELECT id, revision FROM counters WHERE {} ORDER BY id {lock}", named.sql);
        for row in write.query_all_raw(dialect.statement(sql, named.values)).await? {
            found.insert(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        }
    }
    Ok(found)
}

async fn update(write: &Write<'_>, dialect: Dialect, counts: Vec<&Count>) -> Result<(), DbErr> {
    for part in bulk::statements(dialect, counts) {
        let row = |count: &Count| vec![Value::from(count.key.as_str()), count.add.into()];
        let source = bulk::source(dialect, part.into_iter().map(row).collect())?;
        let sql = format!(
            "WITH fresh (id, add_minor) AS ({})
             UPDATE counters SET value = counters.value + fresh.add_minor, revision = counters.revision + 1
             FROM fresh WHERE counters.id = fresh.id",
            source.sql
        );
        write.execute_raw(dialect.statement(sql, source.values)).await?;
    }
    Ok(())
}

/// Somebody else may have made the same counter since it was looked for.
async fn insert(write: &Write<'_>, dialect: Dialect, counts: Vec<&Count>) -> Result<(), Refused> {
    for part in bulk::statements(dialect, counts) {
        let wanted = part.len();
        let row = |count: &Count| vec![Value::from(count.key.as_str()), count.add.into(), 1_i64.into()];
        let source = bulk::source(dialect, part.into_iter().map(row).collect())?;
        let sql = format!("INSERT INTO counters (id, value, revision) {} ON CONFLICT (id) DO NOTHING", source.sql);
        let inserted = write.execute_raw(dialect.statement(sql, source.values)).await?.rows_affected();
        if usize::try_from(inserted) != Ok(wanted) {
            return Err(Refused::Stale);
        }
    }
    Ok(())
}

fn counter(row: &QueryResult) -> Result<StoredCounter, StoreError> {
    let key: String = at(row, 0)?;
    let revision = Place { table: "counters", id: &key }.count("revision", at(row, 2)?)?;
    Ok(StoredCounter { key: CounterKey::stored(key), value: at(row, 1)?, revision })
}

fn raise(key: &CounterKey, row: &QueryResult) -> Result<Raise, StoreError> {
    let place = Place { table: "counter_movements", id: key };
    let reversal: Option<String> = at(row, 1)?;
    let reason: String = place.needed("reason", at(row, 2)?)?;
    Ok(Raise {
        batch: BatchId::new(at::<Uuid>(row, 0)?),
        reversal: place.column("reversal_id", reversal.map(|id| id.parse()).transpose())?,
        reason: place.word("reason", &reason, Reason::ALL, Reason::as_str)?,
        amount_minor: at(row, 3)?,
        since: Timestamp::from_unix_micros(at(row, 4)?),
    })
}

fn at<T: sea_orm::TryGetable>(row: &QueryResult, index: usize) -> Result<T, StoreError> {
    row.try_get_by_index(index).map_err(store)
}
