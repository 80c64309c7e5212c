use super::*;
use crate::{
    fixtures::{Counting, Still, answering, batch_id, down, found, item, item_id, lease, now, rail, rails, recipient},
    ports::{
        rail::{Known, Lookup, MockPayoutRail, PrepareError, Submit},
        repository::{BatchForExecution, MockPayoutRepository},
    },
};
use domain::{batch::BatchStatus, event::EventKind, recipient::RecipientStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What happened, in order: commits and calls.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Happened>>>);

#[derive(Clone, Debug, PartialEq)]
enum Happened {
    Committed(Box<Change>),
    Submitted(Instruction),
    Asked(InstructionId),
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Happened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn add(&self, happened: Happened) {
        self.lock().push(happened);
    }
    fn changes(&self) -> Vec<Change> {
        let happened = self.lock().clone();
        happened
            .into_iter()
            .filter_map(|happened| if let Happened::Committed(change) = happened { Some(*change) } else { None })
            .collect()
    }
    fn words(&self) -> Vec<&'static str> {
        let word = |happened: &Happened| match happened {
            Happened::Committed(_) => "commit",
            Happened::Submitted(_) => "submit",
            Happened::Asked(_) => "ask",
        };
        self.lock().iter().map(word).collect()
    }
}

struct World {
    log: Log,
    repository: MockPayoutRepository,
    rails: Rails,
}

impl World {
    fn new(found: BatchForExecution, mut rail: MockPayoutRail, lookup: Option<Lookup>, submit: Option<Submit>) -> Self {
        let log = Log::default();
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_for_execution().returning(move |_| Ok(Some(found.clone())));
        repository.expect_recipients().returning(|_| Ok(vec![]));
        let commits = log.clone();
        repository.expect_commit().returning(move |change| {
            commits.add(Happened::Committed(Box::new(change)));
            Ok(())
        });
        if let Some(lookup) = lookup {
            let asks = log.clone();
            rail.expect_query().returning(move |instruction| {
                asks.add(Happened::Asked(instruction.id));
                lookup.clone()
            });
        }
        if let Some(submit) = submit {
            let submits = log.clone();
            rail.expect_submit().returning(move |instruction| {
                submits.add(Happened::Submitted(instruction.clone()));
                submit.clone()
            });
        }
        Self { log, repository, rails: rails(rail) }
    }
    async fn run(&self) -> Result<(), ExecuteBatchError> {
        let ids = Counting::default();
        let ports = Ports { repository: &self.repository, rails: &self.rails, ids: &ids, clock: &Still };
        execute_batch(ports, lease(), batch_id()).await
    }
}

fn settled() -> Submit {
    Submit::Settled { reference: Some("ref_1".into()) }
}
fn fresh(submit: Submit) -> World {
    World::new(found(vec![item(0, None), item(1, None)]), rail("simulator", true), None, Some(submit))
}
fn statuses(change: &Change) -> Vec<&'static str> {
    let word = |update: &Update| match update {
        Update::Item(item) => Some(item.value.status().as_str()),
        Update::Batch(batch) => Some(batch.value.status.as_str()),
        Update::Instruction(instruction) => Some(instruction.value.state().as_str()),
        Update::Recipient(_) => None,
    };
    change.update.iter().filter_map(word).collect()
}
fn posted(change: &Change) -> Vec<&'static str> {
    change.post.iter().map(|transaction| transaction.kind().as_str()).collect()
}

/// An item that was sent `age` ago, and its instruction.
fn sent(age: Duration) -> BatchForExecution {
    let since = Timestamp::from_unix_micros(now().unix_micros() - i64::try_from(age.as_micros()).unwrap());
    let item = item(0, None).after(ItemStep::RecordIntent, since).unwrap();
    let part = InstructionItem { item: item.id, wire_ref: item.id.digits(), amount_minor: item.payable_minor };
    let instruction = Instruction::record(
        InstructionId::new(uuid::Uuid::from_u128(77)),
        batch_id(),
        "simulator".parse().unwrap(),
        "USD".parse().unwrap(),
        vec![part],
        1,
        b"the very same bytes".to_vec(),
        since,
    );
    let mut found = found(vec![item]);
    found.items[0].revision = 2;
    found.unresolved = vec![Stored { value: instruction, revision: 1 }];
    found
}

#[tokio::test]
async fn the_intent_is_committed_before_the_call_and_the_answer_after() {
    let world = fresh(settled());
    world.run().await.unwrap();
    assert_eq!(world.log.words(), ["commit", "submit", "submit", "commit"]);
    let [intent, answer] = world.log.changes().try_into().unwrap();

    assert_eq!(intent.lease, Some(LeaseStep::Keep(lease())));
    assert_eq!(statuses(&intent), ["processing", "processing", "processing"]);
    assert_eq!(posted(&intent), ["sent", "sent"]);
    assert_eq!(intent.insert.len(), 2);

    assert_eq!(answer.lease, Some(LeaseStep::Finish(lease())));
    assert_eq!(statuses(&answer), ["paid", "paid", "completed", "accepted", "accepted"]);
    assert_eq!(posted(&answer), ["paid", "paid"]);
    let last = answer.publish.last().unwrap();
    assert_eq!(last.kind, EventKind::Batch(BatchStatus::Completed));
}

#[tokio::test]
async fn revisions_count_on_from_the_first_write_to_the_second() {
    let world = fresh(settled());
    world.run().await.unwrap();
    let revisions = |change: &Change| -> Vec<u32> {
        let revision = |update: &Update| match update {
            Update::Item(stored) => stored.revision,
            Update::Batch(stored) => stored.revision,
            Update::Instruction(stored) => stored.revision,
            Update::Recipient(stored) => stored.revision,
        };
        change.update.iter().map(revision).collect()
    };
    let [intent, answer] = world.log.changes().try_into().unwrap();
    assert_eq!(revisions(&intent), [1, 1, 1]);
    assert_eq!(revisions(&answer), [2, 2, 2, 1, 1]);
}

#[tokio::test]
async fn every_move_of_an_item_has_its_event_and_carries_its_batch() {
    for submit in [settled(), Submit::Refused { reason: "no".into() }, Submit::Unknown { cause: "?".into() }] {
        let world = fresh(submit);
        world.run().await.unwrap();
        for change in world.log.changes() {
            let moved = change.update.iter().filter(|update| matches!(update, Update::Item(_))).count();
            let told = change.publish.iter().filter(|event| matches!(event.kind, EventKind::Item(_))).count();
            assert_eq!(moved, told);
            assert_eq!(moved > 0, change.update.iter().any(|update| matches!(update, Update::Batch(_))));
        }
    }
}

#[tokio::test]
async fn a_refusal_gives_the_money_back_to_the_payable() {
    let world = fresh(Submit::Refused { reason: "account_closed".into() });
    world.run().await.unwrap();
    let answer = world.log.changes().pop().unwrap();
    assert_eq!(statuses(&answer), ["failed", "failed", "failed", "refused", "refused"]);
    assert_eq!(posted(&answer), ["refused", "refused"]);
    let entries: Vec<String> =
        answer.post[0].entries().iter().map(|entry| format!("{} {}", entry.account, entry.amount_minor)).collect();
    assert_eq!(entries, ["in_transit:simulator 100", "payable:rec_0 -100"]);
}

#[tokio::test]
async fn silence_is_doubt_and_never_a_failure() {
    let world = fresh(Submit::Unknown { cause: "timeout".into() });
    world.run().await.unwrap();
    let answer = world.log.changes().pop().unwrap();
    assert_eq!(statuses(&answer), ["in_doubt", "in_doubt", "processing"]);
    assert!(answer.post.is_empty(), "in doubt stays in transit");
    assert_eq!(answer.lease, Some(LeaseStep::Again(lease(), now().after(Duration::from_secs(1)))));
}

#[tokio::test]
async fn what_was_not_sent_stays_as_it_is_and_is_tried_again() {
    let world = fresh(Submit::NotSent { cause: "refused".into() });
    world.run().await.unwrap();
    let answer = world.log.changes().pop().unwrap();
    assert!(answer.update.is_empty() && answer.post.is_empty());
    assert!(matches!(answer.lease, Some(LeaseStep::Again(..))));
}

#[tokio::test]
async fn an_instruction_found_sent_is_asked_for_and_its_answer_written_down() {
    for (known, status) in
        [(Known::Settled { reference: None }, "paid"), (Known::Refused { reason: "no".into() }, "failed")]
    {
        let world = World::new(sent(Duration::from_secs(5)), rail("simulator", true), Some(Lookup::Found(known)), None);
        world.run().await.unwrap();
        assert_eq!(world.log.words(), ["ask", "commit"]);
        assert_eq!(statuses(&world.log.changes()[0])[0], status);
    }
}

#[tokio::test]
async fn what_the_rail_does_not_know_is_replayed_under_the_same_key_with_the_same_bytes() {
    for lookup in [Lookup::Absent, Lookup::CannotTell { cause: "down".into() }] {
        let world = World::new(sent(Duration::from_secs(5)), rail("simulator", true), Some(lookup), Some(settled()));
        world.run().await.unwrap();
        assert_eq!(world.log.words(), ["ask", "commit", "submit", "commit"]);
        let original = sent(Duration::from_secs(5)).unresolved.remove(0).value;
        let log = world.log.lock().clone();
        let Happened::Submitted(replayed) = &log[2] else { panic!("{log:?}") };
        assert_eq!((replayed.id, &replayed.body), (original.id, &original.body));
        assert_eq!((replayed.tries, replayed.generation), (2, 1));
        let Happened::Committed(intent) = &log[1] else { panic!("{log:?}") };
        assert!(intent.insert.is_empty() && intent.post.is_empty(), "the money is in transit already");
    }
}

#[tokio::test]
async fn outside_of_the_replay_window_only_questions_are_asked() {
    let world = World::new(sent(Duration::from_secs(3_601)), rail("simulator", true), Some(Lookup::Absent), None);
    world.run().await.unwrap();
    assert_eq!(world.log.words(), ["ask", "commit"]);
    let change = world.log.changes().pop().unwrap();
    assert_eq!(statuses(&change)[0], "in_doubt");
    assert_eq!(change.lease, Some(LeaseStep::Again(lease(), now().after(Duration::from_secs(300)))));
}

#[tokio::test]
async fn who_may_no_longer_be_paid_is_held_and_nothing_is_sent() {
    let mut world = World::new(found(vec![item(0, None)]), rail("simulator", true), None, None);
    world.repository = MockPayoutRepository::new();
    world.repository.expect_batch_for_execution().returning(|_| Ok(Some(found(vec![item(0, None)]))));
    world.repository.expect_recipients().returning(|_| Ok(vec![recipient("rec_0", RecipientStatus::Blocked)]));
    let commits = world.log.clone();
    world.repository.expect_commit().returning(move |change| {
        commits.add(Happened::Committed(Box::new(change)));
        Ok(())
    });
    world.run().await.unwrap();
    assert_eq!(world.log.words(), ["commit"]);
    let change = world.log.changes().pop().unwrap();
    assert_eq!(statuses(&change), ["pending_kyc", "scheduled"]);
    // Their release may have come before this hold was committed: it is looked at once more.
    assert_eq!(change.lease, Some(LeaseStep::Again(lease(), now())));
}

#[tokio::test]
async fn what_is_held_for_somebody_who_may_be_paid_by_now_is_released_and_sent() {
    let held = item(0, Some(HoldReason::RecipientPending));
    let world = World::new(found(vec![held]), rail("simulator", true), None, Some(settled()));
    world.run().await.unwrap();
    let [intent, answer] = world.log.changes().try_into().unwrap();
    let kinds: Vec<String> = intent.publish.iter().map(|event| event.kind.to_string()).collect();
    assert_eq!(kinds, ["payout.item.scheduled", "payout.item.processing", "payout.batch.processing"]);
    assert_eq!(statuses(&answer)[0], "paid");
}

#[tokio::test]
async fn what_is_held_for_somebody_who_may_still_not_be_paid_stays_and_the_job_ends() {
    let mut world = World::new(found(vec![]), rail("simulator", true), None, None);
    let held = item(0, Some(HoldReason::RecipientBlocked));
    world.repository = MockPayoutRepository::new();
    world.repository.expect_batch_for_execution().returning(move |_| Ok(Some(found(vec![held.clone()]))));
    world.repository.expect_recipients().returning(|_| Ok(vec![recipient("rec_0", RecipientStatus::Blocked)]));
    let ends = Change { lease: Some(LeaseStep::Finish(lease())), ..Change::default() };
    world.repository.expect_commit().once().withf(move |change| *change == ends).returning(|_| Ok(()));
    world.run().await.unwrap();
}

#[tokio::test]
async fn more_unresolved_instructions_than_fit_take_turns_and_none_is_forgotten() {
    let mut many = sent(Duration::from_secs(5));
    let template = (many.items.remove(0), many.unresolved.remove(0));
    for n in 0..100 {
        let (mut item, mut instruction) = template.clone();
        item.value.id = item_id(n);
        instruction.value.id = InstructionId::new(uuid::Uuid::from_u128(500 + n));
        instruction.value.items[0].item = item_id(n);
        many.items.push(item);
        many.unresolved.push(instruction);
    }
    let known = Lookup::Found(Known::Settled { reference: None });
    let world = World::new(many, rail("simulator", true), Some(known), None);
    world.run().await.unwrap();
    assert_eq!(world.log.words().iter().filter(|word| **word == "ask").count(), SLICE_ITEMS_MAX);
    assert_eq!(world.log.changes().pop().unwrap().lease, Some(LeaseStep::Again(lease(), now())));
}

#[tokio::test]
async fn an_item_that_cannot_be_put_into_an_instruction_never_holds_its_batch() {
    let mut rail = MockPayoutRail::new();
    let profile = crate::fixtures::rail("simulator", true).profile();
    rail.expect_profile().returning(move || profile.clone());
    rail.expect_check().returning(|_| Ok(()));
    rail.expect_prepare().returning(|key, orders| {
        if orders[0].item == item_id(0) {
            Err(PrepareError("too long".into()))
        } else {
            Ok(key.to_string().into_bytes())
        }
    });
    let world = World::new(found(vec![item(0, None), item(1, None)]), rail, None, Some(settled()));
    world.run().await.unwrap();
    let [intent, answer] = world.log.changes().try_into().unwrap();
    assert_eq!(statuses(&intent), ["pending_kyc", "processing", "processing"]);
    assert_eq!(statuses(&answer), ["paid", "processing", "accepted"]);
}

#[tokio::test]
async fn a_large_batch_goes_slice_by_slice() {
    let many = (0..100).map(|n| item(n, None)).collect();
    let world = World::new(found(many), rail("simulator", true), None, Some(settled()));
    world.run().await.unwrap();
    assert_eq!(world.log.words().iter().filter(|word| **word == "submit").count(), SLICE_ITEMS_MAX);
    assert_eq!(world.log.changes().pop().unwrap().lease, Some(LeaseStep::Again(lease(), now())));
}

#[tokio::test]
async fn an_intent_that_is_not_committed_is_not_sent() {
    for refusal in [CommitError::LeaseLost, CommitError::Stale, CommitError::Unclear("?".into()), down().into()] {
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_for_execution().returning(|_| Ok(Some(found(vec![item(0, None)]))));
        repository.expect_recipients().returning(|_| Ok(vec![]));
        repository.expect_commit().return_once(move |_| Err(refusal));
        // A rail that must not be called: it expects no submission.
        let world = World { log: Log::default(), repository, rails: rails(rail("simulator", true)) };
        assert!(world.run().await.is_err());
    }
}

#[tokio::test]
async fn every_failure_of_the_store_ends_the_turn() {
    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_for_execution().returning(|_| Err(down()));
    let world = World { log: Log::default(), repository, rails: rails(answering(settled())) };
    assert_eq!(world.run().await.unwrap_err().class(), Class::Unavailable);

    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_for_execution().returning(|_| Ok(Some(found(vec![item(0, None)]))));
    repository.expect_recipients().returning(|_| Err(down()));
    let world = World { log: Log::default(), repository, rails: rails(answering(settled())) };
    assert_eq!(world.run().await.unwrap_err().class(), Class::Unavailable);
}

#[tokio::test]
async fn a_batch_that_is_not_there_or_has_nothing_to_do_finishes_its_job() {
    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_for_execution().returning(|_| Ok(None));
    repository
        .expect_commit()
        .once()
        .withf(|change| change.lease == Some(LeaseStep::Finish(lease())))
        .returning(|_| Ok(()));
    let world = World { log: Log::default(), repository, rails: rails(answering(settled())) };
    world.run().await.unwrap();

    let world = World::new(found(vec![]), rail("simulator", true), None, None);
    world.run().await.unwrap();
    assert_eq!(world.log.changes(), [Change { lease: Some(LeaseStep::Finish(lease())), ..Change::default() }]);
}
