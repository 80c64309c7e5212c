//! The commands, one file each. Data goes to standard output, everything else to standard error.

/// Writes a line to standard output. A reader that went away (`disburse openapi | head`) is no reason to panic.
macro_rules! outln {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)));
    }};
}

mod bulk;
mod demo;
mod doctor;
mod migrate;
mod openapi;
mod serve;
mod simulator;
mod sweep;
mod token;
mod verify;
mod work;

use crate::config::{Config, ConfigError, Flags};
use clap::{Parser, Subcommand};
use std::{future::Future, process::ExitCode};

/// Splits released escrows among a project's recipients, books every cent, and pays everybody exactly once.
#[derive(Debug, Parser)]
#[command(name = "disburse", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 4 the token is not taken, 6 a check found a difference, \
                  65 bad input, 69 cannot be reached or does not keep what it acknowledges, 130 interrupted."
)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API, and do the work behind it
    Serve(serve::Args),
    /// Do the work without an API: any number of these share one PostgreSQL database
    Worker,
    /// The simulated provider as a process of its own, with a book that survives it
    Simulator(simulator::Args),
    /// Bring the database's schema up to date, or show where it stands
    Migrate(migrate::Args),
    /// Print a token for the API
    Token(token::Args),
    /// Print the description of the API
    Openapi(openapi::Args),
    /// Show every setting and where it came from, and whether everything can be reached
    Doctor,
    /// Check that the books balance (exit code 6 if they do not)
    Verify,
    /// Ask the rails what they know, after a failover or a restored backup (exit code 6 if they paid what has no row here)
    Sweep(sweep::Args),
    /// The releases of a file, by the million
    #[command(subcommand)]
    Bulk(bulk::Command),
    /// Show the whole of it: a sample project, releases over HTTP, and what became of them
    Demo(demo::Args),
    /// List the points at which a test can make the process die
    #[cfg(debug_assertions)]
    #[command(hide = true)]
    Failpoints,
}

/// How a command ended, if not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Something went wrong; it was said.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// The server does not take our token.
    Unauthorized = 4,
    /// A check found a difference.
    Difference = 6,
    /// What was to be read is wrong; it was said where.
    BadInput = 65,
    /// Something cannot be reached, or may undo what it acknowledges.
    Unreachable = 69,
    /// Somebody asked to stop.
    Interrupted = 130,
}

type Outcome = Result<(), Exit>;

/// Does what was asked.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = dispatch(cli);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => ExitCode::from(exit as u8),
    }
}

fn dispatch(cli: Cli) -> Outcome {
    // These need no settings: they are the same everywhere.
    let command = match cli.command {
        Command::Openapi(args) => return openapi::run(&args),
        Command::Bulk(command) => return block_on(bulk::run(command)),
        #[cfg(debug_assertions)]
        Command::Failpoints => return failpoints(),
        command => command,
    };
    let config = Config::load(&cli.flags).map_err(|error: ConfigError| say(Exit::Usage, &error))?;
    match command {
        Command::Serve(args) => block_on(serve::run(&config, &args)),
        Command::Worker => block_on(work::run(&config)),
        Command::Simulator(args) => block_on(simulator::run(&config, args)),
        Command::Migrate(args) => block_on(migrate::run(&config, &args)),
        Command::Token(args) => token::run(&config, &args),
        Command::Openapi(args) => openapi::run(&args),
        Command::Bulk(command) => block_on(bulk::run(command)),
        Command::Doctor => block_on(doctor::run(&config)),
        Command::Verify => block_on(verify::run(&config)),
        Command::Sweep(args) => block_on(sweep::run(&config, &args)),
        Command::Demo(args) => block_on(demo::run(config, &args)),
        #[cfg(debug_assertions)]
        Command::Failpoints => failpoints(),
    }
}

#[cfg(debug_assertions)]
fn failpoints() -> Outcome {
    for point in crate::failpoints::all() {
        outln!("{point}");
    }
    Ok(())
}

fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| say(Exit::Failed, &error))?.block_on(command)
}

/// Says what went wrong.
fn say(exit: Exit, error: &dyn std::fmt::Display) -> Exit {
    eprintln!("disburse: {error}");
    exit
}
