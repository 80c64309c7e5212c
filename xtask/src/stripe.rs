//! Asks Stripe's own SDK what it thinks of our Stripe simulator, of our webhook check, and of what our rail sends.

use crate::failure::{Failure, Result};
use crate::guarded::{Ending, Guarded};
use crate::http;
use crate::process;
use crate::python;
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// Starts the simulator on a free port and lets the SDK judge it.
pub fn judge(workspace: &Workspace) -> Result<()> {
    let _turn = workspace.wait_for_turn()?;
    let folder = workspace.root().join("tests").join("stripe");
    let programs = python::environment(workspace, "stripe", &folder.join("requirements.txt"))?;
    let simulator = workspace.example("stripe_simulator")?;
    let log = workspace.workshop("logs")?.join("stripe.log");
    let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
    let ending = Ending { signal: "TERM", patience: Duration::from_secs(5), folder: None };
    let mut command = Command::new(simulator);
    command.arg(address.to_string());
    let mut simulator = Guarded::start("the Stripe simulator", &mut command, &log, &ending)?;
    let ready =
        || http::send(address, "POST", "/_simulator/ready", None, Some("")).is_ok_and(|answer| answer.status == 200);
    let outcome = simulator.wait_until(Duration::from_secs(30), ready).and_then(|()| {
        let mut judge = Command::new(programs.join("python"));
        judge
            .arg(folder.join("judge.py"))
            .arg(format!("http://{address}"))
            // It is on this machine, whatever proxy leads out of it.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .env("PYTHONUNBUFFERED", "1")
            // No folder of compiled files in the sources.
            .env("PYTHONDONTWRITEBYTECODE", "1");
        process::run_within(&mut judge, Duration::from_secs(120))
    });
    let outcome = outcome.and_then(|()| simulator.check_alive());
    outcome
        .and_then(|()| simulator.stop())
        .map_err(|failure| Failure::new(format!("{failure}\n{}", process::tail(&log, 60))))
}
