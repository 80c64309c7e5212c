//! Connections to PostgreSQL that are kept from one group to the next: when the database ends them, nobody is told so.

use super::{
    Ports,
    sample::{insert, recipient, release},
};
use crate::harness::databases;
use adapters::sql::Sql;
use app::{
    change::New,
    ports::{CommitError, DuplicateKey, StoreError, repository::Wanted},
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use std::sync::Arc;

/// The database says goodbye to whoever else uses it. Answers to how many.
async fn end_all_others(sql: &Sql) -> i64 {
    let ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let row = sql.database().query_one_raw(Statement::from_string(DbBackend::Postgres, ends)).await;
    row.unwrap().expect("a row").try_get_by_index(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_while_it_was_kept_is_replaced() {
    let (sql, database) = databases::postgres().await;
    let elsewhere = Sql::connect(database.url()).await.unwrap();
    let ports = Ports::of(Arc::new(sql));
    let now = ports.now().await;
    let name = |turn: u32| format!("rec_{turn}");
    let wanted = |turn| Wanted {
        project: "prj_film".parse().unwrap(),
        as_of: None,
        recipients: vec![name(turn).parse().unwrap()],
        counters: Vec::new(),
    };
    let store = |turn| ports.repository.commit(insert(New::Recipient(recipient(&name(turn), now))));
    for turn in 0..20 {
        let stored: Result<(), CommitError> = store(turn).await;
        stored.unwrap();
        if turn % 2 == 0 {
            assert!(end_all_others(&elsewhere).await >= 1);
        }
        let found: Result<_, StoreError> = ports.repository.basis(&wanted(turn)).await;
        assert_eq!(found.unwrap().recipients.len(), 1);
        if turn % 3 == 0 {
            assert!(end_all_others(&elsewhere).await >= 1);
        }
    }
}

/// A release is a transaction by itself: nobody can tell whether it was heard, and it is said again.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_booked_once_though_connections_end() {
    let (sql, database) = databases::postgres().await;
    let elsewhere = Sql::connect(database.url()).await.unwrap();
    let ports = Ports::of(Arc::new(sql));
    let now = ports.now().await;
    for turn in 0..60 {
        let first = release(now).pay("rec_ana", 500);
        let commit = ports.repository.commit(first.change());
        let ends = async { if turn % 2 == 0 { end_all_others(&elsewhere).await } else { 0 } };
        let (committed, _) = tokio::join!(commit, ends);
        committed.unwrap();
        let second = release(now).of_escrow(first.escrow()).pay("rec_ana", 500);
        let again = ports.repository.commit(second.change()).await;
        assert!(matches!(again, Err(CommitError::Duplicate(DuplicateKey::Escrow(_)))), "{again:?}");
        let booked = ports.repository.batch_by_escrow(first.escrow()).await.unwrap();
        assert_eq!(booked.map(|booked| booked.id), Some(first.batch.id));
    }
}
