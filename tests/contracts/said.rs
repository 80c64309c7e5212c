//! What rails said is taken once, under the name they gave it.

use super::{
    Bench,
    duplicates::refused,
    sample::{booked, fresh, insert, read, recipient, said, sent, taken},
};
use app::{
    change::{Change, New, TakenEvent, Verdict},
    ports::{
        CommitError, DuplicateKey,
        rail::{About, Class, Seen},
    },
};
use domain::{ids::InstructionId, money::Money, recipient::RecipientStatus, timestamp::Timestamp};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Barrier;

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

pub async fn what_a_rail_said_is_taken_once(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let one = taken(said("evt_1", Seen::Recalled), None, now);
    ports.commit(insert(New::RailEvent(one.clone()))).await;
    // The name is what counts, not what was said; and it is the rail's own.
    let same = taken(said("evt_1", Seen::DetailsChanged), None, now);
    let key = DuplicateKey::RailEvent(read("simulator"), "evt_1".into());
    match refused(&ports, insert(New::RailEvent(same))).await {
        CommitError::Duplicate(found) => assert_eq!(found, key),
        other => panic!("{other:?}"),
    }
    ports.commit(insert(New::RailEvent(Box::new(TakenEvent { rail: read("other"), ..*one })))).await;
    let twice = || New::RailEvent(taken(said("evt_2", Seen::Recalled), None, now));
    match refused(&ports, Change { insert: vec![twice(), twice()], ..Change::default() }).await {
        CommitError::Duplicate(DuplicateKey::RailEvent(_, name)) => assert_eq!(name, "evt_2"),
        other => panic!("{other:?}"),
    }
    assert_eq!(ports.repository.taken_events(&read("simulator"), &named(&["evt_2"])).await.unwrap(), [""; 0]);
}

pub async fn whatever_a_rail_can_say_is_taken(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let order = sent(&ports, booked(&ports).await.batch.id, &[0]).await.value;
    let reference = || Some("po \u{e9} \0".to_owned());
    let mut sayings = vec![
        Seen::Accepted { reference: reference() },
        Seen::Accepted { reference: None },
        Seen::Settled { reference: reference() },
        Seen::Recalled,
        Seen::DetailsChanged,
        Seen::Returned { reason: String::new(), returned: Money::new(0, read("JPY")), reference: None },
        Seen::Returned { reason: "R03".into(), returned: Money::new(i64::MAX, read("USD")), reference: reference() },
    ];
    sayings.extend(Class::ALL.map(|class| Seen::Rejected { reason: "it's \0 closed".into(), class }));
    let abouts = [
        About::Item(order.items[0].wire_ref.clone()),
        About::Instruction(order.id),
        About::Destination("acct_\0".into()),
    ];
    let mut names = Vec::new();
    for (place, what) in sayings.into_iter().enumerate() {
        let name = format!("evt {place} \u{4e2d} \0 '\" {}", what.as_str());
        let mut event = said(&name, what);
        event.about = abouts[place % 3].clone();
        event.amount = (place % 2 == 0).then_some(Money::new(-7, read("USD")));
        event.occurred_at = (place % 2 == 1).then_some(Timestamp::MIN);
        let mut one = taken(event, (place % 3 != 2).then_some(order.id), now);
        one.verdict = Verdict::ALL[place % 3];
        ports.commit(insert(New::RailEvent(one))).await;
        names.push(name);
    }
    names.sort();
    let mut found = ports.repository.taken_events(&read("simulator"), &names).await.unwrap();
    found.sort();
    assert_eq!(found, names, "as they were asked for");
}

pub async fn only_names_that_were_taken_are_known(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let all: Vec<String> = (0..300).map(|number| format!("evt_{number:03}")).collect();
    let every_third: Vec<String> = all.iter().step_by(3).cloned().collect();
    let news = every_third.iter().map(|name| New::RailEvent(taken(said(name, Seen::Recalled), None, now)));
    ports.commit(Change { insert: news.collect(), ..Change::default() }).await;
    let rail = read("simulator");
    let mut found = ports.repository.taken_events(&rail, &all).await.unwrap();
    found.sort();
    assert_eq!(found, every_third);
    let found = ports.repository.taken_events(&rail, &named(&["evt_003", "evt_004", "evt_003"])).await.unwrap();
    assert_eq!(found, ["evt_003"], "once, however often it is asked for");
    assert_eq!(ports.repository.taken_events(&read("other"), &all).await.unwrap(), [""; 0]);
}

/// Each is told a few things at once, in an order of their own.
pub async fn of_many_who_are_told_the_same_one_takes_it(bench: &dyn Bench) {
    const LISTENERS: usize = 12;
    let ports = bench.ports();
    let now = ports.now().await;
    for turn in 0..5 {
        let start = Arc::new(Barrier::new(LISTENERS));
        let listeners: Vec<_> = (0..LISTENERS)
            .map(|listener| {
                let (ports, start) = (ports.clone(), start.clone());
                let names = (0..6).map(move |name| format!("evt_{turn}_{}", (name + listener) % 6));
                let news = names.map(|name| New::RailEvent(taken(said(&name, Seen::Recalled), None, now)));
                let change = Change { insert: news.collect(), ..Change::default() };
                tokio::spawn(async move {
                    start.wait().await;
                    ports.repository.commit(change).await
                })
            })
            .collect();
        let mut won = 0;
        for listener in listeners {
            match listener.await.unwrap() {
                Ok(()) => won += 1,
                Err(CommitError::Duplicate(DuplicateKey::RailEvent(..))) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(won, 1);
    }
}

pub async fn what_is_said_of_nothing_of_ours_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    let unknown = Some(InstructionId::new(fresh()));
    let event = taken(said("evt_1", Seen::Recalled), unknown, ports.now().await);
    let error = refused(&ports, insert(New::RailEvent(event))).await;
    assert!(matches!(error, CommitError::Store(_)), "{error:?}");
    assert_eq!(ports.repository.taken_events(&read("simulator"), &named(&["evt_1"])).await.unwrap(), [""; 0]);
}

pub async fn whoever_is_paid_there_is_found(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let account = "acct_\u{e9}'\" \\ %_\0";
    for (name, rail, details) in [
        ("rec_ana", "connect", json!({ "account": account, "n": 1 })),
        ("rec_bob", "connect", json!({ "account": format!("{account}1") })),
        ("rec_cyd", "connect", json!({ "n": 1, "old": account })),
        ("rec_dan", "other", json!({ "account": account })),
        ("rec_eve", "connect", json!({ "nested": { "account": account }, "list": [account] })),
        ("rec_fay", "connect", json!({ account: "value" })),
        ("rec_gus", "connect", json!({ "account": account.to_uppercase(), "n": null })),
    ] {
        let mut who = recipient(name, now);
        who.status = if name == "rec_cyd" { RecipientStatus::Blocked } else { who.status };
        who.destination.rail = read(rail);
        who.destination.details = details.as_object().unwrap().clone();
        ports.commit(insert(New::Recipient(who))).await;
    }
    let found = async |rail: &str, value: &str| {
        let mut found = ports.repository.recipients_paid_at(&read(rail), value).await.unwrap();
        found.sort();
        found
    };
    assert_eq!(found("connect", account).await, [read("rec_ana"), read("rec_cyd")]);
    assert_eq!(found("other", account).await, [read("rec_dan")]);
    assert_eq!(found("connect", "1").await, [], "a number is no such value");
    assert_eq!(found("connect", "").await, []);
}
