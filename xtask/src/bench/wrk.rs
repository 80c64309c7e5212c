//! Load, by `wrk`: one thread, any number of connections, a fresh escrow for each request (`benches/release.lua`).

use super::result::Printed;
use crate::apt;
use crate::failure::{Failure, Result};
use crate::process;
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

/// The program, and what it sends.
pub struct Wrk {
    program: PathBuf,
    script: PathBuf,
}

/// Whom to ask, as whom, and how.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// The server.
    pub to: SocketAddr,
    /// A bearer token.
    pub token: &'a str,
    /// How many requests are under way at a time.
    pub connections: u32,
    /// For how long.
    pub seconds: u64,
    /// A word that no other run has in its escrows.
    pub nonce: &'a str,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answers {
    /// Requests that were answered.
    pub count: f64,
    /// A second.
    pub rate: f64,
    /// Half were answered within so many milliseconds.
    pub p50_ms: f64,
    /// All but one of a hundred.
    pub p99_ms: f64,
}

impl Wrk {
    /// Finds the program or installs Debian's package.
    pub fn find_or_install(workspace: &Workspace) -> Result<Self> {
        let find = || process::find_program("wrk");
        if find().is_none() {
            apt::install("wrk", &["wrk"])?;
        }
        let program = find().ok_or_else(|| Failure::new("wrk is not there although its package was installed"))?;
        Ok(Self { program, script: workspace.root().join("benches").join("release.lua") })
    }

    /// What it says of itself.
    pub fn version(&self) -> String {
        // It prints its usage, and ends as if that were a mistake.
        let output = Command::new(&self.program).arg("-v").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// Asks as fast as answers come. An answer that is not 2xx, or none, is a failure.
    pub fn run(&self, load: Load<'_>) -> Result<Answers> {
        let mut command = Command::new(&self.program);
        command
            .args(["--threads", "1", "--timeout", "10s"])
            .args(["--connections", &load.connections.to_string()])
            .args(["--duration", &format!("{}s", load.seconds)])
            .arg("--script")
            .arg(&self.script)
            .arg(format!("http://{}/revenue/schedule-payouts", load.to))
            .env("TOKEN", load.token)
            .env("NONCE", load.nonce);
        read(&process::capture(&mut command)?)
    }
}

/// The line that the script prints at the end.
fn read(printed: &str) -> Result<Answers> {
    let line = Printed::read(printed)?;
    let number = |name: &str| line.number(name);
    for bad in ["status", "connect", "read", "write", "timeout"] {
        if number(bad)? > 0.0 {
            return Err(Failure::new(format!("not every request was answered 2xx:\n{printed}")));
        }
    }
    let count = number("requests")?;
    if count < 1.0 {
        return Err(Failure::new("no request was answered"));
    }
    Ok(Answers {
        count,
        rate: count / (number("micros")? / 1e6),
        p50_ms: number("p50")? / 1e3,
        p99_ms: number("p99")? / 1e3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Running 2s test\nRESULT requests=500 micros=2000000 p50=1500 p99=9000 status=0 connect=0 \
                        read=0 write=0 timeout=0\n";

    #[test]
    fn rates_and_times_are_read() {
        let expected = Answers { count: 500.0, rate: 250.0, p50_ms: 1.5, p99_ms: 9.0 };
        assert_eq!(read(GOOD), Ok(expected));
    }

    #[test]
    fn one_bad_answer_spoils_the_run() {
        for bad in ["status", "connect", "read", "write", "timeout"] {
            let printed = GOOD.replace(&format!("{bad}=0"), &format!("{bad}=1"));
            assert!(read(&printed).unwrap_err().to_string().contains("not every request"), "{bad}");
        }
        for bad in ["", "RESULT requests=1", &GOOD.replace("requests=500", "requests=0")] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
