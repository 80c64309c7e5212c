//! What is owed to somebody, from all of their items.

use super::{
    Bench, Ports,
    sample::{Release, read, release},
};
use app::ports::queries::{OwedItem, OwedTo};
use domain::{
    currency::Currency,
    item::{Item, ItemState, ItemStatus},
    recipient::HoldReason,
    timestamp::Timestamp,
};

/// Ana has an item in every state, of 1, 2, 4 and so on.
fn in_every_state(now: Timestamp, currency: &str) -> Release {
    let states = [
        ItemState::Scheduled,
        ItemState::PendingKyc { reason: HoldReason::RecipientPending },
        ItemState::Processing,
        ItemState::InDoubt,
        ItemState::Paid { reference: None, at: now },
        ItemState::Failed { reason: "no".into(), at: now },
        ItemState::Returned { reference: None, reason: "R03".into(), at: now },
        ItemState::Cancelled { at: now },
    ];
    let mut release = release(now).with(|batch| batch.currency = read(currency));
    for place in 0..states.len() {
        release = release.pay("rec_ana", 1 << place).pay("rec_anab", 1000).pay("rec_AN", 1000);
    }
    let theirs = release.items.iter_mut().filter(|item| item.recipient.as_str() == "rec_ana");
    for (item, state) in theirs.zip(states) {
        *item = item.clone().in_state(state);
    }
    release
}

async fn owed(ports: &Ports, who: &str, limit: u32) -> OwedTo {
    ports.queries.owed_to(&read(who), limit).await.unwrap()
}

pub async fn what_is_owed_is_summed_by_currency_and_status(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    assert_eq!(owed(&ports, "rec_ana", 10).await, OwedTo::default());
    in_every_state(now, "USD").book(&ports).await;
    in_every_state(now, "JPY").book(&ports).await;
    release(now).pay("rec_ana", 1000).carry("rec_ana", 10_000).book(&ports).await;
    let sum = |currency: &str, status, sum| (read::<Currency>(currency), status, sum);
    let expected = [
        sum("JPY", ItemStatus::Failed, 32),
        sum("JPY", ItemStatus::PendingKyc, 2),
        sum("JPY", ItemStatus::Returned, 64),
        sum("JPY", ItemStatus::Scheduled, 1),
        sum("USD", ItemStatus::Failed, 32),
        sum("USD", ItemStatus::PendingKyc, 2),
        sum("USD", ItemStatus::Returned, 64),
        sum("USD", ItemStatus::Scheduled, 1001),
    ];
    for limit in [0, 1, 100] {
        assert_eq!(owed(&ports, "rec_ana", limit).await.sums, expected, "of all of them, however many are listed");
    }
    assert_eq!(owed(&ports, "rec_an", 10).await, OwedTo::default());
    assert_eq!(owed(&ports, "rec_AN", 100).await.items.len(), 16);
}

pub async fn the_newest_of_what_is_owed_is_listed(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut expected: Vec<OwedItem> = Vec::new();
    for currency in ["USD", "JPY", "USD"] {
        let release = in_every_state(now, currency).book(&ports).await;
        let theirs = release.items.iter().filter(|item| item.recipient.as_str() == "rec_ana");
        let owed = theirs.filter(|item| item.status().is_owed());
        expected.extend(owed.map(|item| OwedItem { item: item.clone(), currency: read(currency) }));
    }
    expected.reverse();
    assert_eq!(expected.len(), 12);
    for limit in [0, 1, 5, 12, 13] {
        let listed = owed(&ports, "rec_ana", limit).await.items;
        assert_eq!(listed, expected[..expected.len().min(usize::try_from(limit).unwrap())]);
    }
}

pub async fn what_a_reversal_took_is_not_owed(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let mut release = release(now).pay("rec_ana", 700).pay("rec_ana", 300).pay("rec_ana", 50);
    let [one, two, _] = &mut release.items[..] else { panic!("three items") };
    (one.reversed_minor, one.taken_minor) = (100, 90);
    (two.reversed_minor, two.taken_minor) = (300, 300);
    let release = release.book(&ports).await;
    let found = owed(&ports, "rec_ana", 10).await;
    assert_eq!(found.sums, [(read("USD"), ItemStatus::Scheduled, 660)]);
    let listed: Vec<Item> = found.items.into_iter().rev().map(|owed| owed.item).collect();
    assert_eq!(listed, release.items);
    let books = ports.queries.books().await.unwrap();
    assert_eq!(books.owed, [(read("rec_ana"), read("USD"), 660)]);
}
