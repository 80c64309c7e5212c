//! Two processes on one PostgreSQL: who waits for jobs is told of those that the other one committed. A process is a
//! handle of its own here; nothing else do they share.

use super::{
    Ports,
    bench::{LEASE, PAST_LEASE},
    sample::{enqueue, job, seconds},
    waiting::{assert_soon, worker},
};
use crate::harness::{
    cluster::Cluster,
    databases::{self, PostgresDatabase},
};
use adapters::sql::Sql;
use app::{
    change::Change,
    job::{Job, LeaseStep},
};
use sea_orm::{ConnectionTrait, sqlx::postgres::PgListener};
use std::{sync::Arc, time::Duration};

/// How the database shows connections that listen.
const LISTENERS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = \
                         'disburse listener' AND query LIKE 'LISTEN%'";
/// Long enough for a cry to be heard, mostly.
const A_WHILE: Duration = Duration::from_millis(300);

/// Who commits, and who waits for it.
async fn two_processes() -> (Sql, Sql, PostgresDatabase) {
    let (here, database) = databases::postgres().await;
    let there = Sql::connect(database.url()).await.unwrap();
    (here, there, database)
}

fn ports(sql: &Sql) -> Ports {
    Ports::of(Arc::new(sql.clone()))
}

async fn number(sql: &Sql, query: &str) -> i64 {
    let row = sql.database().query_one_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, query)).await;
    row.unwrap().expect("a row").try_get_by_index(0).unwrap()
}

/// Waits until so many listen.
async fn listeners(sql: &Sql, expected: i64) {
    let count = format!("SELECT count(*) {LISTENERS}");
    assert_soon(async {
        while number(sql, &count).await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Waits for nothing in particular, which makes a process listen, and until it does.
async fn listens(sql: &Sql) {
    ports(sql).jobs.wait(Duration::ZERO).await;
    listeners(sql, 1).await;
}

/// Who waits there is told of what is committed here.
async fn assert_heard(here: &Sql, there: &Sql) {
    let is_claimed = worker(&ports(there));
    tokio::time::sleep(A_WHILE).await;
    ports(here).commit(enqueue(&job(ports(here).now().await))).await;
    assert_soon(is_claimed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_claimed_by_whoever_waits_in_another_process() {
    let (here, there, _database) = two_processes().await;
    let (here, there) = (ports(&here), ports(&there));
    for turn in 0..40 {
        let worker = worker(&there);
        tokio::time::sleep(Duration::from_millis(turn * 7 % 40)).await;
        here.commit(enqueue(&job(here.now().await))).await;
        assert_soon(worker).await.unwrap();
    }
    // Both wait, and both are told, whoever commits.
    for ports in [&here, &there] {
        let workers = [worker(&here), worker(&there)];
        tokio::time::sleep(A_WHILE).await;
        for _ in &workers {
            ports.commit(enqueue(&job(ports.now().await))).await;
        }
        for worker in workers {
            assert_soon(worker).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_becomes_due_is_claimed_by_whoever_waits_in_another_process() {
    let (sql, there, _database) = two_processes().await;
    let (here, there) = (ports(&sql), ports(&there));
    listens(&sql).await;
    let now = here.now().await;

    // Its time comes, then it is given back, then woken.
    here.commit(enqueue(&job(now.after(seconds(60))))).await;
    let is_claimed = worker(&there);
    tokio::time::sleep(A_WHILE).await;
    sql.advance_clock(PAST_LEASE).await.unwrap();
    assert_soon(is_claimed).await.unwrap();

    sql.advance_clock(PAST_LEASE).await.unwrap();
    let lease = here.claim_one().await.lease;
    let is_claimed = worker(&there);
    tokio::time::sleep(A_WHILE).await;
    here.jobs.release(&lease, Duration::ZERO).await.unwrap();
    assert_soon(is_claimed).await.unwrap();

    let later = job(here.now().await.after(seconds(6000)));
    here.commit(enqueue(&later)).await;
    let is_claimed = worker(&there);
    tokio::time::sleep(A_WHILE).await;
    let wake = vec![Job { run_at: here.now().await, ..later }];
    here.commit(Change { wake, ..Change::default() }).await;
    assert_soon(is_claimed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_was_cut_off_listens_again_and_looks_for_what_it_missed() {
    let (here, there, _database) = two_processes().await;
    listens(&there).await;
    for _ in 0..2 {
        let is_claimed = worker(&ports(&there));
        tokio::time::sleep(A_WHILE).await;
        let cut = number(&here, &format!("SELECT count(pg_terminate_backend(pid)) {LISTENERS}")).await;
        assert_eq!(cut, 1);
        listeners(&here, 0).await;
        let missed = job(ports(&here).now().await);
        ports(&here).commit(enqueue(&missed)).await;
        assert_soon(is_claimed).await.unwrap();

        listeners(&here, 1).await;
        assert_heard(&here, &there).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_outlives_the_database() {
    let mut cluster = Cluster::new().await;
    let here = Sql::connect(&cluster.url()).await.unwrap();
    here.migrate().await.unwrap();
    let there = Sql::connect(&cluster.url()).await.unwrap();
    listens(&there).await;
    cluster.kill();
    // Longer than it waits before it tries again: it finds nobody there.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    cluster.start().await;
    // Connections that broke are told by a failure, once each.
    let is_back = async |sql: &Sql| while ports(sql).jobs.claim(1, LEASE).await.is_err() {};
    assert_soon(async {
        for sql in [&here, &there] {
            is_back(sql).await;
        }
    })
    .await;
    listeners(&here, 1).await;
    assert_heard(&here, &there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cry_that_is_no_text_deafens_nobody() {
    let database = PostgresDatabase::of_bytes().await;
    let here = Sql::connect(database.url()).await.unwrap();
    here.migrate().await.unwrap();
    let there = Sql::connect(database.url()).await.unwrap();
    listens(&there).await;
    here.database().execute_unprepared("SELECT pg_notify('disburse_work', chr(255))").await.unwrap();
    for _ in 0..2 {
        let is_claimed = worker(&ports(&there));
        tokio::time::sleep(A_WHILE).await;
        ports(&here).commit(enqueue(&job(ports(&here).now().await))).await;
        assert_soon(is_claimed).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_commits_listens_to_nobody_and_who_is_gone_neither() {
    let (here, there, database) = two_processes().await;
    let worker = ports(&there);
    ports(&here).commit(enqueue(&job(ports(&here).now().await))).await;
    let lease = worker.claim_one().await.lease;
    worker.commit(Change { lease: Some(LeaseStep::Finish(lease)), ..Change::default() }).await;
    listeners(&here, 0).await;
    listens(&there).await;
    drop((there, worker));
    listeners(&here, 0).await;
    // Nothing of it is left.
    let third = Sql::connect(database.url()).await.unwrap();
    drop(here);
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND \
                  application_name LIKE 'disburse%' AND pid <> pg_backend_pid()";
    assert_soon(async {
        // Of the third, one more connection: where it writes.
        while number(&third, others).await > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_is_not_told_again_and_much_at_once_is_told_a_few_times() {
    let (here, there, database) = two_processes().await;
    let mut cries = PgListener::connect(database.url()).await.unwrap();
    cries.listen("disburse_work").await.unwrap();
    let mut count = async || {
        let mut count = 0;
        // An echo never ends.
        while count < 500
            && let Ok(cry) = tokio::time::timeout(A_WHILE, cries.recv()).await
        {
            cry.unwrap();
            count += 1;
        }
        count
    };
    let (here, there) = (ports(&here), ports(&there));
    let now = here.now().await;
    let workers = [worker(&here), worker(&there), worker(&there)];
    assert_eq!(count().await, 0, "to look is no news");
    here.commit(enqueue(&job(now))).await;
    assert_eq!(count().await, 1);
    for _ in 0..workers.len() - 1 {
        here.commit(enqueue(&job(now))).await;
    }
    for worker in workers {
        assert_soon(worker).await.unwrap();
    }
    count().await;
    let began = std::time::Instant::now();
    for _ in 0..100 {
        here.commit(enqueue(&job(now))).await;
    }
    let took = began.elapsed();
    let (cried, most) = (count().await, 2 + took.as_millis() / 10);
    assert!(cried >= 1 && cried <= most, "{cried} cries in {took:?}");
}
