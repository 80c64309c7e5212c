//! What people do: hold, cancel, retry, resolve, approve, and say when it is time.

use super::{
    rail::Script,
    stage::{PAID, Person, Stage, days, shares},
};
use app::{change::Resolved, failure::Failure, payouts::act::Action};
use domain::{
    batch::{Batch, BatchStatus},
    item::ItemStatus,
    recipient::{HoldReason, RecipientStatus},
};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

async fn two(stage: &Stage<'_>) -> Batch {
    stage.model(shares(&[("rec_ana", 50), ("rec_ben", 50)])).await;
    stage.register("rec_ana", PAID).await;
    stage.register("rec_ben", PAID).await;
    stage.release("esc_1", 10_000, "USD").await
}
async fn batch_status(stage: &Stage<'_>, batch: &Batch) -> BatchStatus {
    stage.batch(batch.id).await.batch.status
}

pub async fn an_operator_holds_and_releases(stage: &Stage<'_>) {
    let batch = two(stage).await;
    let ana = stage.item(&batch, "rec_ana").await;
    stage.act("usr_op", Action::HoldItem(ana.id)).await.unwrap();
    stage.work().await;
    assert_eq!(stage.status(&batch, "rec_ben").await, ItemStatus::Paid, "one item never holds its batch");
    let held = stage.item(&batch, "rec_ana").await;
    assert_eq!(held.state().hold_reason(), Some(HoldReason::OperatorHold));
    // Neither time nor the recipient releases what an operator holds.
    stage.register("rec_ana", Person { minimum: Some(("USD", 1)), ..PAID }).await;
    stage.pass(days(9)).await;
    assert_eq!(stage.status(&batch, "rec_ana").await, ItemStatus::PendingKyc);
    assert_eq!(stage.act("usr_op", Action::HoldItem(ana.id)).await.unwrap_err().code(), "wrong_state");
    stage.act("usr_op", Action::ReleaseItem(ana.id)).await.unwrap();
    stage.work().await;
    assert_eq!(stage.status(&batch, "rec_ana").await, ItemStatus::Paid);
    let audit = stage.audit(&ana.id.to_string()).await;
    assert_eq!(audit[..2], ["usr_op item.hold", "usr_op item.release"]);
}

pub async fn what_is_cancelled_goes_back_to_the_escrow(stage: &Stage<'_>) {
    stage.rail.refuse("rec_ben");
    let batch = two(stage).await;
    let ana = stage.item(&batch, "rec_ana").await;
    stage.act("usr_op", Action::HoldItem(ana.id)).await.unwrap();
    stage.work().await;
    // One was held, the other failed: both are given up.
    for recipient in ["rec_ana", "rec_ben"] {
        let item = stage.item(&batch, recipient).await;
        stage.act("usr_op", Action::CancelItem(item.id)).await.unwrap();
        let item = stage.item(&batch, recipient).await;
        assert_eq!((item.status(), item.reversed_minor), (ItemStatus::Cancelled, 5_000));
        assert_eq!(stage.posted(&item).await.last(), Some(&"cancelled"));
        stage.assert_balanced().await;
        assert_eq!(stage.act("usr_op", Action::CancelItem(item.id)).await.unwrap_err().code(), "wrong_state");
    }
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::Cancelled);
    let left = stage.try_reverse("ref_1", "esc_1", 1, "split_ratio").await.unwrap_err();
    assert_eq!(left.code(), "reversal_invalid", "cancelled gross counts as reversed");
    let paid = stage.release("esc_2", 10_000, "USD").await;
    stage.work().await;
    let paid = stage.item(&paid, "rec_ana").await;
    assert_eq!(stage.act("usr_op", Action::CancelItem(paid.id)).await.unwrap_err().code(), "wrong_state");
}

pub async fn a_batch_is_cancelled_with_the_lines_that_have_no_item(stage: &Stage<'_>) {
    // Ben's part is below his minimum: it is carried, and has no item.
    stage.model(shares(&[("rec_ana", 90), ("rec_ben", 10)])).await;
    stage.register("rec_ana", PAID).await;
    stage.register("rec_ben", Person { minimum: Some(("USD", 100_000)), ..PAID }).await;
    let batch = stage.release("esc_1", 10_000, "USD").await;
    assert_eq!(stage.balance("rec_ben").await[2], 950);
    stage.act("usr_op", Action::CancelBatch(batch.id)).await.unwrap();
    stage.assert_balanced().await;
    assert_eq!(stage.balance("rec_ben").await, [0; 4]);
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::Cancelled);
    assert_eq!(stage.act("usr_op", Action::CancelBatch(batch.id)).await.unwrap_err().code(), "wrong_state");
    stage.work().await;
    assert_eq!(stage.rail.times_paid("rec_ana"), 0);
}

pub async fn what_was_carried_in_is_carried_again_after_a_cancellation(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.register("rec_ana", Person { minimum: Some(("USD", 1_500)), ..PAID }).await;
    stage.release("esc_1", 1_000, "USD").await;
    assert_eq!(stage.balance("rec_ana").await[2], 950);
    stage.rail.script("rec_ana", Script::Down);
    let batch = stage.release("esc_2", 1_000, "USD").await;
    let item = stage.item(&batch, "rec_ana").await;
    assert_eq!((item.payable_minor, stage.balance("rec_ana").await[2]), (1_900, 0));
    stage.act("usr_op", Action::CancelItem(item.id)).await.unwrap();
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 950, 0]);
    stage.assert_balanced().await;
    // And the batch that pays what is carried without a release gives it back just so.
    let carry = stage.pay_carried("rec_ana", "USD").await.unwrap();
    assert_eq!(stage.balance("rec_ana").await[2], 0);
    let item = stage.item(&carry, "rec_ana").await;
    stage.act("usr_op", Action::CancelItem(item.id)).await.unwrap();
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 950, 0]);
}

pub async fn what_the_rail_has_is_cancelled_with_its_proof_only(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::Take);
    stage.rail.script("rec_ben", Script::SilentAfter);
    let batch = two(stage).await;
    stage.work().await;
    let ana = stage.item(&batch, "rec_ana").await;
    stage.act("usr_op", Action::CancelItem(ana.id)).await.unwrap();
    let ana = stage.item(&batch, "rec_ana").await;
    assert_eq!(ana.status(), ItemStatus::Cancelled);
    assert_eq!(stage.posted(&ana).await, ["sent", "refused", "cancelled"]);
    let ben = stage.item(&batch, "rec_ben").await;
    let refused = stage.act("usr_op", Action::CancelItem(ben.id)).await.unwrap_err();
    assert_eq!((refused.code(), stage.status(&batch, "rec_ben").await), ("recall_refused", ItemStatus::InDoubt));
    stage.rail.settle("rec_ana");
    stage.pass(days(1)).await;
    assert_eq!(stage.rail.paid("rec_ana"), 0, "what was recalled is never executed");
}

pub async fn what_never_left_is_given_up_unsent(stage: &Stage<'_>) {
    stage.rail.is_down(true);
    let batch = two(stage).await;
    stage.work().await;
    let ana = stage.item(&batch, "rec_ana").await;
    assert_eq!(ana.status(), ItemStatus::Processing);
    stage.act("usr_op", Action::CancelItem(ana.id)).await.unwrap();
    assert_eq!(stage.status(&batch, "rec_ana").await, ItemStatus::Cancelled);
    stage.rail.is_down(false);
    for _ in 0..3 {
        stage.pass(HOUR).await;
    }
    assert_eq!((stage.rail.times_paid("rec_ana"), stage.rail.times_paid("rec_ben")), (0, 1));
}

pub async fn a_retry_of_somebody_who_may_not_be_paid_is_held(stage: &Stage<'_>) {
    stage.rail.refuse("rec_ana");
    let batch = two(stage).await;
    stage.work().await;
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::Partial);
    stage.register("rec_ana", Person { status: RecipientStatus::Blocked, ..PAID }).await;
    stage.act("usr_op", Action::RetryBatch(batch.id)).await.unwrap();
    let ana = stage.item(&batch, "rec_ana").await;
    assert_eq!(ana.state().hold_reason(), Some(HoldReason::RecipientBlocked));
    stage.rail.script("rec_ana", Script::Pay);
    stage.register("rec_ana", PAID).await;
    stage.work().await;
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::Completed);
}

pub async fn two_people_say_what_became_of_a_doubt(stage: &Stage<'_>) {
    for (at, (outcome, status)) in [
        (Resolved::Paid, ItemStatus::Paid),
        (Resolved::Failed, ItemStatus::Failed),
        (Resolved::NotExecuted, ItemStatus::Scheduled),
        (Resolved::Returned, ItemStatus::Returned),
    ]
    .into_iter()
    .enumerate()
    {
        // Somebody else each time, so that nothing of one story is in the next.
        let who = format!("rec_{at}");
        let executed = matches!(outcome, Resolved::Paid | Resolved::Returned);
        stage.rail.script(&who, if executed { Script::SilentAfter } else { Script::SilentBefore });
        stage.model(shares(&[(&who, 100)])).await;
        let batch = stage.release(&format!("esc_{at}"), 10_000, "USD").await;
        // The rail was silent before: its gate is shut for a moment.
        stage.pass(Duration::from_secs(120)).await;
        let item = stage.item(&batch, &who).await;
        assert_eq!(item.status(), ItemStatus::InDoubt);
        let early = stage.resolve("usr_ann", item.id, outcome).await.unwrap_err();
        assert_eq!(early.code(), "too_early", "the rail may still tell");
        stage.pass(HOUR).await;
        stage.resolve("usr_ann", item.id, outcome).await.unwrap();
        assert_eq!(stage.status(&batch, &who).await, ItemStatus::InDoubt, "one word is not enough");
        let alone = stage.resolve("usr_ann", item.id, outcome).await.unwrap_err();
        assert_eq!(alone.code(), "second_person_needed");
        stage.resolve("usr_bob", item.id, outcome).await.unwrap();
        assert_eq!(stage.status(&batch, &who).await, status);
        if outcome == Resolved::Returned {
            stage.rail.send_back(&who, 9_500);
        }
        stage.assert_balanced().await;
        let again = stage.resolve("usr_cem", item.id, outcome).await.unwrap_err();
        assert_eq!(again.code(), "wrong_state");
        let audit = stage.audit(&item.id.to_string()).await;
        assert!(audit.contains(&"usr_ann item.propose_resolution".to_owned()), "{audit:?}");
        assert!(audit.contains(&"usr_bob item.confirm_resolution".to_owned()), "{audit:?}");
        // Nothing of this story is left for the next one.
        if matches!(status, ItemStatus::Failed | ItemStatus::Scheduled | ItemStatus::Returned) {
            stage.act("usr_op", Action::CancelItem(item.id)).await.unwrap();
        }
    }
}

pub async fn whoever_made_a_batch_does_not_approve_it(stage: &Stage<'_>) {
    let rule = json!({ "when": "amount", "currency": "USD", "from": 9_000, "approvals": 1 });
    let destination = json!({ "when": "new_destination", "approvals": 1 });
    stage.policy(json!({ "approval": { "rules": [rule, destination] } })).await;
    let batch = two(stage).await;
    assert_eq!(batch.status, BatchStatus::AwaitingApproval);
    stage.work().await;
    stage.pass(days(1)).await;
    assert_eq!(stage.rail.calls().len(), 0, "nothing is sent without approval");
    // The escrow service scheduled it; the clerk set where the money goes.
    for maker in ["usr_escrow", "usr_clerk"] {
        assert_eq!(stage.approve(maker, &batch).await.unwrap_err().code(), "maker_is_checker");
    }
    stage.approve("usr_boss", &batch).await.unwrap();
    stage.work().await;
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::Completed);
    assert!(stage.audit(&batch.id.to_string()).await.contains(&"usr_boss batch.approve".to_owned()));
    assert_eq!(stage.approve("usr_boss", &batch).await.unwrap_err().code(), "approval_not_needed");
    // Both were paid there by now, and a small batch needs nobody.
    let small = stage.release("esc_2", 1_000, "USD").await;
    assert_eq!(small.status, BatchStatus::Scheduled);
}

pub async fn an_approval_is_of_what_was_seen_and_of_nothing_else(stage: &Stage<'_>) {
    let rule = json!({ "when": "amount", "currency": "USD", "from": 1, "approvals": 1 });
    stage.policy(json!({ "approval": { "rules": [rule] } })).await;
    let batch = two(stage).await;
    let ana = stage.item(&batch, "rec_ana").await;
    stage.act("usr_op", Action::HoldItem(ana.id)).await.unwrap();
    stage.approve("usr_boss", &batch).await.unwrap();
    stage.work().await;
    assert_eq!(stage.status(&batch, "rec_ben").await, ItemStatus::Paid);
    // A reversal lessens what is to be paid: that was not what the boss saw.
    stage.try_reverse("ref_1", "esc_1", 1_000, "recipient:rec_ana").await.unwrap();
    stage.act("usr_op", Action::ReleaseItem(ana.id)).await.unwrap();
    stage.pass(days(1)).await;
    assert_eq!(stage.rail.times_paid("rec_ana"), 0);
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::AwaitingApproval);
    stage.approve("usr_boss", &batch).await.unwrap();
    stage.work().await;
    assert_eq!(stage.rail.paid("rec_ana"), 4_750 - 950);
}

pub async fn so_many_as_the_policy_asks_for_must_approve(stage: &Stage<'_>) {
    let rule = json!({ "when": "amount", "currency": "USD", "from": 1, "approvals": 2 });
    let approvers = ["usr_ann", "usr_bob", "usr_cem"];
    let approval = json!({ "rules": [rule], "approvers": approvers, "validForSeconds": 86_400 });
    stage.policy(json!({ "approval": approval })).await;
    let batch = two(stage).await;
    assert_eq!(stage.approve("usr_zoe", &batch).await.unwrap_err().code(), "not_an_approver");
    stage.approve("usr_ann", &batch).await.unwrap();
    assert_eq!(stage.approve("usr_ann", &batch).await.unwrap_err().code(), "already_approved");
    stage.work().await;
    assert_eq!(stage.rail.calls().len(), 0, "one of two is not enough");
    stage.pass(days(2)).await;
    // Ann's yes has run out.
    stage.approve("usr_bob", &batch).await.unwrap();
    stage.work().await;
    assert_eq!(stage.rail.calls().len(), 0);
    // She may give it again.
    stage.approve("usr_ann", &batch).await.unwrap();
    stage.work().await;
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::Completed);
}

pub async fn what_needs_no_approval_any_more_is_paid_without_one(stage: &Stage<'_>) {
    let rule = json!({ "when": "new_destination", "approvals": 1 });
    stage.policy(json!({ "approval": { "rules": [rule] } })).await;
    let first = two(stage).await;
    let second = stage.release("esc_2", 10_000, "USD").await;
    assert_eq!(second.status, BatchStatus::AwaitingApproval);
    stage.work().await;
    stage.approve("usr_boss", &first).await.unwrap();
    stage.work().await;
    // Both were paid there by now: nothing is new about the second one.
    assert_eq!(stage.approve("usr_boss", &second).await.unwrap_err().code(), "approval_not_needed");
    stage.work().await;
    assert_eq!(batch_status(stage, &second).await, BatchStatus::Completed);
    // And without anybody asking: it is looked at from time to time.
    stage.register("rec_cem", PAID).await;
    stage.model(shares(&[("rec_cem", 100)])).await;
    let third = stage.release("esc_3", 10_000, "USD").await;
    let fourth = stage.release("esc_4", 10_000, "USD").await;
    stage.work().await;
    stage.approve("usr_boss", &third).await.unwrap();
    stage.work().await;
    stage.pass(Duration::from_secs(600)).await;
    assert_eq!(batch_status(stage, &fourth).await, BatchStatus::Completed);
}

pub async fn a_batch_whose_rail_does_not_answer_is_not_cancelled_and_says_so(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::SilentBefore);
    stage.rail.script("rec_ben", Script::SilentBefore);
    let batch = two(stage).await;
    stage.work().await;
    let refused = stage.act("usr_op", Action::CancelBatch(batch.id)).await.unwrap_err();
    assert_eq!((refused.code(), refused.class()), ("unavailable", app::failure::Class::Unavailable));
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::Processing);
}

pub async fn a_calendar_decides_when_a_batch_is_due(stage: &Stage<'_>) {
    // Every day at nine, and not before a release is two days old.
    let calendar = json!({ "cron": "0 9 * * *", "timeZone": "UTC", "minimumAgeSeconds": 172_800 });
    stage.policy(json!({ "calendar": calendar })).await;
    let batch = two(stage).await;
    assert!(batch.due_at.since(batch.created_at) >= days(2) && batch.due_at.since(batch.created_at) <= days(3));
    assert_eq!(batch.due_at.to_string().get(11..19), Some("09:00:00"));
    stage.pass(days(1)).await;
    assert_eq!(stage.rail.calls().len(), 0);
    stage.pass(days(2)).await;
    assert_eq!(batch_status(stage, &batch).await, BatchStatus::Completed);
    // Another policy counts for what is still to be paid.
    let waiting = stage.release("esc_2", 10_000, "USD").await;
    stage.policy(json!({})).await;
    stage.work().await;
    assert_eq!(batch_status(stage, &waiting).await, BatchStatus::Completed);
}
