//! Idempotency as Stripe has it: the first status and body are kept once a call began to be carried out, also of a 500,
//! and come again for the same parameters under the same key.

use std::collections::{BTreeMap, HashMap};

/// What a request is, to be told apart from another one under the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    pub path: String,
    pub params: BTreeMap<String, String>,
}

/// What is known under each key.
#[derive(Default)]
pub struct Keys(HashMap<String, Kept>);

struct Kept {
    of: Fingerprint,
    /// None while it is carried out.
    answer: Option<(u16, String)>,
}

/// What a key says of a request.
pub enum Found {
    /// It is the first, and is carried out now.
    First,
    /// It was answered so.
    Answered(u16, String),
    /// It is being carried out.
    InUse,
    /// It was another request.
    Other,
}

impl Keys {
    /// Claims the key, if it is free.
    pub fn claim(&mut self, key: &str, of: &Fingerprint) -> Found {
        match self.0.get(key) {
            Some(kept) if kept.of != *of => Found::Other,
            Some(Kept { answer: Some((status, body)), .. }) => Found::Answered(*status, body.clone()),
            Some(_) => Found::InUse,
            None => {
                self.0.insert(key.to_owned(), Kept { of: of.clone(), answer: None });
                Found::First
            }
        }
    }
    /// What was answered, whatever it was.
    pub fn keep(&mut self, key: &str, status: u16, body: &str) {
        if let Some(kept) = self.0.get_mut(key) {
            kept.answer = Some((status, body.to_owned()));
        }
    }
    /// Forgets everything that was answered.
    pub fn forget(&mut self) {
        self.0.retain(|_, kept| kept.answer.is_none());
    }
}
