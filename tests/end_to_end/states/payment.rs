//! One payment, as everybody can look at it: its moves, its postings, its events, and why it is not paid.

use crate::end_to_end::{release, shares, with};
use crate::harness::{
    acting::number,
    process::PATIENCE,
    world::{World, list, text},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Steps with the state they were taken in, and `batch` with the statuses that the batch has had.
pub type Cells = BTreeSet<(String, String)>;

/// Far beyond what any test does to the clock.
pub const LATER: &str = "2090-01-01T00:00:00Z";
/// What the recipient is to get of 100.00 after a fee of 5 %.
pub const NET: i64 = 9_500;

/// A release of 100.00 to one recipient.
pub struct Payment<'w> {
    pub world: &'w World,
    pub recipient: String,
    pub batch: String,
    pub item: String,
}

/// A move, as the audit log tells it.
#[derive(Debug)]
struct Move {
    /// Who, and what.
    told: String,
    step: String,
    from: String,
    to: String,
    at: String,
}

impl Move {
    fn read(entry: &Value) -> Option<Self> {
        let word = |value: &Value| value["status"].as_str().map(str::to_owned);
        let (from, to) = (word(&entry["before"])?, word(&entry["after"])?);
        let (actor, action) = (text(entry, "actor"), text(entry, "action"));
        let who = match actor.as_str() {
            "sys_worker" => "worker",
            "rail:simulator" => "rail",
            other => other,
        };
        let step = action.strip_prefix("item.").unwrap_or(&action).to_owned();
        Some(Self { told: format!("{who} {step}"), step, from, to, at: text(entry, "at") })
    }
}

/// The accounts that a posting debits and credits, by their kinds.
fn accounts(kind: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        "sent" => (&["payable"], &["in_transit"]),
        "paid" => (&["in_transit"], &["cash"]),
        "refused" => (&["in_transit"], &["payable"]),
        "returned" => (&["cash"], &["payable"]),
        "returned_in_part" => (&["cash"], &["carried"]),
        "paid_late" => (&["payable"], &["cash"]),
        "cancelled" => (&["payable", "platform_fees"], &["escrow"]),
        other => panic!("no test says what `{other}` moves"),
    }
}

impl<'w> Payment<'w> {
    /// To somebody whose details say how the simulator behaves.
    pub async fn to(world: &'w World, name: &str, details: Value) -> Self {
        Self::of(world, name, json!({ "destination": { "rail": "simulator", "details": details } }), None).await
    }
    /// To somebody of whom that is known, perhaps not before some time.
    pub async fn of(world: &'w World, name: &str, about: Value, execute_at: Option<&str>) -> Self {
        let (recipient, project) = (format!("rec_{name}"), format!("prj_{name}"));
        world.register(&recipient, &about).await;
        let model = with(shares(&[(&recipient, 1)]), "platformFee", json!({ "ratePpm": 50_000 }));
        world.publish_model(&project, &model).await;
        let mut body = release(&format!("esc_{name}"), &project, 10_000, "USD");
        if let Some(at) = execute_at {
            body = with(body, "executeAt", at.into());
        }
        let batch = world.scheduled(&body).await;
        let item = world.item_of(&batch, &recipient).await;
        Self { world, recipient, batch, item }
    }

    /// Something is done with it, which is allowed.
    pub async fn act(&self, what: &str) {
        self.world.act(what, &self.item).await.with(200);
    }
    /// From now on the recipient is paid as those details say.
    pub async fn change(&self, details: Value) {
        let about = json!({ "destination": { "rail": "simulator", "details": details } });
        self.world.change_recipient(&self.recipient, &about).await;
    }
    pub async fn block(&self) {
        self.world.change_recipient(&self.recipient, &json!({ "status": "blocked" })).await;
    }

    /// What the provider would say of an order to pay it, the first of which is 1.
    pub async fn saying(&self, generation: i64, what: &str, more: Value) -> Value {
        let item = self.world.item(&self.item).await;
        let attempts = list(&item, "attemptHistory");
        let attempt = attempts.iter().find(|attempt| attempt["generation"] == generation).expect("an order");
        let part = &list(attempt, "parts")[0];
        let mut said = json!({
            "id": format!("evt_{what}_{}_{generation}", self.recipient),
            "type": format!("transfer.{what}"),
            "created": attempt["firstSentAt"],
            "transfer": "sim_00000000000000000000000000",
            "idempotencyKey": attempt["instructionId"],
            "reference": part["wireRef"],
            "amount": part["amount"],
            "currency": "USD",
        });
        for (name, value) in more.as_object().expect("fields") {
            said[name] = value.clone();
        }
        said
    }
    /// The provider says so, and is believed.
    pub async fn told(&self, what: &str, more: Value) {
        let said = self.saying(1, what, more).await;
        assert_eq!(self.world.hear(&said).await.with(200), json!({ "taken": 1, "known": 0 }));
    }

    /// Moves of it in the audit log.
    async fn moves(&self) -> Vec<Move> {
        self.world.audit(&self.item).await.iter().filter_map(Move::read).collect()
    }

    /// Its status, once that many moves were made; every move, by whom, and the posting, the event and the entry of the
    /// audit log that it made; why it is not paid; and the books.
    pub async fn stands(&self, status: &str, moved: &[&str], posted: &[&str], why: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let (item, moves) = loop {
            let (item, moves) = (self.world.item(&self.item).await, self.moves().await);
            let told: Vec<&str> = moves.iter().map(|one| one.told.as_str()).collect();
            let stands = (text(&item, "status"), text(&item["why"], "code"));
            let is_there = (stands.0.as_str(), stands.1.as_str()) == (status, why);
            if is_there && told == moved {
                break (item, moves);
            }
            let is_past = told.len() > moved.len() || !moved.starts_with(&told);
            let has_time = Instant::now() < deadline && !is_past;
            assert!(has_time, "{} is {stands:?} and not {status} {why}, by {told:?} and not {moved:?}", self.recipient);
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        for pair in moves.windows(2) {
            assert_eq!(pair[0].to, pair[1].from, "a move between those of {moves:?} is not in the audit log");
        }
        if let Some(last) = moves.last() {
            assert_eq!(last.to, status);
        }

        let batch = self.world.batch(&self.batch).await;
        let of_item = list(&batch, "timeline").iter().filter(|event| event["itemId"] == self.item.as_str());
        let told: Vec<String> = of_item
            .filter_map(|event| Some(event["type"].as_str()?.strip_prefix("payout.item.")?.to_owned()))
            .collect();
        let mut reached: Vec<&str> = moves.iter().map(|one| one.to.as_str()).collect();
        // What is held when it is booked says so.
        if moves.first().map_or(status, |first| first.from.as_str()) == "pending_kyc" {
            reached.insert(0, "pending_kyc");
        }
        assert_eq!(told, reached, "each move has its event");

        self.assert_posted(posted).await;
        self.world.assert_books_balance_soon().await;
        item
    }

    async fn assert_posted(&self, kinds: &[&str]) {
        let transactions = self.world.posted(&self.batch).await;
        let of_item = |transaction: &&Value| transaction["itemId"] == self.item.as_str();
        let of_item: Vec<&Value> = transactions.iter().filter(of_item).collect();
        let told: Vec<String> = of_item.iter().map(|transaction| text(transaction, "kind")).collect();
        assert_eq!(told, kinds, "{}", self.recipient);
        for transaction in of_item {
            let (debit, credit) = accounts(&text(transaction, "kind"));
            let side = |side: &str| -> BTreeSet<String> {
                let entries = list(transaction, "entries").iter().filter(|entry| !entry[side].is_null());
                entries.map(|entry| text(entry, "account").split(':').next().unwrap_or_default().to_owned()).collect()
            };
            let expected = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<BTreeSet<_>>();
            assert_eq!((side("debit"), side("credit")), (expected(debit), expected(credit)), "{transaction:#}");
        }
    }

    /// Everything that was reached. Whoever is paid was paid once, and nobody else at all.
    pub async fn end(self) -> Cells {
        let item = self.world.item(&self.item).await;
        let expected = if item["status"] == "paid" { number(&item, "payableAmount") } else { 0 };
        assert_eq!(self.world.kept(&self.item).await, expected, "{item:#}");
        self.world.assert_books_balance_soon().await;
        let moves = self.moves().await;
        let mut cells: Cells = moves.iter().map(|one| (one.step.clone(), one.from.clone())).collect();
        // What was settled and returned by one commit came from where it was before.
        let at_once = moves.windows(2).filter(|pair| pair[0].at == pair[1].at);
        cells.extend(at_once.map(|pair| (pair[1].step.clone(), pair[0].from.clone())));
        cells.extend(batch_statuses(self.world, &self.batch).await);
        cells
    }
}

/// What a batch has been, by its events; it is now what the last of them says.
pub async fn batch_statuses(world: &World, batch: &str) -> Cells {
    let details = world.batch(batch).await;
    let events = list(&details, "timeline");
    let status = |event: &Value| Some(event["type"].as_str()?.strip_prefix("payout.batch.")?.to_owned());
    let statuses: Vec<String> = events.iter().filter_map(status).collect();
    assert_eq!(statuses.last(), Some(&text(&details, "status")));
    // And all of that is told to the world.
    let ids = |events: &[Value]| events.iter().map(|event| text(event, "eventId")).collect::<BTreeSet<_>>();
    assert_eq!(ids(&world.events(batch, events.len()).await), ids(events));
    statuses.into_iter().map(|status| ("batch".to_owned(), status)).collect()
}
