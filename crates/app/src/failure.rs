//! What every use-case error can say about itself: a stable code, a class, and its details.

use serde_json::Value;

/// What kind of "no" an error is. The class decides the HTTP status, whether a job is tried again,
/// and whether a caller may repeat the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The thing named in the request does not exist.
    NotFound,
    /// The request contradicts what is already there. Repeating it gives the same answer.
    Conflict,
    /// The request itself is wrong. Repeating it gives the same answer.
    Invalid,
    /// The caller may not do this.
    Refused,
    /// The same request is being worked on: its answer may be had later.
    InProgress,
    /// Nothing is wrong with the request: the same request may succeed later.
    Unavailable,
    /// Our own fault.
    Internal,
}

impl Class {
    /// Whether the very same request may succeed later.
    pub fn may_succeed_later(self) -> bool {
        match self {
            Self::InProgress | Self::Unavailable => true,
            Self::NotFound | Self::Conflict | Self::Invalid | Self::Refused | Self::Internal => false,
        }
    }
}

/// One fault among several of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// Stable `snake_case` word.
    pub code: &'static str,
    /// JSON pointer (RFC 6901) to the offending part of the request; empty for the whole document.
    pub field: String,
    /// What is wrong and what to do about it.
    pub message: String,
    /// Figures a program may want, for example `{"sumPpm": 990000, "missingPpm": 10000}`.
    pub meta: Option<Value>,
}

/// An error of a use case, as the edge needs to see it.
pub trait Failure: std::error::Error {
    /// Stable `snake_case` word: clients match on it.
    fn code(&self) -> &'static str;
    /// What kind of "no" it is.
    fn class(&self) -> Class;
    /// Every fault found, where there can be several.
    fn details(&self) -> Vec<Detail> {
        Vec::new()
    }
    /// What stands in the way, for a conflict.
    fn existing(&self) -> Option<Value> {
        None
    }
}
