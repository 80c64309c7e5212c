//! Whether every test that `docs/failure-model.md` names was there, ran and passed.

use crate::failure::{Failure, Result};
use std::collections::BTreeSet;

/// So many ways to lose money the page has.
const ROWS: usize = 36;
/// What bugs that are planted in the simulation are called there.
const BUG: &str = "bug:";
/// Finds each of them.
const FINDS_BUGS: &str = "planted_bugs_are_found_within_their_budgets";

/// Fails if a row is missing or has no proof, or a proof did not run.
pub fn check(page: &str, passed: &BTreeSet<String>) -> Result<()> {
    let rows: Vec<(usize, Vec<&str>)> = page.lines().filter_map(row).collect();
    let numbers: Vec<usize> = rows.iter().map(|(number, _)| *number).collect();
    if numbers != (1..=ROWS).collect::<Vec<_>>() {
        return Err(Failure::new(format!("docs/failure-model.md must have the rows 1 to {ROWS}, not {numbers:?}")));
    }
    let mut missing = Vec::new();
    for (number, proofs) in rows {
        if proofs.is_empty() {
            missing.push(format!("{number}: no proof"));
        }
        let not_run = proofs.iter().filter(|proof| !passed.iter().any(|name| proves(proof, name)));
        missing.extend(not_run.map(|proof| format!("{number}: `{proof}`")));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join("\n  ");
    Err(Failure::new(format!("docs/failure-model.md names what did not run and pass:\n  {missing}")))
}

/// The number of a row and what stands between backticks in its last column.
fn row(line: &str) -> Option<(usize, Vec<&str>)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.trim_end().strip_suffix('|')?.split('|').map(str::trim).collect();
    let number = cells.first()?.parse().ok()?;
    Some((number, cells.last()?.split('`').skip(1).step_by(2).collect()))
}

/// `*` stands for one part of a name; a planted bug is proved by the test that finds them all.
fn proves(proof: &str, name: &str) -> bool {
    if proof.starts_with(BUG) {
        return name.rsplit("::").next() == Some(FINDS_BUGS);
    }
    let (proof, name): (Vec<&str>, Vec<&str>) = (proof.split("::").collect(), name.split("::").collect());
    proof.len() == name.len() && proof.iter().zip(&name).all(|(one, other)| *one == "*" || one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(proof: &str) -> String {
        (1..=ROWS).map(|number| format!("| {number} | a | b | {proof} |\n")).collect()
    }
    fn passed(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn whatever_is_named_must_have_run() {
        let ran = passed(&["one::sqlite::x", FINDS_BUGS]);
        assert!(check(&page("`one::*::x`, `bug:no_fencing`"), &ran).is_ok());
        for proof in ["`one::*::y`", "`one::x`", "`x`", "", "a"] {
            let failure = check(&page(proof), &ran).unwrap_err().to_string();
            assert!(failure.contains("  1: ") || failure.contains("\n  36: "), "{failure}");
        }
        assert!(check(&page("`bug:no_fencing`"), &passed(&["one"])).is_err());
        let cut = page("`one::*::x`").lines().skip(1).collect::<Vec<_>>().join("\n");
        assert!(check(&cut, &ran).unwrap_err().to_string().contains("rows 1 to 36"));
    }
}
