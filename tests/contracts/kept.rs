//! Connections to PostgreSQL that are kept from one group to the next: when the database ends them, nobody is told so.

use super::{
    Ports,
    sample::{insert, recipient, release},
};
use crate::harness::{databases, silence::Silence};
use adapters::sql::Sql;
use app::{
    change::New,
    ports::{
        CommitError, DuplicateKey, StoreError,
        queries::{BatchFilter, Page},
        repository::Wanted,
    },
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

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
        may_be_recalled: false,
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

/// The machine of the database stops, and no connection to it is ever seen to break.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_left_for_the_one_that_took_over() {
    let (_, database) = databases::postgres().await;
    let way = Silence::to(database.url()).await;
    let ports = Ports::of(Arc::new(Sql::connect(way.url()).await.unwrap()));
    let now = ports.now().await;
    let wanted = Wanted {
        project: "prj_film".parse().unwrap(),
        as_of: None,
        recipients: vec![],
        counters: vec![],
        may_be_recalled: false,
    };
    let release = || release(now).pay("rec_ana", 500);
    let list = || ports.queries.batches(BatchFilter::default(), Page { after: None, limit: 1 });
    let claim = || ports.jobs.claim(1, Duration::from_secs(60));
    // Whoever is new to it connects.
    for _ in 0..3 {
        let (before, seen) = (release(), ports.repository.basis(&wanted));
        let (booked, seen, listed, claimed, unpublished) = tokio::join!(
            ports.repository.commit(before.change()),
            seen,
            list(),
            claim(),
            ports.outbox.unpublished(1, Duration::ZERO)
        );
        booked.unwrap();
        seen.unwrap();
        listed.unwrap();
        claimed.unwrap();
        unpublished.unwrap();
    }

    way.fall_silent();
    let lost = release();
    let all = async {
        tokio::join!(
            ports.repository.commit(lost.change()),
            ports.repository.basis(&wanted),
            list(),
            claim(),
            ports.queries.ping()
        )
    };
    let (booked, seen, listed, claimed, pinged) = timeout(Duration::from_secs(60), all).await.expect("an end");
    // What may be said again was said again, and of the rest it is told that it did not come about.
    booked.unwrap();
    seen.unwrap();
    for other in [listed.map(drop), claimed.map(drop), pinged] {
        assert!(matches!(other, Ok(()) | Err(StoreError::Unavailable(_))), "{other:?}");
    }
    let booked = ports.repository.batch_by_escrow(lost.escrow()).await.unwrap();
    assert_eq!(booked.map(|booked| booked.id), Some(lost.batch.id));

    // Nobody meets one of the old connections again.
    let after = release();
    let all = async {
        for _ in 0..20 {
            let (seen, listed, claimed, pinged) =
                tokio::join!(ports.repository.basis(&wanted), list(), claim(), ports.queries.ping());
            seen.unwrap();
            listed.unwrap();
            claimed.unwrap();
            pinged.unwrap();
        }
        ports.repository.commit(after.change()).await.unwrap();
    };
    timeout(Duration::from_secs(10), all).await.expect("at once");
}
