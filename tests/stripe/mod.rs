//! The rail to Stripe against a Stripe that remembers: what each answer becomes, and what is found afterwards.

mod calls;
mod lists;
mod messages;

use crate::harness::stripe::{Listening, SECRET_KEY, Stripe};
use adapters::rails::stripe_connect::{Mode, Secret, Settings, StripeConnect};
use app::ports::{
    PayoutRail,
    rail::{Order, RailEvent, Seen, Submit},
};
use domain::{
    ids::{BatchId, InstructionId, ItemId},
    instruction::{Instruction, InstructionItem},
    money::Money,
    recipient::Destination,
    timestamp::Timestamp,
};
use serde_json::json;
use uuid::Uuid;

const WEBHOOK_SECRET: &str = "whsec_simulator";

/// A Stripe, and the rail to it. One account can be paid, one cannot.
struct World {
    stripe: Stripe,
    rail: StripeConnect,
    listening: Listening,
}

impl World {
    async fn new() -> Self {
        let stripe = Stripe::default();
        stripe.account("acct_paid", "active");
        stripe.account("acct_waiting", "pending");
        let listening = stripe.listen().await;
        let rail = rail(&listening.url);
        Self { stripe, rail, listening }
    }

    /// Nobody is there any more.
    async fn end(self) -> StripeConnect {
        drop(self.listening);
        // A connection that is kept could outlive its server for a moment.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        self.rail
    }
}

fn rail(url: &str) -> StripeConnect {
    StripeConnect::try_new(Settings {
        secret_key: Secret::new(SECRET_KEY),
        mode: Mode::Test,
        webhook_secrets: vec![Secret::new(WEBHOOK_SECRET)],
        api_base: Some(url.to_owned()),
    })
    .expect("settings that work")
}

/// That account.
pub fn destination(account: &str) -> Destination {
    let details = json!({ "account": account }).as_object().cloned().unwrap();
    Destination { rail: "stripe_connect".parse().unwrap(), details }
}

fn money(amount_minor: i64, currency: &str) -> Money {
    Money::new(amount_minor, currency.parse().unwrap())
}

/// The instruction under the key `n`, as it is stored before it is sent.
fn instruction_of(n: u128, amount: Money, account: &str) -> Instruction {
    let id = InstructionId::new(Uuid::from_u128(n));
    let item = ItemId::new(Uuid::from_u128(n));
    let order = Order {
        item,
        wire_ref: item.digits(),
        recipient: "rec_1".parse().unwrap(),
        amount,
        destination: destination(account),
    };
    let body = rail("http://127.0.0.1:9").prepare(id, std::slice::from_ref(&order)).unwrap();
    let part = InstructionItem::new(item, order.wire_ref, amount.amount_minor, [0; 32]);
    let batch = BatchId::new(Uuid::from_u128(1));
    let at = Timestamp::from_unix_micros(0);
    Instruction::record(id, batch, order.destination.rail, amount.currency, vec![part], 1, body, at)
}

fn instruction(n: u128) -> Instruction {
    instruction_of(n, money(500, "USD"), "acct_paid")
}

/// In one word each, with what matters.
fn show(submit: &Submit) -> String {
    match submit {
        Submit::Accepted { seen, .. } => show_all(seen),
        Submit::Refused { reason, class } => format!("refused {} {reason}", class.as_str()),
        Submit::NotSent { ours: true, .. } => "not sent, ours".to_owned(),
        Submit::NotSent { retry_after: Some(_), .. } => "not sent, later".to_owned(),
        Submit::NotSent { .. } => "not sent".to_owned(),
        Submit::Unknown { .. } => "unknown".to_owned(),
    }
}

fn show_all(events: &[RailEvent]) -> String {
    let show = |event: &RailEvent| {
        let of = event.amount.map(|amount| format!(" of {amount}")).unwrap_or_default();
        match &event.what {
            Seen::Returned { returned, .. } => format!("returned {returned}{of}"),
            what => format!("{}{of}", what.as_str()),
        }
    };
    events.iter().map(show).collect::<Vec<_>>().join(", ")
}
