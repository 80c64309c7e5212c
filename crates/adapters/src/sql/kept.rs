//! A connection to `PostgreSQL` that is kept from one group to the next. The pool asks each that comes back whether it
//! still lives, which takes as long as a small statement does.
//!
//! What was kept may have died meanwhile, with all others, when the database was restarted. That is noticed before
//! anything was written: another one is taken.

use super::{Sql, WRITERS_MAX, arguments::arguments, dialect::Dialect, limited::Patience};
use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Value,
    sqlx::{
        self, AssertSqlSafe, PgConnection, Postgres,
        pool::PoolConnection,
        postgres::{PgArguments, PgQueryResult, PgRow},
        query::Query,
    },
};
use tokio::sync::Mutex;

/// The connection, once there is one. Always none on SQLite, where the one that writes is everybody's.
#[derive(Default)]
pub(super) struct Kept(Option<PoolConnection<Postgres>>);

impl Kept {
    pub(super) async fn connection(&mut self, sql: &Sql) -> Result<&mut PgConnection, DbErr> {
        let connection = match self.0.take() {
            Some(connection) => connection,
            None => sql.writer().inner().get_postgres_connection_pool().acquire().await.map_err(failed)?,
        };
        Ok(self.0.insert(connection))
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&mut self, sql: &Sql) -> Result<Write<'_>, DbErr> {
        if sql.dialect() == Dialect::Sqlite {
            return Ok(Write::Pooled(sql.begin_write().await?));
        }
        let mut dead = 0;
        let patience = sql.writer().patience();
        while let Err(error) = patience.wait(say(self.connection(sql).await?, "BEGIN")).await {
            self.give_up(error, &mut dead)?;
        }
        let patience = patience.clone();
        Ok(Write::Kept(Transaction { connection: Mutex::new(&mut self.0), patience, is_over: false }))
    }

    /// Asks one question.
    pub(super) async fn query_all(&mut self, sql: &Sql, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        if sql.dialect() == Dialect::Sqlite {
            return sql.reader().query_all_raw(statement).await;
        }
        let mut dead = 0;
        loop {
            let asked = rows(self.connection(sql).await?, statement.clone());
            match sql.writer().patience().wait(asked).await {
                Ok(rows) => return Ok(rows),
                Err(error) => self.give_up(error, &mut dead)?,
            }
        }
    }

    /// Another connection is to be taken.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// If it is the connection that died, another one is tried; more often than there are connections it is not that.
    fn give_up(&mut self, error: sqlx::Error, dead: &mut u32) -> Result<(), DbErr> {
        self.forget();
        *dead += 1;
        if is_dead(&error) && *dead <= WRITERS_MAX { Ok(()) } else { Err(failed(error)) }
    }
}

/// A transaction that writes. Dropped before its end, it is rolled back.
pub(super) enum Write<'c> {
    Pooled(DatabaseTransaction),
    Kept(Transaction<'c>),
}

pub(super) struct Transaction<'c> {
    /// Always there. Whoever writes has it for themselves; only that the compiler cannot see.
    connection: Mutex<&'c mut Option<PoolConnection<Postgres>>>,
    patience: Patience,
    is_over: bool,
}

impl Write<'_> {
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        match self {
            Self::Pooled(write) => write.commit().await,
            Self::Kept(write) => write.end("COMMIT").await,
        }
    }

    pub(super) async fn roll_back(self) -> Result<(), DbErr> {
        match self {
            Self::Pooled(write) => write.rollback().await,
            Self::Kept(write) => write.end("ROLLBACK").await,
        }
    }
}

impl Transaction<'_> {
    async fn end(mut self, how: &'static str) -> Result<(), DbErr> {
        let said = say(there(self.connection.get_mut()).map_err(failed)?, how);
        self.patience.wait(said).await.map_err(failed)?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(mut connection) = self.connection.get_mut().take()
        {
            // Nobody is to go on where this one stopped.
            connection.close_on_drop();
        }
    }
}

fn there(connection: &mut Option<PoolConnection<Postgres>>) -> Result<&mut PgConnection, sqlx::Error> {
    connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
}

#[async_trait]
impl ConnectionTrait for Write<'_> {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Pooled(write) => write.get_database_backend(),
            Self::Kept(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Pooled(write) => write.execute_raw(statement).await,
            Self::Kept(write) => {
                let mut connection = write.connection.lock().await;
                let done = query_of(statement).map_err(failed)?.execute(there(&mut connection).map_err(failed)?);
                Ok(write.patience.wait(done).await.map_err(failed)?.into())
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Pooled(write) => write.execute_unprepared(sql).await,
            Self::Kept(write) => {
                let mut connection = write.connection.lock().await;
                let done = say(there(&mut connection).map_err(failed)?, sql);
                Ok(write.patience.wait(done).await.map_err(failed)?.into())
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Pooled(write) => write.query_one_raw(statement).await,
            Self::Kept(write) => {
                let mut connection = write.connection.lock().await;
                let found =
                    query_of(statement).map_err(failed)?.fetch_optional(there(&mut connection).map_err(failed)?);
                Ok(write.patience.wait(found).await.map_err(failed)?.map(PgRow::into))
            }
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Pooled(write) => write.query_all_raw(statement).await,
            Self::Kept(write) => {
                let mut connection = write.connection.lock().await;
                let found = rows(there(&mut connection).map_err(failed)?, statement);
                write.patience.wait(found).await.map_err(failed)
            }
        }
    }
}

/// Says something that needs no values.
async fn say(connection: &mut PgConnection, sql: &str) -> Result<PgQueryResult, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await
}

/// What is sent for a statement.
pub(super) fn query(text: String, values: Vec<Value>) -> Result<Query<'static, Postgres, PgArguments>, sqlx::Error> {
    let values = arguments(values).map_err(sqlx::Error::Encode)?;
    Ok(sqlx::query_with(AssertSqlSafe(text), values))
}

fn query_of(Statement { sql, values, .. }: Statement) -> Result<Query<'static, Postgres, PgArguments>, sqlx::Error> {
    query(sql, values.map_or_else(Vec::new, |values| values.0))
}

async fn rows(connection: &mut PgConnection, statement: Statement) -> Result<Vec<QueryResult>, sqlx::Error> {
    Ok(query_of(statement)?.fetch_all(connection).await?.into_iter().map(PgRow::into).collect())
}

pub(super) fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// Whether the connection is broken, or the database says goodbye on it.
pub(super) fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // 57P01, 57P02, 57P03: it shuts down, it crashed, it is not there yet.
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
