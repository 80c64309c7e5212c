//! Three servers, three workers and a provider with a book of its own: seven processes over one database.

use crate::bench::chance::Chance;
use crate::bench::rivals;
use crate::failure::{Failure, Result};
use crate::guarded::{Ending, Guarded};
use crate::http;
use crate::process;
use crate::server;
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Those that are killed. A server listens at the same address in each of its lives.
const MEMBERS: [(&str, Role); 6] = [
    ("server-1", Role::Server),
    ("server-2", Role::Server),
    ("server-3", Role::Server),
    ("worker-1", Role::Worker),
    ("worker-2", Role::Worker),
    ("worker-3", Role::Worker),
];
/// Connections that the database must have: each process opens at most 16, those of the dead are there for a while, and
/// we ask, too.
pub const CONNECTIONS: f64 = 150.0;
/// How long a process may take until it works.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `disburse serve --no-worker`.
    Server,
    /// `disburse worker`.
    Worker,
}

/// The processes, and what a new one needs.
pub struct Deployment {
    provider: Provider,
    members: Vec<Member>,
}

impl Deployment {
    /// Starts those that are killed.
    pub fn start(workspace: &Workspace, database: &str, provider: Provider) -> Result<Self> {
        let mut members = Vec::new();
        for (name, role) in MEMBERS {
            let seat = Seat {
                name,
                role,
                binary: rivals::release_binary(workspace)?,
                database: database.to_owned(),
                provider: provider.url(),
                address: SocketAddr::from(([127, 0, 0, 1], process::free_port()?)),
                data: workspace.empty_workshop(&format!("data/bench-cluster/{name}"))?,
                log: workspace.workshop("logs")?.join(format!("bench-cluster-{name}.log")),
            };
            members.push(Member { process: seat.start()?, seat });
        }
        Ok(Self { provider, members })
    }

    /// Where the servers listen.
    pub fn servers(&self) -> Vec<SocketAddr> {
        let servers = self.members.iter().filter(|member| member.seat.role == Role::Server);
        servers.map(|member| member.seat.address).collect()
    }

    /// Kills one of a kind and starts it again. One that had ended by itself is a failure.
    pub fn kill_one(&mut self, role: Role, chance: &mut Chance) -> Result<()> {
        let places: Vec<usize> = (0..MEMBERS.len()).filter(|place| self.members[*place].seat.role == role).collect();
        let Member { process, seat } = self.members.swap_remove(places[chance.below(places.len())]);
        process.kill().map_err(|failure| seat.with_log(&failure))?;
        server::refuse_panics(&seat.log)?;
        self.members.push(Member { process: seat.start()?, seat });
        Ok(())
    }

    /// Ends all but the provider, as they are asked to end.
    pub fn stop(self) -> Result<Provider> {
        for Member { mut process, seat } in self.members {
            let ended = process.check_alive().and_then(|()| process.stop());
            ended.and_then(|()| server::refuse_panics(&seat.log)).map_err(|failure| seat.with_log(&failure))?;
        }
        Ok(self.provider)
    }
}

struct Member {
    seat: Seat,
    process: Guarded,
}

/// What one process is told in each of its lives.
struct Seat {
    name: &'static str,
    role: Role,
    binary: PathBuf,
    database: String,
    provider: String,
    address: SocketAddr,
    data: PathBuf,
    log: PathBuf,
}

impl Seat {
    fn start(&self) -> Result<Guarded> {
        let mut command = server::disburse(&self.binary, &self.data, Some(&self.database));
        match self.role {
            Role::Server => command.args(["serve", "--no-worker", "--listen", &self.address.to_string()]),
            Role::Worker => command.arg("worker"),
        };
        command.args(["--simulator-url", &self.provider]);
        let mut process = Guarded::start(self.name, &mut command, &self.log, &ending())?;
        let ready = || match self.role {
            Role::Server => serves(self.address),
            Role::Worker => says(&self.log, r#""working""#),
        };
        process.wait_until(READY_WITHIN, ready).map_err(|failure| self.with_log(&failure))?;
        Ok(process)
    }

    fn with_log(&self, failure: &Failure) -> Failure {
        Failure::new(format!("{failure}\n{}", process::tail(&self.log, 30)))
    }
}

/// The simulated provider. It is not killed: a rail is not ours to restart.
pub struct Provider {
    process: Guarded,
    address: SocketAddr,
    data: PathBuf,
}

impl Provider {
    /// Starts it with an empty book.
    pub fn start(workspace: &Workspace) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let data = workspace.empty_workshop("data/bench-cluster/provider")?;
        let log = workspace.workshop("logs")?.join("bench-cluster-provider.log");
        let mut command = server::disburse(&rivals::release_binary(workspace)?, &data, None);
        command.args(["simulator", "--listen", &address.to_string()]);
        let mut process = Guarded::start("the provider", &mut command, &log, &ending())?;
        process
            .wait_until(READY_WITHIN, || says(&log, "simulating a provider"))
            .map_err(|failure| Failure::new(format!("{failure}\n{}", process::tail(&log, 30))))?;
        Ok(Self { process, address, data })
    }

    /// For `--simulator-url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it. Answers its book.
    pub fn stop(self) -> Result<PathBuf> {
        self.process.stop()?;
        Ok(self.data.join("simulator.db"))
    }
}

fn ending() -> Ending {
    Ending { signal: "TERM", patience: Duration::from_secs(30), folder: None }
}

fn serves(address: SocketAddr) -> bool {
    http::send(address, "GET", "/readyz", None, None).is_ok_and(|answer| answer.status == 200)
}

fn says(log: &Path, words: &str) -> bool {
    std::fs::read(log).is_ok_and(|said| String::from_utf8_lossy(&said).contains(words))
}
