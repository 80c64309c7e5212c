//! Callers who release as the contract asks them to: what is not answered, or answered 503, is sent again, to another
//! server.

use crate::bench::chance::Chance;
use crate::failure::{Failure, Result};
use crate::http::{self, Answer};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How many requests are under way at a time.
const CALLERS: usize = 64;
/// Between two tries: who is dead answers at once.
const PAUSE: Duration = Duration::from_millis(20);
/// After so long without an answer that says what became of it, something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// One of so many orders repeats an escrow.
const REPEATED_ONE_OF: usize = 10;

/// A release to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Which escrow: from 0 without gaps.
    pub escrow: usize,
    /// The server that is asked first.
    server: usize,
}

/// Of so many orders how many are escrows.
pub fn escrows(orders: usize) -> usize {
    orders - orders / REPEATED_ONE_OF
}

/// Orders as they are to be sent. A tenth repeats an escrow: half of those right behind the first, so that both are under
/// way at once, the others at any time later.
pub fn plan(orders: usize, servers: usize, chance: &mut Chance) -> Vec<Order> {
    let escrows = escrows(orders);
    let mut placed: Vec<(usize, usize)> = (0..escrows).map(|escrow| (escrow, escrow)).collect();
    for place in escrows..orders {
        let escrow = chance.below(escrows);
        let later = if place % 2 == 0 { 0 } else { chance.below(escrows - escrow) };
        placed.push((escrow + later, escrow));
    }
    // It keeps the order of what has the same place, and the first of an escrow was put down first.
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, escrow)| Order { escrow, server: chance.below(servers) }).collect()
}

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// About which escrow.
    pub escrow: usize,
    /// Its batch.
    pub batch: String,
    /// 201: it was booked now. Otherwise 409: it was booked already.
    pub is_new: bool,
}

/// What became of all orders.
#[derive(Debug, Default)]
pub struct Sent {
    /// One for each order.
    pub told: Vec<Told>,
    /// Tries that nobody answered.
    pub unanswered: usize,
    /// Tries that were answered 503.
    pub unavailable: usize,
    /// How long it took.
    pub took: Duration,
}

/// Sends all of them, unless `is_over`.
pub fn send(orders: &[Order], servers: &[SocketAddr], token: &str, is_over: &AtomicBool) -> Result<Sent> {
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    let caller = || {
        let mut sent = Sent::default();
        while let Some(order) = orders.get(next.fetch_add(1, Relaxed)) {
            let told = persist(*order, servers, token, is_over, &mut sent);
            // The others need not go on.
            sent.told.push(told.inspect_err(|_| is_over.store(true, Relaxed))?);
        }
        Ok(sent)
    };
    let mut all = Sent::default();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(caller)).collect();
        for caller in callers {
            let sent: Sent = caller.join().map_err(|_| Failure::new("a caller panicked"))??;
            all.told.extend(sent.told);
            all.unanswered += sent.unanswered;
            all.unavailable += sent.unavailable;
        }
        Ok(())
    })?;
    all.took = started.elapsed();
    Ok(all)
}

fn persist(order: Order, servers: &[SocketAddr], token: &str, is_over: &AtomicBool, sent: &mut Sent) -> Result<Told> {
    let (body, deadline) = (release(order.escrow), Instant::now() + PATIENCE);
    for server in servers.iter().cycle().skip(order.server) {
        let last = match http::send(*server, "POST", "/revenue/schedule-payouts", Some(token), Some(&body)) {
            Ok(Answer { status: 503, body }) => {
                sent.unavailable += 1;
                body
            }
            Ok(answer) => return read(order.escrow, &answer),
            // It is being killed, or not there again yet.
            Err(failure) => {
                sent.unanswered += 1;
                failure.to_string()
            }
        };
        if Instant::now() > deadline || is_over.load(Relaxed) {
            return Err(Failure::new(format!("{body} was not booked: {last}")));
        }
        std::thread::sleep(PAUSE);
    }
    Err(Failure::new("there is no server"))
}

/// The name of an escrow. They come in no order, as those of a caller do.
pub fn escrow_id(escrow: usize) -> String {
    // An odd factor: no two are alike.
    format!("esc_{:016x}", (escrow as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn release(escrow: usize) -> String {
    let (id, amount) = (escrow_id(escrow), 100 + (escrow * 7919) % 1_000_003);
    format!(r#"{{"escrowId":"{id}","projectId":"prj_bench","milestoneId":"ms_1","amount":{amount},"currency":"USD"}}"#)
}

/// Any answer but 201 and 409 `already_scheduled`, about the same request, is a failure.
fn read(escrow: usize, answer: &Answer) -> Result<Told> {
    let (status, body) = (answer.status, &answer.body);
    let is_repeated =
        status == 409 && body.contains(r#""already_scheduled""#) && body.contains(r#""requestMatches":true"#);
    match http::text(body, "batchId") {
        Some(batch) if status == 201 || is_repeated => {
            Ok(Told { escrow, batch: batch.to_owned(), is_new: status == 201 })
        }
        _ => Err(Failure::new(format!("{} was answered {status}: {body}", escrow_id(escrow)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_tenth_of_the_orders_repeats_an_escrow_that_was_sent_before() {
        let orders = plan(1_000, 3, &mut Chance::seeded(5));
        let (mut seen, mut repeated, mut behind) = (BTreeSet::new(), 0, 0);
        for (place, order) in orders.iter().enumerate() {
            if seen.insert(order.escrow) {
                assert_eq!(order.escrow + 1, seen.len(), "the first of each escrow come in their order");
            } else {
                repeated += 1;
                behind += usize::from(orders[place.saturating_sub(3)..place].iter().any(|o| o.escrow == order.escrow));
            }
            assert!(order.server < 3);
        }
        assert_eq!((orders.len(), seen.len(), repeated), (1_000, 900, 100));
        assert!((50..70).contains(&behind), "{behind}");
    }

    #[test]
    fn no_two_escrows_have_one_name() {
        let names: BTreeSet<String> = (0..10_000).map(escrow_id).collect();
        assert_eq!(names.len(), 10_000);
    }

    #[test]
    fn only_what_says_that_it_is_booked_is_believed() {
        let answer = |status, body: &str| read(4, &Answer { status, body: body.into() });
        let told = |is_new| Ok(Told { escrow: 4, batch: "bat_1".into(), is_new });
        let repeated = r#"{"code":"already_scheduled","existing":{"batchId":"bat_1","requestMatches":true}}"#;
        assert_eq!(answer(201, r#"{"batchId":"bat_1","status":"scheduled"}"#), told(true));
        assert_eq!(answer(409, repeated), told(false));
        for (status, body) in [
            (409, &*repeated.replace("true", "false")),
            (409, &repeated.replace("already_scheduled", "stale")),
            (500, repeated),
            (201, "{}"),
        ] {
            assert!(answer(status, body).is_err(), "{status} {body}");
        }
    }
}
