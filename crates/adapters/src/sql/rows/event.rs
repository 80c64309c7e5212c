//! The table `outbox`.

use super::Place;
use app::ports::{StoreError, queries::PublishedEvent};
use domain::{
    event::{Event, EventKind},
    ids::{BatchId, EventId, ItemId},
    timestamp::Timestamp,
};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The type as it is published.
    #[sea_orm(column_name = "type")]
    pub kind: String,
    pub batch_id: Option<Uuid>,
    pub item_id: Option<Uuid>,
    pub data: String,
    pub occurred_at: i64,
    /// Until when somebody is publishing it.
    pub leased_until: Option<i64>,
    pub published_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new event.
    pub fn write(event: &Event) -> Self {
        let Event { id, kind, batch, item, occurred_at, data } = event;
        Self {
            id: id.uuid(),
            kind: kind.to_string(),
            batch_id: batch.map(BatchId::uuid),
            item_id: item.map(ItemId::uuid),
            data: data.to_string(),
            occurred_at: occurred_at.unix_micros(),
            leased_until: None,
            published_at: None,
        }
    }

    /// The event of a row.
    pub fn read(self) -> Result<Event, StoreError> {
        let Self { id, kind, batch_id, item_id, data, occurred_at, leased_until: _, published_at: _ } = self;
        let id = EventId::new(id);
        let row = Place { table: "outbox", id: &id };
        let found = EventKind::all().find(|known| known.to_string() == kind);
        Ok(Event {
            id,
            kind: row.column("type", found.ok_or_else(|| format!("there is no `{kind}`")))?,
            batch: batch_id.map(BatchId::new),
            item: item_id.map(ItemId::new),
            occurred_at: Timestamp::from_unix_micros(occurred_at),
            data: row.column("data", serde_json::from_str(&data))?,
        })
    }

    /// The event of a row that was published.
    pub fn read_published(self) -> Result<PublishedEvent, StoreError> {
        let id = EventId::new(self.id);
        let row = Place { table: "outbox", id: &id };
        let published_at = Timestamp::from_unix_micros(row.needed("published_at", self.published_at)?);
        Ok(PublishedEvent { event: self.read()?, published_at })
    }
}
