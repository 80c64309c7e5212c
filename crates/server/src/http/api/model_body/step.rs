//! Reading one clause.

use super::line::{self, LINES_READ_MAX, TIERS_READ_MAX};
use crate::http::{
    api::words::{flag, whole},
    fields::{Field, Fields},
    scalars::Scalar,
};
use domain::{
    day::Day,
    ids::RecipientId,
    revenue_model::{
        StepKey,
        spec::{Per, StepSpec, TierBasis, TierMode},
    },
};

/// What a clause says first.
#[derive(Clone, Copy)]
enum Kind {
    Fixed,
    Recoup,
    Share,
    Tiers,
    Remainder,
    RecoupFromShare,
}

const KINDS: [(&str, Kind); 6] = [
    ("fixed", Kind::Fixed),
    ("recoup", Kind::Recoup),
    ("share", Kind::Share),
    ("tiers", Kind::Tiers),
    ("remainder", Kind::Remainder),
    ("recoup_from_share", Kind::RecoupFromShare),
];

/// Without a type nothing else of it can be judged.
pub(super) fn read(field: Field<'_>) -> Option<StepSpec> {
    field.object(|fields| match fields.required("type", |word| word.one_of(&KINDS)) {
        Some(Kind::Fixed) => fixed(fields),
        Some(Kind::Recoup) => recoup(fields),
        Some(Kind::Share) => share(fields),
        Some(Kind::Tiers) => tiers(fields),
        Some(Kind::Remainder) => remainder(fields),
        Some(Kind::RecoupFromShare) => recoup_from_share(fields),
        None => {
            fields.accept_rest();
            None
        }
    })
}

fn fixed(fields: &mut Fields<'_>) -> Option<StepSpec> {
    let key = fields.optional("key", StepKey::read);
    let amount = fields.required("amount", whole);
    let per = fields.optional("per", Per::read);
    let recipient_id = fields.optional("recipientId", RecipientId::read);
    let placeholder = fields.optional("placeholder", flag);
    let lines = fields.optional("lines", |list| list.list(0..=LINES_READ_MAX, line::read));
    let feeable = fields.optional("feeable", flag);
    Some(StepSpec::Fixed {
        key: key?,
        amount: amount?,
        per: per?.unwrap_or_default(),
        recipient_id: recipient_id?,
        placeholder: placeholder?.unwrap_or_default(),
        lines: lines?.unwrap_or_default(),
        feeable: feeable?,
    })
}

fn recoup(fields: &mut Fields<'_>) -> Option<StepSpec> {
    let key = fields.optional("key", StepKey::read);
    let lines = fields.required("lines", |list| list.list(0..=LINES_READ_MAX, line::read_recoup));
    let multiple_ppm = fields.optional("multiplePpm", whole);
    let rate_ppm = fields.optional("ratePpm", whole);
    let cross_collateral_id = fields.optional("crossCollateralId", StepKey::read);
    let feeable = fields.optional("feeable", flag);
    Some(StepSpec::Recoup {
        key: key?,
        lines: lines?,
        multiple_ppm: multiple_ppm?,
        rate_ppm: rate_ppm?,
        cross_collateral_id: cross_collateral_id?,
        feeable: feeable?,
    })
}

fn share(fields: &mut Fields<'_>) -> Option<StepSpec> {
    let key = fields.optional("key", StepKey::read);
    let portion_ppm = fields.optional("portionPpm", whole);
    let lines = fields.required("lines", |list| list.list(0..=LINES_READ_MAX, line::read));
    let feeable = fields.optional("feeable", flag);
    Some(StepSpec::Share { key: key?, portion_ppm: portion_ppm?, lines: lines?, feeable: feeable? })
}

fn tiers(fields: &mut Fields<'_>) -> Option<StepSpec> {
    let key = fields.optional("key", StepKey::read);
    let basis = fields.required("basis", TierBasis::read);
    let mode = fields.required("mode", TierMode::read);
    let since = fields.optional("since", Day::read);
    let tiers = fields.required("tiers", |list| list.list(0..=TIERS_READ_MAX, line::read_tier));
    let feeable = fields.optional("feeable", flag);
    Some(StepSpec::Tiers { key: key?, basis: basis?, mode: mode?, since: since?, tiers: tiers?, feeable: feeable? })
}

fn remainder(fields: &mut Fields<'_>) -> Option<StepSpec> {
    let recipient_id = fields.required("recipientId", RecipientId::read);
    let placeholder = fields.optional("placeholder", flag);
    let feeable = fields.optional("feeable", flag);
    Some(StepSpec::Remainder {
        recipient_id: recipient_id?,
        placeholder: placeholder?.unwrap_or_default(),
        feeable: feeable?,
    })
}

fn recoup_from_share(fields: &mut Fields<'_>) -> Option<StepSpec> {
    let key = fields.optional("key", StepKey::read);
    let from_recipient_id = fields.required("fromRecipientId", RecipientId::read);
    let to_recipient_id = fields.required("toRecipientId", RecipientId::read);
    let target = fields.required("target", whole);
    let rate_ppm = fields.optional("ratePpm", whole);
    Some(StepSpec::RecoupFromShare {
        key: key?,
        from_recipient_id: from_recipient_id?,
        to_recipient_id: to_recipient_id?,
        target: target?,
        rate_ppm: rate_ppm?,
    })
}
