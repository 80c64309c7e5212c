//! `cargo run -p simulation -- help`.

use simulation::{
    bugs::Bug,
    laws::Law,
    many::{command, jobs, many},
    run::{Outcome, run},
};
use std::{ops::Range, process::ExitCode, time::Instant};

const USAGE: &str = "\
seeds A..B [--bug NAME] [--all] [--jobs N]   runs seeds; stops at the tenth that fails, unless --all
one SEED [--bug NAME] [--trace]              runs one seed, and shows what happened
table A..B [--bug NAME] [--jobs N]           how many of these seeds find each bug, and which does first
bugs                                         what can be broken on purpose
laws                                         what must be true";

/// Failures after which seeds are not run any more, unless all are wanted.
const ENOUGH: usize = 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1)).copied();
    let bug = after("--bug").and_then(|name| Bug::ALL.iter().copied().find(|bug| bug.as_str() == name));
    if after("--bug").is_some() && bug.is_none() {
        eprintln!("there is no such bug; there is {}", bug_names());
        return ExitCode::from(2);
    }
    if let Some(unknown) = unknown(&words) {
        eprintln!("`{unknown}` is not understood here");
        return usage();
    }
    let jobs = after("--jobs").and_then(|count| count.parse().ok()).unwrap_or_else(jobs);
    match words.as_slice() {
        ["bugs", ..] => {
            println!("{}", bug_names());
            ExitCode::SUCCESS
        }
        ["laws", ..] => {
            println!("{}", Law::ALL.iter().map(|law| law.as_str()).collect::<Vec<_>>().join(" "));
            ExitCode::SUCCESS
        }
        ["one", seed, ..] => seed.parse().map_or_else(|_| usage(), |seed| one(seed, bug, words.contains(&"--trace"))),
        ["seeds", range, ..] => {
            let enough = if words.contains(&"--all") { usize::MAX } else { ENOUGH };
            seeds_of(range).map_or_else(usage, |range| seeds(range, bug, jobs, enough))
        }
        ["table", range, ..] => seeds_of(range).map_or_else(usage, |range| table(range, bug, jobs)),
        _ => usage(),
    }
}

/// A flag that there is not, or that lacks its value: nothing is run that somebody did not ask for.
fn unknown<'a>(words: &[&'a str]) -> Option<&'a str> {
    let mut flags = words.iter().copied().filter(|word| word.starts_with('-'));
    flags.find(|flag| match *flag {
        "--trace" | "--all" => false,
        "--bug" | "--jobs" => words.last() == Some(flag),
        _ => true,
    })
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
    Some(from.parse().ok()?..to.parse().ok()?).filter(|range: &Range<u64>| !range.is_empty())
}

fn one(seed: u64, bug: Option<Bug>, is_traced: bool) -> ExitCode {
    let start = Instant::now();
    let outcome = run(seed, bug, true);
    if is_traced {
        for line in &outcome.log {
            println!("{line}");
        }
    }
    println!(
        "seed {seed}: {} lines, hash {:016x}, {:?} h, items {:?}, {} submits, {:.3} s",
        outcome.trace.1,
        outcome.trace.0,
        outcome.age.as_secs() / 3_600,
        outcome.items,
        outcome.submits,
        start.elapsed().as_secs_f64()
    );
    for violation in &outcome.violations {
        println!("VIOLATION {violation}");
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(range: Range<u64>, bug: Option<Bug>, jobs: u64, enough: usize) -> ExitCode {
    let sums = many(range, bug, jobs, enough, |seed, outcome| report(seed, bug, outcome));
    for line in sums.lines() {
        println!("{line}");
    }
    if sums.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(seed: u64, bug: Option<Bug>, outcome: &Outcome) {
    if outcome.violations.is_empty() {
        return;
    }
    let first = outcome.violations.iter().take(3).map(|one| one.chars().take(400).collect::<String>());
    println!("{}\n    {}", command(seed, bug), first.collect::<Vec<_>>().join("\n    "));
}

fn table(range: Range<u64>, bug: Option<Bug>, jobs: u64) -> ExitCode {
    let bugs: Vec<Bug> = bug.map_or_else(|| Bug::ALL.to_vec(), |bug| vec![bug]);
    for bug in bugs {
        let sums = many(range.clone(), Some(bug), jobs, usize::MAX, |_, _| {});
        let first = sums.failed.first_key_value();
        let law = |violation: &String| violation.split(':').next().unwrap_or_default().to_owned();
        let mut laws: Vec<String> = sums.failed.values().filter_map(|all| all.first()).map(law).collect();
        laws.sort_unstable();
        laws.dedup();
        println!(
            "| `{}` | {} of {} | {} | {} | {:.0} s",
            bug.as_str(),
            sums.failed.len(),
            sums.seeds,
            first.map_or_else(|| "-".to_owned(), |(seed, _)| seed.to_string()),
            laws.join(", "),
            sums.took.as_secs_f64()
        );
    }
    ExitCode::SUCCESS
}
