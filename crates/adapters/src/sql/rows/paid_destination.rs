//! The table `paid_destinations`.

use super::Place;
use app::{change::PaidDestination, ports::StoreError};
use domain::timestamp::Timestamp;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "paid_destinations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub recipient_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub destination: Vec<u8>,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of where somebody was paid to.
    pub fn write(paid: &PaidDestination) -> Self {
        let PaidDestination { recipient, destination, at } = paid;
        Self { recipient_id: recipient.to_string(), destination: destination.to_vec(), created_at: at.unix_micros() }
    }

    /// Where somebody was paid to.
    pub fn read(self) -> Result<PaidDestination, StoreError> {
        let Self { recipient_id, destination, created_at } = self;
        let row = Place { table: "paid_destinations", id: &recipient_id };
        Ok(PaidDestination {
            recipient: row.column("recipient_id", recipient_id.parse())?,
            destination: row.digest("destination", destination)?,
            at: Timestamp::from_unix_micros(created_at),
        })
    }
}
