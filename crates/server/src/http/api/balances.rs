//! What a recipient has and owes, and how what is carried is paid.

use super::{Tag, actions::actor, batches::BatchView};
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
use app::{
    payouts::pay_carried::{PayCarried, pay_carried},
    recipients::show_balance::{Balance, BalanceEntry, BalanceKind, CurrencyBalance, show_balance},
};
use domain::{
    batch::Batch,
    currency::Currency,
    ids::{BatchId, ItemId, RecipientId, ReversalId},
    timestamp::Timestamp,
};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use std::sync::Arc;

/// What a recipient has and owes.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Balance", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct BalanceView {
    recipient_id: Sc<RecipientId>,
    /// By currency, as far as there is something to say.
    balances: Vec<CurrencyBalanceView>,
}

/// What a recipient has and owes in one currency. Amounts are minor units.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "CurrencyBalance")]
pub struct CurrencyBalanceView {
    currency: Sc<Currency>,
    /// Owed to them, and going to be sent or waiting for an operator.
    payable: i64,
    /// Owed to them, and waiting until they may be paid.
    held: i64,
    /// Owed to them, and too small to be sent.
    carried: i64,
    /// What they owe; later releases recover it.
    debt: i64,
    /// What these are made of, newest first: at most a hundred of each kind.
    entries: Vec<BalanceEntryView>,
}

/// A part of a balance.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "BalanceEntry", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct BalanceEntryView {
    kind: Sc<BalanceKind>,
    amount: i64,
    /// The batch it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<Sc<BatchId>>,
    /// The item that pays it.
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<Sc<ItemId>>,
    /// The reversal it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    reversal_id: Option<Sc<ReversalId>>,
    /// Why, as a stable word.
    reason: String,
    /// Why, for people.
    message: String,
    since: Sc<Timestamp>,
}

impl From<BalanceEntry> for BalanceEntryView {
    fn from(entry: BalanceEntry) -> Self {
        let BalanceEntry { kind, amount_minor, batch, item, reversal, reason, message, since } = entry;
        Self {
            kind: Sc(kind),
            amount: amount_minor,
            batch_id: batch.map(Sc),
            item_id: item.map(Sc),
            reversal_id: reversal.map(Sc),
            reason,
            message,
            since: Sc(since),
        }
    }
}

impl From<CurrencyBalance> for CurrencyBalanceView {
    fn from(balance: CurrencyBalance) -> Self {
        let CurrencyBalance { currency, payable_minor, held_minor, carried_minor, debt_minor, entries } = balance;
        Self {
            currency: Sc(currency),
            payable: payable_minor,
            held: held_minor,
            carried: carried_minor,
            debt: debt_minor,
            entries: entries.into_iter().map(BalanceEntryView::from).collect(),
        }
    }
}

impl From<Balance> for BalanceView {
    fn from(balance: Balance) -> Self {
        let balances = balance.currencies.into_iter().map(CurrencyBalanceView::from);
        Self { recipient_id: Sc(balance.recipient), balances: balances.collect() }
    }
}

/// What is carried in which currency.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct PayCarriedRequest {
    currency: Sc<Currency>,
}

impl FromBody for PayCarriedRequest {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let currency = fields.required("currency", Sc::read);
        Some(Self { currency: currency? })
    }
}

responses! {
    /// Answers of `GET /recipients/{recipientId}/balance`.
    BalanceAnswer {
        /// What they have and owe.
        200 Found(Js<BalanceView>),
    }
    errors [NotFound]
}

responses! {
    /// Answers of `POST /recipients/{recipientId}/payouts`.
    PayAnswer {
        /// The batch is booked and its execution queued.
        201 Created(Js<BatchView>, "Location" location: String),
    }
    errors [NotFound, Conflict]
}

fn paid(batch: &Batch) -> PayAnswer {
    let location = format!("/payouts/batches/{}", batch.id);
    PayAnswer::Created(Js(batch.clone().into()), location)
}

/// The endpoints of this file.
pub struct Balances(pub(super) Arc<Service>);

#[OpenApi]
impl Balances {
    /// Read a recipient's balance
    ///
    /// What they have coming, what is held and why, what is too small to be sent, and what they owe. Also of those whom
    /// nobody registered, if a batch ever had a line of theirs.
    #[oai(
        path = "/recipients/:recipientId/balance",
        method = "get",
        operation_id = "getBalance",
        tag = "Tag::Recipients"
    )]
    async fn balance(
        &self,
        _auth: Auth<may::Read>,
        #[oai(name = "recipientId")] recipient_id: PathParam<Sc<RecipientId>>,
    ) -> Answer<BalanceAnswer> {
        let service = &self.0;
        let balance = show_balance(service.repository.as_ref(), service.queries.as_ref(), recipient_id.0.0).await?;
        Ok(BalanceAnswer::Found(Js(balance.into())))
    }

    /// Pay what is carried for a recipient
    ///
    /// Whatever their minimum is: they ask for it, or they leave. A debt comes first.
    #[oai(
        path = "/recipients/:recipientId/payouts",
        method = "post",
        operation_id = "payCarried",
        tag = "Tag::Recipients"
    )]
    async fn pay(
        &self,
        auth: Auth<may::PayCarried>,
        body: Body<PayCarriedRequest>,
        #[oai(name = "recipientId")] recipient_id: PathParam<Sc<RecipientId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Answer<Once<PayAnswer>> {
        let service = &self.0;
        let recipient = recipient_id.0.0;
        let ask = PayCarried { recipient, currency: body.0.currency.0, actor: actor(&auth.0, None) };
        let (repository, ids) = (service.repository.as_ref(), service.ids.as_ref());
        key.once(service.keeper(), paid, async |remember| {
            let now = service.now().await?;
            Ok(pay_carried(repository, &service.rails, ids, now, ask, &remember).await?)
        })
        .await
    }
}
