//! Servers that answer `POST /revenue/schedule-payouts`: ours on both databases, and the peer in both designs.

use super::databases::Databases;
use super::peers::Peers;
use super::wrk::Load;
use crate::failure::{Attempt, Failure, Result};
use crate::guarded::{Ending, Guarded};
use crate::http;
use crate::process;
use crate::server::{self, Server};
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A release to two recipients, a fee of 5 %.
const MODEL: &str = r#"{"platformFee":{"ratePpm":50000},"steps":[{"type":"share","lines":[
    {"recipientId":"rec_ana","percent":"70"},{"recipientId":"rec_ben","percent":"30"}]}]}"#;
const RECIPIENT: &str = r#"{"status":"active","destination":{"rail":"simulator"}}"#;

/// One who runs.
pub struct Rival {
    /// As the table calls it.
    pub name: &'static str,
    running: Running,
    booked: Booked,
}

enum Running {
    Ours(Server),
    Peer { process: Guarded, address: SocketAddr, token: String },
}

/// Where releases that were booked are counted.
enum Booked {
    /// Rows of a table of a database.
    Rows { database: String, table: &'static str },
    /// Answers that our own server counted.
    Answers,
}

impl Rival {
    /// `disburse serve --no-worker`, as it is shipped, with a project, a model and two recipients.
    pub fn ours(workspace: &Workspace, name: &'static str, database: Option<String>) -> Result<Self> {
        let folder = if database.is_some() { "bench-postgres" } else { "bench-sqlite" };
        let server = start_ours(workspace, folder, database.as_deref(), &["--no-worker"])?;
        let booked = match database {
            Some(database) => Booked::Rows { database, table: "batches" },
            None => Booked::Answers,
        };
        Ok(Self { name, running: Running::Ours(server), booked })
    }

    /// The peer, over a database that ours made and filled with the same project.
    pub fn node(
        workspace: &Workspace,
        databases: &Databases,
        peers: &Peers,
        name: &'static str,
        mode: &'static str,
    ) -> Result<Self> {
        let database = databases.create(&format!("node_{mode}"))?;
        let ours = start_ours(workspace, "bench-peer", Some(&database), &["--no-worker"])?;
        let token = ours.token().to_owned();
        ours.conclude(Ok(()))?;
        let table = if mode == "seed" { "seed_batches" } else { "batches" };
        if mode == "seed" {
            let path = peers.file("tables.sql");
            let tables = std::fs::read_to_string(&path).attempting(|| format!("reading {}", path.display()))?;
            databases.postgres().ask(&database, &tables)?;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let log = workspace.workshop("logs")?.join(format!("bench-node-{mode}.log"));
        let ending = Ending { signal: "TERM", patience: Duration::from_secs(5), folder: None };
        let mut command = peers.command("server.js");
        command
            .env("MODE", mode)
            .env("PORT", address.port().to_string())
            .env("DATABASE_URL", &database)
            .env("JWT_SECRET", server::JWT_SECRET);
        let mut process = Guarded::start("the Node peer", &mut command, &log, &ending)?;
        let ready = || http::send(address, "GET", "/readyz", None, None).is_ok_and(|answer| answer.status == 200);
        process
            .wait_until(Duration::from_secs(30), ready)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", process::tail(&log, 30))))?;
        let running = Running::Peer { process, address, token };
        Ok(Self { name, running, booked: Booked::Rows { database, table } })
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        match &self.running {
            Running::Ours(server) => server.id(),
            Running::Peer { process, .. } => process.id(),
        }
    }

    /// Whom to ask, and as whom.
    pub fn load<'a>(&'a self, connections: u32, seconds: u64, nonce: &'a str) -> Load<'a> {
        let (to, token) = match &self.running {
            Running::Ours(server) => (server.address(), server.token()),
            Running::Peer { address, token, .. } => (*address, token.as_str()),
        };
        Load { to, token, connections, seconds, nonce }
    }

    /// How many releases it booked so far.
    pub fn booked(&self, databases: &Databases) -> Result<f64> {
        match (&self.booked, &self.running) {
            (Booked::Rows { database, table }, _) => {
                databases.number(database, &format!("SELECT count(*) FROM {table}"))
            }
            (Booked::Answers, Running::Ours(server)) => created(&server.call("GET", "/metrics", None)?),
            (Booked::Answers, Running::Peer { .. }) => Err(Failure::new("a peer is counted by its rows")),
        }
    }

    /// Ends it. One that wrote our tables must have written true books.
    pub fn conclude(self, workspace: &Workspace) -> Result<()> {
        match self.running {
            Running::Ours(server) => server.conclude(Ok(()))?,
            Running::Peer { process, .. } => process.stop()?,
        }
        match &self.booked {
            Booked::Rows { database, table: "batches" } => verify(workspace, database),
            Booked::Rows { .. } | Booked::Answers => Ok(()),
        }
    }
}

/// Whether the ledger agrees with the batches and items. What the rail has is not compared: nothing was sent.
pub fn verify(workspace: &Workspace, database: &str) -> Result<()> {
    let data = workspace.empty_workshop("data/bench-verify")?;
    let mut command = server::disburse(&release_binary(workspace)?, &data, Some(database));
    process::announce(command.arg("verify"));
    let output = command.output().attempting(|| "starting `disburse verify`".into())?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if is_balanced(output.status.code(), &said) {
        return Ok(());
    }
    Err(Failure::new(format!("the books of a rival are not true: {}\n{said}", output.status)))
}

/// The book of a simulator that was never asked is not there, and that is the only thing that may be missing.
fn is_balanced(code: Option<i32>, said: &str) -> bool {
    let missing = "what was compared balances; NOT COMPARED: rail_book:simulator";
    code == Some(0) || (code == Some(69) && said.lines().any(|line| line.ends_with(missing)))
}

/// Makes our tables.
pub fn migrate(workspace: &Workspace, database: &str) -> Result<()> {
    let data = workspace.empty_workshop("data/bench-migrate")?;
    let mut command = server::disburse(&release_binary(workspace)?, &data, Some(database));
    process::capture(command.args(["migrate", "up"])).map(drop)
}

/// `disburse serve` with a project, a model and two recipients.
pub fn start_ours(workspace: &Workspace, name: &str, database: Option<&str>, more: &[&str]) -> Result<Server> {
    let server = Server::start_binary(workspace, &release_binary(workspace)?, name, database, more)?;
    server.call("PUT", "/projects/prj_bench/revenue-model", Some(MODEL))?;
    for recipient in ["rec_ana", "rec_ben"] {
        server.call("PUT", &format!("/recipients/{recipient}"), Some(RECIPIENT))?;
    }
    Ok(server)
}

/// Builds what is shipped.
pub fn build(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&["build", "--release", "--package", "server", "--bin", "disburse"]))
}

/// What is shipped.
pub fn release_binary(workspace: &Workspace) -> Result<PathBuf> {
    workspace.released("disburse")
}

/// Milliseconds from its start until it answers that it is ready, and its memory a second later in megabytes: once with
/// no data at all, then with what that left behind. Without a worker, on SQLite.
pub fn start_up(workspace: &Workspace, resident_mb: impl Fn(u32) -> Result<f64>) -> Result<[(f64, f64); 2]> {
    let data = workspace.empty_workshop("data/bench-start")?;
    let first = start_once(workspace, &data, &resident_mb)?;
    let second = start_once(workspace, &data, &resident_mb)?;
    std::fs::remove_dir_all(&data).attempting(|| format!("removing {}", data.display()))?;
    Ok([first, second])
}

fn start_once(workspace: &Workspace, data: &Path, resident_mb: impl Fn(u32) -> Result<f64>) -> Result<(f64, f64)> {
    let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
    let log = workspace.workshop("logs")?.join("bench-start.log");
    let ending = Ending { signal: "TERM", patience: Duration::from_secs(10), folder: None };
    let mut command = server::disburse(&release_binary(workspace)?, data, None);
    command.args(["serve", "--listen", &address.to_string()]);
    let started = Instant::now();
    let mut server = Guarded::start("disburse", &mut command, &log, &ending)?;
    while !http::send(address, "GET", "/readyz", None, None).is_ok_and(|answer| answer.status == 200) {
        server.check_alive()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let took_ms = started.elapsed().as_secs_f64() * 1e3;
    std::thread::sleep(Duration::from_secs(1));
    let memory = resident_mb(server.id())?;
    server.stop()?;
    Ok((took_ms, memory))
}

/// The answers 201 to releases, as our own counters say.
fn created(metrics: &str) -> Result<f64> {
    let labels = r#"{method="POST",route="/revenue/schedule-payouts",status="201"} "#;
    let line = metrics.lines().find_map(|line| line.strip_prefix("disburse_http_requests_total")?.strip_prefix(labels));
    // Before the first there is no such line.
    line.map_or(Ok(0.0), |count| count.trim().parse().attempting(|| "reading the counters".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_without_a_rail_balance_and_others_must_be_whole() {
        let missing = "ok a\nwhat was compared balances; NOT COMPARED: rail_book:simulator\n";
        assert!(is_balanced(Some(0), ""));
        assert!(is_balanced(Some(69), missing));
        for (code, said) in [(Some(6), missing), (Some(69), "the database is down"), (None, missing)] {
            assert!(!is_balanced(code, said));
        }
    }

    #[test]
    fn only_releases_that_were_booked_are_counted() {
        let route = r#"disburse_http_requests_total{method="POST",route="/revenue/schedule-payouts","#;
        let metrics = format!("{route}status=\"409\"}} 5\n{route}status=\"201\"}} 17\n");
        assert_eq!(created(&metrics), Ok(17.0));
        assert_eq!(created("# EOF\n"), Ok(0.0));
    }
}
