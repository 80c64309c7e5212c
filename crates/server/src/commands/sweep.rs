//! `disburse sweep`: asks the rails what they know, after a failover or a restored backup. What it finds moves no money: it
//! is written down as if the rail had told it.

use super::{Exit, Outcome, say};
use crate::{
    compose::{self, Sweeping},
    config::Config,
    logging,
};
use app::{
    payouts::{
        receive_notification::Ears,
        sweep_rails::{Swept, sweep_rails},
    },
    ports::rail::{About, RailEvent},
};
use domain::timestamp::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// From when on the database may lack something, such as `2026-11-30T06:00:00Z`; rather too early than too late
    #[arg(long, value_name = "INSTANT")]
    since: Timestamp,
}

pub(super) async fn run(config: &Config, args: &Args) -> Outcome {
    logging::start();
    let Sweeping { repository, rails, ids, dice, clock } =
        compose::sweeping(config).await.map_err(|error| say(Exit::Unreachable, &error))?;
    let ears = Ears { repository: repository.as_ref(), rails: &rails, ids: ids.as_ref(), dice: dice.as_ref() };
    let all = sweep_rails(ears, clock.as_ref(), args.since).await;
    all.iter().for_each(print);
    if all.iter().any(|swept| !swept.unknown.is_empty()) {
        return Err(Exit::Difference);
    }
    if all.iter().any(|swept| swept.stopped.is_some()) { Err(Exit::Unreachable) } else { Ok(()) }
}

fn print(swept: &Swept) {
    let Swept { rail, sayings, taken, unknown, stopped } = swept;
    let rail = rail.as_str();
    for event in unknown {
        let amount = event.amount.map(|amount| format!("{} {}", amount.amount_minor, amount.currency));
        let what = event.what.as_str();
        outln!("{:<8} {rail:<16} {what:<9} {} {}", "UNKNOWN", name(event), amount.unwrap_or_default());
    }
    if let Some(why) = stopped {
        outln!("{:<8} {rail:<16} {why}", "UNSEEN");
    }
    let mark = if unknown.is_empty() && stopped.is_none() { "ok" } else { "SWEPT" };
    outln!("{mark:<8} {rail:<16} {sayings} sayings, {taken} new, {} without a row here", unknown.len());
}

/// The name under which it was ordered.
fn name(event: &RailEvent) -> String {
    match &event.about {
        About::Item(name) | About::Destination(name) => name.clone(),
        About::Instruction(key) => key.to_string(),
    }
}
