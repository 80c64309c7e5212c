//! Keys of requests that may be sent again. Answers ride in the change.

use super::StoreError;
use crate::idempotency::{Claim, IdempotencyKey, StoredAnswer};
use async_trait::async_trait;
use domain::batch::Fingerprint;
use std::time::Duration;

/// Says who works on a request, and what was answered to it.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait IdempotencyKeys: Send + Sync {
    /// Claims the key of a request for `lease` by the database's clock, unless it is claimed or was answered. Of many
    /// claimers one gets it. A claim that ran out or was given up binds nobody: whoever claims the key next may ask
    /// for something else.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, claim: &Claim, lease: Duration) -> Result<Claiming, StoreError>;

    /// Gives the claim up: the key is free at once. Does nothing if the claim was lost, or its answer is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn give_up(&self, claim: &Claim) -> Result<(), StoreError>;

    /// What the request said that was answered under the key.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn answered_for(&self, operation: &str, key: &IdempotencyKey) -> Result<Option<Fingerprint>, StoreError>;

    /// Forgets at most `limit` keys that were first used longer ago than `age`, and says how many those were.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget(&self, age: Duration, limit: u32) -> Result<u64, StoreError>;
}

/// What became of claiming a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claiming {
    /// It is ours.
    Ours,
    /// Somebody is working on the same request.
    InProgress,
    /// The key is another request's.
    Another,
    /// The same request was answered before.
    Answered(StoredAnswer),
}
