//! Lists go on where they stopped: nothing is lost, nothing comes twice, whatever is added meanwhile.

use super::{release, shares};
use crate::harness::{
    home::Engine,
    on_both_databases,
    world::{World, list, text},
};
use serde_json::Value;
use std::collections::BTreeSet;

on_both_databases! {
    every_list_goes_through_page_by_page
    what_is_added_meanwhile_shifts_nothing
    the_ledger_is_found_by_account_and_by_batch
    an_item_is_read_with_its_attempts
}

async fn every_list_goes_through_page_by_page(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1), ("rec_ben", 1)])).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 2), ("rec_ben", 1)])).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 3), ("rec_ben", 1)])).await;
    let mut batches = Vec::new();
    for number in 0..5 {
        batches.push(world.scheduled(&release(&format!("esc_{number}"), "prj_1", 100, "USD")).await);
    }
    for batch in &batches {
        world.settled(batch).await;
        // Scheduled, processing, completed; and each item sent and paid.
        world.events(batch, 7).await;
    }
    for (path, id, count) in [
        ("/payouts/batches", "batchId", 5),
        ("/payouts/batches?status=completed", "batchId", 5),
        ("/payouts/batches?status=failed", "batchId", 0),
        ("/payouts/batches?projectId=prj_1&status=completed", "batchId", 5),
        ("/payouts/batches?escrowId=esc_3", "batchId", 1),
        ("/payouts/batches?projectId=prj_2", "batchId", 0),
        ("/ledger/transactions", "transactionId", 30),
        ("/ledger/transactions?account=cash:simulator", "transactionId", 10),
        ("/events", "eventId", 38),
        ("/events?type=payout.item.paid", "eventId", 10),
        ("/simulator/transfers", "id", 10),
        ("/projects/prj_1/revenue-models", "version", 3),
    ] {
        let whole = world.all(path, id).await;
        let ids: BTreeSet<String> = whole.iter().map(|found| found[id].to_string()).collect();
        assert_eq!((whole.len(), ids.len()), (count, count), "{path}");
        for limit in [1, 2, 7] {
            assert_eq!(world.all_by(path, id, limit).await, whole, "{path} by {limit}");
        }
    }
    let newest_first: Vec<String> =
        world.all("/payouts/batches", "batchId").await.iter().map(|found| text(found, "batchId")).collect();
    batches.reverse();
    assert_eq!(newest_first, batches);
}

async fn what_is_added_meanwhile_shifts_nothing(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    for number in 0..4 {
        world.scheduled(&release(&format!("esc_{number}"), "prj_1", 100, "USD")).await;
    }
    let escrows = |page: &Value| list(page, "data").iter().map(|found| text(found, "escrowId")).collect::<Vec<_>>();
    let first = world.get("/payouts/batches?limit=2").await.with(200);
    assert_eq!(
        (escrows(&first), &first["has_more"]),
        (vec!["esc_3".to_owned(), "esc_2".to_owned()], &Value::Bool(true))
    );
    world.scheduled(&release("esc_4", "prj_1", 100, "USD")).await;
    let last = text(&list(&first, "data")[1], "batchId");
    let second = world.get(&format!("/payouts/batches?limit=2&starting_after={last}")).await.with(200);
    assert_eq!(
        (escrows(&second), &second["has_more"]),
        (vec!["esc_1".to_owned(), "esc_0".to_owned()], &Value::Bool(false))
    );
    // After one that nobody knows, the list goes on where it would be.
    let nowhere = "/payouts/batches?starting_after=batch_00000000000000000000000000";
    assert!(list(&world.get(nowhere).await.with(200), "data").is_empty());
    let end = "/payouts/batches?starting_after=batch_7zzzzzzzzzzzzzzzzzzzzzzzzz";
    assert_eq!(list(&world.get(end).await.with(200), "data").len(), 5);
}

async fn the_ledger_is_found_by_account_and_by_batch(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 70), ("rec_ben", 30)])).await;
    let first = world.settled(&world.scheduled(&release("esc_1", "prj_1", 1_000, "USD")).await).await;
    world.settled(&world.scheduled(&release("esc_2", "prj_1", 2_000, "EUR")).await).await;
    let id = text(&first, "batchId");

    let of_batch = world.all(&format!("/ledger/transactions?batchId={id}"), "transactionId").await;
    assert_eq!(of_batch.len(), 6);
    for transaction in &of_batch {
        let sum =
            |side: &str| list(transaction, "entries").iter().filter_map(|entry| entry[side].as_i64()).sum::<i64>();
        assert!(sum("debit") == sum("credit") && sum("debit") > 0, "{transaction:#}");
        assert_eq!((&transaction["batchId"], &transaction["currency"]), (&first["batchId"], &first["currency"]));
    }
    let of_account = world.all("/ledger/transactions?account=payable:rec_ben", "transactionId").await;
    assert_eq!(of_account.len(), 4);
    let both = world.all(&format!("/ledger/transactions?account=payable:rec_ben&batchId={id}"), "transactionId").await;
    let moves: Vec<_> = both
        .iter()
        .map(|found| {
            let entry =
                list(found, "entries").iter().find(|entry| entry["account"] == "payable:rec_ben").expect("its entry");
            (text(found, "kind"), entry["debit"].as_i64(), entry["credit"].as_i64())
        })
        .collect();
    assert_eq!(moves, [("sent".to_owned(), Some(300), None), ("scheduled".to_owned(), None, Some(300))]);
    assert!(world.all("/ledger/transactions?account=payable:rec_nobody", "transactionId").await.is_empty());
}

async fn an_item_is_read_with_its_attempts(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    let batch = world.settled(&world.scheduled(&release("esc_1", "prj_1", 1_000, "USD")).await).await;
    let item = &list(&batch, "items")[0];
    let read = world.get(&format!("/payouts/items/{}", text(item, "itemId"))).await.with(200);
    for (name, value) in item.as_object().expect("an object") {
        assert_eq!(&read[name], value, "{name}");
    }
    assert_eq!(read["attemptHistory"], batch["attempts"]);
    let [attempt] = list(&read, "attemptHistory") else { panic!("{read:#}") };
    let transfers = world.transfers().await;
    let [transfer] = transfers.as_slice() else { panic!("{transfers:#?}") };
    assert_eq!(attempt["instructionId"], transfer["idempotencyKey"], "the key is the instruction's id");
    let [part] = list(attempt, "parts") else { panic!("{attempt:#}") };
    assert_eq!((&attempt["status"], &part["status"]), (&Value::from("settled"), &Value::from("settled")));
    assert_eq!((&part["itemId"], &part["reference"]), (&item["itemId"], &transfer["id"]));
    assert_eq!(
        (attempt["generation"].as_i64(), attempt["tries"].as_i64(), attempt["amount"].as_i64()),
        (Some(1), Some(1), Some(1_000))
    );
    assert_eq!((&read["userId"], &read["recipientId"]), (&Value::from("rec_ana"), &Value::from("rec_ana")));
    assert_eq!(read["providerPayoutId"], transfer["id"]);
}
