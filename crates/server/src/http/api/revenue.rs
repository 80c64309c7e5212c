//! `POST /revenue/schedule-payouts` and `POST /revenue/calculate`.

use super::{Tag, actions::actor, calculation_view::CalculationView, model_body::ModelBody, values::Amount};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fault::Fault,
        fields::{Field, Fields},
        idempotency::{Key, Once},
        payload::{Body, FromBody, Js},
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::Sc,
    },
};
use app::{
    idempotency::Remembering,
    payouts::schedule_payouts::{SchedulePayouts, schedule_payouts},
    revenue::calculate_revenue::{CalculateRevenue, Calculated, ModelChoice, calculate_revenue},
};
use domain::{
    audit::Actor,
    batch::{Batch, BatchStatus, Release},
    calculation::{self, Deduction, DeductionKind},
    currency::Currency,
    ids::{BatchId, EscrowId, JobId, MilestoneId, ProjectId},
    money::Money,
    timestamp::Timestamp,
};
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;
use std::sync::Arc;

/// Most deductions in one request.
const DEDUCTIONS_MAX: usize = 100;

/// A released escrow.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct ScheduleRequest {
    escrow_id: Sc<EscrowId>,
    project_id: Sc<ProjectId>,
    milestone_id: Option<Sc<MilestoneId>>,
    /// What was released.
    amount: Sc<Amount>,
    currency: Sc<Currency>,
    /// When the money was earned; it chooses the version of the model. Now, if absent.
    as_of: Option<Sc<Timestamp>>,
    /// Not to be paid before this. What lies in the past means at once.
    execute_at: Option<Sc<Timestamp>>,
    /// What is taken off before the split, and booked.
    #[oai(validator(max_items = 100))]
    deductions: Option<Vec<DeductionRequest>>,
}

/// Something taken off before the split.
#[derive(Debug, Object)]
#[oai(rename = "Deduction")]
pub struct DeductionRequest {
    #[oai(rename = "type")]
    kind: Sc<DeductionKind>,
    amount: Sc<Amount>,
    /// Your own reference.
    #[oai(validator(min_length = 1, max_length = 200, pattern = "^[^\\u0000]*$"))]
    reference: Option<String>,
}

impl DeductionRequest {
    fn read_all(field: Field<'_>) -> Option<Vec<Self>> {
        field.list(0..=DEDUCTIONS_MAX, Self::read)
    }

    fn read(field: Field<'_>) -> Option<Self> {
        field.object(|fields| {
            let kind = fields.required("type", Sc::read);
            let amount = fields.required("amount", Sc::read);
            let reference = fields.optional("reference", |text| text.text(1..=200));
            Some(Self { kind: kind?, amount: amount?, reference: reference? })
        })
    }
}

impl From<DeductionRequest> for Deduction {
    fn from(asked: DeductionRequest) -> Self {
        Self { kind: asked.kind.0, amount_minor: asked.amount.0.0, reference: asked.reference }
    }
}

impl FromBody for ScheduleRequest {
    const EXAMPLE: Option<&'static str> = Some(
        r#"{ "escrowId": "esc_1042", "projectId": "prj_7", "milestoneId": "ms_3", "amount": 200000, "currency": "USD" }"#,
    );

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let escrow_id = fields.required("escrowId", Sc::read);
        let project_id = fields.required("projectId", Sc::read);
        let milestone_id = fields.optional("milestoneId", Sc::read);
        let amount = fields.required("amount", Sc::read);
        let currency = fields.required("currency", Sc::read);
        let as_of = fields.optional("asOf", Sc::read);
        let execute_at = fields.optional("executeAt", Sc::read);
        let deductions = fields.optional("deductions", DeductionRequest::read_all);
        Some(Self {
            escrow_id: escrow_id?,
            project_id: project_id?,
            milestone_id: milestone_id?,
            amount: amount?,
            currency: currency?,
            as_of: as_of?,
            execute_at: execute_at?,
            deductions: deductions?,
        })
    }
}

impl ScheduleRequest {
    /// The same, as the use case is asked.
    pub(super) fn by(self, actor: Actor) -> SchedulePayouts {
        let Self { escrow_id, project_id, milestone_id, amount, currency, as_of, execute_at, deductions } = self;
        SchedulePayouts {
            escrow: escrow_id.0,
            project: project_id.0,
            milestone: milestone_id.map(|id| id.0),
            amount: Money::new(amount.0.0, currency.0),
            as_of: as_of.map(|at| at.0),
            execute_at: execute_at.map(|at| at.0),
            deductions: deductions.unwrap_or_default().into_iter().map(Deduction::from).collect(),
            actor,
        }
    }
}

/// The batch that the release became.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Scheduled {
    batch_id: Sc<BatchId>,
    /// Always there: what is scheduled comes from a release.
    #[oai(flatten)]
    #[serde(flatten)]
    release: Option<Released>,
    status: Sc<BatchStatus>,
    currency: Sc<Currency>,
    /// How many payments it has.
    items_count: u32,
    /// The sum of what recipients are owed, in minor units.
    estimated_total_payout: i64,
    job_id: Sc<JobId>,
    message: String,
}

/// What the release names.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Released {
    escrow_id: Sc<EscrowId>,
    project_id: Sc<ProjectId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milestone_id: Option<Sc<MilestoneId>>,
}

impl From<&Release> for Released {
    fn from(release: &Release) -> Self {
        Self {
            escrow_id: Sc(release.escrow.clone()),
            project_id: Sc(release.project.clone()),
            milestone_id: release.milestone.clone().map(Sc),
        }
    }
}

impl From<&Batch> for Scheduled {
    fn from(batch: &Batch) -> Self {
        Self {
            batch_id: Sc(batch.id),
            release: batch.release().map(Released::from),
            status: Sc(batch.status),
            currency: Sc(batch.currency),
            items_count: batch.items_count,
            estimated_total_payout: batch.total_net_minor,
            job_id: Sc(batch.job),
            message: "Payout batch scheduled and execution job queued.".to_owned(),
        }
    }
}

/// How much is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub enum Explain {
    /// Nothing.
    None,
    /// What happened to the whole.
    Summary,
    /// Every line's part of it.
    Full,
}

/// What would be released, and by which model: `projectId` or `revenueModel`, one of the two.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct CalculateRequest {
    /// The stored model of this project.
    project_id: Option<Sc<ProjectId>>,
    /// This model.
    revenue_model: Option<ModelBody>,
    amount: Sc<Amount>,
    currency: Sc<Currency>,
    /// When it would have been earned; now, if absent.
    as_of: Option<Sc<Timestamp>>,
    /// What would be taken off before the split.
    #[oai(validator(max_items = 100))]
    deductions: Option<Vec<DeductionRequest>>,
    /// How much is explained; `full`, if absent.
    explain: Option<Explain>,
}

impl FromBody for CalculateRequest {
    /// A model may come with it.
    const LIMIT: usize = ModelBody::LIMIT;
    const EXAMPLE: Option<&'static str> = Some(
        r#"{ "amount": 100000, "currency": "USD", "explain": "full", "revenueModel": {
            "platformFee": { "ratePpm": 50000, "fixed": 30 },
            "steps": [{ "type": "share", "lines": [
                { "recipientId": "rec_ana", "weight": 1 }, { "recipientId": "rec_ben", "weight": 1 },
                { "recipientId": "rec_tbd", "weight": 1, "placeholder": true }] }] } }"#,
    );

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let project_id = fields.optional("projectId", Sc::read);
        let revenue_model = fields.optional("revenueModel", |model| model.object(ModelBody::read));
        let amount = fields.required("amount", Sc::read);
        let currency = fields.required("currency", Sc::read);
        let as_of = fields.optional("asOf", Sc::read);
        let words = [("none", Explain::None), ("summary", Explain::Summary), ("full", Explain::Full)];
        let explain = fields.optional("explain", |word| word.one_of(&words));
        let deductions = fields.optional("deductions", DeductionRequest::read_all);
        if fields.has("projectId") == fields.has("revenueModel") {
            fields.refuse(Fault::new("one_of", "Send either `projectId` or `revenueModel`, one of the two."));
            return None;
        }
        Some(Self {
            project_id: project_id?,
            revenue_model: revenue_model?,
            amount: amount?,
            currency: currency?,
            as_of: as_of?,
            deductions: deductions?,
            explain: explain?,
        })
    }
}

responses! {
    /// Answers of `POST /revenue/schedule-payouts`.
    ScheduleAnswer {
        /// The batch is booked and its execution queued.
        201 Created(Js<Scheduled>, "Location" location: String),
    }
    errors [NotFound, Conflict]
}

responses! {
    /// Answers of `POST /revenue/calculate`.
    CalculateAnswer {
        /// The breakdown. Nothing was written.
        200 Calculated(Js<CalculationView>),
    }
    errors [NotFound]
}

/// Asks the use case.
pub(super) async fn schedule(service: &Service, ask: SchedulePayouts, remember: &Remembering<Batch>) -> Answer<Batch> {
    let Service { repository, rails, ids, turns, needs, .. } = service;
    Ok(schedule_payouts(repository.as_ref(), rails, ids.as_ref(), turns, needs, ask, remember).await?)
}

pub(super) fn scheduled(batch: &Batch) -> ScheduleAnswer {
    let location = format!("/payouts/batches/{}", batch.id);
    ScheduleAnswer::Created(Js(batch.into()), location)
}

fn calculated(calculated: &Calculated) -> CalculateAnswer {
    CalculateAnswer::Calculated(Js(calculated.clone().into()))
}

/// The endpoints of this file.
pub struct Revenue(pub(super) Arc<Service>);

#[OpenApi]
impl Revenue {
    /// Schedule the payouts of a released escrow
    ///
    /// Splits the amount by the project's model, books it, and queues the payments, in one transaction. An escrow is
    /// booked at most once, ever: the same `escrowId` again answers 409 and names the batch it became, so a request
    /// whose answer was lost can be repeated. That is so with an `Idempotency-Key`, too: nothing is replayed here, and
    /// only another release under the same key is refused, with 422.
    #[oai(path = "/revenue/schedule-payouts", method = "post", operation_id = "schedulePayouts", tag = "Tag::Revenue")]
    async fn schedule(
        &self,
        auth: Auth<may::Schedule>,
        body: Body<ScheduleRequest>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<ScheduleAnswer> {
        let service = &self.0;
        let ask = body.0.by(actor(&auth.0, None));
        key.bound(service.keeper(), scheduled, async |remember| schedule(service, ask, &remember).await).await
    }

    /// Calculate what an amount would come to
    ///
    /// Uses the project's stored model, or the one in the request. Writes nothing.
    #[oai(path = "/revenue/calculate", method = "post", operation_id = "calculateRevenue", tag = "Tag::Revenue")]
    async fn calculate(
        &self,
        _auth: Auth<may::Calculate>,
        body: Body<CalculateRequest>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<CalculateAnswer>> {
        let service = &self.0;
        let CalculateRequest { project_id, revenue_model, amount, currency, as_of, deductions, explain } = body.0;
        let model = match (project_id, revenue_model) {
            (Some(project), _) => ModelChoice::Project(project.0),
            (None, Some(model)) => ModelChoice::Inline(Box::new(model.spec())),
            (None, None) => return Err(crate::http::problem::ApiError::internal("neither a project nor a model")),
        };
        let ask = CalculateRevenue {
            model,
            amount: Money::new(amount.0.0, currency.0),
            as_of: as_of.map(|at| at.0),
            deductions: deductions.unwrap_or_default().into_iter().map(Deduction::from).collect(),
            detail: match explain {
                Some(Explain::None) => calculation::Detail::None,
                Some(Explain::Summary) => calculation::Detail::Summary,
                Some(Explain::Full) | None => calculation::Detail::Full,
            },
        };
        let (repository, ids) = (service.repository.as_ref(), service.ids.as_ref());
        key.once(service.keeper(), calculated, async |_nothing_to_commit| {
            let now = service.now().await?;
            Ok(calculate_revenue(repository, &service.rails, ids, now, ask).await?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::payload::read_example;

    #[test]
    fn the_examples_are_bodies_that_are_read() {
        assert!(read_example::<ScheduleRequest>().is_ok());
        assert!(read_example::<CalculateRequest>().is_ok());
    }
}
