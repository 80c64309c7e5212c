//! Refunds and other reversals: a part of a release is taken back.

use super::{Tag, actions::actor, calculation_view::RuleTaxView, there, values::Amount};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fields::Fields,
        idempotency::{Key, Once},
        params::PathParam,
        payload::{Body, FromBody, Js},
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::Sc,
    },
};
use app::revenue::reverse_revenue::{ReverseRevenue, Reversed, reverse_revenue, show_reversal};
use domain::{
    currency::Currency,
    ids::{BatchId, EscrowId, ItemId, RecipientId, Requester, ReversalId},
    reversal::{ReversalLine, Strategy},
    timestamp::Timestamp,
};
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;
use std::sync::Arc;

/// Most characters of a reason.
const REASON_MAX: usize = 500;

/// What is taken back of a release.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct ReversalRequest {
    /// Your own name for it.
    reversal_id: Sc<ReversalId>,
    /// Of which release.
    escrow_id: Sc<EscrowId>,
    /// How much of the gross amount.
    amount: Sc<Amount>,
    /// If given, it must be the currency of the release.
    currency: Option<Sc<Currency>>,
    /// `split_ratio`, if absent.
    strategy: Option<Sc<Strategy>>,
    /// Why, in your own words.
    #[oai(validator(min_length = 1, max_length = 500, pattern = "^[^\\u0000]*$"))]
    reason: Option<String>,
}

impl FromBody for ReversalRequest {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let reversal_id = fields.required("reversalId", Sc::read);
        let escrow_id = fields.required("escrowId", Sc::read);
        let amount = fields.required("amount", Sc::read);
        let currency = fields.optional("currency", Sc::read);
        let strategy = fields.optional("strategy", Sc::read);
        let reason = fields.optional("reason", |text| text.text(1..=REASON_MAX));
        Some(Self {
            reversal_id: reversal_id?,
            escrow_id: escrow_id?,
            amount: amount?,
            currency: currency?,
            strategy: strategy?,
            reason: reason?,
        })
    }
}

/// A reversal as it stands. Amounts are minor units.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Reversal", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ReversalView {
    reversal_id: Sc<ReversalId>,
    batch_id: Sc<BatchId>,
    escrow_id: Sc<EscrowId>,
    amount: i64,
    currency: Sc<Currency>,
    strategy: Sc<Strategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    status: ReversalStatus,
    /// Of `amount`, what the platform pays out of its own.
    platform_amount: i64,
    /// Who gives back how much, in the order of the batch.
    lines: Vec<ReversalLineView>,
    requested_by: Sc<Requester>,
    created_at: Sc<Timestamp>,
}

/// Whether a reversal is booked to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum ReversalStatus {
    /// Every line is booked.
    Completed,
    /// A line waits for a payment that is under way.
    Waiting,
}

/// Whether it is known where a line's money comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum ReversalLineStatus {
    /// It is.
    Booked,
    /// Its payment is under way.
    Waiting,
}

/// What one recipient's line gives back: `reversedAmount = net + fees + feeTax + taxes`, and
/// `net = fromPayable + fromCarried + toDebt`.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ReversalLine", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ReversalLineView {
    recipient_id: Sc<RecipientId>,
    /// The item that pays it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<Sc<ItemId>>,
    /// Gross.
    reversed_amount: i64,
    /// What the recipient bears: their net share, and the fee if the platform keeps it.
    net: i64,
    /// What the platform gives back of its fee, without the tax on it.
    fees: i64,
    /// What is given back of the tax on the fee.
    fee_tax: i64,
    /// What is not withheld any more, by rule.
    taxes: Vec<RuleTaxView>,
    /// Of `net`, the fee that the platform keeps, tax on it included.
    fee_kept: i64,
    /// What was not sent yet, and will not be. Known once the line is booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_payable: Option<i64>,
    /// What the line had carried, and nobody had paid since.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_carried: Option<i64>,
    /// What the recipient owes now, for it was paid before.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_debt: Option<i64>,
    status: ReversalLineStatus,
}

impl From<ReversalLine> for ReversalLineView {
    fn from(line: ReversalLine) -> Self {
        let source = line.source;
        Self {
            recipient_id: Sc(line.recipient),
            item_id: line.item.map(Sc),
            reversed_amount: line.gross_minor,
            net: line.net_minor,
            fees: line.fee_minor,
            fee_tax: line.fee_tax_minor,
            taxes: line.taxes.into_iter().map(RuleTaxView::from).collect(),
            fee_kept: line.fee_kept_minor + line.fee_tax_kept_minor,
            from_payable: source.map(|source| source.payable_minor),
            from_carried: source.map(|source| source.carried_minor),
            to_debt: source.map(|source| source.debt_minor),
            status: if source.is_some() { ReversalLineStatus::Booked } else { ReversalLineStatus::Waiting },
        }
    }
}

impl From<Reversed> for ReversalView {
    fn from(reversed: Reversed) -> Self {
        let status = if reversed.is_completed() { ReversalStatus::Completed } else { ReversalStatus::Waiting };
        let Reversed { reversal, escrow, lines } = reversed;
        Self {
            reversal_id: Sc(reversal.id),
            batch_id: Sc(reversal.batch),
            escrow_id: Sc(escrow),
            amount: reversal.amount_minor,
            currency: Sc(reversal.currency),
            strategy: Sc(reversal.strategy),
            reason: reversal.reason,
            status,
            platform_amount: reversal.platform_minor,
            lines: lines.into_iter().map(ReversalLineView::from).collect(),
            requested_by: Sc(reversal.requested_by),
            created_at: Sc(reversal.created_at),
        }
    }
}

responses! {
    /// Answers of `POST /revenue/reversals`.
    ReverseAnswer {
        /// The reversal is booked; what is under way follows.
        201 Created(Js<ReversalView>, "Location" location: String),
    }
    errors [NotFound, Conflict]
}

responses! {
    /// Answers of `GET /revenue/reversals/{reversalId}`.
    GetAnswer {
        /// The reversal.
        200 Found(Js<ReversalView>),
    }
    errors [NotFound]
}

fn reversed(reversed: &Reversed) -> ReverseAnswer {
    let location = format!("/revenue/reversals/{}", reversed.reversal.id);
    ReverseAnswer::Created(Js(reversed.clone().into()), location)
}

/// The endpoints of this file.
pub struct Reversals(pub(super) Arc<Service>);

#[OpenApi]
impl Reversals {
    /// Take back a part of a release
    ///
    /// A refund or another reversal, divided over what is left of each line. It comes out of what was not sent yet, then
    /// out of what is carried; what was paid already becomes the recipient's debt, which later releases recover. What is
    /// under way waits until it is known. A `reversalId` is booked at most once, ever.
    #[oai(path = "/revenue/reversals", method = "post", operation_id = "reverseRevenue", tag = "Tag::Revenue")]
    async fn reverse(
        &self,
        auth: Auth<may::Reverse>,
        body: Body<ReversalRequest>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<ReverseAnswer>> {
        let service = &self.0;
        let ReversalRequest { reversal_id, escrow_id, amount, currency, strategy, reason } = body.0;
        let ask = ReverseRevenue {
            id: reversal_id.0,
            escrow: escrow_id.0,
            amount_minor: amount.0.0,
            currency: currency.map(|currency| currency.0),
            strategy: strategy.map(|strategy| strategy.0).unwrap_or_default(),
            reason,
            actor: actor(&auth.0, None),
        };
        let (repository, ids) = (service.repository.as_ref(), service.ids.as_ref());
        key.once(service.keeper(), reversed, async |remember| {
            let now = service.now().await?;
            Ok(reverse_revenue(repository, ids, now, ask, &remember).await?)
        })
        .await
    }

    /// Read a reversal
    ///
    /// With what each line gives back, and whether anything still waits.
    #[oai(path = "/revenue/reversals/:reversalId", method = "get", operation_id = "getReversal", tag = "Tag::Revenue")]
    async fn get(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "reversalId")] reversal_id: PathParam<Sc<ReversalId>>,
    ) -> Answer<GetAnswer> {
        let id = reversal_id.0.0;
        let found = show_reversal(self.0.repository.as_ref(), &id).await?;
        Ok(GetAnswer::Found(there(found.map(ReversalView::from), "reversal", "reversal_not_found", id)?))
    }
}
