//! What a project agreed on: an ordered waterfall of steps, a platform fee, and what happens after net.
//!
//! * [`spec`]: the model as its author wrote it; it may have faults
//! * [`check`]: finds all faults at once, or yields the checked [`RevenueModel`]
//! * [`version`]: an immutable, numbered version of a project's model, and which one is in force
//!
//! A further kind of step is a variant of [`spec::StepSpec`] and of `Step`, an arm in `check`, and an arm
//! in `calculation::waterfall`.

pub mod check;
pub mod spec;
pub mod version;

pub use check::{Fault, FaultCode};
pub use spec::{ModelSpec, StepKey};
pub use version::{ModelHash, ModelStatus, ModelVersion};

pub use crate::apportion::WHOLE_PPM;
use crate::{
    counter::CounterKey,
    currency::Currency,
    day::Day,
    ids::{ProjectId, RecipientId},
    tax::TaxProfile,
};
use spec::{Fallback, FeeBearer, FeeScope, TierMode};

/// Days after which a held line is unclaimed, unless the model says otherwise.
pub const ESCHEAT_AFTER_DAYS: u32 = 1_095;

/// A model without faults. Only [`ModelSpec::check`] makes one. Its steps name recipients by their place in
/// [`Self::recipients`], and what is counted by its place in [`Self::counted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevenueModel {
    recipients: Vec<RecipientId>,
    placeholders: Vec<bool>,
    steps: Vec<Step>,
    transfers: Vec<Transfer>,
    counted: Vec<Counted>,
    currency: Option<Currency>,
    ties: Ties,
    min_unit_per_line: bool,
    fee: Fee,
    default_tax: Option<TaxProfile>,
    settlement: Settlement,
}

impl RevenueModel {
    /// Everybody the model can pay, each once, in order of first appearance.
    pub fn recipients(&self) -> &[RecipientId] {
        &self.recipients
    }
    /// Whether the recipient of that place is one who is not known yet.
    pub fn is_placeholder(&self, place: usize) -> bool {
        self.placeholders.get(place).copied().unwrap_or_default()
    }
    /// In order: each step takes from the pool that the previous one left.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
    /// What is moved between lines when the pool is empty.
    pub(crate) fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }
    /// What the model counts from release to release. A plain share model counts nothing.
    pub fn counted(&self) -> &[Counted] {
        &self.counted
    }
    /// The names of what is counted, in the order of [`Self::counted`].
    pub fn counter_keys(&self, project: &ProjectId, version: u32, currency: Currency) -> Vec<CounterKey> {
        let key = |counted: &Counted| counted.key(project, version, currency, &self.recipients);
        self.counted.iter().map(key).collect()
    }
    /// The only currency the model may be applied to, if it is bound to one.
    pub fn currency(&self) -> Option<Currency> {
        self.currency
    }
    pub(crate) fn ties(&self) -> Ties {
        self.ties
    }
    pub(crate) fn min_unit_per_line(&self) -> bool {
        self.min_unit_per_line
    }
    pub(crate) fn fee(&self) -> &Fee {
        &self.fee
    }
    /// How recipients are taxed of whom there is no valid profile.
    pub fn default_tax(&self) -> Option<&TaxProfile> {
        self.default_tax.as_ref()
    }
    /// What happens to net amounts that are not simply paid.
    pub fn settlement(&self) -> Settlement {
        self.settlement
    }
}

/// Who gets the odd unit when remainders are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ties {
    /// The line that is listed first.
    Declaration,
    /// The line whose turn it is; the turn is counted there.
    Rotate(usize),
    /// Residues decide; each line of a step has its own count.
    Carry,
}

/// One clause of the waterfall. Recipients and counts are places in the model's lists; weights are above zero and
/// add up to `total`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// `min(pool, amount)`, or what of it was not given yet.
    Fixed { amount_minor: i64, given: Option<usize>, share: Share },
    /// Gives back until each target is reached.
    Recoup { rate_ppm: u64, lines: Vec<RecoupLine>, feeable: bool },
    /// A portion of the pool by weight, within limits.
    Share { portion_ppm: u64, share: Share },
    /// The whole pool, at parts that depend on how much it is.
    Tiers { scale: Scale, who: Vec<usize>, parts: Vec<Vec<u64>>, residues: Option<usize>, feeable: bool },
    /// All that is left.
    Remainder { who: usize, feeable: bool },
}

/// Lines that divide something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) lines: Vec<ShareLine>,
    pub(crate) weights: Vec<u64>,
    pub(crate) total: u64,
    pub(crate) has_limits: bool,
    /// The first of the counts of the lines' residues, one a line.
    pub(crate) residues: Option<usize>,
}

/// One recipient's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShareLine {
    pub(crate) who: usize,
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// At most so much ever, and where that is counted.
    pub(crate) lifetime: Option<(i64, usize)>,
    pub(crate) feeable: bool,
}

/// Somebody who gets back what they advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoupLine {
    pub(crate) who: usize,
    pub(crate) target_minor: i64,
    pub(crate) recouped: usize,
}

/// Where tiers begin and end, and what they are measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) mode: TierMode,
    /// Where it is counted what went through so far; nowhere if only the amount itself counts.
    pub(crate) before: Option<usize>,
    pub(crate) since: Option<Day>,
    /// The inclusive ends of the tiers, ascending; the last is open.
    pub(crate) ends: Vec<Option<i64>>,
}

/// A part of one line that goes to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) step: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) target_minor: i64,
    pub(crate) rate_ppm: u64,
    pub(crate) recouped: usize,
}

/// The platform fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fee {
    pub(crate) rate_ppm: u64,
    pub(crate) fixed: u64,
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
    pub(crate) tiers: Option<FeeTiers>,
    pub(crate) all_lines: bool,
    pub(crate) scope: FeeScope,
    pub(crate) bearer: FeeBearer,
    /// By place; empty if nobody is.
    pub(crate) exempt: Vec<bool>,
    pub(crate) tax_ppm: u64,
}

impl Fee {
    /// Whether there is nothing to compute.
    pub(crate) fn is_nothing(&self) -> bool {
        self.rate_ppm == 0 && self.fixed == 0 && self.min == 0 && self.tiers.is_none()
    }
    pub(crate) fn is_exempt(&self, place: usize) -> bool {
        self.exempt.get(place).copied().unwrap_or_default()
    }
}

/// Tiers of the platform fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeeTiers {
    pub(crate) scale: Scale,
    pub(crate) rates_ppm: Vec<u64>,
    pub(crate) flats: Vec<u64>,
}

/// What happens to net amounts that are not simply paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The part of a net amount that a debt may take, in parts per million.
    pub recovery_ppm: u64,
    /// Days after which a held line is unclaimed.
    pub escheat_after_days: u32,
    /// What then becomes of it.
    pub fallback: Fallback,
}

/// Something that is counted from release to release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// What a step gave somebody towards their target.
    Recouped {
        /// The step.
        key: StepKey,
        /// Their place.
        who: usize,
    },
    /// As before, with all steps that recoup the same advance.
    CrossRecouped {
        /// The advance.
        id: StepKey,
        /// Their place.
        who: usize,
    },
    /// What a step gave of an amount that is due once.
    Fixed {
        /// The step.
        key: StepKey,
    },
    /// What a line got of what it gets at most.
    Lifetime {
        /// The step.
        key: StepKey,
        /// Their place.
        who: usize,
    },
    /// What a step divided.
    Cumulative {
        /// The step.
        key: StepKey,
        /// From when on.
        since: Option<Day>,
    },
    /// What the platform fee was taken of.
    FeeBase {
        /// From when on.
        since: Option<Day>,
    },
    /// What rounding left over for a line of a step.
    Residue {
        /// The step's number.
        step: usize,
        /// Their place.
        who: usize,
    },
    /// How many releases there were.
    Sequence,
}

impl Counted {
    /// The recipient whose line moves it, if it is one.
    pub fn who(&self) -> Option<usize> {
        match self {
            Self::Recouped { who, .. }
            | Self::CrossRecouped { who, .. }
            | Self::Lifetime { who, .. }
            | Self::Residue { who, .. } => Some(*who),
            Self::Fixed { .. } | Self::Cumulative { .. } | Self::FeeBase { .. } | Self::Sequence => None,
        }
    }

    fn key(&self, project: &ProjectId, version: u32, currency: Currency, names: &[RecipientId]) -> CounterKey {
        match self {
            Self::Recouped { key, who } => CounterKey::recouped(project, currency, key, &names[*who]),
            Self::CrossRecouped { id, who } => CounterKey::cross_recouped(id, currency, &names[*who]),
            Self::Fixed { key } => CounterKey::fixed(project, currency, key),
            Self::Lifetime { key, who } => CounterKey::lifetime(project, currency, key, &names[*who]),
            Self::Cumulative { key, since } => CounterKey::cumulative(project, currency, key, *since),
            Self::FeeBase { since } => CounterKey::fee_base(project, currency, *since),
            Self::Residue { step, who } => CounterKey::residue(project, version, currency, *step, &names[*who]),
            Self::Sequence => CounterKey::sequence(project),
        }
    }
}
