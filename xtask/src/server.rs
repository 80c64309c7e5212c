//! The service under test: the debug binary on a free port, with data of its own.

use crate::failure::{Attempt, Failure, Result};
use crate::guarded::{Ending, Guarded};
use crate::http;
use crate::process;
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Long enough for HMAC-SHA-256, and plainly not a secret.
pub const JWT_SECRET: &str = "xtask-signs-test-tokens-with-this-and-nothing-else";

/// A running server. It ends with this value.
pub struct Server {
    process: Guarded,
    address: SocketAddr,
    token: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server with empty data and waits until it is ready. Without a database URL it
    /// runs on SQLite in its data folder.
    pub fn start(workspace: &Workspace, name: &str, database_url: Option<&str>) -> Result<Self> {
        Self::start_binary(workspace, &workspace.service()?, name, database_url, &[])
    }

    /// The same of any binary, with more arguments for `serve`.
    pub fn start_binary(
        workspace: &Workspace,
        service: &Path,
        name: &str,
        database_url: Option<&str>,
        more: &[&str],
    ) -> Result<Self> {
        let data = workspace.empty_workshop(&format!("data/{name}"))?;
        let log = workspace.workshop("logs")?.join(format!("{name}.log"));
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let ending = Ending { signal: "TERM", patience: Duration::from_secs(30), folder: Some(data.clone()) };
        let mut command = disburse(service, &data, database_url);
        command.args(["serve", "--listen", &address.to_string()]).args(more).arg("--data-dir").arg(&data);
        let mut server = Self {
            process: Guarded::start("disburse", &mut command, &log, &ending)?,
            address,
            token: String::new(),
            log,
        };
        let ready = || http::send(address, "GET", "/readyz", None, None).is_ok_and(|answer| answer.status == 200);
        server
            .process
            .wait_until(Duration::from_secs(60), ready)
            .and_then(|()| read_token(service, &data, database_url))
            .map(|token| server.token = token)
            .map_err(|failure| server.with_log(&failure))?;
        println!("disburse is ready on {address}");
        Ok(server)
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// A bearer token of role `admin`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Stores a project with a model, a recipient and one batch, so that ids in the
    /// specification's examples name something.
    pub fn seed(&self) -> Result<()> {
        let model = r#"{"platformFee":{"ratePpm":50000},"steps":[{"type":"share","lines":[
            {"recipientId":"rec_ana","percent":"70"},{"recipientId":"rec_ben","percent":"30"}]}]}"#;
        let recipient = r#"{"status":"active","destination":{"rail":"simulator"}}"#;
        let release = r#"{"escrowId":"esc_1","projectId":"prj_demo","milestoneId":"ms_1",
            "amount":200000,"currency":"USD"}"#;
        self.call("PUT", "/projects/prj_demo/revenue-model", Some(model))?;
        self.call("PUT", "/recipients/rec_ana", Some(recipient))?;
        self.call("POST", "/revenue/schedule-payouts", Some(release)).map(drop)
    }

    /// The body of a good answer; any other is a failure.
    pub fn call(&self, method: &str, path: &str, json: Option<&str>) -> Result<String> {
        let answer = http::send(self.address, method, path, Some(&self.token), json)
            .map_err(|failure| self.with_log(&failure))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let (status, body) = (answer.status, answer.body);
        Err(self.with_log(&Failure::new(format!("{method} {path} was answered {status}: {body}"))))
    }

    /// Ends a trial: the outcome counts only if the server is still there, stops when asked, and
    /// never panicked. A failure carries the end of the server's log.
    pub fn conclude(self, outcome: Result<()>) -> Result<()> {
        let Self { mut process, log, .. } = self;
        // A server that died explains the failure that came of it.
        let alive = process.check_alive();
        let outcome = match (outcome, alive) {
            (Err(failure), Err(death)) => Err(Failure::new(format!("{failure}; {death}"))),
            (outcome, alive) => outcome.and(alive),
        };
        outcome
            .and_then(|()| process.stop())
            .and_then(|()| refuse_panics(&log))
            .map_err(|failure| with_log(&failure, &log))
    }

    fn with_log(&self, failure: &Failure) -> Failure {
        with_log(failure, &self.log)
    }
}

fn with_log(failure: &Failure, log: &Path) -> Failure {
    Failure::new(format!("{failure}\n{}", process::tail(log, 60)))
}

/// The handler that turns a panic into an answer hides it from the client, not from the log.
pub fn refuse_panics(log: &Path) -> Result<()> {
    let text = std::fs::read(log).attempting(|| format!("reading {}", log.display()))?;
    match String::from_utf8_lossy(&text).lines().find(|line| line.contains("panicked")) {
        Some(line) => Err(Failure::new(format!("the server panicked: {line}"))),
        None => Ok(()),
    }
}

/// A bearer token of role `admin`, for an hour.
pub fn read_token(service: &Path, data: &Path, database_url: Option<&str>) -> Result<String> {
    let mut command = disburse(service, data, database_url);
    let printed = process::capture(command.args(["token", "--role", "admin"]))?;
    let token = printed.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Failure::new("`disburse token` did not print a token alone on standard output"));
    }
    Ok(token.to_owned())
}

/// The binary in an environment without anybody's own settings: no variables, and no
/// `disburse.toml` in its working folder.
pub fn disburse(service: &Path, data: &Path, database_url: Option<&str>) -> Command {
    let mut command = Command::new(service);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("DISBURSE_")) {
            command.env_remove(name);
        }
    }
    command.current_dir(data).env("DISBURSE_DATA_DIR", data).env("DISBURSE_JWT_SECRET", JWT_SECRET);
    if let Some(url) = database_url {
        command.env("DISBURSE_DATABASE_URL", url);
    }
    command
}
