//! The simulator, in our process and over HTTP: its benches, what each of its behaviours ends as, and what it is told to
//! do wrong.

use super::{
    LATER, RailBench, accepted, asked, book, instruction, listed, order,
    served::{self, Inbox, Served},
    words,
};
use adapters::{
    ids::UuidV7,
    rails::simulator::{Simulator, provider::SimulatorHttp, signature},
};
use app::ports::{
    Clock, PayoutRail, SimulatorBook, SimulatorFaults, SimulatorNotifications, StoreError,
    queries::Page,
    rail::{
        Behaviour, Class, Conduct, Inbound, IngestError, Lookup, NewFault, Preflight, RailEvent, Recall, Seen,
        SimulatorSettings, Submit, TransferStatus,
    },
};
use domain::{instruction::Instruction, money::Money, recipient::Destination, timestamp::Timestamp};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::sync::watch;

/// A clock that moves when it is told to.
struct HandClock(AtomicI64);

#[async_trait::async_trait]
impl Clock for HandClock {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst)))
    }
    fn steady(&self) -> Duration {
        Duration::ZERO
    }
}

/// The provider in our process.
pub(super) struct InProcess {
    folder: TempDir,
    clock: Arc<HandClock>,
}

pub(super) async fn in_process() -> InProcess {
    let start: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    InProcess { folder: tempfile::tempdir().unwrap(), clock: Arc::new(HandClock(AtomicI64::new(start.unix_micros()))) }
}

/// The provider behind a server, and whoever it notifies.
pub(super) struct OverHttp {
    provider: Served,
    inbox: Inbox,
    _receiver: Served,
    _stop: watch::Sender<bool>,
    _folder: TempDir,
}

const SECRET: &[u8] = b"a secret that both sides know";

pub(super) async fn over_http() -> OverHttp {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.db");
    let http = SimulatorHttp::open(&file, Arc::new(UuidV7), Some(SECRET.to_vec())).await.unwrap();
    let inbox = Inbox::default();
    let receiver = Served::start(served::receiver(inbox.clone())).await;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(http.provider().post_notifications(receiver.url(), stopped));
    let provider = Served::start(served::provider(http)).await;
    OverHttp { provider, inbox, _receiver: receiver, _stop: stop, _folder: folder }
}

/// What both benches can.
trait SimulatorBench: RailBench {
    async fn simulator(&self) -> Simulator;
}

impl SimulatorBench for InProcess {
    async fn simulator(&self) -> Simulator {
        let file = self.folder.path().join("simulator.db");
        Simulator::open_local(&file, Arc::new(UuidV7), self.clock.clone(), None).await.unwrap()
    }
}

impl SimulatorBench for OverHttp {
    async fn simulator(&self) -> Simulator {
        Simulator::connect(&self.provider.url(), Some(SECRET.to_vec())).unwrap()
    }
}

/// A destination on the simulator.
fn to(details: Value) -> Destination {
    Destination { rail: "simulator".parse().unwrap(), details: details.as_object().cloned().unwrap() }
}

macro_rules! destinations {
    () => {
        fn payable(&self) -> Destination {
            to(json!({}))
        }
        fn refused(&self) -> Destination {
            to(json!({ "outcome": "declined" }))
        }
        fn unusable(&self) -> (Destination, &'static str) {
            (to(json!({ "outcome": "maybe" })), "/details/outcome")
        }
        fn paid_later(&self) -> Destination {
            to(json!({ "behaviour": "slow", "after": "60s" }))
        }
        fn must_act(&self) -> Destination {
            to(json!({ "behaviour": "kyc_hold" }))
        }
        async fn rail(&self) -> Arc<dyn PayoutRail> {
            Arc::new(self.simulator().await)
        }
    };
}

/// As it is when it comes: at the instant of its signature.
fn just_come(message: Inbound) -> Inbound {
    let value = message.header(signature::HEADER).unwrap();
    let seconds: i64 = value.strip_prefix("t=").and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap();
    Inbound { received_at: Timestamp::from_unix_micros(seconds * 1_000_000), ..message }
}

impl RailBench for InProcess {
    destinations!();
    async fn pass(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
    async fn told(&self, messages: usize) -> Vec<Inbound> {
        let simulator = self.simulator().await;
        let due = simulator.due_notifications(100).await.unwrap();
        assert_eq!(due.len(), messages, "{due:?}");
        assert_eq!(simulator.due_notifications(100).await.unwrap(), [], "nobody else gets them");
        let mut told = Vec::new();
        for notification in due {
            simulator.mark_delivered(&notification.id).await.unwrap();
            let received_at = self.clock.now().await.unwrap();
            told.push(Inbound { headers: notification.headers, body: notification.body, received_at });
        }
        told
    }
}

impl RailBench for OverHttp {
    destinations!();
    async fn pass(&self, by: Duration) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}/test/clock/advance", self.provider.url()));
        let answer = request.json(&json!({ "seconds": by.as_secs() })).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
    async fn told(&self, messages: usize) -> Vec<Inbound> {
        loop {
            {
                let mut taken = self.inbox.taken.lock().unwrap();
                assert!(taken.len() <= messages, "{taken:?}");
                if taken.len() == messages {
                    return std::mem::take(&mut *taken).into_iter().map(just_come).collect();
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn sent(simulator: &Simulator, n: u128, details: Value) -> Instruction {
    let order = order(n, 500, to(details));
    assert_eq!(simulator.check(&order.destination), Ok(()));
    instruction(simulator, n, &order)
}

/// What it says by now, in words, with what came back.
async fn says(simulator: &Simulator, sent: &Instruction) -> String {
    said(&asked(simulator, sent).await)
}

fn said(events: &[RailEvent]) -> String {
    let each = events.iter().map(|event| match &event.what {
        Seen::Rejected { reason, class } => format!("rejected {reason} {}", class.as_str()),
        Seen::Returned { reason, returned, .. } => format!("returned {reason} {}", returned.amount_minor),
        other => other.as_str().to_owned(),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// What the book shows to people.
async fn shown(simulator: &Simulator) -> Vec<(&'static str, i64, i64)> {
    let page = simulator.transfers(Page { limit: 100, after: None }).await.unwrap();
    let each = page.data.into_iter().rev();
    each.map(|transfer| (transfer.outcome, transfer.executed.amount_minor, transfer.returned.amount_minor)).collect()
}

fn fault(behaviour: Behaviour, times: Option<u32>) -> NewFault {
    NewFault { conduct: Conduct::usual(behaviour), recipient: None, times }
}

async fn a_decline_says_why_and_what_to_do(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let codes = [
        ("account_closed", Class::Fail),
        ("invalid_account", Class::Fail),
        ("compliance_rejected", Class::Fail),
        ("insufficient_funds", Class::Ops),
        ("could_not_process", Class::Retry),
    ];
    for (n, (code, class)) in (1..).zip(codes) {
        let sent = sent(&simulator, n, json!({ "behaviour": "decline", "code": code })).await;
        let refused = Submit::Refused { reason: code.to_owned(), class };
        assert_eq!(simulator.submit(&sent).await, refused);
        assert_eq!(says(&simulator, &sent).await, format!("rejected {code} {}", class.as_str()));
    }
    assert!(shown(&simulator).await.iter().all(|shown| *shown == ("declined", 0, 0)));
}

async fn what_was_declined_may_be_paid_under_a_new_key(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    simulator.set_fault(NewFault { times: Some(1), ..fault(Behaviour::Decline, None) }).await.unwrap();
    let first = sent(&simulator, 1, json!({})).await;
    let refused = simulator.submit(&first).await;
    assert!(matches!(refused, Submit::Refused { .. }));
    accepted(&simulator, &sent(&simulator, 2, json!({})).await).await;
    assert_eq!(simulator.submit(&first).await, refused, "not under the old one");
    assert_eq!(simulator.faults().await.unwrap(), [], "it is used up");
}

async fn a_call_that_is_lost_on_its_way_is_not_executed(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let check = |name: &str, answer: &Submit| match name {
        "timeout_before" | "error_500_then_success" => assert!(matches!(answer, Submit::Unknown { .. }), "{answer:?}"),
        "rate_limit" => {
            let Submit::NotSent { retry_after, ours: false, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(*retry_after, Some(Duration::from_secs(7)));
        }
        _ => assert!(matches!(answer, Submit::NotSent { retry_after: None, ours: false, .. }), "{answer:?}"),
    };
    let lost = [
        ("timeout_before", json!({ "behaviour": "timeout_before" })),
        ("error_500_then_success", json!({ "behaviour": "error_500_then_success" })),
        ("rate_limit", json!({ "behaviour": "rate_limit", "retryAfter": "7s" })),
        ("unavailable", json!({ "behaviour": "unavailable" })),
    ];
    for (n, (name, details)) in (1..).zip(lost) {
        let sent = sent(&simulator, n, details).await;
        check(name, &simulator.submit(&sent).await);
        assert_eq!(simulator.query(&sent).await, Lookup::ProvenAbsent, "{name}");
        // The next call under the key arrives.
        assert_eq!(words(&accepted(&simulator, &sent).await), ["settled"], "{name}");
    }
    assert_eq!(shown(&simulator).await, [("paid", 500, 0); 4]);
}

async fn as_many_calls_are_lost_as_was_asked_for(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let sent = sent(&simulator, 1, json!({ "behaviour": "rate_limit", "times": "3" })).await;
    for _ in 0..3 {
        assert!(matches!(simulator.submit(&sent).await, Submit::NotSent { .. }));
    }
    accepted(&simulator, &sent).await;
}

async fn an_answer_that_is_lost_takes_nothing_back(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let sent = sent(&simulator, 1, json!({ "behaviour": "timeout_after" })).await;
    let started = Instant::now();
    assert!(matches!(simulator.submit(&sent).await, Submit::Unknown { .. }));
    assert!(started.elapsed() < Duration::from_secs(5), "it comes back in time");
    assert_eq!(says(&simulator, &sent).await, "settled");
    assert_eq!(words(&accepted(&simulator, &sent).await), ["settled"]);
    assert_eq!(shown(&simulator).await, [("paid", 500, 0)]);
}

async fn what_is_slow_is_pending_and_then_paid(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let sent = sent(&simulator, 1, json!({ "behaviour": "slow" })).await;
    accepted(&simulator, &sent).await;
    assert_eq!(shown(&simulator).await, [("pending", 0, 0)]);
    bench.pass(Duration::from_secs(6)).await;
    assert_eq!(shown(&simulator).await, [("paid", 500, 0)]);
    assert_eq!(words(&accepted(&simulator, &sent).await), ["accepted"], "the first answer is repeated");
    assert_eq!(told(bench, &simulator, 1).await, ["settled"]);
}

/// What it tells by itself, in words.
async fn told(bench: &impl SimulatorBench, simulator: &Simulator, messages: usize) -> Vec<String> {
    let told = bench.told(messages).await;
    told.iter().map(|message| simulator.ingest(message).map_or_else(|_| "forged".to_owned(), |it| said(&it))).collect()
}

async fn a_notification_may_come_twice(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    accepted(&simulator, &sent(&simulator, 1, json!({ "behaviour": "duplicate_notification" })).await).await;
    bench.pass(LATER).await;
    let told = bench.told(2).await;
    let [first, second] = [&told[0], &told[1]].map(|message| simulator.ingest(message).unwrap());
    assert_eq!(first, second);
}

async fn notifications_may_come_in_the_wrong_order(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let sent = sent(&simulator, 1, json!({ "behaviour": "out_of_order_notification", "after": "60s" })).await;
    accepted(&simulator, &sent).await;
    bench.pass(Duration::from_secs(60 * 2)).await;
    assert_eq!(told(bench, &simulator, 1).await, ["returned account_closed 500"]);
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(told(bench, &simulator, 1).await, ["settled"]);
    assert_eq!(says(&simulator, &sent).await, "accepted, settled, returned account_closed 500");
}

async fn a_notification_may_be_forged(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let sent = sent(&simulator, 1, json!({ "behaviour": "forged_notification" })).await;
    accepted(&simulator, &sent).await;
    bench.pass(LATER).await;
    let told = bench.told(2).await;
    let mut claims = Vec::new();
    for message in &told {
        match simulator.ingest(message) {
            Ok(events) => assert_eq!(words(&events), ["settled"]),
            Err(IngestError::Forged(_)) => claims.push(String::from_utf8_lossy(&message.body).into_owned()),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(matches!(claims.as_slice(), [claim] if claim.contains("transfer.returned")), "{claims:?}");
    assert_eq!(says(&simulator, &sent).await, "accepted, settled");
}

async fn what_was_paid_may_come_back_days_later(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let all = sent(&simulator, 1, json!({ "behaviour": "late_return" })).await;
    let part = sent(
        &simulator,
        2,
        json!({ "behaviour": "late_return", "after": "3d", "returned": "120", "code": "no_account" }),
    )
    .await;
    assert_eq!(words(&accepted(&simulator, &all).await), ["settled"]);
    assert_eq!(words(&accepted(&simulator, &part).await), ["settled"]);
    assert_eq!(book(&simulator).await.iter().map(|(_, kept)| *kept).sum::<i64>(), 1_000);
    bench.pass(Duration::from_secs(3 * 86_400)).await;
    assert_eq!(told(bench, &simulator, 1).await, ["returned no_account 120"]);
    bench.pass(Duration::from_secs(2 * 86_400)).await;
    assert_eq!(told(bench, &simulator, 1).await, ["returned account_closed 500"]);
    assert_eq!(says(&simulator, &part).await, "settled, returned no_account 120");
    assert_eq!(shown(&simulator).await, [("returned", 500, 500), ("returned", 500, 120)]);
    assert_eq!(book(&simulator).await, [(all.id.to_string(), 0), (part.id.to_string(), 380)]);
    let late = listed(&simulator, Timestamp::MIN).await;
    assert_eq!(said(&late), "settled, settled, returned no_account 120, returned account_closed 500");
}

async fn a_hold_ends_when_the_details_change(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let held = sent(&simulator, 1, json!({ "behaviour": "kyc_hold" })).await;
    let refused = Submit::Refused { reason: "kyc_required".to_owned(), class: Class::Hold };
    assert_eq!(simulator.submit(&held).await, refused);
    assert_eq!(shown(&simulator).await, [("held", 0, 0)]);
    let verified = json!({ "behaviour": "kyc_hold", "verified": "true" });
    assert_eq!(simulator.preflight(&to(verified.clone())).await, Preflight::Ready);
    assert_eq!(words(&accepted(&simulator, &sent(&simulator, 2, verified).await).await), ["settled"]);
    assert_eq!(simulator.submit(&held).await, refused, "not under the old key");
}

async fn another_amount_may_be_executed_than_ordered(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let sent = sent(&simulator, 1, json!({ "behaviour": "wrong_amount", "amount": "499" })).await;
    let usd = |minor| Some(Money::new(minor, "USD".parse().unwrap()));
    assert_eq!(accepted(&simulator, &sent).await[0].amount, usd(499));
    bench.pass(Duration::from_secs(2)).await;
    let message = bench.told(1).await.remove(0);
    assert_eq!(simulator.ingest(&message).unwrap()[0].amount, usd(499));
    assert_eq!(book(&simulator).await, [(sent.id.to_string(), 499)]);
}

async fn what_is_silent_is_executed_and_cannot_be_learned(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let silent = sent(&simulator, 1, json!({ "behaviour": "silent", "after": "1h" })).await;
    assert!(matches!(simulator.submit(&silent).await, Submit::Unknown { .. }));
    assert!(matches!(simulator.query(&silent).await, Lookup::CannotTell { .. }));
    assert!(matches!(simulator.recall(&silent, &[silent.items[0].item]).await, Recall::Unknown { .. }));
    assert_eq!(listed(&simulator, Timestamp::MIN).await, []);
    assert_eq!(book(&simulator).await, [(silent.id.to_string(), 500)], "its own book knows");
    bench.pass(Duration::from_secs(3_600)).await;
    assert_eq!(says(&simulator, &silent).await, "settled");
    assert_eq!(words(&accepted(&simulator, &silent).await), ["settled"]);
    assert_eq!(book(&simulator).await.len(), 1);
}

async fn a_fault_happens_to_as_many_calls_as_it_says(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let set = simulator.set_fault(fault(Behaviour::RateLimit, Some(2))).await.unwrap();
    assert_eq!(bench.simulator().await.faults().await.unwrap(), [set], "every process sees it");
    let mut calls = Vec::new();
    for n in 1..=10 {
        let (simulator, sent) = (bench.simulator().await, sent(&simulator, n, json!({})).await);
        calls.push(tokio::spawn(async move { simulator.submit(&sent).await }));
    }
    let mut lost = 0;
    for call in calls {
        lost += u32::from(matches!(call.await.unwrap(), Submit::NotSent { .. }));
    }
    assert_eq!(lost, 2);
    assert_eq!(simulator.faults().await.unwrap(), []);
}

async fn a_fault_of_a_recipient_is_nobody_elses_and_comes_first(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    simulator.set_fault(fault(Behaviour::Slow, None)).await.unwrap();
    let declined = NewFault { recipient: Some("rec_2".to_owned()), ..fault(Behaviour::Decline, None) };
    let declined = simulator.set_fault(declined).await.unwrap();
    let [one, two] = [sent(&simulator, 1, json!({})).await, sent(&simulator, 2, json!({})).await];
    assert_eq!(words(&accepted(&simulator, &one).await), ["accepted"]);
    assert!(matches!(simulator.submit(&two).await, Submit::Refused { .. }));
    assert_eq!(simulator.clear_faults(Some(declined.id)).await, Ok(1));
    assert_eq!(simulator.clear_faults(None).await, Ok(1));
    assert_eq!(words(&accepted(&simulator, &sent(&simulator, 3, json!({})).await).await), ["settled"]);
}

async fn a_fault_is_read_back_as_it_was_set(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let conducts = [
        Conduct { code: Some("no_account".to_owned()), ..Conduct::usual(Behaviour::Decline) },
        Conduct { retry_after: Some(Duration::from_secs(90)), ..Conduct::usual(Behaviour::RateLimit) },
        Conduct { amount_minor: Some(7), ..Conduct::usual(Behaviour::WrongAmount) },
        Conduct {
            after: Some(Duration::from_millis(1_500)),
            returned_minor: Some(3),
            ..Conduct::usual(Behaviour::LateReturn)
        },
    ];
    let mut set = Vec::new();
    for conduct in conducts {
        let new = NewFault { conduct: conduct.clone(), recipient: Some("rec_1".to_owned()), times: Some(3) };
        let fault = simulator.set_fault(new).await.unwrap();
        assert_eq!((&fault.conduct, fault.times_left), (&conduct, Some(3)));
        set.push(fault);
    }
    assert_eq!(simulator.faults().await.unwrap(), set);
}

async fn nothing_is_answered_while_it_cannot_be_reached(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    let paid = sent(&simulator, 1, json!({})).await;
    accepted(&simulator, &paid).await;
    simulator.set_fault(fault(Behaviour::Unavailable, None)).await.unwrap();
    let next = sent(&simulator, 2, json!({})).await;
    assert!(matches!(simulator.submit(&next).await, Submit::NotSent { .. }));
    assert!(matches!(simulator.query(&paid).await, Lookup::CannotTell { .. }));
    assert!(matches!(simulator.recall(&paid, &[paid.items[0].item]).await, Recall::Unknown { .. }));
    assert!(simulator.list(Timestamp::MIN, None).await.is_err());
    assert!(simulator.book(None, 10).await.is_err());
    assert_eq!(simulator.preflight(&to(json!({ "behaviour": "kyc_hold" }))).await, Preflight::CannotTell);
    assert_eq!(shown(&simulator).await, [("paid", 500, 0)], "people can look at its book all the same");
    simulator.clear_faults(None).await.unwrap();
    accepted(&simulator, &next).await;
}

async fn a_key_that_is_forgotten_executes_again(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    assert_eq!(simulator.profile().replay_window, None);
    let window = Duration::from_secs(3_600);
    let settings = SimulatorSettings { replay_window: Some(window), calls_per_second_max: 25 };
    simulator.change_settings(settings).await.unwrap();
    let paid = sent(&simulator, 1, json!({})).await;
    let first = accepted(&simulator, &paid).await;
    let other = bench.simulator().await;
    assert_eq!(other.query(&paid).await, Lookup::Found(first.clone()));
    for simulator in [&simulator, &other] {
        let profile = simulator.profile();
        assert_eq!((profile.replay_window, profile.calls_per_second_max), (Some(window), 25));
    }
    bench.pass(window - Duration::from_secs(60)).await;
    assert_eq!(accepted(&simulator, &paid).await, first);
    bench.pass(Duration::from_secs(61)).await;
    let second = accepted(&simulator, &paid).await;
    assert_ne!(second, first);
    assert_eq!(words(&asked(&simulator, &paid).await), ["settled", "settled"], "and it hides neither");
    assert_eq!(book(&simulator).await, [(paid.id.to_string(), 500), (paid.id.to_string(), 500)]);
}

async fn transfers_are_listed_newest_first_page_by_page(bench: &impl SimulatorBench) {
    let simulator = bench.simulator().await;
    for n in 1..=5 {
        accepted(&simulator, &sent(&simulator, n, json!({})).await).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = simulator.transfers(Page { limit: 2, after }).await.unwrap();
        for transfer in &page.data {
            assert!(transfer.outcome.parse::<TransferStatus>().is_ok());
            seen.push(transfer.recipient.clone());
        }
        after = page.data.last().map(|transfer| transfer.id.clone());
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, ["rec_5", "rec_4", "rec_3", "rec_2", "rec_1"]);
}

/// Runs every promise in our process and over HTTP.
macro_rules! both_ways {
    ($($promise:ident)+) => {
        mod in_our_process {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                let bench = super::in_process().await;
                let kept = super::$promise(&bench);
                tokio::time::timeout(crate::contracts::rails::HANGS, kept).await.expect("it comes to an end");
            }
        )+}
        mod over_the_wire {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $promise() {
                let bench = super::over_http().await;
                let kept = super::$promise(&bench);
                tokio::time::timeout(crate::contracts::rails::HANGS, kept).await.expect("it comes to an end");
            }
        )+}
    };
}

both_ways! {
    a_decline_says_why_and_what_to_do
    what_was_declined_may_be_paid_under_a_new_key
    a_call_that_is_lost_on_its_way_is_not_executed
    as_many_calls_are_lost_as_was_asked_for
    an_answer_that_is_lost_takes_nothing_back
    what_is_slow_is_pending_and_then_paid
    a_notification_may_come_twice
    notifications_may_come_in_the_wrong_order
    a_notification_may_be_forged
    what_was_paid_may_come_back_days_later
    a_hold_ends_when_the_details_change
    another_amount_may_be_executed_than_ordered
    what_is_silent_is_executed_and_cannot_be_learned
    a_fault_happens_to_as_many_calls_as_it_says
    a_fault_of_a_recipient_is_nobody_elses_and_comes_first
    a_fault_is_read_back_as_it_was_set
    nothing_is_answered_while_it_cannot_be_reached
    a_key_that_is_forgotten_executes_again
    transfers_are_listed_newest_first_page_by_page
}

#[tokio::test]
async fn what_was_not_taken_is_told_again_later() {
    let bench = in_process().await;
    let simulator = bench.simulator().await;
    accepted(&simulator, &sent(&simulator, 1, json!({ "behaviour": "slow" })).await).await;
    assert_eq!(simulator.due_notifications(10).await.unwrap(), [], "not before it is due");
    bench.pass(LATER).await;
    let due = simulator.due_notifications(10).await.unwrap();
    assert_eq!(due.len(), 1);
    // Whoever took it died.
    bench.pass(Duration::from_secs(29)).await;
    assert_eq!(simulator.due_notifications(10).await.unwrap(), []);
    bench.pass(Duration::from_secs(1)).await;
    let again = simulator.due_notifications(10).await.unwrap();
    assert_eq!((&again[0].id, &again[0].body), (&due[0].id, &due[0].body));
    simulator.mark_failed(&due[0].id).await.unwrap();
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(simulator.due_notifications(10).await.unwrap(), [], "longer and longer pauses");
    for _ in 3..=16 {
        bench.pass(Duration::from_secs(3_600)).await;
        let due = simulator.due_notifications(10).await.unwrap();
        simulator.mark_failed(&due[0].id).await.unwrap();
    }
    bench.pass(Duration::from_secs(86_400)).await;
    assert_eq!(simulator.due_notifications(10).await.unwrap(), [], "at last it is given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_is_told_when_it_is_back() {
    let bench = over_http().await;
    let simulator = bench.simulator().await;
    *bench.inbox.refuse.lock().unwrap() = 1;
    accepted(&simulator, &sent(&simulator, 1, json!({ "behaviour": "slow" })).await).await;
    bench.pass(LATER).await;
    assert_eq!(told(&bench, &simulator, 1).await, ["settled"]);
    assert_eq!(*bench.inbox.refuse.lock().unwrap(), 0);
}

#[tokio::test]
async fn without_the_secret_no_notification_is_taken() {
    let simulator = Simulator::connect("http://127.0.0.1:1", None).unwrap();
    let message = Inbound { headers: Vec::new(), body: Vec::new(), received_at: Timestamp::MIN };
    assert!(matches!(simulator.ingest(&message), Err(IngestError::NotTaken(_))));
}

#[tokio::test]
async fn a_call_to_nobody_never_left() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let simulator = Simulator::connect(&format!("http://127.0.0.1:{port}"), None).unwrap();
    let sent = sent(&simulator, 1, json!({})).await;
    assert!(matches!(simulator.submit(&sent).await, Submit::NotSent { .. }));
    assert!(matches!(simulator.query(&sent).await, Lookup::CannotTell { .. }));
    assert!(simulator.book(None, 1).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_neither_yes_nor_no_is_doubt() {
    let mut too_large = vec![b' '; 1 << 20];
    too_large.extend(b"{\"error\":{\"code\":\"transfer_not_found\"}}");
    let wrong = [
        (404, too_large),
        (200, b"{}".to_vec()),
        (200, b"<html>".to_vec()),
        (204, Vec::new()),
        (307, Vec::new()),
        (400, b"{}".to_vec()),
        (404, Vec::new()),
        (404, b"{\"error\":{\"code\":\"not_found\"}}".to_vec()),
        (409, Vec::new()),
        (500, Vec::new()),
        (503, Vec::new()),
    ];
    for (status, body) in wrong {
        let server = Served::start(served::always(status, body)).await;
        let simulator = Simulator::connect(&server.url(), None).unwrap();
        let sent = sent(&simulator, 1, json!({})).await;
        let answer = simulator.submit(&sent).await;
        assert!(matches!(answer, Submit::Unknown { .. }), "{status}: {answer:?}");
        let found = simulator.query(&sent).await;
        assert!(matches!(found, Lookup::CannotTell { .. }), "{status}: {found:?}");
        let recalled = simulator.recall(&sent, &[sent.items[0].item]).await;
        assert!(matches!(recalled, Recall::Unknown { .. }), "{status}: {recalled:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_us_elsewhere() {
    let bench = over_http().await;
    let elsewhere = Served::start(served::redirect(bench.provider.url())).await;
    let simulator = Simulator::connect(&elsewhere.url(), None).unwrap();
    let sent = sent(&simulator, 1, json!({})).await;
    assert!(matches!(simulator.submit(&sent).await, Submit::Unknown { .. }));
    assert!(matches!(simulator.query(&sent).await, Lookup::CannotTell { .. }));
    assert_eq!(book(&bench.simulator().await).await, []);
}

#[tokio::test]
async fn only_plain_http_addresses_are_taken() {
    for wrong in ["https://127.0.0.1:1", "127.0.0.1:1", "http://", "http://a:b@127.0.0.1", "http://127.0.0.1/?x", ""] {
        assert!(Simulator::connect(wrong, None).is_err(), "{wrong}");
    }
    assert!(Simulator::connect("http://127.0.0.1:8090/", None).is_ok());
}

#[tokio::test]
async fn a_book_of_another_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.db");
    let other = sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", file.display())).await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(&other, "CREATE TABLE transfers (id TEXT)").await.unwrap();
    other.close().await.unwrap();
    let clock = Arc::new(HandClock(AtomicI64::new(0)));
    let opened = Simulator::open_local(&file, Arc::new(UuidV7), clock, None).await;
    assert!(opened.err().unwrap().to_string().contains("another version"));
}
