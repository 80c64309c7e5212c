//! What a batch is made of: a line for everybody who has a part, and what it was calculated from.

use super::{
    Bench, Ports,
    duplicates::refused,
    sample::{Release, bare, booked, carry, first, found, fresh, insert, read, release},
};
use app::{
    change::{BatchInputs, New, Stored},
    ports::{
        CommitError, DuplicateKey, StoreError,
        queries::{BatchFilter, TransactionFilter},
    },
};
use domain::{
    batch::{Batch, BatchLine, BatchStatus},
    calculation::{Amounts, DeductionKind, RuleTax},
    ids::ItemId,
    item::Item,
    ledger::TransactionKind,
    recipient::HoldReason,
};
use serde_json::json;

/// Lines of every shape, the largest amounts there are among them.
fn every_shape(release: Release) -> Release {
    let amounts = |net_minor, carried_in_minor, recovered_minor, carried_forward_minor| Amounts {
        net_minor,
        carried_in_minor,
        recovered_minor,
        carried_forward_minor,
        ..Amounts::default()
    };
    let mut release = release
        .pay_less("rec_ana", 700, 30, 20)
        .hold("rec_bob", 9, HoldReason::RecipientPending)
        .carry("rec_cyd", 4)
        .line("rec_dan", amounts(10, 5, 15, 0), None)
        .line("rec_eve", amounts(0, 0, 0, 0), None)
        .line("rec_fay", amounts(100, 20, 30, 40), None);
    let tax = |rule: &str, amount_minor| RuleTax { rule: rule.to_owned(), amount_minor };
    release.lines[0].taxes = vec![tax("us_nra", 13), tax("in_tds", 0), tax("vat_2", 7)];
    release.lines[0].fee_tax_minor = 11;
    release
}

/// Every amount of a line is as large as it can be, though not all in one.
fn largest(like: &BatchLine) -> [BatchLine; 4] {
    let max = i64::MAX;
    let plain = |seq: u32| BatchLine {
        seq,
        gross_minor: 0,
        fee_minor: 0,
        fee_tax_minor: 0,
        taxes: Vec::new(),
        carried_in_minor: 0,
        recovered_minor: 0,
        carried_forward_minor: 0,
        payable_minor: 0,
        item: None,
        ..like.clone()
    };
    let tax = vec![RuleTax { rule: "all".to_owned(), amount_minor: max }];
    [
        BatchLine { gross_minor: max, fee_minor: max, fee_tax_minor: max, ..plain(10) },
        BatchLine { gross_minor: max, taxes: tax, ..plain(11) },
        BatchLine { carried_in_minor: max, carried_forward_minor: max - 1, recovered_minor: 1, ..plain(12) },
        BatchLine { gross_minor: max, payable_minor: max, item: like.item, ..plain(u32::MAX >> 1) },
    ]
}

pub async fn lines_are_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let mut release = every_shape(release(ports.now().await));
    let mut change = release.change();
    let largest = largest(&release.lines[0]);
    change.insert.extend(largest.iter().cloned().map(New::Line));
    release.lines.extend(largest);
    let other = every_shape(super::sample::release(ports.now().await)).book(&ports).await;
    // The order in which they are written is not theirs.
    change.insert[1..].reverse();
    ports.commit(change).await;
    for release in [&release, &other] {
        let (inputs, lines) = ports.repository.batch_inputs(release.batch.id).await.unwrap().unwrap();
        assert_eq!((&inputs, &lines), (&release.inputs(), &release.lines));
        assert_eq!(found(&ports, release.batch.id).await.lines, release.lines);
    }
    assert_eq!(release.lines[2].item, None, "what is carried has nothing to send");
    assert_eq!(release.items.len(), 3);
}

pub async fn inputs_are_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let batch = bare(ports.now().await).batch;
    ports.commit(insert(New::Batch(batch.clone()))).await;
    assert_eq!(ports.repository.batch_inputs(batch.id).await.unwrap(), None, "a batch without inputs has none");
    let inputs = json!({
        "counts": [i64::MAX, i64::MIN, u64::MAX, 0, -1],
        "text": "Zo\u{eb} \u{1f3ac} \"Quote\" O'Neil \\ \n \u{0}",
        "nested": { "list": [null, true, {}, []], "9": { "\u{e9}": "x" } },
    });
    let written = BatchInputs { batch: batch.id, inputs };
    ports.commit(insert(New::Inputs(written.clone()))).await;
    assert_eq!(ports.repository.batch_inputs(batch.id).await.unwrap(), Some((written, vec![])));
}

async fn assert_taken(ports: &Ports, new: New) {
    let what = format!("{new:?}");
    let error = refused(ports, insert(new)).await;
    assert!(matches!(error, CommitError::Duplicate(DuplicateKey::Other(_))), "{error:?} for {what}");
}

pub async fn a_place_in_a_batch_is_taken_once(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let mut line = release.lines[1].clone();
    line.recipient = read("rec_zoe");
    assert_taken(&ports, New::Line(line.clone())).await;
    assert_taken(&ports, New::Inputs(BatchInputs { inputs: json!({ "other": 1 }), ..release.inputs() })).await;
    line.seq = 2;
    ports.commit(insert(New::Line(line))).await;
}

/// That nothing is written because something else is missing.
pub async fn assert_stray(ports: &Ports, new: New) {
    let what = format!("{new:?}");
    let error = refused(ports, insert(new)).await;
    assert!(matches!(error, CommitError::Store(StoreError::Corrupt(_))), "{error:?} for {what}");
}

pub async fn a_line_without_its_batch_or_item_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let stray = release(ports.now().await).pay("rec_zoe", 9).carry("rec_zoe", 9);
    for line in &stray.lines {
        assert_stray(&ports, New::Line(line.clone())).await;
    }
    assert_stray(&ports, New::Inputs(stray.inputs())).await;
    let known = booked(&ports).await;
    let line = BatchLine { seq: 7, item: Some(ItemId::new(fresh())), ..known.lines[0].clone() };
    assert_stray(&ports, New::Line(line)).await;
    assert!(!ports.queries.has_lines(&read("rec_zoe")).await.unwrap());
}

pub async fn whoever_had_a_line_is_known(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    every_shape(release(now)).book(&ports).await;
    carry("rec_gil", 5, now).book(&ports).await;
    ports.commit(insert(New::Recipient(super::sample::recipient("rec_zoe", now)))).await;
    let known = async |who: &str| ports.queries.has_lines(&read(who)).await.unwrap();
    for who in ["rec_ana", "rec_bob", "rec_cyd", "rec_eve", "rec_gil"] {
        assert!(known(who).await, "{who}");
    }
    for who in ["rec_zoe", "rec_an", "rec_anaa", "rec_nobody"] {
        assert!(!known(who).await, "{who}");
    }
}

pub async fn what_was_carried_is_paid_by_a_batch_of_its_own(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = release(now).carry("rec_ana", 400).pay("rec_bob", 3).book(&ports).await;
    // No escrow is no escrow twice: two of them do not collide.
    let [one, two] = [carry("rec_ana", 250, now), carry("rec_ana", 150, now)];
    let one = one.with(|batch| batch.execute_at = Some(now)).book(&ports).await;
    let two = two.with(|batch| batch.status = BatchStatus::Completed).book(&ports).await;

    for carry in [&one, &two] {
        let read = ports.load(carry.batch.id).await;
        assert_eq!(read.batch, Stored { value: carry.batch.clone(), revision: 1 });
        let items: Vec<Item> = read.items.into_iter().map(|item| item.value).collect();
        assert_eq!(items, carry.items);
        let history = found(&ports, carry.batch.id).await;
        assert_eq!((&history.lines, &history.model, history.reversals.len()), (&carry.lines, &None, 0));
        let filter = TransactionFilter { batch: Some(carry.batch.id), account: None };
        let posted = ports.queries.transactions(filter, first(10)).await.unwrap().data;
        assert_eq!(posted.iter().map(|posted| posted.kind()).collect::<Vec<_>>(), [TransactionKind::CarryPaid]);
    }
    let listed = async |filter: BatchFilter| ports.queries.batches(filter, first(10)).await.unwrap().data;
    let all: Vec<Batch> = [&two, &one, &release].map(|booked| booked.batch.clone()).to_vec();
    assert_eq!(listed(BatchFilter::default()).await, all);
    let filter = BatchFilter { project: Some(read("prj_film")), ..BatchFilter::default() };
    assert_eq!(listed(filter).await, all[2..], "it belongs to no project");
    let filter = BatchFilter { status: Some(BatchStatus::Completed), ..BatchFilter::default() };
    assert_eq!(listed(filter).await, all[..1]);
    let filter = BatchFilter { escrow: Some(release.escrow().clone()), ..BatchFilter::default() };
    assert_eq!(listed(filter).await, all[2..]);
}

pub async fn a_release_that_nothing_is_left_of_has_no_lines(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = release(ports.now().await).deduct(DeductionKind::Refund, 5).book(&ports).await;
    let (_, lines) = ports.repository.batch_inputs(release.batch.id).await.unwrap().unwrap();
    assert_eq!(lines, []);
    let history = found(&ports, release.batch.id).await;
    assert_eq!((history.lines, history.items, history.movements), (vec![], vec![], vec![]));
}
