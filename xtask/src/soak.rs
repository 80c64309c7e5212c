//! `cargo xtask soak`: the longer versions of the randomised tests.

use crate::failure::Result;
use crate::fuzz;
use crate::mutants;
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

/// Schemathesis with many examples on both databases, then every kill -9, many seeds of the simulation, and
/// the larger models; last, fuzzing and a part of the mutants.
pub fn run(workspace: &Workspace) -> Result<()> {
    println!(
        "soak: {} schemathesis examples an operation on both databases, then the tests named \
         `soak`; this takes hours",
        LONG.examples_max
    );
    let mut trial = Trial::new(workspace);
    trial.carry_out(Step::Build)?;
    trial.carry_out(Step::Postgres)?;
    schemathesis::on_sqlite(workspace, LONG)?;
    schemathesis::on_postgres(workspace, trial.postgres()?, LONG)?;
    // `--workspace` with a named target builds nothing else, and nothing anew.
    trial.cargo_test(
        &["--test", "all", "--test", "seeds", "--test", "models", "--", "--include-ignored", "soak"],
        &[("DISBURSE_SOAK", "1")],
    )?;
    fuzz::run(workspace, FUZZED)?;
    mutants::run(workspace, MUTANTS.0, MUTANTS.1)
}
