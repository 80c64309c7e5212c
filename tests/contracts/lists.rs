//! Lists are newest first, and a page begins where the one before ended.

use super::{
    Bench, Ports,
    bench::LEASE,
    sample::{bare, event, first, fresh, insert, moved, read, recipient, release, seconds, sent, settle, version},
};
use app::{
    change::{Change, New, Stored},
    ports::{
        StoreError,
        queries::{BatchFilter, EventFilter, Page, Paged, TransactionFilter},
    },
};
use domain::{
    batch::{Batch, BatchStatus},
    calculation::DeductionKind,
    event::{Event, EventKind},
    ids::{BatchId, TransactionId},
    item::{ItemStatus, ItemStep},
    ledger::{Account, Entry, Transaction, TransactionKind, transaction::About},
    recipient::HoldReason,
    revenue_model::ModelVersion,
    timestamp::Timestamp,
};
use std::fmt::Debug;

/// Reads a list in pages of every size, and compares with what it should be.
async fn assert_paged<T, Cursor, Answer>(
    page: impl Fn(Page<Cursor>) -> Answer,
    cursor: impl Fn(&T) -> Cursor,
    expected: &[T],
) where
    T: Debug + PartialEq,
    Answer: Future<Output = Result<Paged<T>, StoreError>>,
{
    for limit in 1..=u32::try_from(expected.len() + 1).unwrap() {
        let size = usize::try_from(limit).unwrap();
        let mut found: Vec<T> = Vec::new();
        loop {
            let answer = page(Page { limit, after: found.last().map(&cursor) }).await.unwrap();
            let rest = expected.len() - found.len();
            assert_eq!(answer.data.len(), size.min(rest), "{found:?}");
            assert_eq!(answer.has_more, rest > size, "{limit} of {rest}");
            found.extend(answer.data);
            if !answer.has_more {
                break;
            }
        }
        assert_eq!(found, expected);
    }
}

pub async fn batches_are_listed_newest_first_and_filtered(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut all: Vec<Batch> = Vec::new();
    for number in 0..9 {
        // Newest is a matter of the name, not of the time of the caller's clock.
        let release = bare(now.after(seconds(100 - number)));
        let release = release.of_project(if number % 3 == 0 { "prj_film" } else { "prj_song" }).with(|batch| {
            batch.status = if number % 2 == 0 { BatchStatus::Completed } else { BatchStatus::Partial };
        });
        ports.commit(insert(New::Batch(release.batch.clone()))).await;
        all.insert(0, release.batch);
    }
    let check = async |filter: BatchFilter, expected: &dyn Fn(&Batch) -> bool| {
        let expected: Vec<Batch> = all.iter().filter(|batch| expected(batch)).cloned().collect();
        assert_paged(|page| ports.queries.batches(filter.clone(), page), |batch| batch.id, &expected).await;
    };
    let film = read("prj_film");
    let escrow = all[4].escrow().unwrap().clone();
    let filter = BatchFilter::default();
    check(filter.clone(), &|_| true).await;
    let status = Some(BatchStatus::Partial);
    check(BatchFilter { status, ..filter.clone() }, &|batch| batch.status == BatchStatus::Partial).await;
    check(BatchFilter { status: Some(BatchStatus::Failed), ..filter.clone() }, &|_| false).await;
    let project = Some(film);
    check(BatchFilter { project: project.clone(), ..filter.clone() }, &|batch| {
        batch.release().map(|release| &release.project) == project.as_ref()
    })
    .await;
    let both = BatchFilter { project: project.clone(), status, escrow: None };
    check(both, &|batch| {
        batch.status == BatchStatus::Partial && batch.release().map(|release| &release.project) == project.as_ref()
    })
    .await;
    let of_escrow = BatchFilter { escrow: Some(escrow.clone()), ..filter.clone() };
    check(of_escrow.clone(), &|batch| batch.escrow() == Some(&escrow)).await;
    let status =
        Some(if all[4].status == BatchStatus::Partial { BatchStatus::Completed } else { BatchStatus::Partial });
    check(BatchFilter { status, ..of_escrow }, &|_| false).await;
}

pub async fn models_are_listed_newest_first(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut all: Vec<ModelVersion> = Vec::new();
    for number in 1..=12 {
        let version = version("prj_film", number, now.after(seconds(100 - u64::from(number))));
        ports.commit(insert(New::ModelVersion(version.clone()))).await;
        ports.commit(insert(New::ModelVersion(ModelVersion { project: read("prj_song"), ..version.clone() }))).await;
        all.insert(0, version);
    }
    let project = read("prj_film");
    assert_paged(|page| ports.queries.models(&project, page), |version| version.version, &all).await;
    for version in &all {
        assert_eq!(ports.queries.model(&project, version.version).await.unwrap().as_ref(), Some(version));
    }
    assert_eq!(ports.queries.model(&project, 13).await.unwrap(), None);
}

pub async fn transactions_are_listed_newest_first_and_filtered(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut all: Vec<Transaction> = Vec::new();
    let mut batches: Vec<BatchId> = Vec::new();
    for amount in 1..=3 {
        let release = release(now).pay_less("rec_ana", 10 * amount, 1, 2).deduct(DeductionKind::Refund, 1);
        let change = release.change();
        all.extend(change.post.iter().cloned());
        ports.commit(change).await;
        let (instruction, change) = super::sample::send(&ports.load(release.batch.id).await, &[0], now);
        all.extend(change.post.iter().cloned());
        ports.commit(change).await;
        let sent = Stored { value: instruction, revision: 1 };
        let change = settle(&ports.load(release.batch.id).await, &sent, now);
        all.extend(change.post.iter().cloned());
        ports.commit(change).await;
        batches.push(release.batch.id);
    }
    // An account may be touched twice by one transaction, which is listed once all the same.
    let twice = twice_on_one_account(batches[2], now);
    ports.commit(Change { post: vec![twice.clone()], ..Change::default() }).await;
    all.push(twice);
    all.reverse();
    let check = async |filter: TransactionFilter| {
        let touches = |found: &&Transaction| {
            let account = |wanted: &Account| found.entries().iter().any(|entry| entry.account == *wanted);
            filter.batch.is_none_or(|batch| found.about().batch == batch) && filter.account.as_ref().is_none_or(account)
        };
        let expected: Vec<Transaction> = all.iter().filter(touches).cloned().collect();
        assert_paged(|page| ports.queries.transactions(filter.clone(), page), Transaction::id, &expected).await;
        expected.len()
    };
    let (batch, account) = (Some(batches[1]), |text: &str| Some(read(text)));
    assert_eq!(check(TransactionFilter::default()).await, 13);
    assert_eq!(check(TransactionFilter { batch, account: None }).await, 4);
    assert_eq!(check(TransactionFilter { batch: None, account: account("payable:rec_ana") }).await, 6);
    assert_eq!(check(TransactionFilter { batch, account: account("payable:rec_ana") }).await, 2);
    assert_eq!(check(TransactionFilter { batch: None, account: account("platform_fees") }).await, 4);
    assert_eq!(check(TransactionFilter { batch: None, account: account("deductions:refund") }).await, 3);
    assert_eq!(check(TransactionFilter { batch, account: account("cash:simulator") }).await, 1);
    assert_eq!(check(TransactionFilter { batch: None, account: account("payable:rec_bob") }).await, 0);
}

fn twice_on_one_account(batch: BatchId, at: Timestamp) -> Transaction {
    let entries = [(Account::PlatformFees, 3), (Account::EscrowReceivable, -7), (Account::PlatformFees, 4)];
    let entries = entries.map(|(account, amount_minor)| Entry { account, amount_minor }).to_vec();
    let about = About { batch, item: None, instruction: None };
    let id = TransactionId::new(fresh());
    Transaction::try_new(id, TransactionKind::Scheduled, about, read("USD"), entries, at).unwrap()
}

pub async fn events_are_listed_newest_first_and_filtered(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut batches = Vec::new();
    for _ in 0..3 {
        let release = release(now).pay("rec_ana", 10).hold("rec_bob", 5, HoldReason::RecipientPending);
        batches.push(release.book(&ports).await.batch.id);
        ports.commit(Change { publish: vec![event(now)], ..Change::default() }).await;
    }
    let found = ports.load(batches[1]).await;
    ports.commit(moved(&found, &[0], ItemStep::Hold(HoldReason::RecipientBlocked), now)).await;
    let mut all = ports.outbox.unpublished(100, LEASE).await.unwrap();
    assert_eq!(all.len(), 10);
    // Published in another order than they happened in.
    for event in all.iter().rev() {
        ports.outbox.mark_published(&[event.id]).await.unwrap();
    }
    all.reverse();
    let check = async |filter: EventFilter| {
        let is_wanted = |event: &&Event| {
            filter.batch.is_none_or(|batch| event.batch == Some(batch))
                && filter.kind.as_ref().is_none_or(|kind| event.kind.to_string() == *kind)
        };
        let expected: Vec<Event> = all.iter().filter(is_wanted).cloned().collect();
        let page = async |page| Ok(ports.queries.events(filter.clone(), page).await?.map(|published| published.event));
        assert_paged(page, |event| event.id, &expected).await;
        expected.len()
    };
    let (batch, held) = (Some(batches[1]), Some(EventKind::Item(ItemStatus::PendingKyc).to_string()));
    assert_eq!(check(EventFilter::default()).await, 10);
    assert_eq!(check(EventFilter { batch, kind: None }).await, 3);
    assert_eq!(check(EventFilter { batch: None, kind: held.clone() }).await, 4);
    assert_eq!(check(EventFilter { batch, kind: held }).await, 2);
    assert_eq!(check(EventFilter { batch: None, kind: Some("recipient.updated".into()) }).await, 3);
    assert_eq!(check(EventFilter { batch, kind: Some("recipient.updated".into()) }).await, 0);
    assert_eq!(check(EventFilter { batch: None, kind: Some("no.such.kind".into()) }).await, 0);
}

async fn held(ports: &Ports, limit: u32) -> Vec<BatchId> {
    let mut all = Vec::new();
    loop {
        let after = all.last().copied();
        let page = ports.repository.batches_held_for(&read("rec_ana"), after, limit).await.unwrap();
        assert!(page.len() <= usize::try_from(limit).unwrap());
        if page.is_empty() {
            return all;
        }
        all.extend(page);
        assert!(all.len() <= 100, "it never ends");
    }
}

pub async fn held_batches_are_paged_in_order(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let reason = HoldReason::RecipientPending;
    let mut expected = Vec::new();
    for _ in 0..5 {
        let release = release(now).hold("rec_ana", 1, reason).pay("rec_bob", 2).hold("rec_ana", 3, reason);
        expected.push(release.book(&ports).await.batch.id);
        super::sample::release(now).pay("rec_ana", 1).hold("rec_bob", 2, reason).book(&ports).await;
    }
    for limit in [1, 2, 5, 6] {
        assert_eq!(held(&ports, limit).await, expected);
    }
    let found = ports.load(expected[1]).await;
    ports.commit(moved(&found, &[0], ItemStep::Release, now)).await;
    assert_eq!(held(&ports, 2).await, expected, "one of two is still held");
    let found = ports.load(expected[1]).await;
    ports.commit(moved(&found, &[2], ItemStep::Release, now)).await;
    let gone = expected.remove(1);
    assert_eq!(held(&ports, 2).await, expected);
    sent(&ports, gone, &[0]).await;
    assert_eq!(held(&ports, 2).await, expected);
}

pub async fn recipients_are_found_by_their_names(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut all = Vec::new();
    for number in 0..300 {
        all.push(recipient(&format!("rec_{number:03}"), now));
    }
    let insert = all.iter().cloned().map(New::Recipient).collect();
    ports.commit(Change { insert, ..Change::default() }).await;
    let mut asked: Vec<_> = all.iter().step_by(2).map(|recipient| recipient.id.clone()).collect();
    asked.push(read("rec_nobody"));
    asked.push(asked[0].clone());
    let mut found = ports.repository.recipients(&asked).await.unwrap();
    found.sort_by(|one, two| one.value.id.cmp(&two.value.id));
    let expected: Vec<_> = all.iter().step_by(2).map(|value| Stored { value: value.clone(), revision: 1 }).collect();
    assert_eq!(found, expected);
    let none = ports.queries.batches(BatchFilter::default(), first(1)).await.unwrap();
    assert_eq!((none.data, none.has_more), (vec![], false));
}
