//! The table `reversal_sources`.

use app::change::ReversalSource;
use domain::reversal::Source;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "reversal_sources")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub reversal_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub payable_minor: i64,
    pub carried_minor: i64,
    pub debt_minor: i64,
    pub booked_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new source.
    pub fn write(source: &ReversalSource) -> Self {
        let ReversalSource { reversal, seq, source, booked_at } = source;
        let Source { payable_minor, carried_minor, debt_minor } = *source;
        let (reversal_id, booked_at) = (reversal.to_string(), booked_at.unix_micros());
        Self { reversal_id, seq: i64::from(*seq), payable_minor, carried_minor, debt_minor, booked_at }
    }

    /// The source of a row.
    pub fn read(&self) -> Source {
        let Self { reversal_id: _, seq: _, payable_minor, carried_minor, debt_minor, booked_at: _ } = *self;
        Source { payable_minor, carried_minor, debt_minor }
    }
}
