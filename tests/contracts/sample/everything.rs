//! What can be seen of all of it: a change that was refused leaves this as it was.

use super::{super::Ports, carried, debt, first, read};
use app::{
    change::{BatchInputs, PaidDestination, PolicyVersion, Resolution, Stored},
    ports::{
        queries::{AuditFilter, BatchDetails, BatchFilter, Books, OwedTo, Page, Paged, TransactionFilter},
        repository::{BatchForReversal, StoredCounter},
    },
};
use domain::{
    audit::AuditEntry,
    batch::BatchLine,
    ids::{ItemId, RecipientId},
    ledger::Transaction,
    recipient::Recipient,
    revenue_model::ModelVersion,
};

/// Everything that can be seen without touching it.
#[derive(Debug, PartialEq)]
pub struct Everything {
    batches: Vec<Seen>,
    transactions: Vec<Transaction>,
    models: Paged<ModelVersion>,
    recipients: Vec<Stored<Recipient>>,
    counters: Vec<StoredCounter>,
    owed: Vec<OwedTo>,
    books: Books,
    audit: Paged<AuditEntry>,
    policies: Vec<PolicyVersion>,
    paid: Vec<PaidDestination>,
}

/// A batch from every side.
#[derive(Debug, PartialEq)]
struct Seen {
    details: BatchDetails,
    history: BatchForReversal,
    inputs: Option<(BatchInputs, Vec<BatchLine>)>,
    strays: Vec<ItemId>,
    proposed: Vec<Stored<Resolution>>,
}

/// See [`Everything`]. Of people and counters those that these tests speak of.
pub async fn everything(ports: &Ports) -> Everything {
    let people: Vec<RecipientId> = ["rec_ana", "rec_bob", "rec_cyd"].map(read).to_vec();
    let mut recipients = ports.repository.recipients(&people).await.unwrap();
    recipients.sort_by(|one, two| one.value.id.cmp(&two.value.id));
    let names = people.iter().map(RecipientId::as_str);
    let keys: Vec<_> = names.flat_map(|who| [carried(who), debt(who)]).collect();
    let mut counters = ports.repository.counters(&keys).await.unwrap();
    counters.sort_by(|one, two| one.key.cmp(&two.key));
    let mut owed = Vec::new();
    for who in &people {
        owed.push(ports.queries.owed_to(who, 10).await.unwrap());
    }
    Everything {
        batches: batches(ports).await,
        transactions: transactions(ports).await,
        models: ports.queries.models(&read("prj_film"), first(100)).await.unwrap(),
        recipients,
        counters,
        owed,
        books: ports.queries.books().await.unwrap(),
        audit: ports.queries.audit(AuditFilter::default(), first(100)).await.unwrap(),
        policies: ports.queries.policies(100).await.unwrap(),
        paid: ports.repository.paid_destinations(&people).await.unwrap(),
    }
}

async fn batches(ports: &Ports) -> Vec<Seen> {
    let mut batches: Vec<Seen> = Vec::new();
    loop {
        let after = batches.last().map(|seen| seen.details.batch.id);
        let page = ports.queries.batches(BatchFilter::default(), Page { limit: 100, after }).await.unwrap();
        for batch in page.data {
            let details = ports.queries.batch(batch.id).await.unwrap().expect("it was listed");
            let mut history = super::found(ports, batch.id).await;
            // Of different counters, which moved first is not promised.
            history.movements.sort_by(|one, two| one.key.cmp(&two.key));
            let inputs = ports.repository.batch_inputs(batch.id).await.unwrap();
            let strays = ports.load(batch.id).await.strays;
            let mut proposed = Vec::new();
            for item in &details.items {
                proposed.extend(ports.repository.proposed_resolution(item.id).await.unwrap());
            }
            batches.push(Seen { details, history, inputs, strays, proposed });
        }
        if !page.has_more {
            return batches;
        }
    }
}

async fn transactions(ports: &Ports) -> Vec<Transaction> {
    let mut transactions: Vec<Transaction> = Vec::new();
    loop {
        let after = transactions.last().map(Transaction::id);
        let page = ports.queries.transactions(TransactionFilter::default(), Page { limit: 100, after }).await.unwrap();
        transactions.extend(page.data);
        if !page.has_more {
            return transactions;
        }
    }
}
