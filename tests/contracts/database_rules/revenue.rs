//! What the database refuses of lines, of counters, and of what was taken back.

use super::{assert_append_only, assert_check, assert_refused, is_postgres, run};
use crate::{
    contracts::{
        Ports,
        sample::{self, carried, count, debt, escheat, found, insert, release, reverse},
    },
    harness::databases,
};
use adapters::sql::Sql;
use app::{
    change::{Change, New},
    ports::{Clock, PayoutQueries, PayoutRepository},
};
use domain::{recipient::HoldReason, reversal::Strategy};
use sea_orm::{ConnectionTrait, Statement};
use std::sync::Arc;

on_every_database! {
    what_was_split_and_taken_back_cannot_be_edited
    a_counter_keeps_its_name_and_is_never_removed
    a_batch_is_a_release_or_a_carry_and_never_both
    lines_add_up
    what_is_referred_to_is_there
    movements_have_a_reason_and_a_batch
    reversals_add_up
    escheats_are_no_debts
    what_was_let_go_is_kept_as_written
    counters_that_drifted_are_counted
}

/// A row in every table: a release with a line that is carried, of which a part is taken back and an item let go, and
/// what is carried paid.
async fn lived_in(sql: &Sql) {
    let now = sql.now().await.unwrap();
    let release = release(now).pay_less("rec_ana", 600, 60, 40).carry("rec_bob", 300);
    let release = release.hold("rec_cyd", 7, HoldReason::RecipientPlaceholder);
    let batch = release.batch.id;
    let counts = vec![count(&carried("rec_bob"), Some(0), 300, batch), count(&debt("rec_ana"), Some(0), 5, batch)];
    sql.commit(Change { count: counts, ..release.change() }).await.unwrap();
    sql.commit(sample::carry("rec_bob", 250, now).change()).await.unwrap();
    sql.commit(insert(New::Escheat(escheat(&release.items[1], 3, now)))).await.unwrap();
    let history = found(&Ports::of(Arc::new(sql.clone())), batch).await;
    sql.commit(reverse(&history, "ref_1", 500, Strategy::SplitRatio, now).change).await.unwrap();
}

async fn rows(sql: &Sql, query: &str) -> Vec<sea_orm::QueryResult> {
    let backend = sql.database().get_database_backend();
    sql.database().query_all_raw(Statement::from_string(backend, query)).await.unwrap()
}

/// An id of ours that nothing has.
fn any_id(sql: &Sql) -> &'static str {
    if is_postgres(sql) { "gen_random_uuid()" } else { "randomblob(16)" }
}

async fn columns(sql: &Sql, table: &str) -> Vec<String> {
    let query = if is_postgres(sql) {
        format!("SELECT column_name::text FROM information_schema.columns WHERE table_name = '{table}'")
    } else {
        format!("SELECT name FROM pragma_table_info('{table}')")
    };
    let columns: Vec<String> = rows(sql, &query).await.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    assert!(!columns.is_empty(), "{table}");
    columns
}

/// Adds the rows of a table once more, those that `of` selects, with other values in some columns.
async fn copying(sql: &Sql, (table, of): (&str, &str), changes: &[(&str, &str)]) -> String {
    let columns = columns(sql, table).await;
    assert!(changes.iter().all(|(changed, _)| columns.iter().any(|column| column == changed)), "{table}: {changes:?}");
    let value = |column: &String| {
        let change = changes.iter().rev().find(|(changed, _)| changed == column);
        change.map_or(column.clone(), |(_, value)| (*value).to_owned())
    };
    let values: Vec<String> = columns.iter().map(value).collect();
    format!("INSERT INTO {table} ({}) SELECT {} FROM {table} WHERE {of}", columns.join(", "), values.join(", "))
}

/// That rows may be copied under another key, and that none of these changes makes them refused for the key.
async fn assert_checked(sql: &Sql, from: (&str, &str), key: &[(&str, &str)], broken: &[&[(&str, &str)]]) {
    for changes in broken {
        assert_check(sql, &copying(sql, from, &[key, changes].concat()).await).await;
    }
    let copied = run(sql, &copying(sql, from, key).await).await;
    assert!(copied.as_ref().is_ok_and(|rows| *rows > 0), "with nothing else changed it is accepted: {copied:?}");
}

async fn what_was_split_and_taken_back_cannot_be_edited(sql: &Sql) {
    lived_in(sql).await;
    for (table, edit) in [
        ("batch_lines", "payable_minor = payable_minor"),
        ("batch_lines", "taxes = '[]'"),
        ("batch_inputs", "inputs = '{}'"),
        ("counter_movements", "add_minor = add_minor * 2"),
        ("counter_movements", "created_at = created_at"),
        ("reversals", "reason = 'another'"),
        ("reversals", "amount_minor = amount_minor + 1"),
        ("reversal_lines", "gross_minor = gross_minor + 1, net_minor = net_minor + 1"),
        ("reversal_sources", "payable_minor = debt_minor, debt_minor = payable_minor"),
        ("escheats", "platform_minor = platform_minor"),
    ] {
        let count: i64 = rows(sql, &format!("SELECT count(*) FROM {table}")).await[0].try_get_by_index(0).unwrap();
        assert!(count > 0, "{table} has nothing to edit");
        assert_append_only(sql, table, edit).await;
    }
}

async fn a_counter_keeps_its_name_and_is_never_removed(sql: &Sql) {
    lived_in(sql).await;
    assert_refused(sql, "UPDATE counters SET id = 'carried:rec_eve:USD'", "append_only").await;
    super::assert_never_removed(sql, "counters").await;
    assert_check(sql, "UPDATE counters SET revision = 0").await;
    assert_eq!(run(sql, "UPDATE counters SET value = value + 1, revision = revision + 1").await, Ok(2), "it may move");
}

async fn a_batch_is_a_release_or_a_carry_and_never_both(sql: &Sql) {
    lived_in(sql).await;
    let id = ("id", any_id(sql));
    let key = [id, ("escrow_id", "escrow_id || 'x'")];
    let broken: [&[(&str, &str)]; 10] = [
        &[("escrow_id", "NULL")],
        &[("project_id", "NULL")],
        &[("model_version", "NULL")],
        &[("model_hash", "NULL")],
        &[("as_of", "NULL")],
        &[("fingerprint", "NULL")],
        &[("recipient_id", "'rec_ana'")],
        &[("kind", "'carry'")],
        &[("kind", "'gift'")],
        &[("amount_minor", "0"), ("total_net_minor", "0"), ("fee_minor", "0"), ("tax_minor", "0")],
    ];
    assert_checked(sql, ("batches", "kind = 'release'"), &key, &broken).await;
    let bytes = if is_postgres(sql) { "decode(repeat('00', 32), 'hex')" } else { "zeroblob(32)" };
    let broken: [&[(&str, &str)]; 10] = [
        &[("escrow_id", "'esc_of_a_carry'")],
        &[("project_id", "'prj_film'")],
        &[("model_version", "1")],
        &[("model_hash", bytes)],
        &[("fingerprint", bytes)],
        &[("as_of", "1")],
        &[("recipient_id", "NULL")],
        &[("kind", "'release'")],
        &[("amount_minor", "1"), ("total_net_minor", "1")],
        &[("total_net_minor", "1")],
    ];
    assert_checked(sql, ("batches", "kind = 'carry'"), &[id], &broken).await;
}

async fn lines_add_up(sql: &Sql) {
    lived_in(sql).await;
    let key = [("seq", "seq + 100")];
    // Of Ana: 600 net, 60 fee, 40 tax, all of it payable.
    let broken: [&[(&str, &str)]; 14] = [
        &[("gross_minor", "gross_minor + 1")],
        &[("payable_minor", "payable_minor - 1")],
        &[("carried_in_minor", "1")],
        &[("recovered_minor", "1")],
        &[("carried_forward_minor", "1")],
        &[("tax_minor", "tax_minor + 1")],
        &[("fee_minor", "fee_minor - 1")],
        &[("fee_tax_minor", "fee_minor + 1")],
        &[("fee_tax_minor", "-1")],
        &[("fee_minor", "-1"), ("payable_minor", "661")],
        &[("carried_in_minor", "-1"), ("payable_minor", "599")],
        &[("recovered_minor", "-1"), ("payable_minor", "601")],
        &[("seq", "-1")],
        &[("item_id", "NULL")],
    ];
    assert_checked(sql, ("batch_lines", "recipient_id = 'rec_ana'"), &key, &broken).await;
    let item: [&[(&str, &str)]; 1] = [&[("item_id", "(SELECT id FROM items LIMIT 1)")]];
    let of_bob = ("batch_lines", "recipient_id = 'rec_bob' AND payable_minor = 0");
    assert_checked(sql, of_bob, &key, &item).await;
}

async fn what_is_referred_to_is_there(sql: &Sql) {
    super::lived_in(sql).await;
    let id = any_id(sql);
    let past = [("wire_ref", "'OTHER' || seq"), ("live", "FALSE"), ("outcome", "'absent'")];
    for (table, key, reference) in [
        ("items", &[("id", id), ("seq", "seq + 10")][..], "batch_id"),
        ("batch_lines", &[("seq", "seq + 10")], "batch_id"),
        ("batch_lines", &[("seq", "seq + 10")], "item_id"),
        ("batch_inputs", &[], "batch_id"),
        ("instructions", &[("id", id)], "batch_id"),
        ("instruction_items", &past, "instruction_id"),
        ("instruction_items", &past, "item_id"),
    ] {
        let of = (table, if reference == "item_id" { "item_id IS NOT NULL" } else { "1 = 1" });
        let to_nothing = [key, &[(reference, id)]].concat();
        let error = run(sql, &copying(sql, of, &to_nothing).await).await.expect_err(table);
        assert!(error.to_lowercase().contains("foreign key"), "{table}: {error}");
    }
}

async fn movements_have_a_reason_and_a_batch(sql: &Sql) {
    lived_in(sql).await;
    let (from, key) = (("counter_movements", "counter_id = 'carried:rec_bob:USD'"), [("revision", "revision + 100")]);
    let broken: [&[(&str, &str)]; 4] =
        [&[("reason", "'because'")], &[("reason", "'Release'")], &[("add_minor", "0")], &[("revision", "0")]];
    let of_nobody = copying(sql, from, &[key[0], ("batch_id", any_id(sql))]).await;
    let error = run(sql, &of_nobody).await.expect_err("there is no such batch");
    assert!(error.to_lowercase().contains("foreign key"), "{error}");
    assert_checked(sql, from, &key, &broken).await;
}

async fn reversals_add_up(sql: &Sql) {
    lived_in(sql).await;
    let broken: [&[(&str, &str)]; 5] = [
        &[("amount_minor", "0")],
        &[("amount_minor", "-5")],
        &[("platform_minor", "amount_minor + 1")],
        &[("platform_minor", "-1")],
        &[("currency", "'US'")],
    ];
    assert_checked(sql, ("reversals", "id = 'ref_1'"), &[("id", "'ref_2'")], &broken).await;
    let broken: [&[(&str, &str)]; 9] = [
        &[("gross_minor", "gross_minor + 1")],
        &[("net_minor", "net_minor - 1")],
        &[("fee_minor", "fee_minor + 1")],
        &[("fee_tax_minor", "fee_tax_minor + 1")],
        &[("tax_minor", "tax_minor + 1")],
        &[("fee_minor", "-1"), ("net_minor", "net_minor + fee_minor + 1")],
        &[("gross_minor", "0"), ("net_minor", "0"), ("fee_minor", "0"), ("fee_tax_minor", "0"), ("tax_minor", "0")],
        &[("fee_kept_minor", "-1")],
        &[("fee_tax_kept_minor", "-1")],
    ];
    assert_checked(sql, ("reversal_lines", "reversal_id = 'ref_1'"), &[("reversal_id", "'ref_2'")], &broken).await;
    let broken: [&[(&str, &str)]; 3] =
        [&[("payable_minor", "-1")], &[("carried_minor", "-1")], &[("debt_minor", "-1")]];
    let (from, key) = (("reversal_sources", "reversal_id = 'ref_1'"), [("reversal_id", "'ref_2'")]);
    assert_checked(sql, from, &key, &broken).await;
    for table in ["reversal_lines", "reversal_sources"] {
        let of = (table, "reversal_id = 'ref_1'");
        let error = run(sql, &copying(sql, of, &[("reversal_id", "'ref_none'")]).await).await;
        let error = error.expect_err("there is no such reversal").to_lowercase();
        assert!(error.contains("foreign key"), "{error}");
    }
}

async fn escheats_are_no_debts(sql: &Sql) {
    lived_in(sql).await;
    let key = [("item_id", "(SELECT item_id FROM batch_lines WHERE recipient_id = 'rec_ana')")];
    let broken: [&[(&str, &str)]; 2] = [&[("platform_minor", "-1")], &[("released_minor", "-1")]];
    assert_checked(sql, ("escheats", "1 = 1"), &key, &broken).await;
}

/// No port reads them but in sums.
async fn what_was_let_go_is_kept_as_written(sql: &Sql) {
    lived_in(sql).await;
    let query = "SELECT escheats.platform_minor, escheats.released_minor FROM escheats
                 JOIN items ON items.id = escheats.item_id AND items.batch_id = escheats.batch_id
                 WHERE items.recipient_id = 'rec_cyd' AND escheats.created_at = items.created_at";
    let found: Vec<(i64, i64)> = rows(sql, query)
        .await
        .iter()
        .map(|row| (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap()))
        .collect();
    assert_eq!(found, [(3, 4)]);
}

async fn counters_that_drifted_are_counted(sql: &Sql) {
    lived_in(sql).await;
    let drifted = async || sql.books().await.unwrap().drifted_counters;
    let carried = sql.books().await.unwrap().carried;
    assert_eq!(drifted().await, 0);
    let of_bob = "UPDATE counters SET value = value + 1 WHERE id = 'carried:rec_bob:USD'";
    let of_ana = "UPDATE counters SET revision = revision + 1 WHERE id = 'debt:rec_ana:USD'";
    for (edit, expected) in [(of_bob, 1), (of_ana, 2)] {
        run(sql, edit).await.unwrap();
        assert_eq!(drifted().await, expected, "{edit}");
    }
    assert_eq!(sql.books().await.unwrap().carried, carried, "what is carried is what the moves say");
    // A move of a counter that does not exist.
    let from = ("counter_movements", "counter_id = 'debt:rec_ana:USD' AND revision = 1");
    let stray = copying(sql, from, &[("counter_id", "'debt:rec_eve:USD'")]).await;
    run(sql, &stray).await.unwrap();
    assert_eq!(drifted().await, 3);
    // A counter that nothing ever moved.
    run(sql, "INSERT INTO counters (id, value, revision) VALUES ('debt:rec_fay:USD', 0, 1)").await.unwrap();
    assert_eq!(drifted().await, 4);
    for edit in [of_bob.replace('+', "-"), of_ana.replace('+', "-")] {
        run(sql, &edit).await.unwrap();
    }
    assert_eq!(drifted().await, 2);
}
