//! Who did what, when, and what was before and after: one entry for each action of a person and each move of an item,
//! stored in the same commit (product design, section 4).

use crate::{
    ids::{AuditId, Requester},
    timestamp::Timestamp,
};
use serde_json::Value;

/// Something that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Ours.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What, in a word: `item.settle`, `batch.approve`.
    pub action: String,
    /// To what: an id.
    pub subject: String,
    /// What was before, if there was anything.
    pub before: Option<Value>,
    /// What is after.
    pub after: Option<Value>,
}

impl AuditEntry {
    /// Something that somebody made, of which nothing was before.
    pub fn made(id: AuditId, actor: Actor, action: &str, subject: impl ToString, after: Value, at: Timestamp) -> Self {
        Self {
            id,
            at,
            actor,
            action: action.to_owned(),
            subject: subject.to_string(),
            before: None,
            after: Some(after),
        }
    }
}

/// Who acts: a person, another system, our worker, or what a rail said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The subject of a token, `sys_worker`, or `rail:` and the name of a rail.
    pub name: String,
    /// In which role, if a token named one.
    pub role: Option<String>,
    /// Why, in their words.
    pub note: Option<String>,
    /// The request they did it with.
    pub request: Option<String>,
}

impl Actor {
    /// Our own worker, where nobody asked.
    pub fn worker() -> Self {
        Self { name: Requester::worker().to_string(), role: None, note: None, request: None }
    }
    /// Somebody who asked, of whom no more is known.
    pub fn of(requester: &Requester) -> Self {
        Self { name: requester.to_string(), ..Self::worker() }
    }
    /// What a rail said is done by it.
    pub fn rail(rail: &crate::recipient::RailId) -> Self {
        Self { name: format!("rail:{rail}"), ..Self::worker() }
    }
    /// The same with a note.
    #[must_use]
    pub fn saying(self, note: Option<String>) -> Self {
        Self { note, ..self }
    }
}
