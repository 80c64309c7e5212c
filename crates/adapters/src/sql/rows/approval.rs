//! The table `approvals`.

use super::{Place, digest_of, json, storable};
use app::ports::StoreError;
use domain::{approval::Approval, ids::BatchId, timestamp::Timestamp};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "approvals")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub batch_id: Uuid,
    /// Who scheduled the batch: the database holds it to be so.
    pub maker: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub approver: String,
    /// Of each item that was approved, the hash of it.
    pub items: String,
    /// One hash of all of them.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    pub note: Option<String>,
    #[sea_orm(primary_key, auto_increment = false)]
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new approval.
    pub fn write(approval: &Approval) -> Self {
        Self {
            batch_id: approval.batch().uuid(),
            maker: approval.maker().to_string(),
            approver: approval.approver().to_string(),
            items: json(approval.items()),
            hash: digest_of(&approval.hash()),
            note: approval.note().map(storable),
            created_at: approval.at().unix_micros(),
        }
    }

    /// The approval of a row.
    pub fn read(self) -> Result<Approval, StoreError> {
        let Self { batch_id, maker, approver, items, hash, note, created_at } = self;
        let batch = BatchId::new(batch_id);
        let name = format!("of {batch} by {approver}");
        let row = Place { table: "approvals", id: &name };
        let approval = Approval::try_new(
            batch,
            row.column("maker", maker.parse())?,
            row.column("approver", approver.parse())?,
            row.column("items", serde_json::from_str(&items))?,
            note,
            Timestamp::from_unix_micros(created_at),
        );
        let approval = row.column("approver", approval)?;
        if digest_of(&approval.hash()) != hash {
            return row.column("hash", Err("is not that of its items"));
        }
        Ok(approval)
    }
}
