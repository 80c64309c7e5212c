//! The table `recipients`.

use super::{Place, json};
use crate::sql::bulk::Revised;
use app::{change::Stored, ports::StoreError};
use domain::{
    recipient::{Destination, Recipient, RecipientStatus},
    timestamp::Timestamp,
};
use sea_orm::{Value, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "recipients")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub status: String,
    pub tax: Option<String>,
    pub payout_minimums: String,
    pub rail: String,
    pub details: String,
    pub destination_set_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new recipient.
    pub fn write(recipient: &Recipient) -> Self {
        let Recipient { id, status, tax, payout_minimums, destination, destination_set_by, created_at, updated_at } =
            recipient;
        let Destination { rail, details } = destination;
        Self {
            id: id.to_string(),
            status: status.as_str().to_owned(),
            tax: tax.as_ref().map(json),
            payout_minimums: json(payout_minimums),
            rail: rail.to_string(),
            details: serde_json::Value::Object(details.clone()).to_string(),
            destination_set_by: destination_set_by.to_string(),
            created_at: created_at.unix_micros(),
            updated_at: updated_at.unix_micros(),
            revision: 1,
        }
    }

    /// What a write of the recipient sets.
    pub const REVISED: Revised = Revised {
        table: "recipients",
        columns: &["status", "tax", "payout_minimums", "rail", "details", "destination_set_by", "updated_at"],
    };

    /// The values of [`Self::REVISED`].
    pub fn revise(recipient: &Stored<Recipient>) -> Vec<Value> {
        let Self {
            id,
            status,
            tax,
            payout_minimums,
            rail,
            details,
            destination_set_by,
            created_at: _,
            updated_at,
            revision: _,
        } = Self::write(&recipient.value);
        vec![
            id.into(),
            i64::from(recipient.revision).into(),
            status.into(),
            tax.into(),
            payout_minimums.into(),
            rail.into(),
            details.into(),
            destination_set_by.into(),
            updated_at.into(),
        ]
    }

    /// The recipient of a row.
    pub fn read(self) -> Result<Stored<Recipient>, StoreError> {
        let Self {
            id,
            status,
            tax,
            payout_minimums,
            rail,
            details,
            destination_set_by,
            created_at,
            updated_at,
            revision,
        } = self;
        let row = Place { table: "recipients", id: &id };
        let tax = tax.map(|tax| row.column("tax", serde_json::from_str(&tax))).transpose()?;
        let value = Recipient {
            id: row.column("id", id.parse())?,
            status: row.word("status", &status, RecipientStatus::ALL, RecipientStatus::as_str)?,
            tax,
            payout_minimums: row.column("payout_minimums", serde_json::from_str(&payout_minimums))?,
            destination: Destination {
                rail: row.column("rail", rail.parse())?,
                details: row.column("details", serde_json::from_str(&details))?,
            },
            destination_set_by: row.column("destination_set_by", destination_set_by.parse())?,
            created_at: Timestamp::from_unix_micros(created_at),
            updated_at: Timestamp::from_unix_micros(updated_at),
        };
        Ok(Stored { value, revision: row.count("revision", revision)? })
    }
}
