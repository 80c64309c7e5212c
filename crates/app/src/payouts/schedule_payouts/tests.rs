use super::*;
use crate::{
    fixtures::{Counting, down, now, rail, rails, recipient, seventy_thirty, spec, usd, version},
    idempotency::{IdempotencyKey, KeyedRequest, Remember, StoredAnswer},
    job::JobKind,
    ports::repository::{MockPayoutRepository, Moment},
};
use domain::{
    calculation::DeductionKind,
    event::EventKind,
    item::ItemStatus,
    ledger::TransactionKind,
    recipient::RecipientStatus,
    tax::{TaxProfile, TaxRule},
};

/// What is known of a project before anybody's needs are.
fn known(in_force: InForce) -> Basis {
    Basis { now: now(), in_force, policy: None, recipients: Vec::new(), counters: Vec::new(), recalled: None }
}

fn ask() -> SchedulePayouts {
    SchedulePayouts {
        escrow: "esc_1".parse().unwrap(),
        project: "prj_1".parse().unwrap(),
        milestone: Some("ms_1".parse().unwrap()),
        amount: usd(200_000),
        as_of: None,
        execute_at: None,
        deductions: vec![],
        actor: Actor::of(&"usr_1".parse().unwrap()),
    }
}

/// A repository where nothing is scheduled yet and the model is 70/30 with a fee of 5 %.
fn fresh() -> MockPayoutRepository {
    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_by_escrow().returning(|_| Ok(None));
    repository.expect_basis().returning(|_| Ok(known(InForce::Version(Box::new(version(seventy_thirty()))))));
    repository.expect_recipients().returning(|_| Ok(vec![]));
    repository.expect_counters().returning(|_| Ok(vec![]));
    repository
}

async fn schedule(repository: &MockPayoutRepository, ask: SchedulePayouts) -> Result<Batch, SchedulePayoutsError> {
    let remember = Remembering::nothing();
    schedule_payouts(
        repository,
        &rails(rail("simulator", true)),
        &Counting::default(),
        &Turns::default(),
        &Needs::default(),
        ask,
        &remember,
    )
    .await
}

/// Schedules, and answers the change that was committed.
async fn committed(mut repository: MockPayoutRepository, ask: SchedulePayouts) -> (Batch, Change) {
    let (sender, receiver) = std::sync::mpsc::channel();
    repository.expect_commit().once().returning(move |change| {
        sender.send(change).unwrap();
        Ok(())
    });
    let batch = schedule(&repository, ask).await.unwrap();
    (batch, receiver.recv().unwrap())
}

fn items(change: &Change) -> Vec<&Item> {
    let item = |new: &'_ New| matches!(new, New::Item(_));
    change
        .insert
        .iter()
        .filter(|new| item(new))
        .map(|new| if let New::Item(item) = new { item } else { unreachable!() })
        .collect()
}
fn entries(change: &Change, kind: TransactionKind) -> Vec<String> {
    let transaction = change.post.iter().find(|transaction| transaction.kind() == kind).unwrap();
    transaction.entries().iter().map(|entry| format!("{} {}", entry.account, entry.amount_minor)).collect()
}
fn code(result: Result<Batch, SchedulePayoutsError>) -> (&'static str, Class) {
    let error = result.unwrap_err();
    (error.code(), error.class())
}

#[tokio::test]
async fn a_release_is_split_booked_queued_and_told_in_one_change() {
    let (batch, change) = committed(fresh(), ask()).await;
    assert_eq!((batch.total_net_minor, batch.items_count, batch.status), (190_000, 2, BatchStatus::Scheduled));
    let nets: Vec<i64> = items(&change).iter().map(|item| item.net_minor).collect();
    assert_eq!(nets, [133_000, 57_000]);
    assert_eq!(entries(&change, TransactionKind::Released), ["escrow_receivable 200000", "escrow:esc_1 -200000"]);
    assert_eq!(
        entries(&change, TransactionKind::Scheduled),
        ["escrow:esc_1 200000", "payable:rec_ana -133000", "payable:rec_ben -57000", "platform_fees -10000"]
    );
    assert_eq!(change.enqueue, [Job { id: batch.job, kind: JobKind::ExecuteBatch(batch.id), run_at: now() }]);
    let kinds: Vec<EventKind> = change.publish.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Batch(BatchStatus::Scheduled)]);
    assert!(change.update.is_empty() && change.lease.is_none());
}

#[tokio::test]
async fn deductions_reduce_the_pool_and_are_posted() {
    let mut ask = ask();
    ask.deductions = vec![Deduction { kind: DeductionKind::Refund, amount_minor: 100_000, reference: None }];
    let (batch, change) = committed(fresh(), ask).await;
    assert_eq!((batch.deductions_minor, batch.fee_minor, batch.total_net_minor), (100_000, 5_000, 95_000));
    assert!(entries(&change, TransactionKind::Scheduled).contains(&"deductions:refund -100000".to_owned()));
}

#[tokio::test]
async fn deductions_of_everything_complete_the_batch_at_once() {
    let mut ask = ask();
    ask.deductions = vec![Deduction { kind: DeductionKind::Refund, amount_minor: 200_000, reference: None }];
    let (batch, change) = committed(fresh(), ask).await;
    assert_eq!((batch.items_count, batch.status), (0, BatchStatus::Completed));
    let kinds: Vec<EventKind> = change.publish.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Batch(BatchStatus::Scheduled), EventKind::Batch(BatchStatus::Completed)]);
}

#[tokio::test]
async fn execution_waits_for_its_time_and_the_past_means_at_once() {
    for (at, run_at) in
        [("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"), ("2020-01-01T00:00:00Z", "2026-01-31T12:00:00Z")]
    {
        let mut ask = ask();
        ask.execute_at = Some(at.parse().unwrap());
        let (_, change) = committed(fresh(), ask).await;
        assert_eq!(change.enqueue[0].run_at.to_string(), run_at);
    }
}

#[tokio::test]
async fn who_may_not_be_paid_yet_is_held_with_what_they_are_owed() {
    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_by_escrow().returning(|_| Ok(None));
    repository.expect_basis().returning(|_| Ok(known(InForce::Version(Box::new(version(seventy_thirty()))))));
    repository.expect_counters().returning(|_| Ok(vec![]));
    repository.expect_recipients().returning(|_| {
        let mut taxed = recipient("rec_ana", RecipientStatus::Pending);
        taxed.value.tax = Some(TaxProfile::of(vec![TaxRule::flat("us_nra", 100_000).unwrap()]));
        Ok(vec![taxed])
    });
    let (_, change) = committed(repository, ask()).await;
    let held = items(&change)[0];
    assert_eq!((held.status(), held.tax_minor, held.payable_minor), (ItemStatus::PendingKyc, 14_000, 119_000));
    assert!(entries(&change, TransactionKind::Scheduled).contains(&"tax_withheld:us_nra -14000".to_owned()));
    assert!(change.publish.iter().any(|event| event.kind == EventKind::Item(ItemStatus::PendingKyc)));
}

#[tokio::test]
async fn a_stranger_is_paid_only_where_the_rail_pays_strangers() {
    let mut repository = fresh();
    let (sender, receiver) = std::sync::mpsc::channel();
    repository.expect_commit().once().returning(move |change| {
        sender.send(change).unwrap();
        Ok(())
    });
    let real = rails(rail("real_bank", false));
    let remember = Remembering::nothing();
    schedule_payouts(&repository, &real, &Counting::default(), &Turns::default(), &Needs::default(), ask(), &remember)
        .await
        .unwrap();
    let change = receiver.recv().unwrap();
    assert!(
        items(&change)
            .iter()
            .all(|item| item.state().hold_reason().map(|reason| reason.as_str()) == Some("recipient_unregistered"))
    );
}

#[tokio::test]
async fn the_same_escrow_again_names_the_batch_and_whether_the_request_matches() {
    let (first, _) = committed(fresh(), ask()).await;
    for (amount, matches) in [(200_000, true), (200_001, false)] {
        let mut repository = taken(&first);
        repository.expect_basis().returning(|_| Ok(known(InForce::Version(Box::new(version(seventy_thirty()))))));
        repository.expect_recipients().returning(|_| Ok(vec![]));
        repository.expect_counters().returning(|_| Ok(vec![]));
        let again = SchedulePayouts { amount: usd(amount), actor: Actor::of(&"usr_other".parse().unwrap()), ..ask() };
        let error = schedule(&repository, again).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("already_scheduled", Class::Conflict));
        let expected = json!({ "batchId": first.id, "status": "scheduled", "requestMatches": matches });
        assert_eq!(error.existing(), Some(expected));
    }
}

/// A repository where the escrow is this batch already.
fn taken(batch: &Batch) -> MockPayoutRepository {
    let mut repository = MockPayoutRepository::new();
    let existing = batch.clone();
    repository.expect_batch_by_escrow().once().returning(move |_| Ok(Some(existing.clone())));
    let duplicate = || CommitError::Duplicate(DuplicateKey::Escrow("esc_1".parse().unwrap()));
    repository.expect_commit().returning(move |_| Err(duplicate()));
    repository
}

#[tokio::test]
async fn an_escrow_that_is_taken_comes_before_whatever_else_is_wrong() {
    let (first, _) = committed(fresh(), ask()).await;
    for in_force in [InForce::ProjectUnknown, InForce::Nothing] {
        let mut repository = taken(&first);
        repository.expect_basis().returning(move |_| Ok(known(in_force.clone())));
        assert_eq!(code(schedule(&repository, ask()).await), ("already_scheduled", Class::Conflict));
    }
}

#[tokio::test]
async fn a_key_of_another_request_is_refused_but_after_the_escrow() {
    let (first, _) = committed(fresh(), ask()).await;
    for (existing, expected) in [(Some(first), "already_scheduled"), (None, "idempotency_key_reused")] {
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_by_escrow().once().returning(move |_| Ok(existing.clone()));
        repository.expect_basis().returning(|_| Ok(known(InForce::Version(Box::new(version(seventy_thirty()))))));
        repository.expect_recipients().returning(|_| Ok(vec![]));
        repository.expect_counters().returning(|_| Ok(vec![]));
        repository.expect_commit().once().returning(|_| Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)));
        assert_eq!(code(schedule(&repository, ask()).await).0, expected);
    }
}

/// What is remembered of a batch: its name.
fn remember_name() -> Remembering<Batch> {
    Remembering::new(|batch: &Batch| {
        let key = IdempotencyKey::try_new("k").unwrap();
        let request = KeyedRequest { operation: "schedule".to_owned(), key, fingerprint: Fingerprint([1; 32]) };
        let answer = StoredAnswer { status: 201, headers: Vec::new(), body: batch.id.to_string() };
        Remember::Unclaimed(request, answer)
    })
}

#[tokio::test]
async fn what_is_remembered_of_the_batch_is_committed_with_it() {
    let mut repository = fresh();
    repository.expect_commit().once().returning(|change| {
        let [New::Batch(batch), ..] = &change.insert[..] else { panic!("no batch") };
        assert_eq!(change.remember, remember_name().of(batch));
        Ok(())
    });
    let rails = rails(rail("simulator", true));
    schedule_payouts(
        &repository,
        &rails,
        &Counting::default(),
        &Turns::default(),
        &Needs::default(),
        ask(),
        &remember_name(),
    )
    .await
    .unwrap();
    assert_eq!(committed(fresh(), ask()).await.1.remember, None);
}

#[tokio::test]
async fn a_key_that_another_request_used_meanwhile_is_refused_at_once() {
    let mut repository = fresh();
    repository.expect_commit().once().returning(|_| Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)));
    assert_eq!(code(schedule(&repository, ask()).await), ("idempotency_key_reused", Class::Invalid));
}

/// Releases of one project, one after the other, with what the first needed known to the second.
async fn released_twice(repository: &MockPayoutRepository) {
    let needs = Needs::default();
    for _ in 0..2 {
        let (rails, ids, turns) = (rails(rail("simulator", true)), Counting::default(), Turns::default());
        schedule_payouts(repository, &rails, &ids, &turns, &needs, ask(), &Remembering::nothing()).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_last_release_needed_the_next_one_asks_for_at_once() {
    let mut repository = MockPayoutRepository::new();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    repository.expect_basis().times(2).returning(move |wanted| {
        noted.lock().unwrap().push((wanted.recipients.len(), wanted.counters.len()));
        Ok(known(InForce::Version(Box::new(version(seventy_thirty())))))
    });
    repository.expect_recipients().once().returning(|_| Ok(vec![]));
    repository.expect_counters().once().returning(|_| Ok(vec![]));
    repository.expect_commit().times(2).returning(|_| Ok(()));
    released_twice(&repository).await;
    assert_eq!(*asked.lock().unwrap(), [(0, 0), (2, 4)]);
}

#[tokio::test]
async fn what_nobody_needs_any_more_and_cannot_be_read_is_in_nobodys_way() {
    let mut repository = MockPayoutRepository::new();
    // The third: of the second release, which asked for what the first needed.
    repository.expect_basis().times(3).returning(|wanted| match wanted.recipients.len() {
        0 => Ok(known(InForce::Version(Box::new(version(seventy_thirty()))))),
        _ => Err(StoreError::Corrupt("recipients rec_ana".to_owned())),
    });
    repository.expect_recipients().times(2).returning(|_| Ok(vec![]));
    repository.expect_counters().times(2).returning(|_| Ok(vec![]));
    repository.expect_commit().times(2).returning(|_| Ok(()));
    released_twice(&repository).await;
}

#[tokio::test]
async fn whoever_waited_for_their_turn_reads_again_what_is_counted() {
    let counts = r#"{"currency":"USD","steps":[{"type":"recoup","key":"advance","lines":[{"recipientId":"rec_ana","principal":100}]},
        {"type":"share","lines":[{"recipientId":"rec_ben","weight":1}]}]}"#;
    let mut repository = MockPayoutRepository::new();
    repository.expect_basis().times(2).returning(move |_| Ok(known(InForce::Version(Box::new(version(spec(counts)))))));
    repository.expect_recipients().once().returning(|_| Ok(vec![]));
    repository.expect_counters().times(2).returning(|_| Ok(vec![]));
    repository.expect_commit().times(2).returning(|_| Ok(()));
    released_twice(&repository).await;
}

/// The first look is answered from memory, with `in_force`; the others are not.
fn recalling(in_force: InForce) -> MockPayoutRepository {
    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_by_escrow().returning(|_| Ok(None));
    repository.expect_basis().times(1..=2).returning(move |wanted| {
        let moment = wanted.may_be_recalled.then(|| Moment("then".to_owned()));
        let fresh = || InForce::Version(Box::new(version(seventy_thirty())));
        let in_force = if wanted.may_be_recalled { in_force.clone() } else { fresh() };
        Ok(Basis { recalled: moment, ..known(in_force) })
    });
    repository.expect_recipients().returning(|_| Ok(vec![]));
    repository.expect_counters().returning(|_| Ok(vec![]));
    repository
}

#[tokio::test]
async fn what_was_recalled_is_left_to_the_commit_and_read_if_it_was_changed_since() {
    let in_force = || InForce::Version(Box::new(version(seventy_thirty())));
    let (_, change) = committed(recalling(in_force()), ask()).await;
    assert_eq!(change.recalled, Some(Moment("then".to_owned())));

    let mut repository = recalling(in_force());
    repository.expect_commit().times(2).returning(|change| match change.recalled {
        Some(_) => Err(CommitError::Stale),
        None => Ok(()),
    });
    schedule(&repository, ask()).await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_follows_from_what_was_recalled_is_not_believed() {
    let impossible = InForce::Version(Box::new(version(spec(r#"{"steps":[]}"#))));
    for in_force in [InForce::ProjectUnknown, InForce::Nothing, impossible] {
        let (batch, change) = committed(recalling(in_force), ask()).await;
        assert_eq!((batch.items_count, change.recalled), (2, None));
    }
}

#[tokio::test]
async fn losing_every_race_is_busy_and_never_a_conflict() {
    let mut repository = fresh();
    repository.expect_commit().returning(|_| Err(CommitError::Stale));
    assert_eq!(code(schedule(&repository, ask()).await), ("unavailable", Class::Unavailable));
}

#[tokio::test]
async fn project_and_model_are_checked_in_that_order() {
    for (in_force, expected) in [
        (InForce::ProjectUnknown, ("project_not_found", Class::NotFound)),
        (InForce::Nothing, ("split_invalid", Class::Invalid)),
        (InForce::Version(Box::new(version(spec(r#"{"steps":[]}"#)))), ("split_invalid", Class::Invalid)),
    ] {
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_by_escrow().returning(|_| Ok(None));
        repository.expect_basis().returning(move |_| Ok(known(in_force.clone())));
        assert_eq!(code(schedule(&repository, ask()).await), expected);
    }
}

#[tokio::test]
async fn a_currency_or_deductions_that_do_not_fit_are_told_as_details_of_the_split() {
    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_by_escrow().returning(|_| Ok(None));
    repository.expect_recipients().returning(|_| Ok(vec![]));
    repository.expect_counters().returning(|_| Ok(vec![]));
    repository.expect_basis().returning(|_| {
        Ok(known(InForce::Version(Box::new(version(spec(
            r#"{"currency":"EUR","steps":[{"type":"share","lines":[{"recipientId":"rec_a","weight":1}]}]}"#,
        ))))))
    });
    let error = schedule(&repository, ask()).await.unwrap_err();
    assert_eq!((error.code(), error.details()[0].code), ("split_invalid", "currency_mismatch"));

    let mut too_much = ask();
    too_much.deductions = vec![Deduction { kind: DeductionKind::Expense, amount_minor: 200_001, reference: None }];
    let error = schedule(&fresh(), too_much).await.unwrap_err();
    assert_eq!((error.code(), error.details()[0].code), ("split_invalid", "deductions_exceed_amount"));
}

#[tokio::test]
async fn every_failure_of_the_store_is_unavailable_and_never_a_conflict() {
    let unavailable = ("unavailable", Class::Unavailable);
    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_by_escrow().returning(|_| Err(down()));
    repository.expect_basis().returning(|_| Ok(known(InForce::ProjectUnknown)));
    assert_eq!(code(schedule(&repository, ask()).await), unavailable);

    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_by_escrow().returning(|_| Ok(None));
    repository.expect_basis().returning(|_| Err(down()));
    assert_eq!(code(schedule(&repository, ask()).await), unavailable);

    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_by_escrow().returning(|_| Ok(None));
    repository.expect_basis().returning(|_| Ok(known(InForce::Version(Box::new(version(seventy_thirty()))))));
    repository.expect_recipients().returning(|_| Err(down()));
    assert_eq!(code(schedule(&repository, ask()).await), unavailable);

    let mut repository = fresh();
    repository.expect_commit().once().returning(|_| Err(down().into()));
    assert_eq!(code(schedule(&repository, ask()).await), unavailable);
}

#[tokio::test]
async fn after_an_unclear_commit_the_escrow_is_read_again() {
    // It was applied: ours is found.
    let (ours, _) = committed(fresh(), ask()).await;
    let read_back = |found: Result<Option<Batch>, ()>| {
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_by_escrow().once().returning(move |_| found.clone().map_err(|()| down()));
        repository.expect_basis().returning(|_| Ok(known(InForce::Version(Box::new(version(seventy_thirty()))))));
        repository.expect_counters().returning(|_| Ok(vec![]));
        repository.expect_recipients().returning(|_| Ok(vec![]));
        repository.expect_counters().returning(|_| Ok(vec![]));
        repository.expect_commit().once().returning(|_| Err(CommitError::Unclear("the connection broke".into())));
        repository
    };
    assert_eq!(schedule(&read_back(Ok(Some(ours.clone()))), ask()).await.unwrap().id, ours.id);

    // Somebody else's is found.
    let theirs = Batch { id: BatchId::new(uuid::Uuid::from_u128(9)), ..ours };
    assert_eq!(code(schedule(&read_back(Ok(Some(theirs))), ask()).await), ("already_scheduled", Class::Conflict));

    // Nothing is found, or nothing can be read: the caller is told that it is not known.
    for unknown in [Ok(None), Err(())] {
        let error = schedule(&read_back(unknown), ask()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("unavailable", Class::Unavailable));
        assert!(error.to_string().contains("send the same request again"), "{error}");
    }
}
