//! `cargo xtask older COMMIT`: whether the version of a commit works on the schema that this one makes. Its own tests are
//! run with its own binary, and every database that they make is a copy of one that this version has migrated.

use crate::cluster::{Cluster, Disk};
use crate::failure::{Failure, Result};
use crate::postgres::{URL_VARIABLE, with_database};
use crate::process;
use crate::server;
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;
use std::process::Command;

/// What every new database is a copy of.
const TEMPLATE: &str = "template1";
/// Tests of a database that nobody has migrated: there is none.
const OF_AN_EMPTY_DATABASE: [&str; 2] =
    ["migrate_says_what_the_database_has", "several_processes_may_start_at_once_on_an_empty_database"];

/// Builds both versions and runs the tests. Only `PostgreSQL` has a database that new ones are copies of.
pub fn run(workspace: &Workspace, commit: &str) -> Result<()> {
    let _turn = workspace.wait_for_turn()?;
    tools::provide()?;
    process::run(&mut workspace.cargo(&["build", "--package", "server", "--bin", "disburse"]))?;
    let source = workspace.empty_workshop("older/source")?;
    let target = workspace.workshop("older/target")?;
    let git = || {
        let mut git = Command::new("git");
        git.current_dir(workspace.root());
        git
    };
    process::run(git().args(["clone", "--quiet", "--shared", "--no-checkout", "."]).arg(&source))?;
    process::run(git().arg("-C").arg(&source).args(["checkout", "--quiet", "--detach", commit]))?;
    let older = |arguments: &[&str]| {
        let mut cargo = workspace.cargo(arguments);
        cargo.current_dir(&source).env("CARGO_TARGET_DIR", &target);
        cargo
    };
    process::run(&mut older(&["build", "--workspace", "--all-targets"]))?;

    // One of its own: nobody else's new databases are to be copies of ours.
    let (url, _server) = Cluster::plan(Disk::DoesNotWait)?.start()?;
    let data = workspace.empty_workshop("data/older")?;
    let template = with_database(&url, TEMPLATE);
    process::run(server::disburse(&workspace.service()?, &data, Some(&template)).arg("migrate"))?;

    let mut test = older(&["test", "--workspace", "--test", "all", "--", "::postgres::"]);
    test.args(OF_AN_EMPTY_DATABASE.iter().flat_map(|name| ["--skip", name]));
    test.env("DISBURSE_BIN", target.join("debug").join("disburse")).env(URL_VARIABLE, &url);
    let mut tally = Tally::default();
    let outcome = process::run_watched(&mut test, |line| tally.read(line));
    println!("of {commit}, on the schema of this version: {} passed, {} failed", tally.passed, tally.failed);
    if outcome.is_ok() && tally.passed == 0 {
        return Err(Failure::new("no test ran"));
    }
    outcome
}
