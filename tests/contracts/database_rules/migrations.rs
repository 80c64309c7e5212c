//! The schema is made once, by whoever starts first, and a database that another version made is left alone.

use super::run;
use crate::harness::databases;
use adapters::sql::{Sql, SqlError};

/// As many processes as start at once.
async fn assert_all_migrate(url: &str) {
    let starting = (0..6).map(|_| {
        let url = url.to_owned();
        tokio::spawn(async move {
            let sql = Sql::connect(&url).await?;
            sql.migrate().await?;
            sql.migrations().await
        })
    });
    for started in starting.collect::<Vec<_>>() {
        let known = started.await.unwrap().unwrap();
        assert!(!known.is_empty() && known.iter().all(|known| known.applied));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_migrate_a_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    assert_all_migrate(&databases::sqlite_url(&folder)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_migrate_a_server_at_once() {
    let database = databases::PostgresDatabase::create().await;
    assert_all_migrate(database.url()).await;
}

/// Looking changes nothing: not even the table of migrations is made.
async fn assert_looking_changes_nothing(sql: &Sql) {
    for _ in 0..2 {
        assert!(sql.migrations().await.unwrap().iter().all(|known| !known.applied));
    }
    assert!(run(sql, "SELECT * FROM seaql_migrations").await.is_err());
}

#[tokio::test]
async fn a_new_file_is_made_with_its_folders_and_is_not_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b c/disburse.db");
    let sql = Sql::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    assert!(file.exists());
    assert_looking_changes_nothing(&sql).await;
}

#[tokio::test]
async fn an_empty_server_is_not_migrated() {
    let database = databases::PostgresDatabase::create().await;
    assert_looking_changes_nothing(&Sql::connect(database.url()).await.unwrap()).await;
}

#[tokio::test]
async fn another_kind_of_database_is_refused() {
    for url in ["", "disburse.db", "mysql://localhost/disburse"] {
        assert!(matches!(Sql::connect(url).await, Err(SqlError::UnknownScheme)), "{url}");
    }
}

/// That a database with such a step in its history is neither used nor changed, and that the error says why.
async fn assert_left_alone(sql: &Sql, history: &str, unknown: &str) {
    run(sql, history).await.unwrap();
    for _ in 0..2 {
        let migrated = sql.migrate().await;
        let looked = sql.migrations().await.map(drop);
        for refused in [migrated, looked] {
            let error = refused.expect_err("it is not ours");
            assert!(matches!(error, SqlError::OtherVersion(_)), "{error:?}");
            let message = error.to_string();
            assert!(message.contains("another version") && message.contains(unknown), "{message}");
        }
    }
}

/// What a version leaves that knew other steps: only their names.
const EMPTY_HISTORY: &str = "CREATE TABLE seaql_migrations (version varchar(255) NOT NULL PRIMARY KEY,
    applied_at bigint NOT NULL); INSERT INTO seaql_migrations (version, applied_at) VALUES ";

async fn assert_other_versions_are_refused(empty: &Sql, ours: &Sql) {
    let earlier = "('m0001_tables', 1767225600), ('m0002_idempotency', 1767225600)";
    for statement in format!("{EMPTY_HISTORY}{earlier}").split(';') {
        run(empty, statement).await.unwrap();
    }
    assert_left_alone(empty, "UPDATE seaql_migrations SET applied_at = 1", "`m0001_tables`").await;
    assert!(run(empty, "SELECT * FROM batches").await.is_err(), "nothing was made beside what is there");
    // All of ours and more: a newer version was here.
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9998_b', 1), ('m9999_a', 1)";
    assert_left_alone(ours, newer, "`m9998_b`, `m9999_a`").await;
}

#[tokio::test]
async fn a_file_that_another_version_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = Sql::connect(&databases::sqlite_url(&folder)).await.unwrap();
    let (ours, _folder) = databases::sqlite().await;
    assert_other_versions_are_refused(&empty, &ours).await;
}

#[tokio::test]
async fn a_server_that_another_version_migrated_is_refused() {
    let database = databases::PostgresDatabase::create().await;
    let empty = Sql::connect(database.url()).await.unwrap();
    let (ours, _database) = databases::postgres().await;
    assert_other_versions_are_refused(&empty, &ours).await;
}
