//! A way to move money out (rails design, section 5).
//!
//! Key idea: an instruction is what leaves the building; it carries one or more items. So there is one port
//! for one-call and for file rails; the grain is a number in the profile. What is pure is kept out of the
//! async calls.
//!
//! Whatever a rail says of a payment, in an answer, to a question or in a notification, it says as a [`RailEvent`]:
//! so there is one place that decides what it means, and the order in which it comes does not matter.

mod simulator;

pub use simulator::*;

use crate::failure::Detail;
use async_trait::async_trait;
use domain::{
    currency::Currency,
    ids::{InstructionId, ItemId, RecipientId},
    instruction::Instruction,
    money::Money,
    recipient::{Destination, RailId},
    timestamp::Timestamp,
};
use sha2::{Digest, Sha256};
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
    /// Whether what comes back may be less because the rail kept charges. If not, a part that comes back is the
    /// recipient's, and the payment stands.
    pub charges_returns: bool,
    /// Most calls in a second, questions included, by one process.
    pub calls_per_second_max: u32,
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
    /// The rail has it. What it says of each payment by now; of those it says nothing about it will report.
    Accepted {
        /// The rail's own name for the instruction.
        reference: Option<String>,
        /// What it says already.
        seen: Vec<RailEvent>,
    },
    /// Definitely not executed, and never will be under this key.
    Refused {
        /// The rail's reason: a stable word.
        reason: String,
        /// What to do about it.
        class: Class,
    },
    /// Definitely not received: the same call may be made again.
    NotSent {
        /// Why.
        cause: String,
        /// Not before so long, if the rail said so.
        retry_after: Option<Duration>,
        /// Whether we are to blame (a bad key, an account that is closed): until somebody mends it, no other call
        /// over this rail will do better.
        ours: bool,
    },
    /// It may have happened or not.
    Unknown {
        /// What is known.
        cause: String,
    },
}

/// What a refusal means for the payment (rails design, section 4). In every class nothing was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It may work later: a new instruction under a new key, a bounded number of times.
    Retry,
    /// The recipient must act first.
    Hold,
    /// It will not work like this: an operator or new details must change something.
    Fail,
    /// We are at fault, not the payment: the rail pauses, the payment waits.
    Ops,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Retry, Self::Hold, Self::Fail, Self::Ops];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Fail => "fail",
            Self::Ops => "ops",
        }
    }
}

/// What a rail knows of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It has it, and says this of it; an empty list means that it has it and nothing happened yet.
    Found(Vec<RailEvent>),
    /// It does not have it, as of now. That proves something once the settle bound has passed since the last call,
    /// which the caller looks after.
    ProvenAbsent,
    /// It cannot say now.
    CannotTell {
        /// Why.
        cause: String,
    },
}

/// What became of asking a rail to give up an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// It will not be executed; the rail proves it.
    Recalled,
    /// It is too late, or the rail never does that.
    Refused {
        /// Why.
        reason: String,
    },
    /// The rail was asked; it will report.
    Asked,
    /// It is not known whether the rail was asked.
    Unknown {
        /// What is known.
        cause: String,
    },
}

/// Whether a destination can be paid now, as the rail sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// Nothing speaks against it.
    Ready,
    /// The recipient must act first.
    MustAct {
        /// The rail's reason: a stable word.
        reason: String,
    },
    /// It cannot be asked now: that speaks neither for nor against.
    CannotTell,
}

/// What a rail says of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RailEvent {
    /// The rail's own name of this saying: what comes again under it is the same. A saying that has no name of its own
    /// gets one by [`RailEvent::name_of`].
    pub dedupe: String,
    /// Which payment it is about.
    pub about: About,
    /// The key under which the rail has the payment, if it says so; the text as the rail stored it. Nothing is decided by
    /// it: it is for people, who find the payment by it.
    pub key: Option<String>,
    /// What it says.
    pub what: Seen,
    /// The amount it names, if it names one. If that is not the payment's, nothing is believed of it.
    pub amount: Option<Money>,
    /// When it happened, as the rail says.
    pub occurred_at: Option<Timestamp>,
    /// SHA-256 of what the rail said, to find it again in its own words.
    pub evidence: [u8; 32],
}

/// Which payment an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// One item, by the name under which it was ordered.
    Item(String),
    /// Every item of an instruction, by its key.
    Instruction(InstructionId),
    /// No payment, but whoever is paid there (their capability changed, say): the value of one of the details of a
    /// destination on this rail.
    Destination(String),
}

/// What a rail can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It has it.
    Accepted {
        /// The rail's own name for the payment.
        reference: Option<String>,
    },
    /// It is executed.
    Settled {
        /// The rail's own name for the payment.
        reference: Option<String>,
    },
    /// It was not executed, and will not be under this key.
    Rejected {
        /// The rail's reason: a stable word.
        reason: String,
        /// What to do about it.
        class: Class,
    },
    /// It was executed, and came back.
    Returned {
        /// The rail's reason: a stable word.
        reason: String,
        /// What came back by now, all in all.
        returned: Money,
        /// The rail's own name for the payment.
        reference: Option<String>,
    },
    /// It was given up because we asked for it; it was not executed.
    Recalled,
    /// What is known of the recipient there changed: what waits for them may be looked at anew.
    DetailsChanged,
}

impl Seen {
    /// The word that is stored and answered.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Settled { .. } => "settled",
            Self::Rejected { .. } => "rejected",
            Self::Returned { .. } => "returned",
            Self::Recalled => "recalled",
            Self::DetailsChanged => "details_changed",
        }
    }

    /// The rail's own name for the payment, if it says that.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Accepted { reference } | Self::Settled { reference } | Self::Returned { reference, .. } => {
                reference.as_deref()
            }
            Self::Rejected { .. } | Self::Recalled | Self::DetailsChanged => None,
        }
    }

    /// What came back by now, if it says that something did.
    pub fn returned(&self) -> Option<Money> {
        match self {
            Self::Returned { returned, .. } => Some(*returned),
            Self::Accepted { .. }
            | Self::Settled { .. }
            | Self::Rejected { .. }
            | Self::Recalled
            | Self::DetailsChanged => None,
        }
    }
}

impl About {
    /// The name by which the rail says it.
    pub fn name(&self) -> String {
        match self {
            Self::Item(name) | Self::Destination(name) => name.clone(),
            Self::Instruction(key) => key.to_string(),
        }
    }
}

impl RailEvent {
    /// A name for a saying that has none of its own: the same saying about the same payment has the same.
    pub fn name_of(subject: &str, what: &Seen) -> String {
        match what {
            Seen::Returned { returned, .. } => format!("{subject}/{}/{}", what.as_str(), returned.amount_minor),
            _ => format!("{subject}/{}", what.as_str()),
        }
    }

    /// What a rail says of an item in an answer, where a saying has no name of its own.
    pub fn answered(wire_ref: &str, what: Seen, amount: Option<Money>, raw: &[u8]) -> Self {
        Self {
            dedupe: Self::name_of(wire_ref, &what),
            about: About::Item(wire_ref.to_owned()),
            key: None,
            what,
            amount,
            occurred_at: None,
            evidence: Sha256::digest(raw).into(),
        }
    }
}

/// A message that a rail sent us, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Headers, names in lower case; where one came several times, each.
    pub headers: Vec<(String, String)>,
    /// The body, byte by byte.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: Timestamp,
}

impl Inbound {
    /// The one value of a header; none if it is missing or came several times.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}

/// Why a message is not believed, or not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// It is not signed by the rail, or too old.
    #[error("the signature of the message is not the rail's: {0}")]
    Forged(String),
    /// It is signed, and says nothing that can be read.
    #[error("the message cannot be read: {0}")]
    Unreadable(String),
    /// This rail sends no messages, or no secret to check them is set.
    #[error("this rail takes no messages: {0}")]
    NotTaken(String),
}

/// One entry of a rail's own book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookEntry {
    /// The idempotency key it came under; the text as the rail stored it.
    pub key: String,
    /// What was executed and did not come back; zero if it was refused.
    pub executed: Money,
    /// What was executed and came back, in minor units of the same currency: the notification of it may still be on
    /// its way to us.
    pub returned_minor: i64,
    /// The rail's cursor to go on after this entry.
    pub cursor: String,
}

/// A page of what a rail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it says, oldest first.
    pub events: Vec<RailEvent>,
    /// To go on after these; none if there is no more.
    pub next: Option<String>,
}

/// A payment rail.
///
/// Laws, each a contract test: `prepare` twice gives the same bytes; the same instruction submitted twice has effect
/// once; what was submitted is found by `query`, and later by `list`; a rail never answers `Refused`, `NotSent`,
/// `ProvenAbsent` or `Recalled` for what it executed; `ingest` of the same message twice gives events of the same
/// names, and of a message that the rail did not sign none; `preflight`, `submit`, `query` and `recall` come back within
/// five seconds each whatever happens, for they fit into the lease of a job, and what did not come back by then is
/// unknown.
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

    /// What a refusal for that reason means, if it always means the same. Pure. Of what is stored of a refusal, only the
    /// reason is known later.
    fn class_of(&self, _reason: &str) -> Option<Class> {
        None
    }

    /// Whether the destination can be paid now. Never moves money; asked before the intent is committed.
    async fn preflight(&self, destination: &Destination) -> Preflight;

    /// The only call that moves money. The instruction was committed before.
    async fn submit(&self, instruction: &Instruction) -> Submit;

    /// Asks what became of an instruction. Never moves money.
    async fn query(&self, instruction: &Instruction) -> Lookup;

    /// Asks the rail to give up these items of an instruction.
    async fn recall(&self, instruction: &Instruction, items: &[ItemId]) -> Recall;

    /// What the rail says of everything it was asked to do since then, oldest first.
    ///
    /// # Errors
    /// If it cannot be asked now.
    async fn list(&self, since: Timestamp, cursor: Option<String>) -> Result<Listed, RailDown>;

    /// The rail's own book, oldest first, after a cursor; `None` where it cannot be read.
    ///
    /// # Errors
    /// If it cannot be read now.
    async fn book(&self, after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown>;

    /// What a message of the rail says. Pure. A message that is about nothing of ours says nothing.
    ///
    /// # Errors
    /// If it is not believed, or cannot be read.
    fn ingest(&self, message: &Inbound) -> Result<Vec<RailEvent>, IngestError>;
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
    /// Whether somebody can be paid there now, as far as their rail knows.
    pub async fn preflight(&self, destination: &Destination) -> Preflight {
        match self.get(&destination.rail) {
            Some(rail) => rail.preflight(destination).await,
            None => Preflight::CannotTell,
        }
    }
    /// Every rail.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn PayoutRail>> {
        self.by_id.values()
    }
}
