//! `cargo xtask test`: runs the steps and sums up.

use crate::client;
use crate::failure::{Attempt, Failure, Result};
use crate::postgres::{Postgres, URL_VARIABLE};
use crate::process;
use crate::proofs;
use crate::schemathesis::{self, Effort};
use crate::step::Step;
use crate::stripe;
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;
use std::time::{Duration, Instant};

/// Runs the steps in order and stops at the first that fails.
pub fn run(workspace: &Workspace, steps: &[Step]) -> Result<()> {
    let mut trial = Trial::new(workspace);
    let mut seconds = Vec::new();
    let mut outcome = Ok(());
    for step in steps {
        heading(*step);
        let started = Instant::now();
        outcome = trial.carry_out(*step);
        seconds.push(started.elapsed().as_secs_f64());
        println!("{} took {:.1} s", step.name(), started.elapsed().as_secs_f64());
        if let Err(failure) = outcome {
            outcome = Err(Failure::new(format!("{} failed: {failure}", step.name())));
            break;
        }
    }
    let tally = trial.end();
    print!("{}", summary(steps, &seconds, outcome.is_err()));
    // The closing line is for people and for programs that count.
    if tally.passed + tally.failed > 0 {
        println!("\ntests: {} passed, {} failed", tally.passed, tally.failed);
    }
    outcome
}

fn heading(step: Step) {
    println!("\n=== {}: {} ===", step.name(), step.promise());
}

/// What the steps hand on to each other.
pub struct Trial<'a> {
    workspace: &'a Workspace,
    postgres: Option<Postgres>,
    tally: Tally,
}

impl<'a> Trial<'a> {
    /// Nothing has run yet.
    pub fn new(workspace: &'a Workspace) -> Self {
        Self { workspace, postgres: None, tally: Tally::default() }
    }

    /// Runs one step.
    pub fn carry_out(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Format => self.format(),
            Step::Clippy => self.clippy(),
            Step::Build => self.build(),
            Step::Postgres => {
                self.postgres = Some(Postgres::provide()?);
                Ok(())
            }
            Step::Test => {
                self.cargo_test(&["--no-fail-fast"], &[])?;
                self.proofs()
            }
            Step::Stripe => stripe::judge(self.workspace),
            Step::Schemathesis => schemathesis::on_sqlite(
                self.workspace,
                Effort { examples_max: 40, limit: Duration::from_secs(15 * 60) },
            ),
            // Shorter: what the handlers do was asked on SQLite, here it is the SQL that differs.
            Step::SchemathesisPostgres => schemathesis::on_postgres(
                self.workspace,
                self.postgres()?,
                Effort { examples_max: 10, limit: Duration::from_secs(10 * 60) },
            ),
            Step::Client => client::run(self.workspace),
        }
    }

    fn proofs(&self) -> Result<()> {
        let page = self.workspace.root().join("docs/failure-model.md");
        let text = std::fs::read_to_string(&page).attempting(|| format!("reading {}", page.display()))?;
        proofs::check(&text, &self.tally.names)
    }

    /// Ends what was started and returns the count of tests.
    pub fn end(self) -> Tally {
        self.tally
    }

    /// The server of the PostgreSQL step.
    pub fn postgres(&self) -> Result<&Postgres> {
        self.postgres.as_ref().ok_or_else(|| Failure::new("the PostgreSQL step has not run"))
    }

    fn format(&self) -> Result<()> {
        self.require_component("fmt", "rustfmt")?;
        process::run(&mut self.workspace.cargo(&["fmt", "--all", "--check"]))
    }

    fn clippy(&self) -> Result<()> {
        self.require_component("clippy", "clippy")?;
        process::run(&mut self.workspace.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        // As a program that only splits would have it: without what a payout service needs.
        process::run(&mut self.workspace.cargo(&["clippy", "-p", "domain", "--", "-D", "warnings"]))
    }

    fn require_component(&self, subcommand: &str, component: &str) -> Result<()> {
        if process::succeeds(&mut self.workspace.cargo(&[subcommand, "--version"])) {
            return Ok(());
        }
        Err(Failure::new(format!("`cargo {subcommand}` is missing; add it with `rustup component add {component}`")))
    }

    /// `--workspace --all-targets` turns on the features that `cargo test` will ask for, so that
    /// the tests link against what is built here.
    fn build(&self) -> Result<()> {
        let mut command = self.workspace.cargo(&["build", "--workspace", "--all-targets"]);
        process::run(&mut command)?;
        self.workspace.service().map(drop)
    }

    /// `cargo test` over the workspace, with the binary and the database that the tests ask for.
    pub fn cargo_test(&mut self, options: &[&str], variables: &[(&str, &str)]) -> Result<()> {
        tools::provide()?;
        let mut command = self.workspace.cargo(&["test", "--workspace"]);
        command
            .args(options)
            .env("DISBURSE_BIN", self.workspace.service()?)
            .env(URL_VARIABLE, self.postgres()?.url())
            .envs(variables.iter().copied());
        let mut tally = Tally::default();
        let outcome = process::run_watched(&mut command, |line| tally.read(line));
        println!("{} passed, {} failed, {} left for `cargo xtask soak`", tally.passed, tally.failed, tally.ignored);
        let ran = tally.passed + tally.failed;
        self.tally = tally;
        outcome?;
        if ran == 0 {
            return Err(Failure::new("no test ran"));
        }
        Ok(())
    }
}

fn summary(steps: &[Step], seconds: &[f64], failed: bool) -> String {
    let mut table = format!("\n{:<24}{:<10}{:>8}\n", "step", "result", "seconds");
    for (index, step) in steps.iter().enumerate() {
        let (result, time) = match seconds.get(index) {
            Some(time) if failed && index + 1 == seconds.len() => ("FAILED", *time),
            Some(time) => ("ok", *time),
            None => ("not run", 0.0),
        };
        table.push_str(&format!("{:<24}{result:<10}{time:>8.1}\n", step.name()));
    }
    let total: f64 = seconds.iter().sum();
    table.push_str(&format!("{:<34}{total:>8.1}\n", "total"));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_did_not_run() {
        let steps = [Step::Format, Step::Build, Step::Client];
        let expected = "
step                    result     seconds
fmt                     ok             1.0
build                   FAILED         2.5
client                  not run        0.0
total                                  3.5
";
        assert_eq!(summary(&steps, &[1.0, 2.5], true), expected);
    }
}
