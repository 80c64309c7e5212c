//! The simulator as a provider: what stands behind the rail, in our process or in one of its own.
//!
//! It behaves as a real one does: it survives a crash, makes one transfer for each idempotency key, refuses a key that
//! comes back with another body, repeats its first answer, executes some orders later, sends some money back, and tells
//! of it in signed notifications. And it misbehaves on demand.
//!
//! * [`api`]: what is said between it and whoever asks
//! * [`behaviour`]: pure: what each behaviour makes of a transfer
//! * [`book`]: the file in which all of it is kept
//! * [`desk`]: takes orders
//! * [`faults`]: how it is told to misbehave
//! * [`notifications`]: what it tells by itself
//! * [`http`]: all of it over HTTP
//! * [`clock`]: the time of a process of its own

pub(crate) mod api;
pub(crate) mod behaviour;
pub(crate) mod book;
mod clock;
mod desk;
mod entries;
mod faults;
pub(crate) mod http;
mod notifications;

use api::{Answered, PAGE_MAX, Recalled, Saying, TransferView};
use app::ports::{
    Clock, Ids,
    rail::{Fault, NewFault, SimulatorSettings, TransferStatus},
};
use behaviour::Wish;
use book::{Book, BookError, Kept};
use desk::{Desk, Staff};
use domain::timestamp::Timestamp;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

pub use http::{HttpAnswer, HttpRequest, SimulatorHttp};

/// The provider, over an open book. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    book: Book,
    desk: Desk,
    ids: Arc<dyn Ids>,
    clock: Arc<dyn Clock>,
    /// As they were when the book was last looked at.
    settings: Arc<RwLock<SimulatorSettings>>,
    secret: Arc<[u8]>,
}

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// A fault: the call never arrives.
    #[error("the simulator is told not to be reached")]
    Unreachable,
    /// A fault: nothing is told of this.
    #[error("the simulator cannot say now")]
    Silent,
    /// The book cannot be used.
    #[error(transparent)]
    Book(#[from] BookError),
}

impl Provider {
    pub(crate) async fn open(
        file: &Path,
        ids: Arc<dyn Ids>,
        clock: Arc<dyn Clock>,
        secret: Option<Vec<u8>>,
    ) -> Result<Self, BookError> {
        Self::over(Book::open(file).await?, ids, clock, secret).await
    }

    async fn over(
        book: Book,
        ids: Arc<dyn Ids>,
        clock: Arc<dyn Clock>,
        secret: Option<Vec<u8>>,
    ) -> Result<Self, BookError> {
        let own = book.setting("secret").await?.unwrap_or_default();
        let secret = secret.unwrap_or_else(|| own.into_bytes()).into();
        let settings = Arc::new(RwLock::new(book.settings().await?));
        let staff = Staff { book: book.clone(), ids: ids.clone(), clock: clock.clone(), settings: settings.clone() };
        Ok(Self { book, desk: Desk::open(staff), ids, clock, settings, secret })
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }

    async fn now(&self) -> Result<Timestamp, BookError> {
        Ok(self.clock.now().await?)
    }

    /// The instant at which a question is answered, unless a fault loses it.
    async fn asked(&self) -> Result<Timestamp, Trouble> {
        let mut live = faults::Live::read(self.book.reader()).await?;
        if live.loses_question() {
            let write = self.book.begin_write().await.map_err(BookError::from)?;
            let mut live = faults::Live::read(&write).await?;
            let is_lost = live.loses_question();
            live.keep(&write).await?;
            write.commit().await.map_err(BookError::from)?;
            if is_lost {
                return Err(Trouble::Unreachable);
            }
        }
        self.settings().await?;
        Ok(self.now().await?)
    }

    /// An order, under a key.
    pub(crate) async fn transfer(&self, key: &str, body: &[u8]) -> Result<Answered, String> {
        self.desk.hand_in(key, body).await
    }

    /// What came under a key; empty if nothing did.
    pub(crate) async fn find(&self, key: &str) -> Result<Vec<TransferView>, Trouble> {
        let now = self.asked().await?;
        let found = self.book.under_key(key, now).await?;
        if found.iter().any(|kept| kept.is_silent(now)) {
            return Err(Trouble::Silent);
        }
        Ok(found.into_iter().map(|kept| kept.view).collect())
    }

    /// Gives up what came under a key, if it is not too late.
    pub(crate) async fn recall(&self, key: &str) -> Result<Recalled, Trouble> {
        let now = self.asked().await?;
        let write = self.book.begin_write().await.map_err(BookError::from)?;
        let rows = book::statement("SELECT * FROM transfers WHERE idempotency_key = ? ORDER BY id", [key.into()]);
        let found: Vec<Kept> = book::views(&write, rows, now).await?;
        if found.iter().any(|kept| kept.is_silent(now)) {
            return Err(Trouble::Silent);
        }
        let is_open = |kept: &&Kept| matches!(kept.view.status.0, TransferStatus::Pending | TransferStatus::Recalled);
        if let Some(late) = found.iter().find(|kept| !is_open(kept)) {
            return Ok(Recalled::TooLate(late.view.status.0));
        }
        for kept in found.iter().filter(|kept| kept.view.status.0 == TransferStatus::Pending) {
            book::give_up(&write, self.ids.as_ref(), &kept.view, now).await?;
        }
        write.commit().await.map_err(BookError::from)?;
        Ok(if found.is_empty() { Recalled::NotFound } else { Recalled::Yes })
    }

    /// Its book, oldest first.
    pub(crate) async fn oldest_first(&self, after: &str, limit: u32) -> Result<Vec<TransferView>, Trouble> {
        let now = self.asked().await?;
        Ok(without_events(self.book.oldest_first(after, limit.min(PAGE_MAX), now).await?))
    }

    /// Its book, newest first. No fault hides it.
    pub(crate) async fn newest_first(&self, before: Option<&str>, limit: u32) -> Result<Vec<TransferView>, Trouble> {
        let now = self.now().await?;
        Ok(without_events(self.book.newest_first(before, limit.min(PAGE_MAX), now).await?))
    }

    /// What happened since then and after a saying, oldest first.
    pub(crate) async fn said_since(
        &self,
        since: Timestamp,
        after: Option<(Timestamp, String)>,
        limit: u32,
    ) -> Result<Vec<Saying>, Trouble> {
        let now = self.asked().await?;
        Ok(self.book.said_since(since, after, limit.min(PAGE_MAX), now).await?)
    }

    /// Why whoever has these details must act before they can be paid, if they must.
    pub(crate) async fn must_act(&self, details: &BTreeMap<String, String>) -> Result<Option<String>, Trouble> {
        self.asked().await?;
        Ok(Wish::read(details).ok().and_then(|wish| wish.must_act().map(str::to_owned)))
    }

    pub(crate) async fn set_fault(&self, fault: NewFault) -> Result<Fault, Trouble> {
        let now = self.now().await?;
        Ok(self.book.set_fault(self.ids.as_ref(), fault, now).await?)
    }

    pub(crate) async fn faults(&self) -> Result<Vec<Fault>, Trouble> {
        Ok(self.book.faults().await?)
    }

    pub(crate) async fn clear_faults(&self, id: Option<String>) -> Result<u64, Trouble> {
        Ok(self.book.clear_faults(id).await?)
    }

    pub(crate) async fn settings(&self) -> Result<SimulatorSettings, BookError> {
        let settings = self.book.settings().await?;
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(settings)
    }

    /// As they were when the book was last looked at.
    pub(crate) fn known_settings(&self) -> SimulatorSettings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn change_settings(&self, settings: SimulatorSettings) -> Result<(), Trouble> {
        self.book.change_settings(settings).await?;
        self.settings().await?;
        Ok(())
    }
}

fn without_events(found: Vec<Kept>) -> Vec<TransferView> {
    found.into_iter().map(|kept| TransferView { events: Vec::new(), ..kept.view }).collect()
}
