//! Why an item's amount is what it is.

use super::{
    Tag,
    calculation_view::{ExplanationView, LineView},
};
use crate::{
    compose::Service,
    http::{
        auth::Auth, params::PathParam, payload::Js, problem::Answer, responses::responses, roles::may, scalars::Sc,
    },
};
use app::payouts::explain_item::{ItemExplanation, explain_item};
use domain::{
    currency::Currency,
    ids::{BatchId, ItemId, RecipientId},
    revenue_model::ModelHash,
    timestamp::Timestamp,
};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use std::sync::Arc;

/// Why an item's amount is what it is: the calculation of its batch, as it was booked.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ItemExplanation", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ItemExplanationView {
    item_id: Sc<ItemId>,
    batch_id: Sc<BatchId>,
    recipient_id: Sc<RecipientId>,
    currency: Sc<Currency>,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<u32>,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_hash: Option<Sc<ModelHash>>,
    /// Of a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Sc<Timestamp>>,
    /// The recipient's line, as it was booked.
    amounts: LineView,
    /// What is about the recipient, or about the whole. The values about the recipient sum to `amounts`. Empty in a
    /// batch of what was carried: its line says it all.
    explanation: Vec<ExplanationView>,
}

impl From<ItemExplanation> for ItemExplanationView {
    fn from(explained: ItemExplanation) -> Self {
        let ItemExplanation { item, batch, line, lines } = explained;
        let release = batch.release();
        Self {
            item_id: Sc(item.id),
            batch_id: Sc(batch.id),
            recipient_id: Sc(item.recipient),
            currency: Sc(batch.currency),
            model_version: release.map(|release| release.model_version),
            model_hash: release.map(|release| Sc(release.model_hash)),
            as_of: release.map(|release| Sc(release.as_of)),
            amounts: LineView::booked(line, &lines),
            explanation: lines.into_iter().map(ExplanationView::from).collect(),
        }
    }
}

responses! {
    /// Answers of `GET /payouts/items/{itemId}/explanation`.
    ExplanationAnswer {
        /// The explanation.
        200 Found(Js<ItemExplanationView>),
    }
    errors [NotFound]
}

/// The endpoint of this file.
pub struct Explanations(pub(super) Arc<Service>);

#[OpenApi]
impl Explanations {
    /// Explain an item
    ///
    /// Why its amount is what it is, cent by cent: the calculation of its batch is done again from what was stored with
    /// it. What happened to the item since is not in it.
    #[oai(
        path = "/payouts/items/:itemId/explanation",
        method = "get",
        operation_id = "explainItem",
        tag = "Tag::Payouts"
    )]
    async fn explain(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "itemId")] item_id: PathParam<Sc<ItemId>>,
    ) -> Answer<ExplanationAnswer> {
        let service = &self.0;
        let explained = explain_item(service.repository.as_ref(), service.queries.as_ref(), item_id.0.0).await?;
        Ok(ExplanationAnswer::Found(Js(explained.into())))
    }
}
