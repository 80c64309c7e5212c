//! `disburse demo`: a sample project, releases over the real HTTP API, and what became of them.

use super::{
    Exit, Outcome, say,
    serve::{Running, StopSignals},
};
use crate::{
    config::{Config, Origin},
    http::roles::Role,
    logging,
    signing_key::signing_key,
};
use comfy_table::{Cell, CellAlignment, Table};
use domain::{ids::Requester, money::Money};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// How long a release may take to be paid.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often we look.
const POLL: Duration = Duration::from_millis(50);
/// How long the demo's token is good for.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End after the table instead of serving on
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(mut config: Config, args: &Args) -> Outcome {
    // The table is what people came for: warnings only, unless they ask for more.
    logging::start_quiet();
    if config.listen.origin == Origin::Default && std::net::TcpListener::bind(config.listen.value).is_err() {
        // Somebody else has the usual port, and nobody asked for it.
        config.listen.value = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    }
    // It calls itself, and nobody vouches for a certificate towards it.
    config.tls = None;
    let signals = StopSignals::listen()?;
    let server = Running::start(&config, true).await?;
    let played = play(&config, &server).await;
    if let (Ok(()), false) = (&played, args.once) {
        outln!("\nServing until Ctrl-C.");
        signals.wait().await;
    }
    let stopped = server.stop().await;
    played.map_err(|error| say(Exit::Failed, &error))?;
    stopped
}

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("no token: {0}")]
    Token(String),
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    #[error("{0} answered {1}: {2}")]
    Refused(String, u16, Value),
    #[error("{0} is still {1} after {PATIENCE:?}")]
    TooSlow(String, String),
    #[error("an answer has no `{0}`")]
    Missing(&'static str),
    #[error("the books do not balance; see `disburse verify`")]
    NotBalanced,
}

struct Api {
    url: String,
    token: String,
    client: reqwest::Client,
}

impl Api {
    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value, DemoError> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.json().await?;
        if status.is_success() { Ok(body) } else { Err(DemoError::Refused(path.to_owned(), status.as_u16(), body)) }
    }
    async fn put(&self, path: &str, body: Value) -> Result<Value, DemoError> {
        self.call(reqwest::Method::PUT, path, Some(body)).await
    }
    async fn post(&self, path: &str, body: Value) -> Result<Value, DemoError> {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }
    async fn get(&self, path: &str) -> Result<Value, DemoError> {
        self.call(reqwest::Method::GET, path, None).await
    }
}

async fn play(config: &Config, server: &Running) -> Result<(), DemoError> {
    let api = api(config, server)?;
    let releases = sample(&api).await?;
    let mut table = table();
    for release in releases {
        let scheduled = api.post("/revenue/schedule-payouts", release).await?;
        let batch = settled(&api, text(&scheduled, "batchId")?).await?;
        show(&mut table, &batch)?;
    }
    outln!("{table}");
    let books = api.get("/ledger/trial-balance").await?;
    let balanced = books["balanced"] == json!(true);
    let checks = books["checks"].as_array().map_or(0, Vec::len);
    outln!("{} ({checks} checks)", if balanced { "books balanced" } else { "BOOKS NOT BALANCED" });
    outln!("\nAPI       {}", api.url);
    outln!("API page  {}/docs", api.url);
    outln!("Token     {}", api.token);
    if balanced { Ok(()) } else { Err(DemoError::NotBalanced) }
}

fn api(config: &Config, server: &Running) -> Result<Api, DemoError> {
    let key = signing_key(config).map_err(|error| DemoError::Token(error.to_string()))?;
    let requester: Requester = "usr_demo".parse().map_err(|_| DemoError::Missing("requester"))?;
    let token = key
        .sign(&requester, Role::Admin.as_str(), TOKEN_LIFETIME)
        .map_err(|error| DemoError::Token(error.to_string()))?;
    Ok(Api { url: server.url.clone(), token, client: reqwest::Client::builder().no_proxy().build()? })
}

/// Stores a project of three with a fee of 5 %, and makes up releases that were never seen before.
async fn sample(api: &Api) -> Result<Vec<Value>, DemoError> {
    api.put("/recipients/rec_ana", json!({ "destination": { "rail": "simulator" } })).await?;
    api.put("/recipients/rec_ben", json!({ "taxRatePpm": 150_000, "destination": { "rail": "simulator" } })).await?;
    let declined = json!({ "rail": "simulator", "details": { "outcome": "declined" } });
    api.put("/recipients/rec_dan", json!({ "destination": declined })).await?;
    let lines = json!([
        { "recipientId": "rec_ana", "percent": "50" },
        { "recipientId": "rec_ben", "percent": "33.3333" },
        { "recipientId": "rec_cleo", "remaining": true }
    ]);
    let film = json!({ "platformFee": { "ratePpm": 50_000 }, "steps": [{ "type": "share", "lines": lines }] });
    api.put("/projects/prj_film/revenue-model", film).await?;
    let lines = json!([{ "recipientId": "rec_ana", "weight": 1 }, { "recipientId": "rec_dan", "weight": 1 }]);
    let song = json!({ "platformFee": { "ratePpm": 50_000 }, "steps": [{ "type": "share", "lines": lines }] });
    api.put("/projects/prj_song/revenue-model", song).await?;

    let release = |project: &str, amount: i64, currency: &str| {
        let escrow = format!("esc_demo{:032x}", rand::random::<u128>());
        json!({ "escrowId": escrow, "projectId": project, "milestoneId": "ms_final", "amount": amount, "currency": currency })
    };
    let mut expenses = release("prj_film", 100_001, "EUR");
    expenses["deductions"] = json!([{ "type": "expense", "amount": 10_000, "reference": "Studio" }]);
    Ok(vec![
        release("prj_film", 200_000, "USD"),
        release("prj_film", 133_333, "JPY"),
        expenses,
        release("prj_song", 50_000, "USD"),
    ])
}

async fn settled(api: &Api, batch: &str) -> Result<Value, DemoError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let details = api.get(&format!("/payouts/batches/{batch}")).await?;
        let status = text(&details, "status")?.to_owned();
        if !matches!(status.as_str(), "scheduled" | "processing") {
            return Ok(details);
        }
        if Instant::now() > deadline {
            return Err(DemoError::TooSlow(batch.to_owned(), status));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(["Project", "Batch", "Recipient", "Gross", "Fee", "Tax", "Net", "Item"]);
    for column in 3..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn show(table: &mut Table, batch: &Value) -> Result<(), DemoError> {
    let currency = text(batch, "currency")?.parse().map_err(|_| DemoError::Missing("currency"))?;
    let money = |of: &Value, name: &'static str| -> Result<Cell, DemoError> {
        let amount = of[name].as_i64().ok_or(DemoError::Missing(name))?;
        Ok(Cell::new(Money::new(amount, currency)))
    };
    for item in batch["items"].as_array().ok_or(DemoError::Missing("items"))? {
        table.add_row(vec![
            Cell::new(text(batch, "projectId")?),
            Cell::new(text(batch, "status")?),
            Cell::new(text(item, "recipientId")?),
            money(item, "amount")?,
            money(item, "fees")?,
            money(item, "taxWithheld")?,
            money(item, "netAmount")?,
            Cell::new(outcome(item)),
        ]);
    }
    Ok(())
}

/// The status, and the reason where there is one.
fn outcome(item: &Value) -> String {
    let status = item["status"].as_str().unwrap_or_default();
    match item["failureReason"].as_str() {
        Some(reason) => format!("{status} ({reason})"),
        None => status.to_owned(),
    }
}

fn text<'a>(value: &'a Value, name: &'static str) -> Result<&'a str, DemoError> {
    value[name].as_str().ok_or(DemoError::Missing(name))
}
