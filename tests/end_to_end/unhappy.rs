//! A provider that loses calls and answers, says things twice, late, in the wrong order or not at all; and forgers.

use super::{
    promises::assert_paid_exactly_once,
    release, shares,
    states::payment::{NET, Payment},
};
use crate::harness::{
    acting::{number, sign},
    home::Engine,
    on_both_databases,
    process::PATIENCE,
    world::{Shared, World, list, text},
};
use app::payouts::RETRIES_MAX;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

on_both_databases! {
    what_was_lost_on_its_way_is_sent_again_under_its_key
    what_was_done_without_an_answer_is_found_and_not_sent_again
    who_is_asked_to_wait_waits
    what_is_told_twice_is_taken_once
    what_is_told_in_the_wrong_order_is_put_in_order
    what_nobody_signed_changes_nothing
    another_amount_is_never_believed
    what_comes_back_after_five_days_is_owed_again
    what_comes_back_in_part_is_carried_and_paid_later
    who_must_be_verified_is_held_and_paid_once_they_are
    after_the_keys_window_absence_is_proven_before_anything_is_sent_again
    silence_is_never_sent_again_and_ends_with_two_people
    two_people_can_say_each_thing_that_can_have_become_of_it
    each_code_of_a_refusal_does_what_its_class_says
    a_refusal_because_of_us_pauses_the_rail
    while_a_rail_is_paused_nobody_is_told_to_do_nothing
    who_waits_for_a_rail_goes_on_as_soon_as_it_is_back
    what_may_pass_is_tried_so_often_and_then_fails
}

const DAY: i64 = 86_400;

/// The clock of this one is moved by seconds only.
async fn shared(engine: Engine) -> Shared {
    World::shared("unhappy", engine).await
}

fn behaviour(name: &str) -> Value {
    json!({ "behaviour": name })
}

/// In the provider's own book each key was executed once, and nobody has more than they were owed.
async fn assert_nothing_paid_twice(world: &World, items: &[&Payment<'_>]) {
    let transfers = world.transfers().await;
    let keys: BTreeSet<String> = transfers.iter().map(|transfer| text(transfer, "idempotencyKey")).collect();
    assert_eq!(keys.len(), transfers.len(), "a key was used twice");
    let mut kept: BTreeMap<String, i64> = BTreeMap::new();
    for transfer in &transfers {
        *kept.entry(text(transfer, "itemId")).or_default() +=
            number(transfer, "executed") - number(transfer, "returned");
    }
    for payment in items {
        let item = world.item(&payment.item).await;
        let expected = if item["status"] == "paid" { number(&item, "payableAmount") } else { 0 };
        assert_eq!(kept.get(&payment.item).copied().unwrap_or_default(), expected, "{item:#}");
    }
    world.assert_books_balance_soon().await;
}

/// The only order there ever was for it.
async fn only_order(payment: &Payment<'_>) -> Value {
    let item = payment.world.item(&payment.item).await;
    let [order] = list(&item, "attemptHistory") else { panic!("not one order: {item:#}") };
    order.clone()
}

async fn what_was_lost_on_its_way_is_sent_again_under_its_key(engine: Engine) {
    let world = shared(engine).await;
    for (name, details) in [
        ("lostbefore", behaviour("timeout_before")),
        ("lostfive", behaviour("error_500_then_success")),
        ("lostthrice", json!({ "behaviour": "timeout_before", "times": "3" })),
    ] {
        let times = if name == "lostthrice" { 3 } else { 1 };
        let payment = Payment::to(&world, name, details).await;
        let moved = ["worker record_intent", "worker lose_track", "rail settle"];
        payment.stands("paid", &moved, &["sent", "paid"], "paid").await;
        assert_eq!(number(&only_order(&payment).await, "tries"), times + 1, "{name}");
        assert_nothing_paid_twice(&world, &[&payment]).await;
    }
}

async fn what_was_done_without_an_answer_is_found_and_not_sent_again(engine: Engine) {
    let world = shared(engine).await;
    let payment = Payment::to(&world, "doneunheard", behaviour("timeout_after")).await;
    let moved = ["worker record_intent", "worker lose_track", "rail settle"];
    payment.stands("paid", &moved, &["sent", "paid"], "paid").await;
    assert_eq!(only_order(&payment).await["tries"], 1);
    assert_nothing_paid_twice(&world, &[&payment]).await;
}

async fn who_is_asked_to_wait_waits(engine: Engine) {
    let world = World::new(engine).await;
    let details = json!({ "behaviour": "rate_limit", "times": "1", "retryAfter": "600s" });
    let payment = Payment::to(&world, "waits", details).await;
    let item = world.item_once(&payment.item, |item| item["why"]["code"] == "rail_unreachable").await;
    assert_eq!((&item["status"], &item["attemptHistory"][0]["tries"]), (&json!("processing"), &json!(0)));
    // Somebody else is not sent either: it is the rail that asked.
    let other = Payment::to(&world, "waitstoo", json!({})).await;
    world.advance(300).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    other.stands("scheduled", &[], &[], "queued").await;
    world.advance(301).await;
    for payment in [&payment, &other] {
        payment.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
        assert_eq!(only_order(payment).await["tries"], 1);
    }
    assert_nothing_paid_twice(&world, &[&payment, &other]).await;
}

async fn what_is_told_twice_is_taken_once(engine: Engine) {
    let world = shared(engine).await;
    let details = json!({ "behaviour": "duplicate_notification", "after": "300ms" });
    let payment = Payment::to(&world, "twice", details).await;
    payment.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    let said = payment.saying(1, "settled", json!({})).await;
    for known in 0..3 {
        let heard = world.hear(&said).await.with(200);
        assert_eq!((&heard["taken"], &heard["known"]), (&json!(i32::from(known == 0)), &json!(i32::from(known > 0))));
    }
    payment.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    assert_nothing_paid_twice(&world, &[&payment]).await;
}

async fn what_is_told_in_the_wrong_order_is_put_in_order(engine: Engine) {
    let world = World::new(engine).await;
    let details = json!({ "behaviour": "out_of_order_notification", "after": "1d" });
    let payment = Payment::to(&world, "disorder", details).await;
    payment.stands("processing", &["worker record_intent"], &["sent"], "with_the_rail").await;
    world.advance(3 * DAY).await;
    let moved = ["worker record_intent", "rail settle", "rail return"];
    payment.stands("returned", &moved, &["sent", "paid", "returned"], "returned").await;
    // And it stays so when the older message comes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    payment.stands("returned", &moved, &["sent", "paid", "returned"], "returned").await;
    assert_nothing_paid_twice(&world, &[&payment]).await;
}

async fn what_nobody_signed_changes_nothing(engine: Engine) {
    let world = World::new(engine).await;
    let payment = Payment::to(&world, "forged", json!({ "behaviour": "forged_notification", "after": "300ms" })).await;
    let (moved, posted) = (["worker record_intent", "rail settle"], ["sent", "paid"]);
    payment.stands("paid", &moved, &posted, "paid").await;
    let said = payment.saying(1, "returned", json!({ "returned": NET, "code": "no_account" })).await;
    world.hear_signed("a guess", &said).await.refused(403, "bad_signature");
    let secret = world.rail_secret().await;
    let now = world.advance(1).await.unix_micros() / 1_000_000;
    let body = said.to_string();
    let post = |header: Option<String>, body: &str, rail: &str| {
        let request = world.request(Method::POST, &format!("/rails/{rail}/webhooks")).body(body.to_owned());
        match header {
            Some(value) => request.header("disburse-simulator-signature", value),
            None => request,
        }
    };
    for (header, body) in [
        (None, body.clone()),
        (Some(sign(&secret, now - 400, &body)), body.clone()),
        (Some(sign(&secret, now + 400, &body)), body.clone()),
        (Some(sign(&secret, now, &body)), body.replace("9500", "9400")),
        (Some(String::from("t=1,v1=")), body.clone()),
    ] {
        world.send(post(header, &body, "simulator")).await.refused(403, "bad_signature");
    }
    world.send(post(Some(sign(&secret, now, "{}")), "{}", "simulator")).await.refused(422, "malformed_message");
    world.send(post(Some(sign(&secret, now, &body)), &body, "nobody")).await.refused(404, "rail_not_found");
    payment.stands("paid", &moved, &posted, "paid").await;

    // Signed, and about nothing of ours: that is stored and needs a person.
    let mut nothing = said.clone();
    nothing["id"] = "evt_nothing".into();
    nothing["reference"] = "00000000000000000000000000".into();
    assert_eq!(world.hear(&nothing).await.with(200)["taken"], 1);
    assert_eq!(world.hear(&nothing).await.with(200)["known"], 1);
    let alarms = async |at_least: usize| -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = world.all("/events", "eventId").await;
            let alarms = events.iter().filter(|event| event["type"] == "payout.alarm");
            let codes: Vec<String> = alarms.map(|alarm| text(&alarm["data"], "code")).collect();
            if codes.len() >= at_least || Instant::now() > deadline {
                return codes;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(alarms(1).await, ["unknown_payment"]);
    // Nor can more come back than was paid.
    let mut more = said;
    more["id"] = "evt_more".into();
    more["returned"] = json!(NET + 1);
    assert_eq!(world.hear(&more).await.with(200)["taken"], 1);
    assert_eq!(alarms(2).await, ["amount_mismatch", "unknown_payment"]);
    payment.stands("paid", &moved, &posted, "paid").await;
    assert_nothing_paid_twice(&world, &[&payment]).await;
}

async fn another_amount_is_never_believed(engine: Engine) {
    let world = World::new(engine).await;
    let payment = Payment::to(&world, "otheramount", behaviour("wrong_amount")).await;
    let moved = ["worker record_intent", "rail lose_track"];
    payment.stands("in_doubt", &moved, &["sent"], "outcome_unknown").await;
    world.advance(600).await;
    assert_eq!(world.alarms(&payment.batch, 1).await, ["amount_mismatch"]);
    world.advance(DAY).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(world.alarms(&payment.batch, 1).await, ["amount_mismatch"], "it is told once");
    payment.stands("in_doubt", &moved, &["sent"], "resolution_needed").await;
    assert_eq!(world.kept(&payment.item).await, NET + 1, "executed once, though another amount");
}

async fn what_comes_back_after_five_days_is_owed_again(engine: Engine) {
    let world = World::new(engine).await;
    let payment = Payment::to(&world, "late", behaviour("late_return")).await;
    payment.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    world.advance(4 * DAY).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    payment.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    world.advance(DAY).await;
    let moved = ["worker record_intent", "rail settle", "rail return"];
    payment.stands("returned", &moved, &["sent", "paid", "returned"], "returned").await;
    assert_eq!(world.balance("payable:rec_late", "USD").await, -NET);
    assert_eq!(world.batch(&payment.batch).await["status"], "failed");
    assert_nothing_paid_twice(&world, &[&payment]).await;
    payment.end().await;
}

async fn what_comes_back_in_part_is_carried_and_paid_later(engine: Engine) {
    let world = World::new(engine).await;
    let payment = Payment::to(&world, "part", json!({ "behaviour": "late_return", "returned": "3500" })).await;
    payment.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    world.advance(5 * DAY).await;
    assert_eq!(world.alarms(&payment.batch, 1).await, ["returned_in_part"]);
    let posted = ["sent", "paid", "returned_in_part"];
    payment.stands("paid", &["worker record_intent", "rail settle"], &posted, "paid").await;
    assert_eq!(world.balance("carried:rec_part", "USD").await, -3_500);
    assert_eq!(world.kept(&payment.item).await, NET - 3_500);
    payment.change(json!({})).await;
    // Who is changed is looked at anew: then the worker may have been faster.
    let asked = world.post("/recipients/rec_part/payouts", &json!({ "currency": "USD" })).await;
    assert!(matches!(asked.status, 201 | 409), "{}: {}", asked.asked, asked.text);
    let batches = world.all("/payouts/batches", "batchId").await;
    let carries: Vec<_> = batches.iter().filter(|batch| batch["kind"] == "carry").collect();
    assert_eq!(carries.len(), 1, "{batches:#?}");
    let batch = world.settled(&text(carries[0], "batchId")).await;
    assert_eq!((&batch["status"], &batch["items"][0]["payableAmount"]), (&json!("completed"), &json!(3_500)));
    assert_eq!(world.balance("carried:rec_part", "USD").await, 0);
    world.assert_books_balance_soon().await;
}

async fn who_must_be_verified_is_held_and_paid_once_they_are(engine: Engine) {
    let world = shared(engine).await;
    let payment = Payment::to(&world, "kyc", behaviour("kyc_hold")).await;
    payment.stands("pending_kyc", &["worker hold"], &[], "recipient_must_act").await;
    assert_eq!(world.kept(&payment.item).await, 0);
    // Nobody releases it past the rail, which is asked: as long as it says so, the item stays as it is.
    world.act("release", &payment.item).await.refused(409, "recipient_held");
    payment.stands("pending_kyc", &["worker hold"], &[], "recipient_must_act").await;
    payment.change(json!({ "behaviour": "kyc_hold", "verified": "true" })).await;
    let moved = ["worker hold", "worker release", "worker record_intent", "rail settle"];
    payment.stands("paid", &moved, &["sent", "paid"], "paid").await;
    assert_nothing_paid_twice(&world, &[&payment]).await;
}

async fn after_the_keys_window_absence_is_proven_before_anything_is_sent_again(engine: Engine) {
    let world = World::new(engine).await;
    world.replay_window(60).await;
    // Of one nobody got the calls; the other was executed, and nobody heard.
    let recipients = [("windowlost", "timeout_before"), ("windowdone", "timeout_after")];
    for (name, fault) in recipients {
        world.fault(&json!({ "behaviour": fault, "recipientId": format!("rec_{name}") })).await;
    }
    // Nor are questions answered for now.
    let [lost, done] =
        [Payment::to(&world, "windowlost", json!({})).await, Payment::to(&world, "windowdone", json!({})).await];
    lost.stands("in_doubt", &["worker record_intent", "worker lose_track"], &["sent"], "outcome_unknown").await;
    done.stands("paid", &["worker record_intent", "worker lose_track", "rail settle"], &["sent", "paid"], "paid").await;
    let tries = world.item(&lost.item).await["attemptHistory"][0]["tries"].clone();
    world.clear_faults().await;
    world.advance(100).await;
    let moved =
        ["worker record_intent", "worker lose_track", "worker prove_absent", "worker record_intent", "rail settle"];
    let item = lost.stands("paid", &moved, &["sent", "refused", "sent", "paid"], "paid").await;
    let orders = list(&item, "attemptHistory");
    let generations: Vec<_> = orders.iter().map(|order| (&order["generation"], &order["status"])).collect();
    assert_eq!(generations, [(&json!(1), &json!("absent")), (&json!(2), &json!("settled"))]);
    assert!(orders[0]["tries"].as_i64() >= tries.as_i64(), "{item:#}");
    assert_ne!(orders[0]["instructionId"], orders[1]["instructionId"]);
    assert_nothing_paid_twice(&world, &[&lost, &done]).await;
}

async fn silence_is_never_sent_again_and_ends_with_two_people(engine: Engine) {
    let world = World::new(engine).await;
    world.replay_window(60).await;
    let payment = Payment::to(&world, "silent", behaviour("silent")).await;
    let doubt = ["worker record_intent", "worker lose_track"];
    payment.stands("in_doubt", &doubt, &["sent"], "outcome_unknown").await;
    world.resolve("usr_ann", &payment.item, "paid").await.refused(409, "too_early");
    world.advance(600).await;
    payment.stands("in_doubt", &doubt, &["sent"], "resolution_needed").await;
    let proposed = world.resolve("usr_ann", &payment.item, "failed").await.with(200);
    assert_eq!(
        (&proposed["resolution"]["status"], &proposed["item"]["status"]),
        (&json!("proposed"), &json!("in_doubt"))
    );
    payment.stands("in_doubt", &doubt, &["sent"], "second_person_needed").await;
    world.resolve("usr_ann", &payment.item, "failed").await.refused(409, "second_person_needed");
    // Whoever says something else does not confirm it: that is a first word of its own.
    let other = world.resolve("usr_bob", &payment.item, "paid").await.with(200);
    assert_eq!((&other["resolution"]["status"], &other["item"]["status"]), (&json!("proposed"), &json!("in_doubt")));
    world.resolve("usr_bob", &payment.item, "paid").await.refused(409, "second_person_needed");
    let confirmed = world.resolve("usr_cem", &payment.item, "paid").await.with(200);
    assert_eq!(confirmed["resolution"]["confirmedBy"], "usr_cem");
    let moved = [&doubt[..], &["usr_cem settle"]].concat();
    payment.stands("paid", &moved, &["sent", "paid"], "paid").await;
    let deeds = world.deeds(&payment.item).await;
    for deed in
        ["usr_ann item.propose_resolution", "usr_bob item.propose_resolution", "usr_cem item.confirm_resolution"]
    {
        assert!(deeds.iter().any(|known| known == deed), "{deed} in {deeds:?}");
    }
    assert_nothing_paid_twice(&world, &[&payment]).await;
    payment.end().await;
}

async fn two_people_can_say_each_thing_that_can_have_become_of_it(engine: Engine) {
    let world = World::new(engine).await;
    world.replay_window(60).await;
    // Nothing is executed, and nothing can be asked.
    let mut payments = Vec::new();
    for (name, outcome) in [("saidfailed", "failed"), ("saidabsent", "not_executed"), ("saidreturned", "returned")] {
        let details = json!({ "behaviour": "timeout_before", "times": "1000" });
        let payment = Payment::to(&world, name, details).await;
        world.item_is(&payment.item, "in_doubt").await;
        payments.push((payment, outcome));
    }
    world.fault(&behaviour("unavailable")).await;
    world.advance(600).await;
    // What is sent again goes by other details.
    payments[1].0.change(json!({})).await;
    for (payment, outcome) in &payments {
        world.resolve("usr_ann", &payment.item, outcome).await.with(200);
        world.resolve("usr_bob", &payment.item, outcome).await.with(200);
    }
    world.clear_faults().await;
    let doubt = ["worker record_intent", "worker lose_track"];
    let (failed, absent, returned) = (&payments[0].0, &payments[1].0, &payments[2].0);
    let with = |more: &[&'static str]| [&doubt[..], more].concat();
    let item = failed.stands("failed", &with(&["usr_bob refuse"]), &["sent", "refused"], "refused").await;
    assert_eq!(item["failureReason"], "resolved_as_failed");
    let moved = with(&["usr_bob settle", "usr_bob return"]);
    returned.stands("returned", &moved, &["sent", "paid", "returned"], "returned").await;
    world.advance(600).await;
    let moved = with(&["usr_bob prove_absent", "worker record_intent", "rail settle"]);
    absent.stands("paid", &moved, &["sent", "refused", "sent", "paid"], "paid").await;
    assert_nothing_paid_twice(&world, &[failed, absent, returned]).await;
}

async fn each_code_of_a_refusal_does_what_its_class_says(engine: Engine) {
    let world = shared(engine).await;
    let fail =
        ["account_closed", "account_frozen", "no_account", "invalid_account_number", "compliance_rejected", "new1"];
    let hold = ["kyc_required", "transfers_not_allowed", "payouts_not_allowed", "bank_account_unverified"];
    let retry = ["could_not_process", "processing_error", "bank_unavailable"];
    for (codes, status, moved, why) in [
        (&fail[..], "failed", "rail refuse", "refused"),
        (&hold[..], "pending_kyc", "rail recipient_must_act", "recipient_must_act"),
    ] {
        for code in codes {
            let details = json!({ "behaviour": "decline", "code": code });
            let payment = Payment::to(&world, &code.replace('_', ""), details).await;
            let moved = ["worker record_intent", moved];
            let item = payment.stands(status, &moved, &["sent", "refused"], why).await;
            assert_eq!(item["attemptHistory"][0]["parts"][0]["reason"], *code);
            payment.end().await;
        }
    }
    for code in retry {
        let name = code.replace('_', "");
        let recipient = format!("rec_{name}");
        let fault = json!({ "behaviour": "decline", "code": code, "recipientId": recipient, "times": 1 });
        world.fault(&fault).await;
        let payment = Payment::to(&world, &name, json!({})).await;
        let moved = ["worker record_intent", "rail prove_absent", "worker record_intent", "rail settle"];
        payment.stands("paid", &moved, &["sent", "refused", "sent", "paid"], "paid").await;
        payment.end().await;
    }
}

async fn a_refusal_because_of_us_pauses_the_rail(engine: Engine) {
    let world = World::new(engine).await;
    let codes = ["insufficient_funds", "balance_insufficient", "platform_account_required", "authentication_failed"];
    for code in codes {
        let name = code.replace('_', "");
        let recipient = format!("rec_{name}");
        let fault = json!({ "behaviour": "decline", "code": code, "recipientId": recipient, "times": 1 });
        world.fault(&fault).await;
        let payment = Payment::to(&world, &name, json!({})).await;
        let moved = ["worker record_intent", "rail prove_absent"];
        let item = payment.stands("scheduled", &moved, &["sent", "refused"], "rail_paused").await;
        assert_eq!(item["retries"], 0, "it uses up nothing");
        let says = text(&item["why"], "message");
        assert!(says.contains(code), "{says}");
        let mend = if code.contains("insufficient") { "Top up our balance" } else { "Mend our credentials" };
        let next = text(&item["why"], "nextStep");
        assert!(next.starts_with(mend), "{code}: {next}");
        assert_eq!(world.alarms(&payment.batch, 1).await, ["rail_paused"]);
        let other = Payment::to(&world, &format!("{name}other"), json!({})).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.stands("scheduled", &[], &[], "rail_paused").await;
        world.advance(70).await;
        let moved = [&moved[..], &["worker record_intent", "rail settle"]].concat();
        payment.stands("paid", &moved, &["sent", "refused", "sent", "paid"], "paid").await;
        other.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
        assert_nothing_paid_twice(&world, &[&payment, &other]).await;
    }
}

/// One is refused, the others wait behind it: whoever asks about any of them is told what to mend.
async fn while_a_rail_is_paused_nobody_is_told_to_do_nothing(engine: Engine) {
    let world = World::new(engine).await;
    world.fault(&json!({ "behaviour": "decline", "code": "insufficient_funds" })).await;
    let mut payments = vec![Payment::to(&world, "pausedfirst", json!({})).await];
    world.item_once(&payments[0].item, |item| item["why"]["code"] == "rail_paused").await;
    for name in ["pausedsecond", "pausedthird"] {
        payments.push(Payment::to(&world, name, json!({})).await);
    }
    // Longer than the pause of the item that was refused.
    let told_since = Instant::now();
    while told_since.elapsed() < Duration::from_secs(3) {
        for payment in &payments {
            let item = world.item(&payment.item).await;
            let why = &item["why"];
            assert_eq!((&item["status"], &why["code"]), (&json!("scheduled"), &json!("rail_paused")), "{item:#}");
            assert!(text(why, "message").contains("`insufficient_funds`"), "{why}");
            assert!(text(why, "nextStep").starts_with("Top up our balance"), "{why}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Nobody tops up, and the rail is tried again in vain.
    world.advance(61).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for payment in &payments {
        assert_eq!(world.item(&payment.item).await["why"]["code"], "rail_paused");
    }
    let told = world.alarms(&payments[0].batch, 1).await;
    assert_eq!(told, ["rail_paused"], "it is told once");

    world.clear_faults().await;
    world.advance(61).await;
    let back_since = Instant::now();
    for payment in &payments {
        let item = world.item_once(&payment.item, |item| item["why"]["code"] != "rail_paused").await;
        world.item_is(&text(&item, "itemId"), "paid").await;
    }
    assert!(back_since.elapsed() < Duration::from_secs(8), "{:?}", back_since.elapsed());
    // What comes now is not told of a pause that is over, though nobody may pay it yet.
    let later = Payment::of(&world, "pausedlater", json!({}), Some("2099-01-01T00:00:00Z")).await;
    assert_eq!(world.item(&later.item).await["why"]["code"], "not_due_yet");
    world.fault(&json!({ "behaviour": "rate_limit", "times": 1, "retryAfterSeconds": 600 })).await;
    let waits = Payment::to(&world, "pausednot", json!({})).await;
    world.item_once(&waits.item, |item| item["why"]["code"] == "rail_unreachable").await;
    let queued = Payment::to(&world, "pausednoteither", json!({})).await;
    assert_eq!(world.item(&queued.item).await["why"]["code"], "queued");
    assert_nothing_paid_twice(&world, &payments.iter().collect::<Vec<_>>()).await;
}

/// One 429 that asks for a second costs about a second, whoever got it.
async fn who_waits_for_a_rail_goes_on_as_soon_as_it_is_back(engine: Engine) {
    const BATCHES: usize = 8;
    let world = World::new(engine).await;
    world.publish_model("prj_soon", &shares(&[("rec_soon", 1)])).await;
    world.fault(&json!({ "behaviour": "rate_limit", "times": 1, "retryAfterSeconds": 1 })).await;
    let since = Instant::now();
    let mut batches = BTreeSet::new();
    for n in 0..BATCHES {
        batches.insert(world.scheduled(&release(&format!("esc_soon{n}"), "prj_soon", 10_000, "USD")).await);
    }
    for batch in &batches {
        world.batch_once(batch, |batch| batch["status"] == "completed").await;
    }
    let took = since.elapsed();
    assert!(took >= Duration::from_secs(1), "the rail asked for a second: {took:?}");
    assert!(took < Duration::from_secs(8), "a second's pause took {took:?}");
    assert_paid_exactly_once(&world, &batches).await;
}

async fn what_may_pass_is_tried_so_often_and_then_fails(engine: Engine) {
    let world = World::new(engine).await;
    let fault = json!({ "behaviour": "decline", "code": "could_not_process", "recipientId": "rec_usedup" });
    world.fault(&fault).await;
    let payment = Payment::to(&world, "usedup", json!({})).await;
    for attempt in 1..=i64::from(RETRIES_MAX) {
        let item = world
            .item_once(&payment.item, |item| number(item, "attempts") >= attempt && item["status"] != "processing");
        assert_ne!(item.await["status"], "failed", "after {attempt} attempts");
        world.advance(3_600).await;
    }
    let item = world.item_is(&payment.item, "failed").await;
    assert_eq!(number(&item, "attempts"), i64::from(RETRIES_MAX) + 1);
    assert_eq!(item["failureReason"], "could_not_process");
    // A person decides anew.
    world.clear_faults().await;
    payment.act("retry").await;
    world.item_is(&payment.item, "paid").await;
    payment.end().await;
}
