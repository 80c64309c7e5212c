//! Batches and items: what was scheduled, and what became of it.

use super::{Tag, actions::ResolutionView, there, values::Facts};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        page::{AfterParam, LimitParam, Page, page_of},
        params::{PathParam, QueryParam},
        payload::Js,
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::Sc,
    },
};
use app::{
    payouts::{
        approve_batch::content_to_approve,
        why_unpaid::{Why, why_unpaid},
    },
    ports::{
        Rails,
        queries::{BatchDetails, BatchFilter, ItemDetails},
    },
};
use domain::{
    approval::{Approval, ContentHash},
    batch::{Batch, BatchStatus, Origin},
    currency::Currency,
    event::Event,
    ids::{BatchId, EscrowId, EventId, InstructionId, ItemId, JobId, MilestoneId, ProjectId, RecipientId, Requester},
    instruction::{Instruction, InstructionItem},
    item::{Item, ItemStatus},
    recipient::RailId,
    revenue_model::ModelHash,
    timestamp::Timestamp,
};
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;
use std::sync::Arc;

/// What one escrow release became, or what is paid of what was carried. Amounts are minor units.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Batch", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct BatchView {
    batch_id: Sc<BatchId>,
    /// `release`: it came from an escrow. `carry`: it pays what was carried for one recipient.
    kind: BatchKind,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    escrow_id: Option<Sc<EscrowId>>,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<Sc<ProjectId>>,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    milestone_id: Option<Sc<MilestoneId>>,
    /// Of what was carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<Sc<RecipientId>>,
    scheduled_by: Sc<Requester>,
    status: Sc<BatchStatus>,
    currency: Sc<Currency>,
    /// What was released; 0 in a batch of what was carried.
    amount: i64,
    /// What was taken off before the split.
    deductions: i64,
    /// The platform's part, tax on it included.
    fees: i64,
    tax_withheld: i64,
    /// What recipients are owed.
    total_net: i64,
    items_count: u32,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<u32>,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_hash: Option<Sc<ModelHash>>,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Sc<Timestamp>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execute_at: Option<Sc<Timestamp>>,
    /// Not paid before this: as `executeAt` and the payout calendar say.
    due_at: Sc<Timestamp>,
    /// How many people must say yes to what is still to be paid; 0 if nobody must.
    approvals_required: u32,
    /// How many have.
    approvals_given: u32,
    job_id: Sc<JobId>,
    created_at: Sc<Timestamp>,
    updated_at: Sc<Timestamp>,
}

/// What a batch came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum BatchKind {
    /// The release of an escrow.
    Release,
    /// What was carried for a recipient.
    Carry,
}

impl From<Batch> for BatchView {
    fn from(batch: Batch) -> Self {
        let (release, recipient) = match batch.origin {
            Origin::Release(release) => (Some(release), None),
            Origin::Carry(recipient) => (None, Some(recipient)),
        };
        Self {
            batch_id: Sc(batch.id),
            kind: if release.is_some() { BatchKind::Release } else { BatchKind::Carry },
            model_version: release.as_ref().map(|release| release.model_version),
            model_hash: release.as_ref().map(|release| Sc(release.model_hash)),
            as_of: release.as_ref().map(|release| Sc(release.as_of)),
            escrow_id: release.as_ref().map(|release| Sc(release.escrow.clone())),
            milestone_id: release.as_ref().and_then(|release| release.milestone.clone()).map(Sc),
            project_id: release.map(|release| Sc(release.project)),
            recipient_id: recipient.map(Sc),
            scheduled_by: Sc(batch.scheduled_by),
            status: Sc(batch.status),
            currency: Sc(batch.currency),
            amount: batch.amount_minor,
            deductions: batch.deductions_minor,
            fees: batch.fee_minor,
            tax_withheld: batch.tax_minor,
            total_net: batch.total_net_minor,
            items_count: batch.items_count,
            execute_at: batch.execute_at.map(Sc),
            due_at: Sc(batch.due_at),
            approvals_required: batch.approvals.required,
            approvals_given: batch.approvals.given,
            job_id: Sc(batch.job),
            created_at: Sc(batch.created_at),
            updated_at: Sc(batch.updated_at),
        }
    }
}

/// One payment to one recipient. Amounts are minor units.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Item", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ItemView {
    item_id: Sc<ItemId>,
    batch_id: Sc<BatchId>,
    /// The recipient, under the name this field has always had.
    user_id: Sc<RecipientId>,
    recipient_id: Sc<RecipientId>,
    currency: Sc<Currency>,
    /// Gross.
    amount: i64,
    fees: i64,
    tax_withheld: i64,
    /// `amount - fees - taxWithheld`
    net_amount: i64,
    /// What is sent, held or not: net, less what a debt took or is carried on, and what was carried.
    payable_amount: i64,
    /// What reversals took back of `amount`.
    reversed_amount: i64,
    status: Sc<ItemStatus>,
    /// Why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_reason: Option<String>,
    /// Why it was refused or came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    /// The rail's own name for the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_payout_id: Option<String>,
    /// How many instructions were made for it.
    attempts: u32,
    /// Of these, how many the worker made by itself after a refusal that may pass, since a person last decided.
    retries: u32,
    /// Not sent again before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Sc<Timestamp>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_at: Option<Sc<Timestamp>>,
    created_at: Sc<Timestamp>,
    updated_at: Sc<Timestamp>,
}

impl ItemView {
    pub(super) fn of(item: Item, currency: Currency) -> Self {
        let state = item.state();
        Self {
            status: Sc(item.status()),
            hold_reason: state.hold_reason().map(|reason| reason.as_str().to_owned()),
            failure_reason: state.failure_reason().map(str::to_owned),
            provider_payout_id: state.reference().map(str::to_owned),
            processed_at: state.processed_at().map(Sc),
            item_id: Sc(item.id),
            batch_id: Sc(item.batch),
            user_id: Sc(item.recipient.clone()),
            recipient_id: Sc(item.recipient),
            currency: Sc(currency),
            amount: item.amount_minor,
            fees: item.fee_minor,
            tax_withheld: item.tax_minor,
            net_amount: item.net_minor,
            payable_amount: item.payable_minor,
            reversed_amount: item.reversed_minor,
            attempts: item.attempts,
            retries: item.retries,
            not_before: item.not_before.map(Sc),
            created_at: Sc(item.created_at),
            updated_at: Sc(item.updated_at),
        }
    }
}

/// An order to a rail.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Attempt", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct AttemptView {
    /// Also the idempotency key.
    instruction_id: Sc<InstructionId>,
    /// What it pays.
    item_ids: Vec<Sc<ItemId>>,
    rail: Sc<RailId>,
    amount: i64,
    /// 1 for the first instruction of an item, 2 after that was refused, and so on.
    generation: u32,
    /// How many times it may have been received under its one key; 0 if it never left.
    tries: u32,
    /// That of its parts, or `mixed`.
    status: String,
    /// What became of each item.
    parts: Vec<AttemptPartView>,
    first_sent_at: Sc<Timestamp>,
    last_sent_at: Sc<Timestamp>,
}

/// What became of an item under an order.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AttemptPart", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct AttemptPartView {
    item_id: Sc<ItemId>,
    /// The name under which the rail reports on it.
    wire_ref: String,
    amount: i64,
    /// `sent`: nothing is known. `accepted`: the rail has it. `settled`: paid. `refused`, `absent` (it never arrived) and
    /// `recalled`: nothing was executed. `returned`: it came back. `stray`: it was executed after it had been given up,
    /// and is the recipient's debt.
    status: String,
    /// What came back of it.
    returned: i64,
    /// The rail's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// Why it was refused or came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Instruction> for AttemptView {
    fn from(instruction: Instruction) -> Self {
        Self {
            status: instruction.status().to_owned(),
            instruction_id: Sc(instruction.id),
            item_ids: instruction.items.iter().map(|part| Sc(part.item)).collect(),
            amount: instruction.amount_minor(),
            parts: instruction.items.iter().map(AttemptPartView::from).collect(),
            rail: Sc(instruction.rail),
            generation: instruction.generation,
            tries: instruction.tries,
            first_sent_at: Sc(instruction.first_sent_at),
            last_sent_at: Sc(instruction.last_sent_at),
        }
    }
}

impl From<&InstructionItem> for AttemptPartView {
    fn from(part: &InstructionItem) -> Self {
        Self {
            item_id: Sc(part.item),
            wire_ref: part.wire_ref.clone(),
            amount: part.amount_minor,
            status: part.outcome.as_str().to_owned(),
            returned: part.returned_minor,
            reference: part.outcome.reference().map(str::to_owned),
            reason: part.outcome.reason().map(str::to_owned),
        }
    }
}

/// Somebody's yes.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Approval", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ApprovalView {
    approver: Sc<Requester>,
    /// What they said yes to: it counts as long as that is what would be paid.
    content_hash: Sc<ContentHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    at: Sc<Timestamp>,
}

impl From<Approval> for ApprovalView {
    fn from(approval: Approval) -> Self {
        Self {
            approver: Sc(approval.approver().clone()),
            content_hash: Sc(approval.hash()),
            note: approval.note().map(str::to_owned),
            at: Sc(approval.at()),
        }
    }
}

/// Why an item is not paid yet.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Why", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct WhyView {
    /// A stable word, such as `awaiting_approval` or `recipient_pending`.
    code: String,
    /// A sentence.
    message: String,
    /// What can be done, or that nothing needs to be.
    next_step: String,
    /// When something happens by itself, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Sc<Timestamp>>,
}

impl From<Why> for WhyView {
    fn from(why: Why) -> Self {
        Self {
            code: why.code.to_owned(),
            message: why.message,
            next_step: why.next_step,
            not_before: why.not_before.map(Sc),
        }
    }
}

/// Something that happened to a batch.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "TimelineEntry", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct TimelineView {
    event_id: Sc<EventId>,
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<Sc<ItemId>>,
    occurred_at: Sc<Timestamp>,
    data: Facts,
}

impl From<Event> for TimelineView {
    fn from(event: Event) -> Self {
        Self {
            event_id: Sc(event.id),
            kind: event.kind.to_string(),
            item_id: event.item.map(Sc),
            occurred_at: Sc(event.occurred_at),
            data: Facts(event.data),
        }
    }
}

/// A batch with everything that belongs to it.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "BatchDetails", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct BatchDetailsView {
    #[oai(flatten)]
    #[serde(flatten)]
    batch: BatchView,
    /// In the order of the model.
    items: Vec<ItemView>,
    /// Every order to a rail, oldest first.
    attempts: Vec<AttemptView>,
    /// Everything that happened lately, oldest first. What was told long ago is in the audit log only.
    timeline: Vec<TimelineView>,
    /// Every approval, oldest first.
    approvals: Vec<ApprovalView>,
    /// What there is to say yes to now, while an approval is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_hash: Option<Sc<ContentHash>>,
}

impl BatchDetailsView {
    fn of(details: BatchDetails, content_hash: Option<ContentHash>) -> Self {
        let currency = details.batch.currency;
        Self {
            approvals: details.approvals.into_iter().map(ApprovalView::from).collect(),
            content_hash: content_hash.map(Sc),
            batch: details.batch.into(),
            items: details.items.into_iter().map(|item| ItemView::of(item, currency)).collect(),
            attempts: details.instructions.into_iter().map(AttemptView::from).collect(),
            timeline: details.events.into_iter().map(TimelineView::from).collect(),
        }
    }
}

/// An item with everything that belongs to it.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ItemDetails", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ItemDetailsView {
    #[oai(flatten)]
    #[serde(flatten)]
    item: ItemView,
    /// Why it is not paid yet, or that it is.
    why: WhyView,
    /// Every order to a rail, oldest first.
    attempt_history: Vec<AttemptView>,
    /// What somebody said became of it, and a second person did not confirm yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<ResolutionView>,
}

impl ItemDetailsView {
    fn of(details: ItemDetails, rails: &Rails, now: Timestamp) -> Self {
        Self {
            why: why_unpaid(&details, rails, now).into(),
            item: ItemView::of(details.item, details.batch.currency),
            attempt_history: details.instructions.into_iter().map(AttemptView::from).collect(),
            resolution: details.resolution.map(ResolutionView::from),
        }
    }
}

responses! {
    /// Answers of `GET /payouts/batches`.
    ListAnswer {
        /// The batches, newest first.
        200 Listed(Js<Page<BatchView>>),
    }
    errors []
}

responses! {
    /// Answers of `GET /payouts/batches/{batchId}`.
    BatchAnswer {
        /// The batch, its items, attempts and timeline.
        200 Found(Js<BatchDetailsView>),
    }
    errors [NotFound]
}

responses! {
    /// Answers of `GET /payouts/items/{itemId}`.
    ItemAnswer {
        /// The item and its attempts.
        200 Found(Js<ItemDetailsView>),
    }
    errors [NotFound]
}

/// The endpoints of this file.
pub struct Batches(pub(super) Arc<Service>);

#[OpenApi]
impl Batches {
    /// List batches
    ///
    /// Newest first; filters can be combined.
    #[oai(path = "/payouts/batches", method = "get", operation_id = "listBatches", tag = "Tag::Payouts")]
    async fn list(
        &self,
        _auth: Auth<may::Read>,
        status: QueryParam<Option<Sc<BatchStatus>>>,
        #[oai(name = "projectId")] project_id: QueryParam<Option<Sc<ProjectId>>>,
        #[oai(name = "escrowId")] escrow_id: QueryParam<Option<Sc<EscrowId>>>,
        limit: LimitParam,
        starting_after: AfterParam<BatchId>,
    ) -> Answer<ListAnswer> {
        let filter = BatchFilter {
            status: status.0.map(|status| status.0),
            project: project_id.0.map(|id| id.0),
            escrow: escrow_id.0.map(|id| id.0),
        };
        let page = page_of(limit, starting_after);
        let batches = self.0.queries.batches(filter, page).await?;
        Ok(ListAnswer::Listed(Js(batches.map(BatchView::from).into())))
    }

    /// Read a batch
    ///
    /// With its items, every attempt to pay them, and everything that happened.
    #[oai(path = "/payouts/batches/:batchId", method = "get", operation_id = "getBatch", tag = "Tag::Payouts")]
    async fn batch(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "batchId")] batch_id: PathParam<Sc<BatchId>>,
    ) -> Answer<BatchAnswer> {
        let id = batch_id.0.0;
        let service = &self.0;
        let found = service.queries.batch(id).await?;
        let content_hash = match &found {
            Some(details) if details.batch.approvals.are_missing() => {
                let now = service.now().await?;
                content_to_approve(service.repository.as_ref(), &service.rails, id, now).await?
            }
            _ => None,
        };
        let found = found.map(|details| BatchDetailsView::of(details, content_hash));
        Ok(BatchAnswer::Found(there(found, "batch", "batch_not_found", id)?))
    }

    /// Read an item
    ///
    /// With every attempt to pay it, and why it is not paid yet: a word for programs, a sentence, and the next step.
    #[oai(path = "/payouts/items/:itemId", method = "get", operation_id = "getItem", tag = "Tag::Payouts")]
    async fn item(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "itemId")] item_id: PathParam<Sc<ItemId>>,
    ) -> Answer<ItemAnswer> {
        let id = item_id.0.0;
        let service = &self.0;
        let found = service.queries.item(id).await?;
        let now = service.now().await?;
        let found = found.map(|details| ItemDetailsView::of(details, &service.rails, now));
        Ok(ItemAnswer::Found(there(found, "item", "item_not_found", id)?))
    }
}
