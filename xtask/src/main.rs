//! `cargo xtask`: the chores of this repository, as a program without dependencies.
//!
//! `test` is the one that counts: it finds or installs what the tests need and runs all of them.
//! Nothing is skipped in silence: what cannot run is a failure that says what is missing.

mod apt;
mod bench;
mod cargo_tool;
mod client;
mod cluster;
mod failure;
mod fuzz;
mod guarded;
mod http;
mod mutants;
mod node;
mod older;
mod openapi;
mod postgres;
mod process;
mod proofs;
mod python;
mod schemathesis;
mod server;
mod soak;
mod step;
mod stripe;
mod tally;
mod test;
mod tools;
mod workspace;

use bench::{Bench, Length};
use failure::{Failure, Result};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use step::Step;
use workspace::Workspace;

/// What the command line asked for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    /// All steps, or the named ones with what they need.
    Test { only: Vec<Step> },
    /// The longer versions of the randomised tests.
    Soak,
    /// What comes from outside, so many seconds for each target.
    Fuzz { seconds: u64 },
    /// One part of so many of the mutants.
    Mutants { part: u32, parts: u32 },
    /// Whether an older version works on the schema of this one.
    Older { commit: String },
    /// How fast it is beside others.
    Bench { bench: Bench, length: Length },
    /// Writes `openapi.yaml` from the code.
    OpenApi,
    /// Prints the usage.
    Help,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let task = match parse(&arguments) {
        Ok(task) => task,
        Err(failure) => {
            eprintln!("error: {failure}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    match carry_out(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nerror: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(task: Task) -> Result<()> {
    match task {
        Task::Test { only } => test::run(&Workspace::find()?, &Step::with_needs(&only)),
        Task::Soak => soak::run(&Workspace::find()?),
        Task::Fuzz { seconds } => fuzz::run(&Workspace::find()?, Duration::from_secs(seconds)),
        Task::Mutants { part, parts } => mutants::run(&Workspace::find()?, part, parts),
        Task::Older { commit } => older::run(&Workspace::find()?, &commit),
        Task::Bench { bench, length } => bench::run(&Workspace::find()?, bench, length),
        Task::OpenApi => openapi::write(&Workspace::find()?),
        Task::Help => {
            println!("{}", usage());
            Ok(())
        }
    }
}

fn parse(arguments: &[String]) -> Result<Task> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", options @ ..] => Ok(Task::Test { only: parse_only(options)? }),
        ["soak"] => Ok(Task::Soak),
        ["fuzz"] => Ok(Task::Fuzz { seconds: 60 }),
        ["fuzz", seconds] => Ok(Task::Fuzz { seconds: number(seconds)? }),
        ["mutants", part, parts] => Ok(Task::Mutants { part: number(part)?, parts: number(parts)? }),
        ["older", commit] if !commit.starts_with('-') => Ok(Task::Older { commit: (*commit).to_owned() }),
        ["bench", name] => Ok(Task::Bench { bench: parse_bench(name)?, length: Length::Full }),
        ["bench", name, "--quick"] => Ok(Task::Bench { bench: parse_bench(name)?, length: Length::Quick }),
        ["openapi"] => Ok(Task::OpenApi),
        [] | ["help" | "--help" | "-h"] => Ok(Task::Help),
        other => Err(Failure::new(format!("`{}` is not a task", other.join(" ")))),
    }
}

fn number<T: FromStr>(word: &str) -> Result<T> {
    word.parse().map_err(|_| Failure::new(format!("`{word}` is not a number")))
}

fn parse_bench(name: &str) -> Result<Bench> {
    Bench::named(name).ok_or_else(|| Failure::new(format!("`{name}` is not a bench")))
}

/// An empty answer means every step.
fn parse_only(options: &[&str]) -> Result<Vec<Step>> {
    let mut only = Vec::new();
    let mut rest = options;
    while let [first, tail @ ..] = rest {
        let (name, tail) = match (first.strip_prefix("--only="), *first, tail) {
            (Some(name), _, _) => (name, tail),
            (None, "--only", [name, tail @ ..]) => (*name, tail),
            (None, "--only", []) => return Err(Failure::new("`--only` wants the name of a step")),
            (None, other, _) => {
                return Err(Failure::new(format!("`{other}` is not an option of `test`")));
            }
        };
        only.push(Step::named(name).ok_or_else(|| Failure::new(format!("`{name}` is not a step")))?);
        rest = tail;
    }
    Ok(only)
}

fn usage() -> String {
    let mut text = String::from(
        "usage: cargo xtask <task>\n\n\
         \x20 test                every test there is, with what it needs\n\
         \x20 test --only STEP    one step, with what it needs (may be repeated)\n\
         \x20 soak                the longer versions of the randomised tests\n\
         \x20 fuzz [SECONDS]      what comes from outside, so long for each target (60)\n\
         \x20 mutants PART PARTS  whether tests notice what a line says: one part, from 0, of so many\n\
         \x20 older COMMIT        whether the version of a commit works on the schema of this one: its tests, its binary\n\
         \x20 bench NAME          how fast it is beside others; writes docs/benchmarks.md\n\
         \x20 bench NAME --quick  whether the bench works; writes nothing\n\
         \x20 openapi             writes openapi.yaml from the code\n\n\
         steps:\n",
    );
    for step in Step::ALL {
        text.push_str(&format!("  {:<24}{}\n", step.name(), step.promise()));
    }
    text.push_str("\nbenches:\n");
    for bench in Bench::ALL {
        text.push_str(&format!("  {:<24}{}\n", bench.name(), bench.promise()));
    }
    text.push_str(
        "\nenvironment:\n\
         \x20 DISBURSE_TEST_POSTGRES_URL  a PostgreSQL server on which databases may be created;\n\
         \x20                             without it a throw-away one is started on 127.0.0.1\n\
         \x20 CARGO_TARGET_DIR            where to build, as for cargo itself",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task> {
        let arguments: Vec<String> = line.split_whitespace().map(String::from).collect();
        parse(&arguments)
    }

    #[test]
    fn test_without_options_means_every_step() {
        assert_eq!(parsed("test"), Ok(Task::Test { only: vec![] }));
    }

    #[test]
    fn only_may_be_written_both_ways_and_repeated() {
        let only = vec![Step::Format, Step::Client];
        assert_eq!(parsed("test --only fmt --only=client"), Ok(Task::Test { only }));
    }

    #[test]
    fn a_bench_is_long_unless_told_otherwise() {
        assert_eq!(parsed("bench http"), Ok(Task::Bench { bench: Bench::Http, length: Length::Full }));
        assert_eq!(parsed("bench http --quick"), Ok(Task::Bench { bench: Bench::Http, length: Length::Quick }));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "tests",
            "bench",
            "bench all",
            "bench http --fast",
            "fuzz long",
            "mutants 1",
            "older",
            "older --all",
            "test --only",
            "test --only nothing",
            "test --fast",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_usage_names_every_step_and_bench() {
        for step in Step::ALL {
            assert!(usage().contains(step.name()), "{}", step.name());
        }
        for bench in Bench::ALL {
            assert!(usage().contains(bench.promise()), "{}", bench.name());
        }
    }
}
