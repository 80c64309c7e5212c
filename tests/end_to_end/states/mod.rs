//! Every way for money: each cell of the item's transition table and each status of a batch, reached through the API.

pub mod payment;

use super::{release, shares};
use crate::harness::{
    home::Engine,
    world::{World, list, text},
};
use domain::{batch::BatchStatus, item::table};
use payment::{Cells, LATER, NET, Payment, batch_statuses};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A test of each sentence on both databases, and what it reaches: steps with the state they are taken in.
macro_rules! sentences {
    ($($sentence:ident: $($step:ident $from:ident),+;)+) => {
        /// The sentence, the step or `batch`, and the state it is taken in or the status.
        const REACHED: &[(&str, &str, &str)] =
            &[$($((stringify!($sentence), stringify!($step), stringify!($from)),)+)+];
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::assert_reached(stringify!($sentence), &super::$sentence(super::Engine::Sqlite).await);
            }
        )+}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::assert_reached(stringify!($sentence), &super::$sentence(super::Engine::Postgres).await);
            }
        )+}
    };
}

sentences! {
    what_is_sent_and_settles_is_paid: record_intent scheduled, settle processing, batch completed;
    what_is_due_later_can_be_held_released_and_cancelled:
        hold scheduled, release pending_kyc, cancel scheduled, batch scheduled, batch cancelled;
    what_is_held_can_be_cancelled: cancel pending_kyc;
    what_is_refused_fails_and_can_be_cancelled: refuse processing, cancel failed, batch failed;
    what_failed_can_be_sent_again: retry failed;
    what_failed_is_held_instead_if_its_recipient_is_blocked: retry_held failed;
    what_comes_back_is_owed_again_and_can_be_cancelled: return paid, cancel returned;
    what_came_back_can_be_sent_again: retry returned;
    what_came_back_is_held_instead_if_its_recipient_is_blocked: retry_held returned;
    a_doubt_ends_when_the_rail_has_it_and_a_recall_cancels_it:
        lose_track processing, acknowledge in_doubt, prove_recalled processing, batch processing;
    a_doubt_ends_paid: settle in_doubt;
    a_doubt_ends_refused: refuse in_doubt;
    a_doubt_ends_at_the_recipient: recipient_must_act in_doubt;
    a_doubt_ends_recalled: prove_recalled in_doubt;
    a_doubt_ends_returned: return in_doubt;
    a_doubt_ends_with_the_proof_that_nothing_was_executed: prove_absent in_doubt;
    what_the_recipient_must_mend_is_held: recipient_must_act processing;
    a_refusal_that_may_pass_is_sent_again: prove_absent processing;
    what_is_taken_can_come_back_before_anybody_says_that_it_was_paid: return processing;
    a_late_success_pays_what_failed_what_is_sent_again_and_what_is_held:
        settle_late failed, settle_late scheduled, settle_late pending_kyc;
    some_of_a_batch_paid_is_partial: batch partial;
    a_batch_waits_for_approval: batch awaiting_approval;
}

#[track_caller]
fn assert_reached(sentence: &str, cells: &Cells) {
    for (of, step, from) in REACHED {
        let cell = ((*step).to_owned(), (*from).to_owned());
        assert!(*of != sentence || cells.contains(&cell), "not reached: {step} of what is {from}; but {cells:?}");
    }
}

/// Whoever adds a way for money adds a sentence.
#[test]
fn every_cell_of_the_table_and_every_status_of_a_batch_is_reached_by_a_sentence() {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let table = table();
    let mut rows = table.lines().map(cells);
    let states = rows.next().expect("the table has a head");
    let mut expected = Cells::new();
    for row in rows.skip(1) {
        let reached = states.iter().zip(&row).skip(1).filter(|(_, to)| *to != "·");
        expected.extend(reached.map(|(from, _)| (row[0].clone(), from.clone())));
    }
    assert!(expected.len() >= 29, "{expected:?}");
    expected.extend(BatchStatus::ALL.map(|status| ("batch".to_owned(), status.as_str().to_owned())));
    let reached: Cells = REACHED.iter().map(|(_, step, from)| ((*step).to_owned(), (*from).to_owned())).collect();
    assert_eq!(reached, expected);
}

/// The clock of this one is moved by seconds only.
async fn world(engine: Engine) -> crate::harness::world::Shared {
    World::shared("states", engine).await
}

/// Nobody answers the first call for this recipient, though it is done.
async fn unheard(world: &World, name: &str) {
    world.fault(&json!({ "behaviour": "timeout_after", "recipientId": format!("rec_{name}"), "times": 1 })).await;
}
/// Nobody ever gets the calls.
fn lost() -> Value {
    json!({ "behaviour": "timeout_before", "times": "1000" })
}
fn declined(code: &str) -> Value {
    json!({ "behaviour": "decline", "code": code })
}

/// Somebody gives it up, after those moves and postings.
async fn cancelled(payment: &Payment<'_>, moved: &[&str], posted: &[&str]) -> Value {
    payment.act("cancel").await;
    let (moved, posted) = ([moved, &["usr_op cancel"]].concat(), [posted, &["cancelled"]].concat());
    payment.stands("cancelled", &moved, &posted, "cancelled").await
}
/// Somebody has it sent again after those, now that it can be paid.
async fn sent_again(payment: &Payment<'_>, moved: &[&str], posted: &[&str]) -> Value {
    payment.change(json!({})).await;
    payment.act("retry").await;
    let moved = [moved, &["usr_op retry", "worker record_intent", "rail settle"]].concat();
    payment.stands("paid", &moved, &[posted, &["sent", "paid"]].concat(), "paid").await
}
/// Somebody wants it sent again after those, and its recipient is blocked. Answers its moves.
async fn held_instead<'a>(payment: &Payment<'_>, moved: &[&'a str], posted: &[&str]) -> Vec<&'a str> {
    payment.block().await;
    payment.act("retry").await;
    let moved = [moved, &["usr_op retry_held"]].concat();
    payment.stands("pending_kyc", &moved, posted, "recipient_blocked").await;
    moved
}

async fn what_is_sent_and_settles_is_paid(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = Payment::to(&world, "settled", json!({})).await;
    let item = payment.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    assert!(text(&item, "providerPayoutId").starts_with("sim_"));
    payment.end().await
}

async fn what_is_due_later_can_be_held_released_and_cancelled(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = Payment::of(&world, "duelater", json!({}), Some(LATER)).await;
    payment.stands("scheduled", &[], &[], "not_due_yet").await;
    payment.act("hold").await;
    payment.stands("pending_kyc", &["usr_op hold"], &[], "operator_hold").await;
    payment.act("release").await;
    payment.stands("scheduled", &["usr_op hold", "usr_op release"], &[], "not_due_yet").await;
    let item = cancelled(&payment, &["usr_op hold", "usr_op release"], &[]).await;
    assert_eq!(item["reversedAmount"], 10_000, "cancelled gross counts as reversed");
    payment.end().await
}

async fn what_is_held_can_be_cancelled(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = Payment::of(&world, "held", json!({ "status": "pending" }), None).await;
    payment.stands("pending_kyc", &[], &[], "recipient_pending").await;
    cancelled(&payment, &[], &[]).await;
    payment.end().await
}

const REFUSED: [&str; 2] = ["worker record_intent", "rail refuse"];

async fn refused<'w>(world: &'w World, name: &str) -> Payment<'w> {
    let payment = Payment::to(world, name, declined("account_closed")).await;
    let item = payment.stands("failed", &REFUSED, &["sent", "refused"], "refused").await;
    assert_eq!(item["failureReason"], "account_closed");
    payment
}

async fn what_is_refused_fails_and_can_be_cancelled(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = refused(&world, "refused").await;
    let batch_now = batch_statuses(&world, &payment.batch).await;
    cancelled(&payment, &REFUSED, &["sent", "refused"]).await;
    payment.end().await.into_iter().chain(batch_now).collect()
}

async fn what_failed_can_be_sent_again(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = refused(&world, "refusedagain").await;
    let item = sent_again(&payment, &REFUSED, &["sent", "refused"]).await;
    assert_eq!((&item["attempts"], &item["retries"]), (&json!(2), &json!(0)));
    payment.end().await
}

async fn what_failed_is_held_instead_if_its_recipient_is_blocked(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = refused(&world, "refusedheld").await;
    held_instead(&payment, &REFUSED, &["sent", "refused"]).await;
    payment.end().await
}

const RETURNED: [&str; 3] = ["worker record_intent", "rail settle", "rail return"];

async fn returned<'w>(world: &'w World, name: &str) -> Payment<'w> {
    let payment = Payment::to(world, name, json!({ "behaviour": "late_return", "after": "500ms" })).await;
    let item = payment.stands("returned", &RETURNED, &["sent", "paid", "returned"], "returned").await;
    assert_eq!(item["failureReason"], "account_closed");
    payment
}

async fn what_comes_back_is_owed_again_and_can_be_cancelled(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = returned(&world, "returned").await;
    cancelled(&payment, &RETURNED, &["sent", "paid", "returned"]).await;
    payment.end().await
}

async fn what_came_back_can_be_sent_again(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = returned(&world, "returnedagain").await;
    sent_again(&payment, &RETURNED, &["sent", "paid", "returned"]).await;
    payment.end().await
}

async fn what_came_back_is_held_instead_if_its_recipient_is_blocked(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = returned(&world, "returnedheld").await;
    held_instead(&payment, &RETURNED, &["sent", "paid", "returned"]).await;
    payment.end().await
}

const DOUBT: [&str; 2] = ["worker record_intent", "worker lose_track"];

async fn a_doubt_ends_when_the_rail_has_it_and_a_recall_cancels_it(engine: Engine) -> Cells {
    let world = world(engine).await;
    unheard(&world, "recalled").await;
    let payment = Payment::to(&world, "recalled", json!({ "behaviour": "slow", "after": "5d" })).await;
    let moved = [&DOUBT[..], &["rail acknowledge"]].concat();
    payment.stands("processing", &moved, &["sent"], "with_the_rail").await;
    payment.act("cancel").await;
    let moved = [&moved[..], &["usr_op prove_recalled"]].concat();
    payment.stands("cancelled", &moved, &["sent", "refused", "cancelled"], "cancelled").await;
    assert_eq!(world.transfers().await.iter().filter(|known| known["itemId"] == payment.item.as_str()).count(), 1);
    payment.end().await
}

async fn a_doubt_ends_paid(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = Payment::to(&world, "doubtpaid", json!({ "behaviour": "timeout_after" })).await;
    payment.stands("paid", &[&DOUBT[..], &["rail settle"]].concat(), &["sent", "paid"], "paid").await;
    payment.end().await
}

async fn a_doubt_ends_refused(engine: Engine) -> Cells {
    let world = world(engine).await;
    unheard(&world, "doubtrefused").await;
    let payment = Payment::to(&world, "doubtrefused", declined("no_account")).await;
    payment.stands("failed", &[&DOUBT[..], &["rail refuse"]].concat(), &["sent", "refused"], "refused").await;
    payment.end().await
}

async fn a_doubt_ends_at_the_recipient(engine: Engine) -> Cells {
    let world = world(engine).await;
    unheard(&world, "doubtheld").await;
    let payment = Payment::to(&world, "doubtheld", declined("kyc_required")).await;
    let moved = [&DOUBT[..], &["rail recipient_must_act"]].concat();
    payment.stands("pending_kyc", &moved, &["sent", "refused"], "recipient_must_act").await;
    payment.end().await
}

/// A doubt that the rail cannot end by itself.
async fn doubt<'w>(world: &'w World, name: &str) -> Payment<'w> {
    let payment = Payment::to(world, name, lost()).await;
    payment.stands("in_doubt", &DOUBT, &["sent"], "outcome_unknown").await;
    payment
}

async fn a_doubt_ends_recalled(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = doubt(&world, "doubtrecalled").await;
    payment.told("recalled", json!({})).await;
    let moved = [&DOUBT[..], &["rail prove_recalled"]].concat();
    payment.stands("cancelled", &moved, &["sent", "refused", "cancelled"], "cancelled").await;
    payment.end().await
}

async fn a_doubt_ends_returned(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = doubt(&world, "doubtreturned").await;
    payment.told("returned", json!({ "returned": NET, "code": "no_account" })).await;
    payment.stands("returned", &returned_at_once(&DOUBT), &["sent", "paid", "returned"], "returned").await;
    payment.end().await
}

/// What nobody said was paid, and comes back, was paid.
fn returned_at_once<'a>(before: &[&'a str]) -> Vec<&'a str> {
    [before, &["rail settle", "rail return"]].concat()
}

async fn a_doubt_ends_with_the_proof_that_nothing_was_executed(engine: Engine) -> Cells {
    let world = world(engine).await;
    unheard(&world, "doubtabsent").await;
    once(&world, "doubtabsent", "could_not_process").await;
    let payment = Payment::to(&world, "doubtabsent", json!({})).await;
    let moved = [&DOUBT[..], &["rail prove_absent", "worker record_intent", "rail settle"]].concat();
    payment.stands("paid", &moved, &["sent", "refused", "sent", "paid"], "paid").await;
    payment.end().await
}

/// The next order for this recipient is refused.
async fn once(world: &World, name: &str, code: &str) {
    let recipient = format!("rec_{name}");
    world.fault(&json!({ "behaviour": "decline", "code": code, "recipientId": recipient, "times": 1 })).await;
}

async fn what_the_recipient_must_mend_is_held(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = Payment::to(&world, "mustact", declined("transfers_not_allowed")).await;
    let moved = ["worker record_intent", "rail recipient_must_act"];
    payment.stands("pending_kyc", &moved, &["sent", "refused"], "recipient_must_act").await;
    payment.end().await
}

async fn a_refusal_that_may_pass_is_sent_again(engine: Engine) -> Cells {
    let world = world(engine).await;
    once(&world, "passing", "could_not_process").await;
    let payment = Payment::to(&world, "passing", json!({})).await;
    let moved = ["worker record_intent", "rail prove_absent", "worker record_intent", "rail settle"];
    let item = payment.stands("paid", &moved, &["sent", "refused", "sent", "paid"], "paid").await;
    assert_eq!((&item["attempts"], &item["retries"]), (&json!(2), &json!(1)));
    payment.end().await
}

async fn what_is_taken_can_come_back_before_anybody_says_that_it_was_paid(engine: Engine) -> Cells {
    let world = world(engine).await;
    let payment = Payment::to(&world, "taken", json!({ "behaviour": "slow", "after": "5d" })).await;
    payment.stands("processing", &["worker record_intent"], &["sent"], "with_the_rail").await;
    payment.told("returned", json!({ "returned": NET, "code": "no_account" })).await;
    let moved = returned_at_once(&["worker record_intent"]);
    payment.stands("returned", &moved, &["sent", "paid", "returned"], "returned").await;
    payment.end().await
}

/// The provider says that it refused, and executes it all the same.
async fn a_late_success_pays_what_failed_what_is_sent_again_and_what_is_held(engine: Engine) -> Cells {
    let world = World::new(engine).await;
    let slow = json!({ "behaviour": "slow", "after": "5d" });
    let mut payments = Vec::new();
    for name in ["latefailed", "latescheduled", "lateheld"] {
        let payment = Payment::to(&world, name, slow.clone()).await;
        payment.stands("processing", &["worker record_intent"], &["sent"], "with_the_rail").await;
        payment.told("declined", json!({ "code": "account_closed" })).await;
        payment.stands("failed", &REFUSED, &["sent", "refused"], "refused").await;
        payments.push(payment);
    }
    // Nothing is sent before the next January, so what is to be sent again waits.
    world
        .policy(&json!({ "calendar": { "cron": "0 9 1 1 *", "timeZone": "UTC", "minimumAgeSeconds": 8_640_000 } }))
        .await;
    payments[1].act("retry").await;
    let again = [&REFUSED[..], &["usr_op retry"]].concat();
    payments[1].stands("scheduled", &again, &["sent", "refused"], "not_due_yet").await;
    let held = held_instead(&payments[2], &REFUSED, &["sent", "refused"]).await;

    world.advance(5 * 86_400).await;
    let mut cells = Cells::new();
    for (payment, before) in payments.into_iter().zip([REFUSED.to_vec(), again, held]) {
        let moved = [&before[..], &["rail settle_late"]].concat();
        payment.stands("paid", &moved, &["sent", "refused", "paid_late"], "paid").await;
        cells.extend(payment.end().await);
    }
    cells
}

async fn some_of_a_batch_paid_is_partial(engine: Engine) -> Cells {
    let world = world(engine).await;
    world
        .register("rec_part", &json!({ "destination": { "rail": "simulator", "details": declined("no_account") } }))
        .await;
    world.publish_model("prj_part", &shares(&[("rec_partpaid", 1), ("rec_part", 1)])).await;
    let batch = world.settled(&world.scheduled(&release("esc_part", "prj_part", 10_000, "USD")).await).await;
    assert_eq!(batch["status"], "partial");
    batch_statuses(&world, &text(&batch, "batchId")).await
}

async fn a_batch_waits_for_approval(engine: Engine) -> Cells {
    let world = World::new(engine).await;
    let rule = json!({ "when": "amount", "currency": "USD", "from": 1, "approvals": 1 });
    world.policy(&json!({ "approval": { "rules": [rule] } })).await;
    let payment = Payment::to(&world, "waits", json!({})).await;
    payment.stands("scheduled", &[], &[], "awaiting_approval").await;
    world.approve("usr_ann", &payment.batch).await.with(200);
    payment.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    let deeds = world.deeds(&payment.batch).await;
    assert_eq!(deeds.last().map(String::as_str), Some("usr_ann batch.approve"), "{deeds:?}");
    let batch = world.batch(&payment.batch).await;
    let told: BTreeSet<String> = list(&batch, "timeline").iter().map(|event| text(event, "type")).collect();
    assert!(told.contains("payout.approval.given"), "{told:?}");
    payment.end().await
}
