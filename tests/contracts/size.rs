//! Size is no reason to lose anything.

use super::{
    Bench,
    sample::{moved, release, send, settle},
};
use app::change::Stored;
use domain::{
    item::{Item, ItemStatus, ItemStep},
    recipient::HoldReason,
};

pub async fn a_batch_of_ten_thousand_items_is_kept(bench: &dyn Bench) {
    const ITEMS: usize = 10_000;
    let ports = bench.ports();
    let mut release = release(ports.now().await);
    for number in 1..=i64::try_from(ITEMS).unwrap() {
        release = release.pay_less(&format!("rec_{number}"), number, 1, 1);
    }
    let change = release.change();
    let posted = change.post.clone();
    ports.commit(change).await;
    let found = ports.load(release.batch.id).await;
    assert_eq!(found.batch.value, release.batch);
    let items: Vec<Item> = found.items.into_iter().map(|item| item.value).collect();
    assert!(items == release.items, "all {ITEMS}, in order");
    let details = ports.queries.batch(release.batch.id).await.unwrap().unwrap();
    assert!(details.items == release.items);
    let (_, lines) = ports.repository.batch_inputs(release.batch.id).await.unwrap().unwrap();
    assert!(lines == release.lines);
    let found = ports.queries.transactions(Default::default(), super::sample::first(2)).await.unwrap();
    assert!(found.data.iter().rev().eq(&posted), "with all {} entries", posted[1].entries().len());
    let books = ports.queries.books().await.unwrap();
    assert_eq!(books.owed.len(), ITEMS);
    assert!(books.owed.is_sorted());
    assert_eq!(books.owed.iter().map(|(.., sum)| sum).sum::<i128>(), i128::from(release.batch.total_net_minor));
}

pub async fn many_rows_change_in_one_commit(bench: &dyn Bench) {
    const ITEMS: usize = 2_000;
    let ports = bench.ports();
    let now = ports.now().await;
    let mut release = release(now);
    for number in 0..ITEMS {
        release = release.hold(&format!("rec_{number}"), 7, HoldReason::RecipientPending);
    }
    let batch = release.book(&ports).await.batch.id;
    let all: Vec<usize> = (0..ITEMS).collect();
    ports.commit(moved(&ports.load(batch).await, &all, ItemStep::Release, now)).await;
    let (instruction, change) = send(&ports.load(batch).await, &all, now);
    ports.commit(change).await;
    let sent = ports.sent(batch).await;
    assert!(sent == Stored { value: instruction, revision: 1 });
    ports.commit(settle(&ports.load(batch).await, &sent, now)).await;
    let found = ports.load(batch).await;
    assert_eq!((found.batch.revision, found.unresolved.len()), (4, 0));
    let is_paid = |item: &Stored<Item>| item.value.status() == ItemStatus::Paid && item.revision == 4;
    assert!(found.items.iter().all(is_paid));
    let executed = ports.queries.executed(&[sent.value.id]).await.unwrap();
    assert_eq!(executed[0].executed_minor, 14_000);
}
