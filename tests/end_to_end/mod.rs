//! Whether the service keeps its word: sentences about the real binary, over HTTP, on both databases.

mod books;
mod bulk;
mod changed;
mod commands;
mod connections;
mod crash;
mod failpoints;
mod figures;
mod idempotency;
mod lines;
mod lists;
mod outage;
mod pages;
mod payday;
mod people;
mod promises;
mod provider;
mod real;
mod refusals;
mod retention;
mod seed;
mod states;
mod sweep;
mod twice;
mod unhappy;
mod upgrade;
mod versions;
mod waterfall;

use serde_json::{Value, json};

/// A release of so many minor units.
fn release(escrow: &str, project: &str, amount: i64, currency: &str) -> Value {
    json!({ "escrowId": escrow, "projectId": project, "amount": amount, "currency": currency })
}

/// A model of one share step, and no fee.
fn shares(lines: &[(&str, i64)]) -> Value {
    let lines: Vec<Value> =
        lines.iter().map(|(recipient, weight)| json!({ "recipientId": recipient, "weight": weight })).collect();
    json!({ "steps": [{ "type": "share", "lines": lines }] })
}

/// A model with what else it says.
fn with(mut model: Value, name: &str, value: Value) -> Value {
    model[name] = value;
    model
}
