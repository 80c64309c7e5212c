//! What a request with a key meets before it is worked on.

use super::{Claim, KeyedRequest, StoredAnswer};
use crate::{
    failure::{Class, Failure},
    ports::{IdempotencyKeys, Ids, StoreError, idempotency::Claiming},
};
use std::time::Duration;

/// How long a claim lasts. Requests take much less; this is how long a key waits after a crash.
pub const CLAIM_LEASE: Duration = Duration::from_secs(60);

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is to be worked on, under this claim.
    Ours(Claim),
    /// It was answered before: this is the answer.
    Answered(StoredAnswer),
}

/// Why a request with a key is not worked on.
#[derive(Debug, thiserror::Error)]
pub enum ClaimKeyError {
    /// The key is another request's.
    #[error("the Idempotency-Key was used for a request that said something else; use a new key")]
    Reused,
    /// The same request is being worked on.
    #[error("the first request with this Idempotency-Key is not answered yet; send the same request again later")]
    InProgress,
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for ClaimKeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Reused => "idempotency_key_reused",
            Self::InProgress => "request_in_progress",
            Self::Store(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Reused => Class::Invalid,
            Self::InProgress => Class::InProgress,
            Self::Store(error) => error.class(),
        }
    }
}

/// Claims the key of a request, or finds the answer that it got before.
///
/// # Errors
/// See [`ClaimKeyError`].
pub async fn claim_key(
    keys: &dyn IdempotencyKeys,
    ids: &dyn Ids,
    request: KeyedRequest,
) -> Result<Claimed, ClaimKeyError> {
    let claim = Claim { request, token: ids.fresh() };
    match keys.claim(&claim, CLAIM_LEASE).await? {
        Claiming::Ours => Ok(Claimed::Ours(claim)),
        Claiming::Answered(answer) => Ok(Claimed::Answered(answer)),
        Claiming::InProgress => Err(ClaimKeyError::InProgress),
        Claiming::Another => Err(ClaimKeyError::Reused),
    }
}

/// Refuses a key under which something else was answered. For a request that is known by more than its key, and so
/// needs no claim: the same request again takes its usual way.
///
/// # Errors
/// [`ClaimKeyError::Reused`], or [`ClaimKeyError::Store`].
pub async fn refuse_another_request(keys: &dyn IdempotencyKeys, request: &KeyedRequest) -> Result<(), ClaimKeyError> {
    match keys.answered_for(&request.operation, &request.key).await? {
        Some(fingerprint) if fingerprint != request.fingerprint => Err(ClaimKeyError::Reused),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, down},
        idempotency::IdempotencyKey,
        ports::idempotency::MockIdempotencyKeys,
    };
    use domain::batch::Fingerprint;

    fn request() -> KeyedRequest {
        KeyedRequest {
            operation: "POST /things".to_owned(),
            key: IdempotencyKey::try_new("k").unwrap(),
            fingerprint: Fingerprint([1; 32]),
        }
    }
    fn answer() -> StoredAnswer {
        StoredAnswer { status: 201, headers: Vec::new(), body: "{}".to_owned() }
    }
    async fn claiming(found: Claiming) -> Result<Claimed, ClaimKeyError> {
        let mut keys = MockIdempotencyKeys::new();
        keys.expect_claim().once().returning(move |claim, lease| {
            assert_eq!((&claim.request, lease), (&request(), CLAIM_LEASE));
            Ok(found.clone())
        });
        claim_key(&keys, &Counting::default(), request()).await
    }

    #[tokio::test]
    async fn a_request_is_worked_on_replayed_or_refused() {
        let ours = claiming(Claiming::Ours).await.unwrap();
        assert!(matches!(ours, Claimed::Ours(claim) if claim.request == request()));
        assert_eq!(claiming(Claiming::Answered(answer())).await.unwrap(), Claimed::Answered(answer()));

        let error = claiming(Claiming::InProgress).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("request_in_progress", Class::InProgress));
        assert!(error.class().may_succeed_later());
        let error = claiming(Claiming::Another).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("idempotency_key_reused", Class::Invalid));
    }

    #[tokio::test]
    async fn each_claim_has_a_token_of_its_own() {
        let mut keys = MockIdempotencyKeys::new();
        keys.expect_claim().returning(|_, _| Ok(Claiming::Ours));
        let ids = Counting::default();
        let (one, two) = (claim_key(&keys, &ids, request()).await, claim_key(&keys, &ids, request()).await);
        assert_ne!(one.unwrap(), two.unwrap());
    }

    #[tokio::test]
    async fn without_a_claim_only_another_request_is_refused() {
        for (found, refused) in [(None, false), (Some([1; 32]), false), (Some([2; 32]), true)] {
            let mut keys = MockIdempotencyKeys::new();
            keys.expect_answered_for().returning(move |_, _| Ok(found.map(Fingerprint)));
            let outcome = refuse_another_request(&keys, &request()).await;
            assert_eq!(matches!(outcome, Err(ClaimKeyError::Reused)), refused, "{found:?}");
        }
    }

    #[tokio::test]
    async fn every_failure_of_the_store_is_unavailable() {
        let mut keys = MockIdempotencyKeys::new();
        keys.expect_claim().returning(|_, _| Err(down()));
        keys.expect_answered_for().returning(|_, _| Err(down()));
        let error = claim_key(&keys, &Counting::default(), request()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("unavailable", Class::Unavailable));
        assert_eq!(refuse_another_request(&keys, &request()).await.unwrap_err().class(), Class::Unavailable);
    }
}
