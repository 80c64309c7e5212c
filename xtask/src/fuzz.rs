//! `cargo xtask fuzz`: what comes from outside, as somebody would send it who wants to break in.

use crate::cargo_tool;
use crate::failure::Result;
use crate::process;
use crate::workspace::Workspace;
use std::time::Duration;

const VERSION: &str = "0.13.2";
/// The targets in `fuzz/fuzz_targets`.
const TARGETS: [&str; 5] =
    ["stripe_messages", "simulator_messages", "stripe_answers", "request_bodies", "revenue_models"];

/// Every target for so long. What breaks one is a failure, and is kept in `fuzz/artifacts`.
pub fn run(workspace: &Workspace, each: Duration) -> Result<()> {
    for target in TARGETS {
        let seconds = format!("-max_total_time={}", each.as_secs());
        // Our code forbids `unsafe`: what a sanitizer looks for is not what a law breaks on. A debug build checks overflow.
        let arguments = ["run", "--dev", "--sanitizer", "none", target, "--", &seconds, "-print_final_stats=1"];
        let mut command = cargo_tool::subcommand(workspace, "fuzz", VERSION, &arguments)?;
        // The coverage that it steers by is an unstable option of the compiler.
        process::run(command.env("RUSTC_BOOTSTRAP", "1").env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(())
}
