//! What orders that are taken together add to the book: the rows of a table go with one statement, because asking SQLite
//! takes longer than what it is asked to do.

use super::book::statement;
use crate::sql::bulk::{parts, unnamed_places};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};
use std::collections::HashSet;

/// The rows, table by table.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) transfers: Vec<[Value; 10]>,
    pub(super) keys: Vec<[Value; 4]>,
    pub(super) events: Vec<[Value; 7]>,
    pub(super) notifications: Vec<[Value; 8]>,
}

impl Entries {
    pub(super) async fn write(self, write: &DatabaseTransaction) -> Result<(), DbErr> {
        let Self { transfers, keys, events, notifications } = self;
        add(write, "INSERT INTO transfers", transfers).await?;
        // A key that was forgotten is taken anew.
        add(write, "INSERT OR REPLACE INTO keys", keys).await?;
        add(write, "INSERT INTO events", events).await?;
        add(write, "INSERT INTO notifications", notifications).await
    }
}

async fn add<const N: usize>(write: &DatabaseTransaction, into: &str, rows: Vec<[Value; N]>) -> Result<(), DbErr> {
    for part in parts(rows) {
        let sql = format!("{into} VALUES {}", unnamed_places(part.len(), N));
        write.execute_raw(statement(&sql, part.into_iter().flatten())).await?;
    }
    Ok(())
}

/// Those of the keys under which something was done before, be it long ago.
pub(super) async fn known<'k>(
    write: &DatabaseTransaction,
    keys: impl Iterator<Item = &'k str>,
) -> Result<HashSet<String>, DbErr> {
    let mut known = HashSet::new();
    for part in parts(keys.collect()) {
        let sql =
            format!("SELECT idempotency_key FROM keys WHERE idempotency_key IN {}", unnamed_places(1, part.len()));
        for row in write.query_all_raw(statement(&sql, part.into_iter().map(Value::from))).await? {
            known.insert(row.try_get_by_index(0)?);
        }
    }
    Ok(known)
}
