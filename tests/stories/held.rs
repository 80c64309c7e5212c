//! What waits for a recipient is an item of its own batch, and leaves only there.

use super::stage::{PAID, Person, Stage, shares};
use domain::{
    item::ItemStatus,
    recipient::{HoldReason, RecipientStatus},
};
use serde_json::json;

pub async fn a_placeholder_waits_until_somebody_registers_them(stage: &Stage<'_>) {
    let lines = json!([
        { "recipientId": "rec_ana", "weight": 1 },
        { "recipientId": "rec_tbd", "weight": 1, "placeholder": true },
    ]);
    stage.model(json!({ "steps": [{ "type": "share", "lines": lines }] })).await;
    let batch = stage.release("esc_1", 1_000, "USD").await;
    stage.work().await;
    let item = stage.item(&batch, "rec_tbd").await;
    assert_eq!(item.state().hold_reason(), Some(HoldReason::RecipientPlaceholder));
    assert_eq!(item.payable_minor, 500, "what will be sent");
    assert_eq!(stage.balance("rec_tbd").await, [0, 500, 0, 0]);
    stage.explain(&batch, "rec_tbd").await;

    stage.register("rec_tbd", PAID).await;
    stage.work().await;
    assert_eq!(stage.status(&batch, "rec_tbd").await, ItemStatus::Paid);
    assert_eq!(stage.rail.paid("rec_tbd"), 500);
}

pub async fn a_held_line_leaves_in_its_own_batch_only(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.register("rec_ana", Person { status: RecipientStatus::Pending, minimum: Some(("USD", 1_500)), ..PAID }).await;
    let first = stage.release("esc_1", 1_000, "USD").await;
    let second = stage.release("esc_2", 1_000, "USD").await;
    stage.work().await;
    assert_eq!(stage.balance("rec_ana").await, [0, 1_900, 0, 0], "nothing of it is carried");
    stage.register("rec_ana", Person { minimum: Some(("USD", 1_500)), ..PAID }).await;
    stage.work().await;
    for batch in [&first, &second] {
        let item = stage.item(batch, "rec_ana").await;
        assert_eq!((item.status(), item.payable_minor), (ItemStatus::Paid, 950));
    }
    assert_eq!(stage.rail.paid("rec_ana"), 1_900);
}
