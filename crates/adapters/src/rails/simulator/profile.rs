//! What the rail is like.

use app::ports::rail::{RailProfile, SimulatorSettings};
use domain::{currency::Currency, recipient::RailId};
use std::{collections::BTreeMap, time::Duration};

/// The longest time a request can still be in flight.
const SETTLE_BOUND: Duration = Duration::from_secs(10);

pub(super) fn profile(id: RailId, settings: SimulatorSettings) -> RailProfile {
    let SimulatorSettings { replay_window, calls_per_second_max } = settings;
    RailProfile {
        id,
        items_max: 1,
        // Unless a test says otherwise keys are kept for ever, so the same bytes never have effect twice.
        replay_window,
        settle_bound: SETTLE_BOUND,
        pays_strangers: true,
        charges_returns: false,
        calls_per_second_max,
        granularities: granularities(),
    }
}

/// As some rails do: hundredths of forints and rupiahs, and the third decimal of dinars and rials, are not sent.
fn granularities() -> BTreeMap<Currency, i64> {
    let known = [("HUF", 100), ("IDR", 100), ("BHD", 10), ("KWD", 10), ("OMR", 10)];
    known.into_iter().filter_map(|(code, minor)| Some((code.parse().ok()?, minor))).collect()
}
