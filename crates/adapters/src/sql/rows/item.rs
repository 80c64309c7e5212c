//! The table `items`.

use super::{Place, storable};
use crate::sql::bulk::Revised;
use app::{change::Stored, ports::StoreError};
use domain::{
    ids::{BatchId, ItemId},
    item::{Item, ItemState, ItemStatus},
    recipient::HoldReason,
    timestamp::Timestamp,
};
use sea_orm::{Value, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "items")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub batch_id: Uuid,
    pub seq: i64,
    pub recipient_id: String,
    pub amount_minor: i64,
    pub fee_minor: i64,
    pub tax_minor: i64,
    pub net_minor: i64,
    pub payable_minor: i64,
    pub reversed_minor: i64,
    pub taken_minor: i64,
    pub attempts: i64,
    pub retries: i64,
    pub not_before: Option<i64>,
    pub status: String,
    pub hold_reason: Option<String>,
    pub reference: Option<String>,
    pub reason: Option<String>,
    pub processed_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new item.
    pub fn write(item: &Item) -> Self {
        // The state is private, so the compiler cannot ask for what is new here.
        let state = item.state();
        Self {
            id: item.id.uuid(),
            batch_id: item.batch.uuid(),
            seq: i64::from(item.seq),
            recipient_id: item.recipient.to_string(),
            amount_minor: item.amount_minor,
            fee_minor: item.fee_minor,
            tax_minor: item.tax_minor,
            net_minor: item.net_minor,
            payable_minor: item.payable_minor,
            reversed_minor: item.reversed_minor,
            taken_minor: item.taken_minor,
            attempts: i64::from(item.attempts),
            retries: i64::from(item.retries),
            not_before: item.not_before.map(Timestamp::unix_micros),
            status: state.status().as_str().to_owned(),
            hold_reason: state.hold_reason().map(|reason| reason.as_str().to_owned()),
            reference: state.reference().map(storable),
            reason: state.failure_reason().map(storable),
            processed_at: state.processed_at().map(Timestamp::unix_micros),
            created_at: item.created_at.unix_micros(),
            updated_at: item.updated_at.unix_micros(),
            revision: 1,
        }
    }

    /// What a write of the item sets.
    pub const REVISED: Revised = Revised {
        table: "items",
        columns: &[
            "status",
            "hold_reason",
            "reference",
            "reason",
            "processed_at",
            "attempts",
            "retries",
            "not_before",
            "reversed_minor",
            "taken_minor",
            "updated_at",
        ],
    };

    /// The values of [`Self::REVISED`].
    pub fn revise(item: &Stored<Item>) -> Vec<Value> {
        let Self {
            id,
            batch_id: _,
            seq: _,
            recipient_id: _,
            amount_minor: _,
            fee_minor: _,
            tax_minor: _,
            net_minor: _,
            payable_minor: _,
            reversed_minor,
            taken_minor,
            attempts,
            retries,
            not_before,
            status,
            hold_reason,
            reference,
            reason,
            processed_at,
            created_at: _,
            updated_at,
            revision: _,
        } = Self::write(&item.value);
        vec![
            id.into(),
            i64::from(item.revision).into(),
            status.into(),
            hold_reason.into(),
            reference.into(),
            reason.into(),
            processed_at.into(),
            attempts.into(),
            retries.into(),
            not_before.into(),
            reversed_minor.into(),
            taken_minor.into(),
            updated_at.into(),
        ]
    }

    /// The item of a row.
    pub fn read(self) -> Result<Stored<Item>, StoreError> {
        let Self {
            id,
            batch_id,
            seq,
            recipient_id,
            amount_minor,
            fee_minor,
            tax_minor,
            net_minor,
            payable_minor,
            reversed_minor,
            taken_minor,
            attempts,
            retries,
            not_before,
            status,
            hold_reason,
            reference,
            reason,
            processed_at,
            created_at,
            updated_at,
            revision,
        } = self;
        let id = ItemId::new(id);
        let row = Place { table: "items", id: &id };
        let recipient = row.column("recipient_id", recipient_id.parse())?;
        let created_at = Timestamp::from_unix_micros(created_at);
        let mut item = Item::carry(id, BatchId::new(batch_id), recipient, payable_minor, created_at);
        item.seq = row.count("seq", seq)?;
        item.amount_minor = amount_minor;
        item.fee_minor = fee_minor;
        item.tax_minor = tax_minor;
        item.net_minor = net_minor;
        item.reversed_minor = reversed_minor;
        item.taken_minor = taken_minor;
        item.attempts = row.count("attempts", attempts)?;
        item.retries = row.count("retries", retries)?;
        item.not_before = not_before.map(Timestamp::from_unix_micros);
        item.updated_at = Timestamp::from_unix_micros(updated_at);
        let status = row.word("status", &status, ItemStatus::ALL, ItemStatus::as_str)?;
        let state = state(row, status, hold_reason, reference, reason, processed_at)?;
        Ok(Stored { value: item.in_state(state), revision: row.count("revision", revision)? })
    }
}

fn state(
    row: Place<'_>,
    status: ItemStatus,
    hold_reason: Option<String>,
    reference: Option<String>,
    reason: Option<String>,
    processed_at: Option<i64>,
) -> Result<ItemState, StoreError> {
    let at = || row.needed("processed_at", processed_at).map(Timestamp::from_unix_micros);
    Ok(match status {
        ItemStatus::Scheduled => ItemState::Scheduled,
        ItemStatus::PendingKyc => {
            let reason = row.needed("hold_reason", hold_reason)?;
            ItemState::PendingKyc { reason: row.word("hold_reason", &reason, HoldReason::ALL, HoldReason::as_str)? }
        }
        ItemStatus::Processing => ItemState::Processing,
        ItemStatus::InDoubt => ItemState::InDoubt,
        ItemStatus::Paid => ItemState::Paid { reference, at: at()? },
        ItemStatus::Failed => ItemState::Failed { reason: row.needed("reason", reason)?, at: at()? },
        ItemStatus::Returned => ItemState::Returned { reference, reason: row.needed("reason", reason)?, at: at()? },
        ItemStatus::Cancelled => ItemState::Cancelled { at: at()? },
    })
}
