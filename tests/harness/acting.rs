//! What people, time and the provider do to a world.

use super::{
    answer::Answer,
    process::PATIENCE,
    sql::{connect, value},
    world::{NEVER, World, list, signed, text},
};
use domain::timestamp::Timestamp;
use hmac::{Hmac, Mac};
use reqwest::Method;
use sea_orm::DatabaseConnection;
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    fmt::Write,
    time::{Duration, Instant},
};

/// Somebody with a token.
pub struct Person<'w> {
    world: &'w World,
    token: String,
}

impl Person<'_> {
    /// Asks for something.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.world.send(self.world.request(method, path).bearer_auth(&self.token).json(body)).await
    }
    /// Posts.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, body).await
    }
    /// Posts under an idempotency key.
    pub async fn post_under(&self, key: &str, path: &str, body: &Value) -> Answer {
        let request = self.world.request(Method::POST, path).bearer_auth(&self.token);
        self.world.send(request.header("Idempotency-Key", key).json(body)).await
    }
}

/// The path of an action on an item or a batch.
pub fn action(what: &str, subject: &str) -> String {
    let under = if subject.starts_with("batch_") { "/payouts/batches/" } else { "/payouts/items/" };
    let known = ["/approve", "/cancel", "/hold", "/release", "/resolve", "/retry"];
    let path = known.iter().find(|path| path[1..] == *what).unwrap_or_else(|| panic!("nobody can {what}"));
    format!("{under}{subject}{path}")
}

impl World {
    /// Somebody in a role.
    pub fn person(&self, role: &str, subject: &str) -> Person<'_> {
        Person { world: self, token: signed(&json!({ "sub": subject, "role": role, "exp": NEVER })) }
    }

    // --- people -----------------------------------------------------------------------------------------------

    /// An operator does something with an item or a batch: hold, release, cancel, retry.
    pub async fn act(&self, what: &str, subject: &str) -> Answer {
        self.person("operator", "usr_op").post(&action(what, subject), &json!({ "note": "as asked" })).await
    }
    /// Somebody says yes to a batch.
    pub async fn approve(&self, who: &str, batch: &str) -> Answer {
        self.person("approver", who).post(&action("approve", batch), &json!({})).await
    }
    /// Somebody says what became of an item.
    pub async fn resolve(&self, who: &str, item: &str, outcome: &str) -> Answer {
        let body = json!({ "outcome": outcome, "evidence": "statement 17" });
        self.person("operator", who).post(&action("resolve", item), &body).await
    }
    /// Sets the policy.
    pub async fn policy(&self, policy: &Value) -> Value {
        self.person("admin", "usr_boss").ask(Method::PUT, "/payouts/policy", policy).await.with(200)
    }
    /// Changes a recipient who is known, as the clerk does.
    pub async fn change_recipient(&self, recipient: &str, about: &Value) -> Value {
        let path = format!("/recipients/{recipient}");
        let answer = self.person("operator", "usr_clerk").ask(Method::PUT, &path, about).await;
        assert!(matches!(answer.status, 200 | 201), "{}: {}", answer.asked, answer.text);
        answer.json()
    }

    // --- time -------------------------------------------------------------------------------------------------

    /// So many seconds pass. Answers what time it is then.
    pub async fn advance(&self, seconds: i64) -> Timestamp {
        let advanced = self.post("/test/clock/advance", &json!({ "seconds": seconds })).await.with(200);
        text(&advanced, "now").parse().expect("an instant")
    }

    // --- the provider -----------------------------------------------------------------------------------------

    /// Switches a fault of the simulator on.
    pub async fn fault(&self, fault: &Value) -> Value {
        self.person("operator", "usr_op").post("/simulator/faults", fault).await.with(201)
    }
    /// Switches all faults off.
    pub async fn clear_faults(&self) -> Value {
        self.person("operator", "usr_op").ask(Method::DELETE, "/simulator/faults", &json!({})).await.with(200)
    }
    /// Chooses for how long the simulator remembers a key.
    pub async fn replay_window(&self, seconds: i64) {
        let body = json!({ "replayWindowSeconds": seconds });
        self.person("operator", "usr_op").ask(Method::PUT, "/simulator/settings", &body).await.with(200);
    }
    /// The simulator's book as a database.
    pub async fn simulator_book(&self) -> DatabaseConnection {
        connect(&format!("sqlite://{}", self.home().folder().join("data/simulator.db").display())).await
    }
    /// The secret with which the simulator signs, if nobody gave it another.
    pub async fn rail_secret(&self) -> String {
        value(&self.simulator_book().await, "SELECT value FROM settings WHERE name = 'secret'").await
    }
    /// A message comes, signed with that.
    pub async fn hear_signed(&self, secret: &str, body: &Value) -> Answer {
        let seconds = self.advance(1).await.unix_micros() / 1_000_000;
        let body = body.to_string();
        let request = self.request(Method::POST, "/rails/simulator/webhooks");
        self.send(request.header("disburse-simulator-signature", sign(secret, seconds, &body)).body(body)).await
    }
    /// The provider says something, and signs it.
    pub async fn hear(&self, body: &Value) -> Answer {
        self.hear_signed(&self.rail_secret().await, body).await
    }

    // --- what one can learn -----------------------------------------------------------------------------------

    /// An item with its attempts, and why it is not paid.
    pub async fn item(&self, item: &str) -> Value {
        self.get(&format!("/payouts/items/{item}")).await.with(200)
    }
    /// The item, once it is as it should be.
    pub async fn item_once(&self, item: &str, good: impl Fn(&Value) -> bool) -> Value {
        self.once(&format!("/payouts/items/{item}"), Instant::now() + PATIENCE, good).await
    }
    /// The item, once it has that status.
    pub async fn item_is(&self, item: &str, status: &str) -> Value {
        self.item_once(item, |item| item["status"] == status).await
    }
    /// The audit log about something, oldest first.
    pub async fn audit(&self, subject: &str) -> Vec<Value> {
        let mut entries = self.all(&format!("/audit?subject={subject}"), "auditId").await;
        entries.reverse();
        entries
    }
    /// The same as `who what`.
    pub async fn deeds(&self, subject: &str) -> Vec<String> {
        let entries = self.audit(subject).await;
        entries.iter().map(|entry| format!("{} {}", text(entry, "actor"), text(entry, "action"))).collect()
    }
    /// What was posted about a batch, oldest first.
    pub async fn posted(&self, batch: &str) -> Vec<Value> {
        let mut posted = self.all(&format!("/ledger/transactions?batchId={batch}"), "transactionId").await;
        posted.reverse();
        posted
    }
    /// The codes of all alarms about a batch, oldest first, once there are so many.
    pub async fn alarms(&self, batch: &str, at_least: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events(batch, 1).await;
            let alarms = events.iter().filter(|event| event["type"] == "payout.alarm");
            let codes: Vec<String> = alarms.map(|alarm| text(&alarm["data"], "code")).collect();
            if codes.len() >= at_least {
                return codes;
            }
            assert!(Instant::now() < deadline, "only {codes:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    /// What the provider's own book has executed for an item and not had back.
    pub async fn kept(&self, item: &str) -> i64 {
        let transfers = self.transfers().await;
        let of_item = transfers.iter().filter(|transfer| transfer["itemId"] == item);
        of_item.map(|transfer| number(transfer, "executed") - number(transfer, "returned")).sum()
    }
    /// The one item of a batch for somebody.
    pub async fn item_of(&self, batch: &str, recipient: &str) -> String {
        let batch = self.batch(batch).await;
        let found = list(&batch, "items").iter().find(|item| item["recipientId"] == recipient);
        text(found.unwrap_or_else(|| panic!("no item of {recipient} in {batch:#}")), "itemId")
    }
}

/// As the simulator signs: HMAC-SHA256 over the instant, a full stop and the body.
pub fn sign(secret: &str, seconds: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    let digest = mac.chain_update(format!("{seconds}.{body}")).finalize().into_bytes();
    let mut value = format!("t={seconds},v1=");
    for byte in digest {
        write!(value, "{byte:02x}").expect("a text takes more text");
    }
    value
}

/// A field that is a whole number.
#[track_caller]
pub fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("no number `{name}` in {value:#}"))
}
