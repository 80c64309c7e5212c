//! Every way a request can be wrong, and that each answer has the one shape.

mod amounts;
mod edge;
mod lists;
mod models;
mod order;
mod recipients;
mod reversals;
mod roles;
mod schedule;
mod tokens;

use crate::harness::home::Engine;
use crate::harness::{
    answer::Answer,
    world::{Shared, World},
};
use reqwest::Method;

/// The sentences below share a server: what is refused changes nothing.
async fn world(engine: Engine) -> Shared {
    World::shared("refusals", engine).await
}

/// Every operation that asks for a token, with an id where the path wants one, and the permission it takes.
const SECURED: [(&str, &str, &str); 37] = [
    ("POST", "/revenue/schedule-payouts", "schedule"),
    ("POST", "/revenue/schedule-payouts/bulk", "schedule"),
    ("POST", "/revenue/calculate", "calculate"),
    ("POST", "/revenue/reversals", "reverse"),
    ("GET", "/revenue/reversals/ref_1", "read"),
    ("PUT", "/projects/prj_1/revenue-model", "publish_model"),
    ("GET", "/projects/prj_1/revenue-model", "read"),
    ("GET", "/projects/prj_1/revenue-models", "read"),
    ("GET", "/projects/prj_1/revenue-models/1", "read"),
    ("PUT", "/recipients/rec_1", "register_recipient"),
    ("GET", "/recipients/rec_1", "read"),
    ("GET", "/recipients/rec_1/balance", "read"),
    ("POST", "/recipients/rec_1/payouts", "pay_carried"),
    ("GET", "/payouts/batches", "read"),
    ("GET", "/payouts/batches/batch_00000000000000000000000000", "read"),
    ("GET", "/payouts/items/item_00000000000000000000000000", "read"),
    ("GET", "/payouts/items/item_00000000000000000000000000/explanation", "read"),
    ("GET", "/ledger/transactions", "read_books"),
    ("GET", "/ledger/trial-balance", "read_books"),
    ("GET", "/events", "read"),
    ("GET", "/simulator/transfers", "read"),
    ("POST", "/payouts/batches/batch_00000000000000000000000000/approve", "approve"),
    ("POST", "/payouts/batches/batch_00000000000000000000000000/cancel", "operate"),
    ("POST", "/payouts/batches/batch_00000000000000000000000000/retry", "operate"),
    ("POST", "/payouts/items/item_00000000000000000000000000/hold", "operate"),
    ("POST", "/payouts/items/item_00000000000000000000000000/release", "operate"),
    ("POST", "/payouts/items/item_00000000000000000000000000/cancel", "operate"),
    ("POST", "/payouts/items/item_00000000000000000000000000/retry", "operate"),
    ("POST", "/payouts/items/item_00000000000000000000000000/resolve", "resolve"),
    ("GET", "/payouts/policy", "read"),
    ("PUT", "/payouts/policy", "set_policy"),
    ("GET", "/audit", "read_audit"),
    ("POST", "/simulator/faults", "simulate"),
    ("GET", "/simulator/faults", "simulate"),
    ("DELETE", "/simulator/faults", "simulate"),
    ("PUT", "/simulator/settings", "simulate"),
    ("POST", "/test/clock/advance", "simulate"),
];

/// Those of them that read a body of one document.
fn with_body() -> impl Iterator<Item = (Method, &'static str)> {
    SECURED
        .into_iter()
        .filter(|(method, path, _)| !["GET", "DELETE"].contains(method) && !path.ends_with("/bulk"))
        .map(|(name, path, _)| (method(name), path))
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

/// Sends a body as it is, as JSON, with all rights.
async fn send(world: &World, method: Method, path: &str, body: &str) -> Answer {
    let request = world.request(method, path).bearer_auth(world.token("admin"));
    let mut answer = world.send(request.header("content-type", "application/json").body(body.to_owned())).await;
    answer.asked = format!("{} {}", answer.asked, body.chars().take(200).collect::<String>());
    answer
}
