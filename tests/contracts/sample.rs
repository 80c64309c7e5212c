//! Things to write down, made with the functions of the domain wherever it has one.
//!
//! * here: whole batches, and what happens to their items
//! * `counts`: counters, and what moves them
//! * `reversals`: what takes something back
//! * `control`: what people and rails say of payments
//! * `everything`: what can be seen of all of it

mod control;
mod counts;
mod everything;
mod reversals;

pub use control::{approval, audited, policy, proposal, said, taken};
pub use counts::{carried, cause, count, counter, debt, moves};
pub use everything::everything;
pub use reversals::{Reversed, escheat, finish, found, reverse, source};

use super::Ports;
use app::{
    change::{BatchInputs, Change, New, Stored, Update},
    job::{Job, JobKind},
    ports::{queries::Page, repository::BatchForExecution},
};
use domain::{
    batch::{Approvals, Batch, BatchLine, BatchStatus, Fingerprint, Origin, Release as EscrowRelease},
    calculation::{Amounts, Deduction, DeductionKind, Line, RuleTax},
    event::Event,
    ids::{BatchId, EscrowId, EventId, InstructionId, ItemId, JobId, TransactionId},
    instruction::{Instruction, InstructionItem, Outcome},
    item::{Item, ItemStep},
    ledger::postings,
    recipient::{Destination, HoldReason, Recipient, RecipientStatus},
    revenue_model::{ModelHash, ModelSpec, ModelStatus, ModelVersion},
    tax::TaxRule,
    timestamp::Timestamp,
};
use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use uuid::Uuid;

/// Names in the order in which they are drawn, like those of version 7.
pub fn fresh() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Uuid::from_u128(0x019c_0000_0000_7000_8000_0000_0000_0000 | u128::from(number))
}

/// What a text says.
pub fn read<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// So many seconds.
pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A batch to be booked: a release, or what is carried.
pub struct Release {
    pub batch: Batch,
    pub items: Vec<Item>,
    pub lines: Vec<BatchLine>,
    pub deductions: Vec<Deduction>,
}

/// A release of a fresh escrow, with nothing in it yet.
pub fn release(at: Timestamp) -> Release {
    let id = BatchId::new(fresh());
    let origin = Origin::Release(Box::new(EscrowRelease {
        escrow: read(&format!("esc_{}", id.digits())),
        project: read("prj_film"),
        milestone: None,
        model_version: 1,
        model_hash: ModelHash::of([0xA5; 32]),
        as_of: at,
        fingerprint: Fingerprint([0x5A; 32]),
    }));
    let batch = Batch {
        id,
        origin,
        scheduled_by: read("usr_operator"),
        currency: read("USD"),
        amount_minor: 0,
        deductions_minor: 0,
        fee_minor: 0,
        fee_tax_minor: 0,
        tax_minor: 0,
        total_net_minor: 0,
        execute_at: None,
        due_at: at,
        approvals: Approvals::default(),
        job: JobId::new(fresh()),
        items_count: 0,
        status: BatchStatus::Scheduled,
        created_at: at,
        updated_at: at,
    };
    Release { batch, items: Vec::new(), lines: Vec::new(), deductions: Vec::new() }
}

/// A release of which nothing is left to be split: a batch that needs no items.
pub fn bare(at: Timestamp) -> Release {
    release(at).deduct(DeductionKind::Refund, 1)
}

/// What was carried for somebody, to be paid without a release.
pub fn carry(recipient: &str, amount_minor: i64, at: Timestamp) -> Release {
    let mut carry = release(at).with(|batch| batch.origin = Origin::Carry(read(recipient)));
    let item = Item::carry(ItemId::new(fresh()), carry.batch.id, read(recipient), amount_minor, at);
    let amounts = Amounts { carried_in_minor: amount_minor, payable_minor: amount_minor, ..Amounts::default() };
    let line = Line { recipient: read(recipient), amounts, taxes: Vec::new(), hold: None };
    carry.lines.push(BatchLine::of(carry.batch.id, 0, &line, Some(item.id)));
    carry.items.push(item);
    carry.batch.items_count = 1;
    carry
}

impl Release {
    /// Somebody who gets that much.
    pub fn pay(self, recipient: &str, net_minor: i64) -> Self {
        self.pay_less(recipient, net_minor, 0, 0)
    }
    /// Somebody of whose part fee and tax are kept.
    pub fn pay_less(self, recipient: &str, net_minor: i64, fee_minor: i64, tax_minor: i64) -> Self {
        self.line(recipient, Amounts { net_minor, fee_minor, tax_minor, ..Amounts::default() }, None)
    }
    /// Somebody who must wait.
    pub fn hold(self, recipient: &str, net_minor: i64, reason: HoldReason) -> Self {
        self.line(recipient, Amounts { net_minor, ..Amounts::default() }, Some(reason))
    }
    /// Somebody whose part is too small to be sent.
    pub fn carry(self, recipient: &str, net_minor: i64) -> Self {
        let carried_forward_minor = net_minor;
        self.line(recipient, Amounts { net_minor, carried_forward_minor, ..Amounts::default() }, None)
    }
    /// Something taken off before the split.
    pub fn deduct(mut self, kind: DeductionKind, amount_minor: i64) -> Self {
        self.deductions.push(Deduction { kind, amount_minor, reference: None });
        self.batch.deductions_minor += amount_minor;
        self.batch.amount_minor += amount_minor;
        self
    }
    /// The same release with something else in its batch.
    pub fn with(mut self, change: impl FnOnce(&mut Batch)) -> Self {
        change(&mut self.batch);
        self
    }
    /// The same release with something else in what it came from.
    pub fn of(mut self, change: impl FnOnce(&mut EscrowRelease)) -> Self {
        match &mut self.batch.origin {
            Origin::Release(release) => change(release),
            Origin::Carry(_) => panic!("it came from no release"),
        }
        self
    }
    /// The same release of that escrow.
    pub fn of_escrow(self, escrow: &EscrowId) -> Self {
        self.of(|release| release.escrow = escrow.clone())
    }
    /// The same release of that project.
    pub fn of_project(self, project: &str) -> Self {
        self.of(|release| release.project = read(project))
    }
    /// What was released.
    pub fn escrow(&self) -> &EscrowId {
        self.batch.escrow().expect("it came from a release")
    }

    /// A line: net, fee, tax and what is carried or recovered are given, the rest follows.
    pub fn line(mut self, recipient: &str, amounts: Amounts, hold: Option<HoldReason>) -> Self {
        let Amounts { net_minor, fee_minor, fee_tax_minor, tax_minor, .. } = amounts;
        let payable = net_minor + amounts.carried_in_minor - amounts.recovered_minor - amounts.carried_forward_minor;
        let (held_minor, payable_minor) = if hold.is_some() { (payable, 0) } else { (0, payable) };
        let gross_minor = net_minor + fee_minor + tax_minor;
        let tax = RuleTax { rule: TaxRule::DEFAULT_CODE.to_owned(), amount_minor: tax_minor };
        let line = Line {
            recipient: read(recipient),
            amounts: Amounts { gross_minor, held_minor, payable_minor, ..amounts },
            taxes: if tax_minor > 0 { vec![tax] } else { Vec::new() },
            hold,
        };
        let batch = &mut self.batch;
        let item = (payable > 0).then(|| ItemId::new(fresh()));
        self.lines.push(BatchLine::of(batch.id, u32::try_from(self.lines.len()).unwrap(), &line, item));
        if let Some(item) = item {
            self.items.push(Item::book(item, batch.id, batch.items_count, &line, batch.created_at));
            batch.items_count += 1;
        }
        batch.amount_minor += gross_minor;
        batch.fee_minor += fee_minor;
        batch.fee_tax_minor += fee_tax_minor;
        batch.tax_minor += tax_minor;
        batch.total_net_minor += net_minor;
        self
    }

    /// What it was calculated from.
    pub fn inputs(&self) -> BatchInputs {
        let inputs = serde_json::json!({ "deductions": self.deductions, "parties": {}, "counts": [] });
        BatchInputs { batch: self.batch.id, inputs }
    }

    /// What booking it commits.
    pub fn change(&self) -> Change {
        let Self { batch, items, lines, deductions } = self;
        let held = items.iter().filter(|item| item.state().hold_reason().is_some());
        let scheduled = Event::batch(EventId::new(fresh()), batch, BatchStatus::Scheduled, batch.created_at);
        let told = held.map(|item| Event::item(EventId::new(fresh()), item, batch.created_at));
        let rows = std::iter::once(New::Batch(batch.clone())).chain([New::Inputs(self.inputs())]);
        let rows = rows.chain(items.iter().cloned().map(New::Item));
        let id = || TransactionId::new(fresh());
        let mut post = Vec::new();
        if let Some(release) = batch.release() {
            post.push(postings::released(id(), batch, release).unwrap());
            post.push(postings::scheduled(id(), batch, release, lines, deductions).unwrap());
        }
        post.extend(postings::recovered(id(), batch, lines).unwrap());
        post.extend(postings::carried(id(), batch, lines).unwrap());
        post.extend(postings::carry_paid(id(), batch, lines).unwrap());
        Change {
            insert: rows.chain(lines.iter().cloned().map(New::Line)).collect(),
            post,
            enqueue: vec![Job { id: batch.job, kind: JobKind::ExecuteBatch(batch.id), run_at: batch.created_at }],
            publish: std::iter::once(scheduled).chain(told).collect(),
            ..Change::default()
        }
    }

    /// Books it.
    pub async fn book(self, ports: &Ports) -> Self {
        ports.commit(self.change()).await;
        self
    }
}

/// Two people, booked now.
pub async fn booked(ports: &Ports) -> Release {
    release(ports.now().await).pay("rec_ana", 700).pay("rec_bob", 300).book(ports).await
}

/// An instruction that pays these items, as if it had just been recorded.
pub fn instruction(items: &[&Item], batch: &Batch, at: Timestamp) -> Instruction {
    let id = InstructionId::new(fresh());
    // Each sending has a name of its own.
    let wire_ref = || ItemId::new(fresh()).digits();
    let part = |item: &&Item| InstructionItem::new(item.id, wire_ref(), item.due_minor(), [0xD5; 32]);
    let generation = items.iter().map(|item| item.attempts).max().unwrap_or_default() + 1;
    let body = format!("{{\"key\":\"{id}\"}}").into_bytes();
    let parts = items.iter().map(part).collect();
    Instruction::record(id, batch.id, read("simulator"), batch.currency, parts, generation, body, at)
}

/// The intent to pay what is at these places of a batch, in one instruction.
pub fn send(found: &BatchForExecution, places: &[usize], at: Timestamp) -> (Instruction, Change) {
    let batch = &found.batch.value;
    let items: Vec<&Item> = places.iter().map(|place| &found.items[*place].value).collect();
    let instruction = instruction(&items, batch, at);
    let posted = instruction.items.iter().zip(&items);
    let post = posted.map(|(part, item)| postings::sent(TransactionId::new(fresh()), &instruction, part, item, at));
    let post = post.collect::<Result<Vec<_>, _>>().unwrap();
    let mut change = moved(found, places, ItemStep::RecordIntent, at);
    change.insert.push(New::Instruction(instruction.clone()));
    change.post = post;
    (instruction, change)
}

/// The rail settled all of an instruction.
pub fn settle(found: &BatchForExecution, instruction: &Stored<Instruction>, at: Timestamp) -> Change {
    let reference = Some("po_1".to_owned());
    let places = places_of(found, &instruction.value);
    let mut change = moved(found, &places, ItemStep::Settle { reference: reference.clone() }, at);
    let paid = |part| postings::paid(TransactionId::new(fresh()), &instruction.value, part, at).unwrap();
    change.post = instruction.value.items.iter().map(paid).collect();
    change.update.push(Update::Instruction(all_of(instruction, &Outcome::Settled { reference })));
    change
}

/// The rail refused all of an instruction.
pub fn refuse(found: &BatchForExecution, instruction: &Stored<Instruction>, at: Timestamp) -> Change {
    let places = places_of(found, &instruction.value);
    let mut change = moved(found, &places, ItemStep::Refuse { reason: "account_closed".into() }, at);
    let refused = |(part, place): (&InstructionItem, &usize)| {
        let item = &found.items[*place].value;
        postings::refused(TransactionId::new(fresh()), &instruction.value, part, item, at).unwrap()
    };
    change.post = instruction.value.items.iter().zip(&places).map(refused).collect();
    let outcome = Outcome::Refused { reason: "account_closed".into() };
    change.update.push(Update::Instruction(all_of(instruction, &outcome)));
    change
}

/// The same became of every item of an instruction.
pub fn all_of(instruction: &Stored<Instruction>, outcome: &Outcome) -> Stored<Instruction> {
    let items: Vec<ItemId> = instruction.value.items.iter().map(|part| part.item).collect();
    let learn = |known: Instruction, item| known.learn(item, outcome.clone());
    instruction.clone().try_map(|known| items.into_iter().try_fold(known, learn)).unwrap()
}

/// One step of some items of a batch, with its events; the batch itself is written too.
pub fn moved(found: &BatchForExecution, places: &[usize], step: ItemStep, at: Timestamp) -> Change {
    let mut change = Change::default();
    for place in places {
        let item = found.items[*place].clone().try_map(|item| item.after(step.clone(), at)).unwrap();
        change.publish.push(Event::item(EventId::new(fresh()), &item.value, at));
        change.update.push(Update::Item(item));
    }
    let mut batch = found.batch.clone();
    batch.value.status = BatchStatus::Processing;
    batch.value.updated_at = at;
    change.update.push(Update::Batch(batch));
    change
}

fn places_of(found: &BatchForExecution, instruction: &Instruction) -> Vec<usize> {
    let place = |part: &InstructionItem| found.items.iter().position(|item| item.value.id == part.item).unwrap();
    instruction.items.iter().map(place).collect()
}

/// Sends what is at these places and answers the instruction as it was stored.
pub async fn sent(ports: &Ports, batch: BatchId, places: &[usize]) -> Stored<Instruction> {
    let (value, change) = send(&ports.load(batch).await, places, ports.now().await);
    ports.commit(change).await;
    Stored { value, revision: 1 }
}

/// An active recipient who is paid by the simulator.
pub fn recipient(id: &str, at: Timestamp) -> Recipient {
    Recipient {
        id: read(id),
        status: RecipientStatus::Active,
        tax: None,
        payout_minimums: BTreeMap::new(),
        destination: Destination::bare(read("simulator")),
        destination_set_by: read("usr_operator"),
        created_at: at,
        updated_at: at,
    }
}

/// An active version that gives all to one person, from an instant on.
pub fn version(project: &str, number: u32, from: Timestamp) -> ModelVersion {
    let spec: ModelSpec = serde_json::from_value(serde_json::json!({
        "steps": [{ "type": "share", "lines": [{ "recipientId": "rec_ana", "ppm": 1_000_000 }] }],
    }))
    .unwrap();
    ModelVersion {
        project: read(project),
        version: number,
        status: ModelStatus::Active,
        effective_from: from,
        effective_to: None,
        hash: spec.hash(),
        spec,
        created_by: read("usr_operator"),
        created_at: from,
    }
}

/// A job about a recipient.
pub fn job(run_at: Timestamp) -> Job {
    Job { id: JobId::new(fresh()), kind: JobKind::ReleaseHeldItems(read("rec_ana")), run_at }
}

/// Something to tell the world that is about no batch.
pub fn event(at: Timestamp) -> Event {
    Event::recipient_updated(EventId::new(fresh()), &recipient("rec_ana", at))
}

/// A change that inserts one thing.
pub fn insert(new: New) -> Change {
    Change { insert: vec![new], ..Change::default() }
}

/// A change that writes one thing.
pub fn update(update: Update) -> Change {
    Change { update: vec![update], ..Change::default() }
}

/// A change that enqueues one job.
pub fn enqueue(job: &Job) -> Change {
    Change { enqueue: vec![job.clone()], ..Change::default() }
}

/// A page from the start.
pub fn first<Cursor>(limit: u32) -> Page<Cursor> {
    Page { limit, after: None }
}
