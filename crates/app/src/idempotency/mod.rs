//! Requests that are sent again: a caller names a request by a key, and it is done once under that key.
//!
//! The key is claimed first, for a short time. The commit of what the request does stores its answer with it, so
//! whoever sends the request again gets that answer. What commits nothing leaves nothing: its claim is given up, or
//! runs out after a crash, and the request is then done anew.
//!
//! * [`claim_key`]: what a request with a key meets before it is worked on
//! * [`forget_old_keys`]: keys are not kept for ever

pub mod claim_key;
pub mod forget_old_keys;

use domain::batch::Fingerprint;
use std::{fmt, sync::Arc};
use uuid::Uuid;

/// The name that a caller gave a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Most characters of a key.
    pub const LENGTH_MAX: usize = 255;

    /// A key of 1 to 255 printable ASCII characters.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn try_new(text: &str) -> Result<Self, BadKey> {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(BadKey::NotPrintable);
        }
        match text.len() {
            1..=Self::LENGTH_MAX => Ok(Self(text.to_owned())),
            _ => Err(BadKey::Length),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It has other characters.
    #[error("must consist of printable ASCII characters")]
    NotPrintable,
    /// It is empty or too long.
    #[error("must have 1 to {} characters", IdempotencyKey::LENGTH_MAX)]
    Length,
}

/// A request that came with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// What is asked for: each operation has keys of its own.
    pub operation: String,
    /// The key.
    pub key: IdempotencyKey,
    /// What the request says: the same key belongs to the same request.
    pub fingerprint: Fingerprint,
}

/// The right to work on a request, until it runs out or its answer is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which request.
    pub request: KeyedRequest,
    /// Nobody else has it: who claims the key later has another, and only the last one stores an answer.
    pub token: Uuid,
}

/// An answer as it left: whoever asks again gets the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The status.
    pub status: u16,
    /// The headers that belong to it, such as `Location`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// What a change says about the key of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remember {
    /// The answer, under a claim. Refused if the claim was lost.
    Claimed(Claim, StoredAnswer),
    /// The answer, without a claim. Refused if the key was used.
    Unclaimed(KeyedRequest, StoredAnswer),
}

/// Makes what is remembered of the outcome of a use case, which puts it into the change that makes the outcome true.
/// Where there are several changes, into the first that others can see. Cheap to clone.
pub struct Remembering<T>(Option<Arc<Remembers<T>>>);

type Remembers<T> = dyn Fn(&T) -> Remember + Send + Sync;

impl<T> Remembering<T> {
    /// For a request with a key.
    pub fn new(remember: impl Fn(&T) -> Remember + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(remember)))
    }

    /// For a request without a key.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// What is remembered of an outcome.
    pub fn of(&self, outcome: &T) -> Option<Remember> {
        self.0.as_ref().map(|remember| remember(outcome))
    }
}

impl<T> Clone for Remembering<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_1_to_255_printable_ascii_characters() {
        let longest = "k".repeat(255);
        for good in ["k", " ", "~", "a b", "\"", "018f-8a2e", &longest] {
            assert_eq!(IdempotencyKey::try_new(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", BadKey::Length),
            (&*(longest.clone() + "k"), BadKey::Length),
            ("a\tb", BadKey::NotPrintable),
            ("a\u{7f}", BadKey::NotPrintable),
            ("schlüssel", BadKey::NotPrintable),
            ("a\0", BadKey::NotPrintable),
        ] {
            assert_eq!(IdempotencyKey::try_new(bad), Err(why), "{bad:?}");
        }
    }
}
