//! What the world is told: one event for each move of state, stored in the same commit.

use crate::{
    batch::{Batch, BatchStatus, Origin},
    ids::{BatchId, EventId, ItemId, ProjectId, RecipientId},
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
