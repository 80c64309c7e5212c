//! Reading lines and tiers.

use crate::http::{
    api::words::{flag, whole},
    fault::Fault,
    fields::Field,
    scalars::Scalar,
};
use domain::{
    ids::RecipientId,
    revenue_model::spec::{LineSpec, RecoupLineSpec, TierSpec},
};

/// More lines than a step can have, so that one too many is told as such.
pub(super) const LINES_READ_MAX: usize = 100_000;
/// More tiers than a scale can have, so that one too many is told as such.
pub(super) const TIERS_READ_MAX: usize = 10_000;

pub(super) fn read(field: Field<'_>) -> Option<LineSpec> {
    field.object(|fields| {
        let recipient_id = fields.required("recipientId", RecipientId::read);
        let ppm = fields.optional("ppm", whole);
        let percent = fields.optional("percent", |text| text.text_with(percent));
        let bps = fields.optional("bps", whole);
        let weight = fields.optional("weight", whole);
        let remaining = fields.optional("remaining", flag);
        let min = fields.optional("min", whole);
        let max = fields.optional("max", whole);
        let lifetime_max = fields.optional("lifetimeMax", whole);
        let feeable = fields.optional("feeable", flag);
        let placeholder = fields.optional("placeholder", flag);
        Some(LineSpec {
            recipient_id: recipient_id?,
            ppm: ppm?,
            percent: percent?,
            bps: bps?,
            weight: weight?,
            remaining: remaining?.unwrap_or_default(),
            min: min?,
            max: max?,
            lifetime_max: lifetime_max?,
            feeable: feeable?,
            placeholder: placeholder?.unwrap_or_default(),
        })
    })
}

pub(super) fn read_recoup(field: Field<'_>) -> Option<RecoupLineSpec> {
    field.object(|fields| {
        let recipient_id = fields.required("recipientId", RecipientId::read);
        let principal = fields.required("principal", whole);
        let placeholder = fields.optional("placeholder", flag);
        Some(RecoupLineSpec {
            recipient_id: recipient_id?,
            principal: principal?,
            placeholder: placeholder?.unwrap_or_default(),
        })
    })
}

pub(super) fn read_tier(field: Field<'_>) -> Option<TierSpec> {
    field.object(|fields| {
        let from = fields.optional("from", whole);
        let up_to = fields.optional("upTo", up_to);
        let lines = fields.required("lines", |list| list.list(0..=LINES_READ_MAX, read));
        Some(TierSpec { from: from?, up_to: up_to?.flatten(), lines: lines? })
    })
}

/// The end of a tier; the last one has none, which may be said outright.
pub(super) fn up_to(field: Field<'_>) -> Option<Option<i64>> {
    field.or_null(whole)
}

/// A decimal number; how many decimals it may have is the model's business.
fn percent(text: &str) -> Result<String, Fault> {
    let is_digits = |part: &str| (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if is_digits(whole) && is_digits(decimals) {
        return Ok(text.to_owned());
    }
    Err(Fault::invalid_format("This must be a decimal number such as \"33.3333\"."))
}
