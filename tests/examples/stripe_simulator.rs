//! The Stripe simulator of the tests as a process, with our rail at hand: so that the official SDK can be asked what it
//! thinks of both (`tests/stripe/judge.py`). It listens where its only argument says and pays nobody.

#![expect(clippy::expect_used, reason = "a test's server that cannot go on says so by panicking")]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../harness/stripe/mod.rs"]
mod stripe;

use adapters::rails::stripe_connect::{Mode, Secret, Settings, StripeConnect};
use app::ports::{
    PayoutRail,
    rail::{Inbound, IngestError, Order},
};
use domain::{
    ids::{BatchId, InstructionId, ItemId},
    instruction::{Instruction, InstructionItem},
    money::Money,
    recipient::Destination,
    timestamp::Timestamp,
};
use poem::{Endpoint, Request, Response, Server, listener::TcpListener};
use serde::Deserialize;
use serde_json::{Value, json};
use stripe::{Fault, SECRET_KEY, Stripe, sign};
use uuid::Uuid;

/// What the tests ask for beside Stripe's own paths.
const VERBS: &str = "/_simulator/";

#[derive(Deserialize)]
struct Account {
    id: String,
    transfers: String,
}

#[derive(Deserialize)]
struct Signing {
    body: String,
    secrets: Vec<String>,
    at: i64,
}

#[derive(Deserialize)]
struct Payment {
    n: u64,
    amount: i64,
    currency: String,
    account: String,
}

#[derive(Deserialize)]
struct Message {
    signature: String,
    body: String,
    secrets: Vec<String>,
    at: i64,
}

fn read<T: serde::de::DeserializeOwned>(body: &str) -> T {
    serde_json::from_str(body).expect("a body of that verb")
}

fn rail(url: &str, secrets: &[String]) -> StripeConnect {
    StripeConnect::try_new(Settings {
        secret_key: Secret::new(SECRET_KEY),
        mode: Mode::Test,
        webhook_secrets: secrets.iter().map(|secret| Secret::new(secret)).collect(),
        api_base: Some(url.to_owned()),
    })
    .expect("settings that work")
}

/// Pays over our rail, as the service does.
async fn pay(url: &str, payment: Payment) -> Value {
    let rail = rail(url, &[]);
    let id = InstructionId::new(Uuid::from_u128(payment.n.into()));
    let item = ItemId::new(Uuid::from_u128(payment.n.into()));
    let amount = Money::new(payment.amount, payment.currency.parse().expect("a currency"));
    let details = json!({ "account": payment.account }).as_object().cloned().expect("an object");
    let destination = Destination { rail: rail.profile().id, details };
    let recipient = "rec_1".parse().expect("a name");
    let order = Order { item, wire_ref: item.digits(), recipient, amount, destination };
    let body = rail.prepare(id, std::slice::from_ref(&order)).expect("it can be prepared");
    let part = InstructionItem::new(item, order.wire_ref.clone(), payment.amount, [0; 32]);
    let batch = BatchId::new(Uuid::nil());
    let at = Timestamp::from_unix_micros(0);
    let instruction = Instruction::record(id, batch, rail.profile().id, amount.currency, vec![part], 1, body, at);
    let submitted = rail.submit(&instruction).await;
    json!({ "instruction": id, "item": item, "wireRef": order.wire_ref, "outcome": format!("{submitted:?}") })
}

fn hear(url: &str, message: Message) -> Value {
    let inbound = Inbound {
        headers: vec![("stripe-signature".to_owned(), message.signature)],
        body: message.body.into_bytes(),
        received_at: Timestamp::from_unix_micros(message.at * 1_000_000),
    };
    match rail(url, &message.secrets).ingest(&inbound) {
        Ok(events) => json!({ "heard": events.iter().map(|event| event.what.as_str()).collect::<Vec<_>>() }),
        Err(IngestError::Forged(why)) => json!({ "forged": why }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

async fn carry_out(stripe: &Stripe, url: &str, verb: &str, body: &str) -> Value {
    match verb {
        "ready" => json!(true),
        "account" => {
            let account: Account = read(body);
            stripe.account(&account.id, &account.transfers);
            json!(true)
        }
        "faults" => {
            stripe.faults(read::<Vec<Fault>>(body));
            json!(true)
        }
        "requests" => json!(stripe.requests()),
        "events" => json!(stripe.events()),
        "sign" => {
            let Signing { body, secrets, at } = read(body);
            json!(sign(&body, &secrets.iter().map(String::as_str).collect::<Vec<_>>(), at))
        }
        "pay" => pay(url, read(body)).await,
        "hear" => hear(url, read(body)),
        _ => json!({ "error": format!("no verb {verb}") }),
    }
}

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).expect("where to listen, such as 127.0.0.1:12111");
    let url = format!("http://{address}");
    let stripe = Stripe::default();
    let provider = std::sync::Arc::new(stripe.endpoint());
    let endpoint = poem::endpoint::make(move |request: Request| {
        let (stripe, url, provider) = (stripe.clone(), url.clone(), provider.clone());
        async move {
            let Some(verb) = request.uri().path().strip_prefix(VERBS).map(str::to_owned) else {
                return provider.call(request).await.map(poem::IntoResponse::into_response);
            };
            let body = request.into_body().into_string().await.unwrap_or_default();
            let answer = carry_out(&stripe, &url, &verb, &body).await;
            Ok(Response::builder().content_type("application/json").body(answer.to_string()))
        }
    });
    Server::new(TcpListener::bind(address)).run(endpoint).await.expect("it can listen");
}
