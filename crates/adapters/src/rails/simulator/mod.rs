//! The simulator: a rail that pays nobody in earnest, and behaves as badly as it is told to.
//!
//! * [`profile`]: what the rail is like
//! * [`destination`]: what it needs to know of a recipient
//! * [`wire`]: the bytes of an instruction
//! * [`submit`]: what answers mean
//! * [`ingest`], [`signature`]: what it tells by itself, and whether to believe it
//! * [`reasons`]: what its codes mean
//! * [`link`], [`remote`]: the way to the provider, in our process or over HTTP
//! * [`provider`]: the provider itself

mod destination;
mod ingest;
mod link;
mod profile;
pub mod provider;
mod reasons;
mod remote;
pub mod signature;
mod submit;
mod wire;

use app::{
    failure::Detail,
    ports::{
        Clock, Ids, PayoutRail, SimulatorBook, SimulatorFaults, SimulatorNotifications,
        queries::{Page, Paged},
        rail::{
            BookEntry, Class, Fault, Inbound, IngestError, Listed, Lookup, NewFault, Notification, Order, Preflight,
            PrepareError, RailDown, RailEvent, RailProfile, Recall, SimulatorSettings, Submit, Transfer,
        },
    },
};
use async_trait::async_trait;
use domain::{
    ids::{InstructionId, ItemId},
    instruction::Instruction,
    recipient::{Destination, InvalidWord, RailId},
    timestamp::Timestamp,
};
use link::{Down, Link};
use provider::{
    Provider,
    http::{cursor_of, read_cursor},
};
use remote::Remote;
use std::{path::Path, sync::Arc};

pub use provider::book::BookError;
pub use remote::ConnectError;

/// What the rail is called.
pub const NAME: &str = "simulator";
/// Sayings in one page of a sweep.
const SWEEP_PAGE: u32 = 200;

/// The rail. Cheap to clone.
#[derive(Clone)]
pub struct Simulator {
    id: RailId,
    link: Link,
    /// What notifications are signed with, if we know it.
    secret: Option<Arc<[u8]>>,
}

/// Why the simulator cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its book cannot be opened.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Its address cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Its name is no word.
    #[error("the name of the rail {0}")]
    Name(#[from] InvalidWord),
}

impl Simulator {
    /// The provider in our process, over the book in that file; several processes of one machine may share it. It goes
    /// by that clock. Without a secret, notifications are signed with the one that the book was made with.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_local(
        file: &Path,
        ids: Arc<dyn Ids>,
        clock: Arc<dyn Clock>,
        secret: Option<Vec<u8>>,
    ) -> Result<Self, OpenError> {
        let provider = Provider::open(file, ids, clock, secret).await?;
        let secret = Some(provider.secret().into());
        Ok(Self { id: NAME.parse()?, link: Link::Local(provider), secret })
    }

    /// A provider that is a process of its own, at `http://HOST:PORT`. It need not be there yet. Without its secret no
    /// notification is believed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn connect(url: &str, secret: Option<Vec<u8>>) -> Result<Self, OpenError> {
        Ok(Self { id: NAME.parse()?, link: Link::Remote(Remote::to(url)?), secret: secret.map(Into::into) })
    }
}

#[async_trait]
impl PayoutRail for Simulator {
    fn profile(&self) -> RailProfile {
        profile::profile(self.id.clone(), self.link.known_settings())
    }

    fn check(&self, destination: &Destination) -> Result<(), Vec<Detail>> {
        destination::read(destination).map(drop)
    }

    fn prepare(&self, _key: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError> {
        let [order] = orders else { return Err(PrepareError("the simulator takes one item at a time".to_owned())) };
        wire::bytes(order)
    }

    fn class_of(&self, reason: &str) -> Option<Class> {
        Some(reasons::class_of(reason))
    }

    async fn preflight(&self, destination: &Destination) -> Preflight {
        let Ok(details) = destination::read(destination) else { return Preflight::CannotTell };
        // Who asks for nothing is ready: the provider knows no more of them.
        if details.is_empty() {
            return Preflight::Ready;
        }
        match self.link.must_act(&details).await {
            Ok(Some(reason)) => Preflight::MustAct { reason },
            Ok(None) => Preflight::Ready,
            Err(Down(_)) => Preflight::CannotTell,
        }
    }

    async fn submit(&self, instruction: &Instruction) -> Submit {
        submit::submitted(self.link.transfer(&instruction.id.to_string(), &instruction.body).await)
    }

    async fn query(&self, instruction: &Instruction) -> Lookup {
        submit::found(self.link.find(&instruction.id.to_string()).await)
    }

    async fn recall(&self, instruction: &Instruction, items: &[ItemId]) -> Recall {
        if !items.iter().any(|item| instruction.item(*item).is_some()) {
            return Recall::Refused { reason: "not_found".to_owned() };
        }
        submit::recalled(self.link.recall(&instruction.id.to_string()).await)
    }

    async fn list(&self, since: Timestamp, cursor: Option<String>) -> Result<Listed, RailDown> {
        let after = match cursor {
            Some(cursor) => Some(read_cursor(&cursor).ok_or_else(|| RailDown("the cursor is none".to_owned()))?),
            None => None,
        };
        let said = self.link.said_since(since, after, SWEEP_PAGE).await?;
        let is_full = u32::try_from(said.len()).unwrap_or(u32::MAX) >= SWEEP_PAGE;
        let next = said.last().filter(|_| is_full).map(cursor_of);
        Ok(Listed { events: said.iter().map(|said| ingest::event(said, None)).collect(), next })
    }

    async fn book(&self, after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown> {
        let entries = self.link.oldest_first(&after.unwrap_or_default(), limit).await?;
        Ok(Some(entries.into_iter().map(submit::book_entry).collect()))
    }

    fn ingest(&self, message: &Inbound) -> Result<Vec<RailEvent>, IngestError> {
        ingest::ingest(message, self.secret.as_deref())
    }
}

#[async_trait]
impl SimulatorBook for Simulator {
    async fn transfers(&self, page: Page<String>) -> Result<Paged<Transfer>, RailDown> {
        let entries = self.link.newest_first(page.after.as_deref(), page.limit + 1).await?;
        Ok(Paged::cut(entries, page.limit).map(submit::transfer))
    }
}

#[async_trait]
impl SimulatorFaults for Simulator {
    async fn set_fault(&self, fault: NewFault) -> Result<Fault, RailDown> {
        Ok(self.link.set_fault(fault).await?)
    }
    async fn faults(&self) -> Result<Vec<Fault>, RailDown> {
        Ok(self.link.faults().await?)
    }
    async fn clear_faults(&self, id: Option<String>) -> Result<u64, RailDown> {
        Ok(self.link.clear_faults(id).await?)
    }
    async fn settings(&self) -> Result<SimulatorSettings, RailDown> {
        Ok(self.link.settings().await?)
    }
    async fn change_settings(&self, settings: SimulatorSettings) -> Result<(), RailDown> {
        Ok(self.link.change_settings(settings).await?)
    }
}

#[async_trait]
impl SimulatorNotifications for Simulator {
    async fn due_notifications(&self, limit: u32) -> Result<Vec<Notification>, RailDown> {
        Ok(self.link.due(limit).await?)
    }
    async fn mark_delivered(&self, id: &str) -> Result<(), RailDown> {
        Ok(self.link.mark_delivered(id).await?)
    }
    async fn mark_failed(&self, id: &str) -> Result<(), RailDown> {
        Ok(self.link.mark_failed(id).await?)
    }
}

impl From<Down> for RailDown {
    fn from(Down(cause): Down) -> Self {
        Self(cause)
    }
}
