//! `PUT` and `GET /recipients/{recipientId}`.

use super::{Tag, there};
use crate::{
    compose::Service,
    http::{
        auth::{AdminOrSystem, Auth},
        fault::Fault,
        fields::{Field, Fields},
        params::PathParam,
        payload::{Body, FromBody, Js},
        problem::{Answer, ApiError},
        responses::responses,
        scalars::Sc,
    },
};
use app::recipients::register_recipient::{RegisterRecipient, Registered, register_recipient};
use domain::{
    ids::RecipientId,
    recipient::{Destination, RailId, Recipient, RecipientStatus, TaxRule},
    timestamp::Timestamp,
};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// Most details of a destination.
const DETAILS_MAX: usize = 32;

/// The whole of what is known of a recipient from now on.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct RecipientRequest {
    /// `active`, if absent.
    status: Option<Sc<RecipientStatus>>,
    /// Withholding tax on the gross amount, in parts per million; 0, if absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000")))]
    tax_rate_ppm: Option<u64>,
    /// The default rail, if absent.
    destination: Option<DestinationBody>,
}

/// Where the money goes.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Destination")]
pub struct DestinationBody {
    rail: Sc<RailId>,
    /// What the rail needs. The simulator knows `outcome`: `paid` or `declined`.
    details: Option<BTreeMap<String, String>>,
}

impl DestinationBody {
    fn read(field: Field<'_>) -> Option<Self> {
        field.object(|fields| {
            let rail = fields.required("rail", Sc::read);
            let details = fields.optional("details", |details| details.texts(DETAILS_MAX, 1_000));
            Some(Self { rail: rail?, details: details? })
        })
    }
}

impl FromBody for RecipientRequest {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let status = fields.optional("status", Sc::read);
        let tax_rate_ppm = fields.optional("taxRatePpm", |rate| rate.whole_number(0..=1_000_000));
        let destination = fields.optional("destination", DestinationBody::read);
        Some(Self { status: status?, tax_rate_ppm: tax_rate_ppm?.map(i64::unsigned_abs), destination: destination? })
    }
}

/// A registered recipient.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Recipient", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct RecipientView {
    recipient_id: Sc<RecipientId>,
    status: Sc<RecipientStatus>,
    tax_rate_ppm: u64,
    destination: DestinationBody,
    created_at: Sc<Timestamp>,
    updated_at: Sc<Timestamp>,
}

impl From<Recipient> for RecipientView {
    fn from(recipient: Recipient) -> Self {
        let Recipient { id, status, tax, destination, created_at, updated_at } = recipient;
        // Details are texts: the request can hold nothing else.
        let text = |(name, value): (String, serde_json::Value)| (name, value.as_str().unwrap_or_default().to_owned());
        Self {
            recipient_id: Sc(id),
            status: Sc(status),
            tax_rate_ppm: tax.map_or(0, |rule| rule.rate_ppm()),
            destination: DestinationBody {
                rail: Sc(destination.rail),
                details: Some(destination.details.into_iter().map(text).collect()),
            },
            created_at: Sc(created_at),
            updated_at: Sc(updated_at),
        }
    }
}

responses! {
    /// Answers of `PUT /recipients/{recipientId}`.
    PutAnswer {
        /// The recipient is registered.
        201 Created(Js<RecipientView>),
        /// The recipient was known, and is as the request says.
        200 Updated(Js<RecipientView>),
    }
    errors []
}

responses! {
    /// Answers of `GET /recipients/{recipientId}`.
    GetAnswer {
        /// The recipient.
        200 Found(Js<RecipientView>),
    }
    errors [NotFound]
}

/// The endpoints of this file.
pub struct Recipients(pub(super) Arc<Service>);

#[OpenApi]
impl Recipients {
    /// Register a recipient, or change one
    ///
    /// Whoever is not `active` is not paid: what they are owed is held, and released when they become `active`.
    /// Somebody that nobody registered is paid over the simulator.
    #[oai(path = "/recipients/:recipientId", method = "put", operation_id = "putRecipient", tag = "Tag::Recipients")]
    async fn put(
        &self,
        _auth: Auth<AdminOrSystem>,
        body: Body<RecipientRequest>,
        #[oai(name = "recipientId")] recipient_id: PathParam<Sc<RecipientId>>,
    ) -> Answer<PutAnswer> {
        let service = &self.0;
        let RecipientRequest { status, tax_rate_ppm, destination } = body.0;
        let tax = tax_rate_ppm.filter(|rate| *rate > 0).map(|rate| TaxRule::try_new(TaxRule::DEFAULT_CODE, rate));
        let tax = tax
            .transpose()
            .map_err(|error| ApiError::validation(vec![Fault::out_of_range(error.to_string()).at("/taxRatePpm")]))?;
        let destination = match destination {
            None => Destination::bare(service.rails.default_id().clone()),
            Some(DestinationBody { rail, details }) => {
                let details = details.unwrap_or_default().into_iter();
                Destination { rail: rail.0, details: details.map(|(name, text)| (name, text.into())).collect() }
            }
        };
        let ask = RegisterRecipient {
            id: recipient_id.0.0,
            status: status.map_or(RecipientStatus::Active, |status| status.0),
            tax,
            destination,
        };
        let now = service.now().await?;
        let Registered { recipient, new } =
            register_recipient(service.repository.as_ref(), &service.rails, service.ids.as_ref(), now, ask).await?;
        let view = Js(RecipientView::from(recipient));
        Ok(if new { PutAnswer::Created(view) } else { PutAnswer::Updated(view) })
    }

    /// Read a recipient
    ///
    /// Only who was registered is found.
    #[oai(path = "/recipients/:recipientId", method = "get", operation_id = "getRecipient", tag = "Tag::Recipients")]
    async fn get(
        &self,
        _auth: Auth<AdminOrSystem>,
        #[oai(name = "recipientId")] recipient_id: PathParam<Sc<RecipientId>>,
    ) -> Answer<GetAnswer> {
        let id = recipient_id.0.0;
        let found = self.0.queries.recipient(&id).await?;
        Ok(GetAnswer::Found(there(found.map(RecipientView::from), "recipient", "recipient_not_found", id)?))
    }
}
