//! The endpoints, one file a resource. A handler turns a request into a question for a use case, and the answer into
//! a view; it decides nothing.

mod actions;
mod audit;
mod balances;
mod batches;
mod bulk;
mod calculation_view;
mod events;
mod explanations;
mod faults;
mod ledger;
mod model_body;
mod model_file;
mod models;
mod policy;
mod probes;
mod recipients;
mod revenue;
mod reversals;
mod simulator;
mod tax_body;
mod test_clock;
mod values;
mod webhooks;
mod words;

pub use model_file::ModelFile;

use super::{
    docs,
    idempotency::Keeper,
    metrics::Metrics,
    openapi::{About, Document},
    payload::Js,
    rate::RateLimit,
    routes::{self, Patience},
    shell,
    token::TokenKey,
};
use crate::compose::{Service, SimulatorPorts};
use app::{
    change::Change,
    failure::{Class, Failure},
    payouts::act::Acting,
    ports::{CommitError, StoreError, TestClock, rail::RailDown},
};
use domain::{
    audit::{Actor, AuditEntry},
    ids::AuditId,
    timestamp::Timestamp,
};
use poem::{Endpoint, EndpointExt, Response, Route};
use poem_openapi::Tags;
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The groups of the API page.
#[derive(Tags)]
enum Tag {
    /// Splitting revenue, scheduling what is released, and taking it back.
    Revenue,
    /// Who gets which part.
    Models,
    /// Whom we pay.
    Recipients,
    /// What was scheduled, and what became of it.
    Payouts,
    /// Every cent, twice.
    Ledger,
    /// What happened.
    Events,
    /// Who did what.
    Audit,
    /// What the simulator was asked to pay (test mode).
    Simulator,
    /// Whether the service is well.
    Probes,
}

/// All endpoints.
type Api = (
    (revenue::Revenue, bulk::Bulk),
    reversals::Reversals,
    models::Models,
    recipients::Recipients,
    balances::Balances,
    batches::Batches,
    actions::Actions,
    policy::Policies,
    explanations::Explanations,
    ledger::Ledger,
    events::Events,
    audit::Audit,
    simulator::Transfers,
    faults::Faults,
    test_clock::TestClock,
    probes::Probes,
);

const ABOUT: About = About {
    title: "disburse",
    version: env!("CARGO_PKG_VERSION"),
    description: "Revenue split and payouts: a released escrow is split among a project's recipients to the cent, booked \
                  in an append-only double-entry ledger, and paid exactly once.\n\n\
                  Amounts are whole minor units of their currency. Lists are newest first; `starting_after` takes the id \
                  of the last entry of the page before. Every error has the same body.\n\n\
                  A token names a role; each operation says which roles may call it. Any other gets 403.\n\n\
                  Every `POST` but the one in bulk takes an `Idempotency-Key`. The same request under the same key is \
                  done once and answered alike, with `Idempotent-Replayed: true`; 409 while the first is under way, 422 if it says something \
                  else or somebody else says it. Each operation has keys of its own. A request that is refused leaves its \
                  key free. Keys are kept for at least 30 days. `POST /revenue/schedule-payouts` replays \
                  nothing: an escrow that is booked already is 409 `already_scheduled`, with its batch.",
};

/// The description of the API: the same in every mode and on every database.
pub fn document() -> serde_json::Result<Document> {
    Document::of::<Api>(ABOUT)
}

/// What a request may take of the service.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a request that only reads may take.
    pub reading_max: Duration,
    /// Requests that each subject may make in a second, if there is a limit.
    pub rate_limit: Option<NonZeroU32>,
}

/// Everything that is served.
pub fn endpoint(service: Service, key: TokenKey, bounds: Bounds) -> impl Endpoint<Output = Response> {
    let mut registry = Registry::with_prefix("disburse");
    let metrics = Metrics::register(&mut registry);
    let registry = Arc::new(Mutex::new(registry));
    let service = Arc::new(service);
    let api: Api = (
        (revenue::Revenue(service.clone()), bulk::Bulk::new(service.clone())),
        reversals::Reversals(service.clone()),
        models::Models(service.clone()),
        recipients::Recipients(service.clone()),
        balances::Balances(service.clone()),
        batches::Batches(service.clone()),
        actions::Actions(service.clone()),
        policy::Policies(service.clone()),
        explanations::Explanations(service.clone()),
        ledger::Ledger(service.clone()),
        events::Events(service.clone()),
        audit::Audit(service.clone()),
        simulator::Transfers(service.clone()),
        faults::Faults(service.clone()),
        test_clock::TestClock(service.clone()),
        probes::Probes(service.clone()),
    );
    let rate_limit = bounds.rate_limit.map(|limit| RateLimit::new(limit, Arc::clone(&service.clock)));
    shell::log_panics();
    let route = docs::mount(routes::mount(Route::new(), api), document);
    let route = route.at("/metrics", routes::get(probes::metrics(registry)));
    let route = route.at("/rails/:rail/webhooks", routes::post(webhooks::webhooks(service)));
    let route = route.data(key).data(Patience(bounds.reading_max)).data_opt(rate_limit);
    shell::wrap(route, metrics)
}

impl Service {
    /// Now, by the database's clock.
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.clock.now().await
    }

    /// Whoever acts, with what they need.
    fn acting<'a>(&'a self, actor: &'a Actor, now: Timestamp) -> Acting<'a> {
        let Self { repository, rails, ids, dice, .. } = self;
        Acting { repository: repository.as_ref(), rails, ids: ids.as_ref(), dice: dice.as_ref(), actor, now }
    }

    /// Writes down what somebody does to the simulator, before it is done.
    async fn record(&self, actor: &Actor, action: &str, what: Value) -> Result<(), CommitError> {
        let now = self.clock.now().await?;
        let entry = AuditEntry::made(AuditId::new(self.ids.fresh()), actor.clone(), action, "simulator", what, now);
        self.repository.commit(Change { audit: vec![entry], ..Change::default() }).await
    }

    /// The clock that can be moved; in live mode there is none.
    fn test_mode(&self) -> Result<&dyn TestClock, NotInLiveMode> {
        self.test_clock.as_deref().ok_or(NotInLiveMode)
    }

    /// The simulator; in live mode there is none.
    fn simulator(&self) -> Result<&SimulatorPorts, NotInLiveMode> {
        self.simulator.as_ref().ok_or(NotInLiveMode)
    }

    /// Where keys of requests, and their answers, are kept.
    fn keeper(&self) -> Keeper<'_> {
        Keeper { keys: &self.keys, repository: self.repository.as_ref(), ids: self.ids.as_ref() }
    }
}

/// There is no such thing.
#[derive(Debug, thiserror::Error)]
#[error("there is no {what} `{id}`")]
struct NotThere {
    what: &'static str,
    code: &'static str,
    id: String,
}

impl Failure for NotThere {
    fn code(&self) -> &'static str {
        self.code
    }
    fn class(&self) -> Class {
        Class::NotFound
    }
}

/// What there is in test mode only.
#[derive(Debug, thiserror::Error)]
#[error("this is for test mode only, and the service is live")]
struct NotInLiveMode;

impl Failure for NotInLiveMode {
    fn code(&self) -> &'static str {
        "not_in_live_mode"
    }
    fn class(&self) -> Class {
        Class::NotFound
    }
}

/// The rail's book cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct BookDown(#[from] RailDown);

impl Failure for BookDown {
    fn code(&self) -> &'static str {
        "unavailable"
    }
    fn class(&self) -> Class {
        Class::Unavailable
    }
}

/// What is there, or a 404 that names it.
fn there<T>(found: Option<T>, what: &'static str, code: &'static str, id: impl ToString) -> Result<Js<T>, NotThere> {
    found.map(Js).ok_or_else(|| NotThere { what, code, id: id.to_string() })
}
