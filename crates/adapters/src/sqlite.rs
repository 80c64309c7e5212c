//! What every pool of connections to a SQLite file needs, whichever file it is.

use sea_orm::{ConnectOptions, sqlx::Connection};

/// Closes a connection whose transaction SQLite ended by itself.
///
/// SQLite rolls a transaction back itself if the disk is full or fails. The `ROLLBACK` that follows is then an error,
/// and the driver goes on to count the connection as within a transaction: what it is asked to begin next would be a
/// savepoint in a transaction that nobody ever commits, and everything "committed" in it would be lost with the process.
pub(crate) fn never_reuse_what_is_unclear(options: &mut ConnectOptions) {
    options.map_sqlx_sqlite_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            Box::pin(async move {
                // The rollback of a transaction that was dropped is done by whoever comes next: that is this.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::{
        ConnectionTrait, Database, DatabaseConnection, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    };

    async fn count(database: &DatabaseConnection) -> i64 {
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT count(*) FROM things");
        database.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    fn begin() -> TransactionOptions {
        let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() }
    }

    /// The file may not grow, which is to SQLite as if the disk were full.
    #[tokio::test]
    async fn what_is_committed_after_the_disk_was_full_is_committed() {
        let file = std::env::temp_dir().join(format!("disburse-full-{}.db", std::process::id()));
        let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", file.display()));
        options.max_connections(1);
        never_reuse_what_is_unclear(&mut options);
        let writer = Database::connect(options).await.unwrap();
        writer.execute_unprepared("CREATE TABLE things (bytes BLOB NOT NULL)").await.unwrap();
        writer.execute_unprepared("PRAGMA max_page_count = 4").await.unwrap();

        let write = writer.begin_with_options(begin()).await.unwrap();
        let full = write.execute_unprepared("INSERT INTO things VALUES (zeroblob(100000))").await.unwrap_err();
        assert!(full.to_string().contains("full"), "{full}");
        let _ = write.rollback().await;

        // As the worker does it when there is nothing to do, and then somebody writes.
        writer.begin_with_options(begin()).await.unwrap().rollback().await.unwrap();
        let write = writer.begin_with_options(begin()).await.unwrap();
        write.execute_unprepared("INSERT INTO things VALUES (x'00')").await.unwrap();
        write.commit().await.unwrap();
        let other = Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
        assert_eq!(count(&other).await, 1, "nobody else sees what was committed");
        std::fs::remove_file(file).unwrap();
    }
}
