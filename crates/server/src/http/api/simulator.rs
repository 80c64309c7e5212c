//! `GET /simulator/transfers`: what the simulator was asked to pay.

use super::{BookDown, Tag};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fault::Fault,
        page::{AfterParam, LimitParam, Page, page_of},
        payload::Js,
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::{Sc, Scalar},
    },
};
use app::ports::rail::Transfer;
use domain::{currency::Currency, timestamp::Timestamp};
use poem_openapi::{Object, OpenApi, registry::MetaSchema};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// The simulator's name for a transfer.
#[derive(Clone, Debug)]
pub struct TransferId(String);

impl Scalar for TransferId {
    const NAME: &'static str = "TransferId";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("A transfer in the simulator's book.");
        schema.pattern = Some("^sim_[0-9a-z]{26}$".to_owned());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        let digits = text.strip_prefix("sim_").filter(|digits| {
            digits.len() == 26 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        });
        digits.map(|_| Self(text.to_owned())).ok_or_else(|| Fault::invalid_format("This must be `sim_` and 26 digits."))
    }
    fn wire(&self) -> Value {
        self.0.clone().into()
    }
}

/// A transfer: one for each idempotency key.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Transfer", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct TransferView {
    /// Its own name for it: the `reference` of what it says.
    id: Sc<TransferId>,
    /// The key under which it was ordered: the `instructionId` of an attempt, by which `verify` and `sweep` name it.
    idempotency_key: String,
    item_id: String,
    recipient_id: String,
    amount: i64,
    currency: Sc<Currency>,
    /// What it is by now: `pending`, `declined`, `held`, `recalled`, `paid` or `returned`.
    outcome: String,
    /// What was executed, whether or not it came back.
    executed: i64,
    /// What came back.
    returned: i64,
    created_at: Sc<Timestamp>,
}

impl From<Transfer> for TransferView {
    fn from(transfer: Transfer) -> Self {
        let Transfer { id, idempotency_key, item, recipient, amount, outcome, executed, returned, created_at } =
            transfer;
        Self {
            id: Sc(TransferId(id)),
            idempotency_key,
            item_id: item,
            recipient_id: recipient,
            amount: amount.amount_minor,
            currency: Sc(amount.currency),
            outcome: outcome.to_owned(),
            executed: executed.amount_minor,
            returned: returned.amount_minor,
            created_at: Sc(created_at),
        }
    }
}

responses! {
    /// Answers of `GET /simulator/transfers`.
    ListAnswer {
        /// The transfers, newest first.
        200 Listed(Js<Page<TransferView>>),
    }
    errors [NotFound]
}

/// The endpoints of this file.
pub struct Transfers(pub(super) Arc<Service>);

#[OpenApi]
impl Transfers {
    /// List the simulator's transfers
    ///
    /// Its own book, newest first: what a provider would say it was asked to pay. In test mode only.
    #[oai(path = "/simulator/transfers", method = "get", operation_id = "listTransfers", tag = "Tag::Simulator")]
    async fn list(
        &self,
        _auth: Auth<may::Read>,
        limit: LimitParam,
        starting_after: AfterParam<TransferId>,
    ) -> Answer<ListAnswer> {
        let page = page_of(limit, starting_after).map(|after| after.0);
        let transfers = self.0.simulator()?.book.transfers(page).await.map_err(BookDown)?;
        Ok(ListAnswer::Listed(Js(transfers.map(TransferView::from).into())))
    }
}
