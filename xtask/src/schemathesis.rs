//! Asks a running server everything that its specification allows, and much that it forbids.

use crate::failure::{Attempt, Failure, Result};
use crate::postgres::Postgres;
use crate::process;
use crate::python;
use crate::server::Server;
use crate::workspace::Workspace;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How much to ask.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// The most test cases an operation, in each phase that draws them.
    pub examples_max: u32,
    /// After this time something hangs.
    pub limit: Duration,
}

/// On SQLite.
pub fn on_sqlite(workspace: &Workspace, effort: Effort) -> Result<()> {
    probe(workspace, "schemathesis-sqlite", None, effort)
}

/// On PostgreSQL, in a database of its own.
pub fn on_postgres(workspace: &Workspace, postgres: &Postgres, effort: Effort) -> Result<()> {
    // The server may be somebody's own, and another run may be using it.
    let database = format!("disburse_schemathesis_{}", std::process::id());
    let url = postgres.create_database(&database)?;
    let outcome = probe(workspace, "schemathesis-postgres", Some(&url), effort);
    outcome.and(postgres.drop_database(&database))
}

fn probe(workspace: &Workspace, name: &str, database_url: Option<&str>, effort: Effort) -> Result<()> {
    let _turn = workspace.wait_for_turn()?;
    let settings = workspace.root().join("tests").join("schemathesis");
    let requirements = settings.join("requirements.txt");
    let programs = python::environment(workspace, "schemathesis", &requirements)?;
    let server = Server::start(workspace, name, database_url)?;
    // What it leaves behind (found examples, caches) lies here and does not colour the next run.
    let folder = workspace.empty_workshop(name)?;
    let report = folder.join("report.json");
    let outcome = server
        .seed()
        .and_then(|()| {
            let mut command = Command::new(programs.join("schemathesis"));
            command
                .current_dir(&folder)
                // The server is on this machine, whatever proxy leads out of it.
                .env("NO_PROXY", "127.0.0.1")
                .env("no_proxy", "127.0.0.1")
                .env("PYTHONUNBUFFERED", "1")
                .env("SCHEMATHESIS_HOOKS", settings.join("hooks.py"))
                .arg("--config-file")
                .arg(settings.join("schemathesis.toml"))
                .args(["run", &format!("{}/openapi.json", server.url())])
                .args(["--url", &server.url()])
                .args(["-H", &format!("Authorization: Bearer {}", server.token())])
                .args(["--checks", "all", "--mode", "all", "--seed", "3"])
                .args(["--phases", "examples,coverage,fuzzing,stateful"])
                .args(["--max-examples", &effort.examples_max.to_string()])
                .args(["--report", "json", "--report-json-path"])
                .arg(&report);
            process::run_within(&mut command, effort.limit)
        })
        .and_then(|()| refuse_an_empty_run(&report));
    server.conclude(outcome)
}

/// A run that tested nothing also ends without failures.
fn refuse_an_empty_run(report: &Path) -> Result<()> {
    let text = std::fs::read_to_string(report).attempting(|| format!("reading {}", report.display()))?;
    for counter in ["tested", "generated"] {
        match number_in(&text, counter) {
            Some(0) | None => {
                return Err(Failure::new(format!(
                    "schemathesis has tested nothing (`{counter}` in {})",
                    report.display()
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The number behind the first `"key":` of a JSON text. The report's counters are unique names.
fn number_in(json: &str, key: &str) -> Option<u64> {
    let rest = json.split_once(&format!("\"{key}\":"))?.1.trim_start();
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_from_the_report() {
        let json = r#"{"operations": {"total": 7, "tested": 6}, "test_cases": {"generated":697}}"#;
        assert_eq!(number_in(json, "tested"), Some(6));
        assert_eq!(number_in(json, "generated"), Some(697));
        assert_eq!(number_in(json, "absent"), None);
        assert_eq!(number_in(r#"{"tested": null}"#, "tested"), None);
    }
}
