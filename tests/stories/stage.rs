//! The stage: one store, one rail, and verbs for what people do.

use super::rail::Rail;
use crate::contracts::{Bench, Ports};
use app::{
    change::Resolved,
    idempotency::Remembering,
    ledger::check_books::check_books,
    payouts::{
        act::{ActError, Acted, Acting, Action, act},
        approve_batch::{ApproveBatch, ApproveBatchError, approve_batch},
        do_jobs::do_jobs,
        execute_batch,
        explain_item::{ItemExplanation, explain_item},
        gate::Gates,
        pay_carried::{PayCarried, PayCarriedError, pay_carried},
        receive_notification::{Ears, Heard, ReceiveError, receive_notification},
        resolve_item::{ResolveItem, ResolveItemError, ResolvedItem, resolve_item},
        schedule_payouts::{SchedulePayouts, SchedulePayoutsError, schedule_payouts},
        set_policy::set_policy,
    },
    ports::{
        Dice, Rails,
        queries::{AuditFilter, BatchDetails, Page, TransactionFilter},
        rail::Inbound,
    },
    recipients::{
        register_recipient::{RegisterRecipient, register_recipient},
        show_balance::{CurrencyBalance, show_balance},
    },
    revenue::{
        needs::Needs,
        publish_revenue_model::{PublishRevenueModel, publish_revenue_model},
        reverse_revenue::{ReverseRevenue, ReverseRevenueError, Reversed, reverse_revenue, show_reversal},
        turns::Turns,
    },
};
use domain::{
    audit::{Actor, AuditEntry},
    batch::Batch,
    calculation::Column,
    event::EventKind,
    ids::{BatchId, ItemId, Requester},
    item::{Item, ItemStatus},
    money::Money,
    recipient::{Destination, RecipientStatus},
    revenue_model::ModelStatus,
    tax::TaxProfile,
};
use serde_json::Value;
use std::{str::FromStr, sync::Arc, time::Duration};

/// What a text says.
pub fn read<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// So many days.
pub fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
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

/// Chance that is the same on every store: the middle of what is possible.
struct Middle;

impl Dice for Middle {
    fn below(&self, bound: u64) -> u64 {
        bound / 2
    }
}

/// One store and one rail.
pub struct Stage<'a> {
    bench: &'a dyn Bench,
    pub ports: Ports,
    pub rail: Arc<Rail>,
    rails: Rails,
    gates: Gates,
    jobs_at_once: u32,
    ids: adapters::ids::UuidV7,
    turns: Turns,
    needs: Needs,
}

impl<'a> Stage<'a> {
    pub fn new(bench: &'a dyn Bench) -> Self {
        let ports = bench.ports();
        let rail = Arc::new(Rail::new(ports.clock.clone()));
        let rails = Rails::new(rail.clone(), []);
        let (gates, turns, needs) = (Gates::default(), Turns::default(), Needs::default());
        Self { bench, ports, rail, rails, gates, jobs_at_once: 100, ids: adapters::ids::UuidV7, turns, needs }
    }
    /// A stage on which jobs are done one after the other, each as if by a process of its own: how the rail did under one
    /// decides nothing about the next.
    pub fn one_by_one(bench: &'a dyn Bench) -> Self {
        Self { jobs_at_once: 1, ..Self::new(bench) }
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
            actor: Actor::of(&read("usr_author")),
        };
        publish_revenue_model(self.ports.repository.as_ref(), &self.ids, now, ask).await.unwrap();
    }

    /// Registers a recipient, or changes one.
    pub async fn register(&self, id: &str, person: Person) {
        let ask = RegisterRecipient {
            id: read(id),
            status: Some(person.status),
            tax: person.tax.map(|tax| serde_json::from_value::<TaxProfile>(tax).unwrap()),
            payout_minimums: person.minimum.into_iter().map(|(code, minor)| (read(code), minor)).collect(),
            destination: Some(Destination::bare(read("simulator"))),
            actor: Actor::of(&read("usr_clerk")),
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
            actor: Actor::of(&read("usr_escrow")),
        };
        let repository = self.ports.repository.as_ref();
        let Self { rails, ids, turns, needs, .. } = self;
        schedule_payouts(repository, rails, ids, turns, needs, ask, &Remembering::nothing()).await
    }

    /// Does every job that is due, and those that follow from them.
    pub async fn work(&self) {
        for _ in 0..2_000 {
            let fresh = Gates::default();
            let ports = execute_batch::Ports {
                repository: self.ports.repository.as_ref(),
                rails: &self.rails,
                gates: if self.jobs_at_once == 1 { &fresh } else { &self.gates },
                ids: &self.ids,
                dice: &Middle,
                clock: self.ports.clock.as_ref(),
                lease_ends: Duration::ZERO,
                batch_has: &|_| {},
            };
            let lease = Duration::from_secs(60);
            if do_jobs(ports, self.ports.jobs.as_ref(), self.jobs_at_once, lease).await.unwrap() == 0 {
                return;
            }
        }
        panic!("the work never ends");
    }

    // --- what people do ---------------------------------------------------------------------------------------

    /// Somebody acts.
    pub async fn act(&self, who: &str, action: Action) -> Result<Acted, ActError> {
        let actor = self.actor(who);
        act(self.acting(&actor).await, action, &Remembering::nothing()).await
    }
    /// Somebody says yes to a batch.
    pub async fn approve(&self, who: &str, batch: &Batch) -> Result<Acted, ApproveBatchError> {
        let actor = self.actor(who);
        let ask = ApproveBatch { batch: batch.id, hash: None, approver: read(who) };
        approve_batch(self.acting(&actor).await, ask, &Remembering::nothing()).await
    }
    /// Somebody says what became of an item.
    pub async fn resolve(&self, who: &str, item: ItemId, outcome: Resolved) -> Result<ResolvedItem, ResolveItemError> {
        let actor = self.actor(who);
        let requester: Requester = read(who);
        let ask = ResolveItem { item, outcome, evidence: "statement 7".to_owned(), requester };
        resolve_item(self.acting(&actor).await, ask, &Remembering::nothing()).await
    }
    /// Sets the policy.
    pub async fn policy(&self, policy: Value) {
        let actor = self.actor("usr_admin");
        let spec = serde_json::from_value(policy).unwrap();
        set_policy(self.acting(&actor).await, spec, read("usr_admin")).await.unwrap();
    }
    fn actor(&self, who: &str) -> Actor {
        Actor { role: Some("operator".to_owned()), ..Actor::of(&read(who)) }
    }
    async fn acting<'b>(&'b self, actor: &'b Actor) -> Acting<'b> {
        Acting {
            repository: self.ports.repository.as_ref(),
            rails: &self.rails,
            ids: &self.ids,
            dice: &Middle,
            actor,
            now: self.ports.now().await,
        }
    }

    // --- what the rail tells by itself ------------------------------------------------------------------------

    /// The rail sends a message.
    pub async fn hear(&self, body: &str) -> Result<Heard, ReceiveError> {
        let message =
            Inbound { headers: Vec::new(), body: body.as_bytes().to_vec(), received_at: self.ports.now().await };
        let ears =
            Ears { repository: self.ports.repository.as_ref(), rails: &self.rails, ids: &self.ids, dice: &Middle };
        receive_notification(ears, &read("simulator"), message).await
    }
    /// The name under which the item's instruction of that generation was ordered.
    pub async fn wire_ref(&self, item: ItemId, generation: u32) -> String {
        let details = self.ports.queries.item(item).await.unwrap().expect("the item exists");
        let found = details.instructions.iter().find(|instruction| instruction.generation == generation);
        found.expect("it was sent so often").items[0].wire_ref.clone()
    }

    // --- what one can see of it -------------------------------------------------------------------------------

    /// The audit log about something, oldest first: who did what.
    pub async fn audit(&self, subject: &str) -> Vec<String> {
        let filter = AuditFilter { subject: Some(subject.to_owned()), ..AuditFilter::default() };
        let page = self.ports.queries.audit(filter, Page { limit: 100, after: None }).await.unwrap();
        let line = |entry: &AuditEntry| format!("{} {}", entry.actor.name, entry.action);
        page.data.iter().rev().map(line).collect()
    }
    /// The kinds of what was posted about an item, oldest first.
    pub async fn posted(&self, item: &Item) -> Vec<&'static str> {
        let filter = TransactionFilter { batch: Some(item.batch), account: None };
        let page = self.ports.queries.transactions(filter, Page { limit: 100, after: None }).await.unwrap();
        let ours = page.data.iter().rev().filter(|posted| posted.about().item == Some(item.id));
        ours.map(|posted| posted.kind().as_str()).collect()
    }
    /// The codes of the alarms so far.
    pub async fn alarms(&self) -> Vec<String> {
        let mut alarms = Vec::new();
        loop {
            let events = self.ports.outbox.unpublished(1_000, Duration::from_secs(1)).await.unwrap();
            if events.is_empty() {
                return alarms;
            }
            let ids: Vec<_> = events.iter().map(|event| event.id).collect();
            self.ports.outbox.mark_published(&ids).await.unwrap();
            let codes = events.iter().filter(|event| event.kind == EventKind::Alarm);
            alarms.extend(codes.map(|event| event.data["code"].as_str().unwrap().to_owned()));
        }
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
            actor: Actor::of(&read("usr_support")),
        };
        let now = self.ports.now().await;
        reverse_revenue(self.ports.repository.as_ref(), &self.ids, now, ask, &Remembering::nothing()).await
    }
    pub async fn reversal(&self, id: &str) -> Reversed {
        show_reversal(self.ports.repository.as_ref(), &read(id)).await.unwrap().expect("it was booked")
    }

    /// Pays what is carried, whatever the minimum.
    pub async fn pay_carried(&self, recipient: &str, currency: &str) -> Result<Batch, PayCarriedError> {
        let ask = PayCarried {
            recipient: read(recipient),
            currency: read(currency),
            actor: Actor::of(&read("usr_operator")),
        };
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

    /// What is on every account.
    pub async fn accounts(&self) -> Vec<String> {
        let trial = check_books(self.ports.queries.as_ref(), &self.rails).await.unwrap();
        trial.balances.iter().map(|(account, currency, sum)| format!("{account} {currency} {sum:?}")).collect()
    }
    /// The ledger, the items, the counters and the rail say the same.
    pub async fn assert_balanced(&self) {
        self.assert_balanced_after(String::new).await;
    }
    /// The same, and what happened, if they do not.
    pub async fn assert_balanced_after(&self, what: impl Fn() -> String) {
        let trial = check_books(self.ports.queries.as_ref(), &self.rails).await.unwrap();
        let wrong: Vec<_> = trial.checks.iter().filter(|check| !check.is_ok()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{:#?}\n{}", trial.balances, what());
    }
}

/// A model that shares by percent, with a fee of five percent.
pub fn shares(lines: &[(&str, u64)]) -> Value {
    let line = |(who, percent): &(&str, u64)| serde_json::json!({ "recipientId": who, "percent": percent.to_string() });
    let lines: Vec<Value> = lines.iter().map(line).collect();
    serde_json::json!({ "platformFee": { "ratePpm": 50_000 }, "steps": [{ "type": "share", "lines": lines }] })
}
