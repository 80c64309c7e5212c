//! What can be wrong with a model.

use crate::fault_codes::fault_codes;
use serde_json::Value;

fault_codes! {
    /// Stable words for what can be wrong with a model (revenue-engine design, section 7e).
    pub enum FaultCode;

    /// There is no step.
    NoSteps = "no_steps";
    /// A step has no line, or a scale no tier.
    NoLines = "no_lines";
    /// More steps than [`super::STEPS_MAX`].
    TooManySteps = "too_many_steps";
    /// More lines than [`super::LINES_MAX`], or more tiers than [`super::TIERS_MAX`].
    TooManyLines = "too_many_lines";
    /// An earlier step leaves nothing for this one.
    UnreachableStep = "unreachable_step";
    /// The last step may leave something that is nobody's.
    TerminalStepLeavesRemainder = "terminal_step_leaves_remainder";
    /// What is counted from release to release needs a name.
    StepKeyRequired = "step_key_required";
    /// Two steps count under one name.
    DuplicateStepKey = "duplicate_step_key";
    /// A model with amounts in it is bound to their currency.
    CurrencyRequired = "currency_required";
    /// Nobody may be listed twice in one step.
    DuplicateRecipient = "duplicate_recipient";
    /// Somebody is named whom no step pays.
    UnknownRecipient = "unknown_recipient";
    /// What one gets is given to another who gives it back.
    CycleDetected = "cycle_detected";
    /// A line says no part, or several, or another kind of part than its neighbours.
    MixedShareKinds = "mixed_share_kinds";
    /// More than one line takes what remains.
    MultipleRemaining = "multiple_remaining";
    /// A part that is zero or less.
    ShareNotPositive = "share_not_positive";
    /// More than four decimals of a percent.
    SharePrecision = "share_precision";
    /// The parts do not add up to 100 %.
    ShareSumNot100 = "share_sum_not_100";
    /// All parts are zero.
    ZeroTotalWeight = "zero_total_weight";
    /// The weights add up to more than [`super::WEIGHT_SUM_MAX`].
    WeightOverflow = "weight_overflow";
    /// An amount that must be above zero is not.
    AmountNotPositive = "amount_not_positive";
    /// An amount beyond 2^53 - 1.
    AmountOutOfRange = "amount_out_of_range";
    /// A cap or a floor below zero.
    NegativeCap = "negative_cap";
    /// A line's floor lies above its cap.
    MinExceedsMax = "min_exceeds_max";
    /// Only the lines of a share step have limits.
    LimitNotAllowed = "limit_not_allowed";
    /// A tier ends where the one before it ends, or earlier.
    TierNotIncreasing = "tier_not_increasing";
    /// The last tier has an end.
    TierLastNotOpen = "tier_last_not_open";
    /// A tier begins elsewhere than the one before it ends.
    TierGap = "tier_gap";
    /// Somebody would get back less than they advanced.
    MultipleBelowOne = "multiple_below_one";
    /// A rate above 100 %, or of zero where that makes no sense.
    RateOutOfRange = "rate_out_of_range";
    /// The fee's minimum lies above its maximum.
    FeeMinExceedsMax = "fee_min_exceeds_max";
    /// Tiers of the fee beside a rate, or of each line.
    FeeTiersConflict = "fee_tiers_conflict";
}

/// One fault, where it is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub code: FaultCode,
    /// JSON pointer into the model.
    pub pointer: String,
    /// For people.
    pub message: String,
    /// Figures for programs.
    pub meta: Option<Value>,
}

/// Collects everything that is wrong.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, code: FaultCode, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { code, pointer: pointer.into(), message: message.into(), meta: None });
    }
    pub(super) fn add_with(
        &mut self,
        code: FaultCode,
        pointer: impl Into<String>,
        message: impl Into<String>,
        meta: Value,
    ) {
        self.0.push(Fault { code, pointer: pointer.into(), message: message.into(), meta: Some(meta) });
    }
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
    /// The faults, sorted by where they are.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        self.0.sort_by(|a, b| (&a.pointer, a.code).cmp(&(&b.pointer, b.code)));
        self.0
    }
}
