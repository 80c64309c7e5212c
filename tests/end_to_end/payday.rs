//! What is owed arrives, to the unit, and what cannot be paid is still owed.

use super::{release, shares, with};
use crate::harness::{
    home::Engine,
    on_both_databases,
    world::{World, list, text},
};
use serde_json::{Value, json};
use std::time::Duration;

on_both_databases! {
    deductions_are_taken_off_and_booked
    tax_is_withheld_and_booked
    whoever_is_declined_is_still_owed
    what_is_held_is_paid_once_the_recipient_may_be_paid
    whoever_changes_back_and_forth_is_paid_in_the_end
    what_is_due_later_is_not_paid_before
    one_unit_among_three_is_paid_to_one
    a_batch_of_300_is_paid_to_everybody
    the_largest_amount_is_paid_to_the_unit
    currencies_with_other_minor_units_are_paid_to_the_unit
    where_there_is_nothing_to_split_nothing_is_paid
    every_move_is_told_to_the_world
}

async fn deductions_are_taken_off_and_booked(engine: Engine) {
    let world = World::shared("payday", engine).await;
    let model = with(shares(&[("rec_dedu1", 1), ("rec_dedu2", 1)]), "platformFee", json!({ "ratePpm": 100_000 }));
    world.publish_model("prj_deductions", &model).await;
    let deductions = json!([
        { "type": "expense", "amount": 15_000, "reference": "Studio" },
        { "type": "refund", "amount": 4_000 },
        { "type": "expense", "amount": 1_000 }
    ]);
    let body = with(release("esc_deductions", "prj_deductions", 120_000, "CHF"), "deductions", deductions);
    let scheduled = world.schedule(&body).await.with(201);
    assert_eq!(scheduled["estimatedTotalPayout"], 90_000);
    let batch = world.settled(&text(&scheduled, "batchId")).await;
    let sums = ["amount", "deductions", "fees", "taxWithheld", "totalNet"].map(|name| batch[name].as_i64());
    assert_eq!(sums, [Some(120_000), Some(20_000), Some(10_000), Some(0), Some(90_000)]);
    for (account, balance) in [
        ("escrow_receivable", 120_000),
        ("escrow:esc_deductions", 0),
        ("deductions:expense", -16_000),
        ("deductions:refund", -4_000),
        ("platform_fees", -10_000),
        ("payable:rec_dedu1", 0),
        ("in_transit:simulator", 0),
        ("cash:simulator", -90_000),
    ] {
        assert_eq!(world.balance(account, "CHF").await, balance, "{account}");
    }
    world.assert_books_balanced().await;
}

async fn tax_is_withheld_and_booked(engine: Engine) {
    let world = World::shared("payday", engine).await;
    world.register("rec_taxed", &json!({ "taxRatePpm": 300_000 })).await;
    world.register("rec_allgone", &json!({ "taxRatePpm": 1_000_000 })).await;
    let model = with(
        shares(&[("rec_taxed", 1), ("rec_allgone", 1), ("rec_untaxed", 1)]),
        "platformFee",
        json!({ "ratePpm": 50_000 }),
    );
    world.publish_model("prj_tax", &model).await;
    let batch = world.settled(&world.scheduled(&release("esc_tax", "prj_tax", 300_000, "SEK")).await).await;
    // Of 100,000 gross each, 5,000 are fee; tax is on the gross, and at most what the fee left. Whoever has
    // nothing left has no item.
    let figures: Vec<_> = list(&batch, "items")
        .iter()
        .map(|item| {
            (text(item, "recipientId"), ["fees", "taxWithheld", "netAmount"].map(|name| item[name].as_i64().unwrap()))
        })
        .collect();
    assert_eq!(
        figures,
        [("rec_taxed".to_owned(), [5_000, 30_000, 65_000]), ("rec_untaxed".to_owned(), [5_000, 0, 95_000])]
    );
    assert_eq!((batch["status"].as_str(), batch["taxWithheld"].as_i64()), (Some("completed"), Some(125_000)));
    assert_eq!(world.balance("tax_withheld:withholding", "SEK").await, -125_000);
    world.assert_books_balanced().await;
}

async fn whoever_is_declined_is_still_owed(engine: Engine) {
    let world = World::shared("payday", engine).await;
    let declined = json!({ "destination": { "rail": "simulator", "details": { "outcome": "declined" } } });
    world.register("rec_declined", &declined).await;
    world.publish_model("prj_declined", &shares(&[("rec_declined", 60), ("rec_stranger", 40)])).await;
    let batch = world.settled(&world.scheduled(&release("esc_declined", "prj_declined", 10_000, "NOK")).await).await;
    assert_eq!(batch["status"], "partial");
    let [failed, paid] = list(&batch, "items") else { panic!("{batch:#}") };
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("failed"), &json!("declined_by_simulator")));
    assert_eq!(failed.get("providerPayoutId"), None);
    // Nobody registered the other one: the simulator pays strangers.
    assert_eq!(paid["status"], "paid");
    assert!(text(paid, "providerPayoutId").starts_with("sim_") && paid["processedAt"].is_string());

    assert_eq!(world.balance("payable:rec_declined", "NOK").await, -6_000);
    assert_eq!(world.balance("cash:simulator", "NOK").await, -4_000);
    assert_eq!(world.balance("in_transit:simulator", "NOK").await, 0);
    let transfers = world.transfers().await;
    let outcome = |item: &Value| {
        transfers.iter().find(|found| found["itemId"] == item["itemId"]).map(|found| text(found, "outcome"))
    };
    assert_eq!((outcome(failed).as_deref(), outcome(paid).as_deref()), (Some("declined"), Some("paid")));

    let alone = shares(&[("rec_declined", 1)]);
    world.publish_model("prj_alldeclined", &alone).await;
    let batch = world.settled(&world.scheduled(&release("esc_alldeclined", "prj_alldeclined", 5, "NOK")).await).await;
    assert_eq!(batch["status"], "failed");
    world.assert_books_balanced().await;
}

async fn what_is_held_is_paid_once_the_recipient_may_be_paid(engine: Engine) {
    let world = World::shared("payday", engine).await;
    world.register("rec_waits", &json!({ "status": "pending" })).await;
    world.publish_model("prj_held", &shares(&[("rec_waits", 1), ("rec_ready", 1)])).await;
    let calculated = json!({ "projectId": "prj_held", "amount": 200, "currency": "DKK" });
    let calculated = world.post("/revenue/calculate", &calculated).await.with(200);
    let line = &list(&calculated, "breakdown")[0];
    assert_eq!(
        (&line["disposition"], &line["holdReason"], &line["payableAmount"]),
        (&json!("held"), &json!("recipient_pending"), &json!(0))
    );

    let id = world.scheduled(&release("esc_held", "prj_held", 200, "DKK")).await;
    let other_paid = |batch: &Value| batch["items"][1]["status"] == "paid";
    let batch = world.batch_once(&id, other_paid).await;
    assert_eq!(batch["status"], "processing");
    let held = &list(&batch, "items")[0];
    assert_eq!(
        (&held["status"], &held["holdReason"], &held["payableAmount"]),
        (&json!("pending_kyc"), &json!("recipient_pending"), &json!(100))
    );
    assert_eq!(world.balance("payable:rec_waits", "DKK").await, -100);

    // Blocked is no better than pending, and says what it is.
    world.put("/recipients/rec_waits", &json!({ "status": "blocked" })).await.with(200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.batch(&id).await["items"][0]["status"], "pending_kyc");
    world.put("/recipients/rec_waits", &json!({ "status": "active" })).await.with(200);
    let batch = world.settled(&id).await;
    assert_eq!((batch["status"].as_str(), &batch["items"][0]["status"]), (Some("completed"), &json!("paid")));
    assert_eq!(batch["items"][0].get("holdReason"), None);
    assert_eq!(world.transfers().await.iter().filter(|transfer| transfer["recipientId"] == "rec_waits").count(), 1);
    world.assert_books_balanced().await;
}

/// Holding and releasing race with paying; the last word counts.
async fn whoever_changes_back_and_forth_is_paid_in_the_end(engine: Engine) {
    let world = World::shared("payday", engine).await;
    world.register("rec_flips", &json!({ "status": "pending" })).await;
    world.publish_model("prj_flips", &shares(&[("rec_flips", 1), ("rec_stays", 1)])).await;
    let schedule = async {
        let mut batches = Vec::new();
        for number in 0..20 {
            batches.push(world.scheduled(&release(&format!("esc_flips{number}"), "prj_flips", 200, "THB")).await);
        }
        batches
    };
    let flip = async {
        for _ in 0..10 {
            for status in ["active", "pending", "active", "blocked"] {
                world.put("/recipients/rec_flips", &json!({ "status": status })).await.with(200);
            }
        }
        world.put("/recipients/rec_flips", &json!({ "status": "active" })).await.with(200);
    };
    let (batches, ()) = tokio::join!(schedule, flip);
    for batch in &batches {
        assert_eq!(world.settled(batch).await["status"], "completed");
    }
    let transfers = world.transfers().await;
    let to = |name: &str| transfers.iter().filter(|transfer| transfer["recipientId"] == name).count();
    assert_eq!((to("rec_flips"), to("rec_stays")), (20, 20));
    world.assert_books_balanced().await;
}

async fn what_is_due_later_is_not_paid_before(engine: Engine) {
    let world = World::shared("payday", engine).await;
    world.publish_model("prj_later", &shares(&[("rec_later", 1)])).await;
    // By the clock of the service itself, which a fresh version shows.
    let stamp = world.publish_model("prj_clock", &shares(&[("rec_later", 1)])).await;
    let now: domain::timestamp::Timestamp = text(&stamp, "createdAt").parse().expect("an instant");
    let due = now.after(Duration::from_millis(1_500));
    let body = with(release("esc_later", "prj_later", 100, "PLN"), "executeAt", json!(due.to_string()));
    let id = world.scheduled(&body).await;
    let early = world.batch_once(&id, |batch| batch["status"] == "scheduled").await;
    assert_eq!((early["executeAt"].as_str(), list(&early, "attempts").len()), (Some(due.to_string().as_str()), 0));
    let batch = world.settled(&id).await;
    let sent: domain::timestamp::Timestamp = text(&batch["attempts"][0], "firstSentAt").parse().expect("an instant");
    assert!(sent >= due, "due at {due}, sent at {sent}");
    assert!(sent.since(due) < Duration::from_secs(2), "due at {due}, sent only at {sent}");

    let past = with(release("esc_past", "prj_later", 100, "PLN"), "executeAt", json!("1999-12-31T23:59:59Z"));
    assert_eq!(world.settled(&world.scheduled(&past).await).await["status"], "completed");
    let never = with(release("esc_never", "prj_later", 100, "PLN"), "executeAt", json!("9999-12-31T23:59:59.999999Z"));
    let never = world.scheduled(&never).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.batch(&never).await["status"], "scheduled");
    world.assert_books_balanced().await;
}

async fn one_unit_among_three_is_paid_to_one(engine: Engine) {
    let world = World::shared("payday", engine).await;
    world.publish_model("prj_unit", &shares(&[("rec_unit1", 1), ("rec_unit2", 1), ("rec_unit3", 1)])).await;
    let scheduled = world.schedule(&release("esc_unit", "prj_unit", 1, "USD")).await.with(201);
    assert_eq!((&scheduled["itemsCount"], &scheduled["estimatedTotalPayout"]), (&json!(1), &json!(1)));
    let batch = world.settled(&text(&scheduled, "batchId")).await;
    assert_eq!(
        (batch["status"].as_str(), text(&batch["items"][0], "recipientId")),
        (Some("completed"), "rec_unit1".to_owned())
    );
    world.assert_books_balanced().await;
}

async fn a_batch_of_300_is_paid_to_everybody(engine: Engine) {
    let world = World::shared("payday", engine).await;
    let names: Vec<String> = (0..300).map(|at| format!("rec_many{at}")).collect();
    let lines: Vec<(&str, i64)> = names.iter().zip(1..).map(|(name, weight)| (name.as_str(), weight)).collect();
    world.publish_model("prj_many", &shares(&lines)).await;
    let batch = world.settled(&world.scheduled(&release("esc_many", "prj_many", 10_000_019, "USD")).await).await;
    let items = list(&batch, "items");
    assert_eq!((batch["status"].as_str(), items.len()), (Some("completed"), 300));
    assert_eq!(items.iter().filter_map(|item| item["netAmount"].as_i64()).sum::<i64>(), 10_000_019);
    assert!(
        items.iter().zip(&names).all(|(item, name)| item["status"] == "paid" && item["recipientId"] == name.as_str())
    );
    assert_eq!(
        world.transfers().await.iter().filter(|found| text(found, "recipientId").starts_with("rec_many")).count(),
        300
    );
    world.assert_books_balanced().await;
}

async fn the_largest_amount_is_paid_to_the_unit(engine: Engine) {
    const MOST: i64 = 9_007_199_254_740_991;
    let world = World::shared("payday", engine).await;
    let model = with(shares(&[("rec_most1", 2), ("rec_most2", 1)]), "platformFee", json!({ "ratePpm": 1 }));
    world.publish_model("prj_most", &model).await;
    // Twice, so that the sums of the books exceed what one amount can be.
    for escrow in ["esc_most1", "esc_most2"] {
        let batch = world.settled(&world.scheduled(&release(escrow, "prj_most", MOST, "VND")).await).await;
        let sum = |name: &str| list(&batch, "items").iter().filter_map(|item| item[name].as_i64()).sum::<i64>();
        assert_eq!((batch["status"].as_str(), sum("amount"), sum("fees")), (Some("completed"), MOST, 9_007_199_255));
        assert_eq!(batch["totalNet"].as_i64(), Some(MOST - 9_007_199_255));
    }
    assert_eq!(world.balance("escrow_receivable", "VND").await, 2 * MOST);
    world.assert_books_balanced().await;
}

async fn currencies_with_other_minor_units_are_paid_to_the_unit(engine: Engine) {
    let world = World::shared("payday", engine).await;
    let model = with(shares(&[("rec_minor1", 2), ("rec_minor2", 1)]), "platformFee", json!({ "ratePpm": 50_000 }));
    world.publish_model("prj_minor", &model).await;
    for (currency, amount, nets) in [("JPY", 1_001, [634, 317]), ("TND", 1_001, [634, 317]), ("TND", 1, [1, 0])] {
        let escrow = format!("esc_minor{currency}{amount}");
        let batch = world.settled(&world.scheduled(&release(&escrow, "prj_minor", amount, currency)).await).await;
        let paid: Vec<i64> = list(&batch, "items").iter().filter_map(|item| item["netAmount"].as_i64()).collect();
        let nets: Vec<i64> = nets.into_iter().filter(|net| *net > 0).collect();
        assert_eq!((batch["currency"].as_str(), paid), (Some(currency), nets), "{currency} {amount}");
    }
    let paid = world.transfers().await;
    let in_tnd: i64 =
        paid.iter().filter(|found| found["currency"] == "TND").filter_map(|found| found["amount"].as_i64()).sum();
    assert_eq!(in_tnd, 634 + 317 + 1);
    world.assert_books_balanced().await;
}

async fn where_there_is_nothing_to_split_nothing_is_paid(engine: Engine) {
    let world = World::shared("payday", engine).await;
    world.publish_model("prj_nothing", &shares(&[("rec_nothing", 1)])).await;
    let all_gone = with(
        release("esc_nothing", "prj_nothing", 500, "HUF"),
        "deductions",
        json!([{ "type": "chargeback", "amount": 500 }]),
    );
    let whole_fee = with(shares(&[("rec_nothing", 1)]), "platformFee", json!({ "fixed": 1_000_000 }));
    world.publish_model("prj_allfee", &whole_fee).await;
    for body in [all_gone, release("esc_allfee", "prj_allfee", 500, "HUF")] {
        let scheduled = world.schedule(&body).await.with(201);
        assert_eq!((&scheduled["itemsCount"], &scheduled["estimatedTotalPayout"]), (&json!(0), &json!(0)));
        assert_eq!(scheduled["status"], "completed");
        let batch = world.batch(&text(&scheduled, "batchId")).await;
        assert_eq!((batch["status"].as_str(), list(&batch, "items").len()), (Some("completed"), 0));
        world.schedule(&body).await.refused(409, "already_scheduled");
    }
    assert_eq!(world.balance("deductions:chargeback", "HUF").await, -500);
    assert_eq!(world.balance("platform_fees", "HUF").await, -500);
    world.assert_books_balanced().await;
}

async fn every_move_is_told_to_the_world(engine: Engine) {
    let world = World::shared("payday", engine).await;
    let declined = json!({ "destination": { "rail": "simulator", "details": { "outcome": "declined" } } });
    world.register("rec_told1", &declined).await;
    world.register("rec_told2", &json!({ "status": "placeholder" })).await;
    world.publish_model("prj_told", &shares(&[("rec_told1", 1), ("rec_told2", 1), ("rec_told3", 1)])).await;
    let id = world.scheduled(&release("esc_told", "prj_told", 300, "USD")).await;
    world
        .batch_once(&id, |batch| batch["items"][0]["status"] == "failed" && batch["items"][2]["status"] == "paid")
        .await;
    world.put("/recipients/rec_told2", &json!({ "status": "active" })).await.with(200);
    let batch = world.settled(&id).await;
    assert_eq!(batch["status"], "partial");

    let timeline: Vec<String> = list(&batch, "timeline").iter().map(|told| text(told, "type")).collect();
    let mut sorted = timeline.clone();
    sorted.sort_unstable();
    let expected = [
        "payout.batch.partial",
        "payout.batch.processing",
        "payout.batch.scheduled",
        "payout.item.failed",
        "payout.item.paid",
        "payout.item.paid",
        "payout.item.pending_kyc",
        "payout.item.processing",
        "payout.item.processing",
        "payout.item.processing",
        "payout.item.scheduled",
    ];
    assert_eq!(sorted, expected);
    assert_eq!(timeline.first().map(String::as_str), Some("payout.batch.scheduled"));

    // All of it is published, and found by batch and by type.
    let published = world.events(&id, expected.len()).await;
    let told: Vec<String> = published.iter().map(|event| text(event, "type")).collect();
    assert_eq!(told, timeline);
    for event in &published {
        assert!(text(event, "publishedAt") >= text(event, "occurredAt") || event["publishedAt"].is_string());
        assert_eq!(event["batchId"], id.as_str());
    }
    let paid = world.all_by(&format!("/events?batchId={id}&type=payout.item.paid"), "eventId", 1).await;
    assert_eq!(paid.len(), 2);
    assert!(paid.iter().all(|event| event["type"] == "payout.item.paid" && event["data"]["payableAmount"] == 100));
    let about = world.all("/events?type=recipient.updated", "eventId").await;
    assert!(
        about
            .iter()
            .any(|event| event["data"]["recipientId"] == "rec_told2" && event["data"].get("destination").is_none())
    );
    assert!(!world.all("/events?type=revenue_model.stored", "eventId").await.is_empty());
}
