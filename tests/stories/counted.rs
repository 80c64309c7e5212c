//! What is counted from release to release: advances, tiers, turns, years.

use super::stage::{PAID, Person, Stage, days};
use domain::calculation::Operation;
use futures_util::future::join_all;
use serde_json::{Value, json};

/// An advance of 1,000 for the label, then halves.
fn advance() -> Value {
    json!({ "currency": "USD", "steps": [
        { "type": "recoup", "key": "advance", "lines": [{ "recipientId": "rec_label", "principal": 1_000 }] },
        { "type": "share", "lines": [{ "recipientId": "rec_label", "weight": 1 }, { "recipientId": "rec_artist", "weight": 1 }] },
    ] })
}

async fn value(stage: &Stage<'_>, key: &str) -> i64 {
    let key = domain::counter::CounterKey::stored(key.to_owned());
    let found = stage.ports.repository.counters(&[key]).await.unwrap();
    found.first().map_or(0, |counter| counter.value)
}

pub async fn an_advance_is_recouped_once_over_many_releases(stage: &Stage<'_>) {
    stage.model(advance()).await;
    for at in 0..3 {
        stage.release(&format!("esc_{at}"), 600, "USD").await;
    }
    stage.work().await;
    // 600; then 400 and halves of 200; then halves of 600.
    assert_eq!((stage.rail.paid("rec_label"), stage.rail.paid("rec_artist")), (1_400, 400));
    assert_eq!(value(stage, "recouped:prj_1:USD:advance:rec_label").await, 1_000);
}

pub async fn of_many_releases_at_once_each_cent_of_an_advance_is_recouped_once(stage: &Stage<'_>) {
    stage.model(advance()).await;
    let escrows: Vec<String> = (0..24).map(|at| format!("esc_{at}")).collect();
    let all = join_all(escrows.iter().map(|escrow| stage.try_release(escrow, 100, "USD"))).await;
    assert!(all.iter().all(Result::is_ok), "a lost race calculates anew: {all:?}");
    stage.work().await;
    assert_eq!((stage.rail.paid("rec_label"), stage.rail.paid("rec_artist")), (1_700, 700));
    assert_eq!(value(stage, "recouped:prj_1:USD:advance:rec_label").await, 1_000);
}

pub async fn tiers_go_on_where_the_last_release_ended_also_in_a_new_version(stage: &Stage<'_>) {
    let line =
        |dev: u64| json!([{ "recipientId": "rec_dev", "ppm": dev }, { "recipientId": "rec_store", "remaining": true }]);
    let tiers = |first: u64| {
        json!({ "type": "tiers", "key": "steam", "basis": "cumulative_amount", "mode": "marginal", "tiers": [
        { "upTo": 1_000, "lines": line(first) }, { "upTo": null, "lines": line(800_000) },
    ] })
    };
    stage.model(json!({ "currency": "USD", "steps": [tiers(700_000)] })).await;
    stage.release("esc_1", 900, "USD").await;
    stage.pass(days(1)).await;
    // A step before it, and another rate: the count follows the key.
    let first = json!({ "type": "fixed", "amount": 10, "recipientId": "rec_agent" });
    stage.model(json!({ "currency": "USD", "steps": [first, tiers(600_000)] })).await;
    let batch = stage.release("esc_2", 310, "USD").await;
    stage.work().await;
    assert_eq!(stage.item(&batch, "rec_dev").await.amount_minor, 60 + 160, "100 at 60 %, 200 at 80 %");
    assert_eq!(value(stage, "cumulative:prj_1:USD:steam:ever").await, 1_200);
    let explained = stage.explain(&batch, "rec_dev").await.lines;
    let slices: Vec<i64> =
        explained.iter().filter(|line| line.operation == Operation::TierSlice).map(|line| line.value).collect();
    assert_eq!(slices, [100, 200]);
}

pub async fn ties_take_turns(stage: &Stage<'_>) {
    let halves = |tie_break: &str| {
        json!({ "tieBreak": tie_break, "steps": [{ "type": "share", "lines": [
        { "recipientId": "rec_a", "weight": 1 }, { "recipientId": "rec_b", "weight": 1 },
    ] }] })
    };
    for (tie_break, released, paid) in [("rotate", 4, (6, 6)), ("carry", 4, (12, 12)), ("declaration", 4, (20, 16))] {
        stage.model(halves(tie_break)).await;
        for at in 0..released {
            stage.release(&format!("esc_{tie_break}{at}"), 3, "USD").await;
        }
        stage.pass(days(1)).await;
        assert_eq!((stage.rail.paid("rec_a"), stage.rail.paid("rec_b")), paid, "{tie_break}");
    }
}

pub async fn tax_is_withheld_once_the_year_has_passed_its_threshold(stage: &Stage<'_>) {
    stage.model(json!({ "steps": [{ "type": "remainder", "recipientId": "rec_ana" }] })).await;
    let threshold = json!({ "amount": 1_000, "period": "calendar_year", "mode": "cliff_all" });
    let rule = json!({ "code": "us_backup", "ratePpm": 100_000, "threshold": threshold });
    let tax = Some(json!({ "form": "W-9", "rules": [rule] }));
    stage.register("rec_ana", Person { tax, ..PAID }).await;
    let mut withheld = Vec::new();
    for at in 0..3 {
        let batch = stage.release(&format!("esc_{at}"), 600, "USD").await;
        withheld.push(stage.item(&batch, "rec_ana").await.tax_minor);
    }
    assert_eq!(withheld, [0, 120, 60], "when it is passed, what came before is taxed as well");
    stage.pass(days(366)).await;
    let next_year = stage.release("esc_next", 600, "USD").await;
    assert_eq!(stage.item(&next_year, "rec_ana").await.tax_minor, 0);
}

pub async fn a_reversal_moves_back_what_was_counted(stage: &Stage<'_>) {
    stage.model(advance()).await;
    stage.release("esc_1", 800, "USD").await;
    let half = stage.release("esc_2", 400, "USD").await;
    assert_eq!(value(stage, "recouped:prj_1:USD:advance:rec_label").await, 1_000);
    // 200 for the advance and 100 each: the label's line has 300, two thirds of which counted.
    assert_eq!(stage.item(&half, "rec_label").await.amount_minor, 300);
    stage.reverse("ref_1", "esc_2", 400).await;
    assert_eq!(value(stage, "recouped:prj_1:USD:advance:rec_label").await, 800);
    stage.reverse("ref_2", "esc_1", 400).await;
    assert_eq!(value(stage, "recouped:prj_1:USD:advance:rec_label").await, 400);
    stage.work().await;
    stage.assert_balanced().await;
    // What was taken back is recouped again.
    let again = stage.release("esc_3", 700, "USD").await;
    assert_eq!(stage.item(&again, "rec_label").await.amount_minor, 650);
    assert_eq!(stage.batch(half.id).await.batch.total_net_minor, 400, "a batch that was booked never changes");
}

pub async fn what_was_booked_is_explained_cent_by_cent_years_later(stage: &Stage<'_>) {
    stage.model(advance()).await;
    stage
        .register(
            "rec_artist",
            Person { tax: Some(json!({ "rules": [{ "code": "us_nra", "ratePpm": 300_000 }] })), ..PAID },
        )
        .await;
    stage.release("esc_0", 700, "USD").await;
    let batch = stage.release("esc_1", 1_001, "USD").await;
    let before = stage.explain(&batch, "rec_artist").await;
    // Everything it depended on changes: the model, the profile, the counters.
    stage.model(json!({ "steps": [{ "type": "remainder", "recipientId": "rec_label" }] })).await;
    stage.register("rec_artist", PAID).await;
    stage.pass(days(2_000)).await;
    stage.release("esc_2", 5_000, "USD").await;
    stage.work().await;
    let after = stage.explain(&batch, "rec_artist").await;
    assert_eq!((after.lines, after.line), (before.lines, before.line));
}
