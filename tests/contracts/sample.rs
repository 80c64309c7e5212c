//! Things to write down, made with the functions of the domain wherever it has one.

use super::Ports;
use app::{
    change::{Change, New, Stored, Update},
    job::{Job, JobKind},
    ports::{
        queries::{BatchDetails, BatchFilter, Books, Page, Paged, TransactionFilter},
        repository::BatchForExecution,
    },
};
use domain::{
    batch::{Batch, BatchStatus, Fingerprint},
    calculation::{Deduction, DeductionKind, Line},
    event::Event,
    ids::{BatchId, EventId, InstructionId, ItemId, JobId, RecipientId, TransactionId},
    instruction::{Instruction, InstructionItem},
    item::{Item, ItemStep},
    ledger::{Transaction, postings},
    recipient::{Destination, HoldReason, Recipient, RecipientStatus, TaxRule},
    revenue_model::{ModelHash, ModelSpec, ModelStatus, ModelVersion},
    timestamp::Timestamp,
};
use std::{
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

/// A release to be booked.
pub struct Release {
    pub batch: Batch,
    pub items: Vec<Item>,
    pub lines: Vec<Line>,
    pub deductions: Vec<Deduction>,
}

/// A release of a fresh escrow, with nothing in it yet.
pub fn release(at: Timestamp) -> Release {
    let id = BatchId::new(fresh());
    let batch = Batch {
        id,
        escrow: read(&format!("esc_{}", id.digits())),
        project: read("prj_film"),
        milestone: None,
        scheduled_by: read("usr_operator"),
        currency: read("USD"),
        amount_minor: 0,
        deductions_minor: 0,
        fee_minor: 0,
        tax_minor: 0,
        total_net_minor: 0,
        model_version: 1,
        model_hash: ModelHash::of([0xA5; 32]),
        as_of: at,
        execute_at: None,
        fingerprint: Fingerprint([0x5A; 32]),
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

impl Release {
    /// Somebody who gets that much.
    pub fn pay(self, recipient: &str, net_minor: i64) -> Self {
        self.line(recipient, net_minor, 0, 0, None)
    }
    /// Somebody of whose part fee and tax are kept.
    pub fn pay_less(self, recipient: &str, net_minor: i64, fee_minor: i64, tax_minor: i64) -> Self {
        self.line(recipient, net_minor, fee_minor, tax_minor, None)
    }
    /// Somebody who must wait.
    pub fn hold(self, recipient: &str, net_minor: i64, reason: HoldReason) -> Self {
        self.line(recipient, net_minor, 0, 0, Some(reason))
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

    fn line(mut self, recipient: &str, net: i64, fee: i64, tax: i64, hold: Option<HoldReason>) -> Self {
        let line = Line {
            recipient: read(recipient),
            gross_minor: net + fee + tax,
            fee_minor: fee,
            tax_minor: tax,
            tax_rule: (tax > 0).then(|| TaxRule::DEFAULT_CODE.to_owned()),
            net_minor: net,
            hold,
        };
        let batch = &mut self.batch;
        self.items.push(Item::book(ItemId::new(fresh()), batch.id, batch.items_count, &line, batch.created_at));
        self.lines.push(line);
        batch.items_count += 1;
        batch.amount_minor += net + fee + tax;
        batch.fee_minor += fee;
        batch.tax_minor += tax;
        batch.total_net_minor += net;
        self
    }

    /// What booking it commits.
    pub fn change(&self) -> Change {
        let Self { batch, items, lines, deductions } = self;
        let held = items.iter().filter(|item| item.state().hold_reason().is_some());
        let scheduled = Event::batch(EventId::new(fresh()), batch, BatchStatus::Scheduled, batch.created_at);
        let told = held.map(|item| Event::item(EventId::new(fresh()), item, batch.created_at));
        Change {
            insert: std::iter::once(New::Batch(batch.clone())).chain(items.iter().cloned().map(New::Item)).collect(),
            post: vec![
                postings::released(TransactionId::new(fresh()), batch).unwrap(),
                postings::scheduled(TransactionId::new(fresh()), batch, lines, deductions).unwrap(),
            ],
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
    let part =
        |item: &&Item| InstructionItem { item: item.id, wire_ref: item.id.digits(), amount_minor: item.payable_minor };
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
    change.update.push(Update::Instruction(instruction.clone().try_map(|found| found.accept(reference)).unwrap()));
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
    let refused = instruction.clone().try_map(|found| found.refuse("account_closed".into())).unwrap();
    change.update.push(Update::Instruction(refused));
    change
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
        destination: Destination::bare(read("simulator")),
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

/// Everything that can be seen without touching it.
#[derive(Debug, PartialEq)]
pub struct Everything {
    batches: Vec<BatchDetails>,
    transactions: Vec<Transaction>,
    models: Paged<ModelVersion>,
    recipients: Vec<Stored<Recipient>>,
    books: Books,
}

/// See [`Everything`].
pub async fn everything(ports: &Ports) -> Everything {
    let mut batches: Vec<BatchDetails> = Vec::new();
    loop {
        let after = batches.last().map(|details| details.batch.id);
        let page = ports.queries.batches(BatchFilter::default(), Page { limit: 100, after }).await.unwrap();
        for batch in page.data {
            batches.push(ports.queries.batch(batch.id).await.unwrap().expect("it was listed"));
        }
        if !page.has_more {
            break;
        }
    }
    let mut transactions: Vec<Transaction> = Vec::new();
    loop {
        let after = transactions.last().map(Transaction::id);
        let page = ports.queries.transactions(TransactionFilter::default(), Page { limit: 100, after }).await.unwrap();
        transactions.extend(page.data);
        if !page.has_more {
            break;
        }
    }
    let people: Vec<RecipientId> = ["rec_ana", "rec_bob", "rec_cyd"].map(read).to_vec();
    let mut recipients = ports.repository.recipients(&people).await.unwrap();
    recipients.sort_by(|one, two| one.value.id.cmp(&two.value.id));
    Everything {
        batches,
        transactions,
        models: ports.queries.models(&read("prj_film"), first(100)).await.unwrap(),
        recipients,
        books: ports.queries.books().await.unwrap(),
    }
}
