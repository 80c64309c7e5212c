//! What a rail promises, run on every rail. A rail joins with a [`RailBench`] and a line at the end of this file.

use adapters::{ids::UuidV7, rails::simulator::Simulator};
use app::ports::{
    PayoutRail, SimulatorBook,
    queries::Page,
    rail::{Known, Lookup, Order, Submit},
};
use domain::{
    ids::{BatchId, InstructionId, ItemId},
    instruction::{Instruction, InstructionItem},
    money::Money,
    recipient::Destination,
    timestamp::Timestamp,
};
use serde_json::json;
use std::{future::Future, sync::Arc};
use tempfile::TempDir;
use uuid::Uuid;

/// A rail, and how a test makes it pay or refuse.
trait RailBench {
    /// The rail, as a new process finds it: everything it knows survived.
    fn rail(&self) -> impl Future<Output = Arc<dyn PayoutRail>>;
    /// A destination that is paid.
    fn payable(&self) -> Destination;
    /// A destination that is refused.
    fn refused(&self) -> Destination;
    /// A destination that the rail cannot use, and the pointer of the fault.
    fn unusable(&self) -> (Destination, &'static str);
}

fn order(n: u128, amount_minor: i64, destination: Destination) -> Order {
    let item = ItemId::new(Uuid::from_u128(n));
    Order {
        item,
        wire_ref: item.digits(),
        recipient: format!("rec_{n}").parse().unwrap(),
        amount: Money::new(amount_minor, "USD".parse().unwrap()),
        destination,
    }
}

/// The instruction under the key `n`, as it is stored before it is sent.
fn instruction(rail: &dyn PayoutRail, n: u128, order: &Order) -> Instruction {
    let id = InstructionId::new(Uuid::from_u128(n));
    let body = rail.prepare(id, std::slice::from_ref(order)).unwrap();
    let part =
        InstructionItem { item: order.item, wire_ref: order.wire_ref.clone(), amount_minor: order.amount.amount_minor };
    let batch = BatchId::new(Uuid::from_u128(1));
    let at = Timestamp::from_unix_micros(0);
    Instruction::record(id, batch, rail.profile().id, order.amount.currency, vec![part], 1, body, at)
}

/// What the rail's book says was executed, by key.
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
    assert_eq!(rail.check(&bench.payable()), Ok(()));
    assert_eq!(rail.check(&bench.refused()), Ok(()));
    let (destination, pointer) = bench.unusable();
    assert_eq!(rail.check(&destination).unwrap_err()[0].field, pointer);
}

async fn the_same_instruction_submitted_twice_has_effect_once(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let sent = instruction(&*rail, 7, &order(1, 500, bench.payable()));
    let first = rail.submit(&sent).await;
    assert!(matches!(first, Submit::Settled { .. }), "{first:?}");
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
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(book(&*bench.rail().await).await.len(), 1);
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

async fn what_was_submitted_is_found_with_the_same_outcome(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let paid = instruction(&*rail, 7, &order(1, 500, bench.payable()));
    let refused = instruction(&*rail, 8, &order(2, 500, bench.refused()));
    let never_sent = instruction(&*rail, 9, &order(3, 500, bench.payable()));
    let Submit::Settled { reference } = rail.submit(&paid).await else { panic!("not paid") };
    let Submit::Refused { reason } = rail.submit(&refused).await else { panic!("not refused") };

    let rail = bench.rail().await;
    assert_eq!(rail.query(&paid).await, Lookup::Found(Known::Settled { reference }));
    assert_eq!(rail.query(&refused).await, Lookup::Found(Known::Refused { reason }));
    assert_eq!(rail.query(&never_sent).await, Lookup::Absent);
    assert_eq!(book(&*rail).await.len(), 2, "asking moves no money");
}

async fn what_is_refused_is_never_executed(bench: &impl RailBench) {
    let rail = bench.rail().await;
    let refused = instruction(&*rail, 8, &order(2, 500, bench.refused()));
    rail.submit(&refused).await;
    assert!(book(&*rail).await.iter().all(|(_, executed)| *executed == 0));
}

/// Runs every promise on a rail.
macro_rules! rail_contract {
    ($name:ident: $bench:expr; $($promise:ident)+) => {
        mod $name {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                super::$promise(&$bench).await;
            }
        )+}
    };
}

macro_rules! on_every_rail {
    ($($promises:tt)+) => {
        rail_contract! { simulator: crate::contracts::rails::SimulatorBench::new(); $($promises)+ }
    };
}

on_every_rail! {
    preparing_twice_gives_the_same_bytes
    more_items_than_fit_are_not_put_into_one_instruction
    a_destination_is_checked_before_it_is_stored
    the_same_instruction_submitted_twice_has_effect_once
    submitting_at_the_same_time_has_effect_once
    a_key_that_comes_back_with_another_body_is_never_executed
    what_was_submitted_is_found_with_the_same_outcome
    what_is_refused_is_never_executed
}

struct SimulatorBench(TempDir);

impl SimulatorBench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    async fn open(&self) -> Simulator {
        Simulator::open(&self.0.path().join("simulator.db"), Arc::new(UuidV7)).await.unwrap()
    }
}

fn simulator(details: serde_json::Value) -> Destination {
    Destination { rail: "simulator".parse().unwrap(), details: details.as_object().cloned().unwrap() }
}

impl RailBench for SimulatorBench {
    async fn rail(&self) -> Arc<dyn PayoutRail> {
        Arc::new(self.open().await)
    }
    fn payable(&self) -> Destination {
        simulator(json!({}))
    }
    fn refused(&self) -> Destination {
        simulator(json!({ "outcome": "declined" }))
    }
    fn unusable(&self) -> (Destination, &'static str) {
        (simulator(json!({ "outcome": "maybe" })), "/details/outcome")
    }
}

#[tokio::test]
async fn the_simulator_lists_its_transfers_newest_first_page_by_page() {
    let bench = SimulatorBench::new();
    let simulator = bench.open().await;
    for n in 1..=5 {
        simulator.submit(&instruction(&simulator, n, &order(n, 100, bench.payable()))).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = simulator.transfers(Page { limit: 2, after }).await.unwrap();
        seen.extend(page.data.iter().map(|transfer| transfer.recipient.clone()));
        after = page.data.last().map(|transfer| transfer.id.clone());
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, ["rec_5", "rec_4", "rec_3", "rec_2", "rec_1"]);
}
