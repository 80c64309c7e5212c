//! The table `batch_inputs`.

use super::{Place, json};
use app::{change::BatchInputs, ports::StoreError};
use domain::ids::BatchId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "batch_inputs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub batch_id: Uuid,
    pub inputs: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new batch's inputs.
    pub fn write(BatchInputs { batch, inputs }: &BatchInputs) -> Self {
        Self { batch_id: batch.uuid(), inputs: json(inputs) }
    }

    /// The inputs of a row.
    pub fn read(self) -> Result<BatchInputs, StoreError> {
        let Self { batch_id, inputs } = self;
        let batch = BatchId::new(batch_id);
        let row = Place { table: "batch_inputs", id: &batch };
        Ok(BatchInputs { batch, inputs: row.column("inputs", serde_json::from_str(&inputs))? })
    }
}
