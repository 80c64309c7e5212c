//! What is too small to be sent waits for more, and nobody has to remember it.

use super::stage::{PAID, Person, Stage, shares};
use app::failure::Failure;
use domain::{batch::BatchStatus, calculation::Column, item::ItemStatus};

const SMALL: Person = Person { minimum: Some(("USD", 10_000)), ..PAID };

pub async fn what_is_below_the_minimum_is_carried_until_it_is_enough(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 70), ("rec_ben", 30)])).await;
    stage.register("rec_ana", SMALL).await;
    let first = stage.release("esc_1", 10_000, "USD").await;
    stage.work().await;
    assert_eq!((first.items_count, stage.rail.paid("rec_ben")), (1, 2_850), "only Ben has an item");
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 6_650, 0]);
    stage.assert_balanced().await;

    let second = stage.release("esc_2", 10_000, "USD").await;
    let item = stage.item(&second, "rec_ana").await;
    assert_eq!((item.net_minor, item.payable_minor), (6_650, 13_300), "with what was carried");
    stage.explain(&second, "rec_ana").await;
    stage.work().await;
    assert_eq!(stage.rail.paid("rec_ana"), 13_300);
    assert_eq!(stage.balance("rec_ana").await, [0; 4]);
    assert_eq!(stage.batch(second.id).await.batch.status, BatchStatus::Completed);
}

pub async fn a_lower_minimum_pays_what_was_carried_without_a_release(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.register("rec_ana", SMALL).await;
    let release = stage.release("esc_1", 1_000, "USD").await;
    stage.work().await;
    assert_eq!(release.items_count, 0);
    assert_eq!(stage.batch(release.id).await.batch.status, BatchStatus::Completed, "there is nothing to send");

    stage.register("rec_ana", Person { minimum: Some(("USD", 951)), ..PAID }).await;
    stage.work().await;
    assert_eq!(stage.rail.paid("rec_ana"), 0, "950 is still not enough");
    stage.register("rec_ana", Person { minimum: Some(("USD", 950)), ..PAID }).await;
    stage.work().await;
    assert_eq!(stage.rail.paid("rec_ana"), 950);
    assert_eq!(stage.balance("rec_ana").await, [0; 4]);
}

pub async fn an_operator_pays_what_is_carried_whatever_the_minimum(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.register("rec_ana", SMALL).await;
    stage.release("esc_1", 1_000, "USD").await;
    stage.work().await;
    let code = async |who: &str| stage.pay_carried(who, "USD").await.unwrap_err().code();
    assert_eq!(code("rec_nobody").await, "recipient_not_found");

    let batch = stage.pay_carried("rec_ana", "USD").await.unwrap();
    assert_eq!((batch.origin.kind(), batch.amount_minor, batch.total_net_minor), ("carry", 0, 0));
    stage.work().await;
    assert_eq!(stage.rail.paid("rec_ana"), 950);
    assert_eq!(code("rec_ana").await, "nothing_carried", "it is paid once");
    let columns: Vec<Column> = stage.explain(&batch, "rec_ana").await.lines.iter().map(|line| line.column).collect();
    assert_eq!(columns, [Column::CarriedIn, Column::Payable], "nothing was split");
}

pub async fn residues_of_a_rails_granularity_are_carried(stage: &Stage<'_>) {
    stage.model(serde_json::json!({ "steps": [{ "type": "remainder", "recipientId": "rec_ana" }] })).await;
    let first = stage.release("esc_1", 123_456, "HUF").await;
    stage.work().await;
    assert_eq!(stage.item(&first, "rec_ana").await.payable_minor, 123_400);
    assert_eq!(stage.balance_in("rec_ana", "HUF").await.carried_minor, 56);
    let second = stage.release("esc_2", 144, "HUF").await;
    stage.work().await;
    assert_eq!(stage.item(&second, "rec_ana").await.payable_minor, 200);
    assert_eq!(stage.balance_in("rec_ana", "HUF").await.carried_minor, 0);
    assert_eq!(stage.rail.paid("rec_ana"), 123_600);
    assert_eq!(stage.pay_carried("rec_ana", "HUF").await.unwrap_err().code(), "nothing_carried");
}

/// The worked example: net 8,000, a debt of 5,000, carried 9,000, a minimum of 10,000.
pub async fn a_debt_comes_before_what_is_carried(stage: &Stage<'_>) {
    stage.model(serde_json::json!({ "steps": [{ "type": "remainder", "recipientId": "rec_ana" }] })).await;
    stage.release("esc_debt", 5_000, "USD").await;
    stage.work().await;
    stage.reverse("ref_1", "esc_debt", 5_000).await;
    stage.register("rec_ana", SMALL).await;
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 0, 5_000]);

    let small = stage.release("esc_1", 4_000, "USD").await;
    assert_eq!(small.items_count, 0, "the debt takes all of it");
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 0, 1_000]);
    stage.release("esc_2", 9_999, "USD").await;
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 8_999, 0]);
    let last = stage.release("esc_3", 1_001, "USD").await;
    stage.work().await;
    assert_eq!(stage.item(&last, "rec_ana").await.payable_minor, 10_000);
    assert_eq!(stage.status(&last, "rec_ana").await, ItemStatus::Paid);
    assert_eq!(stage.balance("rec_ana").await, [0; 4]);
    assert_eq!(stage.rail.paid("rec_ana"), 15_000, "5,000 that was taken back, and 15,000 less 5,000");
}
