//! The stage: one store, one rail, and verbs for what people do.

use crate::contracts::{Bench, Ports};
use app::{
    idempotency::Remembering,
    ledger::check_books::check_books,
    payouts::{
        do_jobs::do_jobs,
        execute_batch,
        explain_item::{ItemExplanation, explain_item},
        pay_carried::{PayCarried, PayCarriedError, pay_carried},
        schedule_payouts::{SchedulePayouts, SchedulePayoutsError, schedule_payouts},
    },
    ports::{
        PayoutRail, Rails,
        queries::BatchDetails,
        rail::{BookEntry, Known, Lookup, Order, PrepareError, RailDown, RailProfile, Submit},
    },
    recipients::{
        register_recipient::{RegisterRecipient, register_recipient},
        show_balance::{CurrencyBalance, show_balance},
    },
    revenue::{
        publish_revenue_model::{PublishRevenueModel, publish_revenue_model},
        reverse_revenue::{ReverseRevenue, ReverseRevenueError, Reversed, reverse_revenue, show_reversal},
        turns::Turns,
    },
};
use async_trait::async_trait;
use domain::{
    batch::Batch,
    calculation::Column,
    ids::{BatchId, InstructionId},
    instruction::Instruction,
    item::{Item, ItemStatus},
    money::Money,
    recipient::{Destination, RecipientStatus},
    revenue_model::ModelStatus,
    tax::TaxProfile,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What a text says.
pub fn read<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// So many days.
pub fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

/// A rail that pays at once, unless it was told to do otherwise for a recipient.
#[derive(Default)]
pub struct Rail(Mutex<Told>);

#[derive(Default)]
struct Told {
    refuses: BTreeSet<String>,
    keeps_silent: BTreeSet<String>,
    /// By key: whom, how much, and whether that is known.
    book: BTreeMap<String, (String, Money)>,
}

impl Rail {
    /// From now on payments to that recipient are refused.
    pub fn refuse(&self, recipient: &str) {
        self.0.lock().unwrap().refuses.insert(recipient.to_owned());
    }
    /// From now on nothing is heard of payments to that recipient, until [`Self::speak`].
    pub fn keep_silent(&self, recipient: &str) {
        self.0.lock().unwrap().keeps_silent.insert(recipient.to_owned());
    }
    /// Says what became of them.
    pub fn speak(&self, recipient: &str) {
        self.0.lock().unwrap().keeps_silent.remove(recipient);
    }
    /// What a recipient got over the rail.
    pub fn paid(&self, recipient: &str) -> i64 {
        let told = self.0.lock().unwrap();
        told.book.values().filter(|(who, _)| who == recipient).map(|(_, money)| money.amount_minor).sum()
    }
}

#[async_trait]
impl PayoutRail for Rail {
    fn profile(&self) -> RailProfile {
        RailProfile {
            id: read("simulator"),
            items_max: 1,
            replay_window: Some(Duration::ZERO),
            settle_bound: Duration::from_secs(1),
            pays_strangers: true,
            granularities: BTreeMap::from([(read("HUF"), 100)]),
        }
    }
    fn check(&self, _: &Destination) -> Result<(), Vec<app::failure::Detail>> {
        Ok(())
    }
    fn prepare(&self, _: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError> {
        Ok(orders[0].recipient.as_str().as_bytes().to_vec())
    }
    async fn submit(&self, instruction: &Instruction) -> Submit {
        let mut told = self.0.lock().unwrap();
        let who = String::from_utf8(instruction.body.clone()).unwrap();
        if told.refuses.contains(&who) {
            let silent = told.keeps_silent.contains(&who);
            return if silent { unknown() } else { Submit::Refused { reason: "account_closed".to_owned() } };
        }
        let amount = instruction.items.iter().map(|part| part.amount_minor).sum();
        told.book.entry(instruction.id.to_string()).or_insert((who.clone(), Money::new(amount, instruction.currency)));
        if told.keeps_silent.contains(&who) { unknown() } else { Submit::Settled { reference: None } }
    }
    async fn query(&self, instruction: &Instruction) -> Lookup {
        let told = self.0.lock().unwrap();
        let who = String::from_utf8(instruction.body.clone()).unwrap();
        if told.keeps_silent.contains(&who) {
            return Lookup::CannotTell { cause: "silence".to_owned() };
        }
        Lookup::Found(if told.book.contains_key(&instruction.id.to_string()) {
            Known::Settled { reference: None }
        } else {
            Known::Refused { reason: "account_closed".to_owned() }
        })
    }
    async fn book(&self, after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown> {
        let told = self.0.lock().unwrap();
        let later = told.book.iter().filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after));
        let entry = |(key, (_, money)): (&String, &(String, Money))| BookEntry {
            key: key.clone(),
            executed: *money,
            cursor: key.clone(),
        };
        Ok(Some(later.take(usize::try_from(limit).unwrap()).map(entry).collect()))
    }
}

fn unknown() -> Submit {
    Submit::Unknown { cause: "silence".to_owned() }
}

/// What is told of a recipient.
#[derive(Clone)]
pub struct Person {
    pub status: RecipientStatus,
    pub tax: Option<Value>,
    pub minimum: Option<(&'static str, i64)>,
}

/// Somebody who is simply paid.
pub const PAID: Person = Person { status: RecipientStatus::Active, tax: None, minimum: None };

/// One store and one rail.
pub struct Stage<'a> {
    bench: &'a dyn Bench,
    pub ports: Ports,
    pub rail: Arc<Rail>,
    rails: Rails,
    ids: adapters::ids::UuidV7,
    turns: Turns,
}

impl<'a> Stage<'a> {
    pub fn new(bench: &'a dyn Bench) -> Self {
        let rail = Arc::new(Rail::default());
        let rails = Rails::new(rail.clone(), []);
        Self { bench, ports: bench.ports(), rail, rails, ids: adapters::ids::UuidV7, turns: Turns::default() }
    }

    /// Stores the model of project `prj_1`, in force from now on.
    pub async fn model(&self, model: Value) {
        let now = self.ports.now().await;
        let ask = PublishRevenueModel {
            project: read("prj_1"),
            spec: serde_json::from_value(model).unwrap(),
            status: ModelStatus::Active,
            effective_from: None,
            effective_to: None,
            version: None,
            requester: read("usr_author"),
        };
        publish_revenue_model(self.ports.repository.as_ref(), &self.ids, now, ask).await.unwrap();
    }

    /// Registers a recipient, or changes one.
    pub async fn register(&self, id: &str, person: Person) {
        let ask = RegisterRecipient {
            id: read(id),
            status: person.status,
            tax: person.tax.map(|tax| serde_json::from_value::<TaxProfile>(tax).unwrap()),
            payout_minimums: person.minimum.into_iter().map(|(code, minor)| (read(code), minor)).collect(),
            destination: Destination::bare(read("simulator")),
        };
        let now = self.ports.now().await;
        register_recipient(self.ports.repository.as_ref(), &self.rails, &self.ids, now, ask).await.unwrap();
    }

    /// Releases an escrow of the project.
    pub async fn release(&self, escrow: &str, amount: i64, currency: &str) -> Batch {
        self.try_release(escrow, amount, currency).await.unwrap()
    }
    pub async fn try_release(&self, escrow: &str, amount: i64, currency: &str) -> Result<Batch, SchedulePayoutsError> {
        let ask = SchedulePayouts {
            escrow: read(escrow),
            project: read("prj_1"),
            milestone: None,
            amount: Money::new(amount, read(currency)),
            as_of: None,
            execute_at: None,
            deductions: Vec::new(),
            requester: read("usr_escrow"),
        };
        let now = self.ports.now().await;
        let repository = self.ports.repository.as_ref();
        schedule_payouts(repository, &self.rails, &self.ids, &self.turns, now, ask, &Remembering::nothing()).await
    }

    /// Does every job that is due, and those that follow from them.
    pub async fn work(&self) {
        for _ in 0..200 {
            let ports = execute_batch::Ports {
                repository: self.ports.repository.as_ref(),
                rails: &self.rails,
                ids: &self.ids,
                clock: self.ports.clock.as_ref(),
            };
            let lease = Duration::from_secs(60);
            if do_jobs(ports, self.ports.jobs.as_ref(), 100, lease).await.unwrap() == 0 {
                return;
            }
        }
        panic!("the work never ends");
    }

    /// Lets time pass, and does what becomes due.
    pub async fn pass(&self, time: Duration) {
        self.bench.pass(time).await;
        self.work().await;
    }

    /// Takes back a part of a release.
    pub async fn reverse(&self, id: &str, escrow: &str, amount: i64) -> Reversed {
        self.try_reverse(id, escrow, amount, "split_ratio").await.unwrap()
    }
    pub async fn try_reverse(
        &self,
        id: &str,
        escrow: &str,
        amount_minor: i64,
        strategy: &str,
    ) -> Result<Reversed, ReverseRevenueError> {
        let ask = ReverseRevenue {
            id: read(id),
            escrow: read(escrow),
            amount_minor,
            currency: None,
            strategy: read(strategy),
            reason: None,
            requester: read("usr_support"),
        };
        let now = self.ports.now().await;
        reverse_revenue(self.ports.repository.as_ref(), &self.ids, now, ask, &Remembering::nothing()).await
    }
    pub async fn reversal(&self, id: &str) -> Reversed {
        show_reversal(self.ports.repository.as_ref(), &read(id)).await.unwrap().expect("it was booked")
    }

    /// Pays what is carried, whatever the minimum.
    pub async fn pay_carried(&self, recipient: &str, currency: &str) -> Result<Batch, PayCarriedError> {
        let ask = PayCarried { recipient: read(recipient), currency: read(currency), requester: read("usr_operator") };
        let now = self.ports.now().await;
        let repository = self.ports.repository.as_ref();
        pay_carried(repository, &self.rails, &self.ids, now, ask, &Remembering::nothing()).await
    }

    pub async fn batch(&self, id: BatchId) -> BatchDetails {
        self.ports.queries.batch(id).await.unwrap().expect("the batch exists")
    }
    /// The item of a recipient in a batch.
    pub async fn item(&self, batch: &Batch, recipient: &str) -> Item {
        let items = self.batch(batch.id).await.items;
        items.into_iter().find(|item| item.recipient.as_str() == recipient).expect("they have an item")
    }
    pub async fn status(&self, batch: &Batch, recipient: &str) -> ItemStatus {
        self.item(batch, recipient).await.status()
    }

    /// `payable held carried debt` of a recipient in USD.
    pub async fn balance(&self, recipient: &str) -> [i64; 4] {
        let balance = self.balance_in(recipient, "USD").await;
        let CurrencyBalance { payable_minor, held_minor, carried_minor, debt_minor, entries, .. } = &balance;
        for (kind, sum) in
            [("payable", payable_minor), ("held", held_minor), ("carried", carried_minor), ("debt", debt_minor)]
        {
            let parts = entries.iter().filter(|entry| entry.kind.as_str() == kind);
            let parts: i64 = parts.map(|entry| entry.amount_minor).sum();
            assert_eq!(parts, *sum, "every part of what is {kind} has its reason: {entries:?}");
        }
        [*payable_minor, *held_minor, *carried_minor, *debt_minor]
    }
    pub async fn balance_in(&self, recipient: &str, currency: &str) -> CurrencyBalance {
        let ports = &self.ports;
        let balance = show_balance(ports.repository.as_ref(), ports.queries.as_ref(), read(recipient)).await.unwrap();
        let blank = CurrencyBalance {
            currency: read(currency),
            payable_minor: 0,
            held_minor: 0,
            carried_minor: 0,
            debt_minor: 0,
            entries: Vec::new(),
        };
        balance.currencies.into_iter().find(|balance| balance.currency == read(currency)).unwrap_or(blank)
    }

    /// Why an item is what it is; the explanation sums to what was booked.
    pub async fn explain(&self, batch: &Batch, recipient: &str) -> ItemExplanation {
        let item = self.item(batch, recipient).await;
        let ports = &self.ports;
        let explained = explain_item(ports.repository.as_ref(), ports.queries.as_ref(), item.id).await.unwrap();
        let sum = |column: Column| -> i64 {
            let ours = explained.lines.iter().filter(|line| line.recipient.is_some() && line.column == column);
            ours.map(|line| line.value).sum()
        };
        assert_eq!((sum(Column::Gross), sum(Column::PlatformFee)), (item.amount_minor, item.fee_minor));
        assert_eq!((sum(Column::TaxWithheld), sum(Column::Net)), (item.tax_minor, item.net_minor));
        assert_eq!(sum(Column::Payable) + sum(Column::Held), item.payable_minor);
        explained
    }

    /// The ledger, the items, the counters and the rail say the same.
    pub async fn assert_balanced(&self) {
        let trial = check_books(self.ports.queries.as_ref(), &self.rails).await.unwrap();
        let wrong: Vec<_> = trial.checks.iter().filter(|check| !check.is_ok()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{:#?}", trial.balances);
    }
}

/// A model that shares by percent, with a fee of five percent.
pub fn shares(lines: &[(&str, u64)]) -> Value {
    let line = |(who, percent): &(&str, u64)| serde_json::json!({ "recipientId": who, "percent": percent.to_string() });
    let lines: Vec<Value> = lines.iter().map(line).collect();
    serde_json::json!({ "platformFee": { "ratePpm": 50_000 }, "steps": [{ "type": "share", "lines": lines }] })
}
