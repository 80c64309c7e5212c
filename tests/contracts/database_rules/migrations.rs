//! The schema is made once, by whoever starts first, and a database that another version made is left alone.

use super::run;
use crate::harness::{
    databases,
    sql::{connect, execute},
};
use adapters::sql::{MigrationStatus, Sql, SqlError};
use std::time::{Duration, Instant};

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
    // A newer version was here, and one of ours was not: it comes from elsewhere.
    run(ours, "DELETE FROM seaql_migrations WHERE version = 'm0006_retention'").await.unwrap();
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9998_b', 1), ('m9999_a', 1)";
    assert_left_alone(ours, newer, "`m9998_b`, `m9999_a`").await;
}

/// All of ours and more: a newer version was here, and says whether this one may work beside it.
async fn assert_a_newer_version_is_heard(ours: &Sql) {
    let names = |known: &[MigrationStatus]| known.iter().map(|step| step.name.clone()).collect::<Vec<_>>();
    let before = names(&ours.migrations().await.unwrap());
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9998_b', 1), ('m9999_a', 1)";
    run(ours, newer).await.unwrap();
    // It took away what one of our steps replaced.
    run(ours, "INSERT INTO schema_needs (migration) VALUES ('m0007_needs')").await.unwrap();
    for _ in 0..2 {
        ours.migrate().await.unwrap();
        let known = ours.migrations().await.unwrap();
        assert!(known.iter().all(|step| step.applied && step.newer == step.name.starts_with("m9")), "{known:?}");
        assert_eq!(names(&known), [&before[..], &["m9998_b".to_owned(), "m9999_a".to_owned()]].concat());
    }
    // And then what a newer step replaced.
    run(ours, "INSERT INTO schema_needs (migration) VALUES ('m9998_b')").await.unwrap();
    for refused in [ours.migrate().await, ours.migrations().await.map(drop)] {
        let error = refused.expect_err("it left us behind");
        assert!(matches!(&error, SqlError::LeftBehind(steps) if steps == "`m9998_b`"), "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_a_newer_version_made_says_whether_this_one_may_use_it() {
    let (ours, _folder) = databases::sqlite().await;
    assert_a_newer_version_is_heard(&ours).await;
}

#[tokio::test]
async fn a_server_that_a_newer_version_migrated_says_whether_this_one_may_use_it() {
    let (ours, _database) = databases::postgres().await;
    assert_a_newer_version_is_heard(&ours).await;
}

/// Whoever reads a table for long must not make everybody wait for a step that waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn others_go_on_while_a_step_waits_for_a_table_that_somebody_uses() {
    let database = databases::PostgresDatabase::create().await;
    let ours = Sql::connect(database.url()).await.unwrap();
    ours.migrate().await.unwrap();
    // A step is to be taken again, on a table that is read for long.
    let writer = connect(database.url()).await;
    execute(&writer, "DROP INDEX jobs_done; DROP INDEX outbox_published").await;
    execute(&writer, "DELETE FROM seaql_migrations WHERE version = 'm0006_retention'").await;
    execute(&writer, "BEGIN; LOCK TABLE jobs IN ROW EXCLUSIVE MODE").await;
    let migrating = tokio::spawn({
        let url = database.url().to_owned();
        async move { Sql::connect(&url).await?.migrate().await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let other = connect(database.url()).await;
    let started = Instant::now();
    execute(&other, "UPDATE jobs SET woken = woken").await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(!migrating.is_finished());
    execute(&writer, "COMMIT").await;
    migrating.await.unwrap().unwrap();
    assert!(ours.migrations().await.unwrap().iter().all(|step| step.applied));
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
