//! What a project agreed on: an ordered waterfall of steps and a platform fee.
//!
//! * [`spec`]: the model as its author wrote it; it may have faults
//! * [`check`]: finds all faults at once, or yields the checked [`RevenueModel`]
//! * [`version`]: an immutable, numbered version of a project's model, and which one is in force
//!
//! A further kind of step is a variant of [`spec::StepSpec`] and of [`Step`], an arm in `check`, and an arm
//! in `calculation::waterfall`.

pub mod check;
pub mod spec;
pub mod version;

pub use check::{Fault, FaultCode};
pub use spec::ModelSpec;
pub use version::{ModelHash, ModelStatus, ModelVersion};

use crate::{currency::Currency, ids::RecipientId};

/// Parts per million that make a whole: 1,000,000 = 100 %.
pub const WHOLE_PPM: u64 = 1_000_000;

/// A model without faults. Only [`ModelSpec::check`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevenueModel {
    steps: Vec<Step>,
    currency: Option<Currency>,
    platform_fee: PlatformFee,
}

impl RevenueModel {
    /// In order: each step takes from the pool that the previous one left.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
    /// The only currency the model may be applied to, if it is bound to one.
    pub fn currency(&self) -> Option<Currency> {
        self.currency
    }
    /// What the platform keeps.
    pub fn platform_fee(&self) -> &PlatformFee {
        &self.platform_fee
    }
    /// Everybody the model can pay, each once, in order of first appearance.
    pub fn recipients(&self) -> Vec<&RecipientId> {
        let mut seen = std::collections::HashSet::new();
        let lines = self.steps.iter().flat_map(|step| match step {
            Step::Share(lines) => lines.iter().map(|line| &line.recipient),
        });
        lines.filter(|recipient| seen.insert(*recipient)).collect()
    }
}

/// One clause of the waterfall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Divides the whole pool by weight. Not empty, nobody twice, every weight above zero.
    Share(Vec<ShareLine>),
}

/// One recipient's part of a share step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareLine {
    /// Who gets it.
    pub recipient: RecipientId,
    /// Parts per million, or the weight as given; a step uses one of the two throughout.
    pub weight: u64,
}

/// What the platform keeps of the fee base: `clamp(half_up(base * rate) + fixed, min, max)`, and never
/// more than the base. Amounts are minor units. Source: revenue-engine design, sections 2 and 7c.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlatformFee {
    /// Parts per million of the base.
    #[serde(default)]
    pub rate_ppm: u64,
    /// Added to what the rate gives.
    #[serde(default)]
    pub fixed: u64,
    /// At least this much.
    #[serde(default)]
    pub min: u64,
    /// At most this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}
