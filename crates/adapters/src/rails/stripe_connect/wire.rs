//! What Stripe answers, as far as it matters here. What is new in it is passed over.

use super::{amounts, prepare};
use app::ports::rail::{RailEvent, Seen};
use domain::{money::Money, timestamp::Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Why money came back that Stripe had moved.
const REVERSED: &str = "transfer_reversed";

/// Money that was moved to a connected account. It has no status: that it is there means that it was executed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Transfer {
    pub(super) id: String,
    amount: i64,
    #[serde(default)]
    amount_reversed: i64,
    currency: String,
    created: i64,
    pub(super) livemode: bool,
    #[serde(default)]
    destination: Option<Expandable>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    reversed: bool,
}

/// An object, or its name alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Expandable {
    Id(String),
    Object { id: String },
}

/// An amount that we have no money for.
#[derive(Debug, thiserror::Error)]
#[error("the transfer {id} is of {number} in `{currency}`, which is no amount of ours")]
pub(super) struct NoAmount {
    id: String,
    number: i64,
    currency: String,
}

impl Transfer {
    fn said(&self, name: &str) -> Option<&str> {
        self.metadata.as_ref()?.get(name).map(String::as_str)
    }
    /// The instruction that it was made for, if it is one of ours.
    pub(super) fn instruction(&self) -> Option<&str> {
        self.said(prepare::INSTRUCTION)
    }
    /// The part of the instruction that it pays, if it is one of ours.
    pub(super) fn wire_ref(&self) -> Option<&str> {
        self.instruction().and_then(|_| self.said(prepare::WIRE_REF))
    }
    /// Who was paid.
    pub(super) fn account(&self) -> Option<&str> {
        match self.destination.as_ref()? {
            Expandable::Id(id) | Expandable::Object { id } => Some(id),
        }
    }
    pub(super) fn created_at(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.created.saturating_mul(1_000_000))
    }
    fn money(&self, number: i64) -> Result<Money, NoAmount> {
        amounts::from_stripe(number, &self.currency).ok_or_else(|| NoAmount {
            id: self.id.clone(),
            number,
            currency: self.currency.clone(),
        })
    }
    /// How much was moved.
    pub(super) fn moved(&self) -> Result<Money, NoAmount> {
        self.money(self.amount)
    }
    /// How much came back by now.
    pub(super) fn returned(&self) -> Result<Money, NoAmount> {
        self.money(if self.reversed { self.amount } else { self.amount_reversed })
    }
    /// The furthest thing that it says of itself.
    pub(super) fn seen(&self) -> Result<Seen, NoAmount> {
        let returned = self.returned()?;
        let reference = Some(self.id.clone());
        Ok(if returned.amount_minor > 0 {
            Seen::Returned { reason: REVERSED.to_owned(), returned, reference }
        } else {
            Seen::Settled { reference }
        })
    }
    /// What it says of a part, first that it was executed, then that it came back.
    pub(super) fn events(&self, wire_ref: &str, raw: &[u8]) -> Result<Vec<RailEvent>, NoAmount> {
        let moved = self.moved()?;
        let settled = Seen::Settled { reference: Some(self.id.clone()) };
        let mut all = vec![settled];
        all.extend(Some(self.seen()?).filter(|seen| matches!(seen, Seen::Returned { .. })));
        let event = |what| RailEvent {
            key: self.instruction().map(str::to_owned),
            occurred_at: Some(self.created_at()),
            ..RailEvent::answered(wire_ref, what, Some(moved), raw)
        };
        Ok(all.into_iter().map(event).collect())
    }
}

/// A page of a list, newest first.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) data: Vec<Transfer>,
    pub(super) has_more: bool,
}

/// A connected account.
#[derive(Debug, Deserialize)]
pub(super) struct Account {
    #[serde(default)]
    capabilities: Option<BTreeMap<String, serde_json::Value>>,
}

impl Account {
    /// Whether money can be transferred to it.
    pub(super) fn takes_transfers(&self) -> bool {
        let capability = self.capabilities.as_ref().and_then(|all| all.get("transfers"));
        capability.and_then(serde_json::Value::as_str) == Some("active")
    }
}

/// A refusal.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: Error,
}

/// Why.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Error {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) param: Option<String>,
}

/// Something that Stripe tells by itself.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) created: i64,
    pub(super) livemode: bool,
    /// The connected account that it happened in; absent if it happened in our own.
    #[serde(default)]
    pub(super) account: Option<String>,
    pub(super) data: EventData,
}

/// What it is about.
#[derive(Debug, Deserialize)]
pub(super) struct EventData {
    pub(super) object: serde_json::Value,
}
