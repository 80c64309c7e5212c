//! What is said between the simulator and whoever asks it: requests, transfers, sayings, answers. On the wire it is JSON.

use app::ports::rail::TransferStatus;
use domain::{currency::Currency, money::Money, timestamp::Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Most transfers, sayings or notifications in one answer.
pub(crate) const PAGE_MAX: u32 = 500;

/// An order to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TransferRequest {
    pub(crate) item_id: String,
    /// The name under which the payer wants to hear of it.
    pub(crate) reference: String,
    pub(crate) recipient_id: String,
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    /// The details of the destination, as the recipient gave them.
    pub(crate) destination: BTreeMap<String, String>,
}

/// A transfer, as it is by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransferView {
    pub(crate) id: String,
    pub(crate) idempotency_key: String,
    pub(crate) item_id: String,
    pub(crate) recipient_id: String,
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    pub(crate) status: StatusWord,
    pub(crate) executed: i64,
    pub(crate) returned: i64,
    pub(crate) created_at: Timestamp,
    /// What happened to it, oldest first. Lists leave it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Saying>,
}

impl TransferView {
    pub(crate) fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.currency)
    }
}

/// A status as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusWord(pub(crate) TransferStatus);

impl Serialize for StatusWord {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.as_str())
    }
}
impl<'de> Deserialize<'de> for StatusWord {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        word.parse().map(Self).map_err(|_| serde::de::Error::custom("no status of a transfer"))
    }
}

/// What can happen to a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Happening {
    /// Taken, to be executed later.
    #[serde(rename = "transfer.accepted")]
    Accepted,
    /// Executed.
    #[serde(rename = "transfer.settled")]
    Settled,
    /// Refused; nothing was executed.
    #[serde(rename = "transfer.declined")]
    Declined,
    /// Refused until the recipient acts; nothing was executed.
    #[serde(rename = "transfer.held")]
    Held,
    /// Came back, all of it or a part.
    #[serde(rename = "transfer.returned")]
    Returned,
    /// Given up because it was asked to; nothing was executed.
    #[serde(rename = "transfer.recalled")]
    Recalled,
}

impl Happening {
    pub(crate) const ALL: [Self; 6] =
        [Self::Accepted, Self::Settled, Self::Declined, Self::Held, Self::Returned, Self::Recalled];

    /// The word that is stored: what the transfer is after it.
    pub(crate) fn as_str(self) -> &'static str {
        self.status().as_str()
    }
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|happening| happening.as_str() == word)
    }
    /// What the transfer is after it.
    pub(crate) fn status(self) -> TransferStatus {
        match self {
            Self::Accepted => TransferStatus::Pending,
            Self::Settled => TransferStatus::Paid,
            Self::Declined => TransferStatus::Declined,
            Self::Held => TransferStatus::Held,
            Self::Returned => TransferStatus::Returned,
            Self::Recalled => TransferStatus::Recalled,
        }
    }
}

/// Something that happened to a transfer; also the body of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saying {
    /// Its own name: `evt_` and 26 digits.
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) what: Happening,
    pub(crate) created: Timestamp,
    pub(crate) transfer: String,
    pub(crate) idempotency_key: String,
    /// The name under which the payer wants to hear of it.
    pub(crate) reference: String,
    /// The amount that it is about.
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    /// What came back by now, all in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) returned: Option<i64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

/// What is answered to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// This transfer, made now or at an earlier call under the same key; as it was when it was first answered.
    Transfer(Box<TransferView>),
    /// The key came before with another body. Nothing was done now.
    KeyUsedWithAnotherBody,
    /// The order cannot be read. Nothing was done.
    Invalid(String),
    /// Too many calls. Nothing was done.
    RateLimited(Duration),
    /// HTTP 500; the caller cannot know whether anything was done.
    Broken,
    /// It cannot be reached. Nothing was done.
    Unreachable,
    /// No answer comes.
    Silence,
}

/// What is answered to a recall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recalled {
    /// It was given up, now or before.
    Yes,
    /// It is something else already.
    TooLate(TransferStatus),
    /// There is no such transfer.
    NotFound,
}
