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
        let named = proofs.iter().flat_map(|proof| named(proof));
        missing.extend(named.filter(|name| !passed.contains(name)).map(|name| format!("{number}: `{name}`")));
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

/// The tests that a proof stands for: `*` is every store, and what runs on a store in memory begins with it. A planted
/// bug is proved by the test that finds them all.
fn named(proof: &str) -> Vec<String> {
    if proof.starts_with(BUG) {
        return vec![FINDS_BUGS.to_owned()];
    }
    let stores: &[&str] = match proof.split("::").position(|part| part == "*") {
        None => return vec![proof.to_owned()],
        Some(1) => &["memory", "sqlite", "postgres"],
        Some(_) => &["sqlite", "postgres"],
    };
    stores.iter().map(|store| proof.replace('*', store)).collect()
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
        let ran =
            passed(&["one::memory::x", "one::sqlite::x", "one::postgres::x", "two::one::sqlite::y", "z", FINDS_BUGS]);
        assert!(check(&page("`one::*::x`, `one::sqlite::x`, `z`, `bug:no_fencing`"), &ran).is_ok());
        for proof in ["`one::*::y`", "`one::x`", "`x`", "", "a", "`two::one::*::y`"] {
            let failure = check(&page(proof), &ran).unwrap_err().to_string();
            assert!(failure.contains("  1: ") || failure.contains("\n  36: "), "{failure}");
        }
        assert!(check(&page("`one::*::x`"), &passed(&["one::memory::x", "one::sqlite::x"])).is_err());
        assert!(check(&page("`bug:no_fencing`"), &passed(&["one"])).is_err());
        let cut = page("`one::*::x`").lines().skip(1).collect::<Vec<_>>().join("\n");
        assert!(check(&cut, &ran).unwrap_err().to_string().contains("rows 1 to 36"));
    }
}
