//! The table `rail_events`: what rails said, and what was made of it. Only the names are read again.

use super::storable;
use app::{
    change::TakenEvent,
    ports::rail::{About, Class, RailEvent, Seen},
};
use domain::{ids::InstructionId, money::Money, timestamp::Timestamp};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "rail_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub rail: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub dedupe: String,
    pub instruction_id: Option<Uuid>,
    pub about_kind: String,
    pub about_value: String,
    pub what: String,
    pub reason: Option<String>,
    pub class: Option<String>,
    pub reference: Option<String>,
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub returned_minor: Option<i64>,
    pub returned_currency: Option<String>,
    pub occurred_at: Option<i64>,
    pub received_at: i64,
    pub evidence: Vec<u8>,
    pub verdict: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of something that a rail said.
    pub fn write(taken: &TakenEvent) -> Self {
        let TakenEvent { rail, event, instruction, verdict, received_at } = taken;
        // The key is for people, and an alarm tells it to them.
        let RailEvent { dedupe, about, key: _, what, amount, occurred_at, evidence } = event;
        let (about_kind, about_value) = about_columns(about);
        let Said { reason, class, reference, returned } = said(what);
        let code = |money: Money| money.currency.code().to_owned();
        Self {
            rail: rail.to_string(),
            dedupe: storable(dedupe),
            instruction_id: instruction.map(InstructionId::uuid),
            about_kind: about_kind.to_owned(),
            about_value,
            what: what.as_str().to_owned(),
            reason: reason.map(storable),
            class: class.map(|class| class.as_str().to_owned()),
            reference: reference.map(storable),
            amount_minor: amount.map(|money| money.amount_minor),
            currency: amount.map(code),
            returned_minor: returned.map(|money| money.amount_minor),
            returned_currency: returned.map(code),
            occurred_at: occurred_at.map(Timestamp::unix_micros),
            received_at: received_at.unix_micros(),
            evidence: evidence.to_vec(),
            verdict: verdict.as_str().to_owned(),
        }
    }
}

fn about_columns(about: &About) -> (&'static str, String) {
    match about {
        About::Item(wire_ref) => ("item", storable(wire_ref)),
        About::Instruction(id) => ("instruction", id.to_string()),
        About::Destination(value) => ("destination", storable(value)),
    }
}

/// What belongs to a saying.
#[derive(Default)]
struct Said<'a> {
    reason: Option<&'a str>,
    class: Option<Class>,
    reference: Option<&'a str>,
    returned: Option<Money>,
}

fn said(what: &Seen) -> Said<'_> {
    match what {
        Seen::Accepted { reference } | Seen::Settled { reference } => {
            Said { reference: reference.as_deref(), ..Said::default() }
        }
        Seen::Rejected { reason, class } => Said { reason: Some(reason), class: Some(*class), ..Said::default() },
        Seen::Returned { reason, returned, reference } => {
            Said { reason: Some(reason), reference: reference.as_deref(), returned: Some(*returned), ..Said::default() }
        }
        Seen::Recalled | Seen::DetailsChanged => Said::default(),
    }
}
