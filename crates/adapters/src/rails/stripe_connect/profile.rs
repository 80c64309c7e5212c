//! What the rail is like, in numbers, and whose they are.

use super::amounts;
use app::ports::rail::RailProfile;
use domain::recipient::{InvalidWord, RailId};
use std::time::Duration;

/// What the rail is called.
pub const NAME: &str = "stripe_connect";

/// The version of Stripe's API that answers are read in. The official SDK that judges this rail in the tests speaks the
/// same.
pub const API_VERSION: &str = "2026-10-28.endive";

/// Whether money moves in earnest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A sandbox: nobody is paid.
    Test,
    /// People are paid.
    Live,
}

impl Mode {
    /// The word in the prefix of a key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }
    pub(super) fn is_live(self) -> bool {
        self == Self::Live
    }
}

/// How long a call takes at most, all of its requests together: the port promises five seconds.
pub(super) const CALL_MAX: Duration = Duration::from_millis(4_500);
/// How long a look at an account takes at most. Not to know speaks neither for nor against, so it is not worth more.
pub(super) const PREFLIGHT_MAX: Duration = Duration::from_secs(2);
/// How long one page of a list takes at most. Nothing waits for it under a lease.
pub(super) const PAGE_MAX: Duration = Duration::from_secs(10);
/// How long a connection may take to be there. A call that ends before is known not to have been received.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long it is remembered that an account can be paid.
pub(super) const READY_FOR: Duration = Duration::from_secs(60);
/// How long to wait after `429`, if Stripe does not say.
pub(super) const SLOW_DOWN: Duration = Duration::from_secs(1);
/// How long Stripe replays what it answered under a key, at least.
const REPLAYED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Stripe does not say how long a request can be under way. Its own SDKs wait 80 s for an answer; seven times that leaves
/// room for what waits in a network, for a list that lags behind, and for clocks that differ. It costs nothing: what may
/// be replayed is replayed first, so nobody waits for this in the first nineteen hours.
const SETTLE_BOUND: Duration = Duration::from_secs(600);

pub(super) fn profile(id: &RailId, mode: Mode) -> RailProfile {
    RailProfile {
        id: id.clone(),
        items_max: 1,
        replay_window: Some(REPLAYED_FOR),
        settle_bound: SETTLE_BOUND,
        pays_strangers: false,
        // A reversal takes back from the recipient what it gives to us; Stripe keeps nothing of it.
        charges_returns: false,
        // Stripe takes 100 in a second, 25 in a sandbox. Half of that: a look at the account goes before a payment.
        calls_per_second_max: match mode {
            Mode::Live => 50,
            Mode::Test => 12,
        },
        granularities: amounts::granularities(),
    }
}

pub(super) fn id() -> Result<RailId, InvalidWord> {
    NAME.parse()
}
