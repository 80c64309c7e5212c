//! The writer alone: releases to two recipients, committed as fast as the database takes them.
//!
//! `cargo xtask bench writer` runs it beside pgbench. By hand, on a database that nobody needs:
//!
//!     WRITER_DATABASE_URL=postgres://user@host/scratch cargo bench -p benches --bench writer
//!
//! `WRITER_CALLERS` (64) commit at once, for `WRITER_SECONDS` (10).

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on says so by panicking")]

use adapters::{ids::UuidV7, sql::Sql};
use app::{
    change::{BatchInputs, Change, New},
    job::{Job, JobKind},
    ports::{Clock, Ids, PayoutRepository},
};
use domain::{
    audit::{Actor, AuditEntry},
    batch::{Approvals, Batch, BatchLine, BatchStatus, Fingerprint, Origin, Release},
    calculation::{Amounts, Line},
    event::Event,
    ids::{AuditId, BatchId, EventId, ItemId, JobId, TransactionId},
    item::Item,
    ledger::postings,
    revenue_model::ModelHash,
    timestamp::Timestamp,
};
use serde_json::json;
use std::{
    env,
    time::{Duration, Instant},
};

/// Whom, how much before the fee of 5 %, and the fee.
const SHARES: [(&str, i64, i64); 2] = [("rec_ana", 140_000, 7_000), ("rec_ben", 60_000, 3_000)];

#[tokio::main]
async fn main() {
    let number = |name: &str, default: u64| env::var(name).map_or(default, |number| number.parse().unwrap());
    let url = env::var("WRITER_DATABASE_URL").unwrap();
    let (callers, seconds) = (number("WRITER_CALLERS", 64), number("WRITER_SECONDS", 10));
    let sql = Sql::connect(&url).await.unwrap();
    sql.migrate().await.unwrap();
    let (at, started) = (sql.now().await.unwrap(), Instant::now());
    let end = started + Duration::from_secs(seconds);
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let sql = sql.clone();
            tokio::spawn(async move {
                let mut committed = 0_u64;
                while Instant::now() < end {
                    sql.commit(release(at.after(started.elapsed()))).await.unwrap();
                    committed += 1;
                }
                committed
            })
        })
        .collect();
    let mut committed = 0;
    for caller in callers {
        committed += caller.await.unwrap();
    }
    println!("RESULT releases={committed} micros={}", started.elapsed().as_micros());
}

/// What `schedule_payouts` commits for a model of two shares and a fee: 17 rows.
fn release(at: Timestamp) -> Change {
    let ids = &UuidV7;
    let id = BatchId::new(ids.fresh());
    let amount_minor = SHARES.iter().map(|(_, gross, _)| gross).sum();
    let fee_minor = SHARES.iter().map(|(_, _, fee)| fee).sum();
    let release = Release {
        escrow: format!("esc_{}", id.digits()).parse().unwrap(),
        project: "prj_bench".parse().unwrap(),
        milestone: Some("ms_1".parse().unwrap()),
        model_version: 1,
        model_hash: ModelHash::of([0xA5; 32]),
        as_of: at,
        fingerprint: Fingerprint([0x5A; 32]),
    };
    let batch = Batch {
        id,
        origin: Origin::Release(Box::new(release.clone())),
        scheduled_by: "usr_cli".parse().unwrap(),
        currency: "USD".parse().unwrap(),
        amount_minor,
        deductions_minor: 0,
        fee_minor,
        fee_tax_minor: 0,
        tax_minor: 0,
        total_net_minor: amount_minor - fee_minor,
        execute_at: None,
        due_at: at,
        approvals: Approvals::default(),
        job: JobId::new(ids.fresh()),
        items_count: 2,
        status: BatchStatus::Scheduled,
        created_at: at,
        updated_at: at,
    };
    let mut insert = vec![
        New::Batch(batch.clone()),
        New::Inputs(BatchInputs { batch: id, inputs: json!({ "counts": [], "deductions": [], "parties": {} }) }),
    ];
    let mut lines = Vec::new();
    for ((recipient, gross_minor, fee_minor), place) in SHARES.into_iter().zip(0..) {
        let payable_minor = gross_minor - fee_minor;
        let amounts = Amounts { gross_minor, fee_minor, net_minor: payable_minor, payable_minor, ..Amounts::default() };
        let line = Line { recipient: recipient.parse().unwrap(), amounts, taxes: Vec::new(), hold: None };
        let item = Item::book(ItemId::new(ids.fresh()), id, place, &line, at);
        lines.push(BatchLine::of(id, place, &line, Some(item.id)));
        insert.push(New::Item(item));
    }
    let fresh = || TransactionId::new(ids.fresh());
    let post = vec![
        postings::released(fresh(), &batch, &release).unwrap(),
        postings::scheduled(fresh(), &batch, &release, &lines, &[]).unwrap(),
    ];
    insert.extend(lines.into_iter().map(New::Line));
    let said = json!({ "amount": amount_minor, "currency": "USD", "escrowId": release.escrow, "status": "scheduled" });
    let actor = Actor::of(&batch.scheduled_by);
    Change {
        insert,
        post,
        enqueue: vec![Job { id: batch.job, kind: JobKind::ExecuteBatch(id), run_at: at }],
        publish: vec![Event::batch(EventId::new(ids.fresh()), &batch, BatchStatus::Scheduled, at)],
        audit: vec![AuditEntry::made(AuditId::new(ids.fresh()), actor, "batch.schedule", id, said, at)],
        ..Change::default()
    }
}
