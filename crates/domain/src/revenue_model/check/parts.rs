//! Percentages and weights: what lines say their parts are, brought to whole numbers.

use super::{
    LINES_MAX, WEIGHT_SUM_MAX,
    fault::{FaultCode, Faults},
};
use crate::revenue_model::{WHOLE_PPM, spec::LineSpec};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::json;
use std::collections::HashMap;

/// What lines of one step or tier may say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Parts above zero.
    Positive,
    /// Percentages, also of zero: a tier among others.
    PercentagesAndZero,
}

/// The weights of the lines, if nothing is wrong with them. Percentages come as parts per million.
pub(super) fn weights(specs: &[LineSpec], pointer: &str, allowed: Allowed, faults: &mut Faults) -> Option<Vec<u64>> {
    if specs.is_empty() {
        faults.add(FaultCode::NoLines, pointer, "there must be at least one line");
        return None;
    }
    if specs.len() > LINES_MAX {
        faults.add(FaultCode::TooManyLines, pointer, format!("there are at most {LINES_MAX} lines in a step"));
        return None;
    }
    let before = faults.count();
    check_nobody_twice(specs, pointer, faults);
    let own = faults.count();
    let parts: Vec<Option<Part>> =
        specs.iter().enumerate().map(|(at, spec)| part(spec, &format!("{pointer}/{at}"), allowed, faults)).collect();
    check_one_kind(specs, pointer, allowed, faults);
    if faults.count() > own {
        // The sum of parts that are wrong one by one says nothing.
        return None;
    }
    let parts: Vec<Part> = parts.into_iter().flatten().collect();
    let weights = if parts.iter().any(|part| matches!(part, Part::Weight(_))) {
        relative_weights(&parts, pointer, faults)
    } else {
        whole_of_ppm(&parts, pointer, faults)
    };
    (faults.count() == before).then_some(weights)
}

fn check_nobody_twice(specs: &[LineSpec], pointer: &str, faults: &mut Faults) {
    let mut first = HashMap::new();
    for (at, spec) in specs.iter().enumerate() {
        let earlier = *first.entry(&spec.recipient_id).or_insert(at);
        if earlier != at {
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

fn part(spec: &LineSpec, pointer: &str, allowed: Allowed, faults: &mut Faults) -> Option<Part> {
    let used = kinds(spec);
    if used.len() != 1 {
        let message = "say exactly one of `ppm`, `percent`, `bps`, `weight`, `remaining`";
        faults.add(FaultCode::MixedShareKinds, pointer, message);
        return None;
    }
    if spec.remaining {
        return Some(Part::Remaining);
    }
    let least = u64::from(allowed == Allowed::Positive);
    let pointer = format!("{pointer}/{}", used[0]);
    let not_positive = |faults: &mut Faults| {
        faults.add(FaultCode::ShareNotPositive, &pointer, "a part must be greater than zero");
        None
    };
    if let Some(percent) = &spec.percent {
        return match percent_to_ppm(percent, least) {
            Ok(ppm) => Some(Part::Ppm(ppm)),
            Err(FaultCode::ShareNotPositive) => not_positive(faults),
            Err(code) => {
                let message = "a percent is a decimal number with at most four decimals, such as \"33.3333\"";
                faults.add(code, &pointer, message);
                None
            }
        };
    }
    let (value, unit_ppm) = match (spec.ppm, spec.bps, spec.weight) {
        (Some(ppm), _, _) => (ppm, 1),
        (_, Some(bps), _) => (bps, 100),
        (_, _, weight) => (weight.unwrap_or_default(), 1),
    };
    let Some(value) = u64::try_from(value).ok().filter(|value| *value >= least) else { return not_positive(faults) };
    Some(if spec.weight.is_some() { Part::Weight(value) } else { Part::Ppm(value.saturating_mul(unit_ppm)) })
}

/// Four decimals of a percent are exactly one part per million. What is more than can be counted is more than 100 %.
fn percent_to_ppm(text: &str, least: u64) -> Result<u64, FaultCode> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-') {
        return Err(FaultCode::SharePrecision);
    }
    let percent = Decimal::from_str_exact(text).map_err(|_| FaultCode::SharePrecision)?.normalize();
    if percent.scale() > 4 {
        return Err(FaultCode::SharePrecision);
    }
    if percent < Decimal::ZERO {
        return Err(FaultCode::ShareNotPositive);
    }
    let ppm = percent.checked_mul(Decimal::from(10_000)).and_then(|ppm| ppm.to_u64()).unwrap_or(u64::MAX);
    if ppm >= least { Ok(ppm) } else { Err(FaultCode::ShareNotPositive) }
}

/// One kind a step; `remaining` goes with every kind of percentage.
fn check_one_kind(specs: &[LineSpec], pointer: &str, allowed: Allowed, faults: &mut Faults) {
    let mut used: Vec<&str> = specs.iter().flat_map(kinds).collect();
    if used.iter().filter(|kind| **kind == "remaining").count() > 1 {
        faults.add(FaultCode::MultipleRemaining, pointer, "at most one line can take what remains");
    }
    used.sort_unstable();
    used.dedup();
    let with_weights = used.contains(&"weight") && (used.len() > 1 || allowed == Allowed::PercentagesAndZero);
    let percentages = used.iter().filter(|kind| !matches!(**kind, "remaining" | "weight")).count();
    if with_weights || percentages > 1 {
        let message = if allowed == Allowed::PercentagesAndZero {
            "a tier uses one of `ppm`, `percent`, `bps` for all of its lines, for slices of several tiers are added up"
        } else {
            "a step uses one of `ppm`, `percent`, `bps`, `weight` for all of its lines; `remaining` does not go with `weight`"
        };
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
        let missing = i128::from(WHOLE_PPM) - i128::from(sum);
        let missing = i64::try_from(missing).unwrap_or(i64::MIN);
        let (code, message) = if remaining {
            let message = "the other lines leave nothing for `remaining`; they must add up to less than 100 %";
            (FaultCode::ShareSumNot100, message)
        } else if sum == 0 {
            (FaultCode::ZeroTotalWeight, "all parts are zero; they must add up to exactly 100 %")
        } else {
            (FaultCode::ShareSumNot100, "the lines must add up to exactly 100 %")
        };
        faults.add_with(code, pointer, message, json!({ "sumPpm": sum, "missingPpm": missing }));
        return Vec::new();
    }
    parts.iter().map(|part| if matches!(part, Part::Remaining) { WHOLE_PPM - sum } else { given(part) }).collect()
}

fn relative_weights(parts: &[Part], pointer: &str, faults: &mut Faults) -> Vec<u64> {
    let weight = |part: &Part| match part {
        Part::Weight(weight) => *weight,
        Part::Ppm(_) | Part::Remaining => 0,
    };
    let weights: Vec<u64> = parts.iter().map(weight).collect();
    if weights.iter().copied().map(u128::from).sum::<u128>() > u128::from(WEIGHT_SUM_MAX) {
        faults.add(FaultCode::WeightOverflow, pointer, format!("the weights may add up to at most {WEIGHT_SUM_MAX}"));
    }
    weights
}
