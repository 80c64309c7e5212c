//! SQL, behind the service's back.

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement, TryGetable};

/// One connection: what one statement begins, the next one is in.
pub async fn connect(url: &str) -> DatabaseConnection {
    Database::connect(ConnectOptions::new(url).max_connections(1).to_owned()).await.expect("a database")
}

/// Statements that must succeed. Answers how many rows they changed.
pub async fn execute(database: &DatabaseConnection, sql: &str) -> u64 {
    database.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected()
}

/// The one value that a question is answered with.
pub async fn value<T: TryGetable>(database: &DatabaseConnection, question: &str) -> T {
    let statement = Statement::from_string(database.get_database_backend(), question);
    let row = database.query_one_raw(statement).await.unwrap_or_else(|error| panic!("{question}: {error}"));
    row.expect("one row").try_get_by_index(0).unwrap_or_else(|error| panic!("{question}: {error}"))
}
