//! The table `reversals`.

use super::{Place, storable};
use app::ports::StoreError;
use domain::{batch::Fingerprint, ids::BatchId, reversal::Reversal, timestamp::Timestamp};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "reversals")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub batch_id: Uuid,
    pub amount_minor: i64,
    pub currency: String,
    pub strategy: String,
    pub platform_minor: i64,
    pub reason: Option<String>,
    pub requested_by: String,
    pub fingerprint: Vec<u8>,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new reversal.
    pub fn write(reversal: &Reversal) -> Self {
        let Reversal {
            id,
            batch,
            amount_minor,
            currency,
            strategy,
            platform_minor,
            reason,
            requested_by,
            fingerprint,
            created_at,
        } = reversal;
        Self {
            id: id.to_string(),
            batch_id: batch.uuid(),
            amount_minor: *amount_minor,
            currency: currency.code().to_owned(),
            strategy: strategy.to_string(),
            platform_minor: *platform_minor,
            reason: reason.as_deref().map(storable),
            requested_by: requested_by.to_string(),
            fingerprint: fingerprint.0.to_vec(),
            created_at: created_at.unix_micros(),
        }
    }

    /// The reversal of a row.
    pub fn read(self) -> Result<Reversal, StoreError> {
        let Self {
            id,
            batch_id,
            amount_minor,
            currency,
            strategy,
            platform_minor,
            reason,
            requested_by,
            fingerprint,
            created_at,
        } = self;
        let row = Place { table: "reversals", id: &id };
        Ok(Reversal {
            id: row.column("id", id.parse())?,
            batch: BatchId::new(batch_id),
            amount_minor,
            currency: row.column("currency", currency.parse())?,
            strategy: row.column("strategy", strategy.parse())?,
            platform_minor,
            reason,
            requested_by: row.column("requested_by", requested_by.parse())?,
            fingerprint: Fingerprint(row.digest("fingerprint", fingerprint)?),
            created_at: Timestamp::from_unix_micros(created_at),
        })
    }
}
