//! The table `batch_lines`.

use super::{Place, json};
use app::ports::StoreError;
use domain::{
    batch::BatchLine,
    ids::{BatchId, ItemId},
};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "batch_lines")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub batch_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub recipient_id: String,
    pub item_id: Option<Uuid>,
    pub gross_minor: i64,
    pub fee_minor: i64,
    pub fee_tax_minor: i64,
    pub tax_minor: i64,
    pub taxes: String,
    pub carried_in_minor: i64,
    pub recovered_minor: i64,
    pub carried_forward_minor: i64,
    pub payable_minor: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new line.
    pub fn write(line: &BatchLine) -> Self {
        let BatchLine {
            batch,
            seq,
            recipient,
            item,
            gross_minor,
            fee_minor,
            fee_tax_minor,
            taxes,
            carried_in_minor,
            recovered_minor,
            carried_forward_minor,
            payable_minor,
        } = line;
        Self {
            batch_id: batch.uuid(),
            seq: i64::from(*seq),
            recipient_id: recipient.to_string(),
            item_id: item.map(ItemId::uuid),
            gross_minor: *gross_minor,
            fee_minor: *fee_minor,
            fee_tax_minor: *fee_tax_minor,
            tax_minor: line.tax_minor(),
            taxes: json(taxes),
            carried_in_minor: *carried_in_minor,
            recovered_minor: *recovered_minor,
            carried_forward_minor: *carried_forward_minor,
            payable_minor: *payable_minor,
        }
    }

    /// The line of a row.
    pub fn read(self) -> Result<BatchLine, StoreError> {
        let Self {
            batch_id,
            seq,
            recipient_id,
            item_id,
            gross_minor,
            fee_minor,
            fee_tax_minor,
            tax_minor: _,
            taxes,
            carried_in_minor,
            recovered_minor,
            carried_forward_minor,
            payable_minor,
        } = self;
        let batch = BatchId::new(batch_id);
        let name = format!("{batch} {seq}");
        let row = Place { table: "batch_lines", id: &name };
        Ok(BatchLine {
            batch,
            seq: row.count("seq", seq)?,
            recipient: row.column("recipient_id", recipient_id.parse())?,
            item: item_id.map(ItemId::new),
            gross_minor,
            fee_minor,
            fee_tax_minor,
            taxes: row.column("taxes", serde_json::from_str(&taxes))?,
            carried_in_minor,
            recovered_minor,
            carried_forward_minor,
            payable_minor,
        })
    }
}
