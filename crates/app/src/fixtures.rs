//! What the tests of this crate share: a small world that stands still.

use crate::{
    change::Stored,
    job::Lease,
    payouts::{execute_batch::Ports, gate::Gates},
    ports::{
        Clock, Ids, PayoutRail, PayoutRepository, Rails, StoreError,
        rail::{MockPayoutRail, Preflight, RailProfile, Submit},
        repository::BatchForExecution,
    },
};
use async_trait::async_trait;
use domain::{
    batch::{Approvals, Batch, BatchStatus, Fingerprint, Origin, Release},
    calculation::{Amounts, Line},
    ids::{BatchId, ItemId, JobId},
    instruction::Instruction,
    item::Item,
    money::Money,
    recipient::{Destination, HoldReason, Recipient, RecipientStatus},
    revenue_model::{ModelSpec, ModelStatus, ModelVersion},
    timestamp::Timestamp,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// Counts up, so that every name is new and a test can tell which came first.
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

impl Ids for Counting {
    fn fresh(&self) -> Uuid {
        Uuid::from_u128(1_000 + u128::from(self.0.fetch_add(1, Ordering::SeqCst)))
    }
}

/// Always the same instant.
pub(crate) struct Still;

#[async_trait]
impl Clock for Still {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(now())
    }
    fn steady(&self) -> Duration {
        Duration::ZERO
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}
pub(crate) fn usd(amount_minor: i64) -> Money {
    Money::new(amount_minor, "USD".parse().unwrap())
}
pub(crate) fn down() -> StoreError {
    StoreError::Unavailable("the database is down".to_owned())
}
pub(crate) fn lease() -> Lease {
    Lease { job: JobId::new(Uuid::from_u128(7)), attempt: 1 }
}

/// The middle of what is possible.
pub(crate) struct Middle;

impl crate::ports::Dice for Middle {
    fn below(&self, bound: u64) -> u64 {
        bound / 2
    }
}

/// What a rail of one item an instruction is like.
pub(crate) fn rail_profile(id: &str, pays_strangers: bool) -> RailProfile {
    RailProfile {
        id: id.parse().unwrap(),
        items_max: 1,
        replay_window: Some(Duration::from_secs(3_600)),
        settle_bound: Duration::from_secs(10),
        pays_strangers,
        charges_returns: false,
        calls_per_second_max: 1_000,
        granularities: BTreeMap::new(),
    }
}

/// A rail of one item an instruction that answers every submission alike. `pays_strangers` as a simulator does.
pub(crate) fn rail(id: &str, pays_strangers: bool) -> MockPayoutRail {
    let profile = rail_profile(id, pays_strangers);
    let mut rail = MockPayoutRail::new();
    rail.expect_profile().returning(move || profile.clone());
    rail.expect_check().returning(|_| Ok(()));
    rail.expect_preflight().returning(|_| Preflight::Ready);
    rail.expect_prepare().returning(|key, _| Ok(key.to_string().into_bytes()));
    rail
}
pub(crate) fn answering(submit: fn(&Instruction) -> Submit) -> MockPayoutRail {
    let mut rail = rail("simulator", true);
    rail.expect_submit().returning(submit);
    rail
}
pub(crate) fn rails(rail: MockPayoutRail) -> Rails {
    let rail: Arc<dyn PayoutRail> = Arc::new(rail);
    Rails::new(rail, [])
}

/// A turn of the worker over these, with gates that stand wide open.
pub(crate) fn ports<'a>(
    repository: &'a dyn PayoutRepository,
    rails: &'a Rails,
    gates: &'a Gates,
    ids: &'a Counting,
) -> Ports<'a> {
    let lease_ends = Duration::from_secs(15);
    Ports { repository, rails, gates, ids, dice: &Middle, clock: &Still, lease_ends, batch_has: &|_| {} }
}

pub(crate) fn spec(json: &str) -> ModelSpec {
    serde_json::from_str(json).unwrap()
}
pub(crate) fn seventy_thirty() -> ModelSpec {
    spec(
        r#"{"platformFee":{"ratePpm":50000},"steps":[{"type":"share","lines":[
            {"recipientId":"rec_ana","percent":"70"},{"recipientId":"rec_ben","percent":"30"}]}]}"#,
    )
}
pub(crate) fn version(spec: ModelSpec) -> ModelVersion {
    ModelVersion {
        project: "prj_1".parse().unwrap(),
        version: 3,
        status: ModelStatus::Active,
        effective_from: Timestamp::MIN,
        effective_to: None,
        hash: spec.hash(),
        spec,
        created_by: "usr_1".parse().unwrap(),
        created_at: now(),
    }
}
pub(crate) fn recipient(id: &str, status: RecipientStatus) -> Stored<Recipient> {
    let value = Recipient {
        id: id.parse().unwrap(),
        status,
        tax: None,
        payout_minimums: BTreeMap::new(),
        destination: Destination::bare("simulator".parse().unwrap()),
        destination_set_by: "usr_1".parse().unwrap(),
        created_at: now(),
        updated_at: now(),
    };
    Stored { value, revision: 1 }
}

pub(crate) fn batch_id() -> BatchId {
    BatchId::new(Uuid::from_u128(1))
}
pub(crate) fn item_id(n: u128) -> ItemId {
    ItemId::new(Uuid::from_u128(100 + n))
}
pub(crate) fn batch() -> Batch {
    Batch {
        id: batch_id(),
        origin: Origin::Release(Box::new(Release {
            escrow: "esc_1".parse().unwrap(),
            project: "prj_1".parse().unwrap(),
            milestone: None,
            model_version: 3,
            model_hash: seventy_thirty().hash(),
            as_of: now(),
            fingerprint: Fingerprint([0; 32]),
        })),
        scheduled_by: "usr_1".parse().unwrap(),
        currency: "USD".parse().unwrap(),
        amount_minor: 200,
        deductions_minor: 0,
        fee_minor: 0,
        fee_tax_minor: 0,
        tax_minor: 0,
        total_net_minor: 200,
        execute_at: None,
        due_at: now(),
        approvals: Approvals::default(),
        job: lease().job,
        items_count: 2,
        status: BatchStatus::Scheduled,
        created_at: now(),
        updated_at: now(),
    }
}
/// An item of 100 for `rec_{n}`, held if there is a reason.
pub(crate) fn item(n: u128, hold: Option<HoldReason>) -> Item {
    let line = Line {
        recipient: format!("rec_{n}").parse().unwrap(),
        amounts: Amounts { gross_minor: 100, net_minor: 100, payable_minor: 100, ..Amounts::default() },
        taxes: Vec::new(),
        hold,
    };
    Item::book(item_id(n), batch_id(), u32::try_from(n).unwrap(), &line, now())
}
/// A batch with these items, and nothing sent yet.
pub(crate) fn found(items: Vec<Item>) -> BatchForExecution {
    BatchForExecution {
        batch: Stored { value: batch(), revision: 1 },
        items: items.into_iter().map(|value| Stored { value, revision: 1 }).collect(),
        unresolved: Vec::new(),
        strays: Vec::new(),
        approvals: Vec::new(),
    }
}
