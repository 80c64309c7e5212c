//! The table `instruction_items`: what an instruction pays, in order.

use domain::{
    ids::ItemId,
    instruction::{Instruction, InstructionItem},
};
use sea_orm::entity::prelude::*;

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
    /// Whether the instruction occupies the item: at most one does.
    pub live: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The rows of what a new instruction pays.
    pub fn write(instruction: &Instruction) -> Vec<Self> {
        let live = instruction.state().is_live();
        let row = |(part, seq): (&InstructionItem, i64)| {
            let InstructionItem { item, wire_ref, amount_minor } = part;
            Self {
                instruction_id: instruction.id.uuid(),
                item_id: item.uuid(),
                seq,
                wire_ref: wire_ref.clone(),
                amount_minor: *amount_minor,
                live,
            }
        };
        instruction.items.iter().zip(0..).map(row).collect()
    }

    /// What a row pays.
    pub fn read(self) -> InstructionItem {
        let Self { instruction_id: _, item_id, seq: _, wire_ref, amount_minor, live: _ } = self;
        InstructionItem { item: ItemId::new(item_id), wire_ref, amount_minor }
    }
}
