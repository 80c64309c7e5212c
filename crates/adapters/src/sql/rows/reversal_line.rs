//! The table `reversal_lines`.

use super::{Place, json};
use app::ports::StoreError;
use domain::{
    ids::{BatchId, ItemId},
    reversal::{ReversalLine, Source},
};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "reversal_lines")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub reversal_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub batch_id: Uuid,
    pub recipient_id: String,
    pub item_id: Option<Uuid>,
    pub gross_minor: i64,
    pub fee_minor: i64,
    pub fee_tax_minor: i64,
    pub tax_minor: i64,
    pub taxes: String,
    pub net_minor: i64,
    pub fee_kept_minor: i64,
    pub fee_tax_kept_minor: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new line. Where its money comes from has a table of its own.
    pub fn write(line: &ReversalLine) -> Self {
        let ReversalLine {
            reversal,
            batch,
            seq,
            recipient,
            item,
            gross_minor,
            fee_minor,
            fee_tax_minor,
            taxes,
            net_minor,
            fee_kept_minor,
            fee_tax_kept_minor,
            source: _,
        } = line;
        Self {
            reversal_id: reversal.to_string(),
            seq: i64::from(*seq),
            batch_id: batch.uuid(),
            recipient_id: recipient.to_string(),
            item_id: item.map(ItemId::uuid),
            gross_minor: *gross_minor,
            fee_minor: *fee_minor,
            fee_tax_minor: *fee_tax_minor,
            tax_minor: taxes.iter().map(|tax| tax.amount_minor).sum(),
            taxes: json(taxes),
            net_minor: *net_minor,
            fee_kept_minor: *fee_kept_minor,
            fee_tax_kept_minor: *fee_tax_kept_minor,
        }
    }

    /// The line of a row, with where its money came from.
    pub fn read(self, source: Option<Source>) -> Result<ReversalLine, StoreError> {
        let Self {
            reversal_id,
            seq,
            batch_id,
            recipient_id,
            item_id,
            gross_minor,
            fee_minor,
            fee_tax_minor,
            tax_minor: _,
            taxes,
            net_minor,
            fee_kept_minor,
            fee_tax_kept_minor,
        } = self;
        let name = format!("{reversal_id} {seq}");
        let row = Place { table: "reversal_lines", id: &name };
        Ok(ReversalLine {
            reversal: row.column("reversal_id", reversal_id.parse())?,
            batch: BatchId::new(batch_id),
            seq: row.count("seq", seq)?,
            recipient: row.column("recipient_id", recipient_id.parse())?,
            item: item_id.map(ItemId::new),
            gross_minor,
            fee_minor,
            fee_tax_minor,
            taxes: row.column("taxes", serde_json::from_str(&taxes))?,
            net_minor,
            fee_kept_minor,
            fee_tax_kept_minor,
            source,
        })
    }
}
