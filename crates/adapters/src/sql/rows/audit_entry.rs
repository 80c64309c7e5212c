//! The table `audit_log`.

use super::{Place, json, storable};
use app::ports::StoreError;
use domain::{
    audit::{Actor, AuditEntry},
    ids::AuditId,
    timestamp::Timestamp,
};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub at: i64,
    pub actor: String,
    pub role: Option<String>,
    pub action: String,
    pub subject: String,
    pub note: Option<String>,
    pub request_id: Option<String>,
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new entry.
    pub fn write(entry: &AuditEntry) -> Self {
        let AuditEntry { id, at, actor: Actor { name, role, note, request }, action, subject, before, after } = entry;
        Self {
            id: id.uuid(),
            at: at.unix_micros(),
            actor: storable(name),
            role: role.as_deref().map(storable),
            action: storable(action),
            subject: storable(subject),
            note: note.as_deref().map(storable),
            request_id: request.as_deref().map(storable),
            before: before.as_ref().map(json),
            after: after.as_ref().map(json),
        }
    }

    /// The entry of a row.
    pub fn read(self) -> Result<AuditEntry, StoreError> {
        let Self { id, at, actor, role, action, subject, note, request_id, before, after } = self;
        let id = AuditId::new(id);
        let row = Place { table: "audit_log", id: &id };
        let value =
            |column, text: Option<String>| text.map(|text| row.column(column, serde_json::from_str(&text))).transpose();
        Ok(AuditEntry {
            id,
            at: Timestamp::from_unix_micros(at),
            actor: Actor { name: actor, role, note, request: request_id },
            action,
            subject,
            before: value("before", before)?,
            after: value("after", after)?,
        })
    }
}
