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
    ports::rail::RailEvent,
};
use domain::{money::Money, timestamp::Timestamp};

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
        outln!("{:<8} {rail:<16} {}", "UNKNOWN", told(event));
    }
    if let Some(why) = stopped {
        outln!("{:<8} {rail:<16} {why}", "UNSEEN");
    }
    let mark = if unknown.is_empty() && stopped.is_none() { "ok" } else { "SWEPT" };
    outln!("{mark:<8} {rail:<16} {sayings} sayings, {taken} new, {} without a row here", unknown.len());
}

/// All that the rail told of a payment: the name under which it was ordered, how much, and whatever else is known under
/// names of its own. `key` is what `verify` names, `name` is the saying's own.
fn told(event: &RailEvent) -> String {
    let RailEvent { dedupe, about, key, what, amount, occurred_at, evidence: _ } = event;
    let money = |money: Money| format!("{} {}", money.amount_minor, money.currency);
    let parts = [
        ("returned", what.returned().map(money)),
        ("key", key.clone()),
        ("reference", what.reference().map(str::to_owned)),
        ("at", occurred_at.map(|at| at.to_string())),
        ("name", Some(dedupe.clone())),
    ];
    let mut told = vec![format!("{:<9}", what.as_str()), about.name()];
    told.extend(amount.map(money));
    told.extend(parts.into_iter().filter_map(|(name, part)| part.map(|part| format!("{name}={part}"))));
    told.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use app::ports::rail::Seen;

    #[test]
    fn what_is_unknown_is_told_by_every_name_that_it_has() {
        let usd = |minor| Money::new(minor, "USD".parse().unwrap());
        let reference = Some("sim_1".to_owned());
        let settled = RailEvent {
            key: Some("ins_1".to_owned()),
            occurred_at: Some(Timestamp::from_unix_micros(0)),
            ..RailEvent::answered("W1", Seen::Settled { reference: reference.clone() }, Some(usd(1_000)), b"raw")
        };
        let expected = "settled   W1 1000 USD key=ins_1 reference=sim_1 at=1970-01-01T00:00:00Z name=W1/settled";
        assert_eq!(told(&settled), expected);
        let what = Seen::Returned { reason: "no_account".to_owned(), returned: usd(300), reference };
        let returned = RailEvent::answered("W1", what, Some(usd(1_000)), b"raw");
        assert_eq!(told(&returned), "returned  W1 1000 USD returned=300 USD reference=sim_1 name=W1/returned/300");
    }
}
