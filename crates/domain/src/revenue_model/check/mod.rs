//! Every fault of a model, found in one pass; without any, the checked model.
//!
//! * `fault`: what can be wrong, and where
//! * `names`: who is paid and what is counted, each once
//! * `parts`: percentages and weights
//! * `steps`: one function a step, and whether what one leaves reaches another
//! * `scale`: where tiers begin and end
//! * `fee`: the platform fee

mod fault;
mod fee;
mod names;
mod parts;
mod scale;
mod steps;

pub use fault::{Fault, FaultCode};

use super::{
    Counted, ESCHEAT_AFTER_DAYS, ModelSpec, RevenueModel, Settlement, Ties, WHOLE_PPM,
    spec::{SettlementSpec, StepSpec, TieBreak},
};
use crate::money::AMOUNT_MINOR_MAX;
use fault::Faults;
use names::Names;

/// Most lines in one step.
pub const LINES_MAX: usize = 10_000;
/// Most steps in one model.
pub const STEPS_MAX: usize = 50;
/// Most tiers of one scale.
pub const TIERS_MAX: usize = 100;
/// Largest sum of weights, so that a product with any amount stays exact.
pub const WEIGHT_SUM_MAX: u64 = 1 << 53;
/// Most days after which a held line is unclaimed: a hundred years.
const DAYS_MAX: u32 = 36_525;

impl ModelSpec {
    /// The checked model.
    ///
    /// # Errors
    /// All faults there are, sorted by where they are; never only the first.
    pub fn check(&self) -> Result<RevenueModel, Vec<Fault>> {
        let mut check = Check::default();
        let (steps, transfers) = check.steps(self);
        let fee = check.fee(self.platform_fee.as_ref());
        let settlement = check.settlement(self.settlement.unwrap_or_default());
        let ties = match self.tie_break {
            TieBreak::Declaration => Ties::Declaration,
            TieBreak::Carry => Ties::Carry,
            TieBreak::Rotate => Ties::Rotate(check.names.count(Counted::Sequence)),
        };
        if let Some(pointer) = check.first_amount.as_ref().filter(|_| self.currency.is_none()) {
            let message = format!("a model with amounts (here `{pointer}`) is bound to their currency: say which");
            check.faults.add(FaultCode::CurrencyRequired, "/currency", message);
        }
        let faults = check.faults.into_sorted();
        if !faults.is_empty() {
            return Err(faults);
        }
        let Names { recipients, placeholders, counted, .. } = check.names;
        Ok(RevenueModel {
            recipients,
            placeholders,
            steps,
            transfers,
            counted,
            currency: self.currency,
            ties,
            min_unit_per_line: self.min_unit_per_line,
            fee,
            default_tax: self.default_tax_profile.clone(),
            settlement,
        })
    }

    /// The same model with a key for every step that counts and has none. For a model that is tried and not stored:
    /// then nothing is counted from release to release.
    pub fn with_keys(&self) -> Self {
        let mut model = self.clone();
        for (at, step) in model.steps.iter_mut().enumerate() {
            let (StepSpec::Fixed { key, .. }
            | StepSpec::Recoup { key, .. }
            | StepSpec::Share { key, .. }
            | StepSpec::Tiers { key, .. }
            | StepSpec::RecoupFromShare { key, .. }) = step
            else {
                continue;
            };
            if key.is_none() {
                *key = format!("step-{at}").parse().ok();
            }
        }
        model
    }
}

/// The state of a check.
#[derive(Default)]
struct Check {
    faults: Faults,
    names: Names,
    /// Where the first amount stands, if there is one.
    first_amount: Option<String>,
}

impl Check {
    /// An amount that binds the model to its currency.
    fn amount(&mut self, value: i64, pointer: String, least: i64) -> i64 {
        if value < least {
            let (code, message) = if least > 0 {
                (FaultCode::AmountNotPositive, "an amount must be greater than zero")
            } else {
                (FaultCode::NegativeCap, "a limit must not be negative")
            };
            self.faults.add(code, &pointer, message);
        } else if value > AMOUNT_MINOR_MAX {
            let message = format!("an amount is at most {AMOUNT_MINOR_MAX}");
            self.faults.add(FaultCode::AmountOutOfRange, &pointer, message);
        }
        self.first_amount.get_or_insert(pointer);
        value
    }

    /// A rate of which more than nothing and at most all is meant; all of it, if absent.
    fn part(&mut self, value: Option<i64>, pointer: String) -> u64 {
        let ppm = value.map_or(Some(WHOLE_PPM), |value| u64::try_from(value).ok());
        ppm.filter(|ppm| (1..=WHOLE_PPM).contains(ppm)).unwrap_or_else(|| {
            self.faults.add(FaultCode::RateOutOfRange, pointer, "a rate here is between 1 and 1,000,000 ppm (100 %)");
            WHOLE_PPM
        })
    }

    /// A rate that may be nothing.
    fn rate(&mut self, ppm: u64, pointer: impl Into<String>) -> u64 {
        if ppm > WHOLE_PPM {
            self.faults.add(FaultCode::RateOutOfRange, pointer, "a rate is at most 1,000,000 ppm (100 %)");
        }
        ppm
    }

    fn settlement(&mut self, spec: SettlementSpec) -> Settlement {
        let SettlementSpec { recovery_ppm, escheat_after_days, fallback } = spec;
        let recovery_ppm = self.rate(recovery_ppm.unwrap_or(WHOLE_PPM), "/settlement/recoveryPpm");
        let escheat_after_days = escheat_after_days.unwrap_or(ESCHEAT_AFTER_DAYS);
        if !(1..=DAYS_MAX).contains(&escheat_after_days) {
            let message = format!("days are between 1 and {DAYS_MAX}");
            self.faults.add(FaultCode::AmountOutOfRange, "/settlement/escheatAfterDays", message);
        }
        Settlement { recovery_ppm, escheat_after_days, fallback }
    }
}

#[cfg(test)]
mod tests;
