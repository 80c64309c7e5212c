//! The table `instructions`; what an instruction pays is in `instruction_items`.

use super::{Place, instruction_item, storable};
use crate::sql::bulk::Revised;
use app::{change::Stored, ports::StoreError};
use domain::{
    ids::{BatchId, InstructionId},
    instruction::{Instruction, InstructionState},
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
    pub status: String,
    pub reference: Option<String>,
    pub reason: Option<String>,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new instruction.
    pub fn write(instruction: &Instruction) -> Self {
        // The state is private, so the compiler cannot ask for what is new here.
        let state = instruction.state();
        Self {
            id: instruction.id.uuid(),
            batch_id: instruction.batch.uuid(),
            rail: instruction.rail.to_string(),
            currency: instruction.currency.code().to_owned(),
            amount_minor: instruction.amount_minor(),
            generation: i64::from(instruction.generation),
            body: instruction.body.clone(),
            tries: i64::from(instruction.tries),
            first_sent_at: instruction.first_sent_at.unix_micros(),
            last_sent_at: instruction.last_sent_at.unix_micros(),
            status: state.as_str().to_owned(),
            reference: state.reference().map(storable),
            reason: state.reason().map(storable),
            revision: 1,
        }
    }

    /// What a write of the instruction sets. What follows from its state is kept in `instruction_items` too.
    pub const REVISED: Revised =
        Revised { table: "instructions", columns: &["status", "reference", "reason", "tries", "last_sent_at"] };

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
            first_sent_at: _,
            last_sent_at,
            status,
            reference,
            reason,
            revision: _,
        } = Self::write(&instruction.value);
        vec![
            id.into(),
            i64::from(instruction.revision).into(),
            status.into(),
            reference.into(),
            reason.into(),
            tries.into(),
            last_sent_at.into(),
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
            status,
            reference,
            reason,
            revision,
        } = self;
        let id = InstructionId::new(id);
        let row = Place { table: "instructions", id: &id };
        let mut instruction = Instruction::record(
            id,
            BatchId::new(batch_id),
            row.column("rail", rail.parse())?,
            row.column("currency", currency.parse())?,
            parts.into_iter().map(instruction_item::Model::read).collect(),
            row.count("generation", generation)?,
            body,
            Timestamp::from_unix_micros(first_sent_at),
        );
        instruction.tries = row.count("tries", tries)?;
        instruction.last_sent_at = Timestamp::from_unix_micros(last_sent_at);
        if instruction.amount_minor() != amount_minor {
            return row.column("amount_minor", Err("differs from the sum of its items"));
        }
        let state = state(row, &status, reference, reason)?;
        Ok(Stored { value: instruction.in_state(state), revision: row.count("revision", revision)? })
    }
}

fn state(
    row: Place<'_>,
    status: &str,
    reference: Option<String>,
    reason: Option<String>,
) -> Result<InstructionState, StoreError> {
    match status {
        "sent" => Ok(InstructionState::Sent),
        "accepted" => Ok(InstructionState::Accepted { reference }),
        "refused" => Ok(InstructionState::Refused { reason: row.needed("reason", reason)? }),
        _ => row.column("status", Err(format!("`{status}` is none of its words"))),
    }
}
