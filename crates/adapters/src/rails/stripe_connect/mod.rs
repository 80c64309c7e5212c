//! Stripe Connect: transfers from the platform's balance to connected accounts.
//!
//! A transfer has no status: once Stripe says that it made one, the money is in the account's balance there. It can
//! come back by a reversal. What the account does with its balance (payouts to its bank) is not ours to follow.
//!
//! * [`profile`]: what the rail is like, in numbers
//! * [`destination`]: what Stripe needs to know of a recipient
//! * [`amounts`]: what a number means in which currency
//! * [`prepare`]: the bytes of an instruction
//! * [`wire`]: what Stripe answers
//! * [`client`]: calls, bounded in time and size
//! * [`submit`], [`query`], [`preflight`]: the calls of the port
//! * [`reasons`]: what a refusal means
//! * [`signature`], [`ingest`]: what Stripe tells by itself

mod amounts;
mod client;
mod destination;
mod ingest;
mod preflight;
mod prepare;
mod profile;
mod query;
mod reasons;
mod secret;
mod signature;
mod submit;
mod wire;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

use app::{
    failure::Detail,
    ports::{
        PayoutRail,
        rail::{
            BookEntry, Class, Inbound, IngestError, Listed, Lookup, Order, Preflight, PrepareError, RailDown,
            RailEvent, RailProfile, Recall, Submit,
        },
    },
};
use async_trait::async_trait;
use client::{Client, ClientError};
use domain::{
    ids::{InstructionId, ItemId},
    instruction::Instruction,
    recipient::{Destination, InvalidWord, RailId},
    timestamp::Timestamp,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

pub use profile::{API_VERSION, Mode, NAME};
pub use secret::Secret;

/// Where Stripe's API is.
pub const API_BASE: &str = "https://api.stripe.com";
/// Why a transfer is never given up: it is made at once or not at all, and a reversal is another thing.
const NEVER_RECALLED: &str = "transfers_are_not_recalled";

/// What is needed to use Stripe.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The key of the platform: `sk_test_..`, `sk_live_..`, or a restricted one, `rk_..`, that may write transfers and
    /// read accounts.
    pub secret_key: Secret,
    /// Whether money is to move in earnest. A key of the other mode is refused.
    pub mode: Mode,
    /// The secrets of the webhook endpoints, `whsec_..`, each that may sign now; none if no messages are taken.
    pub webhook_secrets: Vec<Secret>,
    /// Where the API is, if not at [`API_BASE`].
    pub api_base: Option<String>,
}

/// Why Stripe cannot be used like this.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not a secret key.
    #[error("the Stripe key must start with `sk_test_`, `sk_live_`, `rk_test_` or `rk_live_`")]
    NoKey,
    /// A key that moves money in earnest where that is not wanted, or the other way round.
    #[error("the Stripe key is not one of {0} mode, which is what is configured")]
    OtherMode(&'static str),
    /// Not the secret of a webhook endpoint.
    #[error("each secret of a Stripe webhook endpoint must start with `whsec_`")]
    NoWebhookSecret,
    /// The API cannot be called.
    #[error("the Stripe API cannot be called: {0}")]
    Client(String),
    /// Its name is no word.
    #[error("the name of the rail {0}")]
    Name(#[from] InvalidWord),
}

impl From<ClientError> for SetupError {
    fn from(error: ClientError) -> Self {
        Self::Client(error.to_string())
    }
}

/// The rail. Cheap to clone; clones share connections and what is known of accounts.
#[derive(Clone)]
pub struct StripeConnect {
    id: RailId,
    mode: Mode,
    client: Client,
    webhook_secrets: Arc<[Secret]>,
    /// Accounts that could be paid, and when that was seen.
    ready: Arc<Mutex<HashMap<String, Instant>>>,
}

impl StripeConnect {
    /// The rail, ready to be used. Nothing is called yet.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn try_new(settings: Settings) -> Result<Self, SetupError> {
        let Settings { secret_key, mode, webhook_secrets, api_base } = settings;
        if mode_of(secret_key.expose()).ok_or(SetupError::NoKey)? != mode {
            return Err(SetupError::OtherMode(mode.as_str()));
        }
        if webhook_secrets.iter().any(|secret| !has_more_than(secret.expose(), "whsec_")) {
            return Err(SetupError::NoWebhookSecret);
        }
        Ok(Self {
            id: profile::id()?,
            mode,
            client: Client::try_new(api_base.as_deref().unwrap_or(API_BASE), &secret_key)?,
            webhook_secrets: webhook_secrets.into(),
            ready: Arc::default(),
        })
    }
}

/// The mode that a key is for, by its prefix.
fn mode_of(key: &str) -> Option<Mode> {
    let starts =
        |mode: &Mode| ["sk", "rk"].iter().any(|kind| has_more_than(key, &format!("{kind}_{}_", mode.as_str())));
    [Mode::Test, Mode::Live].into_iter().find(starts)
}

fn has_more_than(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}

#[async_trait]
impl PayoutRail for StripeConnect {
    fn profile(&self) -> RailProfile {
        profile::profile(&self.id, self.mode)
    }

    fn check(&self, destination: &Destination) -> Result<(), Vec<Detail>> {
        destination::account(destination).map(drop)
    }

    fn prepare(&self, key: InstructionId, orders: &[Order]) -> Result<Vec<u8>, PrepareError> {
        prepare::transfer(key, orders)
    }

    fn class_of(&self, reason: &str) -> Option<Class> {
        reasons::class_of(reason)
    }

    async fn preflight(&self, destination: &Destination) -> Preflight {
        match destination::account(destination) {
            Ok(account) => self.look_at(account).await,
            Err(_) => Preflight::CannotTell,
        }
    }

    async fn submit(&self, instruction: &Instruction) -> Submit {
        self.transfer(instruction).await
    }

    async fn query(&self, instruction: &Instruction) -> Lookup {
        self.find(instruction).await
    }

    async fn recall(&self, _instruction: &Instruction, _items: &[ItemId]) -> Recall {
        Recall::Refused { reason: NEVER_RECALLED.to_owned() }
    }

    async fn list(&self, since: Timestamp, cursor: Option<String>) -> Result<Listed, RailDown> {
        self.sweep(since, cursor).await
    }

    async fn book(&self, after: Option<String>, limit: u32) -> Result<Option<Vec<BookEntry>>, RailDown> {
        self.entries(after, limit).await.map(Some)
    }

    fn ingest(&self, message: &Inbound) -> Result<Vec<RailEvent>, IngestError> {
        self.heard(message)
    }
}
