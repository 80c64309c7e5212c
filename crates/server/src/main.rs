//! `disburse`: revenue split and payouts, in one binary.
//!
//! [`commands`] is the list of what one can do; [`compose`] is the only module that names adapters; [`http`] is the
//! API, [`listener`] lets its callers in, [`worker`] does the jobs. A debug build has `failpoints`, at which tests make it
//! die.

mod commands;
mod compose;
mod config;
#[cfg(debug_assertions)]
mod failpoints;
mod http;
mod listener;
mod logging;
mod signing_key;
mod simulator_app;
mod worker;

use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    commands::run(commands::Cli::parse())
}
