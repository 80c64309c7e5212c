//! What a rail promises, run on every rail. A rail joins with a [`RailBench`] and a line at the end of this file.

mod served;
mod simulator;
mod stripe;

use app::ports::{
    PayoutRail,
    rail::{Inbound, IngestError, Lookup, Order, Preflight, RailEvent, Recall, Seen, Submit},
};
use domain::{
    ids::{BatchId, InstructionId, ItemId},
    instruction::{Instruction, InstructionItem},
    money::Money,
    recipient::Destination,
    timestamp::Timestamp,
};
use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};
use uuid::Uuid;

/// A rail, and how a test makes it do what it can.
trait RailBench {
    /// The rail, as a new process finds it: everything it knows survived.
    fn rail(&self) -> impl Future<Output = Arc<dyn PayoutRail>>;
    /// A destination that is paid at once.
    fn payable(&self) -> Destination;
    /// A destination that is refused.
    fn refused(&self) -> Destination;
    /// A destination that the rail cannot use, and the pointer of the fault.
    fn unusable(&self) -> (Destination, &'static str);
    /// A destination that is paid a minute later, and the rail tells it by itself.
    fn paid_later(&self) -> Destination;
    /// A destination whose owner must act first.
    fn must_act(&self) -> Destination;
    /// Lets time pass at the rail.
    fn pass(&self, by: Duration) -> impl Future<Output = ()>;
    /// Whether a call may be told that another one under its key is still under way.
    fn may_be_busy(&self) -> bool {
        false
    }
    /// What the rail told by itself since it was last looked at, as soon as it is so many messages.
    fn told(&self, messages: usize) -> impl Future<Output = Vec<Inbound>>;
}

/// More than `paid_later` takes.
const LATER: Duration = Duration::from_secs(61);

fn order(n: u128, amount_minor: i64, destination: Destination) -> Order {
    let item = ItemId::new(Uuid::from_u128(n));
    Order {
        item,
        wire_ref: ItemId::new(Uuid::from_u128(n + 1_000)).digits(),
        recipient: format!("rec_{n}").parse().unwrap(),
        amount: Money::new(amount_minor, "USD".parse().unwrap()),
        destination,
    }
}

/// The instruction under the key `n`, as it is stored before it is sent.
fn instruction(rail: &dyn PayoutRail, n: u128, order: &Order) -> Instruction {
    let id = InstructionId::new(Uuid::from_u128(n));
    let body = rail.prepare(id, std::slice::from_ref(order)).unwrap();
    let part = InstructionItem::new(order.item, order.wire_ref.clone(), order.amount.amount_minor, [0; 32]);
    let batch = BatchId::new(Uuid::from_u128(1));
    let at = Timestamp::from_unix_micros(0);
    Instruction::record(id, batch, rail.profile().id, order.amount.currency, vec![part], 1, body, at)
}

/// What the rail's book says was executed and did not come back, by key.
async fn book(rail: &dyn PayoutRail) -> Vec<(String, i64)> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        // Pages of one: the cursor is what is tested.
        let page = rail.book(after, 1).await.unwrap().unwrap();
        let Some(entry) = page.into_iter().next() else { return all };
        after = Some(entry.cursor);
        all.push((entry.key, entry.executed.amount_minor));
    }
}

/// Everything the rail says it was asked to do, oldest first.
async fn listed(rail: &dyn PayoutRail, since: Timestamp) -> Vec<RailEvent> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = rail.list(since, cursor).await.unwrap();
        all.extend(page.events);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

fn words(events: &[RailEvent]) -> Vec<&'static str> {
    events.iter().map(|event| event.what.as_str()).collect()
}

fn names(events: &[RailEvent]) -> Vec<&str> {
    events.iter().map(|event| event.dedupe.as_str()).collect()
}

/// Without the words that it was said in: the same saying stands in other words in an answer than in a list.
fn said(events: &[RailEvent]) -> Vec<RailEvent> {
    events.iter().map(|event| RailEvent { evidence: [0; 32], ..event.clone() }).collect()
}

/// What it says of an instruction that it has.
async fn asked(rail: &dyn PayoutRail, instruction: &Instruction) -> Vec<RailEvent> {
    match rail.query(instruction).await {
        Lookup::Found(events) => events,
        other => panic!("it has it, and says {other:?}"),
    }
}

async fn accepted(rail: &dyn PayoutRail, instruction: &Instruction) -> Vec<RailEvent> {
    match rail.submit(instruction).await {
        Submit::Accepted { seen, .. } => seen,
        other => panic!("it is accepted, and not {other:?}"),
    }
}

async fn preparing_twice_gives_the_same_bytes(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let order = order(1, 500, bench.payable());
    assert_eq!(instruction(&*rail, 7, &order).body, instruction(&*bench.rail().await, 7, &order).body);
}

async fn more_items_than_fit_are_not_put_into_one_instruction(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let key = InstructionId::new(Uuid::from_u128(7));
    let too_many = u128::from(rail.profile().items_max) + 1;
    let orders: Vec<Order> = (0..too_many).map(|n| order(n, 1, bench.payable())).collect();
    assert!(rail.prepare(key, &orders).is_err());
    assert!(rail.prepare(key, &[]).is_err());
}

async fn a_destination_is_checked_before_it_is_stored(bench: &impl RailBench) {
    let rail = bench.rail().await;
    for usable in [bench.payable(), bench.refused(), bench.paid_later(), bench.must_act()] {
        assert_eq!(rail.check(&usable), Ok(()));
    }
    let (destination, pointer) = bench.unusable();
    assert_eq!(rail.check(&destination).unwrap_err()[0].field, pointer);
}

async fn the_same_instruction_submitted_twice_has_effect_once(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let sent = instruction(&*rail, 7, &order(1, 500, bench.payable()));
    let first = rail.submit(&sent).await;
    let Submit::Accepted { seen, .. } = &first else { panic!("not accepted: {first:?}") };
    assert_eq!(words(seen), ["settled"]);
    // Again, by a process that knows nothing of the first call.
    assert_eq!(bench.rail().await.submit(&sent).await, first);
    assert_eq!(book(&*rail).await, [(sent.id.to_string(), 500)]);
}

async fn submitting_at_the_same_time_has_effect_once(bench: &impl RailBench) {
    let sent = instruction(&*bench.rail().await, 7, &order(1, 500, bench.payable()));
    let mut calls = Vec::new();
    for _ in 0..16 {
        let (rail, sent) = (bench.rail().await, sent.clone());
        calls.push(tokio::spawn(async move { rail.submit(&sent).await }));
    }
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    // Who met another is in doubt, which is no answer; and somebody met nobody.
    answers.retain(|answer| !bench.may_be_busy() || !matches!(answer, Submit::Unknown { .. }));
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(matches!(answers[0], Submit::Accepted { .. }), "{answers:?}");
    assert_eq!(book(&*bench.rail().await).await.len(), 1);
}

async fn many_at_the_same_time_are_all_paid_once(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let sent: Vec<Instruction> = (1..=200).map(|n| instruction(&*rail, n, &order(n, 500, bench.payable()))).collect();
    let calls = sent.iter().cycle().take(400).cloned().map(|sent| {
        let rail = rail.clone();
        tokio::spawn(async move { (sent.id, rail.submit(&sent).await) })
    });
    let mut answered = BTreeSet::new();
    for call in calls.collect::<Vec<_>>() {
        let (key, answer) = call.await.unwrap();
        match answer {
            Submit::Accepted { .. } => _ = answered.insert(key),
            Submit::Unknown { .. } if bench.may_be_busy() => {}
            other => panic!("{key}: {other:?}"),
        }
    }
    assert_eq!(answered.len(), 200, "somebody of each two is answered");
    let mut keys: Vec<String> = book(&*rail).await.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    let mut expected: Vec<String> = sent.iter().map(|sent| sent.id.to_string()).collect();
    expected.sort();
    assert_eq!(keys, expected);
    assert_eq!(listed(&*rail, Timestamp::MIN).await.len(), 200);
}

async fn a_key_that_comes_back_with_another_body_is_never_executed(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let sent = instruction(&*rail, 7, &order(1, 500, bench.payable()));
    rail.submit(&sent).await;
    let other = instruction(&*rail, 7, &order(1, 501, bench.payable()));
    // What was executed under the key is not known to the caller: that is doubt, not a refusal.
    assert!(matches!(rail.submit(&other).await, Submit::Unknown { .. }));
    assert_eq!(book(&*rail).await, [(sent.id.to_string(), 500)]);
}

async fn what_was_executed_is_found_with_the_same_outcome(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let paid = instruction(&*rail, 7, &order(1, 500, bench.payable()));
    let never_sent = instruction(&*rail, 9, &order(3, 500, bench.payable()));
    let seen = accepted(&*rail, &paid).await;

    let rail = bench.rail().await;
    assert_eq!(said(&asked(&*rail, &paid).await), said(&seen));
    assert_eq!(rail.query(&never_sent).await, Lookup::ProvenAbsent);
    assert_eq!(book(&*rail).await, [(paid.id.to_string(), 500)], "asking moves no money");
}

async fn what_was_refused_is_found_with_the_same_outcome(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let refused = instruction(&*rail, 8, &order(2, 500, bench.refused()));
    let Submit::Refused { reason, class } = rail.submit(&refused).await else { panic!("not refused") };

    let rail = bench.rail().await;
    let said = asked(&*rail, &refused).await;
    assert_eq!(said.last().map(|event| event.what.clone()), Some(Seen::Rejected { reason, class }));
    assert_eq!(book(&*rail).await, [(refused.id.to_string(), 0)], "asking moves no money");
}

async fn what_was_executed_is_listed_under_the_same_names(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let mut known = Vec::new();
    for n in 1..=3 {
        let sent = instruction(&*rail, n, &order(n, 500, bench.payable()));
        accepted(&*rail, &sent).await;
        known.extend(said(&asked(&*rail, &sent).await));
    }
    assert_eq!(said(&listed(&*rail, Timestamp::MIN).await), known);
    let last_at = known.last().unwrap().occurred_at.unwrap();
    let since: Vec<RailEvent> = known.iter().filter(|event| event.occurred_at >= Some(last_at)).cloned().collect();
    assert_eq!(said(&listed(&*rail, last_at).await), since, "what was said before is left out");
    // Some count in seconds.
    assert_eq!(listed(&*rail, last_at.after(Duration::from_secs(1))).await, []);
}

async fn what_was_submitted_is_listed_under_the_same_names(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let sent = [
        instruction(&*rail, 7, &order(1, 500, bench.payable())),
        instruction(&*rail, 8, &order(2, 500, bench.refused())),
        instruction(&*rail, 9, &order(3, 500, bench.paid_later())),
    ];
    let mut said = Vec::new();
    for sent in &sent {
        rail.submit(sent).await;
        said.extend(asked(&*rail, sent).await);
    }
    assert_eq!(listed(&*rail, Timestamp::MIN).await, said);
    bench.pass(LATER).await;
    let now = listed(&*rail, Timestamp::MIN).await;
    assert_eq!(now[..said.len()], said, "what was said stays said");
    assert_eq!(words(&now[said.len()..]), ["settled"]);
    let settled_at = now.last().unwrap().occurred_at.unwrap();
    assert_eq!(listed(&*rail, settled_at).await, now[said.len()..], "what was said before is left out");
    assert_eq!(listed(&*rail, settled_at.after(Duration::from_micros(1))).await, []);
}

async fn every_saying_is_about_the_payment_and_names_its_amount(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let order = order(1, 500, bench.payable());
    let seen = accepted(&*rail, &instruction(&*rail, 7, &order)).await;
    for event in seen {
        assert_eq!(event.about, app::ports::rail::About::Item(order.wire_ref.clone()));
        assert_eq!(event.amount, Some(order.amount));
        assert!(!event.dedupe.is_empty());
    }
}

async fn what_is_refused_is_never_executed(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let refused = instruction(&*rail, 8, &order(2, 500, bench.refused()));
    let first = rail.submit(&refused).await;
    assert!(matches!(first, Submit::Refused { .. }), "{first:?}");
    bench.pass(LATER).await;
    assert_eq!(rail.submit(&refused).await, first, "not under this key");
    assert!(book(&*rail).await.iter().all(|(_, executed)| *executed == 0));
}

async fn what_was_executed_is_never_said_not_to_be(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let paid = instruction(&*rail, 7, &order(1, 500, bench.payable()));
    accepted(&*rail, &paid).await;
    for _ in 0..3 {
        assert!(!matches!(rail.submit(&paid).await, Submit::Refused { .. } | Submit::NotSent { .. }));
        assert!(matches!(rail.recall(&paid, &[paid.items[0].item]).await, Recall::Refused { .. }));
        let said = asked(&*rail, &paid).await;
        assert!(words(&said).contains(&"settled"));
        assert!(said.iter().all(|event| !matches!(event.what, Seen::Rejected { .. } | Seen::Recalled)));
        bench.pass(LATER).await;
    }
    assert_eq!(book(&*rail).await, [(paid.id.to_string(), 500)]);
}

async fn what_is_taken_is_executed_later_and_told(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let sent = instruction(&*rail, 7, &order(1, 500, bench.paid_later()));
    assert_eq!(words(&accepted(&*rail, &sent).await), ["accepted"]);
    assert_eq!(book(&*rail).await, [(sent.id.to_string(), 0)]);
    bench.pass(LATER).await;
    let said = asked(&*rail, &sent).await;
    assert_eq!(words(&said), ["accepted", "settled"]);
    assert_eq!(book(&*rail).await, [(sent.id.to_string(), 500)]);
    let told = bench.told(1).await;
    let told = rail.ingest(&told[0]).unwrap();
    assert_eq!(told, said[1..], "told and asked, it is the same saying");
}

async fn what_is_recalled_is_never_executed(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let sent = instruction(&*rail, 7, &order(1, 500, bench.paid_later()));
    accepted(&*rail, &sent).await;
    let items = [sent.items[0].item];
    assert_eq!(rail.recall(&sent, &items).await, Recall::Recalled);
    assert_eq!(bench.rail().await.recall(&sent, &items).await, Recall::Recalled, "asking again changes nothing");
    bench.pass(LATER).await;
    assert_eq!(words(&asked(&*rail, &sent).await), ["accepted", "recalled"]);
    assert!(!matches!(rail.submit(&sent).await, Submit::Unknown { .. }));
    assert_eq!(words(&asked(&*rail, &sent).await), ["accepted", "recalled"]);
    assert_eq!(book(&*rail).await, [(sent.id.to_string(), 0)]);
}

async fn what_never_came_or_is_not_in_it_cannot_be_recalled(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let sent = instruction(&*rail, 7, &order(1, 500, bench.paid_later()));
    // It may still come.
    assert!(matches!(rail.recall(&sent, &[sent.items[0].item]).await, Recall::Refused { .. }));
    let taken = said(&accepted(&*rail, &sent).await);
    assert!(matches!(rail.recall(&sent, &[]).await, Recall::Refused { .. }));
    assert!(matches!(rail.recall(&sent, &[ItemId::new(Uuid::from_u128(99))]).await, Recall::Refused { .. }));
    assert_eq!(said(&asked(&*rail, &sent).await), taken, "nothing came of it");
}

async fn a_message_that_comes_twice_says_the_same(bench: &impl RailBench) {
    let rail = bench.rail().await;
    accepted(&*rail, &instruction(&*rail, 7, &order(1, 500, bench.paid_later()))).await;
    bench.pass(LATER).await;
    let told = bench.told(1).await;
    let first = rail.ingest(&told[0]).unwrap();
    assert_eq!(words(&first), ["settled"]);
    assert_eq!(names(&rail.ingest(&told[0]).unwrap()), names(&first));
    assert_eq!(names(&bench.rail().await.ingest(&told[0]).unwrap()), names(&first));
}

async fn a_message_that_the_rail_did_not_sign_says_nothing(bench: &impl RailBench) {
    let rail = bench.rail().await;
    accepted(&*rail, &instruction(&*rail, 7, &order(1, 500, bench.paid_later()))).await;
    bench.pass(LATER).await;
    let told = bench.told(1).await.remove(0);
    assert!(rail.ingest(&told).is_ok());
    let is_forged = |message: &Inbound| matches!(rail.ingest(message), Err(IngestError::Forged(_)));
    for place in 0..told.body.len() {
        let mut other = told.clone();
        other.body[place] ^= 1;
        assert!(is_forged(&other), "byte {place}");
    }
    assert!(is_forged(&Inbound { headers: Vec::new(), ..told.clone() }));
    let doubled = [told.headers.clone(), told.headers.clone()].concat();
    assert!(is_forged(&Inbound { headers: doubled, ..told.clone() }));
    assert!(is_forged(&Inbound { received_at: told.received_at.after(Duration::from_secs(3_600)), ..told }));
}

async fn whoever_must_act_first_is_known_before_anything_is_sent(bench: &impl RailBench) {
    let rail = bench.rail().await;
    assert_eq!(rail.preflight(&bench.payable()).await, Preflight::Ready);
    let Preflight::MustAct { reason } = rail.preflight(&bench.must_act()).await else { panic!("they must act") };
    assert_eq!(book(&*rail).await, [], "looking moves no money");
    // And if it is sent all the same, nothing is executed.
    let sent = instruction(&*rail, 7, &order(1, 500, bench.must_act()));
    let refused = Submit::Refused { reason, class: app::ports::rail::Class::Hold };
    assert_eq!(rail.submit(&sent).await, refused);
    assert!(book(&*rail).await.iter().all(|(_, executed)| *executed == 0));
}

/// Longer than any promise takes: what takes longer waits for what never comes.
const HANGS: Duration = Duration::from_secs(120);

/// Runs every promise on a rail.
macro_rules! rail_contract {
    ($name:ident: $bench:expr; $($promise:ident)+) => {
        mod $name {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                let bench = $bench.await;
                let kept = super::$promise(&bench);
                tokio::time::timeout(super::HANGS, kept).await.expect("it comes to an end");
            }
        )+}
    };
}

macro_rules! on_every_rail {
    ($($promises:tt)+) => {
        rail_contract! { simulator_in_process: crate::contracts::rails::simulator::in_process(); $($promises)+ }
        rail_contract! { simulator_over_http: crate::contracts::rails::simulator::over_http(); $($promises)+ }
    };
}

on_every_rail! {
    preparing_twice_gives_the_same_bytes
    more_items_than_fit_are_not_put_into_one_instruction
    a_destination_is_checked_before_it_is_stored
    the_same_instruction_submitted_twice_has_effect_once
    submitting_at_the_same_time_has_effect_once
    many_at_the_same_time_are_all_paid_once
    a_key_that_comes_back_with_another_body_is_never_executed
    what_was_executed_is_found_with_the_same_outcome
    what_was_refused_is_found_with_the_same_outcome
    what_was_executed_is_listed_under_the_same_names
    what_was_submitted_is_listed_under_the_same_names
    every_saying_is_about_the_payment_and_names_its_amount
    what_is_refused_is_never_executed
    what_was_executed_is_never_said_not_to_be
    what_is_taken_is_executed_later_and_told
    what_is_recalled_is_never_executed
    what_never_came_or_is_not_in_it_cannot_be_recalled
    a_message_that_comes_twice_says_the_same
    a_message_that_the_rail_did_not_sign_says_nothing
    whoever_must_act_first_is_known_before_anything_is_sent
}

// What a rail promises that pays at once or not at all. Four are left out, for there is nothing at Stripe that they are
// about:
// * `what_was_refused_is_found_with_the_same_outcome`: it keeps no transfer that it refused, so whoever asks finds none;
//   what it said to the call is said again under the key (`what_is_refused_is_never_executed`);
// * `what_was_submitted_is_listed_under_the_same_names`: the part of it that is about refusals, and about what is paid
//   later; what was executed is listed, as everywhere;
// * `what_is_taken_is_executed_later_and_told`: nothing is taken and executed later; and what it tells by itself goes by
//   the name of the message, not by that of the answer, so that the same saying comes under two names
//   (`messages` of `tests/stripe`; ranks make that do no harm);
// * `what_is_recalled_is_never_executed`: nothing is ever recalled.
rail_contract! { stripe_connect: crate::contracts::rails::stripe::bench();
    preparing_twice_gives_the_same_bytes
    more_items_than_fit_are_not_put_into_one_instruction
    a_destination_is_checked_before_it_is_stored
    the_same_instruction_submitted_twice_has_effect_once
    submitting_at_the_same_time_has_effect_once
    many_at_the_same_time_are_all_paid_once
    a_key_that_comes_back_with_another_body_is_never_executed
    what_was_executed_is_found_with_the_same_outcome
    what_was_executed_is_listed_under_the_same_names
    every_saying_is_about_the_payment_and_names_its_amount
    what_is_refused_is_never_executed
    what_was_executed_is_never_said_not_to_be
    what_never_came_or_is_not_in_it_cannot_be_recalled
    a_message_that_comes_twice_says_the_same
    a_message_that_the_rail_did_not_sign_says_nothing
    whoever_must_act_first_is_known_before_anything_is_sent
}
