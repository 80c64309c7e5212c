//! One call, and what is known after it.

use super::{World, destination, instruction, instruction_of, money, show, show_all};
use crate::harness::stripe::Fault;
use app::ports::{
    PayoutRail,
    rail::{Lookup, Preflight, Recall, Submit},
};
use domain::instruction::Instruction;
use serde_json::json;
use std::time::{Duration, Instant};

/// In one word, with what matters.
async fn ask(world: &World, instruction: &Instruction) -> String {
    match world.rail.query(instruction).await {
        Lookup::Found(events) => format!("found: {}", show_all(&events)),
        Lookup::ProvenAbsent => "absent".to_owned(),
        Lookup::CannotTell { .. } => "cannot tell".to_owned(),
    }
}

#[tokio::test]
async fn what_was_moved_is_settled_and_found() {
    let world = World::new().await;
    let sent = instruction(7);
    assert_eq!(ask(&world, &sent).await, "absent");
    let Submit::Accepted { reference, seen } = world.rail.submit(&sent).await else { panic!("not paid") };
    assert_eq!(show_all(&seen), "settled of 5.00 USD");
    assert_eq!(ask(&world, &sent).await, "found: settled of 5.00 USD");
    assert_eq!(ask(&world, &instruction(8)).await, "absent");

    let transfers = world.stripe.transfers();
    let [transfer] = &transfers[..] else { panic!("{transfers:?}") };
    assert_eq!(Some(transfer["id"].as_str().unwrap()), reference.as_deref());
    assert_eq!((&transfer["amount"], &transfer["currency"]), (&json!(500), &json!("usd")));
    assert_eq!((&transfer["destination"], &transfer["transfer_group"]), (&json!("acct_paid"), &json!(sent.id)));
    let expected = json!({ "instruction": sent.id, "item": sent.items[0].item, "wire_ref": sent.items[0].wire_ref });
    assert_eq!(transfer["metadata"], expected);
}

#[tokio::test]
async fn amounts_are_sent_and_read_in_the_units_that_stripe_counts() {
    let world = World::new().await;
    for (n, (ours, currency, theirs)) in
        [(5, "UGX", 500), (150, "ISK", 15_000), (500, "MGA", 5), (500, "JPY", 500)].into_iter().enumerate()
    {
        let amount = money(ours, currency);
        let sent = instruction_of(n as u128, amount, "acct_paid");
        assert_eq!(show(&world.rail.submit(&sent).await), format!("settled of {amount}"));
        assert_eq!(world.stripe.transfers()[n]["amount"], json!(theirs), "{currency}");
        assert_eq!(ask(&world, &sent).await, format!("found: settled of {amount}"));
    }
}

#[tokio::test]
async fn the_same_call_twice_has_effect_once_and_the_same_answer() {
    let world = World::new().await;
    let first = world.rail.submit(&instruction(7)).await;
    assert_eq!(world.rail.submit(&instruction(7)).await, first);
    assert_eq!(world.stripe.transfers().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_at_the_same_time_have_effect_once_and_none_says_that_nothing_happened() {
    let world = World::new().await;
    world.stripe.faults([Fault::Slow]);
    let calls = (0..16).map(|_| {
        let rail = world.rail.clone();
        tokio::spawn(async move { show(&rail.submit(&instruction(7)).await) })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    assert_eq!(world.stripe.transfers().len(), 1);
    assert!(answers.iter().any(|answer| answer == "settled of 5.00 USD"), "{answers:?}");
    assert!(answers.iter().any(|answer| answer == "unknown"), "some met the first: {answers:?}");
    assert!(answers.iter().all(|answer| ["settled of 5.00 USD", "unknown"].contains(&answer.as_str())), "{answers:?}");
}

#[tokio::test]
async fn a_key_that_comes_back_with_another_body_is_doubt() {
    let world = World::new().await;
    world.rail.submit(&instruction(7)).await;
    let other = instruction_of(7, money(501, "USD"), "acct_paid");
    assert_eq!(show(&world.rail.submit(&other).await), "unknown");
    assert_eq!(world.stripe.transfers().len(), 1);
    // Whoever asks is told of the amount that was moved, which is not theirs.
    assert_eq!(ask(&world, &other).await, "found: settled of 5.00 USD");
}

/// What befalls a call, what it is answered, what is found, and what the same call is answered then.
#[tokio::test]
async fn whatever_befalls_a_call_nothing_is_called_a_failure_that_was_moved() {
    let settled = "settled of 5.00 USD";
    let found = "found: settled of 5.00 USD";
    for (fault, answer, lookup, again) in [
        (Fault::RateLimit, "not sent, later", "absent", settled),
        (Fault::Unauthorized, "not sent, ours", "absent", settled),
        (Fault::LockTimeout, "not sent", "absent", settled),
        (Fault::Redirect, "unknown", "absent", settled),
        // A 500 is kept under the key, whether anything was moved or not.
        (Fault::ErrorInstead, "unknown", "absent", "unknown"),
        (Fault::ErrorAfterwards, "unknown", found, "unknown"),
        (Fault::SilenceAfterwards, "unknown", found, settled),
        (Fault::HalfAnAnswer, "unknown", found, settled),
        (Fault::EndlessAnswer, "unknown", found, settled),
        (Fault::Garbage, "unknown", found, settled),
        // What is kept under the key is as wrong as it was; what there is, is found.
        (Fault::OtherAccount, "unknown", found, "unknown"),
        (Fault::OtherPayment, "unknown", found, "unknown"),
    ] {
        let world = World::new().await;
        world.stripe.faults([fault]);
        let started = Instant::now();
        assert_eq!(show(&world.rail.submit(&instruction(7)).await), answer, "{fault:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{fault:?} took {:?}", started.elapsed());
        assert_eq!(ask(&world, &instruction(7)).await, lookup, "{fault:?}");
        assert_eq!(show(&world.rail.submit(&instruction(7)).await), again, "{fault:?}");
        assert!(world.stripe.transfers().len() <= 1, "{fault:?}");
    }
}

#[tokio::test]
async fn another_amount_in_the_answer_is_passed_on_as_it_is() {
    let world = World::new().await;
    world.stripe.faults([Fault::OtherAmount]);
    assert_eq!(show(&world.rail.submit(&instruction(7)).await), "settled of 5.01 USD");
}

#[tokio::test]
async fn a_refusal_says_who_must_do_something() {
    let world = World::new().await;
    let to = |n, account| instruction_of(n, money(500, "USD"), account);
    let refused = [
        (to(1, "acct_nobody"), "refused fail resource_missing"),
        (to(2, "acct_waiting"), "refused hold insufficient_capabilities_for_transfer"),
    ];
    for (sent, expected) in refused {
        assert_eq!(show(&world.rail.submit(&sent).await), expected);
        assert_eq!(ask(&world, &sent).await, "absent");
    }
    world.stripe.balance(499);
    assert_eq!(show(&world.rail.submit(&instruction(3)).await), "refused ops balance_insufficient");
    world.stripe.balance(1_000);
    // The refusal is kept under its key: a new one is needed.
    assert_eq!(show(&world.rail.submit(&instruction(3)).await), "refused ops balance_insufficient");
    assert_eq!(show(&world.rail.submit(&instruction(4)).await), "settled of 5.00 USD");
}

#[tokio::test]
async fn what_came_back_is_found_with_how_much() {
    let world = World::new().await;
    let Submit::Accepted { reference: Some(id), .. } = world.rail.submit(&instruction(7)).await else { panic!() };
    world.stripe.reverse(&id, 200);
    assert_eq!(ask(&world, &instruction(7)).await, "found: settled of 5.00 USD, returned 2.00 USD of 5.00 USD");
    world.stripe.reverse(&id, 300);
    assert_eq!(ask(&world, &instruction(7)).await, "found: settled of 5.00 USD, returned 5.00 USD of 5.00 USD");
}

#[tokio::test]
async fn a_transfer_that_does_not_say_what_it_pays_proves_nothing() {
    let world = World::new().await;
    let Submit::Accepted { reference: Some(id), .. } = world.rail.submit(&instruction(7)).await else { panic!() };
    world.stripe.edit(&id, json!({}));
    assert_eq!(ask(&world, &instruction(7)).await, "cannot tell");
    let group = instruction(8).id.to_string();
    world.stripe.foreign_transfer("acct_paid", Some(&group));
    assert_eq!(ask(&world, &instruction(8)).await, "cannot tell");
}

#[tokio::test]
async fn a_key_that_stripe_forgot_pays_again_which_is_found() {
    // Why the window is kept, and a fifth of it left alone.
    let world = World::new().await;
    world.rail.submit(&instruction(7)).await;
    world.stripe.forget_keys();
    world.rail.submit(&instruction(7)).await;
    assert_eq!(ask(&world, &instruction(7)).await, "found: settled of 5.00 USD, settled of 5.00 USD");
}

#[tokio::test]
async fn nothing_is_recalled() {
    let world = World::new().await;
    world.rail.submit(&instruction(7)).await;
    assert!(matches!(world.rail.recall(&instruction(7), &[]).await, Recall::Refused { .. }));
}

#[tokio::test]
async fn an_account_is_looked_at_before_it_is_paid_and_remembered_if_it_can_be() {
    let world = World::new().await;
    let look = async |account: &str| world.rail.preflight(&destination(account)).await;
    assert_eq!(look("acct_paid").await, Preflight::Ready);
    assert_eq!(look("acct_paid").await, Preflight::Ready);
    let looks = || world.stripe.requests().iter().filter(|request| request.path.contains("accounts")).count();
    assert_eq!(looks(), 1);
    let must_act = |reason: &str| Preflight::MustAct { reason: reason.to_owned() };
    for _ in 0..2 {
        let reason = "insufficient_capabilities_for_transfer";
        assert_eq!(look("acct_waiting").await, must_act(reason), "as the transfer would be refused");
    }
    assert_eq!(look("acct_nobody").await, must_act("account_invalid"));
    // Who acts is not kept waiting.
    world.stripe.account("acct_waiting", "active");
    assert_eq!(look("acct_waiting").await, Preflight::Ready);
}

#[tokio::test]
async fn a_stripe_that_is_not_there_was_not_called_and_says_nothing() {
    let rail = World::new().await.end().await;
    assert_eq!(show(&rail.submit(&instruction(7)).await), "not sent");
    assert!(matches!(rail.query(&instruction(7)).await, Lookup::CannotTell { .. }));
    assert_eq!(rail.preflight(&destination("acct_paid")).await, Preflight::CannotTell);
    assert!(rail.list(domain::timestamp::Timestamp::from_unix_micros(0), None).await.is_err());
    assert!(rail.book(None, 10).await.is_err());
}
