//! The table `resolutions`.

use super::{Place, storable};
use crate::sql::bulk::Revised;
use app::{
    change::{Resolution, ResolutionState, Resolved, Stored},
    ports::StoreError,
};
use domain::{
    ids::{InstructionId, ItemId, ResolutionId},
    timestamp::Timestamp,
};
use sea_orm::{Value, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "resolutions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub item_id: Uuid,
    pub instruction_id: Uuid,
    pub outcome: String,
    pub evidence: String,
    pub note: Option<String>,
    pub proposed_by: String,
    pub proposed_at: i64,
    pub status: String,
    pub decided_by: Option<String>,
    pub decided_at: Option<i64>,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a new resolution.
    pub fn write(resolution: &Resolution) -> Self {
        let Resolution { id, item, instruction, outcome, evidence, note, proposed_by, proposed_at, state } = resolution;
        let (decided_by, decided_at) = match state {
            ResolutionState::Proposed => (None, None),
            ResolutionState::Confirmed { by, at } => (Some(by.to_string()), Some(at.unix_micros())),
            ResolutionState::Withdrawn { at } => (None, Some(at.unix_micros())),
        };
        Self {
            id: id.uuid(),
            item_id: item.uuid(),
            instruction_id: instruction.uuid(),
            outcome: outcome.as_str().to_owned(),
            evidence: storable(evidence),
            note: note.as_deref().map(storable),
            proposed_by: proposed_by.to_string(),
            proposed_at: proposed_at.unix_micros(),
            status: state.as_str().to_owned(),
            decided_by,
            decided_at,
            revision: 1,
        }
    }

    /// What a write of the resolution sets.
    pub const REVISED: Revised = Revised { table: "resolutions", columns: &["status", "decided_by", "decided_at"] };

    /// The values of [`Self::REVISED`].
    pub fn revise(resolution: &Stored<Resolution>) -> Vec<Value> {
        let Self {
            id,
            item_id: _,
            instruction_id: _,
            outcome: _,
            evidence: _,
            note: _,
            proposed_by: _,
            proposed_at: _,
            status,
            decided_by,
            decided_at,
            revision: _,
        } = Self::write(&resolution.value);
        let revision = i64::from(resolution.revision);
        vec![id.into(), revision.into(), status.into(), decided_by.into(), decided_at.into()]
    }

    /// The resolution of a row.
    pub fn read(self) -> Result<Stored<Resolution>, StoreError> {
        let Self {
            id,
            item_id,
            instruction_id,
            outcome,
            evidence,
            note,
            proposed_by,
            proposed_at,
            status,
            decided_by,
            decided_at,
            revision,
        } = self;
        let id = ResolutionId::new(id);
        let row = Place { table: "resolutions", id: &id };
        let at = || row.needed("decided_at", decided_at).map(Timestamp::from_unix_micros);
        let state = match status.as_str() {
            "proposed" => ResolutionState::Proposed,
            "confirmed" => {
                let by = row.needed("decided_by", decided_by)?;
                ResolutionState::Confirmed { by: row.column("decided_by", by.parse())?, at: at()? }
            }
            "withdrawn" => ResolutionState::Withdrawn { at: at()? },
            _ => return row.column("status", Err(format!("`{status}` is none of its words"))),
        };
        let value = Resolution {
            id,
            item: ItemId::new(item_id),
            instruction: InstructionId::new(instruction_id),
            outcome: row.word("outcome", &outcome, Resolved::ALL, Resolved::as_str)?,
            evidence,
            note,
            proposed_by: row.column("proposed_by", proposed_by.parse())?,
            proposed_at: Timestamp::from_unix_micros(proposed_at),
            state,
        };
        Ok(Stored { value, revision: row.count("revision", revision)? })
    }
}
