//! What the calculation needs to know of the recipients of a model.

use crate::ports::{PayoutRepository, Rails, StoreError};
use domain::{
    calculation::Party,
    ids::RecipientId,
    recipient::{HoldReason, RailId, Recipient},
    revenue_model::RevenueModel,
};
use std::collections::HashMap;

/// Why nothing may be paid to a recipient now, if so. Somebody that nobody registered is paid over the
/// default rail, if that rail pays strangers.
pub(crate) fn hold(recipient: Option<&Recipient>, rails: &Rails) -> Option<HoldReason> {
    let pays_strangers = |rail: &RailId| rails.get(rail).is_some_and(|rail| rail.profile().pays_strangers);
    match recipient {
        Some(known) => known.hold(),
        None if pays_strangers(rails.default_id()) => None,
        None => Some(HoldReason::RecipientUnregistered),
    }
}

/// The parties of a model, by recipient.
pub(crate) async fn parties(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    model: &RevenueModel,
) -> Result<HashMap<RecipientId, Party>, StoreError> {
    let ids: Vec<RecipientId> = model.recipients().into_iter().cloned().collect();
    let known = repository.recipients(&ids).await?;
    let known: HashMap<&RecipientId, &Recipient> =
        known.iter().map(|stored| (&stored.value.id, &stored.value)).collect();
    let party = |id: RecipientId| {
        let recipient = known.get(&id).copied();
        let party = Party { tax: recipient.and_then(|known| known.tax.clone()), hold: hold(recipient, rails) };
        (id, party)
    };
    Ok(ids.iter().cloned().map(party).collect())
}
