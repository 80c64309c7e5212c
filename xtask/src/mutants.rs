//! `cargo xtask mutants`: does a test notice if a line says something else?

use crate::cargo_tool;
use crate::failure::{Attempt, Failure, Result};
use crate::process;
use crate::workspace::Workspace;

const VERSION: &str = "27.1.0";
/// What is mutated: the use cases, and what reads the words of rails and of requests.
const FILES: [&str; 3] = [
    "crates/app/src/**/*.rs",
    "crates/adapters/src/rails/**/{ingest,signature,wire,reasons,submit,query,amounts}.rs",
    "crates/server/src/http/{json,fields}.rs",
];
/// What `cargo mutants` answers if all went well, if some were missed, and if some never came to an end.
const JUDGED: [i32; 3] = [0, 2, 3];

/// One part, from 0, of so many of all places. Each mutant is judged by the tests of its own package. All of them take
/// more than a day on two cores, so a run says which part it was.
pub fn run(workspace: &Workspace, part: u32, parts: u32) -> Result<()> {
    let (shard, output) = (format!("{part}/{parts}"), workspace.workshop("mutants")?);
    let mut arguments = vec!["--shard", &shard, "--sharding", "round-robin", "--timeout", "300", "--no-shuffle"];
    for package in ["app", "adapters", "server"] {
        arguments.extend(["--package", package]);
    }
    for files in FILES {
        arguments.extend(["--file", files]);
    }
    let mut command = cargo_tool::subcommand(workspace, "mutants", VERSION, &arguments)?;
    command.arg("--output").arg(&output);
    process::announce(&command);
    let status = command.status().attempting(|| "starting cargo mutants".into())?;
    println!(
        "mutants: part {shard}; caught, missed and unviable are listed in {}",
        output.join("mutants.out").display()
    );
    match status.code() {
        // A missed one is for somebody to look at: a test may be missing, or nothing can tell the two apart.
        Some(code) if JUDGED.contains(&code) => Ok(()),
        _ => Err(Failure::new(format!("cargo mutants could not judge: {status}"))),
    }
}
