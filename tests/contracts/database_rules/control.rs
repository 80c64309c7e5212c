//! Nobody approves what they made, nobody confirms what they proposed, and what was said stays said.

use super::{
    assert_append_only, assert_check, assert_never_removed, assert_refused, databases, is_postgres, lived_in, run,
    run_with,
};
use crate::contracts::sample::{approval, audited, policy, proposal, said, taken};
use adapters::sql::Sql;
use app::{
    change::{Change, New, PaidDestination},
    ports::{Clock, PayoutQueries, PayoutRepository, queries::BatchFilter, rail::Seen},
};
use domain::ids::BatchId;
use sea_orm::{ConnectOptions, ConnectionTrait, Database};

on_every_database! {
    nobody_approves_what_they_made
    nobody_confirms_what_they_proposed
    what_was_said_stays_said
    a_resolution_has_its_facts_and_no_others
    what_a_rail_said_has_its_facts_and_no_others
}

async fn only_batch(sql: &Sql) -> BatchId {
    sql.batches(BatchFilter::default(), crate::contracts::sample::first(1)).await.unwrap().data[0].id
}

/// Beside what [`lived_in`] writes, a row in every table of this file.
async fn decided(sql: &Sql) {
    lived_in(sql).await;
    let now = sql.now().await.unwrap();
    let found = sql.batch_for_execution(only_batch(sql).await).await.unwrap().unwrap();
    let order = &found.unresolved[0].value;
    let paid = PaidDestination { recipient: "rec_ana".parse().unwrap(), destination: [1; 32], at: now };
    let insert = vec![
        New::Approval(approval(&found.batch.value, "usr_ann", &[order.items[0].item], 1, now)),
        New::Policy(policy(1, now)),
        New::PaidDestination(paid),
        New::Resolution(proposal(order, 0, now)),
        New::RailEvent(taken(said("evt_1", Seen::Recalled), Some(order.id), now)),
    ];
    let audit = vec![audited("item.settle", now)];
    sql.commit(Change { insert, audit, ..Change::default() }).await.unwrap();
}

/// The yes of `approver` to the only batch, which `maker` is said to have scheduled.
async fn approve(sql: &Sql, maker: &str, approver: &str) -> Result<u64, String> {
    approve_over(sql.database(), only_batch(sql).await, maker, approver).await
}

async fn approve_over(
    connection: &impl ConnectionTrait,
    batch: BatchId,
    maker: &str,
    approver: &str,
) -> Result<u64, String> {
    let statement = "INSERT INTO approvals (batch_id, maker, approver, items, hash, created_at)
                     VALUES ($1, $2, $3, '{}', $4, 0)";
    let values = [batch.uuid().into(), maker.into(), approver.into(), vec![9_u8; 32].into()];
    run_with(connection, statement, values).await.map_err(|error| error.to_string().to_lowercase())
}

async fn nobody_approves_what_they_made(sql: &Sql) {
    lived_in(sql).await;
    let (by_maker, by_another) =
        if is_postgres(sql) { ("check constraint", "foreign key") } else { ("maker_is_checker", "maker_is_checker") };
    let error = approve(sql, "usr_operator", "usr_operator").await.expect_err("they made it");
    assert!(error.contains(by_maker), "{error}");
    let error = approve(sql, "usr_fake", "usr_operator").await.expect_err("somebody else made it");
    assert!(error.contains(by_another), "{error}");
    assert_refused(sql, "UPDATE batches SET scheduled_by = 'usr_fake'", "append_only").await;
    assert_eq!(approve(sql, "usr_operator", "usr_ann").await, Ok(1));
    approve(sql, "usr_operator", "usr_ann").await.expect_err("they said it before");
}

/// As the sqlite3 shell comes, and worse: a connection that holds neither foreign keys nor CHECKs.
#[tokio::test]
async fn a_connection_without_foreign_keys_approves_nothing_that_it_made() {
    let (sql, folder) = databases::sqlite().await;
    lived_in(&sql).await;
    let batch = only_batch(&sql).await;
    let lax = Database::connect(ConnectOptions::new(databases::sqlite_url(&folder)).max_connections(1).to_owned());
    let lax = lax.await.unwrap();
    for pragma in ["foreign_keys = OFF", "ignore_check_constraints = ON"] {
        lax.execute_unprepared(&format!("PRAGMA {pragma}")).await.unwrap();
    }
    let nobody: BatchId = "batch_00000000000000000000000000".parse().unwrap();
    for (batch, maker, approver) in [
        (batch, "usr_operator", "usr_operator"),
        (batch, "usr_zoe", "usr_operator"),
        (batch, "usr_zoe", "usr_ann"),
        (nobody, "usr_zoe", "usr_operator"),
    ] {
        let error = approve_over(&lax, batch, maker, approver).await.expect_err("a false maker");
        assert!(error.contains("maker_is_checker"), "{maker} {approver}: {error}");
    }
    lax.execute_unprepared("UPDATE batches SET scheduled_by = 'usr_zoe'").await.expect_err("they made it");
    // It is held for no other reason: what is true is taken over this connection, too.
    assert_eq!(approve_over(&lax, batch, "usr_operator", "usr_ann").await, Ok(1));
}

async fn nobody_confirms_what_they_proposed(sql: &Sql) {
    decided(sql).await;
    let confirm =
        |by: &str| format!("UPDATE resolutions SET status = 'confirmed', decided_at = 1, decided_by = '{by}'");
    assert_check(sql, &confirm("usr_ann")).await;
    assert_refused(sql, "UPDATE resolutions SET proposed_by = 'usr_other'", "append_only").await;
    assert_eq!(run(sql, &confirm("usr_bob")).await, Ok(1));
}

async fn what_was_said_stays_said(sql: &Sql) {
    decided(sql).await;
    assert_append_only(sql, "approvals", "approver = 'usr_eve'").await;
    assert_append_only(sql, "policies", "spec = '{}'").await;
    assert_append_only(sql, "paid_destinations", "created_at = 0").await;
    assert_append_only(sql, "rail_events", "verdict = 'applied'").await;
    assert_append_only(sql, "audit_log", "actor = 'usr_eve'").await;
    for edit in ["outcome = 'failed'", "evidence = 'x'", "note = 'x'", "proposed_at = 0", "item_id = item_id"] {
        assert_refused(sql, &format!("UPDATE resolutions SET {edit}"), "append_only").await;
    }
    assert_never_removed(sql, "resolutions").await;
}

async fn a_resolution_has_its_facts_and_no_others(sql: &Sql) {
    decided(sql).await;
    for edit in [
        "decided_by = 'usr_bob'",
        "decided_at = 1",
        "status = 'confirmed'",
        "status = 'confirmed', decided_at = 1",
        "status = 'confirmed', decided_by = 'usr_bob'",
        "status = 'withdrawn'",
        "status = 'withdrawn', decided_at = 1, decided_by = 'usr_bob'",
        "status = 'maybe'",
    ] {
        assert_check(sql, &format!("UPDATE resolutions SET {edit}")).await;
    }
    assert_eq!(run(sql, "UPDATE resolutions SET status = 'withdrawn', decided_at = 1").await, Ok(1));
}

async fn what_a_rail_said_has_its_facts_and_no_others(sql: &Sql) {
    let say = |columns: &str, values: &str| {
        format!(
            "INSERT INTO rail_events (rail, dedupe, about_kind, about_value, received_at, evidence, verdict, {columns})
             SELECT 'simulator', 'evt_1', 'item', 'W', 0, fingerprint, 'known', {values} FROM batches"
        )
    };
    lived_in(sql).await;
    for (columns, values) in [
        ("what", "'maybe'"),
        ("what", "'rejected'"),
        ("what, reason", "'rejected', 'no'"),
        ("what, reason, class", "'rejected', 'no', 'later'"),
        ("what, class", "'recalled', 'fail'"),
        ("what, reason", "'settled', 'no'"),
        ("what, reference", "'recalled', 'po_1'"),
        ("what, amount_minor", "'recalled', 1"),
        ("what, currency", "'recalled', 'USD'"),
        ("what, returned_minor, returned_currency", "'settled', 1, 'USD'"),
        ("what, reason", "'returned', 'no'"),
        ("what, reason, returned_minor", "'returned', 'no', 1"),
    ] {
        assert_check(sql, &say(columns, values)).await;
    }
    let known = say("what, reason, returned_minor, returned_currency", "'returned', 'no', 1, 'USD'");
    assert_eq!(run(sql, &known).await, Ok(1));
}
