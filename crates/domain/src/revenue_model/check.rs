//! Every fault of a model, found in one pass.

use super::{
    PlatformFee, RevenueModel, ShareLine, Step, WHOLE_PPM,
    spec::{LineSpec, ModelSpec, StepSpec},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Most lines in one step.
pub const LINES_MAX: usize = 10_000;
/// Most steps in one model.
pub const STEPS_MAX: usize = 50;
/// Largest sum of weights, so that a product with any amount stays exact.
pub const WEIGHT_SUM_MAX: u64 = 1 << 53;

/// Stable words for what can be wrong with a model (revenue-engine design, section 7e).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultCode {
    /// There is no step.
    NoSteps,
    /// A step has no line.
    NoLines,
    /// More steps than [`STEPS_MAX`].
    TooManySteps,
    /// More lines than [`LINES_MAX`].
    TooManyLines,
    /// An earlier step leaves nothing for this one.
    UnreachableStep,
    /// Nobody may be listed twice in one step.
    DuplicateRecipient,
    /// A line says no part, or several, or another kind of part than its neighbours.
    MixedShareKinds,
    /// More than one line takes what remains.
    MultipleRemaining,
    /// A part that is zero or less.
    ShareNotPositive,
    /// More than four decimals of a percent.
    SharePrecision,
    /// The parts do not add up to 100 %.
    ShareSumNot100,
    /// The weights add up to more than [`WEIGHT_SUM_MAX`].
    WeightOverflow,
    /// A rate above 100 %.
    RateOutOfRange,
    /// The fee's minimum lies above its maximum.
    FeeMinExceedsMax,
}

impl FaultCode {
    /// Every code, for the printed list.
    pub const ALL: [Self; 14] = [
        Self::NoSteps,
        Self::NoLines,
        Self::TooManySteps,
        Self::TooManyLines,
        Self::UnreachableStep,
        Self::DuplicateRecipient,
        Self::MixedShareKinds,
        Self::MultipleRemaining,
        Self::ShareNotPositive,
        Self::SharePrecision,
        Self::ShareSumNot100,
        Self::WeightOverflow,
        Self::RateOutOfRange,
        Self::FeeMinExceedsMax,
    ];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSteps => "no_steps",
            Self::NoLines => "no_lines",
            Self::TooManySteps => "too_many_steps",
            Self::TooManyLines => "too_many_lines",
            Self::UnreachableStep => "unreachable_step",
            Self::DuplicateRecipient => "duplicate_recipient",
            Self::MixedShareKinds => "mixed_share_kinds",
            Self::MultipleRemaining => "multiple_remaining",
            Self::ShareNotPositive => "share_not_positive",
            Self::SharePrecision => "share_precision",
            Self::ShareSumNot100 => "share_sum_not_100",
            Self::WeightOverflow => "weight_overflow",
            Self::RateOutOfRange => "rate_out_of_range",
            Self::FeeMinExceedsMax => "fee_min_exceeds_max",
        }
    }
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

impl ModelSpec {
    /// The checked model.
    ///
    /// # Errors
    /// All faults there are, sorted by where they are; never only the first.
    pub fn check(&self) -> Result<RevenueModel, Vec<Fault>> {
        let mut faults = Faults::default();
        let steps = steps(&self.steps, &mut faults);
        let platform_fee = self.platform_fee.unwrap_or_default();
        check_fee(&platform_fee, &mut faults);
        faults.none_or(|| RevenueModel { steps, currency: self.currency, platform_fee })
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, code: FaultCode, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { code, pointer: pointer.into(), message: message.into(), meta: None });
    }
    fn add_with(&mut self, code: FaultCode, pointer: impl Into<String>, message: impl Into<String>, meta: Value) {
        self.0.push(Fault { code, pointer: pointer.into(), message: message.into(), meta: Some(meta) });
    }
    fn none_or<T>(mut self, value: impl FnOnce() -> T) -> Result<T, Vec<Fault>> {
        if self.0.is_empty() {
            return Ok(value());
        }
        self.0.sort_by(|a, b| (&a.pointer, a.code).cmp(&(&b.pointer, b.code)));
        Err(self.0)
    }
}

fn steps(specs: &[StepSpec], faults: &mut Faults) -> Vec<Step> {
    if specs.is_empty() {
        faults.add(FaultCode::NoSteps, "/steps", "a model needs at least one step");
    }
    if specs.len() > STEPS_MAX {
        faults.add(FaultCode::TooManySteps, "/steps", format!("a model has at most {STEPS_MAX} steps"));
    }
    let mut steps = Vec::with_capacity(specs.len());
    for (at, spec) in specs.iter().enumerate() {
        let pointer = format!("/steps/{at}");
        if at > 0 {
            // A share step divides its whole pool, so nothing ever reaches what follows it.
            faults.add(FaultCode::UnreachableStep, &pointer, "an earlier step leaves nothing for this one; remove it");
        }
        match spec {
            StepSpec::Share { lines } => {
                steps.push(Step::Share(share_lines(lines, &format!("{pointer}/lines"), faults)));
            }
        }
    }
    steps
}

fn share_lines(specs: &[LineSpec], pointer: &str, faults: &mut Faults) -> Vec<ShareLine> {
    if specs.is_empty() {
        faults.add(FaultCode::NoLines, pointer, "a share step needs at least one line");
        return Vec::new();
    }
    if specs.len() > LINES_MAX {
        faults.add(FaultCode::TooManyLines, pointer, format!("a step has at most {LINES_MAX} lines"));
        return Vec::new();
    }
    check_nobody_twice(specs, pointer, faults);

    let before = faults.0.len();
    let parts: Vec<Option<Part>> =
        specs.iter().enumerate().map(|(at, spec)| part(spec, &format!("{pointer}/{at}"), faults)).collect();
    check_one_kind(specs, pointer, faults);
    if faults.0.len() > before {
        // The sum of parts that are wrong one by one says nothing.
        return Vec::new();
    }
    let parts: Vec<Part> = parts.into_iter().flatten().collect();
    let weights = if parts.iter().any(|part| matches!(part, Part::Weight(_))) {
        relative_weights(&parts, pointer, faults)
    } else {
        whole_of_ppm(&parts, pointer, faults)
    };
    specs.iter().zip(weights).map(|(spec, weight)| ShareLine { recipient: spec.recipient_id.clone(), weight }).collect()
}

fn check_nobody_twice(specs: &[LineSpec], pointer: &str, faults: &mut Faults) {
    let mut first = HashMap::new();
    for (at, spec) in specs.iter().enumerate() {
        if let Some(earlier) = first.insert(&spec.recipient_id, at) {
            first.insert(&spec.recipient_id, earlier);
            let message = format!("`{}` is listed already in line {earlier}; add the two parts up", spec.recipient_id);
            faults.add(FaultCode::DuplicateRecipient, format!("{pointer}/{at}/recipientId"), message);
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Ppm(u64),
    Weight(u64),
    Remaining,
}

/// The words of the kinds that a line uses.
fn kinds(spec: &LineSpec) -> Vec<&'static str> {
    let used = [
        ("ppm", spec.ppm.is_some()),
        ("percent", spec.percent.is_some()),
        ("bps", spec.bps.is_some()),
        ("weight", spec.weight.is_some()),
        ("remaining", spec.remaining),
    ];
    used.into_iter().filter(|(_, used)| *used).map(|(kind, _)| kind).collect()
}

fn part(spec: &LineSpec, pointer: &str, faults: &mut Faults) -> Option<Part> {
    let used = kinds(spec);
    if used.len() != 1 {
        let message = "say exactly one of `ppm`, `percent`, `bps`, `weight`, `remaining`";
        faults.add(FaultCode::MixedShareKinds, pointer, message);
        return None;
    }
    if spec.remaining {
        return Some(Part::Remaining);
    }
    if let Some(percent) = &spec.percent {
        return percent_to_ppm(percent, &format!("{pointer}/percent"), faults).map(Part::Ppm);
    }
    let (value, unit_ppm) = match (spec.ppm, spec.bps, spec.weight) {
        (Some(ppm), _, _) => (ppm, 1),
        (_, Some(bps), _) => (bps, 100),
        (_, _, weight) => (weight.unwrap_or_default(), 1),
    };
    let Some(positive) = u64::try_from(value).ok().filter(|value| *value > 0) else {
        faults.add(FaultCode::ShareNotPositive, format!("{pointer}/{}", used[0]), "a part must be greater than zero");
        return None;
    };
    Some(if spec.weight.is_some() { Part::Weight(positive) } else { Part::Ppm(positive.saturating_mul(unit_ppm)) })
}

/// Four decimals of a percent are exactly one part per million.
fn percent_to_ppm(text: &str, pointer: &str, faults: &mut Faults) -> Option<u64> {
    let parsed = text.parse::<Decimal>().ok().map(|percent| percent.normalize());
    let Some(percent) = parsed.filter(|percent| percent.scale() <= 4) else {
        faults.add(
            FaultCode::SharePrecision,
            pointer,
            "a percent is a decimal number with at most four decimals, such as \"33.3333\"",
        );
        return None;
    };
    let ppm = percent.checked_mul(Decimal::from(10_000)).and_then(|ppm| ppm.to_u64()).filter(|ppm| *ppm > 0);
    if ppm.is_none() {
        faults.add(FaultCode::ShareNotPositive, pointer, "a part must be greater than zero");
    }
    ppm
}

/// One kind a step; `remaining` goes with every kind of percentage.
fn check_one_kind(specs: &[LineSpec], pointer: &str, faults: &mut Faults) {
    let mut used: Vec<&str> = specs.iter().flat_map(kinds).collect();
    let remaining = used.iter().filter(|kind| **kind == "remaining").count();
    if remaining > 1 {
        faults.add(FaultCode::MultipleRemaining, pointer, "at most one line can take what remains");
    }
    used.sort_unstable();
    used.dedup();
    let with_weights = used.contains(&"weight") && used.len() > 1;
    let percentages = used.iter().filter(|kind| !matches!(**kind, "remaining" | "weight")).count();
    if with_weights || percentages > 1 {
        let message = "a step uses one of `ppm`, `percent`, `bps`, `weight` for all of its lines; `remaining` does not go with `weight`";
        faults.add_with(FaultCode::MixedShareKinds, pointer, message, json!({ "kinds": used }));
    }
}

fn whole_of_ppm(parts: &[Part], pointer: &str, faults: &mut Faults) -> Vec<u64> {
    let given = |part: &Part| match part {
        Part::Ppm(ppm) => *ppm,
        Part::Weight(_) | Part::Remaining => 0,
    };
    let sum = parts.iter().map(given).fold(0u64, u64::saturating_add);
    let remaining = parts.iter().any(|part| matches!(part, Part::Remaining));
    let adds_up = if remaining { sum < WHOLE_PPM } else { sum == WHOLE_PPM };
    if !adds_up {
        let message = if remaining {
            "the other lines leave nothing for `remaining`; they must add up to less than 100 %"
        } else {
            "the lines must add up to exactly 100 %"
        };
        let missing = i128::from(WHOLE_PPM) - i128::from(sum);
        let missing = i64::try_from(missing).unwrap_or(i64::MIN);
        faults.add_with(FaultCode::ShareSumNot100, pointer, message, json!({ "sumPpm": sum, "missingPpm": missing }));
        return Vec::new();
    }
    parts.iter().map(|part| if matches!(part, Part::Remaining) { WHOLE_PPM - sum } else { given(part) }).collect()
}

fn relative_weights(parts: &[Part], pointer: &str, faults: &mut Faults) -> Vec<u64> {
    let weights: Vec<u64> = parts
        .iter()
        .map(|part| match part {
            Part::Weight(weight) => *weight,
            Part::Ppm(_) | Part::Remaining => 0,
        })
        .collect();
    if weights.iter().copied().map(u128::from).sum::<u128>() > u128::from(WEIGHT_SUM_MAX) {
        faults.add(FaultCode::WeightOverflow, pointer, format!("the weights may add up to at most {WEIGHT_SUM_MAX}"));
    }
    weights
}

fn check_fee(fee: &PlatformFee, faults: &mut Faults) {
    if fee.rate_ppm > WHOLE_PPM {
        faults.add(FaultCode::RateOutOfRange, "/platformFee/ratePpm", "a rate is at most 1,000,000 ppm (100 %)");
    }
    if fee.max.is_some_and(|max| fee.min > max) {
        faults.add(FaultCode::FeeMinExceedsMax, "/platformFee/min", "the minimum lies above the maximum");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(json: &str) -> Result<RevenueModel, Vec<Fault>> {
        let text = format!(r#"{{"steps":[{{"type":"share","lines":{json}}}]}}"#);
        serde_json::from_str::<ModelSpec>(&text).unwrap().check()
    }
    fn faults(json: &str) -> String {
        let faults = lines(json).unwrap_err();
        let texts: Vec<String> =
            faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.code.as_str())).collect();
        texts.join("; ")
    }
    fn weights(json: &str) -> Vec<u64> {
        let model = lines(json).unwrap();
        let Step::Share(lines) = &model.steps()[0];
        lines.iter().map(|line| line.weight).collect()
    }

    #[test]
    fn four_ways_to_say_the_same() {
        for part in [r#""percent":"70""#, r#""percent":"70.0000""#, r#""bps":7000"#, r#""ppm":700000"#] {
            let json = format!(r#"[{{"recipientId":"rec_a",{part}}},{{"recipientId":"rec_b","remaining":true}}]"#);
            assert_eq!(weights(&json), [700_000, 300_000], "{part}");
        }
        assert_eq!(weights(r#"[{"recipientId":"rec_a","weight":1},{"recipientId":"rec_b","weight":2}]"#), [1, 2]);
        assert_eq!(
            weights(r#"[{"recipientId":"rec_a","percent":"33.3333"},{"recipientId":"rec_b","percent":"66.6667"}]"#),
            [333_333, 666_667]
        );
        assert_eq!(weights(r#"[{"recipientId":"rec_a","remaining":true}]"#), [1_000_000]);
    }

    #[test]
    fn each_fault_has_its_code_and_place() {
        for (json, expected) in [
            ("[]", "/steps/0/lines no_lines"),
            (r#"[{"recipientId":"rec_a","percent":"70"}]"#, "/steps/0/lines share_sum_not_100"),
            (
                r#"[{"recipientId":"rec_a","percent":"70"},{"recipientId":"rec_b","percent":"40"}]"#,
                "/steps/0/lines share_sum_not_100",
            ),
            (
                r#"[{"recipientId":"rec_a","percent":"100"},{"recipientId":"rec_b","remaining":true}]"#,
                "/steps/0/lines share_sum_not_100",
            ),
            (
                r#"[{"recipientId":"rec_a","ppm":0},{"recipientId":"rec_b","ppm":-1}]"#,
                "/steps/0/lines/0/ppm share_not_positive; /steps/0/lines/1/ppm share_not_positive",
            ),
            (r#"[{"recipientId":"rec_a","percent":"0.00001"}]"#, "/steps/0/lines/0/percent share_precision"),
            (r#"[{"recipientId":"rec_a","percent":"x"}]"#, "/steps/0/lines/0/percent share_precision"),
            (r#"[{"recipientId":"rec_a","percent":"-5"}]"#, "/steps/0/lines/0/percent share_not_positive"),
            (r#"[{"recipientId":"rec_a"}]"#, "/steps/0/lines/0 mixed_share_kinds"),
            (
                r#"[{"recipientId":"rec_a","ppm":1,"bps":1}]"#,
                "/steps/0/lines mixed_share_kinds; /steps/0/lines/0 mixed_share_kinds",
            ),
            (
                r#"[{"recipientId":"rec_a","ppm":1},{"recipientId":"rec_b","bps":1}]"#,
                "/steps/0/lines mixed_share_kinds",
            ),
            (
                r#"[{"recipientId":"rec_a","weight":1},{"recipientId":"rec_b","remaining":true}]"#,
                "/steps/0/lines mixed_share_kinds",
            ),
            (
                r#"[{"recipientId":"rec_a","remaining":true},{"recipientId":"rec_b","remaining":true}]"#,
                "/steps/0/lines multiple_remaining",
            ),
            (
                r#"[{"recipientId":"rec_a","weight":1},{"recipientId":"rec_a","weight":1}]"#,
                "/steps/0/lines/1/recipientId duplicate_recipient",
            ),
            (
                r#"[{"recipientId":"rec_a","weight":9007199254740992},{"recipientId":"rec_b","weight":1}]"#,
                "/steps/0/lines weight_overflow",
            ),
        ] {
            assert_eq!(faults(json), expected, "{json}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let spec: ModelSpec = serde_json::from_str(
            r#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_a","ppm":0}]},{"type":"share","lines":[]}],
                "platformFee":{"ratePpm":1000001,"min":2,"max":1}}"#,
        )
        .unwrap();
        let codes: Vec<&str> = spec.check().unwrap_err().iter().map(|fault| fault.code.as_str()).collect();
        assert_eq!(
            codes,
            ["fee_min_exceeds_max", "rate_out_of_range", "share_not_positive", "unreachable_step", "no_lines"]
        );
    }

    #[test]
    fn what_is_missing_is_said_in_figures() {
        let faults = lines(r#"[{"recipientId":"rec_a","percent":"70"}]"#).unwrap_err();
        assert_eq!(faults[0].meta, Some(json!({ "sumPpm": 700_000, "missingPpm": 300_000 })));
    }

    #[test]
    fn an_empty_model_and_an_oversized_one_are_refused() {
        let spec = |steps: usize, lines: usize| ModelSpec {
            steps: vec![
                StepSpec::Share {
                    lines: (0..lines)
                        .map(|at| LineSpec {
                            recipient_id: format!("rec_{at}").parse().unwrap(),
                            ppm: None,
                            percent: None,
                            bps: None,
                            weight: Some(1),
                            remaining: false
                        })
                        .collect()
                };
                steps
            ],
            currency: None,
            tie_break: Default::default(),
            platform_fee: None,
        };
        let codes =
            |spec: ModelSpec| -> Vec<FaultCode> { spec.check().unwrap_err().iter().map(|fault| fault.code).collect() };
        assert_eq!(codes(spec(0, 0)), [FaultCode::NoSteps]);
        assert_eq!(codes(spec(1, LINES_MAX + 1)), [FaultCode::TooManyLines]);
        assert!(spec(1, LINES_MAX).check().is_ok());
        assert!(codes(spec(STEPS_MAX + 1, 1)).contains(&FaultCode::TooManySteps));
    }
}
