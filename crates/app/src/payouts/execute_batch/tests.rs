use super::{ask_rails::TRIES_MAX, *};
use crate::{
    change::{New, PaidDestination, PolicyVersion, Update},
    fixtures::{
        Counting, answering, batch_id, down, found, item, item_id, lease, now, ports, rail, rail_profile, rails,
        recipient,
    },
    payouts::RETRIES_MAX,
    ports::{
        PayoutRail,
        rail::{Class as RefusalClass, Lookup, MockPayoutRail, Preflight, PrepareError, Seen, Submit},
        repository::MockPayoutRepository,
    },
};
use domain::{
    approval::destination_hash,
    batch::BatchStatus,
    event::EventKind,
    ids::InstructionId,
    instruction::{InstructionItem, Outcome},
    item::{Item, ItemStatus, ItemStep},
    money::Money,
    recipient::{HoldReason, RecipientStatus},
    timestamp::Timestamp,
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

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
    fn new(found: BatchForExecution, mut rail: MockPayoutRail, lookup: Option<Looks>, submit: Option<Submits>) -> Self {
        let log = Log::default();
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_for_execution().returning(move |_| Ok(Some(found.clone())));
        repository.expect_recipients().returning(|_| Ok(vec![]));
        repository.expect_policy().returning(|| Ok(None));
        let commits = log.clone();
        repository.expect_commit().returning(move |change| {
            commits.add(Happened::Committed(Box::new(change)));
            Ok(())
        });
        if let Some(lookup) = lookup {
            let asks = log.clone();
            rail.expect_query().returning(move |instruction| {
                asks.add(Happened::Asked(instruction.id));
                lookup(instruction)
            });
        }
        if let Some(submit) = submit {
            let submits = log.clone();
            rail.expect_submit().returning(move |instruction| {
                submits.add(Happened::Submitted(instruction.clone()));
                submit(instruction)
            });
        }
        Self { log, repository, rails: rails(rail) }
    }
    async fn run(&self) -> Result<(), ExecuteBatchError> {
        let ids = Counting::default();
        execute_batch(ports(&self.repository, &self.rails, &Gates::default(), &ids), lease(), batch_id()).await
    }
}

type Submits = fn(&Instruction) -> Submit;
type Looks = fn(&Instruction) -> Lookup;

/// What a rail says of every item of an instruction.
fn says(instruction: &Instruction, what: &Seen) -> Vec<RailEvent> {
    let event = |part: &InstructionItem| {
        let amount = Money::new(part.amount_minor, instruction.currency);
        RailEvent::answered(&part.wire_ref, what.clone(), Some(amount), b"raw")
    };
    instruction.items.iter().map(event).collect()
}
fn settled(instruction: &Instruction) -> Submit {
    let reference = Some("ref_1".to_owned());
    Submit::Accepted { reference: None, seen: says(instruction, &Seen::Settled { reference }) }
}
fn refused(_: &Instruction) -> Submit {
    Submit::Refused { reason: "account_closed".into(), class: RefusalClass::Fail }
}
fn silent(_: &Instruction) -> Submit {
    Submit::Unknown { cause: "timeout".into() }
}
fn found_settled(instruction: &Instruction) -> Lookup {
    Lookup::Found(says(instruction, &Seen::Settled { reference: None }))
}
fn found_refused(instruction: &Instruction) -> Lookup {
    Lookup::Found(says(instruction, &Seen::Rejected { reason: "no".into(), class: RefusalClass::Fail }))
}
fn absent(_: &Instruction) -> Lookup {
    Lookup::ProvenAbsent
}
fn cannot_tell(_: &Instruction) -> Lookup {
    Lookup::CannotTell { cause: "down".into() }
}

fn fresh(submit: Submits) -> World {
    World::new(found(vec![item(0, None), item(1, None)]), rail("simulator", true), None, Some(submit))
}
fn statuses(change: &Change) -> Vec<&'static str> {
    let word = |update: &Update| match update {
        Update::Item(item) => Some(item.value.status().as_str()),
        Update::Batch(batch) => Some(batch.value.status.as_str()),
        Update::Instruction(instruction) => Some(instruction.value.status()),
        Update::Recipient(_) | Update::Resolution(_) => None,
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
    let part = InstructionItem::new(item.id, item.id.digits(), item.payable_minor, [7; 32]);
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
    let world = fresh(settled);
    world.run().await.unwrap();
    assert_eq!(world.log.words(), ["commit", "submit", "submit", "commit"]);
    let [intent, answer] = world.log.changes().try_into().unwrap();

    assert_eq!(intent.lease, Some(LeaseStep::Keep(lease())));
    assert_eq!(statuses(&intent), ["processing", "processing", "processing"]);
    assert_eq!(posted(&intent), ["sent", "sent"]);
    assert_eq!(intent.insert.len(), 2);

    assert_eq!(answer.lease, Some(LeaseStep::Finish(lease())));
    assert_eq!(statuses(&answer), ["paid", "paid", "completed", "settled", "settled"]);
    assert_eq!(posted(&answer), ["paid", "paid"]);
    let last = answer.publish.last().unwrap();
    assert_eq!(last.kind, EventKind::Batch(BatchStatus::Completed));
}

#[tokio::test]
async fn revisions_count_on_from_the_first_write_to_the_second() {
    let world = fresh(settled);
    world.run().await.unwrap();
    let revisions = |change: &Change| -> Vec<u32> {
        let revision = |update: &Update| match update {
            Update::Item(stored) => stored.revision,
            Update::Batch(stored) => stored.revision,
            Update::Instruction(stored) => stored.revision,
            Update::Recipient(stored) => stored.revision,
            Update::Resolution(stored) => stored.revision,
        };
        change.update.iter().map(revision).collect()
    };
    let [intent, answer] = world.log.changes().try_into().unwrap();
    assert_eq!(revisions(&intent), [1, 1, 1]);
    assert_eq!(revisions(&answer), [2, 2, 2, 1, 1]);
}

#[tokio::test]
async fn every_move_of_an_item_has_its_event_and_carries_its_batch() {
    for submit in [settled as Submits, refused, silent] {
        let world = fresh(submit);
        world.run().await.unwrap();
        for change in world.log.changes() {
            let moved = change.update.iter().filter(|update| matches!(update, Update::Item(_))).count();
            let told = change.publish.iter().filter(|event| matches!(event.kind, EventKind::Item(_))).count();
            let audited = change.audit.iter().filter(|entry| entry.subject.starts_with("item_")).count();
            assert_eq!((moved, moved), (told, audited));
            assert_eq!(moved > 0, change.update.iter().any(|update| matches!(update, Update::Batch(_))));
        }
    }
}

#[tokio::test]
async fn a_refusal_gives_the_money_back_to_the_payable() {
    let world = fresh(refused);
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
    let world = fresh(silent);
    world.run().await.unwrap();
    let answer = world.log.changes().pop().unwrap();
    assert_eq!(statuses(&answer), ["in_doubt", "in_doubt", "processing"]);
    assert!(answer.post.is_empty(), "in doubt stays in transit");
    // A second, and full jitter: the dice of this test always fall in the middle.
    assert_eq!(answer.lease, Some(LeaseStep::Again(lease(), now().after(Duration::from_millis(600)))));
}

#[tokio::test]
async fn what_was_not_sent_stays_as_it_is_and_is_tried_again() {
    let world = fresh(|_| Submit::NotSent { cause: "refused".into(), retry_after: None, ours: false });
    world.run().await.unwrap();
    let answer = world.log.changes().pop().unwrap();
    assert_eq!(statuses(&answer), ["sent", "sent"]);
    let tries = |update: &Update| matches!(update, Update::Instruction(stored) if stored.value.tries == 0);
    assert!(answer.update.iter().all(tries), "a call that never left is no try");
    assert!(answer.post.is_empty());
    assert!(matches!(answer.lease, Some(LeaseStep::Again(..))));
}

#[tokio::test]
async fn what_never_left_is_sent_again_without_a_question() {
    let mut never_left = sent(Duration::from_secs(5));
    never_left.unresolved[0].value.tries = 0;
    let world = World::new(never_left, rail("simulator", true), None, Some(settled));
    world.run().await.unwrap();
    assert_eq!(world.log.words(), ["commit", "submit", "commit"]);
}

#[tokio::test]
async fn what_is_never_taken_is_sent_less_and_less_often() {
    let again_after = async |age: u64, last: u64| {
        let mut never_left = sent(Duration::from_secs(age));
        let before = &mut never_left.unresolved[0].value;
        // The last call never left either.
        let last = before.first_sent_at.after(Duration::from_secs(age - last));
        (before.tries, before.first_sent_at, before.last_sent_at) = (0, last, last);
        let busy = |_: &Instruction| Submit::NotSent { cause: "429".into(), retry_after: None, ours: false };
        let world = World::new(never_left, rail("simulator", true), None, Some(busy));
        world.run().await.unwrap();
        match world.log.changes().pop().unwrap().lease {
            Some(LeaseStep::Again(_, at)) => (at.since(now()), world.log.words().contains(&"submit")),
            other => panic!("it is not tried again: {other:?}"),
        }
    };
    let (soon, is_sent) = again_after(2, 1).await;
    assert!(is_sent && soon < Duration::from_secs(1));
    let (late, is_sent) = again_after(600, 60).await;
    assert!(is_sent && late > Duration::from_secs(60));
    // Looked at for another of its batch.
    assert_eq!(again_after(600, 20).await, (Duration::from_secs(40), false));
    assert_eq!(again_after(80, 2).await, (Duration::from_secs(8), false));
}

#[tokio::test]
async fn what_is_not_taken_for_a_day_is_told_to_a_person_each_day_once() {
    const DAY: u64 = 86_400;
    let alarms = async |waited: u64, last: u64, submit: Submits| {
        let mut never_left = sent(Duration::from_secs(waited));
        let before = &mut never_left.unresolved[0].value;
        let last = before.first_sent_at.after(Duration::from_secs(waited - last));
        (before.tries, before.first_sent_at, before.last_sent_at) = (0, last, last);
        let world = World::new(never_left, rail("simulator", true), None, Some(submit));
        world.run().await.unwrap();
        let changes = world.log.changes();
        let alarms = changes.iter().flat_map(|change| &change.publish).filter(|event| event.kind == EventKind::Alarm);
        alarms.map(|event| event.data["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let busy = |_: &Instruction| Submit::NotSent { cause: "429".into(), retry_after: None, ours: false };
    for (waited, last, expected) in [
        (DAY - 1, 60, &[][..]),
        (DAY, 60, &["not_taken"]),
        (DAY + 60, 60, &[]),
        (2 * DAY + 30, 60, &["not_taken"]),
        (5 * DAY + 7, 3 * DAY, &["not_taken"]),
    ] {
        assert_eq!(alarms(waited, last, busy).await, expected, "after {waited} s, {last} s after the last call");
    }
    assert!(alarms(DAY, 60, settled).await.is_empty(), "it is taken");
}

#[tokio::test]
async fn a_rail_that_settled_what_it_said_it_never_had_is_asked_and_holds_up_nobody() {
    let mut mixed = sent(Duration::from_secs(5));
    let instruction = &mut mixed.unresolved[0].value;
    let other = InstructionItem {
        item: item_id(9),
        wire_ref: "OTHER".into(),
        outcome: Outcome::Settled { reference: None },
        ..instruction.items[0].clone()
    };
    instruction.items.push(other);
    instruction.tries = 0;
    let world = World::new(mixed, rail("simulator", true), Some(found_settled), None);
    world.run().await.unwrap();
    assert_eq!(world.log.words(), ["ask", "commit"]);
}

/// Items that were sent before and are acknowledged, and others that wait, at a rail that takes so few calls a second.
async fn words_at_a_slow_rail(sent_before: u128, waiting: u128, calls_per_second_max: u32) -> Vec<&'static str> {
    let mut all = found((0..sent_before + waiting).map(|seq| item(seq, None)).collect());
    for place in 0..usize::try_from(sent_before).unwrap() {
        let one = sent(Duration::from_secs(60));
        let mut instruction = one.unresolved[0].value.clone();
        instruction.id = InstructionId::new(uuid::Uuid::from_u128(100 + u128::try_from(place).unwrap()));
        instruction.items[0].item = all.items[place].value.id;
        instruction.items[0].outcome = Outcome::Accepted { reference: None };
        all.items[place].value = all.items[place].value.clone().after(ItemStep::RecordIntent, now()).unwrap();
        all.unresolved.push(Stored { value: instruction, revision: 1 });
    }
    let mut slow = MockPayoutRail::new();
    let profile = RailProfile { calls_per_second_max, ..crate::fixtures::rail_profile("simulator", true) };
    slow.expect_profile().return_const(profile);
    slow.expect_check().returning(|_| Ok(()));
    slow.expect_prepare().returning(|_, _| Ok(b"bytes".to_vec()));
    slow.expect_preflight().returning(|_| Preflight::Ready);
    let taken = |_: &Instruction| Lookup::Found(Vec::new());
    let world = World::new(all, slow, Some(taken), Some(settled));
    world.run().await.unwrap();
    world.log.words()
}

#[tokio::test]
async fn questions_leave_a_half_of_the_calls_to_payments() {
    let count = |words: &[&str], word: &str| words.iter().filter(|found| **found == word).count();
    let words = words_at_a_slow_rail(20, 20, 10).await;
    assert_eq!((count(&words, "ask"), count(&words, "submit")), (5, 5));
    let words = words_at_a_slow_rail(20, 0, 10).await;
    assert_eq!(count(&words, "ask"), 10, "where nobody waits to be paid they take all");
    let words = words_at_a_slow_rail(3, 3, 10).await;
    assert_eq!((count(&words, "ask"), count(&words, "submit")), (3, 3));
}

#[tokio::test]
async fn a_machine_that_slept_past_its_lease_calls_nobody() {
    let world = World::new(found(vec![item(0, None)]), rail("simulator", true), None, None);
    let ids = Counting::default();
    let gates = Gates::default();
    // Less is left than a call may take.
    let late = Ports { lease_ends: Duration::from_secs(4), ..ports(&world.repository, &world.rails, &gates, &ids) };
    execute_batch(late, lease(), batch_id()).await.unwrap();
    assert_eq!(world.log.words(), ["commit", "commit"]);
    assert_eq!(statuses(&world.log.changes()[1]), ["sent"], "and that is known to have never left");
}

/// A machine that takes 11 s between any two looks at its clock.
#[derive(Default)]
struct Slow(std::sync::atomic::AtomicU64);

#[async_trait::async_trait]
impl Clock for Slow {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(now())
    }
    fn steady(&self) -> Duration {
        Duration::from_secs(11 * self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}

#[tokio::test]
async fn no_call_leaves_long_after_the_instant_of_its_intent() {
    let world = World::new(found(vec![item(0, None)]), rail("simulator", true), None, None);
    let (ids, gates, clock) = (Counting::default(), Gates::default(), Slow::default());
    let lease_ends = Duration::from_secs(3_600);
    let slow = Ports { lease_ends, clock: &clock, ..ports(&world.repository, &world.rails, &gates, &ids) };
    execute_batch(slow, lease(), batch_id()).await.unwrap();
    assert_eq!(world.log.words(), ["commit", "commit"], "absence would be believed while it is on its way");
}

/// Answers the item of the last change.
fn item_after(world: &World) -> Item {
    let change = world.log.changes().pop().unwrap();
    let item = change.update.into_iter().find_map(|update| match update {
        Update::Item(stored) => Some(stored.value),
        _ => None,
    });
    item.unwrap()
}

#[tokio::test]
async fn a_refusal_means_what_its_class_says() {
    let after = async |submit: Submits| {
        let world = World::new(found(vec![item(0, None)]), rail("simulator", true), None, Some(submit));
        world.run().await.unwrap();
        let change = world.log.changes().pop().unwrap();
        assert_eq!(posted(&change), ["refused"], "in every class the money is owed again");
        (item_after(&world), change)
    };
    let (held, _) = after(|_| Submit::Refused { reason: "x".into(), class: RefusalClass::Hold }).await;
    assert_eq!(held.state().hold_reason(), Some(HoldReason::RecipientMustAct));

    let (retried, change) = after(|_| Submit::Refused { reason: "x".into(), class: RefusalClass::Retry }).await;
    assert_eq!((retried.status(), retried.retries), (ItemStatus::Scheduled, 1));
    assert_eq!(change.lease, Some(LeaseStep::Again(lease(), retried.not_before.unwrap())));
    assert!(retried.not_before.unwrap() > now());

    let (ours, change) = after(|_| Submit::Refused { reason: "x".into(), class: RefusalClass::Ops }).await;
    assert_eq!((ours.status(), ours.retries), (ItemStatus::Scheduled, 0), "it is no fault of the payment");
    assert!(change.publish.iter().any(|event| event.kind == EventKind::Alarm));
    let Some(LeaseStep::Again(_, at)) = change.lease else { panic!("{change:?}") };
    assert!(at < now().after(Duration::from_secs(60)), "the gate decides when, not the item");
}

#[tokio::test]
async fn retries_are_bounded() {
    let mut tired = item(0, None);
    tired.retries = RETRIES_MAX;
    let submit: Submits = |_| Submit::Refused { reason: "could_not_process".into(), class: RefusalClass::Retry };
    let world = World::new(found(vec![tired]), rail("simulator", true), None, Some(submit));
    world.run().await.unwrap();
    assert_eq!(item_after(&world).state().failure_reason(), Some("could_not_process"));
}

#[tokio::test]
async fn an_amount_that_was_not_ordered_is_not_believed() {
    let submit: Submits = |instruction| {
        let part = &instruction.items[0];
        let amount = Money::new(part.amount_minor + 1, instruction.currency);
        let what = Seen::Settled { reference: None };
        Submit::Accepted {
            reference: None,
            seen: vec![RailEvent::answered(&part.wire_ref, what, Some(amount), b"raw")],
        }
    };
    let mut world = World::new(found(vec![item(0, None)]), rail("simulator", true), None, Some(submit));
    world.repository.expect_taken_events().returning(|_, _| Ok(vec![]));
    world.run().await.unwrap();
    let change = world.log.changes().pop().unwrap();
    assert_eq!(statuses(&change), ["in_doubt", "processing"]);
    assert!(change.post.is_empty());
    assert!(change.publish.iter().any(|event| event.kind == EventKind::Alarm));
    assert!(matches!(&change.insert[..], [New::RailEvent(taken)] if taken.verdict == crate::change::Verdict::Alarmed));
}

#[tokio::test]
async fn a_rail_that_has_it_and_has_not_settled_it_is_asked_later() {
    let submit: Submits = |_| Submit::Accepted { reference: Some("po_1".into()), seen: vec![] };
    let world = World::new(found(vec![item(0, None)]), rail("simulator", true), None, Some(submit));
    world.run().await.unwrap();
    let change = world.log.changes().pop().unwrap();
    let [Update::Instruction(stored)] = &change.update[..] else { panic!("{:?}", change.update) };
    assert_eq!(stored.value.items[0].outcome, Outcome::Accepted { reference: Some("po_1".into()) });
    assert!(matches!(change.lease, Some(LeaseStep::Again(..))), "{:?}", change.lease);
}

#[tokio::test]
async fn an_instruction_found_sent_is_asked_for_and_its_answer_written_down() {
    for (known, status) in [(found_settled as Looks, "paid"), (found_refused, "failed")] {
        let world = World::new(sent(Duration::from_secs(5)), rail("simulator", true), Some(known), None);
        world.run().await.unwrap();
        assert_eq!(world.log.words(), ["ask", "commit"]);
        assert_eq!(statuses(&world.log.changes()[0])[0], status);
    }
}

#[tokio::test]
async fn what_the_rail_does_not_know_is_replayed_under_the_same_key_with_the_same_bytes() {
    for lookup in [absent as Looks, cannot_tell] {
        let world = World::new(sent(Duration::from_secs(5)), rail("simulator", true), Some(lookup), Some(settled));
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
async fn what_was_sent_just_now_is_not_replayed_because_another_of_its_batch_is_looked_at() {
    let mut refused_again = sent(Duration::from_secs(400));
    let before = &mut refused_again.unresolved[0].value;
    before.last_sent_at = before.first_sent_at.after(Duration::from_secs(390));
    let world = World::new(refused_again, rail("simulator", true), Some(absent), None);
    world.run().await.unwrap();
    assert_eq!(world.log.words(), ["ask", "commit"]);
}

#[tokio::test]
async fn outside_of_the_replay_window_only_questions_are_asked() {
    // The last fifth of the window is not used: the rail counts by its own clock.
    for age in [2_881, 3_601] {
        let world = World::new(sent(Duration::from_secs(age)), rail("simulator", true), Some(cannot_tell), None);
        world.run().await.unwrap();
        assert_eq!(world.log.words(), ["ask", "commit"]);
        let change = world.log.changes().pop().unwrap();
        assert_eq!(statuses(&change)[0], "in_doubt");
        let Some(LeaseStep::Again(_, at)) = change.lease else { panic!("{change:?}") };
        assert!((1..=300).contains(&at.since(now()).as_secs()), "seldom, and not all at once: {at}");
    }
}

/// The call is no question, and what else chance is asked for is as much as it can be.
struct PaysAndWaits;

impl Dice for PaysAndWaits {
    fn below(&self, bound: u64) -> u64 {
        if bound == 2 { 0 } else { bound - 1 }
    }
}

#[tokio::test]
async fn what_is_sent_again_without_a_question_is_not_looked_at_as_soon_as_the_gate_allows() {
    let mut slow = MockPayoutRail::new();
    let profile = RailProfile { calls_per_second_max: 1, ..rail_profile("simulator", true) };
    slow.expect_profile().returning(move || profile.clone());
    let asks_for_time = |_: &Instruction| Submit::NotSent { cause: "429".into(), retry_after: None, ours: false };
    let world = World::new(sent(Duration::from_secs(400)), slow, None, Some(asks_for_time));
    let (ids, gates) = (Counting::default(), Gates::default());
    let ports = Ports { dice: &PaysAndWaits, ..ports(&world.repository, &world.rails, &gates, &ids) };
    execute_batch(ports, lease(), batch_id()).await.unwrap();
    assert_eq!(world.log.words(), ["commit", "submit", "commit"]);
    let Some(LeaseStep::Again(_, at)) = world.log.changes().pop().unwrap().lease else { panic!("no lease step") };
    assert!(at.since(now()) >= Duration::from_secs(100), "in {:?}", at.since(now()));
}

#[tokio::test]
async fn what_may_arrive_after_the_rail_has_forgotten_its_key_is_not_replayed() {
    // It leaves within ten seconds, and is 1,790 under way at most: 1,800 of the window of 3,600 are left for that.
    for (age, words) in [(1_799, &["ask", "commit", "submit", "commit"][..]), (1_800, &["ask", "commit"])] {
        let mut slow = MockPayoutRail::new();
        let settle_bound = Duration::from_secs(1_790);
        let profile = RailProfile { settle_bound, ..rail_profile("simulator", true) };
        slow.expect_profile().returning(move || profile.clone());
        let world = World::new(sent(Duration::from_secs(age)), slow, Some(cannot_tell), Some(settled));
        world.run().await.unwrap();
        assert_eq!(world.log.words(), words, "after {age} s");
    }
}

#[tokio::test]
async fn what_the_rail_never_had_is_owed_again_and_sent_under_a_new_key_later() {
    let world = World::new(sent(Duration::from_secs(3_601)), rail("simulator", true), Some(absent), None);
    world.run().await.unwrap();
    let change = world.log.changes().pop().unwrap();
    assert_eq!(statuses(&change), ["scheduled", "processing", "absent"]);
    assert_eq!(posted(&change), ["refused"]);
    assert_eq!(item_after(&world).retries, 1);
}

#[tokio::test]
async fn absence_proves_nothing_while_a_call_can_still_be_on_its_way() {
    // It left up to ten seconds after its intent, and travels for ten at most.
    for (age, status) in [(5, "in_doubt"), (19, "in_doubt"), (20, "scheduled")] {
        let mut young = sent(Duration::from_secs(age));
        // No replay any more.
        young.unresolved[0].value.tries = TRIES_MAX;
        let world = World::new(young, rail("simulator", true), Some(absent), None);
        world.run().await.unwrap();
        let change = world.log.changes().pop().unwrap();
        assert_eq!(statuses(&change)[0], status, "after {age} s");
    }
}

#[tokio::test]
async fn who_may_no_longer_be_paid_is_held_and_nothing_is_sent() {
    let mut world = World::new(found(vec![item(0, None)]), rail("simulator", true), None, None);
    world.repository = MockPayoutRepository::new();
    world.repository.expect_batch_for_execution().returning(|_| Ok(Some(found(vec![item(0, None)]))));
    world.repository.expect_policy().returning(|| Ok(None));
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
    let world = World::new(found(vec![held]), rail("simulator", true), None, Some(settled));
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
    world.repository.expect_policy().returning(|| Ok(None));
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
        instruction.value.items[0].wire_ref = item_id(n).digits();
        many.items.push(item);
        many.unresolved.push(instruction);
    }
    let world = World::new(many, rail("simulator", true), Some(found_settled), None);
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
    rail.expect_preflight().returning(|_| Preflight::Ready);
    rail.expect_prepare().returning(|key, orders| {
        if orders[0].item == item_id(0) {
            Err(PrepareError("too long".into()))
        } else {
            Ok(key.to_string().into_bytes())
        }
    });
    let world = World::new(found(vec![item(0, None), item(1, None)]), rail, None, Some(settled));
    world.run().await.unwrap();
    let [intent, answer] = world.log.changes().try_into().unwrap();
    assert_eq!(statuses(&intent), ["pending_kyc", "processing", "processing"]);
    assert_eq!(statuses(&answer), ["paid", "processing", "settled"]);
}

#[tokio::test]
async fn a_large_batch_goes_slice_by_slice() {
    let many = (0..100).map(|n| item(n, None)).collect();
    let world = World::new(found(many), rail("simulator", true), None, Some(settled));
    world.run().await.unwrap();
    assert_eq!(world.log.words().iter().filter(|word| **word == "submit").count(), SLICE_ITEMS_MAX);
    assert_eq!(world.log.changes().pop().unwrap().lease, Some(LeaseStep::Again(lease(), now())));
}

#[tokio::test]
async fn it_is_told_how_large_the_batch_is() {
    let world =
        World::new(found((0..3).map(|n| item(n, None)).collect()), rail("simulator", true), None, Some(settled));
    let (gates, ids, told) = (Gates::default(), Counting::default(), AtomicUsize::new(0));
    let tell = |items| told.store(items, Relaxed);
    let ports = Ports { batch_has: &tell, ..ports(&world.repository, &world.rails, &gates, &ids) };
    execute_batch(ports, lease(), batch_id()).await.unwrap();
    assert_eq!(told.load(Relaxed), 3);
}

#[tokio::test]
async fn an_intent_that_is_not_committed_is_not_sent() {
    for refusal in [CommitError::LeaseLost, CommitError::Stale, CommitError::Unclear("?".into()), down().into()] {
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_for_execution().returning(|_| Ok(Some(found(vec![item(0, None)]))));
        repository.expect_policy().returning(|| Ok(None));
        repository.expect_recipients().returning(|_| Ok(vec![]));
        repository.expect_commit().return_once(move |_| Err(refusal));
        // A rail that must not be called: it expects no submission.
        let world = World { log: Log::default(), repository, rails: rails(rail("simulator", true)) };
        assert!(world.run().await.is_err());
    }
}

/// Seed 4768: they change after the policy was read and before what is sent is.
#[tokio::test]
async fn whoever_moves_within_a_turn_is_not_paid_where_nobody_said_yes_to() {
    let policy = r#"{ "approval": { "rules": [{ "when": "changed_destination", "approvals": 1 }] } }"#;
    let policy = PolicyVersion {
        version: 1,
        spec: serde_json::from_str(policy).unwrap(),
        set_by: "usr_admin".parse().unwrap(),
        set_at: now(),
    };
    let paid = item(0, None);
    let who = recipient(paid.recipient.as_str(), RecipientStatus::Active);
    let known = PaidDestination {
        recipient: paid.recipient.clone(),
        destination: destination_hash(&who.value.destination),
        at: now(),
    };
    let mut moved = who.clone();
    moved.value.destination.details.insert("account".into(), "acct_2".into());
    for (reads, intents) in [(vec![who.clone(), moved], 0), (vec![who.clone(), who], 1)] {
        let mut repository = MockPayoutRepository::new();
        let (paid, policy, known) = (paid.clone(), policy.clone(), known.clone());
        repository.expect_batch_for_execution().returning(move |_| Ok(Some(found(vec![paid.clone()]))));
        repository.expect_policy().returning(move || Ok(Some(policy.clone())));
        repository.expect_paid_destinations().returning(move |_| Ok(vec![known.clone()]));
        let reads = Mutex::new(reads);
        repository.expect_recipients().returning(move |_| Ok(vec![reads.lock().unwrap().remove(0)]));
        let log = Log::default();
        let commits = log.clone();
        repository.expect_commit().returning(move |change| {
            commits.add(Happened::Committed(Box::new(change)));
            Ok(())
        });
        let world = World { log: log.clone(), repository, rails: rails(answering(settled)) };
        world.run().await.unwrap();
        let changes = log.changes();
        let inserted = changes.iter().flat_map(|change| &change.insert);
        assert_eq!(inserted.filter(|new| matches!(new, New::Instruction(_))).count(), intents);
        if intents == 0 {
            // The next turn knows whether anybody must say yes.
            assert_eq!(changes.last().unwrap().lease, Some(LeaseStep::Again(lease(), now())));
        }
    }
}

#[tokio::test]
async fn every_failure_of_the_store_ends_the_turn() {
    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_for_execution().returning(|_| Err(down()));
    let world = World { log: Log::default(), repository, rails: rails(answering(settled)) };
    assert_eq!(world.run().await.unwrap_err().class(), Class::Unavailable);

    let mut repository = MockPayoutRepository::new();
    repository.expect_batch_for_execution().returning(|_| Ok(Some(found(vec![item(0, None)]))));
    repository.expect_policy().returning(|| Ok(None));
    repository.expect_recipients().returning(|_| Err(down()));
    let world = World { log: Log::default(), repository, rails: rails(answering(settled)) };
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
    let world = World { log: Log::default(), repository, rails: rails(answering(settled)) };
    world.run().await.unwrap();

    let world = World::new(found(vec![]), rail("simulator", true), None, None);
    world.run().await.unwrap();
    assert_eq!(world.log.changes(), [Change { lease: Some(LeaseStep::Finish(lease())), ..Change::default() }]);
}
