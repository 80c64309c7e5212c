//! `disburse migrate`: brings the schema up to date, or shows where it stands.

use super::{Exit, Outcome, say};
use crate::{
    compose::{self, ComposeError},
    config::Config,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show which migrations the database has
    Status,
    /// Bring the schema up to date (the default)
    Up,
}

pub(super) async fn run(config: &Config, args: &Args) -> Outcome {
    let unreachable = |error: ComposeError| say(Exit::Unreachable, &error);
    if !matches!(args.action, Some(Action::Status)) {
        compose::migrate(config).await.map_err(unreachable)?;
    }
    for migration in compose::migrations(config).await.map_err(unreachable)? {
        let standing = match (migration.applied, migration.newer) {
            (true, true) => "newer",
            (true, false) => "applied",
            (false, _) => "pending",
        };
        outln!("{standing:<8} {}", migration.name);
    }
    Ok(())
}
