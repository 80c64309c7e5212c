//! What the world is told: one event for each move of state, stored in the same commit.

use crate::{
    batch::{Batch, BatchStatus, Origin},
    ids::{BatchId, EventId, ItemId, ProjectId, RecipientId, Requester},
    item::{Item, ItemStatus},
    recipient::Recipient,
    revenue_model::ModelVersion,
    reversal::Reversal,
    timestamp::Timestamp,
};
use serde_json::{Value, json};
use std::fmt;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Ours; a consumer that sees it twice knows it by this.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// The batch it is about, if any.
    pub batch: Option<BatchId>,
    /// The item it is about, if any.
    pub item: Option<ItemId>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The facts, as they are published.
    pub data: Value,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A batch reached a status.
    Batch(BatchStatus),
    /// An item reached a status.
    Item(ItemStatus),
    /// A version of a model was stored.
    RevenueModelStored,
    /// A recipient was registered or changed.
    RecipientUpdated,
    /// A reversal was booked; what of it was in flight waits.
    ReversalBooked,
    /// All of a reversal is booked.
    ReversalCompleted,
    /// Somebody said yes to a batch.
    ApprovalGiven,
    /// There is another policy for approvals and the calendar.
    PolicyChanged,
    /// Something needs a person: what a rail says cannot be believed, or money went where it should not.
    Alarm,
}

/// Why a person is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alarm {
    /// A rail reports on a payment that we never ordered.
    UnknownPayment,
    /// A rail names another amount or currency than we ordered: nothing of it is believed.
    AmountMismatch,
    /// A rail contradicts what it said before.
    Contradiction,
    /// What had been given up was executed after all, when it had been sent anew or cancelled: it is a debt now.
    PaidTwice,
    /// A part of a payment came back; it is carried for the recipient.
    ReturnedInPart,
    /// A rail refuses everything because of us: it is paused.
    RailPaused,
    /// A rail has not taken a payment for a day; told anew each day.
    NotTaken,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Self; 7] = [
        Self::UnknownPayment,
        Self::AmountMismatch,
        Self::Contradiction,
        Self::PaidTwice,
        Self::ReturnedInPart,
        Self::RailPaused,
        Self::NotTaken,
    ];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPayment => "unknown_payment",
            Self::AmountMismatch => "amount_mismatch",
            Self::Contradiction => "contradiction",
            Self::PaidTwice => "paid_twice",
            Self::ReturnedInPart => "returned_in_part",
            Self::RailPaused => "rail_paused",
            Self::NotTaken => "not_taken",
        }
    }
}

impl EventKind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        let batch = BatchStatus::ALL.into_iter().map(Self::Batch);
        let item = ItemStatus::ALL.into_iter().map(Self::Item);
        batch.chain(item).chain([
            Self::RevenueModelStored,
            Self::RecipientUpdated,
            Self::ReversalBooked,
            Self::ReversalCompleted,
            Self::ApprovalGiven,
            Self::PolicyChanged,
            Self::Alarm,
        ])
    }
}

/// The type as it is published: `payout.batch.scheduled`.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(status) => write!(f, "payout.batch.{}", status.as_str()),
            Self::Item(status) => write!(f, "payout.item.{}", status.as_str()),
            Self::RevenueModelStored => f.write_str("revenue_model.stored"),
            Self::RecipientUpdated => f.write_str("recipient.updated"),
            Self::ReversalBooked => f.write_str("reversal.booked"),
            Self::ReversalCompleted => f.write_str("reversal.completed"),
            Self::ApprovalGiven => f.write_str("payout.approval.given"),
            Self::PolicyChanged => f.write_str("payout.policy.changed"),
            Self::Alarm => f.write_str("payout.alarm"),
        }
    }
}

impl Event {
    /// A batch reached `status`.
    pub fn batch(id: EventId, batch: &Batch, status: BatchStatus, at: Timestamp) -> Self {
        let mut data = json!({
            "batchId": batch.id,
            "status": status.as_str(),
            "currency": batch.currency,
            "itemsCount": batch.items_count,
            "totalNet": batch.total_net_minor,
        });
        match &batch.origin {
            Origin::Release(release) => {
                data["escrowId"] = release.escrow.as_str().into();
                data["projectId"] = release.project.as_str().into();
            }
            Origin::Carry(recipient) => data["recipientId"] = recipient.as_str().into(),
        }
        Self { id, kind: EventKind::Batch(status), batch: Some(batch.id), item: None, occurred_at: at, data }
    }

    /// An item reached the status it is in.
    pub fn item(id: EventId, item: &Item, at: Timestamp) -> Self {
        let mut data = json!({
            "itemId": item.id,
            "batchId": item.batch,
            "recipientId": item.recipient,
            "status": item.status().as_str(),
            "payableAmount": item.payable_minor,
        });
        let optional = [
            ("holdReason", item.state().hold_reason().map(|reason| reason.as_str())),
            ("failureReason", item.state().failure_reason()),
            ("providerPayoutId", item.state().reference()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                data[name] = value.into();
            }
        }
        Self {
            id,
            kind: EventKind::Item(item.status()),
            batch: Some(item.batch),
            item: Some(item.id),
            occurred_at: at,
            data,
        }
    }

    /// A version of a model was stored.
    pub fn model_stored(id: EventId, version: &ModelVersion) -> Self {
        let project: &ProjectId = &version.project;
        let data = json!({
            "projectId": project,
            "version": version.version,
            "status": version.status.as_str(),
            "hash": version.hash,
        });
        Self { id, kind: EventKind::RevenueModelStored, batch: None, item: None, occurred_at: version.created_at, data }
    }

    /// A reversal was booked, or the last of it was.
    pub fn reversal(id: EventId, kind: EventKind, reversal: &Reversal, at: Timestamp) -> Self {
        let data = json!({
            "reversalId": reversal.id,
            "batchId": reversal.batch,
            "amount": reversal.amount_minor,
            "currency": reversal.currency,
        });
        Self { id, kind, batch: Some(reversal.batch), item: None, occurred_at: at, data }
    }

    /// Something needs a person. `about` says what, in facts that are nobody's secret.
    pub fn alarm(
        id: EventId,
        alarm: Alarm,
        (batch, item): (Option<BatchId>, Option<ItemId>),
        about: Value,
        at: Timestamp,
    ) -> Self {
        let mut data = json!({ "code": alarm.as_str(), "about": about });
        if let Some(batch) = batch {
            data["batchId"] = batch.to_string().into();
        }
        if let Some(item) = item {
            data["itemId"] = item.to_string().into();
        }
        Self { id, kind: EventKind::Alarm, batch, item, occurred_at: at, data }
    }

    /// Somebody said yes to a batch.
    pub fn approval_given(id: EventId, batch: &Batch, approver: &Requester, at: Timestamp) -> Self {
        let data = json!({
            "batchId": batch.id,
            "approver": approver,
            "approvalsRequired": batch.approvals.required,
            "approvalsGiven": batch.approvals.given,
        });
        Self { id, kind: EventKind::ApprovalGiven, batch: Some(batch.id), item: None, occurred_at: at, data }
    }

    /// There is another policy.
    pub fn policy_changed(id: EventId, version: u32, at: Timestamp) -> Self {
        let data = json!({ "version": version });
        Self { id, kind: EventKind::PolicyChanged, batch: None, item: None, occurred_at: at, data }
    }

    /// A recipient was registered or changed. Where they are paid to is nobody else's business.
    pub fn recipient_updated(id: EventId, recipient: &Recipient) -> Self {
        let who: &RecipientId = &recipient.id;
        let data = json!({
            "recipientId": who,
            "status": recipient.status.as_str(),
            "rail": recipient.destination.rail,
        });
        Self { id, kind: EventKind::RecipientUpdated, batch: None, item: None, occurred_at: recipient.updated_at, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<String> = EventKind::all().map(|kind| kind.to_string()).collect();
        assert_eq!(names.len(), EventKind::all().count());
        assert!(names.contains("payout.batch.scheduled") && names.contains("payout.item.pending_kyc"));
    }
}
