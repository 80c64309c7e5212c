//! The table `instructions`; what an instruction pays, and what became of that, is in `instruction_items`.

use super::{Place, instruction_item};
use crate::sql::bulk::Revised;
use app::{change::Stored, ports::StoreError};
use domain::{
    ids::{BatchId, InstructionId},
    instruction::Instruction,
    timestamp::Timestamp,
};
use sea_orm::{Value, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "instructions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub batch_id: Uuid,
    pub rail: String,
    pub currency: String,
    pub amount_minor: i64,
    pub generation: i64,
    pub body: Vec<u8>,
    pub tries: i64,
    pub first_sent_at: i64,
    pub last_sent_at: i64,
    /// Whether something is still to be learned of one of its items.
    pub open: bool,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new instruction.
    pub fn write(instruction: &Instruction) -> Self {
        let Instruction { id, batch, rail, currency, items: _, generation, body, tries, first_sent_at, last_sent_at } =
            instruction;
        Self {
            id: id.uuid(),
            batch_id: batch.uuid(),
            rail: rail.to_string(),
            currency: currency.code().to_owned(),
            amount_minor: instruction.amount_minor(),
            generation: i64::from(*generation),
            body: body.clone(),
            tries: i64::from(*tries),
            first_sent_at: first_sent_at.unix_micros(),
            last_sent_at: last_sent_at.unix_micros(),
            open: instruction.is_open(),
            revision: 1,
        }
    }

    /// What a write of the instruction sets, beside its `instruction_items`.
    pub const REVISED: Revised =
        Revised { table: "instructions", columns: &["tries", "first_sent_at", "last_sent_at", "open"] };

    /// The values of [`Self::REVISED`].
    pub fn revise(instruction: &Stored<Instruction>) -> Vec<Value> {
        let Self {
            id,
            batch_id: _,
            rail: _,
            currency: _,
            amount_minor: _,
            generation: _,
            body: _,
            tries,
            first_sent_at,
            last_sent_at,
            open,
            revision: _,
        } = Self::write(&instruction.value);
        vec![
            id.into(),
            i64::from(instruction.revision).into(),
            tries.into(),
            first_sent_at.into(),
            last_sent_at.into(),
            open.into(),
        ]
    }

    /// The instruction of a row, paying `parts`.
    pub fn read(self, parts: Vec<instruction_item::Model>) -> Result<Stored<Instruction>, StoreError> {
        let Self {
            id,
            batch_id,
            rail,
            currency,
            amount_minor,
            generation,
            body,
            tries,
            first_sent_at,
            last_sent_at,
            open,
            revision,
        } = self;
        let id = InstructionId::new(id);
        let row = Place { table: "instructions", id: &id };
        let value = Instruction {
            id,
            batch: BatchId::new(batch_id),
            rail: row.column("rail", rail.parse())?,
            currency: row.column("currency", currency.parse())?,
            items: parts.into_iter().map(instruction_item::Model::read).collect::<Result<_, _>>()?,
            generation: row.count("generation", generation)?,
            body,
            tries: row.count("tries", tries)?,
            first_sent_at: Timestamp::from_unix_micros(first_sent_at),
            last_sent_at: Timestamp::from_unix_micros(last_sent_at),
        };
        if value.amount_minor() != amount_minor {
            return row.column("amount_minor", Err("differs from the sum of its items"));
        }
        if value.is_open() != open {
            return row.column("open", Err("differs from what became of its items"));
        }
        Ok(Stored { value, revision: row.count("revision", revision)? })
    }
}
