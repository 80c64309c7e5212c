//! A way to move money out (rails design, section 5).
//!
//! Key idea: an instruction is what leaves the building; it carries one or more items. So there is one port
//! for one-call and for file rails; the grain is a number in the profile. What is pure is kept out of the
//! async calls.

use crate::{
    failure::Detail,
    ports::queries::{Page, Paged},
};
use async_trait::async_trait;
use domain::{
    currency::Currency,
    ids::{InstructionId, ItemId, RecipientId},
    instruction::Instruction,
    money::Money,
    recipient::{Destination, RailId},
    timestamp::Timestamp,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What a rail is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RailProfile {
    /// Its name.
    pub id: RailId,
    /// Most items in one instruction.
    pub items_max: u32,
    /// How long the same bytes under the same key are known to have effect once; for ever if absent.
    pub replay_window: Option<Duration>,
    /// The longest time a request can still be in flight: before it has passed, absence proves nothing.
    pub settle_bound: Duration,
    /// Whether somebody that nobody registered can be paid.
    pub pays_strangers: bool,
    /// Currencies of which only multiples of so many minor units can be sent; of all others, any amount can.
    pub granularities: BTreeMap<Currency, i64>,
}

impl RailProfile {
    /// What can be sent of a currency is a multiple of so many minor units.
    pub fn granularity_minor(&self, currency: Currency) -> i64 {
        self.granularities.get(&currency).copied().unwrap_or(1).max(1)
    }
}

/// One item, as a rail needs to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which item.
    pub item: ItemId,
    /// The name under which the rail reports on it: 26 characters, upper case.
    pub wire_ref: String,
    /// Who is paid.
    pub recipient: RecipientId,
    /// How much.
    pub amount: Money,
    /// Where to.
    pub destination: Destination,
}

/// What became of a call that moves money. Silence is neither yes nor no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submit {
    /// Executed: the money is with the recipient.
    Settled {
        /// The rail's own name for it.
        reference: Option<String>,
    },
    /// Definitely not executed, and never will be.
    Refused {
        /// The rail's reason.
        reason: String,
    },
    /// Definitely not received: the same call may be made again.
    NotSent {
        /// Why.
        cause: String,
    },
    /// It may have happened or not.
    Unknown {
        /// What is known.
        cause: String,
    },
}

/// What a rail knows of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It has it.
    Found(Known),
    /// It does not have it. Whether that proves anything depends on the settle bound.
    Absent,
    /// It cannot say now.
    CannotTell {
        /// Why.
        cause: String,
    },
}

/// The outcome of an instruction that a rail has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Executed.
    Settled {
        /// The rail's own name for it.
        reference: Option<String>,
    },
    /// Refused.
    Refused {
        /// The rail's reason.
        reason: String,
    },
}

/// One entry of a rail's own book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookEntry {
    /// The idempotency key it came under; the text as the rail stored it.
    pub key: String,
    /// What was executed; zero if it was refused.
    pub executed: Money,
    /// The rail's cursor to go on after this entry.
    pub cursor: String,
}

/// A payment rail.
///
/// Laws, each a contract test: `prepare` twice gives the same bytes; the same instruction submitted twice
/// has effect once; what was submitted is found by `query`; a rail never answers `Refused` or `NotSent`
/// for what it executed; `submit` and `query` come back within five seconds whatever happens, for both fit into the
/// lease of a job, and what did not come back by then is unknown.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait PayoutRail: Send + Sync {
    /// What the rail is like; always the same.
    fn profile(&self) -> RailProfile;

    /// Whether the rail could pay there. Pure. Pointers of the faults start at the destination (`/details/iban`).
    ///
    /// # Errors
    /// All faults of the details.
    fn check(&self, destination: &Destination) -> Result<(), Vec<Detail>>;

    /// The bytes that are sent under `key`. Pure and deterministic.
    ///
    /// # Errors
    /// Why the orders cannot be put into one instruction.
    fn prepare(&self, key: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError>;

    /// The only call that moves money. The instruction was committed before.
    async fn submit(&self, instruction: &Instruction) -> Submit;

    /// Asks what became of an instruction. Never moves money.
    async fn query(&self, instruction: &Instruction) -> Lookup;

    /// The rail's own book, oldest first, after a cursor; `None` where it cannot be read.
    ///
    /// # Errors
    /// If it cannot be read now.
    async fn book(&self, after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown>;
}

/// Orders that cannot be put into one instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the orders cannot be put into one instruction: {0}")]
pub struct PrepareError(pub String);

/// The rail cannot be asked now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rail cannot be asked now: {0}")]
pub struct RailDown(pub String);

/// The rails there are. The default is where somebody is paid who has no destination.
#[derive(Clone)]
pub struct Rails {
    default: RailId,
    by_id: BTreeMap<RailId, Arc<dyn PayoutRail>>,
}

impl Rails {
    /// The rails there are; the first is the default.
    pub fn new(default: Arc<dyn PayoutRail>, others: impl IntoIterator<Item = Arc<dyn PayoutRail>>) -> Self {
        let id = default.profile().id;
        let all = std::iter::once(default).chain(others);
        Self { default: id, by_id: all.map(|rail| (rail.profile().id, rail)).collect() }
    }
    /// The rail of that name.
    pub fn get(&self, id: &RailId) -> Option<&Arc<dyn PayoutRail>> {
        self.by_id.get(id)
    }
    /// Where somebody is paid who has no destination.
    pub fn default_id(&self) -> &RailId {
        &self.default
    }
    /// Every rail.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn PayoutRail>> {
        self.by_id.values()
    }
}

/// What the simulator was asked to pay: for people and for tests, in test mode only.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait SimulatorBook: Send + Sync {
    /// A page of transfers, newest first; the cursor is a transfer's id.
    ///
    /// # Errors
    /// If the book cannot be read now.
    async fn transfers(&self, page: Page<String>) -> Result<Paged<Transfer>, RailDown>;
}

/// A transfer in the simulator's book: one for each idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The simulator's own name for it.
    pub id: String,
    /// The key it came under.
    pub idempotency_key: String,
    /// The item it pays, as it was told.
    pub item: String,
    /// The recipient, as it was told.
    pub recipient: String,
    /// How much was asked for.
    pub amount: Money,
    /// `paid`, or `declined`.
    pub outcome: &'static str,
    /// When it was first asked.
    pub created_at: Timestamp,
}
