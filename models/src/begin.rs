//! How a model begins: a world in which nobody has done anything, a revenue model in it, and a release.

use crate::{
    desk::{Desk, rails},
    provider::Provider,
    world::World,
};
use adapters::memory::Memory;
use app::{
    idempotency::Remembering,
    payouts::schedule_payouts::{SchedulePayouts, SchedulePayoutsError, schedule_payouts},
    revenue::{
        needs::Needs,
        publish_revenue_model::{PublishRevenueModel, publish_revenue_model},
        turns::Turns,
    },
};
use domain::{
    audit::Actor,
    batch::Batch,
    ids::{BatchId, ItemId},
    money::Money,
    revenue_model::ModelStatus,
    timestamp::Timestamp,
};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// A world in which nobody has done anything.
pub(crate) fn empty_world(faults: u8, lies: u8) -> World {
    World {
        memory: Memory::default(),
        provider: Provider::default(),
        ledger: BTreeMap::new(),
        lease: None,
        batch: BatchId::new(Uuid::nil()),
        item: ItemId::new(Uuid::nil()),
        booked: Vec::new(),
        names: 1,
        faults,
        lies,
        lied: 0,
        broken: None,
    }
}

/// From now on one recipient gets all of a release.
pub(crate) async fn publish_model(desk: &Desk, now: Timestamp) {
    let spec = json!({ "steps": [{ "type": "share", "lines": [{ "recipientId": "rec_ana", "percent": "100" }] }] });
    let model = PublishRevenueModel {
        project: crate::read("prj_1"),
        spec: serde_json::from_value(spec).expect("a model"),
        status: ModelStatus::Active,
        effective_from: None,
        effective_to: None,
        version: None,
        actor: Actor::of(&crate::read("usr_author")),
    };
    publish_revenue_model(desk, desk, now, model).await.expect("a model is stored");
}

/// The one escrow is released, with so much in it.
pub(crate) async fn release(desk: &Arc<Desk>, amount_minor: i64) -> Result<Batch, SchedulePayoutsError> {
    let ask = SchedulePayouts {
        escrow: crate::read("esc_1"),
        project: crate::read("prj_1"),
        milestone: None,
        amount: Money::new(amount_minor, crate::read("USD")),
        as_of: None,
        execute_at: None,
        deductions: Vec::new(),
        actor: Actor::of(&crate::read("usr_escrow")),
    };
    let nothing = Remembering::nothing();
    schedule_payouts(&**desk, &rails(desk), &**desk, &Turns::default(), &Needs::default(), ask, &nothing).await
}
