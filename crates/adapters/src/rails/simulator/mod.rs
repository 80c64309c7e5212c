//! The simulator: a deterministic rail with a book of its own, in a file of its own.
//!
//! It behaves as a real provider does: it survives our crash, has one transfer for each idempotency key, and
//! refuses a key that comes back with another body. Nobody is paid in earnest.
//!
//! * [`destination`]: what it needs to know of a recipient, and the outcome they ask for
//! * [`wire`]: the bytes of an instruction
//! * [`book`]: what it was asked to pay

mod book;
mod destination;
mod wire;

use app::{
    failure::Detail,
    ports::{
        Ids, PayoutRail, SimulatorBook,
        queries::{Page, Paged},
        rail::{
            BookEntry, Class, Inbound, IngestError, Listed, Lookup, Order, Preflight, PrepareError, RailDown,
            RailEvent, RailProfile, Recall, Seen, Submit, Transfer,
        },
    },
};
use async_trait::async_trait;
use book::{Book, Entry, Recorded};
use destination::Outcome;
use domain::{
    currency::Currency,
    ids::{InstructionId, ItemId},
    instruction::Instruction,
    money::Money,
    recipient::{Destination, InvalidWord, RailId},
    timestamp::Timestamp,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use wire::Payment;

pub use book::BookError;

/// What the rail is called.
pub const NAME: &str = "simulator";
/// How long a call may take. A turn asks and then sends, both under one lease of 15 s.
const CALL_MAX: Duration = Duration::from_secs(5);
/// The reason of a decline.
const DECLINED: &str = "declined_by_simulator";

/// The rail, over an open book. Cheap to clone.
#[derive(Clone)]
pub struct Simulator {
    id: RailId,
    book: Book,
    ids: Arc<dyn Ids>,
}

/// Why the simulator cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its book cannot be opened.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Its name is no word.
    #[error("the name of the rail {0}")]
    Name(#[from] InvalidWord),
}

impl Simulator {
    /// Opens the book in that file, or starts one. Several processes of one machine may share it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(file: &Path, ids: Arc<dyn Ids>) -> Result<Self, OpenError> {
        Ok(Self { id: NAME.parse()?, book: Book::open(file).await?, ids })
    }
}

/// As some rails do: hundredths of forints and rupiahs, and the third decimal of dinars and rials, are not sent.
fn granularities() -> BTreeMap<Currency, i64> {
    let known = [("HUF", 100), ("IDR", 100), ("BHD", 10), ("KWD", 10), ("OMR", 10)];
    known.into_iter().filter_map(|(code, minor)| Some((code.parse().ok()?, minor))).collect()
}

#[async_trait]
impl PayoutRail for Simulator {
    fn profile(&self) -> RailProfile {
        RailProfile {
            id: self.id.clone(),
            items_max: 1,
            // The book is kept for ever, so the same bytes under the same key never have effect twice.
            replay_window: None,
            settle_bound: Duration::from_secs(10),
            pays_strangers: true,
            charges_returns: false,
            calls_per_second_max: 1_000,
            granularities: granularities(),
        }
    }

    fn check(&self, destination: &Destination) -> Result<(), Vec<Detail>> {
        Outcome::read(destination).map(drop)
    }

    fn prepare(&self, _key: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError> {
        let [order] = orders else { return Err(PrepareError("the simulator takes one item at a time".to_owned())) };
        Payment::of(order)?.to_bytes()
    }

    async fn preflight(&self, _destination: &Destination) -> Preflight {
        Preflight::Ready
    }

    async fn submit(&self, instruction: &Instruction) -> Submit {
        let payment = match Payment::from_bytes(&instruction.body) {
            Ok(payment) => payment,
            Err(error) => return Submit::Unknown { cause: error.to_string() },
        };
        let id = format!("sim_{}", InstructionId::new(self.ids.fresh()).digits().to_ascii_lowercase());
        let key = instruction.id.to_string();
        match in_time(self.book.record(id, &key, &instruction.body, &payment)).await {
            Ok(Recorded::Entry(entry)) => match seen(entry) {
                Seen::Rejected { reason, class } => Submit::Refused { reason, class },
                what => Submit::Accepted { reference: None, seen: events(instruction, what) },
            },
            Ok(Recorded::KeyUsedWithAnotherBody) => {
                Submit::Unknown { cause: "the key was used with another body".to_owned() }
            }
            Err(error) => Submit::Unknown { cause: error.to_string() },
        }
    }

    async fn query(&self, instruction: &Instruction) -> Lookup {
        match in_time(self.book.find(&instruction.id.to_string())).await {
            Ok(Some(entry)) => Lookup::Found(events(instruction, seen(entry))),
            Ok(None) => Lookup::ProvenAbsent,
            Err(error) => Lookup::CannotTell { cause: error.to_string() },
        }
    }

    async fn recall(&self, _instruction: &Instruction, _items: &[ItemId]) -> Recall {
        Recall::Refused { reason: "not_supported".to_owned() }
    }

    async fn list(&self, _since: Timestamp, _cursor: Option<String>) -> Result<Listed, RailDown> {
        Ok(Listed { events: Vec::new(), next: None })
    }

    fn ingest(&self, _message: &Inbound) -> Result<Vec<RailEvent>, IngestError> {
        Err(IngestError::NotTaken("the simulator sends none".to_owned()))
    }

    async fn book(&self, after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown> {
        let entries = self.book.oldest_first(after, limit).await.map_err(|error| down(&error))?;
        Ok(Some(entries.into_iter().map(book_entry).collect()))
    }
}

#[async_trait]
impl SimulatorBook for Simulator {
    async fn transfers(&self, page: Page<String>) -> Result<Paged<Transfer>, RailDown> {
        let entries = self.book.newest_first(page.after, page.limit + 1).await.map_err(|error| down(&error))?;
        Ok(Paged::cut(entries, page.limit).map(transfer))
    }
}

/// What takes longer is not waited for: it may still happen, which is what the callers make of the error.
async fn in_time<T>(call: impl Future<Output = Result<T, BookError>>) -> Result<T, BookError> {
    tokio::time::timeout(CALL_MAX, call).await.unwrap_or(Err(BookError::TooSlow))
}

fn seen(entry: Entry) -> Seen {
    match entry.outcome {
        Outcome::Paid => Seen::Settled { reference: Some(entry.id) },
        Outcome::Declined => Seen::Rejected { reason: DECLINED.to_owned(), class: Class::Fail },
    }
}

fn events(instruction: &Instruction, what: Seen) -> Vec<RailEvent> {
    let parts = instruction.items.iter();
    parts.map(|part| RailEvent::answered(&part.wire_ref, what.clone(), None, &instruction.body)).collect()
}

fn book_entry(entry: Entry) -> BookEntry {
    let executed = match entry.outcome {
        Outcome::Paid => entry.amount,
        Outcome::Declined => Money::new(0, entry.amount.currency),
    };
    BookEntry { key: entry.key, executed, cursor: entry.id }
}

fn transfer(entry: Entry) -> Transfer {
    Transfer {
        id: entry.id,
        idempotency_key: entry.key,
        item: entry.item,
        recipient: entry.recipient,
        amount: entry.amount,
        outcome: entry.outcome.as_str(),
        created_at: entry.created_at,
    }
}

fn down(error: &BookError) -> RailDown {
    RailDown(error.to_string())
}
