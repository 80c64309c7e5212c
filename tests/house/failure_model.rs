//! The page of failures names tests that exist. That they ran and passed is checked by `cargo xtask test`.

use super::root;
use std::{fs, path::Path};

fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("it can be listed").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && name != "node_modules" {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push_str(&fs::read_to_string(path).expect("it can be read"));
        }
    }
}

#[test]
fn every_test_and_every_planted_bug_of_the_failure_model_exists() {
    let page = fs::read_to_string(root().join("docs/failure-model.md")).expect("it can be read");
    let mut all = String::new();
    for folder in ["crates", "tests", "simulation", "models"] {
        sources(&root().join(folder), &mut all);
    }
    let bugs = fs::read_to_string(root().join("simulation/src/bugs.rs")).expect("it can be read");
    let rows: Vec<(u32, &str)> = page.lines().filter_map(row).collect();
    assert_eq!(rows.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=36).collect::<Vec<_>>());
    let named: Vec<&str> = rows.iter().flat_map(|(_, names)| names.split('`').skip(1).step_by(2)).collect();
    let mut missing = Vec::new();
    for name in &named {
        let exists = match name.strip_prefix("bug:") {
            Some(bug) => bugs.contains(&format!("\"{bug}\"")),
            None => all.contains(&format!("fn {}(", name.rsplit("::").next().unwrap_or_default())),
        };
        if !exists {
            missing.push(*name);
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named.len() > 60, "the page was not read: {} names", named.len());
}

/// The number of a row, and the names of what proves it.
fn row(line: &str) -> Option<(u32, &str)> {
    let mut cells = line.strip_prefix('|')?.trim_end().trim_end_matches('|').split('|');
    Some((cells.next()?.trim().parse().ok()?, cells.next_back()?))
}
