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

    /// Moves of it in the audit log: who, what, from where, to where.
    async fn moves(&self) -> Vec<[String; 4]> {
        let word = |value: &Value| value["status"].as_str().map(str::to_owned);
        let of = |entry: &Value| {
            let actor = match text(entry, "actor").as_str() {
                "sys_worker" => "worker".to_owned(),
                "rail:simulator" => "rail".to_owned(),
                other => other.to_owned(),
            };
            let action = text(entry, "action");
            let step = action.strip_prefix("item.").unwrap_or(&action).to_owned();
            Some([actor, step, word(&entry["before"])?, word(&entry["after"])?])
        };
        self.world.audit(&self.item).await.iter().filter_map(of).collect()
    }

    /// Its status, once that many moves were made; every move, by whom, and the posting, the event and the entry of the
    /// audit log that it made; why it is not paid; and the books.
    pub async fn stands(&self, status: &str, moved: &[&str], posted: &[&str], why: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let moves = loop {
            let moves = self.moves().await;
            if moves.len() >= moved.len() {
                break moves;
            }
            assert!(Instant::now() < deadline, "after {PATIENCE:?} {} only did {moves:?}", self.recipient);
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let told: Vec<String> = moves.iter().map(|[who, what, ..]| format!("{who} {what}")).collect();
        assert_eq!(told, moved, "{}", self.recipient);
        let item = self.world.item(&self.item).await;
        assert_eq!((text(&item, "status").as_str(), text(&item["why"], "code").as_str()), (status, why));
        for pair in moves.windows(2) {
            assert_eq!(pair[0][3], pair[1][2], "a move between those of {moves:?} is not in the audit log");
        }
        if let Some([.., to]) = moves.last() {
            assert_eq!(to, status);
        }

        let events = self.world.events(&self.batch, 1).await;
        let of_item = events.iter().filter(|event| event["itemId"] == self.item.as_str());
        let told: Vec<String> = of_item
            .filter_map(|event| Some(event["type"].as_str()?.strip_prefix("payout.item.")?.to_owned()))
            .collect();
        let reached: Vec<&str> = moves.iter().map(|[.., to]| to.as_str()).collect();
        assert_eq!(told, reached, "each move has its event");

        self.assert_posted(posted).await;
        self.world.assert_books_balanced().await;
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
        self.world.assert_books_balanced().await;
        let mut cells: Cells = self.moves().await.into_iter().map(|[_, step, from, _]| (step, from)).collect();
        cells.extend(batch_statuses(self.world, &self.batch).await);
        cells
    }
}

/// What a batch has been, by its events; it is now what the last of them says.
pub async fn batch_statuses(world: &World, batch: &str) -> Cells {
    let events = world.events(batch, 1).await;
    let status = |event: &Value| Some(event["type"].as_str()?.strip_prefix("payout.batch.")?.to_owned());
    let statuses: Vec<String> = events.iter().filter_map(status).collect();
    assert_eq!(statuses.last(), Some(&text(&world.batch(batch).await, "status")));
    statuses.into_iter().map(|status| ("batch".to_owned(), status)).collect()
}
