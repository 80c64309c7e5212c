//! What the simulator tells by itself.

use super::{WEBHOOK_SECRET, World, instruction, money};
use crate::harness::stripe::sign;
use app::ports::{
    PayoutRail,
    rail::{About, Inbound, IngestError, RailEvent, Seen},
};
use domain::timestamp::Timestamp;

const NOW_SECONDS: i64 = 1_700_000_100;

fn message(body: &str, secrets: &[&str]) -> Inbound {
    Inbound {
        headers: vec![("stripe-signature".to_owned(), sign(body, secrets, NOW_SECONDS))],
        body: body.as_bytes().to_vec(),
        received_at: Timestamp::from_unix_micros(NOW_SECONDS * 1_000_000),
    }
}

fn hear(world: &World) -> Vec<RailEvent> {
    let events = world.stripe.events();
    let heard = events.iter().map(|event| world.rail.ingest(&message(&event.to_string(), &[WEBHOOK_SECRET])).unwrap());
    heard.flatten().collect()
}

#[tokio::test]
async fn what_happens_is_told_and_understood() {
    let world = World::new().await;
    world.rail.submit(&instruction(7)).await;
    let id = world.stripe.transfers()[0]["id"].as_str().unwrap().to_owned();
    world.stripe.reverse(&id, 200);
    world.stripe.foreign_transfer("acct_paid", None);
    world.stripe.account("acct_waiting", "active");

    let told: Vec<(About, Seen)> = hear(&world).into_iter().map(|event| (event.about, event.what)).collect();
    let (item, reference) = (About::Item(instruction(7).items[0].wire_ref.clone()), Some(id));
    let account = |id: &str| (About::Destination(id.to_owned()), Seen::DetailsChanged);
    let returned = Seen::Returned {
        reason: "transfer_reversed".to_owned(),
        returned: money(200, "USD"),
        reference: reference.clone(),
    };
    let expected = [
        account("acct_paid"),
        account("acct_waiting"),
        (item.clone(), Seen::Settled { reference }),
        (item, returned),
        account("acct_waiting"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_message_twice_has_the_same_names_and_a_forged_one_says_nothing() {
    let world = World::new().await;
    world.rail.submit(&instruction(7)).await;
    assert_eq!(hear(&world), hear(&world));
    let body = world.stripe.events()[0].to_string();
    // While a secret is rolled, each message is signed with both.
    assert!(world.rail.ingest(&message(&body, &["whsec_other", WEBHOOK_SECRET])).is_ok());
    let forged =
        [message(&body, &["whsec_other"]), Inbound { body: b"{}".to_vec(), ..message(&body, &[WEBHOOK_SECRET]) }];
    for forged in forged {
        assert!(matches!(world.rail.ingest(&forged), Err(IngestError::Forged(_))));
    }
}
