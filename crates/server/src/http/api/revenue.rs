//! `POST /revenue/schedule-payouts` and `POST /revenue/calculate`.

use super::{
    Tag,
    model_body::ModelBody,
    values::{Amount, Sum},
};
use crate::{
    compose::Service,
    http::{
        auth::{Auth, Authenticated, Scheduler},
        fault::Fault,
        fields::{Field, Fields},
        payload::{Body, FromBody, Js},
        problem::Answer,
        responses::responses,
        scalars::Sc,
    },
};
use app::{
    payouts::schedule_payouts::{SchedulePayouts, schedule_payouts},
    revenue::calculate_revenue::{CalculateRevenue, Calculated, ModelChoice, calculate_revenue},
};
use domain::{
    batch::{Batch, BatchStatus},
    calculation::{self, Calculation, Deduction, DeductionKind, ExplanationLine, Line, Totals, Warning},
    currency::Currency,
    ids::{BatchId, CalculationId, EscrowId, JobId, MilestoneId, ProjectId, RecipientId},
    money::Money,
    revenue_model::ModelHash,
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
    fn read(field: Field<'_>) -> Option<Self> {
        field.object(|fields| {
            let kind = fields.required("type", Sc::read);
            let amount = fields.required("amount", Sc::read);
            let reference = fields.optional("reference", |text| text.text(1..=200));
            Some(Self { kind: kind?, amount: amount?, reference: reference? })
        })
    }
}

impl FromBody for ScheduleRequest {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let escrow_id = fields.required("escrowId", Sc::read);
        let project_id = fields.required("projectId", Sc::read);
        let milestone_id = fields.optional("milestoneId", Sc::read);
        let amount = fields.required("amount", Sc::read);
        let currency = fields.required("currency", Sc::read);
        let as_of = fields.optional("asOf", Sc::read);
        let execute_at = fields.optional("executeAt", Sc::read);
        let deductions = fields.optional("deductions", |list| list.list(0..=DEDUCTIONS_MAX, DeductionRequest::read));
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

/// The batch that the release became.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Scheduled {
    batch_id: Sc<BatchId>,
    escrow_id: Sc<EscrowId>,
    project_id: Sc<ProjectId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milestone_id: Option<Sc<MilestoneId>>,
    status: Sc<BatchStatus>,
    currency: Sc<Currency>,
    /// How many payments it has.
    items_count: u32,
    /// The sum of what recipients are owed, in minor units.
    estimated_total_payout: i64,
    job_id: Sc<JobId>,
    message: String,
}

impl From<Batch> for Scheduled {
    fn from(batch: Batch) -> Self {
        Self {
            batch_id: Sc(batch.id),
            escrow_id: Sc(batch.escrow),
            project_id: Sc(batch.project),
            milestone_id: batch.milestone.map(Sc),
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
    /// How much is explained; `full`, if absent.
    explain: Option<Explain>,
}

impl FromBody for CalculateRequest {
    /// A model may come with it.
    const LIMIT: usize = ModelBody::LIMIT;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let project_id = fields.optional("projectId", Sc::read);
        let revenue_model = fields.optional("revenueModel", |model| model.object(ModelBody::read));
        let amount = fields.required("amount", Sc::read);
        let currency = fields.required("currency", Sc::read);
        let as_of = fields.optional("asOf", Sc::read);
        let words = [("none", Explain::None), ("summary", Explain::Summary), ("full", Explain::Full)];
        let explain = fields.optional("explain", |word| word.one_of(&words));
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
            explain: explain?,
        })
    }
}

/// What an amount comes to.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Calculation", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct CalculationView {
    calculation_id: Sc<CalculationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<Sc<ProjectId>>,
    amount: i64,
    currency: Sc<Currency>,
    as_of: Sc<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<u32>,
    model_hash: Sc<ModelHash>,
    /// One line a recipient, in order of first appearance.
    breakdown: Vec<LineView>,
    totals: TotalsView,
    /// The sum of `netAmount`.
    total_distributed: i64,
    /// Why each cent is where it is.
    explanation: Vec<ExplanationView>,
    /// What to look at, though nothing is wrong.
    warnings: Vec<WarningView>,
}

/// What one recipient gets: `grossShare = platformFeeShare + taxWithheldShare + netAmount`.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "BreakdownLine", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    recipient_id: Sc<RecipientId>,
    gross_share: i64,
    platform_fee_share: i64,
    tax_withheld_share: i64,
    net_amount: i64,
    /// `payable`, or `held`.
    disposition: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_reason: Option<String>,
    /// What would be paid now.
    payable_amount: i64,
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        Self {
            payable_amount: line.payable_minor(),
            recipient_id: Sc(line.recipient),
            gross_share: line.gross_minor,
            platform_fee_share: line.fee_minor,
            tax_withheld_share: line.tax_minor,
            net_amount: line.net_minor,
            disposition: if line.hold.is_some() { "held" } else { "payable" }.to_owned(),
            hold_reason: line.hold.map(|reason| reason.as_str().to_owned()),
        }
    }
}

/// The sums of the columns.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Totals", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct TotalsView {
    gross: i64,
    platform_fee: i64,
    tax_withheld: i64,
    net: i64,
    held: i64,
    payable: i64,
}

impl From<Totals> for TotalsView {
    fn from(totals: Totals) -> Self {
        Self {
            gross: totals.gross_minor,
            platform_fee: totals.fee_minor,
            tax_withheld: totals.tax_minor,
            net: totals.net_minor,
            held: totals.held_minor,
            payable: totals.payable_minor,
        }
    }
}

/// How a value came about. The values of one recipient and column sum to the breakdown.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ExplanationLine", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ExplanationView {
    seq: u32,
    /// The step of the model, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    /// Absent where it is about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<Sc<RecipientId>>,
    column: String,
    op: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    numerator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denominator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remainder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_unit: Option<i64>,
    value: i64,
    rule: String,
}

impl From<ExplanationLine> for ExplanationView {
    fn from(line: ExplanationLine) -> Self {
        Self {
            seq: line.seq,
            step: line.step.and_then(|step| u32::try_from(step).ok()),
            recipient_id: line.recipient.map(Sc),
            column: line.column.as_str().to_owned(),
            op: line.operation.as_str().to_owned(),
            numerator: line.numerator,
            denominator: line.denominator,
            floor: line.floor,
            remainder: line.remainder,
            extra_unit: line.extra_unit,
            value: line.value,
            rule: line.rule.to_owned(),
        }
    }
}

/// Something to look at.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Warning", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct WarningView {
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<Sc<RecipientId>>,
    /// How much is missing, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Sum>,
    /// What the formula of the fee gave, in minor units, before it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<Sum>,
}

impl From<Warning> for WarningView {
    fn from(warning: Warning) -> Self {
        let (missing, wanted) = match &warning {
            Warning::WithholdingShortfall { missing_minor, .. } => (Some(i128::from(*missing_minor)), None),
            Warning::FeeClamped { wanted_minor } => (None, i128::try_from(*wanted_minor).ok()),
            Warning::NothingToSplit | Warning::NothingPayable | Warning::RecipientHeld { .. } => (None, None),
        };
        Self {
            code: warning.code().to_owned(),
            recipient_id: warning.recipient().cloned().map(Sc),
            missing: missing.map(Sum),
            wanted: wanted.map(Sum),
        }
    }
}

impl From<Calculated> for CalculationView {
    fn from(calculated: Calculated) -> Self {
        let Calculated { id, project, model_version, model_hash, as_of, calculation } = calculated;
        let Calculation { amount, lines, totals, explanation, warnings } = calculation;
        Self {
            calculation_id: Sc(id),
            project_id: project.map(Sc),
            amount: amount.amount_minor,
            currency: Sc(amount.currency),
            as_of: Sc(as_of),
            model_version,
            model_hash: Sc(model_hash),
            breakdown: lines.into_iter().map(LineView::from).collect(),
            totals: totals.into(),
            total_distributed: totals.net_minor,
            explanation: explanation.into_iter().map(ExplanationView::from).collect(),
            warnings: warnings.into_iter().map(WarningView::from).collect(),
        }
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

/// The endpoints of this file.
pub struct Revenue(pub(super) Arc<Service>);

#[OpenApi]
impl Revenue {
    /// Schedule the payouts of a released escrow
    ///
    /// Splits the amount by the project's model, books it, and queues the payments, in one transaction. An escrow is
    /// booked at most once, ever: the same `escrowId` again answers 409 and names the batch it became, so a request
    /// whose answer was lost can be repeated.
    #[oai(path = "/revenue/schedule-payouts", method = "post", operation_id = "schedulePayouts", tag = "Tag::Revenue")]
    async fn schedule(&self, auth: Auth<Scheduler>, body: Body<ScheduleRequest>) -> Answer<ScheduleAnswer> {
        let service = &self.0;
        let ScheduleRequest { escrow_id, project_id, milestone_id, amount, currency, as_of, execute_at, deductions } =
            body.0;
        let deduction = |deduction: DeductionRequest| Deduction {
            kind: deduction.kind.0,
            amount_minor: deduction.amount.0.0,
            reference: deduction.reference,
        };
        let ask = SchedulePayouts {
            escrow: escrow_id.0,
            project: project_id.0,
            milestone: milestone_id.map(|id| id.0),
            amount: Money::new(amount.0.0, currency.0),
            as_of: as_of.map(|at| at.0),
            execute_at: execute_at.map(|at| at.0),
            deductions: deductions.unwrap_or_default().into_iter().map(deduction).collect(),
            requester: auth.0.subject,
        };
        let now = service.now().await?;
        let batch =
            schedule_payouts(service.repository.as_ref(), &service.rails, service.ids.as_ref(), now, ask).await?;
        let location = format!("/payouts/batches/{}", batch.id);
        Ok(ScheduleAnswer::Created(Js(batch.into()), location))
    }

    /// Calculate what an amount would come to
    ///
    /// Uses the project's stored model, or the one in the request. Writes nothing. Any role may call it.
    #[oai(path = "/revenue/calculate", method = "post", operation_id = "calculateRevenue", tag = "Tag::Revenue")]
    async fn calculate(&self, _auth: Auth<Authenticated>, body: Body<CalculateRequest>) -> Answer<CalculateAnswer> {
        let service = &self.0;
        let CalculateRequest { project_id, revenue_model, amount, currency, as_of, explain } = body.0;
        let model = match (project_id, revenue_model) {
            (Some(project), _) => ModelChoice::Project(project.0),
            (None, Some(model)) => ModelChoice::Inline(Box::new(model.spec()?)),
            (None, None) => return Err(crate::http::problem::ApiError::internal("neither a project nor a model")),
        };
        let ask = CalculateRevenue {
            model,
            amount: Money::new(amount.0.0, currency.0),
            as_of: as_of.map(|at| at.0),
            detail: match explain {
                Some(Explain::None) => calculation::Detail::None,
                Some(Explain::Summary) => calculation::Detail::Summary,
                Some(Explain::Full) | None => calculation::Detail::Full,
            },
        };
        let now = service.now().await?;
        let calculated =
            calculate_revenue(service.repository.as_ref(), &service.rails, service.ids.as_ref(), now, ask).await?;
        Ok(CalculateAnswer::Calculated(Js(calculated.into())))
    }
}
