//! `PUT` and `GET /recipients/{recipientId}`.

use super::{Tag, actions::actor, tax_body, there, values::Amount};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        fault::Fault,
        fields::{Field, Fields},
        params::PathParam,
        payload::{Body, FromBody, Js},
        problem::{Answer, ApiError},
        responses::responses,
        roles::may,
        scalars::Sc,
        shown::Shown,
    },
};
use app::recipients::register_recipient::{RegisterRecipient, Registered, register_recipient};
use domain::{
    currency::Currency,
    ids::RecipientId,
    recipient::{Destination, RailId, Recipient, RecipientStatus},
    tax::{InvalidTaxRule, TaxProfile, TaxRule},
    timestamp::Timestamp,
};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Most details of a destination.
const DETAILS_MAX: usize = 32;
/// More minimums than there are currencies.
const MINIMUMS_MAX: usize = 180;

/// What is known of a recipient from now on. Whether and where they are paid stays as it is unless it is told here: who
/// sends neither unblocks nobody, and moves no money.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct RecipientRequest {
    /// As it is, if absent; `active` for somebody new.
    status: Option<Sc<RecipientStatus>>,
    /// What is known of their tax. If neither this nor `taxRatePpm` is there, nothing is known, and the model's
    /// `defaultTaxProfile` applies.
    tax_profile: Option<Shown<TaxProfile>>,
    /// Short for a `taxProfile` of one rule that takes so many parts per million of the gross amount, always; 0 is a
    /// profile without rules. Not beside `taxProfile`.
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000")))]
    tax_rate_ppm: Option<u64>,
    /// What is less is not sent, but carried until it is enough. No currency twice; none, if absent.
    #[oai(validator(max_items = 180))]
    payout_minimums: Option<Vec<MinimumBody>>,
    /// As it is, if absent; the default rail for somebody new.
    destination: Option<DestinationBody>,
}

/// Less than this is not sent.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "PayoutMinimum")]
pub struct MinimumBody {
    currency: Sc<Currency>,
    amount: Sc<Amount>,
}

impl MinimumBody {
    fn read_all(field: Field<'_>) -> Option<Vec<Self>> {
        let mut seen = BTreeSet::new();
        field.list(0..=MINIMUMS_MAX, |minimum| {
            minimum.object(|fields| {
                let currency = fields.required("currency", Sc::<Currency>::read);
                let amount = fields.required("amount", Sc::read);
                let currency = currency?;
                if !seen.insert(currency.0) {
                    let message = format!("There is another minimum in {} before this one.", currency.0);
                    fields.refuse_at("currency", Fault::new("duplicate_currency", message));
                }
                Some(Self { currency, amount: amount? })
            })
        })
    }
}

/// Where the money goes.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Destination")]
pub struct DestinationBody {
    rail: Sc<RailId>,
    /// What the rail needs. The simulator does what `behaviour` says (docs/simulator.md).
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
    const EXAMPLE: Option<&'static str> = Some(
        r#"{ "status": "active", "destination": { "rail": "simulator" },
            "payoutMinimums": [{ "currency": "USD", "amount": 10000 }],
            "taxProfile": { "form": "W-8BEN", "formSignedAt": "2026-01-31", "residence": "IN", "rules": [
                { "code": "us_nra", "jurisdiction": "US", "ratePpm": 150000, "currency": "USD" }] } }"#,
    );

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let status = fields.optional("status", Sc::read);
        let tax_profile = fields.optional("taxProfile", tax_body::profile);
        let tax_rate_ppm = fields.optional("taxRatePpm", |rate| rate.whole_number(0..=1_000_000));
        let payout_minimums = fields.optional("payoutMinimums", MinimumBody::read_all);
        let destination = fields.optional("destination", DestinationBody::read);
        if fields.has("taxProfile") && fields.has("taxRatePpm") {
            let message = "This is short for a `taxProfile`: send one of the two, or neither.";
            fields.refuse_at("taxRatePpm", Fault::new("one_of", message));
        }
        Some(Self {
            status: status?,
            tax_profile: tax_profile?.map(Shown),
            tax_rate_ppm: tax_rate_ppm?.map(i64::unsigned_abs),
            payout_minimums: payout_minimums?,
            destination: destination?,
        })
    }
}

/// The profile that a rate is short for.
fn flat(rate_ppm: u64) -> Result<TaxProfile, InvalidTaxRule> {
    let rule = (rate_ppm > 0).then(|| TaxRule::flat(TaxRule::DEFAULT_CODE, rate_ppm)).transpose()?;
    Ok(TaxProfile::of(rule.into_iter().collect()))
}

/// The rate that a profile can be shortened to, if it can.
fn rate_of(profile: Option<&TaxProfile>) -> Option<u64> {
    match profile.map_or(&[][..], |profile| profile.rules.as_slice()) {
        [] => Some(0),
        [only] => Some(only.spec().rate_ppm).filter(|rate| flat(*rate).is_ok_and(|short| Some(&short) == profile)),
        _ => None,
    }
}

/// A registered recipient.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Recipient", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct RecipientView {
    recipient_id: Sc<RecipientId>,
    status: Sc<RecipientStatus>,
    /// What is known of their tax; absent, if nobody told.
    #[serde(skip_serializing_if = "Option::is_none")]
    tax_profile: Option<Shown<TaxProfile>>,
    /// The rate, where `taxProfile` is no more than that; 0, if there is no profile, or no rule in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tax_rate_ppm: Option<u64>,
    /// By currency.
    payout_minimums: Vec<MinimumBody>,
    destination: DestinationBody,
    created_at: Sc<Timestamp>,
    updated_at: Sc<Timestamp>,
}

impl From<Recipient> for RecipientView {
    fn from(recipient: Recipient) -> Self {
        let Recipient { id, status, tax, payout_minimums, destination, destination_set_by: _, created_at, updated_at } =
            recipient;
        // Details are texts: the request can hold nothing else.
        let text = |(name, value): (String, serde_json::Value)| (name, value.as_str().unwrap_or_default().to_owned());
        let minimum = |(currency, minor)| MinimumBody { currency: Sc(currency), amount: Sc(Amount(minor)) };
        Self {
            recipient_id: Sc(id),
            status: Sc(status),
            tax_rate_ppm: rate_of(tax.as_ref()),
            tax_profile: tax.map(Shown),
            payout_minimums: payout_minimums.into_iter().map(minimum).collect(),
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
        auth: Auth<may::RegisterRecipient>,
        body: Body<RecipientRequest>,
        #[oai(name = "recipientId")] recipient_id: PathParam<Sc<RecipientId>>,
    ) -> Answer<PutAnswer> {
        let service = &self.0;
        let RecipientRequest { status, tax_profile, tax_rate_ppm, payout_minimums, destination } = body.0;
        let short = tax_rate_ppm.map(flat).transpose();
        let short = short
            .map_err(|error| ApiError::validation(vec![Fault::out_of_range(error.to_string()).at("/taxRatePpm")]))?;
        let minimum = |minimum: MinimumBody| (minimum.currency.0, minimum.amount.0.0);
        let destination = destination.map(|DestinationBody { rail, details }| {
            let details = details.unwrap_or_default().into_iter();
            Destination { rail: rail.0, details: details.map(|(name, text)| (name, text.into())).collect() }
        });
        let ask = RegisterRecipient {
            id: recipient_id.0.0,
            status: status.map(|status| status.0),
            tax: tax_profile.map(|profile| profile.0).or(short),
            payout_minimums: payout_minimums.unwrap_or_default().into_iter().map(minimum).collect(),
            destination,
            actor: actor(&auth.0, None),
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
        _auth: Auth<may::Read>,
        #[oai(name = "recipientId")] recipient_id: PathParam<Sc<RecipientId>>,
    ) -> Answer<GetAnswer> {
        let id = recipient_id.0.0;
        let found = self.0.queries.recipient(&id).await?;
        Ok(GetAnswer::Found(there(found.map(RecipientView::from), "recipient", "recipient_not_found", id)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::payload::read_example;
    use serde_json::json;

    #[test]
    fn the_example_is_a_body_that_is_read() {
        assert!(read_example::<RecipientRequest>().is_ok());
    }

    #[test]
    fn only_a_profile_of_one_flat_rule_has_a_rate() {
        for (profile, rate) in [
            (json!({ "rules": [] }), Some(0)),
            (json!({ "form": "W-9", "rules": [] }), Some(0)),
            (json!({ "rules": [{ "code": "withholding", "ratePpm": 300_000 }] }), Some(300_000)),
            (json!({ "form": "W-9", "rules": [{ "code": "withholding", "ratePpm": 300_000 }] }), None),
            (json!({ "rules": [{ "code": "us_nra", "ratePpm": 300_000 }] }), None),
            (json!({ "rules": [{ "code": "withholding", "ratePpm": 0 }] }), None),
            (json!({ "rules": [{ "code": "a", "ratePpm": 1 }, { "code": "b", "ratePpm": 1 }] }), None),
        ] {
            let read: TaxProfile = serde_json::from_value(profile.clone()).unwrap();
            assert_eq!(rate_of(Some(&read)), rate, "{profile}");
        }
        assert_eq!(rate_of(None), Some(0));
        assert_eq!(rate_of(Some(&flat(7).unwrap())), Some(7));
    }
}
