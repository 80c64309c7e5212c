//! What becomes of a payment: every answer, every silence, every message of a rail.

use super::{
    rail::Script,
    stage::{PAID, Stage, days, shares},
};
use app::{
    payouts::{RETRIES_MAX, act::Action},
    ports::rail::Class,
};
use domain::{
    batch::Batch,
    item::{Item, ItemStatus},
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// Ana gets all of a release of 100.00 less the fee: 95.00.
async fn release(stage: &Stage<'_>) -> Batch {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.register("rec_ana", PAID).await;
    stage.release("esc_1", 10_000, "USD").await
}
async fn ana(stage: &Stage<'_>, batch: &Batch) -> Item {
    stage.item(batch, "rec_ana").await
}
/// Her item is in that state, the books balance, and these were posted about it so far.
async fn stands(stage: &Stage<'_>, batch: &Batch, status: ItemStatus, posted: &[&str]) -> Item {
    let item = ana(stage, batch).await;
    assert_eq!((item.status(), stage.posted(&item).await.as_slice()), (status, posted));
    stage.assert_balanced().await;
    item
}

pub async fn what_is_sent_is_settled_and_what_is_refused_is_owed(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 50), ("rec_ben", 50)])).await;
    stage.rail.refuse("rec_ben");
    let batch = stage.release("esc_1", 10_000, "USD").await;
    stage.work().await;
    let ana = stands(stage, &batch, ItemStatus::Paid, &["sent", "paid"]).await;
    assert_eq!(stage.audit(&ana.id.to_string()).await, ["sys_worker item.record_intent", "rail:simulator item.settle"]);
    let ben = stage.item(&batch, "rec_ben").await;
    assert_eq!((ben.status(), stage.posted(&ben).await), (ItemStatus::Failed, vec!["sent", "refused"]));
    assert_eq!(stage.audit(&ben.id.to_string()).await, ["sys_worker item.record_intent", "rail:simulator item.refuse"]);
    assert_eq!(stage.balance("rec_ben").await[0], 4_750, "fee and tax stay, the money is still owed");
}

pub async fn a_refusal_that_may_pass_is_retried_under_new_keys_and_not_for_ever(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::Refuse("could_not_process", Class::Retry));
    let batch = release(stage).await;
    stage.work().await;
    let item = stands(stage, &batch, ItemStatus::Scheduled, &["sent", "refused"]).await;
    assert_eq!((item.attempts, item.retries), (1, 1));
    for _ in 0..40 {
        stage.pass(HOUR).await;
    }
    let item = ana(stage, &batch).await;
    assert_eq!((item.status(), item.attempts), (ItemStatus::Failed, RETRIES_MAX + 1));
    assert_eq!(item.state().failure_reason(), Some("could_not_process"));
    // A person decides anew: it counts anew, too.
    stage.rail.script("rec_ana", Script::Pay);
    stage.act("usr_op", Action::RetryItem(item.id)).await.unwrap();
    stage.work().await;
    let item = ana(stage, &batch).await;
    assert_eq!((item.status(), stage.rail.times_paid("rec_ana")), (ItemStatus::Paid, 1));
}

pub async fn a_refusal_that_asks_for_the_recipient_holds_the_item(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::Refuse("transfers_not_allowed", Class::Hold));
    let batch = release(stage).await;
    stage.work().await;
    stands(stage, &batch, ItemStatus::PendingKyc, &["sent", "refused"]).await;
    stage.pass(days(3)).await;
    assert_eq!(ana(stage, &batch).await.attempts, 1, "it is not sent again blindly");
    stage.rail.script("rec_ana", Script::Pay);
    stage.register("rec_ana", super::stage::Person { minimum: Some(("USD", 1)), ..PAID }).await;
    stage.work().await;
    stands(stage, &batch, ItemStatus::Paid, &["sent", "refused", "sent", "paid"]).await;
}

pub async fn a_refusal_because_of_us_pauses_the_rail_and_uses_up_nothing(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::Refuse("balance_insufficient", Class::Ops));
    let batch = release(stage).await;
    stage.work().await;
    let item = stands(stage, &batch, ItemStatus::Scheduled, &["sent", "refused"]).await;
    assert_eq!(item.retries, 0);
    assert_eq!(stage.alarms().await, ["rail_paused"]);
    let calls = stage.rail.calls().len();
    stage.pass(Duration::from_secs(30)).await;
    assert_eq!(stage.rail.calls().len(), calls, "the rail is left alone");
    stage.rail.script("rec_ana", Script::Pay);
    stage.pass(Duration::from_secs(40)).await;
    stage.pass(Duration::from_secs(40)).await;
    assert_eq!(stage.status(&batch, "rec_ana").await, ItemStatus::Paid);
}

pub async fn what_was_lost_is_proven_absent_and_paid_once(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::Lost);
    let batch = release(stage).await;
    stage.work().await;
    stands(stage, &batch, ItemStatus::InDoubt, &["sent"]).await;
    stage.rail.script("rec_ana", Script::Pay);
    stage.pass(HOUR).await;
    stage.pass(HOUR).await;
    let item = stands(stage, &batch, ItemStatus::Paid, &["sent", "refused", "sent", "paid"]).await;
    assert_eq!((item.attempts, stage.rail.times_paid("rec_ana")), (2, 1));
    assert!(stage.audit(&item.id.to_string()).await.contains(&"sys_worker item.prove_absent".to_owned()));
}

pub async fn what_was_executed_in_silence_is_doubt_until_the_rail_speaks(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::SilentAfter);
    let batch = release(stage).await;
    stage.work().await;
    stands(stage, &batch, ItemStatus::InDoubt, &["sent"]).await;
    for _ in 0..5 {
        stage.pass(days(1)).await;
        stands(stage, &batch, ItemStatus::InDoubt, &["sent"]).await;
    }
    stage.rail.speak("rec_ana");
    stage.pass(HOUR).await;
    stands(stage, &batch, ItemStatus::Paid, &["sent", "paid"]).await;
    assert_eq!(stage.rail.times_paid("rec_ana"), 1);
}

pub async fn what_is_taken_is_settled_later(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::Take);
    let batch = release(stage).await;
    stage.work().await;
    stands(stage, &batch, ItemStatus::Processing, &["sent"]).await;
    stage.rail.settle("rec_ana");
    stage.pass(HOUR).await;
    stands(stage, &batch, ItemStatus::Paid, &["sent", "paid"]).await;
}

pub async fn a_doubt_ends_when_the_rail_says_that_it_has_it(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::SilentBefore);
    let batch = release(stage).await;
    stage.work().await;
    let item = stands(stage, &batch, ItemStatus::InDoubt, &["sent"]).await;
    let wire_ref = stage.wire_ref(item.id, 1).await;
    stage.hear(&format!("signed evt_1 {wire_ref} accepted")).await.unwrap();
    stands(stage, &batch, ItemStatus::Processing, &["sent"]).await;
    stage.hear(&format!("signed evt_2 {wire_ref} rejected")).await.unwrap();
    stands(stage, &batch, ItemStatus::Failed, &["sent", "refused"]).await;
}

pub async fn what_comes_back_is_owed_again_and_paid_again(stage: &Stage<'_>) {
    let batch = release(stage).await;
    stage.work().await;
    let item = stands(stage, &batch, ItemStatus::Paid, &["sent", "paid"]).await;
    let wire_ref = stage.wire_ref(item.id, 1).await;
    stage.pass(days(5)).await;
    stage.rail.send_back("rec_ana", 9_500);
    let heard = stage.hear(&format!("signed evt_1 {wire_ref} 9500")).await.unwrap();
    assert_eq!((heard.taken, heard.known), (1, 0));
    stands(stage, &batch, ItemStatus::Returned, &["sent", "paid", "returned"]).await;
    assert_eq!(stage.balance("rec_ana").await[0], 9_500);
    stage.act("usr_op", Action::RetryItem(item.id)).await.unwrap();
    stage.work().await;
    stands(stage, &batch, ItemStatus::Paid, &["sent", "paid", "returned", "sent", "paid"]).await;
    assert_eq!(stage.rail.paid("rec_ana"), 9_500);
}

pub async fn what_comes_back_in_part_is_carried(stage: &Stage<'_>) {
    let batch = release(stage).await;
    stage.work().await;
    let item = ana(stage, &batch).await;
    let wire_ref = stage.wire_ref(item.id, 1).await;
    for (minor, name) in [(2_000, "evt_1"), (3_500, "evt_2")] {
        stage.rail.send_back("rec_ana", if minor == 2_000 { 2_000 } else { 1_500 });
        stage.hear(&format!("signed {name} {wire_ref} {minor}")).await.unwrap();
    }
    let kinds = ["sent", "paid", "returned_in_part", "returned_in_part"];
    stands(stage, &batch, ItemStatus::Paid, &kinds).await;
    assert_eq!(stage.balance("rec_ana").await[2], 3_500);
    assert_eq!(stage.alarms().await, ["returned_in_part", "returned_in_part"]);
}

pub async fn a_message_is_taken_once_in_whatever_order_it_comes(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::SilentAfter);
    let batch = release(stage).await;
    stage.work().await;
    let item = stands(stage, &batch, ItemStatus::InDoubt, &["sent"]).await;
    let wire_ref = stage.wire_ref(item.id, 1).await;
    stage.rail.send_back("rec_ana", 9_500);
    // It came back before we hear that it was paid.
    stage.hear(&format!("signed evt_2 {wire_ref} 9500")).await.unwrap();
    let kinds = ["sent", "paid", "returned"];
    stands(stage, &batch, ItemStatus::Returned, &kinds).await;
    stage.hear(&format!("signed evt_1 {wire_ref} settled")).await.unwrap();
    for _ in 0..2 {
        let again = stage.hear(&format!("signed evt_2 {wire_ref} 9500")).await.unwrap();
        assert_eq!((again.taken, again.known), (0, 1));
    }
    stands(stage, &batch, ItemStatus::Returned, &kinds).await;
}

pub async fn a_message_that_the_rail_did_not_sign_changes_nothing(stage: &Stage<'_>) {
    let batch = release(stage).await;
    stage.work().await;
    let item = ana(stage, &batch).await;
    let wire_ref = stage.wire_ref(item.id, 1).await;
    assert!(stage.hear(&format!("forged evt_1 {wire_ref} 9500")).await.is_err());
    stands(stage, &batch, ItemStatus::Paid, &["sent", "paid"]).await;
    // Signed, and about nothing of ours: that needs a person.
    stage.hear("signed evt_2 NOTHINGOFOURS 9500").await.unwrap();
    assert_eq!(stage.alarms().await, ["unknown_payment"]);
    // More than was paid cannot have come back.
    stage.hear(&format!("signed evt_3 {wire_ref} 9501")).await.unwrap();
    assert_eq!(stage.alarms().await, ["amount_mismatch"]);
    stands(stage, &batch, ItemStatus::Paid, &["sent", "paid"]).await;
}

pub async fn another_amount_is_never_believed(stage: &Stage<'_>) {
    stage.rail.script("rec_ana", Script::OtherAmount);
    let batch = release(stage).await;
    stage.work().await;
    stands(stage, &batch, ItemStatus::InDoubt, &["sent"]).await;
    for _ in 0..3 {
        stage.pass(HOUR).await;
    }
    assert_eq!(stage.alarms().await, ["amount_mismatch"], "it is told once");
    stage.rail.speak("rec_ana");
    stage.pass(HOUR).await;
    stands(stage, &batch, ItemStatus::Paid, &["sent", "paid"]).await;
}

/// Her first payment was given up by two people, though the rail executed it in silence.
async fn given_up(stage: &Stage<'_>) -> (Batch, Item, String) {
    stage.rail.script("rec_ana", Script::Take);
    let batch = release(stage).await;
    stage.work().await;
    let item = ana(stage, &batch).await;
    let wire_ref = stage.wire_ref(item.id, 1).await;
    stage.hear(&format!("signed evt_1 {wire_ref} rejected")).await.unwrap();
    let item = stands(stage, &batch, ItemStatus::Failed, &["sent", "refused"]).await;
    (batch, item, wire_ref)
}

pub async fn a_late_success_pays_what_was_given_up(stage: &Stage<'_>) {
    let (batch, _, wire_ref) = given_up(stage).await;
    stage.rail.execute_late("rec_ana");
    stage.hear(&format!("signed evt_2 {wire_ref} settled")).await.unwrap();
    let item = stands(stage, &batch, ItemStatus::Paid, &["sent", "refused", "paid_late"]).await;
    assert!(stage.audit(&item.id.to_string()).await.contains(&"rail:simulator item.settle_late".to_owned()));
    assert_eq!(stage.balance("rec_ana").await, [0; 4]);
}

pub async fn a_late_success_after_a_retry_is_a_debt_and_set_off_if_the_retry_is_refused(stage: &Stage<'_>) {
    let (batch, item, wire_ref) = given_up(stage).await;
    stage.act("usr_op", Action::RetryItem(item.id)).await.unwrap();
    stage.work().await;
    stands(stage, &batch, ItemStatus::Processing, &["sent", "refused", "sent"]).await;
    stage.rail.execute_late("rec_ana");
    stage.hear(&format!("signed evt_2 {wire_ref} settled")).await.unwrap();
    let kinds = ["sent", "refused", "sent", "paid_late"];
    stands(stage, &batch, ItemStatus::Processing, &kinds).await;
    assert_eq!(stage.balance("rec_ana").await[3], 9_500, "what was paid is a debt as long as the other is on its way");
    assert_eq!(stage.alarms().await, ["paid_twice"]);
    let second = stage.wire_ref(item.id, 2).await;
    stage.hear(&format!("signed evt_3 {second} rejected")).await.unwrap();
    let kinds = ["sent", "refused", "sent", "paid_late", "refused", "set_off"];
    stands(stage, &batch, ItemStatus::Paid, &kinds).await;
    assert_eq!(stage.balance("rec_ana").await, [0; 4]);
}

pub async fn a_late_success_after_a_cancellation_is_a_debt(stage: &Stage<'_>) {
    let (batch, item, wire_ref) = given_up(stage).await;
    stage.act("usr_op", Action::CancelItem(item.id)).await.unwrap();
    stage.rail.execute_late("rec_ana");
    stage.hear(&format!("signed evt_2 {wire_ref} settled")).await.unwrap();
    stands(stage, &batch, ItemStatus::Cancelled, &["sent", "refused", "cancelled", "paid_late"]).await;
    assert_eq!(stage.balance("rec_ana").await[3], 9_500);
    // It comes back: the debt is gone.
    stage.rail.send_back("rec_ana", 9_500);
    stage.hear(&format!("signed evt_3 {wire_ref} 9500")).await.unwrap();
    assert_eq!(stage.balance("rec_ana").await, [0; 4]);
}

pub async fn what_never_left_waits_and_is_paid_once(stage: &Stage<'_>) {
    stage.rail.is_down(true);
    let batch = release(stage).await;
    stage.work().await;
    let item = stands(stage, &batch, ItemStatus::Processing, &["sent"]).await;
    for _ in 0..10 {
        stage.pass(HOUR).await;
    }
    stage.rail.is_down(false);
    stage.pass(HOUR).await;
    stage.pass(HOUR).await;
    let paid = stands(stage, &batch, ItemStatus::Paid, &["sent", "paid"]).await;
    assert_eq!((paid.attempts, stage.rail.times_paid("rec_ana")), (item.attempts, 1), "no try was used up");
}
