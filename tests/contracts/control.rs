//! What people decide of payments: approvals, policies, resolutions; where somebody was paid; and who did what.

use super::{
    Bench, Ports,
    duplicates::refused,
    sample::{approval, audited, bare, booked, fresh, insert, policy, proposal, read, seconds, sent, update},
};
use app::{
    change::{Change, New, PaidDestination, Resolution, ResolutionState, Resolved, Stored, Update},
    job::{Job, JobKind},
    ports::{
        CommitError, DuplicateKey, StoreError,
        queries::{AuditFilter, Page},
    },
};
use domain::{
    approval::{Approval, ContentHash},
    audit::{Actor, AuditEntry},
    batch::BatchStatus,
    ids::{BatchId, ItemId, JobId},
    policy::PolicySpec,
    timestamp::Timestamp,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Barrier;

fn assert_duplicate(error: CommitError, key: &DuplicateKey) {
    match error {
        CommitError::Duplicate(found) => assert_eq!(found, *key),
        other => panic!("{other:?} instead of {key:?}"),
    }
}

/// A rule that the database itself holds, and that our own code never breaks.
fn assert_broken_rule(error: &CommitError) {
    assert!(matches!(error, CommitError::Store(StoreError::Corrupt(_))), "{error:?}");
}

pub async fn approvals_are_read_back_oldest_first(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let (batch, ids) = (&release.batch, [release.items[0].id, release.items[1].id]);
    let contents = ids.iter().zip([1, 2]).map(|(item, byte)| (*item, ContentHash::of([byte; 32])));
    let (maker, note) = (batch.scheduled_by.clone(), Some("it's \u{e9}, \"checked\"".to_owned()));
    let noted = Approval::try_new(batch.id, maker, read("usr_bob"), contents.collect(), note, now).unwrap();
    let nothing = approval(batch, "usr_ann", &[], 0, now.after(seconds(1)));
    let changed = approval(batch, "usr_bob", &ids[..1], 3, now.after(seconds(1)));
    let later = approval(batch, "usr_ann", &ids, 1, now.after(seconds(2)));
    for given in [&later, &noted, &changed, &nothing] {
        ports.commit(insert(New::Approval(given.clone()))).await;
    }
    let other = booked(&ports).await;
    let elsewhere = approval(&other.batch, "usr_bob", &[other.items[0].id], 1, now);
    ports.commit(insert(New::Approval(elsewhere.clone()))).await;

    let given = [noted, nothing, changed, later];
    assert_eq!(ports.load(batch.id).await.approvals, given);
    assert_eq!(ports.queries.batch(batch.id).await.unwrap().unwrap().approvals, given);
    assert_eq!(ports.load(other.batch.id).await.approvals, [elsewhere]);
}

pub async fn the_same_approval_twice_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let given = |approver, content, at| approval(&release.batch, approver, &[release.items[0].id], content, at);
    ports.commit(insert(New::Approval(given("usr_ann", 1, now)))).await;
    let again = insert(New::Approval(given("usr_ann", 1, now)));
    assert_duplicate(refused(&ports, again).await, &DuplicateKey::Approval(release.batch.id));
    ports.commit(insert(New::Approval(given("usr_ann", 2, now)))).await;
    ports.commit(insert(New::Approval(given("usr_bob", 1, now)))).await;
    // One that has run out is given again.
    ports.commit(insert(New::Approval(given("usr_ann", 1, now.after(seconds(5)))))).await;
    assert_eq!(ports.load(release.batch.id).await.approvals.len(), 4);
}

/// Or somebody could approve what they made by naming another maker.
pub async fn an_approval_names_who_scheduled_the_batch(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let by = |maker: &str, batch: BatchId| {
        let approver = release.batch.scheduled_by.clone();
        Approval::try_new(batch, read(maker), approver, BTreeMap::new(), None, now).unwrap()
    };
    assert_broken_rule(&refused(&ports, insert(New::Approval(by("usr_other", release.batch.id)))).await);
    assert_broken_rule(&refused(&ports, insert(New::Approval(by("usr_other", BatchId::new(fresh()))))).await);
    assert_eq!(ports.load(release.batch.id).await.approvals, []);
    // A batch may be approved in the change that schedules it.
    let new = super::sample::release(now).pay("rec_ana", 1);
    let mut change = new.change();
    let given = approval(&new.batch, "usr_ann", &[new.items[0].id], 1, now);
    change.insert.insert(0, New::Approval(given.clone()));
    ports.commit(change).await;
    assert_eq!(ports.load(new.batch.id).await.approvals, [given]);
}

pub async fn the_newest_policy_is_in_force(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut written = vec![policy(1, now), policy(2, now), policy(10, Timestamp::MIN)];
    written[1].spec = PolicySpec::default();
    written[1].set_by = read("usr_other");
    for version in &written {
        ports.commit(insert(New::Policy(version.clone()))).await;
        assert_eq!(ports.repository.policy().await.unwrap().as_ref(), Some(version));
    }
    written.reverse();
    assert_eq!(ports.queries.policies(10).await.unwrap(), written);
    assert_eq!(ports.queries.policies(2).await.unwrap(), written[..2]);
}

pub async fn a_policy_of_one_version_is_set_once(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    ports.commit(insert(New::Policy(policy(1, now)))).await;
    let mut other = policy(1, now);
    other.spec = PolicySpec::default();
    assert_duplicate(refused(&ports, insert(New::Policy(other))).await, &DuplicateKey::Policy(1));
    assert_eq!(ports.repository.policy().await.unwrap(), Some(policy(1, now)));
}

fn paid_to(recipient: &str, destination: u8, at: Timestamp) -> PaidDestination {
    PaidDestination { recipient: read(recipient), destination: [destination; 32], at }
}

async fn paid(ports: &Ports, recipients: &[&str]) -> Vec<PaidDestination> {
    let recipients: Vec<_> = recipients.iter().map(|name| read(name)).collect();
    let mut found = ports.repository.paid_destinations(&recipients).await.unwrap();
    found.sort_by(|one, two| (&one.recipient, one.destination).cmp(&(&two.recipient, two.destination)));
    found
}

pub async fn where_somebody_was_paid_is_said_as_often_as_one_likes(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let later = now.after(seconds(5));
    let say = |all: &[PaidDestination]| Change {
        insert: all.iter().cloned().map(New::PaidDestination).collect(),
        ..Change::default()
    };
    // Twice in one change, and beside one that is new.
    ports.commit(say(&[paid_to("rec_ana", 1, now), paid_to("rec_ana", 1, now), paid_to("rec_bob", 1, now)])).await;
    let again = [paid_to("rec_ana", 1, later), paid_to("rec_ana", 2, later), paid_to("rec_bob", 1, later)];
    ports.commit(say(&again)).await;
    ports.commit(say(&again)).await;
    let first = [paid_to("rec_ana", 1, now), paid_to("rec_ana", 2, later)];
    assert_eq!(paid(&ports, &["rec_ana"]).await, first, "the first time is what is remembered");
    assert_eq!(paid(&ports, &["rec_ana", "rec_cyd", "rec_ana"]).await, first);
    assert_eq!(paid(&ports, &["rec_bob", "rec_ana"]).await.len(), 3);
}

pub async fn many_who_pay_the_same_people_are_neither_stuck_nor_refused(bench: &dyn Bench) {
    const PAYERS: u8 = 12;
    const PLACES: u8 = 60;
    let ports = bench.ports();
    let now = ports.now().await;
    for turn in 0..5 {
        let start = Arc::new(Barrier::new(PAYERS.into()));
        let payers: Vec<_> = (0..PAYERS)
            .map(|payer| {
                let (ports, start) = (ports.clone(), start.clone());
                let all = (0..PLACES).map(|place| paid_to(&format!("rec_{turn}"), (place + payer * 5) % PLACES, now));
                let change = Change { insert: all.map(New::PaidDestination).collect(), ..Change::default() };
                tokio::spawn(async move {
                    start.wait().await;
                    ports.repository.commit(change).await
                })
            })
            .collect();
        for payer in payers {
            payer.await.unwrap().unwrap();
        }
        assert_eq!(paid(&ports, &[&format!("rec_{turn}")]).await.len(), usize::from(PLACES));
    }
}

pub async fn a_resolution_is_read_back_in_every_state(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let order = sent(&ports, release.batch.id, &[0, 1]).await.value;
    let proposed = |item: ItemId| ports.repository.proposed_resolution(item);
    let states = [
        ResolutionState::Confirmed { by: read("usr_bob"), at: now.after(seconds(1)) },
        ResolutionState::Withdrawn { at: now.after(seconds(2)) },
    ];
    for (outcome, state) in Resolved::ALL.into_iter().zip(states.into_iter().cycle()) {
        let mut written = proposal(&order, 1, now);
        (written.outcome, written.evidence) = (outcome, "ticket \u{e9} '7'".to_owned());
        written.note = (outcome != Resolved::Paid).then(|| "because".to_owned());
        ports.commit(insert(New::Resolution(written.clone()))).await;
        let found = proposed(written.item).await.unwrap().unwrap();
        assert_eq!(found, Stored { value: written.clone(), revision: 1 });
        let details = ports.queries.item(written.item).await.unwrap().unwrap();
        assert_eq!(details.resolution.as_ref(), Some(&written));
        assert_eq!(proposed(order.items[0].item).await.unwrap(), None, "the other item is another matter");
        // Only what became of it changes.
        let other = Resolution { outcome: Resolved::Failed, state: state.clone(), ..proposal(&order, 0, now) };
        let other = Resolution { id: written.id, evidence: "else".into(), proposed_by: read("usr_cyd"), ..other };
        ports.commit(update(Update::Resolution(Stored { value: other, revision: 1 }))).await;
        assert_eq!(proposed(written.item).await.unwrap(), None);
        assert_eq!(proposed(order.items[0].item).await.unwrap(), None);
        assert_eq!(ports.queries.item(written.item).await.unwrap().unwrap().resolution, None);
    }
}

pub async fn one_proposal_of_an_item_waits_at_a_time(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let order = sent(&ports, release.batch.id, &[0, 1]).await.value;
    let one = proposal(&order, 0, now);
    ports.commit(insert(New::Resolution(one.clone()))).await;
    let two = proposal(&order, 0, now);
    let key = DuplicateKey::Resolution(release.items[0].id);
    assert_duplicate(refused(&ports, insert(New::Resolution(two.clone()))).await, &key);
    ports.commit(insert(New::Resolution(proposal(&order, 1, now)))).await;
    let twice = vec![New::Resolution(two.clone()), New::Resolution(proposal(&order, 0, now))];
    let withdrawn = Resolution { state: ResolutionState::Withdrawn { at: now }, ..one };
    let withdraw = Update::Resolution(Stored { value: withdrawn, revision: 1 });
    let both = Change { update: vec![withdraw.clone()], insert: twice, ..Change::default() };
    assert_duplicate(refused(&ports, both).await, &key);
    // What is withdrawn makes room in the same change.
    let change = Change { update: vec![withdraw], insert: vec![New::Resolution(two.clone())], ..Change::default() };
    ports.commit(change).await;
    let found = ports.repository.proposed_resolution(two.item).await.unwrap();
    assert_eq!(found, Some(Stored { value: two, revision: 1 }));
}

pub async fn nobody_confirms_what_they_proposed(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let order = sent(&ports, release.batch.id, &[0]).await.value;
    let one = proposal(&order, 0, now);
    let confirmed = |by: &str, one: &Resolution| Resolution {
        state: ResolutionState::Confirmed { by: read(by), at: now },
        ..one.clone()
    };
    assert_broken_rule(&refused(&ports, insert(New::Resolution(confirmed("usr_ann", &one)))).await);
    ports.commit(insert(New::Resolution(one.clone()))).await;
    let alone = |by| update(Update::Resolution(Stored { value: confirmed(by, &one), revision: 1 }));
    assert_broken_rule(&refused(&ports, alone("usr_ann")).await);
    let found = ports.repository.proposed_resolution(one.item).await.unwrap();
    assert_eq!(found, Some(Stored { value: one.clone(), revision: 1 }));
    ports.commit(alone("usr_bob")).await;
}

pub async fn a_resolution_is_about_an_item_of_the_instruction(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let order = sent(&ports, release.batch.id, &[0]).await.value;
    let mut other = proposal(&order, 0, now);
    other.item = release.items[1].id;
    assert_broken_rule(&refused(&ports, insert(New::Resolution(other))).await);
    let mut unknown = proposal(&order, 0, now);
    unknown.instruction = domain::ids::InstructionId::new(fresh());
    assert_broken_rule(&refused(&ports, insert(New::Resolution(unknown))).await);
}

pub async fn of_many_who_confirm_one_does(bench: &dyn Bench) {
    const PEOPLE: usize = 12;
    let ports = bench.ports();
    let now = ports.now().await;
    let release = booked(&ports).await;
    let order = sent(&ports, release.batch.id, &[0]).await.value;
    let one = proposal(&order, 0, now);
    ports.commit(insert(New::Resolution(one.clone()))).await;
    let start = Arc::new(Barrier::new(PEOPLE));
    let people: Vec<_> = (0..PEOPLE)
        .map(|person| {
            let (ports, start) = (ports.clone(), start.clone());
            let state = ResolutionState::Confirmed { by: read(&format!("usr_{person}")), at: now };
            let value = Resolution { state, ..one.clone() };
            tokio::spawn(async move {
                start.wait().await;
                ports.repository.commit(update(Update::Resolution(Stored { value, revision: 1 }))).await
            })
        })
        .collect();
    let mut won = 0;
    for person in people {
        match person.await.unwrap() {
            Ok(()) => won += 1,
            Err(CommitError::Stale) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

async fn audit(ports: &Ports, filter: AuditFilter, limit: u32) -> Vec<AuditEntry> {
    ports.queries.audit(filter, Page { limit, after: None }).await.unwrap().data
}

pub async fn the_audit_log_is_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let bare = audited("item.settle", now);
    let full = AuditEntry {
        actor: Actor {
            name: "usr_zo\u{eb}".into(),
            role: Some("operator".into()),
            note: Some("it's \"done\"".into()),
            request: Some("req_1".into()),
        },
        before: Some(json!({ "text": "\u{e9} \0 '\" \\", "number": 9_007_199_254_740_993_i64, "list": [null, false] })),
        after: Some(Value::Null),
        ..audited("batch.approve", Timestamp::MAX)
    };
    let written = [bare, full];
    ports.commit(Change { audit: written.to_vec(), ..Change::default() }).await;
    assert_eq!(audit(&ports, AuditFilter::default(), 10).await, [written[1].clone(), written[0].clone()]);
}

pub async fn the_audit_log_is_listed_newest_first_and_filtered(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut written = Vec::new();
    for number in 0..12 {
        let mut entry = audited(["item.settle", "item.hold"][number % 2], now);
        entry.actor.name = ["usr_ann", "usr_bob", "rail:simulator"][number % 3].to_owned();
        entry.subject = ["item_1", "item_2"][number / 6].to_owned();
        written.insert(0, entry);
    }
    for entry in &written {
        ports.commit(Change { audit: vec![entry.clone()], ..Change::default() }).await;
    }
    let some = |text: &str| Some(text.to_owned());
    for filter in [
        AuditFilter::default(),
        AuditFilter { subject: some("item_2"), ..AuditFilter::default() },
        AuditFilter { actor: some("usr_bob"), ..AuditFilter::default() },
        AuditFilter { action: some("item.hold"), ..AuditFilter::default() },
        AuditFilter { subject: some("item_1"), actor: some("usr_ann"), action: some("item.settle") },
        AuditFilter { subject: some("item_3"), ..AuditFilter::default() },
    ] {
        let is_wanted = |entry: &&AuditEntry| {
            filter.subject.as_ref().is_none_or(|subject| entry.subject == *subject)
                && filter.actor.as_ref().is_none_or(|actor| entry.actor.name == *actor)
                && filter.action.as_ref().is_none_or(|action| entry.action == *action)
        };
        let wanted: Vec<AuditEntry> = written.iter().filter(is_wanted).cloned().collect();
        let mut seen: Vec<AuditEntry> = Vec::new();
        loop {
            let after = seen.last().map(|entry| entry.id);
            let page = ports.queries.audit(filter.clone(), Page { limit: 4, after }).await.unwrap();
            seen.extend(page.data);
            assert_eq!(page.has_more, seen.len() < wanted.len());
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, wanted, "{filter:?}");
    }
}

pub async fn batches_to_be_paid_are_paged_in_order(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        for status in BatchStatus::ALL {
            let batch = bare(now).with(|batch| batch.status = status).batch;
            ports.commit(insert(New::Batch(batch.clone()))).await;
            if matches!(status, BatchStatus::Scheduled | BatchStatus::AwaitingApproval) {
                waiting.push(batch);
            }
        }
    }
    let page = |after: Option<BatchId>, limit| ports.repository.batches_to_be_paid(after, limit);
    assert_eq!(page(None, 10).await.unwrap(), waiting);
    assert_eq!(page(None, 3).await.unwrap(), waiting[..3]);
    assert_eq!(page(Some(waiting[0].id), 2).await.unwrap(), waiting[1..3]);
    assert_eq!(page(Some(waiting[3].id), 2).await.unwrap(), []);
}

pub async fn a_job_that_applies_a_policy_is_handed_out(bench: &dyn Bench) {
    let ports = bench.ports();
    let kind = JobKind::ApplyPolicy(u32::MAX);
    let job = Job { id: JobId::new(fresh()), kind: kind.clone(), run_at: ports.now().await };
    ports.commit(super::sample::enqueue(&job)).await;
    assert_eq!(ports.claim_one().await.kind, kind);
}
