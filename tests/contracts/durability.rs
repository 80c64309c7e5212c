//! Whether a commit that was answered stays, as the settings of a database say: asked of a real one with a real standby.
//! Nothing is committed here, and nothing fails over.

use crate::harness::{cluster::Cluster, databases};
use adapters::sql::{Loss, Sql};
use sea_orm::ConnectionTrait;
use std::time::{Duration, Instant};

/// Waits until the database says so.
async fn becomes(sql: &Sql, expected: Option<Loss>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = sql.loses_commits().await.unwrap();
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "it is {found:?} and never {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn set(sql: &Sql, setting: &str) {
    for statement in [format!("ALTER SYSTEM SET {setting}"), "SELECT pg_reload_conf()".to_owned()] {
        sql.database().execute_unprepared(&statement).await.unwrap();
    }
}

#[tokio::test]
async fn the_settings_of_a_primary_say_whether_it_waits_for_its_standby() {
    let primary = Cluster::new().await;
    let sql = Sql::connect(&primary.url()).await.unwrap();
    assert_eq!(sql.loses_commits().await.unwrap(), None, "alone it has nobody to wait for");
    let _standby = primary.standby().await;
    becomes(&sql, Some(Loss::AtAFailover)).await;
    set(&sql, "synchronous_standby_names = '*'").await;
    becomes(&sql, None).await;
    set(&sql, "synchronous_commit = 'local'").await;
    becomes(&sql, Some(Loss::AtAFailover)).await;
    set(&sql, "synchronous_commit = 'off'").await;
    becomes(&sql, Some(Loss::AtACrash)).await;
}

#[tokio::test]
async fn a_file_says_that_it_keeps_what_it_acknowledged() {
    let (sql, _folder) = databases::sqlite().await;
    assert_eq!(sql.loses_commits().await.unwrap(), None);
}
