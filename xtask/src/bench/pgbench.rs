//! `pgbench`: what the database itself does with the same rows, without a program of ours.

use crate::apt;
use crate::cluster;
use crate::failure::{Failure, Result};
use crate::process;
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::Command;

/// The settings that our own connections have (`PLANS_ONCE` of the adapters, and no compiler): without them it comes to less.
const SETTINGS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off \
                        -c enable_mergejoin=off -c jit=off";

/// The program, and what it runs.
pub struct Pgbench {
    program: PathBuf,
    script: PathBuf,
}

impl Pgbench {
    /// Finds the program or installs Debian's package.
    pub fn find_or_install(workspace: &Workspace) -> Result<Self> {
        let find = || {
            let folders = cluster::debian_folders().into_iter().map(|folder| folder.join("pgbench"));
            process::find_program("pgbench").or_else(|| folders.into_iter().find(|path| process::is_program(path)))
        };
        if find().is_none() {
            apt::install("pgbench", &["postgresql"])?;
        }
        let program = find().ok_or_else(|| Failure::new("pgbench is not there although its package was installed"))?;
        Ok(Self { program, script: workspace.root().join("benches").join("pgbench").join("releases.sql") })
    }

    /// Releases a second: so many in each transaction, so many transactions at a time.
    pub fn run(&self, database_url: &str, releases: u32, clients: u32, seconds: u64) -> Result<f64> {
        let mut command = Command::new(&self.program);
        command
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
            .args([format!("--client={clients}"), format!("--time={seconds}"), format!("--define=releases={releases}")])
            .arg("--file")
            .arg(&self.script)
            .arg(database_url)
            .env("PGOPTIONS", SETTINGS);
        Ok(transactions(&process::capture(&mut command)?)? * f64::from(releases))
    }
}

/// A second, without the time that connecting took. One that failed is a failure.
fn transactions(printed: &str) -> Result<f64> {
    let behind = |label: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(label))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    match (behind("tps = "), behind("number of failed transactions: ")) {
        (Some(rate), Some(0.0)) if rate > 0.0 => Ok(rate),
        _ => Err(Failure::new(format!("pgbench did not do what it should:\n{printed}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_and_a_failed_transaction_is_a_failure() {
        let printed = "number of failed transactions: 0 (0.000%)\nlatency average = 52.062 ms\n\
                       tps = 1229.303573 (without initial connection time)\n";
        assert_eq!(transactions(printed), Ok(1229.303573));
        assert!(transactions(&printed.replace(": 0 (", ": 2 (")).is_err());
        assert!(transactions("tps = 5").is_err());
    }
}
