//! What cannot be taken back, and what is not paid on demand.

use super::send;
use crate::{
    end_to_end::{release, shares, with},
    harness::{
        home::Engine,
        on_both_databases,
        world::{Shared, World, list, text},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_databases! {
    fields_of_a_reversal_are_told_by_their_names
    what_cannot_be_taken_back_says_why
    the_same_reversal_again_is_a_conflict_that_names_it
    under_one_key_a_reversal_is_answered_alike
    what_is_carried_is_paid_only_where_there_is_something_and_somebody
    nobody_has_no_balance
}

const PATH: &str = "/revenue/reversals";

async fn world(engine: Engine) -> Shared {
    World::shared("takenback", engine).await
}

/// A release of 1,000.00 to two, of which everything is paid.
async fn paid(world: &World, escrow: &str) -> String {
    let project = escrow.replace("esc_", "prj_");
    let model = with(shares(&[("rec_take1", 70), ("rec_take2", 30)]), "platformFee", json!({ "ratePpm": 50_000 }));
    world.publish_model(&project, &model).await;
    let batch = world.settled(&world.scheduled(&release(escrow, &project, 100_000, "USD")).await).await;
    assert_eq!(batch["status"], "completed");
    text(&batch, "batchId")
}

fn reversal(id: &str, escrow: &str, amount: i64) -> Value {
    json!({ "reversalId": id, "escrowId": escrow, "amount": amount })
}

async fn fields_of_a_reversal_are_told_by_their_names(engine: Engine) {
    let world = world(engine).await;
    let good = reversal("ref_fields", "esc_fields", 1);
    for (body, faults) in [
        (json!({}), vec!["/amount required", "/escrowId required", "/reversalId required"]),
        (with(good.clone(), "reversalId", json!("refund 1")), vec!["/reversalId invalid_format"]),
        (with(good.clone(), "escrowId", json!(7)), vec!["/escrowId wrong_type"]),
        (with(good.clone(), "amount", json!(0)), vec!["/amount amount_not_positive"]),
        (with(good.clone(), "amount", json!(1.0)), vec!["/amount amount_not_integer"]),
        (with(good.clone(), "currency", json!("usd")), vec!["/currency currency_malformed"]),
        (with(good.clone(), "strategy", json!("everybody")), vec!["/strategy invalid_format"]),
        (with(good.clone(), "strategy", json!("recipient:ana")), vec!["/strategy invalid_format"]),
        (with(good.clone(), "reason", json!("")), vec!["/reason out_of_range"]),
        (with(good.clone(), "reason", json!("x".repeat(501))), vec!["/reason out_of_range"]),
        (with(good.clone(), "reason", json!("a\0b")), vec!["/reason invalid_format"]),
        (with(good, "batchId", json!("x")), vec!["/batchId unknown_field"]),
    ] {
        send(&world, Method::POST, PATH, &body.to_string()).await.faults("validation_error", &faults);
    }
    world.get("/revenue/reversals/ref_fields").await.refused(404, "reversal_not_found");
    world.get("/revenue/reversals/7").await.faults("validation_error", &["/reversalId invalid_format"]);
}

async fn what_cannot_be_taken_back_says_why(engine: Engine) {
    let world = world(engine).await;
    let post = async |body: &Value| world.post(PATH, body).await;
    let ask = reversal("ref_toomuch", "esc_toomuch", 100_001);
    post(&ask).await.refused(404, "escrow_not_found");
    paid(&world, "esc_toomuch").await;
    let error = post(&ask).await.faults("reversal_invalid", &["/amount reversal_exceeds_remaining"]);
    assert_eq!(error["details"][0]["meta"], json!({ "asked": 100_001, "remaining": 100_000 }));
    let of_one = with(reversal("ref_toomuch", "esc_toomuch", 30_001), "strategy", json!("recipient:rec_take2"));
    let error = post(&of_one).await.faults("reversal_invalid", &["/amount reversal_exceeds_remaining"]);
    assert_eq!(error["details"][0]["meta"]["remaining"], 30_000);
    let stranger = with(reversal("ref_toomuch", "esc_toomuch", 1), "strategy", json!("recipient:rec_stranger"));
    post(&stranger).await.faults("reversal_invalid", &["/strategy no_such_line"]);
    let euros = with(reversal("ref_toomuch", "esc_toomuch", 1), "currency", json!("EUR"));
    post(&euros).await.faults("validation_error", &["/currency currency_mismatch"]);
    world.get("/revenue/reversals/ref_toomuch").await.refused(404, "reversal_not_found");
}

async fn the_same_reversal_again_is_a_conflict_that_names_it(engine: Engine) {
    let world = world(engine).await;
    let batch = paid(&world, "esc_again").await;
    let ask = with(reversal("ref_again", "esc_again", 10_000), "reason", json!("The payer was not served."));
    let answer = world.post(PATH, &ask).await;
    assert_eq!(answer.header("location"), Some("/revenue/reversals/ref_again"));
    let booked = answer.with(201);
    assert_eq!((&booked["status"], &booked["strategy"]), (&json!("completed"), &json!("split_ratio")));
    let parts: Vec<_> = list(&booked, "lines")
        .iter()
        .map(|line| ["reversedAmount", "net", "fees", "fromPayable", "toDebt"].map(|name| line[name].as_i64()))
        .collect();
    let part = |figures: [i64; 5]| figures.map(Some);
    assert_eq!(parts, [part([7_000, 6_650, 350, 0, 6_650]), part([3_000, 2_850, 150, 0, 2_850])]);
    assert_eq!(world.get("/revenue/reversals/ref_again").await.with(200), booked);

    let existing = |matches: bool| json!({ "reversalId": "ref_again", "batchId": batch, "status": "completed", "requestMatches": matches });
    let again = world.post(PATH, &ask).await.refused(409, "already_reversed");
    assert_eq!(again["existing"], existing(true));
    let other = world.post(PATH, &with(ask, "amount", json!(1))).await.refused(409, "already_reversed");
    assert_eq!(other["existing"], existing(false));
    let items = world.batch(&batch).await;
    let reversed: Vec<_> = list(&items, "items").iter().map(|item| item["reversedAmount"].as_i64()).collect();
    assert_eq!(reversed, [Some(7_000), Some(3_000)]);
}

/// A key asks for the first answer; without one, the repetition is told as such.
async fn under_one_key_a_reversal_is_answered_alike(engine: Engine) {
    let world = world(engine).await;
    paid(&world, "esc_keyed").await;
    let post = async |body: &Value| {
        let request = world.request(Method::POST, PATH).bearer_auth(world.token("system"));
        world.send(request.header("idempotency-key", "k-reversal").json(body)).await
    };
    let ask = reversal("ref_keyed", "esc_keyed", 100);
    let first = post(&ask).await;
    let again = post(&ask).await;
    assert_eq!((first.with(201), first.header("location")), (again.with(201), again.header("location")));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), (None, Some("true")));
    post(&with(ask.clone(), "amount", json!(101))).await.refused(422, "idempotency_key_reused");
    world.post(PATH, &ask).await.refused(409, "already_reversed");
}

async fn what_is_carried_is_paid_only_where_there_is_something_and_somebody(engine: Engine) {
    let world = world(engine).await;
    let pay = async |recipient: &str, body: Value| world.post(&format!("/recipients/{recipient}/payouts"), &body).await;
    let dollars = json!({ "currency": "USD" });
    pay("rec_nobody", json!({})).await.faults("validation_error", &["/currency required"]);
    pay("rec_nobody", json!({ "currency": "USD", "amount": 1 }))
        .await
        .faults("validation_error", &["/amount unknown_field"]);
    pay("rec_nobody", dollars.clone()).await.refused(404, "recipient_not_found");
    world.register("rec_saver", &json!({ "payoutMinimums": [{ "currency": "USD", "amount": 500 }] })).await;
    pay("rec_saver", dollars.clone()).await.refused(409, "nothing_carried");

    world.publish_model("prj_saver", &shares(&[("rec_saver", 1)])).await;
    let batch = world.batch(&world.scheduled(&release("esc_saver", "prj_saver", 499, "USD")).await).await;
    assert_eq!((&batch["status"], list(&batch, "items").len()), (&json!("completed"), 0));
    world.put("/recipients/rec_saver", &json!({ "status": "blocked" })).await.with(200);
    pay("rec_saver", dollars.clone()).await.refused(409, "recipient_held");
    pay("rec_saver", json!({ "currency": "EUR" })).await.refused(409, "recipient_held");
    let minimum = json!([{ "currency": "USD", "amount": 500 }]);
    let active = json!({ "status": "active", "payoutMinimums": minimum });
    world.put("/recipients/rec_saver", &active).await.with(200);
    pay("rec_saver", json!({ "currency": "EUR" })).await.refused(409, "nothing_carried");

    let answer = pay("rec_saver", dollars.clone()).await;
    let carry = answer.with(201);
    let id = text(&carry, "batchId");
    assert_eq!(answer.header("location"), Some(format!("/payouts/batches/{id}").as_str()));
    assert_eq!((&carry["kind"], &carry["recipientId"]), (&json!("carry"), &json!("rec_saver")));
    for name in ["escrowId", "projectId", "modelVersion", "modelHash", "asOf"] {
        assert_eq!(carry[name], Value::Null, "{name} belongs to a release");
    }
    let settled = world.settled(&id).await;
    assert_eq!((&settled["status"], &settled["items"][0]["payableAmount"]), (&json!("completed"), &json!(499)));
    pay("rec_saver", dollars).await.refused(409, "nothing_carried");
    world.assert_books_balanced().await;
}

async fn nobody_has_no_balance(engine: Engine) {
    let world = world(engine).await;
    world.get("/recipients/rec_unheard/balance").await.refused(404, "recipient_not_found");
    world.get("/recipients/7/balance").await.faults("validation_error", &["/recipientId invalid_format"]);
    world.register("rec_quiet", &json!({})).await;
    let quiet = world.get("/recipients/rec_quiet/balance").await.with(200);
    assert_eq!(quiet, json!({ "recipientId": "rec_quiet", "balances": [] }));
    world.get("/payouts/items/7/explanation").await.faults("validation_error", &["/itemId invalid_format"]);
}
