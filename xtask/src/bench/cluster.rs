//! `cargo xtask bench cluster`: three servers and three workers over one database, killed at random while releases come,
//! some of them twice. What it says first is whether anything was lost or paid twice: that is a failure, and no figure.

mod callers;
mod deployment;
mod judge;

use super::Length;
use super::chance::Chance;
use super::databases::Databases;
use super::figures::shown;
use super::rivals;
use super::sqlite::Sqlite;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;
use callers::{Order, Sent};
use deployment::{CONNECTIONS, Deployment, Provider, Role};
use judge::Evidence;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Between two kills, and up to twice that.
const BETWEEN_KILLS: Duration = Duration::from_secs(1);
/// How long nothing may be paid before something is wrong: a lease of 15 s and the longest pause of a job, 60 s.
const STUCK: Duration = Duration::from_secs(120);

/// How many were killed.
#[derive(Debug, Default, Clone, Copy)]
struct Killed {
    servers: usize,
    workers: usize,
}

/// What came of it, all of it true.
#[derive(Debug)]
struct Outcome {
    orders: usize,
    killed: Killed,
    sent: Sent,
    items: f64,
    /// From the first intent until the last item was paid.
    paying_seconds: f64,
    /// From the first release until then.
    whole_seconds: f64,
}

/// Measures, and answers the table.
pub fn run(workspace: &Workspace, length: Length) -> Result<String> {
    rivals::build(workspace)?;
    let (databases, sqlite) = (Databases::provide()?, Sqlite::find_or_install()?);
    require_connections(&databases)?;
    let url = databases.create("cluster")?;
    let provider = Provider::start(workspace)?;
    let token = set_up(workspace, &url, &provider)?;

    let mut chance = Chance::new();
    let deployment = Deployment::start(workspace, &url, provider)?;
    let servers = deployment.servers();
    let orders = callers::plan(orders(length), servers.len(), &mut chance);
    let (sent, killed, provider) = Storm { databases: &databases, url: &url, token: &token, orders: &orders }.rage(
        deployment,
        &servers,
        &mut chance,
    )?;
    let evidence = Evidence { workspace, databases: &databases, url: &url, sqlite: &sqlite };
    evidence.judge(&sent.told, orders.len(), provider)?;

    let seconds = |sql: &str| Ok::<_, Failure>(databases.number(&url, sql)? / 1e6);
    let outcome = Outcome {
        orders: orders.len(),
        killed,
        sent,
        items: databases.number(&url, "SELECT count(*) FROM items")?,
        paying_seconds: seconds("SELECT max(processed_at) - (SELECT min(first_sent_at) FROM instructions) FROM items")?,
        whole_seconds: seconds("SELECT max(processed_at) - (SELECT min(created_at) FROM batches) FROM items")?,
    };
    Ok(format!(
        "{}. **Run:** once; found at the end: one batch for each escrow, each item paid once in the provider's own book, \
         `disburse verify` balanced.\n\n{}",
        databases.version()?,
        table(&outcome),
    ))
}

/// How many releases are sent.
fn orders(length: Length) -> usize {
    match length {
        Length::Full => 50_000,
        Length::Quick => 2_000,
    }
}

fn require_connections(databases: &Databases) -> Result<()> {
    let connections = databases.number(databases.postgres().url(), "SHOW max_connections")?;
    if connections >= CONNECTIONS {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the PostgreSQL server takes {connections} connections, and seven processes that are killed want {CONNECTIONS}"
    )))
}

/// Makes the tables, a project and two recipients, and lifts the provider's limit of calls. Answers a token.
fn set_up(workspace: &Workspace, url: &str, provider: &Provider) -> Result<String> {
    let more = ["--no-worker", "--simulator-url", &provider.url()];
    let server = rivals::start_ours(workspace, "bench-cluster-set-up", Some(url), &more)?;
    // The rail shall not be what is measured.
    server.call("PUT", "/simulator/settings", Some(r#"{"callsPerSecondMax":100000}"#))?;
    let token = server.token().to_owned();
    server.conclude(Ok(()))?;
    Ok(token)
}

/// Releases come while processes die.
struct Storm<'a> {
    databases: &'a Databases,
    url: &'a str,
    token: &'a str,
    orders: &'a [Order],
}

impl Storm<'_> {
    /// Until all is paid. Nobody is killed after that.
    fn rage(
        &self,
        mut deployment: Deployment,
        servers: &[std::net::SocketAddr],
        chance: &mut Chance,
    ) -> Result<(Sent, Killed, Provider)> {
        let is_over = AtomicBool::new(false);
        let (sent, killed) = std::thread::scope(|scope| {
            let sending = scope.spawn(|| callers::send(self.orders, servers, self.token, &is_over));
            let killed = self.kill(&mut deployment, chance, || sending.is_finished());
            // Nobody waits for servers that are not there.
            is_over.store(true, Relaxed);
            let sent = sending.join().map_err(|_| Failure::new("the callers panicked")).and_then(|sent| sent);
            match (sent, killed) {
                (Ok(sent), Ok(killed)) => Ok((sent, killed)),
                (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
                (Err(sending), Err(killing)) => Err(Failure::new(format!("{killing}\n{sending}"))),
            }
        })?;
        Ok((sent, killed, deployment.stop()?))
    }

    fn kill(&self, deployment: &mut Deployment, chance: &mut Chance, is_sent: impl Fn() -> bool) -> Result<Killed> {
        let (mut killed, mut left, mut since) = (Killed::default(), f64::INFINITY, Instant::now());
        loop {
            std::thread::sleep(chance.about(BETWEEN_KILLS));
            // In this order: what is sent after the count would be missed.
            let is_sent = is_sent();
            let waiting = "SELECT count(*) FROM batches WHERE status <> 'completed'";
            let now_left = self.databases.number(self.url, waiting)?;
            if is_sent && now_left < 1.0 {
                return Ok(killed);
            }
            if !is_sent || now_left < left {
                (left, since) = (now_left, Instant::now());
            }
            if since.elapsed() > STUCK {
                return Err(Failure::new(format!("{left} batches are not completed, and nothing moves")));
            }
            // Both kinds, also in a short run.
            if killed.workers > killed.servers {
                deployment.kill_one(Role::Server, chance)?;
                killed.servers += 1;
            } else {
                deployment.kill_one(Role::Worker, chance)?;
                killed.workers += 1;
            }
            println!("{} killed, {now_left} batches wait", killed.servers + killed.workers);
        }
    }
}

fn table(outcome: &Outcome) -> String {
    let (sent, killed) = (&outcome.sent, outcome.killed);
    let new = sent.told.iter().filter(|told| told.is_new).count();
    let escrows = callers::escrows(outcome.orders);
    let sending = sent.took.as_secs_f64();
    let rows = [
        ("releases sent, each until it was answered", whole(outcome.orders)),
        ("of those, an escrow again", whole(outcome.orders - escrows)),
        ("killed (SIGKILL): servers, workers", format!("{}, {}", killed.servers, killed.workers)),
        ("answered 201", whole(new)),
        ("answered 409 `already_scheduled`", whole(sent.told.len() - new)),
        ("sent again because nobody answered", whole(sent.unanswered)),
        ("sent again because of a 503", whole(sent.unavailable)),
        ("sending", format!("{} s", shown(sending))),
        ("releases/s meanwhile", shown(rate(outcome.orders, sending))),
        ("items paid, each once", shown(outcome.items)),
        ("items paid/s, until the last", shown(outcome.items / outcome.paying_seconds)),
        ("from the first release until all is paid", format!("{} s", shown(outcome.whole_seconds))),
    ];
    let rows = rows.into_iter().map(|(what, figure)| format!("| {what} | {figure} |\n"));
    rows.fold("| | |\n|---|---|\n".to_owned(), |table, row| table + &row)
}

#[expect(clippy::cast_precision_loss, reason = "they are thousands")]
fn rate(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// A number of things: never with a fraction.
#[expect(clippy::cast_precision_loss, reason = "they are thousands")]
fn whole(count: usize) -> String {
    if count < 100 { count.to_string() } else { shown(count as f64) }
}

#[cfg(test)]
mod tests {
    use super::callers::Told;
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let told = |escrow, is_new| Told { escrow, batch: "bat_1".into(), is_new };
        let sent = Sent {
            told: [told(0, true), told(1, true), told(0, false)].to_vec(),
            unanswered: 7,
            unavailable: 0,
            took: Duration::from_secs(2),
        };
        let killed = Killed { servers: 2, workers: 3 };
        let outcome =
            Outcome { orders: 2_000, killed, sent, items: 3_600.0, paying_seconds: 10.0, whole_seconds: 12.0 };
        let table = table(&outcome);
        for row in [
            "| of those, an escrow again | 200 |",
            "| killed (SIGKILL): servers, workers | 2, 3 |",
            "| answered 201 | 2 |",
            "| answered 409 `already_scheduled` | 1 |",
            "| sent again because nobody answered | 7 |",
            "| releases/s meanwhile | 1,000 |",
            "| items paid/s, until the last | 360 |",
            "| from the first release until all is paid | 12.0 s |",
        ] {
            assert!(table.contains(row), "{row}\n{table}");
        }
    }
}
