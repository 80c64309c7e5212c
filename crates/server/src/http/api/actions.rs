//! What people may do with a batch or an item: approve, cancel, retry, hold, release, and say what became of it.

use super::{
    Tag,
    batches::{BatchView, ItemView},
};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        context,
        fault::Fault,
        fields::Fields,
        idempotency::{Key, Once},
        params::PathParam,
        payload::{Body, FromBody, Js},
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::{Sc, Scalar},
        token::Caller,
    },
};
use app::{
    change::Resolved,
    payouts::{
        act::{Acted, Action, act},
        approve_batch::{ApproveBatch, approve_batch},
        resolve_item::{ResolveItem, ResolvedItem, resolve_item},
    },
};
use domain::{
    approval::ContentHash,
    audit::Actor,
    ids::{BatchId, ItemId, Requester, ResolutionId},
    timestamp::Timestamp,
};
use poem_openapi::{Object, OpenApi, registry::MetaSchema};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// Most characters of a note, and of what shows something.
const NOTE_MAX: usize = 1_000;

impl Scalar for ContentHash {
    const NAME: &'static str = "ContentHash";
    fn describe(schema: &mut MetaSchema) {
        schema.description =
            Some("What there is to say yes to: items, recipients, amounts, where the money goes, and when.");
        schema.pattern = Some("^sha256:[0-9a-f]{64}$".to_owned());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| Fault::invalid_format("This must be `sha256:` and 64 hexadecimal digits."))
    }
    fn wire(&self) -> Value {
        self.to_string().into()
    }
}

impl Scalar for Resolved {
    const NAME: &'static str = "ResolvedOutcome";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some(
            "What became of a payment: it was executed; it was not, and stays failed; it was not, and is sent again; or it \
             was executed and came back.",
        );
        schema.enum_items = Self::ALL.iter().map(Self::wire).collect();
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        let known = Self::ALL.into_iter().find(|outcome| outcome.as_str() == text);
        known.ok_or_else(|| Fault::invalid_format("This must be `paid`, `failed`, `not_executed` or `returned`."))
    }
    fn wire(&self) -> Value {
        self.as_str().into()
    }
}

/// Why something is done.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct NoteRequest {
    /// Why, in your own words. It goes to the audit log.
    #[oai(validator(min_length = 1, max_length = 1000, pattern = "^[^\\u0000]*$"))]
    note: Option<String>,
}

impl FromBody for NoteRequest {
    const EXAMPLE: Option<&'static str> = Some(r#"{ "note": "asked for by the recipient" }"#);

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let note = fields.optional("note", |note| note.text(1..=NOTE_MAX));
        Some(Self { note: note? })
    }
}

/// A yes.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct ApproveRequest {
    /// What you saw, the batch's `contentHash`: then nothing else is approved.
    content_hash: Option<Sc<ContentHash>>,
    /// What you remark. It goes to the audit log.
    #[oai(validator(min_length = 1, max_length = 1000, pattern = "^[^\\u0000]*$"))]
    note: Option<String>,
}

impl FromBody for ApproveRequest {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let content_hash = fields.optional("contentHash", Sc::read);
        let note = fields.optional("note", |note| note.text(1..=NOTE_MAX));
        Some(Self { content_hash: content_hash?, note: note? })
    }
}

/// What became of a payment that the rail cannot tell.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct ResolveRequest {
    outcome: Sc<Resolved>,
    /// What shows it: a statement, a ticket of the provider.
    #[oai(validator(min_length = 1, max_length = 1000, pattern = "^[^\\u0000]*$"))]
    evidence: String,
    /// Why, in your own words.
    #[oai(validator(min_length = 1, max_length = 1000, pattern = "^[^\\u0000]*$"))]
    note: Option<String>,
}

impl FromBody for ResolveRequest {
    const EXAMPLE: Option<&'static str> = Some(
        r#"{ "outcome": "paid", "evidence": "statement 2026-03, line 17", "note": "the provider lost the call" }"#,
    );

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let outcome = fields.required("outcome", Sc::read);
        let evidence = fields.required("evidence", |text| text.text(1..=NOTE_MAX));
        let note = fields.optional("note", |note| note.text(1..=NOTE_MAX));
        Some(Self { outcome: outcome?, evidence: evidence?, note: note? })
    }
}

/// What became of a batch and of those of its items that were acted on.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Acted", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ActedView {
    batch: BatchView,
    items: Vec<ItemView>,
    /// Those whose rail was asked to give them up, and has not answered yet.
    asked: Vec<Sc<ItemId>>,
}

impl From<Acted> for ActedView {
    fn from(Acted { batch, items, asked }: Acted) -> Self {
        let currency = batch.currency;
        Self {
            batch: batch.into(),
            items: items.into_iter().map(|item| ItemView::of(item, currency)).collect(),
            asked: asked.into_iter().map(Sc).collect(),
        }
    }
}

/// What people say became of a payment.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Resolution", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ResolutionView {
    resolution_id: Sc<ResolutionId>,
    item_id: Sc<ItemId>,
    outcome: Sc<Resolved>,
    evidence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// `proposed`: a second person must say the same. `confirmed`: it is true now.
    status: String,
    proposed_by: Sc<Requester>,
    proposed_at: Sc<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_by: Option<Sc<Requester>>,
}

impl From<app::change::Resolution> for ResolutionView {
    fn from(resolution: app::change::Resolution) -> Self {
        use app::change::ResolutionState;
        Self {
            status: resolution.state.as_str().to_owned(),
            confirmed_by: match &resolution.state {
                ResolutionState::Confirmed { by, .. } => Some(Sc(by.clone())),
                ResolutionState::Proposed | ResolutionState::Withdrawn { .. } => None,
            },
            resolution_id: Sc(resolution.id),
            item_id: Sc(resolution.item),
            outcome: Sc(resolution.outcome),
            evidence: resolution.evidence,
            note: resolution.note,
            proposed_by: Sc(resolution.proposed_by),
            proposed_at: Sc(resolution.proposed_at),
        }
    }
}

/// A resolution, and the item as it is now.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ResolvedItem", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ResolvedView {
    resolution: ResolutionView,
    item: Option<ItemView>,
}

responses! {
    /// Answers of every action on a batch or an item.
    ActedAnswer {
        /// It is done.
        200 Done(Js<ActedView>),
    }
    errors [NotFound, Conflict]
}

responses! {
    /// Answers of `POST /payouts/items/{itemId}/resolve`.
    ResolveAnswer {
        /// It is proposed; or, if somebody else proposed the same, it is true now.
        200 Taken(Js<ResolvedView>),
    }
    errors [NotFound, Conflict]
}

fn acted(acted: &Acted) -> ActedAnswer {
    ActedAnswer::Done(Js(acted.clone().into()))
}

fn resolved(resolved: &ResolvedItem) -> ResolveAnswer {
    let ResolvedItem { resolution, acted } = resolved.clone();
    let currency = acted.batch.currency;
    let item = acted.items.into_iter().next().map(|item| ItemView::of(item, currency));
    ResolveAnswer::Taken(Js(ResolvedView { resolution: resolution.into(), item }))
}

/// Who acts, as the audit log names them.
pub(super) fn actor(caller: &Caller, note: Option<String>) -> Actor {
    Actor { name: caller.subject.to_string(), role: Some(caller.role.clone()), note, request: context::request_id() }
}

/// The endpoints of this file.
pub struct Actions(pub(super) Arc<Service>);

impl Actions {
    /// Does something once, as `caller`, and answers what became of it.
    async fn act(&self, caller: Caller, note: NoteRequest, key: Key, action: Action) -> Answer<Once<ActedAnswer>> {
        let service = &self.0;
        let actor = actor(&caller, note.note);
        key.once(service.keeper(), acted, async |remember| {
            let now = service.now().await?;
            Ok(act(service.acting(&actor, now), action, &remember).await?)
        })
        .await
    }
}

#[OpenApi]
impl Actions {
    /// Approve a batch
    ///
    /// Says yes to exactly what would be paid of it now. Whoever scheduled it, or set where the money goes, does not
    /// approve it.
    #[oai(
        path = "/payouts/batches/:batchId/approve",
        method = "post",
        operation_id = "approveBatch",
        tag = "Tag::Payouts"
    )]
    async fn approve(
        &self,
        auth: Auth<may::Approve>,
        body: Body<ApproveRequest>,
        #[oai(name = "batchId")] batch_id: PathParam<Sc<BatchId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ActedAnswer>> {
        let service = &self.0;
        let actor = actor(&auth.0, body.0.note);
        let hash = body.0.content_hash.map(|hash| hash.0);
        let ask = ApproveBatch { batch: batch_id.0.0, hash, approver: auth.0.subject };
        key.once(service.keeper(), acted, async |remember| {
            let now = service.now().await?;
            Ok(approve_batch(service.acting(&actor, now), ask, &remember).await?)
        })
        .await
    }

    /// Cancel a batch
    ///
    /// Everything that was not paid and that no rail keeps. The rest is left as it is, or its rail is asked to give it up.
    #[oai(
        path = "/payouts/batches/:batchId/cancel",
        method = "post",
        operation_id = "cancelBatch",
        tag = "Tag::Payouts"
    )]
    async fn cancel_batch(
        &self,
        auth: Auth<may::Operate>,
        body: Body<NoteRequest>,
        #[oai(name = "batchId")] batch_id: PathParam<Sc<BatchId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ActedAnswer>> {
        self.act(auth.0, body.0, key, Action::CancelBatch(batch_id.0.0)).await
    }

    /// Retry a batch
    ///
    /// Sends everything of it again that failed or came back, under new keys.
    #[oai(path = "/payouts/batches/:batchId/retry", method = "post", operation_id = "retryBatch", tag = "Tag::Payouts")]
    async fn retry_batch(
        &self,
        auth: Auth<may::Operate>,
        body: Body<NoteRequest>,
        #[oai(name = "batchId")] batch_id: PathParam<Sc<BatchId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ActedAnswer>> {
        self.act(auth.0, body.0, key, Action::RetryBatch(batch_id.0.0)).await
    }

    /// Hold an item
    ///
    /// Until an operator releases it.
    #[oai(path = "/payouts/items/:itemId/hold", method = "post", operation_id = "holdItem", tag = "Tag::Payouts")]
    async fn hold(
        &self,
        auth: Auth<may::Operate>,
        body: Body<NoteRequest>,
        #[oai(name = "itemId")] item_id: PathParam<Sc<ItemId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ActedAnswer>> {
        self.act(auth.0, body.0, key, Action::HoldItem(item_id.0.0)).await
    }

    /// Release an item
    ///
    /// An item that an operator holds, or that is to be tried again at its rail. What waits for its recipient is released
    /// by `PUT /recipients/{recipientId}`, which makes them payable, and by nobody else: as long as they may not be paid,
    /// this answers 409 `recipient_held` and says what to do. If an operator holds the item of such a recipient, that
    /// hold ends and the item stays `pending_kyc` for the recipient, as the answer says.
    #[oai(path = "/payouts/items/:itemId/release", method = "post", operation_id = "releaseItem", tag = "Tag::Payouts")]
    async fn release(
        &self,
        auth: Auth<may::Operate>,
        body: Body<NoteRequest>,
        #[oai(name = "itemId")] item_id: PathParam<Sc<ItemId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ActedAnswer>> {
        self.act(auth.0, body.0, key, Action::ReleaseItem(item_id.0.0)).await
    }

    /// Cancel an item
    ///
    /// What was not sent is cancelled at once. What may have arrived at the rail is cancelled with the rail's proof
    /// only: it is asked to give it up.
    #[oai(path = "/payouts/items/:itemId/cancel", method = "post", operation_id = "cancelItem", tag = "Tag::Payouts")]
    async fn cancel(
        &self,
        auth: Auth<may::Operate>,
        body: Body<NoteRequest>,
        #[oai(name = "itemId")] item_id: PathParam<Sc<ItemId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ActedAnswer>> {
        self.act(auth.0, body.0, key, Action::CancelItem(item_id.0.0)).await
    }

    /// Retry an item
    ///
    /// Sends it again after it failed or came back: a new instruction under a new key.
    #[oai(path = "/payouts/items/:itemId/retry", method = "post", operation_id = "retryItem", tag = "Tag::Payouts")]
    async fn retry(
        &self,
        auth: Auth<may::Operate>,
        body: Body<NoteRequest>,
        #[oai(name = "itemId")] item_id: PathParam<Sc<ItemId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ActedAnswer>> {
        self.act(auth.0, body.0, key, Action::RetryItem(item_id.0.0)).await
    }

    /// Say what became of an item
    ///
    /// Of one that is `in_doubt`, once its rail cannot tell any more. Two people must say the same.
    #[oai(path = "/payouts/items/:itemId/resolve", method = "post", operation_id = "resolveItem", tag = "Tag::Payouts")]
    async fn resolve(
        &self,
        auth: Auth<may::Resolve>,
        body: Body<ResolveRequest>,
        #[oai(name = "itemId")] item_id: PathParam<Sc<ItemId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ResolveAnswer>> {
        let service = &self.0;
        let ResolveRequest { outcome, evidence, note } = body.0;
        let actor = actor(&auth.0, note);
        let ask = ResolveItem { item: item_id.0.0, outcome: outcome.0, evidence, requester: auth.0.subject };
        key.once(service.keeper(), resolved, async |remember| {
            let now = service.now().await?;
            Ok(resolve_item(service.acting(&actor, now), ask, &remember).await?)
        })
        .await
    }
}
