//! Refunds: where the money comes from depends on how far it got.

use super::stage::{PAID, Person, Stage, shares};
use app::{failure::Failure, revenue::reverse_revenue::Reversed};
use domain::{
    item::ItemStatus,
    recipient::RecipientStatus,
    reversal::{ReversalLine, Source},
};
use futures_util::future::join_all;
use serde_json::json;

fn line<'a>(reversed: &'a Reversed, recipient: &str) -> &'a ReversalLine {
    reversed.lines.iter().find(|line| line.recipient.as_str() == recipient).expect("they have a line")
}
fn source(reversed: &Reversed, recipient: &str) -> [i64; 3] {
    let Source { payable_minor, carried_minor, debt_minor } = line(reversed, recipient).source.expect("it is booked");
    [payable_minor, carried_minor, debt_minor]
}

pub async fn what_was_not_sent_shrinks(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 70), ("rec_ben", 30)])).await;
    let batch = stage.release("esc_1", 200_000, "USD").await;
    let reversed = stage.reverse("ref_1", "esc_1", 100_000).await;
    assert_eq!((reversed.status(), line(&reversed, "rec_ana").gross_minor), ("completed", 70_000));
    assert_eq!(source(&reversed, "rec_ana"), [66_500, 0, 0]);
    stage.assert_balanced().await;
    stage.work().await;
    let item = stage.item(&batch, "rec_ana").await;
    assert_eq!((item.amount_minor, item.payable_minor, item.reversed_minor), (140_000, 133_000, 70_000));
    assert_eq!(stage.rail.paid("rec_ana"), 66_500, "the instruction pays the reduced amount");
    assert_eq!(item.status(), ItemStatus::Paid);

    let again = stage.try_reverse("ref_1", "esc_1", 100_000, "split_ratio").await.unwrap_err();
    assert_eq!((again.code(), again.existing().unwrap()["requestMatches"].clone()), ("already_reversed", json!(true)));
    let other = stage.try_reverse("ref_1", "esc_1", 1, "split_ratio").await.unwrap_err();
    assert_eq!(other.existing().unwrap()["requestMatches"], json!(false));
}

pub async fn what_was_paid_becomes_a_debt_and_the_next_release_recovers_it(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.release("esc_1", 1_000, "USD").await;
    stage.work().await;
    let reversed = stage.reverse("ref_1", "esc_1", 1_000).await;
    assert_eq!(source(&reversed, "rec_ana"), [0, 0, 950]);
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 0, 950]);
    stage.assert_balanced().await;

    let next = stage.release("esc_2", 2_000, "USD").await;
    assert_eq!(stage.item(&next, "rec_ana").await.payable_minor, 950, "1,900 less 950");
    stage.explain(&next, "rec_ana").await;
    stage.work().await;
    assert_eq!(stage.balance("rec_ana").await, [0; 4]);
    stage.assert_balanced().await;

    let second = stage.reverse("ref_2", "esc_2", 2_000).await;
    assert_eq!(source(&second, "rec_ana"), [0, 0, 1_900], "what was set off against a debt was had, too");
}

pub async fn what_is_in_flight_waits_until_it_is_known(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 50), ("rec_ben", 50)])).await;
    stage.rail.keep_silent("rec_ana");
    let batch = stage.release("esc_1", 2_000, "USD").await;
    stage.work().await;
    assert_eq!(stage.status(&batch, "rec_ana").await, ItemStatus::InDoubt);
    let reversed = stage.reverse("ref_1", "esc_1", 2_000).await;
    assert_eq!((reversed.status(), source(&reversed, "rec_ben")), ("waiting", [0, 0, 950]));
    assert!(line(&reversed, "rec_ana").source.is_none());
    stage.assert_balanced().await;
    stage.pass(std::time::Duration::from_secs(3_600)).await;
    assert_eq!(stage.reversal("ref_1").await.status(), "waiting");

    stage.rail.speak("rec_ana");
    for _ in 0..4 {
        stage.pass(std::time::Duration::from_secs(3_600)).await;
    }
    assert_eq!(stage.status(&batch, "rec_ana").await, ItemStatus::Paid);
    let reversed = stage.reversal("ref_1").await;
    assert_eq!((reversed.status(), source(&reversed, "rec_ana")), ("completed", [0, 0, 950]));
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 0, 950]);
}

pub async fn what_is_in_flight_and_refused_is_taken_from_what_is_owed(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.rail.refuse("rec_ana");
    stage.rail.keep_silent("rec_ana");
    let batch = stage.release("esc_1", 2_000, "USD").await;
    stage.work().await;
    stage.reverse("ref_1", "esc_1", 2_000).await;
    stage.rail.speak("rec_ana");
    for _ in 0..4 {
        stage.pass(std::time::Duration::from_secs(3_600)).await;
    }
    assert_eq!(source(&stage.reversal("ref_1").await, "rec_ana"), [1_900, 0, 0]);
    assert_eq!(stage.status(&batch, "rec_ana").await, ItemStatus::Cancelled, "nothing is left to be paid");
    assert_eq!((stage.balance("rec_ana").await, stage.rail.paid("rec_ana")), ([0; 4], 0));
}

pub async fn what_was_carried_is_taken_before_a_debt_is_made(stage: &Stage<'_>) {
    stage.model(json!({ "steps": [{ "type": "remainder", "recipientId": "rec_ana" }] })).await;
    let small = Person { minimum: Some(("USD", 10_000)), ..PAID };
    stage.register("rec_ana", small).await;
    stage.release("esc_1", 4_000, "USD").await;
    stage.release("esc_2", 3_000, "USD").await;
    let reversed = stage.reverse("ref_1", "esc_1", 1_000).await;
    assert_eq!(source(&reversed, "rec_ana"), [0, 1_000, 0]);
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 6_000, 0]);
    stage.assert_balanced().await;

    // Both carries leave with this release: from then on a reversal makes a debt.
    stage.release("esc_3", 5_000, "USD").await;
    stage.work().await;
    assert_eq!(stage.rail.paid("rec_ana"), 11_000);
    let reversed = stage.reverse("ref_2", "esc_1", 3_000).await;
    assert_eq!(source(&reversed, "rec_ana"), [0, 0, 3_000]);
}

pub async fn a_full_reversal_in_parts_leaves_nothing(stage: &Stage<'_>) {
    let lines = json!([
        { "recipientId": "rec_a", "weight": 1 }, { "recipientId": "rec_b", "weight": 1 }, { "recipientId": "rec_c", "weight": 1 },
    ]);
    let fee = json!({ "ratePpm": 33_333, "feeTaxPpm": 190_000 });
    let tax = json!({ "rules": [{ "code": "us_backup", "ratePpm": 240_000 }] });
    stage
        .model(json!({ "steps": [{ "type": "share", "lines": lines }], "platformFee": fee, "defaultTaxProfile": tax }))
        .await;
    let pending = Person { status: RecipientStatus::Pending, ..PAID };
    stage.register("rec_b", pending).await;
    let batch = stage.release("esc_1", 10_001, "USD").await;
    for (at, amount) in [1, 3_333, 7, 2_500, 4_160].into_iter().enumerate() {
        stage.reverse(&format!("ref_{at}"), "esc_1", amount).await;
        stage.assert_balanced().await;
    }
    for recipient in ["rec_a", "rec_b", "rec_c"] {
        assert_eq!(stage.status(&batch, recipient).await, ItemStatus::Cancelled);
        assert_eq!(stage.balance(recipient).await, [0; 4]);
    }
    let books = stage.ports.queries.books().await.unwrap();
    let left: Vec<String> = books.balances.iter().map(|(account, _, sum)| format!("{account} {sum}")).collect();
    assert_eq!(left, ["escrow_receivable 10001", "escrow:esc_1 -10001"], "all of it is the escrow's again");
}

pub async fn the_platform_or_one_recipient_may_bear_it(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 70), ("rec_ben", 30)])).await;
    stage.release("esc_1", 1_000, "USD").await;
    let platform = stage.try_reverse("ref_1", "esc_1", 100, "platform").await.unwrap();
    assert_eq!((platform.lines.len(), platform.reversal.platform_minor, platform.status()), (0, 100, "completed"));
    let one = stage.try_reverse("ref_2", "esc_1", 300, "recipient:rec_ben").await.unwrap();
    assert_eq!((one.lines.len(), source(&one, "rec_ben")), (1, [285, 0, 0]));
    stage.assert_balanced().await;
    stage.work().await;
    assert_eq!((stage.rail.paid("rec_ana"), stage.rail.paid("rec_ben")), (665, 0));
}

pub async fn a_fee_that_is_kept_is_borne_by_the_recipient(stage: &Stage<'_>) {
    let mut model = shares(&[("rec_ana", 100)]);
    model["platformFee"]["feeOnRefund"] = json!("kept");
    stage.model(model).await;
    stage.release("esc_1", 1_000, "USD").await;
    let reversed = stage.reverse("ref_1", "esc_1", 1_000).await;
    assert_eq!(source(&reversed, "rec_ana"), [950, 0, 50]);
    assert_eq!(stage.balance("rec_ana").await, [0, 0, 0, 50]);
}

pub async fn more_than_is_left_is_refused_and_leaves_nothing_behind(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 100)])).await;
    stage.release("esc_1", 1_000, "USD").await;
    stage.reverse("ref_1", "esc_1", 600).await;
    let before = stage.balance("rec_ana").await;
    for (id, escrow, amount, strategy, code) in [
        ("ref_2", "esc_1", 401, "split_ratio", "reversal_invalid"),
        ("ref_3", "esc_1", 401, "platform", "reversal_invalid"),
        ("ref_4", "esc_1", 1, "recipient:rec_zoe", "reversal_invalid"),
        ("ref_5", "esc_9", 1, "split_ratio", "escrow_not_found"),
    ] {
        assert_eq!(stage.try_reverse(id, escrow, amount, strategy).await.unwrap_err().code(), code, "{id}");
    }
    assert_eq!(stage.balance("rec_ana").await, before);
    stage.reverse("ref_2", "esc_1", 400).await;
}

pub async fn of_many_reversals_at_once_no_cent_is_reversed_twice(stage: &Stage<'_>) {
    stage.model(shares(&[("rec_ana", 70), ("rec_ben", 30)])).await;
    stage.release("esc_1", 1_000, "USD").await;
    let ids: Vec<String> = (0..16).map(|at| format!("ref_{at}")).collect();
    let all = join_all(ids.iter().map(|id| stage.try_reverse(id, "esc_1", 100, "split_ratio"))).await;
    let (booked, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!((booked.len(), refused.len()), (10, 6));
    assert!(refused.iter().all(|refused| refused.as_ref().unwrap_err().code() == "reversal_invalid"));
    stage.work().await;
    assert_eq!((stage.rail.paid("rec_ana"), stage.rail.paid("rec_ben")), (0, 0));
}
