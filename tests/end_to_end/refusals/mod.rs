//! Every way a request can be wrong, and that each answer has the one shape.

mod amounts;
mod edge;
mod lists;
mod models;
mod order;
mod recipients;
mod reversals;
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

/// Every operation that asks for a token, with an id where the path wants one.
const SECURED: [(&str, &str); 20] = [
    ("POST", "/revenue/schedule-payouts"),
    ("POST", "/revenue/calculate"),
    ("POST", "/revenue/reversals"),
    ("GET", "/revenue/reversals/ref_1"),
    ("PUT", "/projects/prj_1/revenue-model"),
    ("GET", "/projects/prj_1/revenue-model"),
    ("GET", "/projects/prj_1/revenue-models"),
    ("GET", "/projects/prj_1/revenue-models/1"),
    ("PUT", "/recipients/rec_1"),
    ("GET", "/recipients/rec_1"),
    ("GET", "/recipients/rec_1/balance"),
    ("POST", "/recipients/rec_1/payouts"),
    ("GET", "/payouts/batches"),
    ("GET", "/payouts/batches/batch_00000000000000000000000000"),
    ("GET", "/payouts/items/item_00000000000000000000000000"),
    ("GET", "/payouts/items/item_00000000000000000000000000/explanation"),
    ("GET", "/ledger/transactions"),
    ("GET", "/ledger/trial-balance"),
    ("GET", "/events"),
    ("GET", "/simulator/transfers"),
];

/// Those of them that read a body.
fn with_body() -> impl Iterator<Item = (Method, &'static str)> {
    SECURED.into_iter().filter(|(method, _)| *method != "GET").map(|(name, path)| (method(name), path))
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
