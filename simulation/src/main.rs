//! `cargo run -p simulation -- seeds 0..1000 [--bug NAME]` and `-- one SEED [--bug NAME] [--trace]`.

use simulation::{
    bugs::Bug,
    faults::Fault,
    run::{Outcome, run},
};
use std::{collections::BTreeMap, ops::Range, process::ExitCode};

const USAGE: &str = "seeds A..B [--bug NAME] [--all] | one SEED [--bug NAME] [--trace] | bugs";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1)).copied();
    let bug = after("--bug").and_then(|name| Bug::ALL.iter().copied().find(|bug| bug.as_str() == name));
    if after("--bug").is_some() && bug.is_none() {
        eprintln!("there is no such bug; there is {}", bug_names());
        return ExitCode::from(2);
    }
    match words.as_slice() {
        ["bugs", ..] => {
            println!("{}", bug_names());
            ExitCode::SUCCESS
        }
        ["one", seed, ..] => match seed.parse() {
            Ok(seed) => one(seed, bug, words.contains(&"--trace")),
            Err(_) => usage(),
        },
        ["seeds", range, ..] => match seeds_of(range) {
            Some(range) => seeds(range, bug, words.contains(&"--all")),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn bug_names() -> String {
    Bug::ALL.iter().map(|bug| bug.as_str()).collect::<Vec<_>>().join(" ")
}

fn seeds_of(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

fn one(seed: u64, bug: Option<Bug>, is_traced: bool) -> ExitCode {
    let outcome = run(seed, bug, true);
    if is_traced || !outcome.violations.is_empty() {
        for line in &outcome.log {
            println!("{line}");
        }
    }
    println!(
        "seed {seed}: {} lines, hash {:016x}, {:?} h, items {:?}, {} submits",
        outcome.trace.1,
        outcome.trace.0,
        outcome.age.as_secs() / 3_600,
        outcome.items,
        outcome.submits
    );
    for violation in &outcome.violations {
        println!("VIOLATION {violation}");
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(range: Range<u64>, bug: Option<Bug>, goes_on: bool) -> ExitCode {
    let mut failed = 0u64;
    let mut faults: BTreeMap<Fault, u64> = BTreeMap::new();
    let mut items: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut hours, mut submits, mut ran) = (0, 0, 0u64);
    for seed in range {
        let outcome = run(seed, bug, false);
        ran += 1;
        if seed % 10 == 0 && run(seed, bug, false).trace != outcome.trace {
            println!("seed {seed} is not the same twice");
            failed += 1;
        }
        add(&mut faults, &outcome.faults);
        add(&mut items, &outcome.items);
        hours += outcome.age.as_secs() / 3_600;
        submits += outcome.submits;
        if !outcome.violations.is_empty() {
            failed += 1;
            report(seed, bug, &outcome);
            if !goes_on && failed >= 10 {
                break;
            }
        }
    }
    println!("{ran} seeds, {failed} failed; {hours} virtual hours, {submits} submits, items {items:?}");
    println!("faults {:?}", faults.iter().map(|(fault, count)| (fault.as_str(), *count)).collect::<Vec<_>>());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(seed: u64, bug: Option<Bug>, outcome: &Outcome) {
    let flag = bug.map(|bug| format!(" --bug {}", bug.as_str())).unwrap_or_default();
    println!("cargo run -p simulation -- one {seed}{flag} --trace");
    for violation in outcome.violations.iter().take(3) {
        println!("    {}", violation.chars().take(400).collect::<String>());
    }
}

fn add<K: Ord + Copy>(sums: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *sums.entry(*key).or_default() += count;
    }
}
