//! `cargo xtask bench calculator`: one split among five, beside decimals and other languages, results compared first.

use super::Length;
use super::figures::{GOALS, Goal, judged, median, shown};
use super::machine;
use super::peers::Peers;
use super::result::Printed;
use crate::failure::Result;
use crate::process;
use crate::python;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;

const INTEGERS: &str = "disburse, integers";
const DECIMALS: &str = "the same with `rust_decimal`";
const PLAIN: &str = "plain JavaScript, integers";
const DINERO: &str = "dinero.js";
const PYTHON: &str = "Python, `Decimal`";
const FIELD: [&str; 5] = [INTEGERS, DECIMALS, PLAIN, DINERO, PYTHON];

/// Nanoseconds that one split took.
type Sample = (&'static str, f64);

struct Race<'a> {
    workspace: &'a Workspace,
    peers: Peers,
    python: PathBuf,
    expected: PathBuf,
    length: Length,
}

/// Measures, and answers the tables.
pub fn run(workspace: &Workspace, length: Length) -> Result<String> {
    process::run(&mut workspace.cargo(&["bench", "--package", "benches", "--bench", "split", "--no-run"]))?;
    let (peers, python) = (Peers::install(workspace)?, python::find_or_install()?);
    let versions =
        format!("{}, {}", peers.versions(&["dinero.js"])?, machine::version(Command::new(&python).arg("--version"))?);
    let expected = workspace.empty_workshop("data/bench-calculator")?.join("splits.csv");
    let race = Race { workspace, peers, python, expected, length };
    // What everybody is compared with must be there before the first round.
    race.ours()?;
    let mut samples = Vec::new();
    for round in 0..length.rounds() {
        for place in 0..4 {
            let measured = race.round((place + round) % 4)?;
            for (rival, ns) in &measured {
                println!("round {}: {rival}: {} ns", round + 1, shown(*ns));
            }
            samples.extend(measured);
        }
    }
    Ok(format!(
        "{versions}. **Run:** {} rounds, in another order each round, medians; everybody's 10,000 results are compared \
         with ours before each.\n\n{}\n{}",
        length.rounds(),
        table(&samples),
        goals(&samples),
    ))
}

impl Race<'_> {
    fn round(&self, place: usize) -> Result<Vec<Sample>> {
        let few = if self.length == Length::Full { 10 } else { 1 };
        match place {
            0 => self.ours(),
            1 => self.node(PLAIN, "plain", 200_000 * few),
            2 => self.node(DINERO, "dinero", 20_000 * few),
            _ => {
                let script = self.workspace.root().join("benches").join("peers").join("race_split.py");
                let mut command = Command::new(&self.python);
                command.arg(script).arg(&self.expected).arg((10_000 * few).to_string());
                Ok(vec![(PYTHON, Printed::of(&mut command)?.number("ns")?)])
            }
        }
    }

    fn ours(&self) -> Result<Vec<Sample>> {
        let mut command = self.workspace.cargo(&["bench", "--quiet", "--package", "benches", "--bench", "split"]);
        let printed = Printed::of(command.env("SPLIT_EXPECTED", &self.expected as &Path))?;
        Ok(vec![(INTEGERS, printed.number("integers")?), (DECIMALS, printed.number("decimals")?)])
    }

    fn node(&self, rival: &'static str, how: &str, splits: u32) -> Result<Vec<Sample>> {
        let mut command = self.peers.command("race_split.js");
        command.arg(how).arg(&self.expected).arg(splits.to_string());
        Ok(vec![(rival, Printed::of(&mut command)?.number("ns")?)])
    }
}

fn of(samples: &[Sample], rival: &str) -> f64 {
    median(samples.iter().filter(|(name, _)| *name == rival).map(|(_, ns)| *ns))
}

fn table(samples: &[Sample]) -> String {
    let mut table = String::from("| five recipients, a fee | one split | ratio to ours |\n|---|---|---|\n");
    for rival in FIELD {
        let ns = of(samples, rival);
        table.push_str(&format!("| {rival} | {} ns | {} |\n", shown(ns), shown(ns / of(samples, INTEGERS))));
    }
    table
}

fn goals(samples: &[Sample]) -> String {
    let ratio = |rival| of(samples, rival) / of(samples, INTEGERS);
    let mut table = GOALS.to_owned();
    table += &judged("times faster than dinero.js", Goal::AtLeast(100.0), ratio(DINERO));
    table += &judged("times faster than `rust_decimal`", Goal::AtLeast(5.0), ratio(DECIMALS));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_shown_beside_ours() {
        let samples = [(INTEGERS, 100.0), (DECIMALS, 600.0), (PLAIN, 700.0), (DINERO, 9_000.0), (PYTHON, 8_000.0)];
        assert!(table(&samples).contains("| dinero.js | 9,000 ns | 90.0 |"));
        let goals = goals(&samples);
        assert!(goals.contains("dinero.js | at least 100 | 90.0 | **no** |"), "{goals}");
        assert!(goals.contains("`rust_decimal` | at least 5 | 6.00 | yes |"), "{goals}");
    }
}
