//! What the database itself refuses, whoever writes and with whatever program.
//!
//! * here: batches, items and instructions, the ledger, jobs
//! * `revenue`: lines, counters, and what was taken back
//! * `control`: approvals, resolutions, what rails said, and who did what
//! * `migrations`: the schema, and databases that are not ours

use super::{
    bench::LEASE,
    sample::{self, fresh, release},
};
use crate::harness::databases;
use adapters::sql::Sql;
use app::{
    change::{Change, New},
    idempotency::{Claim, IdempotencyKey, KeyedRequest},
    ports::{
        Clock, CommitError, IdempotencyKeys, PayoutQueries, PayoutRepository, StoreError, idempotency::Claiming,
        queries::TransactionFilter,
    },
};
use domain::{
    batch::{Batch, Fingerprint},
    item::Item,
};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionOptions, TransactionTrait, Value,
};
use uuid::Uuid;

/// A named test of each rule, for each database.
macro_rules! on_every_database {
    ($($rule:ident)+) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $rule() {
                let (sql, _folder) = super::databases::sqlite().await;
                super::$rule(&sql).await;
            }
        )+}
        mod postgres {$(
            #[tokio::test]
            async fn $rule() {
                let (sql, _database) = super::databases::postgres().await;
                super::$rule(&sql).await;
            }
        )+}
    };
}

mod control;
mod migrations;
mod revenue;

on_every_database! {
    the_ledger_cannot_be_edited
    a_model_version_cannot_be_edited
    a_ledger_transaction_is_balanced_or_does_not_exist
    a_ledger_transaction_takes_no_more_entries
    entries_need_their_header
    entries_come_with_their_header_or_before_it
    what_a_batch_owes_cannot_be_edited
    what_an_instruction_orders_cannot_be_edited
    a_state_has_its_facts_and_no_others
    amounts_add_up
    an_item_is_in_one_live_instruction
    the_clock_has_one_row
    a_key_is_claimed_or_answered
}

/// Puts a row into every table: a batch of two items that was sent, a model and a recipient.
async fn lived_in(sql: &Sql) {
    let now = sql.now().await.unwrap();
    let release = release(now).pay_less("rec_ana", 700, 50, 30).pay("rec_bob", 300);
    sql.commit(release.change()).await.unwrap();
    let found = sql.batch_for_execution(release.batch.id).await.unwrap().unwrap();
    let (_, sent) = sample::send(&found, &[0, 1], now);
    sql.commit(sent).await.unwrap();
    let version = New::ModelVersion(sample::version("prj_film", 1, now));
    let recipient = New::Recipient(sample::recipient("rec_ana", now));
    sql.commit(Change { insert: vec![version, recipient], ..Change::default() }).await.unwrap();
}

async fn run(sql: &Sql, statement: &str) -> Result<u64, String> {
    run_with(sql.database(), statement, []).await.map_err(|error| error.to_string())
}

async fn run_with(
    connection: &impl ConnectionTrait,
    statement: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, DbErr> {
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), statement, values);
    Ok(connection.execute_raw(statement).await?.rows_affected())
}

/// That a statement is refused, and for that reason.
async fn assert_refused(sql: &Sql, statement: &str, reason: &str) {
    let error = run(sql, statement).await.expect_err(statement);
    assert!(error.contains(reason), "{statement}: {error}");
}

fn is_postgres(sql: &Sql) -> bool {
    sql.database().get_database_backend() == DbBackend::Postgres
}

async fn assert_append_only(sql: &Sql, table: &str, edit: &str) {
    assert_refused(sql, &format!("UPDATE {table} SET {edit}"), "append_only").await;
    assert_never_removed(sql, table).await;
}

async fn assert_never_removed(sql: &Sql, table: &str) {
    assert_refused(sql, &format!("DELETE FROM {table}"), "append_only").await;
    if is_postgres(sql) {
        assert_refused(sql, &format!("TRUNCATE {table} CASCADE"), "append_only").await;
    } else {
        // The row would be removed and written anew.
        assert_refused(sql, &format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}"), "append_only").await;
    }
}

async fn the_ledger_cannot_be_edited(sql: &Sql) {
    lived_in(sql).await;
    assert_append_only(sql, "ledger_entries", "amount_minor = amount_minor * 2").await;
    assert_append_only(sql, "ledger_entries", "amount_minor = amount_minor").await;
    assert_append_only(sql, "ledger_transactions", "kind = 'paid'").await;
    assert_eq!(sql.books().await.unwrap().unbalanced_transactions, 0);
}

async fn a_model_version_cannot_be_edited(sql: &Sql) {
    lived_in(sql).await;
    assert_append_only(sql, "revenue_models", "status = 'draft'").await;
}

async fn begin(sql: &Sql) -> Result<DatabaseTransaction, DbErr> {
    sql.database().begin_with_options(TransactionOptions::default()).await
}

/// Writes entries (currency and amount), then their header in USD.
async fn post(sql: &Sql, entries: &[(&str, i64)]) -> Result<(), DbErr> {
    let transaction = begin(sql).await?;
    let id = fresh();
    for ((currency, amount_minor), seq) in entries.iter().zip(0_i64..) {
        entry(&transaction, id, seq, currency, *amount_minor).await?;
    }
    header(&transaction, id).await?;
    transaction.commit().await
}

async fn entry(
    connection: &impl ConnectionTrait,
    transaction: Uuid,
    seq: i64,
    currency: &str,
    amount_minor: i64,
) -> Result<u64, DbErr> {
    let statement = "INSERT INTO ledger_entries
                       (transaction_id, seq, account_kind, account_subject, currency, amount_minor)
                     VALUES ($1, $2, 'platform_fees', '', $3, $4)";
    run_with(connection, statement, [transaction.into(), seq.into(), currency.into(), amount_minor.into()]).await
}

async fn header(connection: &impl ConnectionTrait, transaction: Uuid) -> Result<u64, DbErr> {
    let statement = "INSERT INTO ledger_transactions (id, kind, batch_id, currency, posted_at)
                     VALUES ($1, 'released', $2, 'USD', 0)";
    run_with(connection, statement, [transaction.into(), fresh().into()]).await
}

async fn a_ledger_transaction_is_balanced_or_does_not_exist(sql: &Sql) {
    let max = i64::MAX;
    for balanced in [&[("USD", 5), ("USD", -5)][..], &[("USD", max), ("USD", 1 - max), ("USD", -1)]] {
        post(sql, balanced).await.unwrap();
    }
    for unbalanced in [
        &[][..],
        &[("USD", 5)],
        &[("USD", 5), ("USD", -4)],
        &[("USD", 1_000_000), ("USD", -1)],
        &[("USD", 5), ("EUR", -5)],
        &[("EUR", 5), ("EUR", -5)],
        &[("USD", max), ("USD", max), ("USD", 2)],
    ] {
        let error = post(sql, unbalanced).await.expect_err("it does not add up").to_string();
        assert!(error.contains("unbalanced"), "{unbalanced:?}: {error}");
    }
    assert!(post(sql, &[("USD", 0), ("USD", 0)]).await.is_err(), "an entry of zero says nothing");
}

async fn a_ledger_transaction_takes_no_more_entries(sql: &Sql) {
    lived_in(sql).await;
    let known = sql.transactions(TransactionFilter::default(), sample::first(100)).await.unwrap().data;
    assert_eq!(known.len(), 4);
    for transaction in known {
        let error = entry(sql.database(), transaction.id().uuid(), 100, "USD", 5).await.expect_err("it is closed");
        assert!(error.to_string().contains("append_only"), "{error}");
    }
}

async fn entries_need_their_header(sql: &Sql) {
    let error = entry(sql.database(), fresh(), 0, "USD", 5).await.expect_err("there is no header").to_string();
    assert!(error.to_lowercase().contains("foreign key"), "{error}");
}

/// On PostgreSQL entries and header may come with one statement, in which neither is there before the other.
async fn entries_come_with_their_header_or_before_it(sql: &Sql) {
    let write = |id: Uuid, amounts: [i64; 2]| {
        format!(
            "WITH entries AS (
               INSERT INTO ledger_entries (transaction_id, seq, account_kind, account_subject, currency, amount_minor)
               VALUES ('{id}', 0, 'platform_fees', '', 'USD', {}), ('{id}', 1, 'fee_tax', '', 'USD', {}))
             INSERT INTO ledger_transactions (id, kind, batch_id, currency, posted_at)
             VALUES ('{id}', 'released', '{id}', 'USD', 0)",
            amounts[0], amounts[1]
        )
    };
    let late = async |connection: &DatabaseTransaction, id: Uuid| {
        let closed = entry(connection, id, 2, "USD", 5).await.expect_err("it is closed").to_string();
        assert!(closed.contains("append_only"), "{closed}");
    };
    if is_postgres(sql) {
        let id = fresh();
        assert_eq!(run(sql, &write(id, [5, -5])).await, Ok(1));
        late(&begin(sql).await.unwrap(), id).await;
        let error = run(sql, &write(fresh(), [5, -4])).await.expect_err("it does not add up");
        assert!(error.contains("unbalanced"), "{error}");
        // One transaction is no one statement.
        let both = begin(sql).await.unwrap();
        let id = fresh();
        both.execute_unprepared(&write(id, [5, -5])).await.unwrap();
        late(&both, id).await;
        both.rollback().await.unwrap();
    }
    let both = begin(sql).await.unwrap();
    let id = fresh();
    entry(&both, id, 0, "USD", 5).await.unwrap();
    entry(&both, id, 1, "USD", -5).await.unwrap();
    header(&both, id).await.unwrap();
    late(&both, id).await;
    both.rollback().await.unwrap();

    let headless = begin(sql).await.unwrap();
    entry(&headless, fresh(), 7, "USD", 5).await.expect("a header may follow");
    let error = headless.commit().await.expect_err("no header followed").to_string();
    assert!(error.to_lowercase().contains("foreign key"), "{error}");
}

async fn what_a_batch_owes_cannot_be_edited(sql: &Sql) {
    lived_in(sql).await;
    for edit in [
        "amount_minor = amount_minor + 1, total_net_minor = total_net_minor + 1",
        "escrow_id = 'esc_other'",
        "escrow_id = NULL, kind = 'carry'",
        "recipient_id = 'rec_eve'",
        "fee_tax_minor = fee_tax_minor",
        "project_id = 'prj_other'",
        "currency = 'EUR'",
        "model_version = 2",
        "created_at = 0",
    ] {
        assert_refused(sql, &format!("UPDATE batches SET {edit}"), "append_only").await;
    }
    for edit in ["payable_minor = 1", "recipient_id = 'rec_eve'", "seq = seq + 10", "batch_id = id"] {
        assert_refused(sql, &format!("UPDATE items SET {edit}"), "append_only").await;
    }
    assert_never_removed(sql, "items").await;
    assert_never_removed(sql, "batches").await;
    assert_eq!(run(sql, "UPDATE batches SET status = 'failed'").await, Ok(1), "a status may change");
}

async fn what_an_instruction_orders_cannot_be_edited(sql: &Sql) {
    lived_in(sql).await;
    for edit in ["amount_minor = 1", "rail = 'other'", "generation = 2", "body = body", "currency = 'EUR'"] {
        assert_refused(sql, &format!("UPDATE instructions SET {edit}"), "append_only").await;
    }
    for edit in ["amount_minor = 1", "wire_ref = 'OTHER'", "destination = destination", "seq = seq + 10"] {
        assert_refused(sql, &format!("UPDATE instruction_items SET {edit}"), "append_only").await;
    }
    assert_never_removed(sql, "instruction_items").await;
    assert_never_removed(sql, "instructions").await;
    let again = "UPDATE instructions SET tries = tries + 1, first_sent_at = 1, last_sent_at = 1";
    assert_eq!(run(sql, again).await, Ok(1), "it may be tried again");
    let known = "UPDATE instruction_items SET outcome = 'refused', reason = 'x', live = FALSE";
    assert_eq!(run(sql, known).await, Ok(2), "and what became of it is learned later");
}

async fn a_state_has_its_facts_and_no_others(sql: &Sql) {
    lived_in(sql).await;
    for edit in [
        "status = 'pending_kyc'",
        "hold_reason = 'recipient_pending'",
        "status = 'pending_kyc', hold_reason = 'because'",
        "status = 'failed', processed_at = 1",
        "status = 'paid'",
        "status = 'cancelled', processed_at = 1, reason = 'x'",
        "reference = 'x'",
        "processed_at = 1",
        "status = 'lost'",
    ] {
        assert_check(sql, &format!("UPDATE items SET {edit}")).await;
    }
    assert_check(sql, "UPDATE instructions SET tries = -1").await;
    for edit in [
        "outcome = 'refused', live = FALSE",
        "outcome = 'returned', live = FALSE",
        "outcome = 'settled', reason = 'x'",
        "outcome = 'absent', live = FALSE, reason = 'x'",
        "reference = 'x'",
        "outcome = 'recalled', live = FALSE, reference = 'x'",
        "returned_minor = -1",
        "returned_minor = amount_minor + 1",
        "outcome = 'lost'",
        // What occupies its item, and what does not.
        "live = FALSE",
        "outcome = 'accepted', live = FALSE",
        "outcome = 'settled', live = FALSE",
        "outcome = 'absent'",
        "outcome = 'recalled'",
        "outcome = 'stray'",
        "outcome = 'refused', reason = 'x'",
        "outcome = 'returned', reason = 'x'",
    ] {
        assert_check(sql, &format!("UPDATE instruction_items SET {edit}")).await;
    }
    for edit in ["retries = -1"] {
        assert_check(sql, &format!("UPDATE items SET {edit}")).await;
    }
    for edit in ["approvals_required = -1", "approvals_given = -1"] {
        assert_check(sql, &format!("UPDATE batches SET {edit}")).await;
    }
    assert_check(sql, "UPDATE recipients SET status = 'x'").await;
    assert_check(sql, "UPDATE batches SET status = 'lost'").await;
    assert_check(sql, "UPDATE jobs SET state = 'done', leased = TRUE").await;
}

async fn assert_check(sql: &Sql, statement: &str) {
    let error = run(sql, statement).await.expect_err(statement).to_lowercase();
    assert!(error.contains("check constraint"), "{statement}: {error}");
}

async fn amounts_add_up(sql: &Sql) {
    let now = sql.now().await.unwrap();
    let broken: [fn(&mut Batch); 7] = [
        |batch| batch.amount_minor += 1,
        |batch| batch.total_net_minor -= 1,
        |batch| (batch.fee_minor, batch.total_net_minor) = (-1, batch.total_net_minor + 1),
        |batch| (batch.amount_minor, batch.total_net_minor) = (0, 0),
        |batch| batch.amount_minor = -batch.amount_minor,
        |batch| batch.fee_tax_minor = 1,
        |batch| batch.fee_tax_minor = -1,
    ];
    for spoil in broken {
        let release = release(now).pay("rec_ana", 100).with(spoil);
        let change = Change { insert: vec![New::Batch(release.batch)], ..Change::default() };
        assert_does_not_add_up(sql, change).await;
    }
    let release = release(now).pay("rec_ana", 100);
    let whole = release.items[0].clone();
    let broken: [fn(&mut Item); 7] = [
        |item| item.net_minor -= 1,
        |item| item.payable_minor = 0,
        |item| (item.fee_minor, item.net_minor) = (-1, item.net_minor + 1),
        |item| item.reversed_minor = item.amount_minor + 1,
        |item| item.reversed_minor = -1,
        |item| item.taken_minor = item.payable_minor + 1,
        |item| item.taken_minor = -1,
    ];
    for spoil in broken {
        let mut item = whole.clone();
        spoil(&mut item);
        let change = Change { insert: vec![New::Batch(release.batch.clone()), New::Item(item)], ..Change::default() };
        assert_does_not_add_up(sql, change).await;
    }
    sql.commit(release.change()).await.unwrap();
    for edit in ["reversed_minor = amount_minor + 1", "taken_minor = payable_minor + 1", "taken_minor = -1"] {
        assert_check(sql, &format!("UPDATE items SET {edit}")).await;
    }
    let edit = "reversed_minor = amount_minor, taken_minor = payable_minor";
    assert_eq!(run(sql, &format!("UPDATE items SET {edit}")).await, Ok(1), "all of it may be taken back");
}

async fn assert_does_not_add_up(sql: &Sql, change: Change) {
    let refused = sql.commit(change).await;
    let Err(CommitError::Store(StoreError::Corrupt(error))) = refused else { panic!("{refused:?}") };
    assert!(error.to_lowercase().contains("check constraint"), "{error}");
}

async fn an_item_is_in_one_live_instruction(sql: &Sql) {
    lived_in(sql).await;
    let copy = fresh();
    let columns =
        "batch_id, rail, currency, amount_minor, generation, body, tries, first_sent_at, last_sent_at, open, revision";
    let statement = format!("INSERT INTO instructions (id, {columns}) SELECT $1, {columns} FROM instructions");
    run_with(sql.database(), &statement, [copy.into()]).await.unwrap();
    let parts = |wire_ref: &str, outcome: &str, live: &str| {
        format!(
            "INSERT INTO instruction_items
               (instruction_id, item_id, seq, wire_ref, amount_minor, destination, outcome, returned_minor, live)
             SELECT $1, item_id, seq, {wire_ref}, amount_minor, destination, '{outcome}', 0, {live}
             FROM instruction_items"
        )
    };
    let another = "wire_ref || 'X'";
    for (wire_ref, outcome, live, why) in [
        (another, "sent", "TRUE", "they would be paid twice"),
        ("wire_ref", "absent", "FALSE", "what the rail says would be of two sendings"),
    ] {
        let error = run_with(sql.database(), &parts(wire_ref, outcome, live), [copy.into()]).await.expect_err(why);
        assert!(error.to_string().to_lowercase().contains("unique constraint"), "{error}");
    }
    let again = run_with(sql.database(), &parts(another, "absent", "FALSE"), [copy.into()]).await;
    again.expect("what the rail never had may be tried again");
    let revived = run_with(sql.database(), "UPDATE instruction_items SET outcome = 'settled', live = TRUE", []).await;
    assert!(revived.is_err(), "they would be paid twice");
    let stray = "UPDATE instruction_items SET outcome = 'stray' WHERE outcome = 'absent'";
    assert_eq!(run(sql, stray).await, Ok(2), "what was paid all the same occupies nothing");
}

async fn the_clock_has_one_row(sql: &Sql) {
    assert_check(sql, "INSERT INTO clock (id, offset_us) VALUES (2, 0)").await;
    assert!(run(sql, "INSERT INTO clock (id, offset_us) VALUES (1, 0)").await.is_err());
}

async fn a_key_is_claimed_or_answered(sql: &Sql) {
    let key = IdempotencyKey::try_new("k").unwrap();
    let request = KeyedRequest { operation: "POST /things".to_owned(), key, fingerprint: Fingerprint([7; 32]) };
    let claim = Claim { request, token: fresh() };
    assert_eq!(sql.claim(&claim, LEASE).await.unwrap(), Claiming::Ours);
    for edit in [
        "token = NULL",
        "claimed_until = NULL",
        "status = 200",
        "status = 200, headers = '[]', body = '{}'",
        "token = NULL, claimed_until = NULL",
        "token = NULL, claimed_until = NULL, status = 200, body = '{}'",
        "token = NULL, claimed_until = NULL, status = 200, headers = '[]'",
        "token = NULL, claimed_until = NULL, status = 99, headers = '[]', body = '{}'",
        "key = ''",
    ] {
        assert_check(sql, &format!("UPDATE idempotency_keys SET {edit}")).await;
    }
    let answer = "token = NULL, claimed_until = NULL, status = 200, headers = '[]', body = '{}'";
    assert_eq!(run(sql, &format!("UPDATE idempotency_keys SET {answer}")).await, Ok(1));
}

#[tokio::test]
async fn sqlite_is_told_to_keep_what_it_commits_and_to_hold_its_rules() {
    let (sql, _folder) = databases::sqlite().await;
    for (pragma, value) in [("synchronous", 2), ("foreign_keys", 1), ("recursive_triggers", 1), ("busy_timeout", 5_000)]
    {
        let statement = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {pragma}"));
        let row = sql.database().query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i32>(0).unwrap(), value, "{pragma}");
    }
    let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA journal_mode");
    let row = sql.database().query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "wal");
}
