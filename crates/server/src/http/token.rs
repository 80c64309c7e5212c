//! Bearer tokens: JSON web tokens under one shared key, with one algorithm.
//!
//! The library checks the signature; the claims are checked here, strictly and against our own clock, for
//! the library reads lists, floats and absent claims more kindly than money deserves.

use super::roles::Role;
use domain::ids::Requester;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Seconds by which two clocks may differ.
const LEEWAY_SECONDS: u64 = 30;

/// The end of the year 9999: a later expiry is a mistake in units or no expiry at all.
const EXPIRY_MAX: u64 = 253_402_300_799;

/// HS256 is as strong as its key; RFC 7518 asks for as many bits as the hash has.
const SECRET_BYTES_MIN: usize = 32;

/// The signing secret is too short to be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret has {bytes} bytes; at least {SECRET_BYTES_MIN} are needed")]
pub struct WeakSecret {
    bytes: usize,
}

/// Why a token is not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not a token, not under our key, or without what we ask for.
    #[error("The bearer token is not valid.")]
    Invalid,
    /// It was good once.
    #[error("The bearer token has expired.")]
    Expired,
    /// It will be good later.
    #[error("The bearer token is not valid yet.")]
    NotYet,
}

/// Who calls, as the token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The subject: who is asking.
    pub subject: Requester,
    /// What they are, in one word that may not be one of ours.
    pub role: String,
}

impl Caller {
    /// The role, unless we have never heard of it. What it may do is in the table of [`roles`](super::roles).
    pub fn known_role(&self) -> Option<Role> {
        Role::named(&self.role)
    }
}

/// The key that signs and verifies, and the clock to verify by. Cheap to clone.
#[derive(Clone)]
pub struct TokenKey(Arc<Inner>);

struct Inner {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    /// Seconds since 1970.
    now: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Shows that there is a key, and nothing of it.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    role: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "not_null")]
    nbf: Option<u64>,
}

/// A claim may be left out, but `null` is not a time.
fn not_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(from).map(Some)
}

impl TokenKey {
    /// A key that goes by the clock of this machine.
    pub fn new(secret: &[u8]) -> Result<Self, WeakSecret> {
        Self::with_clock(secret, system_seconds)
    }

    /// A key that goes by another clock, in seconds since 1970.
    pub fn with_clock(secret: &[u8], now: impl Fn() -> u64 + Send + Sync + 'static) -> Result<Self, WeakSecret> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(WeakSecret { bytes: secret.len() });
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // A token for another audience is still refused by the library; times and presence are ours.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Ok(Self(Arc::new(Inner {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            now: Box::new(now),
        })))
    }

    /// A token for a subject in a role, good for so long from now.
    pub fn sign(&self, subject: &Requester, role: &str, lifetime: Duration) -> jsonwebtoken::errors::Result<String> {
        let exp = (self.0.now)().saturating_add(lifetime.as_secs()).min(EXPIRY_MAX);
        let claims = Claims { sub: subject.to_string(), role: role.to_owned(), exp, nbf: None };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.0.encoding)
    }

    /// Who calls, if the token is ours and in force.
    pub fn verify(&self, token: &str) -> Result<Caller, BadToken> {
        let token = jsonwebtoken::decode::<Claims>(token, &self.0.decoding, &self.0.validation)
            .map_err(|_| BadToken::Invalid)?;
        if names_a_key_or_a_rule(&token.header) {
            return Err(BadToken::Invalid);
        }
        let Claims { sub, role, exp, nbf } = token.claims;
        let subject = sub.parse().map_err(|_| BadToken::Invalid)?;
        if !is_word(&role) || exp > EXPIRY_MAX {
            return Err(BadToken::Invalid);
        }
        let now = (self.0.now)();
        if now >= exp.saturating_add(LEEWAY_SECONDS) {
            return Err(BadToken::Expired);
        }
        if nbf.is_some_and(|from| from > now.saturating_add(LEEWAY_SECONDS)) {
            return Err(BadToken::NotYet);
        }
        Ok(Caller { subject, role })
    }
}

/// A header that brings its own key, or a rule that has to be understood, was not written for us.
fn names_a_key_or_a_rule(header: &Header) -> bool {
    header.jku.is_some()
        || header.jwk.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some()
        || header.crit.is_some()
}

/// A role we have never heard of is still a role; a sentence is not.
fn is_word(role: &str) -> bool {
    (1..=64).contains(&role.len())
        && role.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[expect(clippy::disallowed_methods, reason = "tokens are issued by the wall clocks of other machines")]
fn system_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
