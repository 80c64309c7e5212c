//! What was moved, as lists.

use super::{World, instruction, show_all};
use app::ports::{PayoutRail, rail::RailEvent};
use domain::timestamp::Timestamp;

/// As the simulator counts: the n-th transfer is made n seconds after this.
const FIRST_AT: i64 = 1_700_000_000;

async fn sweep(world: &World, since_seconds: i64) -> (Vec<RailEvent>, usize) {
    let since = Timestamp::from_unix_micros(since_seconds * 1_000_000);
    let (mut events, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = world.rail.list(since, cursor).await.unwrap();
        events.extend(page.events);
        pages += 1;
        cursor = page.next;
        if cursor.is_none() {
            return (events, pages);
        }
    }
}

#[tokio::test]
async fn everything_is_told_oldest_first_and_once_however_long_the_list_is() {
    let world = World::new().await;
    assert_eq!(sweep(&world, 0).await, (Vec::new(), 1));
    for n in 1..=230 {
        world.rail.submit(&instruction(n)).await;
    }
    for (since, expected, pages) in [
        (0, 230, 3),
        (FIRST_AT + 101, 130, 2),
        (FIRST_AT + 131, 100, 1),
        (FIRST_AT + 230, 1, 1),
        (FIRST_AT + 231, 0, 1),
    ] {
        let (events, in_pages) = sweep(&world, since).await;
        assert_eq!(in_pages, pages, "since {since}");
        let names: Vec<&str> = events.iter().map(|event| event.dedupe.as_str()).collect();
        let first = 231 - expected;
        let wanted: Vec<String> =
            (first..=230).map(|n| format!("{}/settled", instruction(n).items[0].wire_ref)).collect();
        assert_eq!(names, wanted, "since {since}");
    }
}

#[tokio::test]
async fn what_came_back_is_told_and_what_is_not_ours_is_not() {
    let world = World::new().await;
    world.stripe.foreign_transfer("acct_paid", None);
    world.rail.submit(&instruction(1)).await;
    world.stripe.foreign_transfer("acct_paid", Some("theirs"));
    let id = world.stripe.transfers()[1]["id"].as_str().unwrap().to_owned();
    world.stripe.reverse(&id, 200);
    let (events, _) = sweep(&world, 0).await;
    assert_eq!(show_all(&events), "settled of 5.00 USD, returned 2.00 USD of 5.00 USD");
    // The same is told in the same name by whoever asks about the one.
    let app::ports::rail::Lookup::Found(asked) = world.rail.query(&instruction(1)).await else { panic!() };
    let names = |events: &[RailEvent]| events.iter().map(|event| event.dedupe.clone()).collect::<Vec<_>>();
    assert_eq!(names(&asked), names(&events));
}

#[tokio::test]
async fn the_book_is_read_page_by_page_whatever_their_size() {
    let world = World::new().await;
    for n in 1..=120 {
        if n % 3 == 0 {
            world.stripe.foreign_transfer("acct_paid", None);
        }
        world.rail.submit(&instruction(n)).await;
    }
    let id = world.stripe.transfers()[0]["id"].as_str().unwrap().to_owned();
    world.stripe.reverse(&id, 200);
    for limit in [1, 7, 100, 1_000] {
        let (mut keys, mut executed, mut after) = (Vec::new(), 0, None);
        loop {
            let page = world.rail.book(after, limit).await.unwrap().unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit as usize, "{limit}");
            after = Some(last.cursor.clone());
            keys.extend(page.iter().map(|entry| entry.key.clone()));
            executed += page.iter().map(|entry| entry.executed.amount_minor).sum::<i64>();
        }
        let expected: Vec<String> = (1..=120).map(|n| instruction(n).id.to_string()).collect();
        assert_eq!(keys, expected, "{limit}");
        assert_eq!(executed, 120 * 500 - 200);
    }
}
