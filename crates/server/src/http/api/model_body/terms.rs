//! Reading the platform fee, and what happens to net amounts that are not simply paid.

use super::line::{LINES_READ_MAX, TIERS_READ_MAX, up_to};
use crate::http::{
    api::words::{count, whole},
    fields::Field,
    scalars::Scalar,
};
use domain::{
    day::Day,
    ids::RecipientId,
    revenue_model::spec::{
        Fallback, FeeBase, FeeBearer, FeeOnRefund, FeeScope, FeeSpec, FeeTierSpec, FeeTiersSpec, SettlementSpec,
        TierBasis, TierMode,
    },
};

pub(super) fn fee(field: Field<'_>) -> Option<FeeSpec> {
    field.object(|fields| {
        let rate_ppm = fields.optional("ratePpm", count);
        let fixed = fields.optional("fixed", count);
        let min = fields.optional("min", count);
        let max = fields.optional("max", count);
        let tiers = fields.optional("tiers", fee_tiers);
        let base = fields.optional("base", FeeBase::read);
        let scope = fields.optional("scope", FeeScope::read);
        let bearer = fields.optional("bearer", FeeBearer::read);
        let exempt = fields.optional("exemptRecipientIds", |list| list.list(0..=LINES_READ_MAX, RecipientId::read));
        let fee_tax_ppm = fields.optional("feeTaxPpm", count);
        let fee_on_refund = fields.optional("feeOnRefund", FeeOnRefund::read);
        Some(FeeSpec {
            rate_ppm: rate_ppm?.unwrap_or_default(),
            fixed: fixed?.unwrap_or_default(),
            min: min?.unwrap_or_default(),
            max: max?,
            tiers: tiers?,
            base: base?,
            scope: scope?.unwrap_or_default(),
            bearer: bearer?.unwrap_or_default(),
            exempt_recipient_ids: exempt?.unwrap_or_default(),
            fee_tax_ppm: fee_tax_ppm?.unwrap_or_default(),
            fee_on_refund: fee_on_refund?.unwrap_or_default(),
        })
    })
}

fn fee_tiers(field: Field<'_>) -> Option<FeeTiersSpec> {
    field.object(|fields| {
        let basis = fields.required("basis", TierBasis::read);
        let mode = fields.required("mode", TierMode::read);
        let since = fields.optional("since", Day::read);
        let tiers = fields.required("tiers", |list| list.list(0..=TIERS_READ_MAX, fee_tier));
        Some(FeeTiersSpec { basis: basis?, mode: mode?, since: since?, tiers: tiers? })
    })
}

fn fee_tier(field: Field<'_>) -> Option<FeeTierSpec> {
    field.object(|fields| {
        let from = fields.optional("from", whole);
        let up_to = fields.optional("upTo", up_to);
        let rate_ppm = fields.optional("ratePpm", count);
        let flat = fields.optional("flat", count);
        Some(FeeTierSpec {
            from: from?,
            up_to: up_to?.flatten(),
            rate_ppm: rate_ppm?.unwrap_or_default(),
            flat: flat?.unwrap_or_default(),
        })
    })
}

pub(super) fn settlement(field: Field<'_>) -> Option<SettlementSpec> {
    field.object(|fields| {
        let recovery_ppm = fields.optional("recoveryPpm", count);
        let escheat_after_days = fields.optional("escheatAfterDays", |days| days.whole_number(0..=i64::from(u32::MAX)));
        let fallback = fields.optional("fallback", Fallback::read);
        Some(SettlementSpec {
            recovery_ppm: recovery_ppm?,
            escheat_after_days: escheat_after_days?.and_then(|days| u32::try_from(days).ok()),
            fallback: fallback?.unwrap_or_default(),
        })
    })
}
