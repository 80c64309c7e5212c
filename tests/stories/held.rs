//! What waits for a recipient is an item of its own batch, and leaves only there.

use super::stage::{PAID, Person, Stage, shares};
use app::{
    failure::{Class, Failure},
    payouts::act::Action,
};
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

pub async fn what_waits_for_its_recipient_is_not_released_past_them(stage: &Stage<'_>) {
    let lines = json!([
        { "recipientId": "rec_ana", "weight": 1 },
        { "recipientId": "rec_ben", "weight": 1 },
        { "recipientId": "rec_tbd", "weight": 1, "placeholder": true },
    ]);
    stage.model(json!({ "steps": [{ "type": "share", "lines": lines }] })).await;
    stage.register("rec_ana", Person { status: RecipientStatus::Pending, ..PAID }).await;
    stage.register("rec_ben", Person { status: RecipientStatus::Blocked, ..PAID }).await;
    let batch = stage.release("esc_1", 3_000, "USD").await;
    stage.work().await;
    for (who, reason) in [
        ("rec_ana", HoldReason::RecipientPending),
        ("rec_ben", HoldReason::RecipientBlocked),
        ("rec_tbd", HoldReason::RecipientPlaceholder),
    ] {
        let before = stage.item(&batch, who).await;
        let refused = stage.act("usr_op", Action::ReleaseItem(before.id)).await.unwrap_err();
        assert_eq!((refused.code(), refused.class()), ("recipient_held", Class::Conflict));
        let message = refused.to_string();
        assert!(message.contains(who) && message.contains(reason.as_str()), "{message}");
        assert!(message.contains("PUT /recipients/{recipientId}"), "it says what to do: {message}");
        stage.work().await;
        assert_eq!(stage.item(&batch, who).await, before, "nothing moved");
        assert_eq!(stage.rail.times_paid(who), 0);
    }
    // Their own change is what releases it.
    for who in ["rec_ana", "rec_ben", "rec_tbd"] {
        stage.register(who, PAID).await;
        stage.work().await;
        assert_eq!(stage.status(&batch, who).await, ItemStatus::Paid);
    }
}

pub async fn what_an_operator_lets_go_waits_for_its_recipient_and_says_so(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.register("rec_ana", PAID).await;
    let batch = stage.release("esc_1", 1_000, "USD").await;
    let item = stage.item(&batch, "rec_ana").await.id;
    stage.act("usr_op", Action::HoldItem(item)).await.unwrap();
    stage.register("rec_ana", Person { status: RecipientStatus::Pending, ..PAID }).await;
    stage.work().await;
    let acted = stage.act("usr_op", Action::ReleaseItem(item)).await.unwrap();
    assert_eq!(acted.items[0].state().hold_reason(), Some(HoldReason::RecipientPending), "the answer says so");
    assert_eq!(stage.item(&batch, "rec_ana").await, acted.items[0]);
    stage.work().await;
    assert_eq!(stage.rail.times_paid("rec_ana"), 0);
    // The operator's hold is gone: the recipient's change is enough.
    stage.register("rec_ana", PAID).await;
    stage.work().await;
    assert_eq!(stage.status(&batch, "rec_ana").await, ItemStatus::Paid);
    let audit = stage.audit(&item.to_string()).await;
    assert_eq!(audit[..3], ["usr_op item.hold", "usr_op item.release", "usr_op item.hold"]);
}
