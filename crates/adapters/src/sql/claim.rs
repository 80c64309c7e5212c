//! Jobs and events are handed out, each to one who asks, until the lease runs out.

use super::{
    Sql, bulk,
    dialect::{Dialect, micros},
    error::store,
    rows::{columns, event, job},
};
use app::{
    job::{Claimed, Lease},
    ports::{JobQueue, Outbox, StoreError},
};
use async_trait::async_trait;
use domain::{
    event::{Event, EventKind},
    ids::EventId,
};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Value};
use std::time::Duration;

/// What is true of a job, `$1`, while the claimer with the attempt `$2` has it. A lease that ran out is lost, even if
/// nobody else has claimed the job yet.
pub(super) fn is_held(dialect: Dialect) -> String {
    format!("id = $1 AND attempt = $2 AND {}", is_leased(dialect))
}

/// What is true of a job while somebody has it.
pub(super) fn is_leased(dialect: Dialect) -> String {
    format!("state = 'ready' AND leased AND run_at > {}", dialect.now())
}

impl Sql {
    /// The claimed rows, the one longest due first.
    async fn claim_rows(&self, limit: u32, lease: Duration) -> Result<Vec<job::Model>, DbErr> {
        match self.dialect() {
            Dialect::Sqlite => self.claim_rows_in_sqlite(limit, lease).await,
            Dialect::Postgres => self.claim_rows_in_postgres(limit, lease).await,
        }
    }

    /// One statement. The selection is materialized, so that no more rows are locked than are claimed; the moment
    /// is, so that it is one and the index can be used.
    async fn claim_rows_in_postgres(&self, limit: u32, lease: Duration) -> Result<Vec<job::Model>, DbErr> {
        let now = self.dialect().now();
        let sql = format!(
            "WITH moment AS MATERIALIZED (SELECT {now} AS now),
             due AS MATERIALIZED (
               SELECT id, run_at FROM jobs WHERE state = 'ready' AND run_at <= (SELECT now FROM moment)
               ORDER BY run_at, id LIMIT $1 FOR UPDATE SKIP LOCKED),
             claimed AS (
               UPDATE jobs SET run_at = (SELECT now FROM moment) + $2, leased = TRUE, woken = FALSE,
                 attempt = attempt + 1
               FROM due WHERE jobs.id = due.id
               RETURNING {}, due.run_at AS due_at)
             SELECT * FROM claimed ORDER BY due_at, id",
            columns::<job::Entity>("jobs")
        );
        let values = [i64::from(limit).into(), micros(lease).into()];
        job::Model::find_by_statement(self.dialect().statement(sql, values)).all(self.writer()).await
    }

    /// Two statements of the one writer: an update cannot answer in the order in which the jobs were due.
    async fn claim_rows_in_sqlite(&self, limit: u32, lease: Duration) -> Result<Vec<job::Model>, DbErr> {
        let now = self.dialect().now();
        let write = self.begin_write().await?;
        let columns = columns::<job::Entity>("jobs");
        let sql = format!(
            "SELECT {columns} FROM jobs WHERE state = 'ready' AND run_at <= {now} ORDER BY run_at, id LIMIT $1"
        );
        let due = self.dialect().statement(sql, [i64::from(limit).into()]);
        let mut claimed = job::Model::find_by_statement(due).all(&write).await?;
        if claimed.is_empty() {
            write.rollback().await?;
            return Ok(claimed);
        }
        for part in bulk::parts(claimed.iter().map(|job| job.id.into()).collect()) {
            let named = bulk::is_one_of(self.dialect(), 1, "id", part)?;
            let sql = format!(
                "UPDATE jobs SET run_at = {now} + ?, leased = TRUE, woken = FALSE, attempt = attempt + 1 WHERE {}",
                named.sql
            );
            let values = [micros(lease).into()].into_iter().chain(named.values);
            write.execute_raw(self.dialect().statement(sql, values)).await?;
        }
        for job in &mut claimed {
            job.attempt += 1;
        }
        write.commit().await?;
        Ok(claimed)
    }

    /// Removes rows of which something is true for longer than `age`, those first that were so first. What somebody is
    /// changing is left alone. The moment is one, so that the index ends the search: mostly nothing is that old.
    async fn forget_rows(
        &self,
        (table, is_over, since): (&str, &str, &str),
        age: Duration,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let dialect = self.dialect();
        let sql = format!(
            "WITH moment AS MATERIALIZED (SELECT {} AS now),
             old AS MATERIALIZED (
               SELECT id FROM {table} WHERE {is_over} AND {since} < (SELECT now FROM moment) - $1
               ORDER BY {since} LIMIT $2 {})
             DELETE FROM {table} WHERE id IN (SELECT id FROM old)",
            dialect.now(),
            dialect.skip_locked()
        );
        let values = [micros(age).into(), i64::from(limit).into()];
        let removed = self.writer().execute_raw(dialect.statement(sql, values)).await.map_err(store)?;
        Ok(removed.rows_affected())
    }

    async fn mark_part(&self, connection: &impl ConnectionTrait, ids: Vec<Value>) -> Result<(), StoreError> {
        let dialect = self.dialect();
        let named = bulk::is_one_of(dialect, 0, "id", ids).map_err(store)?;
        let sql = format!(
            "WITH moment AS MATERIALIZED (SELECT {} AS now, {})
             UPDATE outbox SET published_at = (SELECT now FROM moment) WHERE published_at IS NULL AND {}",
            dialect.now(),
            dialect.unawaited(),
            named.sql
        );
        connection.execute_raw(dialect.statement(sql, named.values)).await.map(drop).map_err(store)
    }

    /// Changes a job if the lease is still held. `$3` is a span.
    async fn change_held(&self, lease: &Lease, sets: &str, span: Duration) -> Result<bool, StoreError> {
        let dialect = self.dialect();
        let sql = format!("UPDATE jobs SET {sets} WHERE {}", is_held(dialect));
        let values = [lease.job.uuid().into(), i64::from(lease.attempt).into(), micros(span).into()];
        let result = self.writer().execute_raw(dialect.statement(sql, values)).await.map_err(store)?;
        Ok(result.rows_affected() > 0)
    }
}

#[async_trait]
impl JobQueue for Sql {
    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Claimed>, StoreError> {
        let told = self.work().told();
        let rows = self.claim_rows(limit, lease).await.map_err(store)?;
        if rows.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            // A full hand leaves open whether there was more.
            self.work().saw(told);
        }
        Ok(readable(rows, job::Model::read))
    }

    async fn extend(&self, lease: &Lease, duration: Duration) -> Result<bool, StoreError> {
        let sets = format!("run_at = {} + $3", self.dialect().now());
        self.change_held(lease, &sets, duration).await
    }

    async fn release(&self, lease: &Lease, delay: Duration) -> Result<(), StoreError> {
        let sets = format!("leased = FALSE, run_at = {} + $3", self.dialect().now());
        if self.change_held(lease, &sets, delay).await? && delay.is_zero() {
            self.work().tell();
        }
        Ok(())
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        // A job that is done keeps the instant of that where it would be due.
        self.forget_rows(("jobs", "state = 'done'", "run_at"), age, limit).await
    }

    async fn wait(&self, at_most: Duration) {
        if let Some(neighbours) = &self.shared.neighbours {
            neighbours.listen();
        }
        self.work().wait(at_most).await;
    }
}

#[async_trait]
impl Outbox for Sql {
    /// Neither this nor that they were published is waited for: an event whose claim or delivery a crash undoes is
    /// delivered again, as one is whose process died.
    async fn unpublished(&self, limit: u32, lease: Duration) -> Result<Vec<Event>, StoreError> {
        let dialect = self.dialect();
        let sql = format!(
            "WITH moment AS MATERIALIZED (SELECT {} AS now, {}),
             free AS MATERIALIZED (
               SELECT id FROM outbox
               WHERE published_at IS NULL AND (leased_until IS NULL OR leased_until <= (SELECT now FROM moment))
               ORDER BY id LIMIT $1 {})
             UPDATE outbox SET leased_until = (SELECT now FROM moment) + $2
             WHERE id IN (SELECT id FROM free) RETURNING {}",
            dialect.now(),
            dialect.unawaited(),
            dialect.skip_locked(),
            columns::<event::Entity>("outbox")
        );
        let values = [i64::from(limit).into(), micros(lease).into()];
        let found = event::Model::find_by_statement(dialect.statement(sql, values)).all(self.writer()).await;
        let mut rows = found.map_err(store)?;
        rows.sort_by_key(|row| row.id);
        Ok(readable(rows, event::Model::read))
    }

    async fn mark_published(&self, events: &[EventId]) -> Result<(), StoreError> {
        let ids = events.iter().map(|id| id.uuid().into()).collect();
        match self.dialect() {
            Dialect::Postgres if events.is_empty() => Ok(()),
            Dialect::Postgres => self.mark_part(self.writer(), ids).await,
            Dialect::Sqlite => {
                let write = self.begin_write().await.map_err(store)?;
                for part in bulk::parts(ids) {
                    self.mark_part(&write, part).await?;
                }
                write.commit().await.map_err(store)
            }
        }
    }

    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        // As the index says it, word by word.
        let is_over = format!("type <> '{}'", EventKind::Alarm);
        self.forget_rows(("outbox", &is_over, "published_at"), age, limit).await
    }
}

/// Those that can be read. One that cannot, perhaps of a newer version, must not stop its neighbours: it is leased
/// like them, and comes again.
fn readable<R, T>(rows: Vec<R>, read: impl Fn(R) -> Result<T, StoreError>) -> Vec<T> {
    let read = rows.into_iter().filter_map(|row| match read(row) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(error = %error, "passed over what cannot be read");
            None
        }
    });
    read.collect()
}
