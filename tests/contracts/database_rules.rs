//! What the database itself refuses, whoever writes and with whatever program.

use super::sample::{self, fresh, release};
use crate::harness::databases;
use adapters::sql::{Sql, SqlError};
use app::{
    change::{Change, New},
    ports::{Clock, CommitError, PayoutQueries, PayoutRepository, StoreError, queries::TransactionFilter},
};
use domain::{batch::Batch, item::Item};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, TransactionOptions, TransactionTrait, Value};
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

on_every_database! {
    the_ledger_cannot_be_edited
    a_model_version_cannot_be_edited
    a_ledger_transaction_is_balanced_or_does_not_exist
    a_ledger_transaction_takes_no_more_entries
    entries_need_their_header
    what_a_batch_owes_cannot_be_edited
    what_an_instruction_orders_cannot_be_edited
    a_state_has_its_facts_and_no_others
    amounts_add_up
    an_item_is_in_one_live_instruction
    the_clock_has_one_row
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

/// Writes entries (currency and amount), then their header in USD.
async fn post(sql: &Sql, entries: &[(&str, i64)]) -> Result<(), DbErr> {
    let transaction = sql.database().begin_with_options(TransactionOptions::default()).await?;
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

async fn what_a_batch_owes_cannot_be_edited(sql: &Sql) {
    lived_in(sql).await;
    for edit in [
        "amount_minor = amount_minor + 1, total_net_minor = total_net_minor + 1",
        "escrow_id = 'esc_other'",
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
    for edit in ["amount_minor = 1", "rail = 'other'", "generation = 2", "first_sent_at = 0", "currency = 'EUR'"] {
        assert_refused(sql, &format!("UPDATE instructions SET {edit}"), "append_only").await;
    }
    assert_refused(sql, "UPDATE instruction_items SET amount_minor = 1", "append_only").await;
    assert_never_removed(sql, "instruction_items").await;
    assert_never_removed(sql, "instructions").await;
    assert_eq!(run(sql, "UPDATE instructions SET tries = tries + 1").await, Ok(1), "it may be tried again");
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
    for edit in ["status = 'refused'", "reference = 'x'", "reason = 'x'", "tries = 0", "status = 'lost'"] {
        assert_check(sql, &format!("UPDATE instructions SET {edit}")).await;
    }
    for edit in ["tax_code = 'us_nra'", "tax_rate_ppm = 1", "tax_code = 'x', tax_rate_ppm = 1000001", "status = 'x'"] {
        assert_check(sql, &format!("UPDATE recipients SET {edit}")).await;
    }
    assert_check(sql, "UPDATE batches SET status = 'lost'").await;
    assert_check(sql, "UPDATE jobs SET state = 'done', leased = TRUE").await;
}

async fn assert_check(sql: &Sql, statement: &str) {
    let error = run(sql, statement).await.expect_err(statement).to_lowercase();
    assert!(error.contains("check constraint"), "{statement}: {error}");
}

async fn amounts_add_up(sql: &Sql) {
    let now = sql.now().await.unwrap();
    let broken: [fn(&mut Batch); 5] = [
        |batch| batch.amount_minor += 1,
        |batch| batch.total_net_minor -= 1,
        |batch| (batch.fee_minor, batch.total_net_minor) = (-1, batch.total_net_minor + 1),
        |batch| (batch.amount_minor, batch.total_net_minor) = (0, 0),
        |batch| batch.amount_minor = -batch.amount_minor,
    ];
    for spoil in broken {
        let release = release(now).pay("rec_ana", 100).with(spoil);
        let change = Change { insert: vec![New::Batch(release.batch)], ..Change::default() };
        assert_does_not_add_up(sql, change).await;
    }
    let release = release(now).pay("rec_ana", 100);
    let whole = release.items[0].clone();
    let broken: [fn(&mut Item); 4] = [
        |item| item.net_minor -= 1,
        |item| item.payable_minor = 0,
        |item| item.payable_minor += 1,
        |item| (item.fee_minor, item.net_minor) = (-1, item.net_minor + 1),
    ];
    for spoil in broken {
        let mut item = whole.clone();
        spoil(&mut item);
        let change = Change { insert: vec![New::Batch(release.batch.clone()), New::Item(item)], ..Change::default() };
        assert_does_not_add_up(sql, change).await;
    }
    sql.commit(release.change()).await.unwrap();
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
        "batch_id, rail, currency, amount_minor, generation, body, tries, first_sent_at, last_sent_at, status,
                   reference, reason, revision";
    let statement = format!("INSERT INTO instructions (id, {columns}) SELECT $1, {columns} FROM instructions");
    run_with(sql.database(), &statement, [copy.into()]).await.unwrap();
    let parts = |live: &str| {
        format!(
            "INSERT INTO instruction_items (instruction_id, item_id, seq, wire_ref, amount_minor, live)
             SELECT $1, item_id, seq, wire_ref, amount_minor, {live} FROM instruction_items"
        )
    };
    let error = run_with(sql.database(), &parts("TRUE"), [copy.into()]).await.expect_err("they would be paid twice");
    assert!(error.to_string().to_lowercase().contains("unique constraint"), "{error}");
    run_with(sql.database(), &parts("FALSE"), [copy.into()]).await.expect("what was refused may be tried again");
    let revived = run_with(sql.database(), "UPDATE instruction_items SET live = TRUE", []).await;
    assert!(revived.is_err(), "they would be paid twice");
}

async fn the_clock_has_one_row(sql: &Sql) {
    assert_check(sql, "INSERT INTO clock (id, offset_us) VALUES (2, 0)").await;
    assert!(run(sql, "INSERT INTO clock (id, offset_us) VALUES (1, 0)").await.is_err());
}

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

#[tokio::test]
async fn what_sqlite_committed_survives_a_power_cut_and_its_rules_hold() {
    let (sql, _folder) = databases::sqlite().await;
    for (pragma, value) in
        [("synchronous", 2), ("foreign_keys", 1), ("recursive_triggers", 1), ("busy_timeout", 10_000)]
    {
        let statement = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {pragma}"));
        let row = sql.database().query_one_raw(statement).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i32>(0).unwrap(), value, "{pragma}");
    }
    let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA journal_mode");
    let row = sql.database().query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "wal");
}
