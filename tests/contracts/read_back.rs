//! What is written is read back equal.

use super::{
    Bench,
    sample::{
        all_of, bare, booked, carried, event, first, fresh, insert, instruction, moved, read, recipient, refuse,
        release, seconds, sent, settle, update, version,
    },
};
use app::{
    change::{Change, New, Stored, Update},
    ports::{
        queries::{AuditFilter, BatchFilter, EventFilter, OwedTo, RailPause, TransactionFilter},
        repository::InForce,
    },
};
use domain::{
    batch::{Approvals, Batch, BatchStatus, Fingerprint},
    calculation::DeductionKind,
    event::{Alarm, Event, EventKind},
    ids::{BatchId, EventId, InstructionId, ItemId, TransactionId},
    instruction::{Instruction, InstructionItem, Outcome},
    item::{Item, ItemState, ItemStatus, ItemStep},
    ledger::{Account, Entry, Transaction, TransactionKind, transaction::About},
    money::AMOUNT_MINOR_MAX,
    recipient::{HoldReason, RecipientStatus},
    revenue_model::{ModelHash, ModelSpec, ModelStatus},
    tax::{TaxProfile, TaxRule},
    timestamp::Timestamp,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub async fn a_batch_is_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let plain = release(now).pay("rec_ana", 1);
    let full = release(now).pay_less("rec_ana", AMOUNT_MINOR_MAX - 12, 5, 3).deduct(DeductionKind::PspFee, 4);
    let full = full.of(|release| {
        release.escrow = read("0110c853-1d09-52d8-d73e-1194e95b5f19");
        release.milestone = Some(read("ms_1"));
        release.model_version = u32::MAX >> 1;
        release.model_hash = ModelHash::of(std::array::from_fn(|at| u8::try_from(at * 8).unwrap()));
        release.fingerprint = Fingerprint(std::array::from_fn(|at| u8::try_from(255 - at).unwrap()));
        release.as_of = Timestamp::MIN;
    });
    let full = full.with(|batch| {
        batch.scheduled_by = read("507f1f77bcf86cd799439011");
        batch.currency = read("KWD");
        batch.fee_tax_minor = 2;
        batch.execute_at = Some(Timestamp::MAX);
        batch.due_at = Timestamp::MIN;
        batch.approvals = Approvals { required: 10, given: 9 };
        batch.updated_at = batch.created_at.after(seconds(1));
    });
    assert_eq!(full.batch.amount_minor, AMOUNT_MINOR_MAX);
    let all: Vec<Batch> = BatchStatus::ALL.map(|status| bare(now).with(|batch| batch.status = status).batch).to_vec();
    for batch in [plain.batch, full.batch].into_iter().chain(all) {
        ports.commit(insert(New::Batch(batch.clone()))).await;
        let escrow = batch.escrow().unwrap();
        assert_eq!(ports.repository.batch_by_escrow(escrow).await.unwrap().as_ref(), Some(&batch));
        let found = ports.load(batch.id).await;
        assert_eq!(found.batch, Stored { value: batch.clone(), revision: 1 });
        assert_eq!((found.items, found.unresolved), (vec![], vec![]));
        let details = ports.queries.batch(batch.id).await.unwrap().unwrap();
        assert_eq!((&details.batch, details.items.len()), (&batch, 0));
        let filter = BatchFilter { escrow: Some(escrow.clone()), ..BatchFilter::default() };
        assert_eq!(ports.queries.batches(filter, first(10)).await.unwrap().data, [batch]);
    }
}

fn every_state(at: Timestamp) -> Vec<ItemState> {
    let reference = || Some("po_\u{e9}\u{4e2d}".to_owned());
    let held = HoldReason::ALL.map(|reason| ItemState::PendingKyc { reason });
    let other = [
        ItemState::Scheduled,
        ItemState::Processing,
        ItemState::InDoubt,
        ItemState::Paid { reference: reference(), at },
        ItemState::Paid { reference: None, at },
        ItemState::Failed { reason: "it's \"closed\"; -- \\ \n 'x'".into(), at },
        ItemState::Failed { reason: String::new(), at },
        ItemState::Returned { reference: reference(), reason: "R03".into(), at },
        ItemState::Returned { reference: None, reason: "R03".into(), at },
        ItemState::Cancelled { at },
    ];
    held.into_iter().chain(other).collect()
}

pub async fn items_are_read_back_in_every_state(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let states = every_state(now.after(seconds(3)));
    let mut release = release(now);
    for _ in &states {
        release = release.pay_less("rec_ana", 100, 7, 5);
    }
    // The order of the items is not that of their names.
    release.items.reverse();
    for (place, (item, state)) in (0..).zip(release.items.iter_mut().zip(states)) {
        item.seq = place;
        *item = in_state(item, state, item.seq, now.after(seconds(9)));
        (item.reversed_minor, item.taken_minor) = (2 * i64::from(place), i64::from(place));
        (item.retries, item.not_before) = (place + 1, (place % 2 == 0).then_some(now.after(seconds(7))));
    }
    // Nor is it the order in which they are written.
    let mut change = release.change();
    change.insert[1..].reverse();
    ports.commit(change).await;

    let found: Vec<Item> = ports.load(release.batch.id).await.items.into_iter().map(|item| item.value).collect();
    assert_eq!(found, release.items);
    let details = ports.queries.batch(release.batch.id).await.unwrap().unwrap();
    assert_eq!(details.items, release.items);
    for item in &release.items {
        let details = ports.queries.item(item.id).await.unwrap().unwrap();
        assert_eq!((&details.item, &details.batch), (item, &release.batch));
        assert_eq!((&details.instructions[..], details.resolution), (&[][..], None));
        assert_eq!(ports.repository.batch_of_item(item.id).await.unwrap(), Some(release.batch.id));
    }
}

fn in_state(item: &Item, state: ItemState, attempts: u32, updated_at: Timestamp) -> Item {
    let mut item = item.clone().in_state(state);
    item.attempts = attempts;
    item.updated_at = updated_at;
    item
}

pub async fn instructions_are_read_back_in_every_state(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut release = release(now);
    for amount in 1..=6 {
        release = release.pay("rec_ana", amount);
    }
    let release = release.book(&ports).await;
    let (some, none) = (|| Some("ref \u{e9}".to_owned()), || None);
    let outcomes = [
        [Outcome::Refused { reason: "no".into() }, Outcome::Absent],
        [Outcome::Recalled, Outcome::Returned { reference: some(), reason: "R03".into() }],
        [Outcome::Returned { reference: none(), reason: String::new() }, Outcome::Stray { reference: some() }],
        [Outcome::Stray { reference: none() }, Outcome::Settled { reference: none() }],
        [Outcome::Settled { reference: some() }, Outcome::Accepted { reference: some() }],
        [Outcome::Accepted { reference: none() }, Outcome::Sent],
    ];
    // Whatever was given up may be sent again; parts keep the order they were sent in.
    let parts = [[1, 0], [3, 2], [1, 0], [0, 1], [3, 2], [5, 4]];
    let mut written = Vec::new();
    for (outcomes, places) in outcomes.into_iter().zip(parts) {
        let items: Vec<&Item> = places.iter().map(|place| &release.items[*place]).collect();
        let mut value = instruction(&items, &release.batch, now);
        for (part, outcome) in value.items.iter_mut().zip(outcomes) {
            part.returned_minor = i64::from(outcome.rank() > 2);
            part.outcome = outcome;
            part.destination = std::array::from_fn(|at| u8::try_from(at).unwrap());
        }
        value.rail = read("sepa_file");
        value.generation = 3;
        value.body = (0..=255).collect();
        value.tries = if written.is_empty() { 0 } else { u32::MAX >> 1 };
        value.first_sent_at = now.after(seconds(2));
        value.last_sent_at = now.after(seconds(4));
        ports.commit(insert(New::Instruction(value.clone()))).await;
        written.push(value);
    }

    let found = ports.load(release.batch.id).await;
    let stored = |value: &Instruction| Stored { value: value.clone(), revision: 1 };
    assert_eq!(found.unresolved, written[4..].iter().map(stored).collect::<Vec<_>>());
    assert_eq!(found.strays, [release.items[0].id], "once, and in no order but that of their ids");
    assert_eq!(ports.queries.batch(release.batch.id).await.unwrap().unwrap().instructions, written);
    let of_item = |place: usize| ports.queries.item(release.items[place].id);
    assert_eq!(
        of_item(0).await.unwrap().unwrap().instructions,
        [&written[0], &written[2], &written[3]].map(Clone::clone)
    );
    assert_eq!(of_item(5).await.unwrap().unwrap().instructions, [written[5].clone()]);
    for value in &written {
        assert_eq!(ports.repository.instruction(value.id).await.unwrap(), Some(stored(value)));
        for part in &value.items {
            let found = ports.repository.instruction_of(&value.rail, &part.wire_ref).await.unwrap();
            assert_eq!(found, Some(stored(value)));
            assert_eq!(ports.repository.instruction_of(&read("simulator"), &part.wire_ref).await.unwrap(), None);
        }
    }
}

pub async fn a_model_version_is_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let spec: ModelSpec = serde_json::from_value(json!({
        "steps": [{ "type": "share", "lines": [
            { "recipientId": "rec_ana", "percent": "33.3333" },
            { "recipientId": "rec_bob", "remaining": true },
            { "recipientId": "rec_bob", "weight": -1, "bps": 9_007_199_254_740_991_i64 },
        ] }],
        "currency": "JPY",
        "platformFee": { "ratePpm": 50_000, "fixed": 30, "min": 1, "max": u64::MAX },
    }))
    .unwrap();
    let mut draft = version("prj_film", 1, now);
    draft.status = ModelStatus::Draft;
    draft.effective_to = Some(now.after(seconds(1)));
    draft.hash = spec.hash();
    draft.spec = spec;
    let active = version("prj_film", 2, now);
    for written in [&draft, &active] {
        ports.commit(insert(New::ModelVersion(written.clone()))).await;
        assert_eq!(ports.repository.newest_model(&written.project).await.unwrap().as_ref(), Some(written));
        let found = ports.queries.model(&written.project, written.version).await.unwrap();
        assert_eq!(found.as_ref(), Some(written));
        assert_eq!(found.unwrap().spec.hash(), written.hash);
    }
    assert_eq!(ports.queries.models(&draft.project, first(10)).await.unwrap().data, [active.clone(), draft]);
    let in_force = ports.repository.model_in_force(&active.project, now).await.unwrap();
    assert_eq!(in_force, InForce::Version(Box::new(active)));
}

pub async fn a_recipient_is_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let names = ["rec_ana", "rec_bob", "rec_cyd", "rec_dan"];
    let full: TaxProfile = serde_json::from_value(json!({
        "form": "W-8BEN", "formSignedAt": "2025-02-28", "formValidUntil": "2028-12-31", "residence": "DE",
        "rules": [
            { "code": "us_nra", "jurisdiction": "US", "ratePpm": 1_000_000, "taxablePpm": 1, "base": "net_of_fee",
              "threshold": { "amount": u64::MAX, "period": "fiscal_year_apr", "mode": "cliff_all" },
              "rounding": "half_even", "granularity": 100, "priority": -3, "currency": "INR",
              "effectiveFrom": "2024-10-01", "effectiveTo": "2030-01-01" },
            { "code": "us_nra", "ratePpm": 0 },
        ],
    }))
    .unwrap();
    let flat = TaxProfile::of(vec![TaxRule::flat("us_nra", 1_000_000).unwrap(), TaxRule::flat("vat", 0).unwrap()]);
    // A profile without rules is not the same as none.
    let profiles = [None, Some(TaxProfile::default()), Some(flat), Some(full)];
    for ((name, status), tax) in names.into_iter().zip(RecipientStatus::ALL).zip(profiles) {
        let mut written = recipient(name, now);
        written.status = status;
        written.payout_minimums =
            if tax.is_none() { BTreeMap::new() } else { [(read("USD"), 0), (read("JPY"), i64::MAX)].into() };
        written.tax = tax;
        written.updated_at = now.after(seconds(2));
        written.destination_set_by = read("usr_\u{65}ve");
        let details = json!({
            "iban": "DE89 3704 0044 0532 0130 00",
            "name": "Zo\u{eb} \u{1f3ac} \"Quote\" O'Neil",
            "nested": { "list": [1, -2, null, true, "x", u64::MAX], "empty": {} },
        });
        written.destination.details = details.as_object().unwrap().clone();
        ports.commit(insert(New::Recipient(written.clone()))).await;
        assert_eq!(ports.queries.recipient(&written.id).await.unwrap().as_ref(), Some(&written));
        let found = ports.repository.recipients(std::slice::from_ref(&written.id)).await.unwrap();
        assert_eq!(found, [Stored { value: written, revision: 1 }]);
    }
}

pub async fn transactions_are_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let about = About { batch: release.batch.id, item: None, instruction: None };
    let accounts = [
        Account::EscrowReceivable,
        Account::Escrow(read("esc_1")),
        Account::Cash(read("simulator")),
        Account::Payable(read("rec_ana")),
        Account::PlatformFees,
        Account::FeeTax,
        Account::TaxWithheld("us_nra".into()),
        Account::Deductions(DeductionKind::Chargeback),
        Account::Carried(read("rec_ana")),
        Account::Debt(read("rec_ana")),
        Account::InTransit(read("simulator")),
        Account::RailCharges,
    ];
    // Entries keep their order, which is neither that of the accounts nor that of the amounts.
    let amounts = [-AMOUNT_MINOR_MAX, 3, -2, AMOUNT_MINOR_MAX, -1, 5, -4, 1, -6, 2, 7, -5];
    let entry = |(account, amount_minor)| Entry { account, amount_minor };
    let entries: Vec<Entry> = accounts.into_iter().zip(amounts).map(entry).collect();
    let mut written = ports.queries.transactions(TransactionFilter::default(), first(10)).await.unwrap().data;
    assert_eq!(written.len(), 2, "a release and its split");
    for (kind, currency) in
        TransactionKind::ALL.into_iter().zip(["USD", "JPY", "KWD", "EUR", "CHF"].into_iter().cycle())
    {
        let id = TransactionId::new(fresh());
        let at = Timestamp::MIN.after(seconds(1));
        let transaction = Transaction::try_new(id, kind, about, read(currency), entries.clone(), at).unwrap();
        ports.commit(Change { post: vec![transaction.clone()], ..Change::default() }).await;
        written.insert(0, transaction);
    }
    let sent = sent(&ports, release.batch.id, &[0]).await;
    let found = ports.queries.transactions(TransactionFilter::default(), first(100)).await.unwrap();
    assert_eq!((&found.data[1..], found.has_more), (&written[..], false));
    let item = Some(release.items[0].id);
    let about = About { batch: release.batch.id, item, instruction: Some(sent.value.id) };
    assert_eq!((found.data[0].kind(), found.data[0].about()), (TransactionKind::Sent, about));
}

pub async fn events_are_read_back_as_written(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let first_event = ports.queries.batch(release.batch.id).await.unwrap().unwrap().events;
    assert_eq!(first_event.len(), 1);
    let mut written = first_event;
    for (kind, item) in EventKind::all().zip([None, Some(release.items[1].id)].into_iter().cycle()) {
        written.push(Event {
            id: EventId::new(fresh()),
            kind,
            batch: Some(release.batch.id),
            item,
            occurred_at: Timestamp::MAX,
            data: json!({ "text": "\u{e9} '\" \\", "number": 9_007_199_254_740_993_i64, "list": [null, false, {}] }),
        });
    }
    let alone = event(ports.now().await);
    let publish = written[1..].iter().cloned().chain([alone.clone()]).collect();
    ports.commit(Change { publish, ..Change::default() }).await;

    assert_eq!(ports.queries.batch(release.batch.id).await.unwrap().unwrap().events, written);
    let mut all = written.clone();
    all.push(alone);
    assert_eq!(ports.events().await, all);
    let ids: Vec<EventId> = all.iter().map(|event| event.id).collect();
    ports.outbox.mark_published(&ids).await.unwrap();
    let found = ports.queries.events(EventFilter::default(), first(100)).await.unwrap();
    let found: Vec<Event> = found.data.into_iter().rev().map(|published| published.event).collect();
    assert_eq!(found, all);
    let details = ports.queries.batch(release.batch.id).await.unwrap().unwrap();
    assert_eq!(details.events, written, "also after they were published");
}

pub async fn what_nobody_wrote_is_absent(bench: &dyn Bench) {
    let ports = bench.ports();
    booked(&ports).await;
    let batch = BatchId::new(fresh());
    assert_eq!(ports.repository.batch_by_escrow(&read("esc_none")).await.unwrap(), None);
    assert_eq!(ports.repository.batch_for_execution(batch).await.unwrap(), None);
    assert_eq!(ports.repository.instruction(InstructionId::new(fresh())).await.unwrap(), None);
    assert_eq!(ports.repository.instruction_of(&read("simulator"), "NONE").await.unwrap(), None);
    assert_eq!(ports.repository.taken_events(&read("simulator"), &["none".to_owned()]).await.unwrap(), [""; 0]);
    assert_eq!(ports.repository.taken_events(&read("simulator"), &[]).await.unwrap(), [""; 0]);
    assert_eq!(ports.repository.recipients_paid_at(&read("simulator"), "none").await.unwrap(), []);
    assert_eq!(ports.repository.batch_of_item(ItemId::new(fresh())).await.unwrap(), None);
    assert_eq!(ports.repository.policy().await.unwrap(), None);
    assert_eq!(ports.repository.paid_destinations(&[read("rec_none")]).await.unwrap(), []);
    assert_eq!(ports.repository.paid_destinations(&[]).await.unwrap(), []);
    assert_eq!(ports.repository.proposed_resolution(ItemId::new(fresh())).await.unwrap(), None);
    assert_eq!(ports.queries.audit(AuditFilter::default(), first(1)).await.unwrap().data, []);
    assert_eq!(ports.queries.policies(10).await.unwrap(), []);
    assert_eq!(ports.repository.newest_model(&read("prj_none")).await.unwrap(), None);
    assert_eq!(ports.repository.recipients(&[read("rec_none")]).await.unwrap(), []);
    assert_eq!(ports.repository.recipients(&[]).await.unwrap(), []);
    assert_eq!(ports.repository.batches_held_for(&read("rec_none"), None, 10).await.unwrap(), []);
    assert_eq!(ports.queries.batch(batch).await.unwrap(), None);
    assert_eq!(ports.queries.item(ItemId::new(fresh())).await.unwrap(), None);
    assert_eq!(ports.queries.model(&read("prj_none"), 1).await.unwrap(), None);
    assert_eq!(ports.queries.models(&read("prj_none"), first(1)).await.unwrap().data, []);
    assert_eq!(ports.queries.recipient(&read("rec_none")).await.unwrap(), None);
    let filter = BatchFilter { project: Some(read("prj_none")), ..BatchFilter::default() };
    assert_eq!(ports.queries.batches(filter, first(1)).await.unwrap().data, []);
    let filter = TransactionFilter { batch: Some(batch), account: None };
    assert_eq!(ports.queries.transactions(filter, first(1)).await.unwrap().data, []);
    assert_eq!(ports.queries.events(EventFilter::default(), first(1)).await.unwrap().data, []);
    assert_eq!(ports.queries.executed(&[InstructionId::new(fresh())]).await.unwrap(), []);
    assert_eq!(ports.queries.executed(&[]).await.unwrap(), []);
    let nobody = read("rec_none");
    assert_eq!(ports.repository.counters(&[]).await.unwrap(), []);
    assert_eq!(ports.repository.counters(&[carried("rec_none")]).await.unwrap(), []);
    assert_eq!(ports.repository.counters_of("carried", &nobody).await.unwrap(), []);
    assert_eq!(ports.repository.raised_by(&carried("rec_none"), 10).await.unwrap(), []);
    assert_eq!(ports.repository.batch_for_reversal(batch).await.unwrap(), None);
    assert_eq!(ports.repository.batch_inputs(batch).await.unwrap(), None);
    assert_eq!(ports.repository.reversal(&read("ref_none")).await.unwrap(), None);
    assert_eq!(ports.queries.owed_to(&nobody, 10).await.unwrap(), OwedTo::default());
    assert!(!ports.queries.has_lines(&nobody).await.unwrap());
    ports.queries.ping().await.unwrap();
}

pub async fn a_write_counts_the_revision_and_is_seen_everywhere(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let at = ports.now().await.after(seconds(1));
    let instruction = sent(&ports, release.batch.id, &[0]).await;
    let found = ports.load(release.batch.id).await;
    assert_eq!(found.batch.revision, 2);
    assert_eq!(found.batch.value.status, BatchStatus::Processing);
    let revisions: Vec<u32> = found.items.iter().map(|item| item.revision).collect();
    assert_eq!(revisions, [2, 1]);
    assert_eq!((found.items[0].value.status(), found.items[0].value.attempts), (ItemStatus::Processing, 1));
    assert_eq!(found.unresolved, [instruction]);

    let again = found.unresolved[0].clone().try_map(|sent| sent.try_again(at)).unwrap();
    ports.commit(update(Update::Instruction(again.clone()))).await;
    assert_eq!(ports.sent(release.batch.id).await, Stored { value: again.value, revision: 2 });

    let person = recipient("rec_ana", at);
    ports.commit(insert(New::Recipient(person.clone()))).await;
    for revision in 1..4 {
        let value = domain::recipient::Recipient { updated_at: at.after(seconds(revision.into())), ..person.clone() };
        ports.commit(update(Update::Recipient(Stored { value: value.clone(), revision }))).await;
        let found = ports.repository.recipients(std::slice::from_ref(&person.id)).await.unwrap();
        assert_eq!(found, [Stored { value: value.clone(), revision: revision + 1 }]);
        assert_eq!(ports.queries.recipient(&person.id).await.unwrap(), Some(value));
    }
}

pub async fn an_update_changes_only_what_may_change(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let later = ports.now().await.after(seconds(5));
    let instruction = sent(&ports, release.batch.id, &[0]).await.value;
    let person = recipient("rec_ana", later);
    ports.commit(insert(New::Recipient(person.clone()))).await;
    let found = ports.load(release.batch.id).await;

    let mut batch = found.batch.clone();
    let (due_at, approvals) = (later.after(seconds(1)), Approvals { required: 2, given: 1 });
    batch.value = Batch { execute_at: Some(later), ..super::sample::release(later).batch };
    batch.value = Batch { status: BatchStatus::Failed, updated_at: later, due_at, approvals, ..batch.value };
    batch.value.id = release.batch.id;
    batch.value.scheduled_by = read("usr_other");
    let mut item = found.items[0].clone();
    let state = ItemState::Paid { reference: Some("r".into()), at: later };
    let other = &super::sample::release(later).pay_less("rec_zoe", 1, 1, 1).items[0];
    item.value = in_state(other, state.clone(), 9, later);
    (item.value.retries, item.value.not_before) = (3, Some(due_at));
    item.value.id = release.items[0].id;
    item.value.batch = release.batch.id;
    let mut order = Stored { value: instruction.clone(), revision: 1 };
    order.value.rail = read("other");
    order.value.currency = read("JPY");
    order.value.generation = 8;
    order.value.body = vec![1];
    order.value.first_sent_at = later;
    let outcome = Outcome::Returned { reference: Some("r".into()), reason: "R03".into() };
    order.value.items = vec![InstructionItem {
        item: instruction.items[0].item,
        wire_ref: "OTHER".into(),
        amount_minor: 1,
        destination: [1; 32],
        outcome: outcome.clone(),
        returned_minor: 650,
    }];
    order.value.tries = 5;
    order.value.last_sent_at = later;
    let mut who = Stored { value: person.clone(), revision: 1 };
    who.value.created_at = later.after(seconds(1));
    who.value.status = RecipientStatus::Blocked;
    who.value.destination_set_by = read("usr_other");
    let update =
        vec![Update::Batch(batch), Update::Item(item), Update::Instruction(order), Update::Recipient(who.clone())];
    ports.commit(Change { update, ..Change::default() }).await;

    let details = ports.queries.batch(release.batch.id).await.unwrap().unwrap();
    let expected = Batch { status: BatchStatus::Failed, updated_at: later, due_at, approvals, ..release.batch };
    assert_eq!(details.batch, expected);
    let mut expected = in_state(&release.items[0], state, 9, later);
    (expected.retries, expected.not_before) = (3, Some(due_at));
    assert_eq!(details.items, [expected, release.items[1].clone()]);
    let mut expected = instruction;
    expected.tries = 5;
    (expected.first_sent_at, expected.last_sent_at) = (later, later);
    (expected.items[0].outcome, expected.items[0].returned_minor) = (outcome, 650);
    assert_eq!(details.instructions, [expected]);
    let found = ports.queries.recipient(&person.id).await.unwrap().unwrap();
    assert_eq!((found.created_at, found.status), (person.created_at, RecipientStatus::Blocked));
    assert_eq!(found.destination_set_by, who.value.destination_set_by);
}

pub async fn only_unresolved_instructions_are_loaded_for_execution(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let release = release(now).pay("rec_ana", 1).pay("rec_ana", 2).pay("rec_ana", 3).book(&ports).await;
    let other = booked(&ports).await;
    sent(&ports, other.batch.id, &[0]).await;
    let mut all = Vec::new();
    for place in 0..3 {
        all.push(sent(&ports, release.batch.id, &[place]).await);
    }
    assert_eq!(ports.load(release.batch.id).await.unresolved, all, "oldest first");
    let found = ports.load(release.batch.id).await;
    ports.commit(settle(&found, &all[1], now)).await;
    assert_eq!(ports.load(release.batch.id).await.unresolved, [all[0].clone(), all[2].clone()]);
}

/// A reader never sees half of a commit: here every commit writes the batch and both items.
pub async fn a_batch_is_read_as_of_one_moment(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = booked(&ports).await;
    let id = release.batch.id;
    let writer = tokio::spawn({
        let ports = ports.clone();
        async move {
            let now = ports.now().await;
            for turn in 0..40 {
                let step = if turn % 2 == 0 { ItemStep::Hold(HoldReason::RecipientPending) } else { ItemStep::Release };
                ports.commit(moved(&ports.load(id).await, &[0, 1], step, now)).await;
            }
        }
    });
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (ports, over) = (ports.clone(), over.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while !over.load(Ordering::Relaxed) {
                    let found = ports.load(id).await;
                    let items: Vec<u32> = found.items.iter().map(|item| item.revision).collect();
                    assert_eq!(items, [found.batch.revision; 2]);
                    assert!(last <= found.batch.revision, "a commit that was seen stays seen");
                    last = found.batch.revision;
                }
            })
        })
        .collect();
    let written = writer.await;
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    written.unwrap();
    assert_eq!(ports.load(id).await.batch.revision, 41);
}

pub async fn a_rail_that_paused_is_told_until_it_takes_what_is_sent_later(bench: &dyn Bench) {
    let ports = bench.ports();
    let release = release(ports.now().await);
    let release =
        ["rec_ana", "rec_bob", "rec_eva", "rec_joe", "rec_kim"].iter().fold(release, |all, who| all.pay(who, 9));
    let release = release.book(&ports).await;
    let batch = release.batch.id;
    let told = async |place: usize| ports.queries.item(release.items[place].id).await.unwrap().unwrap();
    let pauses = async |place| told(place).await.pauses;
    let later = async || bench.pass(seconds(1)).await;
    assert_eq!((told(4).await.rail, pauses(4).await), (None, vec![]));
    let mut elsewhere = recipient("rec_kim", ports.now().await);
    elsewhere.destination.rail = read("elsewhere");
    ports.commit(insert(New::Recipient(elsewhere))).await;
    assert_eq!(told(4).await.rail, Some(read("elsewhere")));

    let before = sent(&ports, batch, &[0]).await;
    later().await;
    let alarm = async |alarm: Alarm, rail: &str, says: &str| {
        let (id, now) = (EventId::new(fresh()), ports.now().await);
        let event = Event::alarm(id, alarm, (Some(batch), None), RailPause::about(&read(rail), says), now);
        ports.commit(Change { publish: vec![event], ..Change::default() }).await;
        RailPause { rail: read(rail), since: now, says: says.to_owned() }
    };
    alarm(Alarm::Contradiction, "simulator", "another thing").await;
    assert_eq!(pauses(4).await, []);
    alarm(Alarm::RailPaused, "simulator", "long ago").await;
    let other = alarm(Alarm::RailPaused, "elsewhere", "a bad key").await;
    let pause = alarm(Alarm::RailPaused, "simulator", "insufficient_funds").await;
    assert_eq!(pauses(4).await, [pause.clone(), other.clone()], "of each rail the newest, published or not");

    // What was sent before proves nothing, nor does a refusal, nor another rail.
    let found = ports.load(batch).await;
    ports.commit(settle(&found, &before, ports.now().await)).await;
    later().await;
    let refused = sent(&ports, batch, &[1]).await;
    assert_eq!(pauses(1).await.len(), 2);
    let found = ports.load(batch).await;
    ports.commit(refuse(&found, &refused, ports.now().await)).await;
    assert_eq!(pauses(4).await, [pause, other.clone()]);
    assert_eq!(pauses(0).await, [], "what is paid waits for nothing");

    let taken = sent(&ports, batch, &[2]).await;
    let accepted = all_of(&taken, &Outcome::Accepted { reference: None });
    ports.commit(update(Update::Instruction(accepted))).await;
    assert_eq!(pauses(4).await, std::slice::from_ref(&other));
    later().await;
    let again = alarm(Alarm::RailPaused, "simulator", "insufficient_funds").await;
    assert_eq!(pauses(4).await, [again, other.clone()]);
    later().await;
    let paid = sent(&ports, batch, &[3]).await;
    let found = ports.load(batch).await;
    ports.commit(settle(&found, &paid, ports.now().await)).await;
    assert_eq!(pauses(4).await, [other]);
}
