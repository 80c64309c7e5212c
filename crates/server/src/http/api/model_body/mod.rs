//! A revenue model in the API: how it is read.
//!
//! Reading finds every fault of form at once: what is missing, unknown or of a wrong type. What the numbers mean is for
//! `ModelSpec::check` to say, so they reach it as they were written, negative ones too.
//!
//! * [`shape`]: what the specification shows
//! * [`step`], [`line`]: the clauses
//! * [`terms`]: the platform fee, and what happens after net
//!
//! How a model is shown needs nothing of its own: it is answered as the domain writes it
//! ([`Shown`](crate::http::shown::Shown)).

mod line;
mod shape;
mod step;
mod terms;

use super::{tax_body, words::flag};
use crate::http::{fields::Fields, payload::FromBody, scalars::Sc, shown::Shown};
use domain::{
    currency::Currency,
    ids::ProjectId,
    revenue_model::{
        ModelSpec, ModelStatus,
        check::STEPS_MAX,
        spec::{FeeSpec, SettlementSpec, StepSpec, TieBreak},
    },
    tax::TaxProfile,
    timestamp::Timestamp,
};
use poem_openapi::Object;

/// A revenue model: an ordered waterfall of steps. Each takes from what the one before left.
#[derive(Debug, Object)]
#[oai(rename = "RevenueModel", rename_all = "camelCase")]
pub struct ModelBody {
    /// If given, it must be the project of the path.
    pub(super) project_id: Option<Sc<ProjectId>>,
    /// If given, it must be the number that the version gets.
    #[oai(validator(minimum(value = "1"), maximum(value = "2147483647")))]
    pub(super) version: Option<u32>,
    /// `active`, if absent. A `draft` is stored with its faults, and never used.
    pub(super) status: Option<Sc<ModelStatus>>,
    /// First instant at which money is earned under it; now, if absent.
    pub(super) effective_from: Option<Sc<Timestamp>>,
    /// First instant at which it no longer is; open, if absent.
    pub(super) effective_to: Option<Sc<Timestamp>>,
    /// Binds the model to one currency; needed if there are amounts in it.
    currency: Option<Sc<Currency>>,
    /// `declaration`, if absent.
    tie_break: Option<Sc<TieBreak>>,
    /// Whether every line of a share step gets at least one unit, if there are enough; `false`, if absent.
    min_unit_per_line: Option<bool>,
    /// What the platform keeps; nothing, if absent.
    platform_fee: Option<Shown<FeeSpec>>,
    /// How recipients are taxed of whom there is no valid tax profile; not at all, if absent.
    default_tax_profile: Option<Shown<TaxProfile>>,
    settlement: Option<Shown<SettlementSpec>>,
    /// The clauses, in order.
    #[oai(validator(max_items = 1000))]
    steps: Vec<Shown<StepSpec>>,
}

impl FromBody for ModelBody {
    /// Ten thousand lines fit.
    const LIMIT: usize = 4 * 1024 * 1024;
    /// Costs first, then the investors until they have 120 % of what they gave, then shares.
    const EXAMPLE: Option<&'static str> = Some(
        r#"{ "currency": "USD", "platformFee": { "ratePpm": 50000, "base": "feeable_lines" }, "steps": [
            { "type": "fixed", "key": "costs", "amount": 15000, "per": "lifetime", "recipientId": "rec_studio", "feeable": false },
            { "type": "recoup", "key": "investors", "multiplePpm": 1200000, "ratePpm": 500000, "lines": [
                { "recipientId": "rec_ida", "principal": 500000 }, { "recipientId": "rec_jon", "principal": 250000 }] },
            { "type": "share", "lines": [
                { "recipientId": "rec_ana", "percent": "12.5", "max": 100000 },
                { "recipientId": "rec_ben", "remaining": true }] }] }"#,
    );

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let project_id = fields.optional("projectId", Sc::read);
        let version = fields.optional("version", |number| number.whole_number(1..=i64::from(i32::MAX)));
        let status = fields.optional("status", Sc::read);
        let effective_from = fields.optional("effectiveFrom", Sc::read);
        let effective_to = fields.optional("effectiveTo", Sc::read);
        let currency = fields.optional("currency", Sc::read);
        let tie_break = fields.optional("tieBreak", Sc::read);
        let min_unit_per_line = fields.optional("minUnitPerLine", flag);
        let platform_fee = fields.optional("platformFee", terms::fee);
        let default_tax_profile = fields.optional("defaultTaxProfile", tax_body::profile);
        let settlement = fields.optional("settlement", terms::settlement);
        let steps = fields.required("steps", |list| list.list(0..=20 * STEPS_MAX, step::read));
        Some(Self {
            project_id: project_id?,
            version: version?.and_then(|version| u32::try_from(version).ok()),
            status: status?,
            effective_from: effective_from?,
            effective_to: effective_to?,
            currency: currency?,
            tie_break: tie_break?,
            min_unit_per_line: min_unit_per_line?,
            platform_fee: platform_fee?.map(Shown),
            default_tax_profile: default_tax_profile?.map(Shown),
            settlement: settlement?.map(Shown),
            steps: steps?.into_iter().map(Shown).collect(),
        })
    }
}

impl ModelBody {
    /// The model as its author wrote it.
    pub(super) fn spec(self) -> ModelSpec {
        ModelSpec {
            steps: self.steps.into_iter().map(|step| step.0).collect(),
            currency: self.currency.map(|currency| currency.0),
            tie_break: self.tie_break.map(|word| word.0).unwrap_or_default(),
            min_unit_per_line: self.min_unit_per_line.unwrap_or_default(),
            platform_fee: self.platform_fee.map(|fee| fee.0),
            default_tax_profile: self.default_tax_profile.map(|profile| profile.0),
            settlement: self.settlement.map(|settlement| settlement.0),
        }
    }
}

#[cfg(test)]
mod tests;
