//! `cargo xtask soak`: the longer versions of the randomised tests.

use crate::failure::Result;
use crate::process;
use crate::schemathesis::{self, Effort};
use crate::step::Step;
use crate::test::Trial;
use crate::workspace::Workspace;
use std::time::Duration;

const LONG: Effort = Effort { examples_max: 1_000, limit: Duration::from_secs(4 * 60 * 60) };

/// Seeds of the simulation: an hour and a half on two cores that have nothing else to do.
const SEEDS: &str = "0..100000";

/// Many seeds of the simulation, schemathesis with many examples on both databases, then every kill -9.
pub fn run(workspace: &Workspace) -> Result<()> {
    println!(
        "soak: seeds {SEEDS} of the simulation, {} schemathesis examples an operation on both databases, then the \
         tests named `soak`; this takes hours",
        LONG.examples_max
    );
    process::run(&mut workspace.cargo(&["run", "--release", "-p", "simulation", "--", "seeds", SEEDS]))?;
    let mut trial = Trial::new(workspace);
    trial.carry_out(Step::Build)?;
    trial.carry_out(Step::Postgres)?;
    schemathesis::on_sqlite(workspace, LONG)?;
    schemathesis::on_postgres(workspace, trial.postgres()?, LONG)?;
    // `--workspace` with a named target builds nothing else, and nothing anew.
    trial.cargo_test(&["--test", "all", "--", "--include-ignored", "soak"], &[("DISBURSE_SOAK", "1")])
}
