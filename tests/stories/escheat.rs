//! What nobody claims.

use super::stage::{PAID, Person, Stage, days};
use domain::{item::ItemStatus, recipient::RecipientStatus};
use serde_json::{Value, json};

fn model(settlement: Value) -> Value {
    let line = |who: &str, weight: u64, placeholder: bool| json!({ "recipientId": who, "weight": weight, "placeholder": placeholder });
    let lines = [line("rec_ana", 2, false), line("rec_ben", 1, false), line("rec_tbd", 1, true)];
    json!({ "settlement": settlement, "steps": [{ "type": "share", "lines": lines }] })
}

pub async fn what_nobody_claims_goes_to_the_others_after_its_days(stage: &Stage<'_>) {
    stage.model(model(json!({ "fallback": "release_pro_rata", "escheatAfterDays": 30 }))).await;
    stage.register("rec_ben", Person { minimum: Some(("USD", 500)), ..PAID }).await;
    let batch = stage.release("esc_1", 4_000, "USD").await;
    stage.work().await;
    stage.pass(days(29)).await;
    assert_eq!(stage.balance("rec_tbd").await, [0, 1_000, 0, 0]);
    stage.pass(days(2)).await;
    assert_eq!(stage.status(&batch, "rec_tbd").await, ItemStatus::Cancelled);
    assert_eq!(stage.balance("rec_tbd").await, [0; 4]);
    assert_eq!(stage.rail.paid("rec_ana"), 2_667, "2,000 and two thirds of 1,000, paid without a release");
    assert_eq!(stage.rail.paid("rec_ben"), 1_000);
    assert_eq!(stage.balance("rec_ben").await, [0, 0, 333, 0], "below his minimum");
    stage.assert_balanced().await;
    stage.pass(days(400)).await;
    assert_eq!((stage.rail.paid("rec_ana"), stage.rail.paid("rec_tbd")), (2_667, 0), "once");
}

pub async fn what_nobody_claims_goes_to_the_platform_after_its_days(stage: &Stage<'_>) {
    stage.model(model(json!({ "fallback": "platform" }))).await;
    let batch = stage.release("esc_1", 4_000, "USD").await;
    stage.work().await;
    stage.pass(days(1_094)).await;
    assert_eq!(stage.status(&batch, "rec_tbd").await, ItemStatus::PendingKyc);
    stage.pass(days(2)).await;
    assert_eq!(stage.status(&batch, "rec_tbd").await, ItemStatus::Cancelled);
    let books = stage.ports.queries.books().await.unwrap();
    let platform = books.balances.iter().find(|(account, ..)| account.to_string() == "platform_fees");
    assert_eq!(platform.map(|(.., sum)| *sum), Some(-1_000));
}

pub async fn what_nobody_claims_stays_held_unless_the_model_says_otherwise(stage: &Stage<'_>) {
    stage.model(model(json!({}))).await;
    stage.release("esc_1", 4_000, "USD").await;
    stage.pass(days(3_650)).await;
    assert_eq!(stage.balance("rec_tbd").await, [0, 1_000, 0, 0]);
}

pub async fn who_comes_in_time_gets_all_of_it(stage: &Stage<'_>) {
    stage.model(model(json!({ "fallback": "platform", "escheatAfterDays": 30 }))).await;
    stage.register("rec_ben", Person { status: RecipientStatus::Blocked, ..PAID }).await;
    let batch = stage.release("esc_1", 4_000, "USD").await;
    stage.pass(days(20)).await;
    stage.register("rec_tbd", PAID).await;
    stage.pass(days(20)).await;
    assert_eq!(stage.status(&batch, "rec_tbd").await, ItemStatus::Paid);
    assert_eq!(stage.status(&batch, "rec_ben").await, ItemStatus::Cancelled, "nobody unblocked him");
    assert_eq!(stage.rail.paid("rec_tbd"), 1_000);
}
