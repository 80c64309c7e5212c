//! What a release is booked on may be recalled: then the commit finds out whether anybody changed it since, here or in
//! another process.

use super::{
    Ports,
    sample::{
        booked, carried, carry, count, fresh, insert, moves, policy, read, recipient, release, seconds, update, version,
    },
};
use crate::harness::{databases, home::Engine, on_both_databases};
use adapters::sql::Sql;
use app::{
    change::{Change, New, Update},
    job::{Job, JobKind},
    ports::{
        CommitError,
        repository::{Basis, InForce, Moment, Wanted},
    },
};
use domain::{
    ids::{BatchId, JobId},
    recipient::RecipientStatus,
    revenue_model::ModelVersion,
    timestamp::Timestamp,
};
use futures_util::future::join_all;
use sea_orm::{
    ConnectionTrait, DbBackend, Statement,
    sqlx::{self, Connection, PgConnection, Row},
};
use std::{any::Any, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

on_both_databases! {
    what_nobody_changed_holds
    every_fact_that_is_changed_elsewhere_is_noticed
    a_clock_that_is_moved_is_noticed_and_one_that_runs_brings_the_next_version
    of_many_at_once_only_those_are_refused_whose_facts_were_changed
}

/// Two processes on one database, with a project that pays rec_ana and rec_cle, of whom only rec_ana is registered.
struct Scene {
    here: Ports,
    there: Ports,
    there_sql: Sql,
    now: Timestamp,
    url: String,
    _database: Box<dyn Any + Send + Sync>,
}

impl Scene {
    async fn new(engine: Engine) -> Self {
        let (here, url, database): (Sql, String, Box<dyn Any + Send + Sync>) = match engine {
            Engine::Sqlite => {
                let (here, folder) = databases::sqlite().await;
                (here, databases::sqlite_url(&folder), Box::new(folder))
            }
            Engine::Postgres => {
                let (here, database) = databases::postgres().await;
                (here, database.url().to_owned(), Box::new(database))
            }
        };
        let there_sql = Sql::connect(&url).await.unwrap();
        let (here, there) = (Ports::of(Arc::new(here)), Ports::of(Arc::new(there_sql.clone())));
        let now = here.now().await;
        here.commit(insert(New::ModelVersion(version("prj_film", 1, now)))).await;
        here.commit(insert(New::Recipient(recipient("rec_ana", now)))).await;
        Self { here, there, there_sql, now, url, _database: database }
    }

    async fn look(&self) -> Basis {
        self.here.repository.basis(&wanted(true)).await.unwrap()
    }

    /// What is recalled, once it is.
    async fn recalled(&self) -> Basis {
        let recalled = async {
            loop {
                let basis = self.look().await;
                if basis.recalled.is_some() {
                    return basis;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(seconds(20), recalled).await.expect("it is recalled")
    }

    /// Runs a statement elsewhere, and answers a number.
    async fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let row = self.there_sql.database().query_one_raw(statement).await;
        row.unwrap().map_or(0, |row| row.try_get_by_index(0).unwrap())
    }
}

fn wanted(may_be_recalled: bool) -> Wanted {
    let recipients = ["rec_ana", "rec_cle"];
    Wanted {
        project: read("prj_film"),
        as_of: None,
        recipients: recipients.map(read).to_vec(),
        counters: recipients.map(carried).to_vec(),
        may_be_recalled,
    }
}

/// Changes that were decided on what was recalled then: one that is written as releases are, and two that are not.
fn decided(now: Timestamp, recalled: &Option<Moment>) -> [Change; 3] {
    let carry = carry("rec_ana", 5, now).change();
    let also = Job { id: JobId::new(fresh()), kind: JobKind::EscheatItems(BatchId::new(fresh())), run_at: now };
    let released = || release(now).pay("rec_ana", 500);
    let mut waking = released().change();
    waking.wake.push(also);
    [released().change(), waking, carry].map(|change| Change { recalled: recalled.clone(), ..change })
}

async fn assert_outdated(scene: &Scene, recalled: &Option<Moment>) {
    for change in decided(scene.now, recalled) {
        let committed = scene.here.repository.commit(change.clone()).await;
        assert!(matches!(committed, Err(CommitError::Stale)), "{committed:?}");
        scene.here.commit(Change { recalled: None, ..change }).await;
    }
}

async fn what_nobody_changed_holds(engine: Engine) {
    let scene = Scene::new(engine).await;
    let read = scene.here.repository.basis(&wanted(false)).await.unwrap();
    assert_eq!(read.recalled, None);
    let recalled = scene.recalled().await;
    assert!(read.now <= recalled.now && recalled.now <= scene.here.now().await);
    assert_eq!(Basis { now: read.now, recalled: None, ..recalled.clone() }, read);
    for change in decided(scene.now, &recalled.recalled) {
        scene.here.commit(change).await;
    }
    // A release changes nothing that others are booked on.
    assert!(scene.look().await.recalled.is_some());
}

async fn every_fact_that_is_changed_elsewhere_is_noticed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (there, now) = (&scene.there.repository, scene.now);
    let batch = booked(&scene.there).await.batch.id;
    let mut ana = there.recipients(&[read("rec_ana")]).await.unwrap().remove(0);
    ana.value.status = RecipientStatus::Pending;
    let changes = [
        insert(New::Recipient(recipient("rec_cle", now))),
        update(Update::Recipient(ana)),
        insert(New::ModelVersion(version("prj_film", 2, now))),
        insert(New::Policy(policy(1, now))),
        // After this one nothing is recalled any more: releases move what is counted.
        moves([count(&carried("rec_ana"), Some(0), 7, batch)]),
    ];
    for change in changes {
        let before = scene.recalled().await;
        there.commit(change.clone()).await.unwrap();
        assert_outdated(&scene, &before.recalled).await;
        let after = scene.look().await;
        assert_eq!(after.recalled, None, "one that was refused for it has it read again: {change:?}");
        assert_ne!(Basis { now: before.now, ..after }, Basis { recalled: None, ..before }, "{change:?}");
    }
    sleep(seconds(2)).await;
    for _ in 0..3 {
        assert_eq!(scene.look().await.recalled, None, "a counter that exists is read");
    }
}

async fn a_clock_that_is_moved_is_noticed_and_one_that_runs_brings_the_next_version(engine: Engine) {
    let scene = Scene::new(engine).await;
    let before = scene.recalled().await;
    scene.there_sql.advance_clock(seconds(3_600)).await.unwrap();
    assert_outdated(&scene, &before.recalled).await;
    assert!(scene.look().await.now >= before.now.after(seconds(3_600)));

    let (soon, later) = (scene.here.now().await.after(seconds(3)), scene.here.now().await.after(seconds(5)));
    let next = ModelVersion { effective_to: Some(later), ..version("prj_film", 2, soon) };
    scene.there.commit(insert(New::ModelVersion(next))).await;
    loop {
        let basis = scene.look().await;
        let InForce::Version(version) = &basis.in_force else { panic!("{basis:?}") };
        let expected = if basis.now >= soon && basis.now < later { 2 } else { 1 };
        assert!(version.version == expected || basis.recalled.is_some() && basis.now < soon, "{basis:?}");
        if basis.now >= later && basis.recalled.is_some() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// After a failover transactions have other names.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_told_does_not_hold() {
    let scene = Scene::new(Engine::Postgres).await;
    let Moment(moment) = scene.recalled().await.recalled.unwrap();
    let (seen, server) = moment.rsplit_once('@').unwrap();
    assert_outdated(&scene, &Some(Moment(format!("{seen}@1{server}")))).await;
}

/// After a crash a transaction may be named as one was that left nothing behind: a note of it is younger than the moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_transaction_that_is_given_again_is_noticed() {
    let scene = Scene::new(Engine::Postgres).await;
    let before = scene.recalled().await.recalled;
    scene.there.commit(insert(New::Policy(policy(1, scene.now)))).await;
    let older = "UPDATE fact_notes SET changed_by = '3'";
    scene.there_sql.database().execute_unprepared(older).await.unwrap();
    assert_outdated(&scene, &before).await;
}

/// A copy of the database on another server has notes of the old one: nobody depends on those.
#[tokio::test(flavor = "multi_thread")]
async fn notes_of_another_server_count_for_nothing_and_go() {
    let scene = Scene::new(Engine::Postgres).await;
    let of_another = "INSERT INTO fact_notes (server, changed_by, oldest, noted_at)
                      VALUES ('1', '9000000000000000000', '9000000000000000000', now() - interval '1 day'),
                             ('1', '9000000000000000000', '9000000000000000000', now() + interval '1 day')";
    scene.there_sql.database().execute_unprepared(of_another).await.unwrap();
    let recalled = scene.recalled().await.recalled;
    for change in decided(scene.now, &recalled) {
        scene.here.commit(change).await;
    }
    scene.there.commit(insert(New::Policy(policy(1, scene.now)))).await;
    assert_outdated(&scene, &recalled).await;
    assert_eq!(scene.number("SELECT count(*) FROM fact_notes WHERE server = '1'").await, 0);
}

async fn of_many_at_once_only_those_are_refused_whose_facts_were_changed(engine: Engine) {
    let scene = Scene::new(engine).await;
    let before = scene.recalled().await.recalled;
    scene.there.commit(insert(New::Policy(policy(1, scene.now)))).await;
    assert_outdated(&scene, &before).await;
    let after = scene.recalled().await.recalled;
    let moments = [before, after, None];
    let releases = (0..90).map(|number| {
        let recalled = moments[number % 3].clone();
        Change { recalled, ..release(scene.now).pay("rec_ana", 500).change() }
    });
    let committed = join_all(releases.map(|change| scene.here.repository.commit(change))).await;
    for (number, committed) in committed.into_iter().enumerate() {
        match number % 3 {
            0 => assert!(matches!(committed, Err(CommitError::Stale)), "{committed:?}"),
            _ => committed.unwrap(),
        }
    }
}

/// A note goes once nobody can depend on it any more, and that is not a question of when it was written: its transaction
/// may go on for long.
#[tokio::test(flavor = "multi_thread")]
async fn notes_do_not_pile_up_and_that_of_a_long_transaction_stays() {
    let scene = Scene::new(Engine::Postgres).await;
    let mut long = PgConnection::connect(&scene.url).await.unwrap();
    let begun = "BEGIN; UPDATE recipients SET status = 'pending' WHERE id = 'rec_ana'";
    sqlx::raw_sql(begun).execute(&mut long).await.unwrap();
    let name = sqlx::query("SELECT pg_current_xact_id()::text").fetch_one(&mut long).await.unwrap();
    let of_it = format!("SELECT count(*) FROM fact_notes WHERE changed_by = '{}'", name.get::<String, _>(0));
    let note =
        || scene.there.commit(insert(New::Recipient(recipient(&format!("rec_{}", fresh().simple()), scene.now))));
    let age = || async {
        let age = "UPDATE fact_notes SET noted_at = noted_at - interval '1 hour'";
        scene.there_sql.database().execute_unprepared(age).await.unwrap();
    };
    for _ in 0..20 {
        note().await;
        age().await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut long).await.unwrap();
    age().await;
    note().await;
    assert_eq!(scene.number(&of_it).await, 1, "when the last of those was written, it was under way");
    // Whoever begins a counter takes some along, too.
    let batch = booked(&scene.there).await.batch.id;
    let begins = || {
        let key = carried(&format!("rec_{}", fresh().simple()));
        scene.there.commit(moves([count(&key, Some(0), 7, batch)]))
    };
    let gone = async {
        while scene.number("SELECT count(*) FROM fact_notes").await > 3 {
            age().await;
            begins().await;
        }
    };
    // Whoever else uses the server may have a transaction that is as long.
    timeout(seconds(120), gone).await.expect("they go");
    assert_eq!(scene.number(&of_it).await, 0);
}
