//! The table `instruction_items`: what an instruction pays, in order, and what became of it.

use super::{Place, storable};
use app::ports::StoreError;
use domain::{
    ids::ItemId,
    instruction::{Instruction, InstructionItem, Outcome},
};
use sea_orm::{Value, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "instruction_items")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub instruction_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_id: Uuid,
    pub seq: i64,
    pub wire_ref: String,
    pub amount_minor: i64,
    pub destination: Vec<u8>,
    pub outcome: String,
    pub reference: Option<String>,
    pub reason: Option<String>,
    pub returned_minor: i64,
    /// Whether the instruction occupies the item: at most one does. Follows from the outcome.
    pub live: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The rows of what an instruction pays.
    pub fn write(instruction: &Instruction) -> Vec<Self> {
        let row = |(part, seq): (&InstructionItem, i64)| {
            let InstructionItem { item, wire_ref, amount_minor, destination, outcome, returned_minor } = part;
            Self {
                instruction_id: instruction.id.uuid(),
                item_id: item.uuid(),
                seq,
                wire_ref: wire_ref.clone(),
                amount_minor: *amount_minor,
                destination: destination.to_vec(),
                outcome: outcome.as_str().to_owned(),
                reference: outcome.reference().map(storable),
                reason: outcome.reason().map(storable),
                returned_minor: *returned_minor,
                live: outcome.is_live(),
            }
        };
        instruction.items.iter().zip(0..).map(row).collect()
    }

    /// What a write of the instruction sets in the rows of its items.
    pub const REVISED: [&str; 5] = ["outcome", "reference", "reason", "returned_minor", "live"];

    /// The two ids of the row, and the values of [`Self::REVISED`].
    pub fn revise(self) -> [Value; 7] {
        let Self {
            instruction_id,
            item_id,
            seq: _,
            wire_ref: _,
            amount_minor: _,
            destination: _,
            outcome,
            reference,
            reason,
            returned_minor,
            live,
        } = self;
        [
            instruction_id.into(),
            item_id.into(),
            outcome.into(),
            reference.into(),
            reason.into(),
            returned_minor.into(),
            live.into(),
        ]
    }

    /// What a row pays.
    pub fn read(self) -> Result<InstructionItem, StoreError> {
        let Self {
            instruction_id: _,
            item_id,
            seq: _,
            wire_ref,
            amount_minor,
            destination,
            outcome,
            reference,
            reason,
            returned_minor,
            live: _,
        } = self;
        let row = Place { table: "instruction_items", id: &wire_ref };
        let found = Outcome::of(&outcome, reference, reason);
        let outcome = row.column("outcome", found.ok_or_else(|| format!("`{outcome}` is none, or has no reason")))?;
        let destination = row.digest("destination", destination)?;
        Ok(InstructionItem { item: ItemId::new(item_id), wire_ref, amount_minor, destination, outcome, returned_minor })
    }
}
