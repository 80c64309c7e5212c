//! `cargo xtask soak`: the longer versions of the randomised tests.

use crate::failure::Result;
use crate::fuzz;
use crate::mutants;
use crate::process;
use crate::schemathesis::{self, Effort};
use crate::step::Step;
use crate::test::Trial;
use crate::workspace::Workspace;
use std::time::Duration;

/// How long each target is fuzzed.
const FUZZED: Duration = Duration::from_secs(10 * 60);
/// Which part of the mutants a soak judges, of so many.
const MUTANTS: (u32, u32) = (0, 64);

const LONG: Effort = Effort { examples_max: 1_000, limit: Duration::from_secs(4 * 60 * 60) };

/// Seeds of the simulation: half an hour on two cores that have nothing else to do.
const SEEDS: &str = "0..100000";

/// Many seeds of the simulation, schemathesis with many examples on both databases, every kill -9, and the larger models;
/// last, fuzzing and a part of the mutants.
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
    trial.cargo_test(
        &["--test", "all", "--test", "models", "--", "--include-ignored", "soak"],
        &[("DISBURSE_SOAK", "1")],
    )?;
    fuzz::run(workspace, FUZZED)?;
    mutants::run(workspace, MUTANTS.0, MUTANTS.1)
}
