//! `cargo xtask bench ledger`: a release's entries posted by cala-ledger, beside all that we commit with them.

use super::Length;
use super::databases::Databases;
use super::figures::{median, shown};
use super::result::Printed;
use super::writer;
use crate::failure::Result;
use crate::process;
use crate::workspace::Workspace;
use std::process::Command;

const OURS: &str = "disburse, 64 callers: six entries, and the eleven rows beside them";
const CALA: &str = "cala-ledger, 64 callers: six entries";
const CALA_BATCH: &str = "cala-ledger, 2 callers, 64 postings a transaction";
const FIELD: [&str; 3] = [OURS, CALA, CALA_BATCH];

/// Releases a second.
type Sample = (&'static str, f64);

/// Measures, and answers the table.
pub fn run(workspace: &Workspace, length: Length) -> Result<String> {
    writer::build(workspace)?;
    let folder = workspace.root().join("benches").join("peers").join("cala");
    let target = workspace.workshop("peers/cala")?;
    // Its own lock file pins it and everything under it.
    let mut build = workspace.cargo(&["build", "--release", "--locked", "--target-dir"]);
    process::run(build.arg(&target).arg("--manifest-path").arg(folder.join("Cargo.toml")))?;
    let peer = target.join("release").join("cala-peer");
    let lock = std::fs::read_to_string(folder.join("Cargo.lock")).unwrap_or_default();

    let databases = Databases::provide()?;
    let seconds = length.seconds();
    let mut samples: Vec<Sample> = Vec::new();
    for round in 0..length.rounds() {
        for place in 0..FIELD.len() {
            let place = (place + round) % FIELD.len();
            let url = databases.create(&format!("ledger_{place}_{round}"))?;
            databases.checkpoint()?;
            let rate = match place {
                0 => writer::commit(workspace, &url, 64, seconds)?,
                _ => {
                    let (callers, batch) = if place == 1 { ("64", "1") } else { ("2", "64") };
                    let mut command = Command::new(&peer);
                    command.args([callers, batch, &seconds.to_string()]).env("DATABASE_URL", &url);
                    let printed = Printed::of(&mut command)?;
                    printed.number("postings")? / (printed.number("micros")? / 1e6)
                }
            };
            println!("round {}: {}: {} releases/s", round + 1, FIELD[place], shown(rate));
            samples.push((FIELD[place], rate));
        }
    }
    Ok(format!(
        "{}; cala-ledger {}. **Run:** {} rounds of {seconds} s for each, in another order each round, a database of its \
         own for each, medians.\n\n{}",
        databases.version()?,
        locked_version(&lock, "cala-ledger").unwrap_or("of no known version"),
        length.rounds(),
        table(&samples),
    ))
}

/// The version of a package in a lock file.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let rest = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?.1;
    rest.split('"').next()
}

fn table(samples: &[Sample]) -> String {
    let of = |rival| median(samples.iter().filter(|(name, _)| *name == rival).map(|(_, rate)| *rate));
    let mut table = String::from("| | releases/s | ours to it |\n|---|---|---|\n");
    for rival in FIELD {
        table.push_str(&format!("| {rival} | {} | {} |\n", shown(of(rival)), shown(of(OURS) / of(rival))));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_read() {
        let lock = "[[package]]\nname = \"cala-ledger-core\"\nversion = \"1.0\"\n\n[[package]]\nname = \"cala-ledger\"\n\
                    version = \"0.33.3\"\nsource = \"x\"\n";
        assert_eq!(locked_version(lock, "cala-ledger"), Some("0.33.3"));
        assert_eq!(locked_version(lock, "cala"), None);
    }

    #[test]
    fn ours_is_compared_with_each() {
        let table = table(&[(OURS, 5_000.0), (CALA, 250.0), (CALA_BATCH, 1_000.0)]);
        assert!(table.contains("| cala-ledger, 64 callers: six entries | 250 | 20.0 |"), "{table}");
    }
}
