//! The table `escheats`.

use app::change::Escheat;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "escheats")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_id: Uuid,
    pub batch_id: Uuid,
    pub platform_minor: i64,
    pub released_minor: i64,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of what nobody claimed.
    pub fn write(escheat: &Escheat) -> Self {
        let Escheat { item, batch, platform_minor, released_minor, at } = escheat;
        Self {
            item_id: item.uuid(),
            batch_id: batch.uuid(),
            platform_minor: *platform_minor,
            released_minor: *released_minor,
            created_at: at.unix_micros(),
        }
    }
}
