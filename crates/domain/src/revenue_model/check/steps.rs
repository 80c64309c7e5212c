//! One function a step, and whether what one step leaves reaches another.

use super::{
    Check, FaultCode, LINES_MAX, STEPS_MAX, WEIGHT_SUM_MAX,
    parts::{Allowed, weights},
    scale::Ends,
};
use crate::{
    apportion::half_up,
    ids::RecipientId,
    revenue_model::{
        Counted, ModelSpec, RecoupLine, Scale, Share, ShareLine, Step, StepKey, Transfer, WHOLE_PPM,
        spec::{LineSpec, Per, RecoupLineSpec, StepSpec, TieBreak, TierBasis, TierSpec},
    },
};
use std::collections::HashMap;

/// Where a step stands, and what holds for all of them.
#[derive(Clone, Copy)]
struct At<'a> {
    step: usize,
    pointer: &'a str,
    ties: TieBreak,
}

impl Check {
    pub(super) fn steps(&mut self, model: &ModelSpec) -> (Vec<Step>, Vec<Transfer>) {
        if model.steps.is_empty() {
            self.faults.add(FaultCode::NoSteps, "/steps", "a model needs at least one step");
        }
        if model.steps.len() > STEPS_MAX {
            self.faults.add(FaultCode::TooManySteps, "/steps", format!("a model has at most {STEPS_MAX} steps"));
        }
        self.check_flow(&model.steps);
        let mut steps = Vec::with_capacity(model.steps.len());
        for (step, spec) in model.steps.iter().enumerate() {
            let pointer = format!("/steps/{step}");
            steps.extend(self.step(spec, At { step, pointer: &pointer, ties: model.tie_break }));
        }
        // When the pool is empty: so they see everybody whom the other steps pay.
        let transfers = self.transfers(&model.steps);
        (steps, transfers)
    }

    /// Nothing follows a step that takes all, and the last one does.
    fn check_flow(&mut self, specs: &[StepSpec]) {
        let flow = specs.iter().enumerate().filter(|(_, spec)| !matches!(spec, StepSpec::RecoupFromShare { .. }));
        let (mut emptied, mut last) = (false, None);
        for (at, spec) in flow {
            let pointer = format!("/steps/{at}");
            if emptied {
                let message = "an earlier step leaves nothing for this one; remove it";
                self.faults.add(FaultCode::UnreachableStep, &pointer, message);
            }
            emptied |= takes_all(spec);
            last = Some(pointer);
        }
        match last {
            Some(pointer) if !emptied => {
                let message = "the last step may leave something that is nobody's; add a `remainder`";
                self.faults.add(FaultCode::TerminalStepLeavesRemainder, pointer, message);
            }
            None if !specs.is_empty() => {
                let message = "no step gives the pool to anybody";
                self.faults.add(FaultCode::TerminalStepLeavesRemainder, "/steps", message);
            }
            Some(_) | None => {}
        }
    }

    fn step(&mut self, spec: &StepSpec, at: At<'_>) -> Option<Step> {
        match spec {
            StepSpec::Fixed { key, amount, per, recipient_id, placeholder, lines, feeable } => {
                let amount_minor = self.amount(*amount, format!("{}/amount", at.pointer), 1);
                let given = match per {
                    Per::Calculation => None,
                    Per::Lifetime => self.key(key.as_ref(), at).map(|key| self.names.count(Counted::Fixed { key })),
                };
                let one = recipient_id.as_ref().map(|who| self.names.who(who, *placeholder));
                let share = self.fixed_lines(one, lines, feeable.unwrap_or(true), at)?;
                Some(Step::Fixed { amount_minor, given, share })
            }
            StepSpec::Recoup { key, lines, multiple_ppm, rate_ppm, cross_collateral_id, feeable } => {
                let rate_ppm = self.part(*rate_ppm, format!("{}/ratePpm", at.pointer));
                let multiple_ppm = self.multiple(*multiple_ppm, at);
                let counted: Box<dyn Fn(usize) -> Counted> = match cross_collateral_id.clone() {
                    Some(id) => Box::new(move |who| Counted::CrossRecouped { id: id.clone(), who }),
                    None => {
                        let key = self.key(key.as_ref(), at);
                        let key = key.or_else(|| "none".parse().ok())?;
                        Box::new(move |who| Counted::Recouped { key: key.clone(), who })
                    }
                };
                let lines = self.recoup_lines(lines, multiple_ppm, &counted, at);
                Some(Step::Recoup { rate_ppm, lines, feeable: feeable.unwrap_or(true) })
            }
            StepSpec::Share { key, portion_ppm, lines, feeable } => {
                let portion_ppm = self.part(*portion_ppm, format!("{}/portionPpm", at.pointer));
                let key = if lines.iter().any(|line| line.lifetime_max.is_some()) {
                    self.key(key.as_ref(), at)
                } else {
                    key.clone()
                };
                let share = self.share(lines, key.as_ref(), feeable.unwrap_or(true), at)?;
                Some(Step::Share { portion_ppm, share })
            }
            StepSpec::Tiers { key, basis, mode, since, tiers, feeable } => {
                let ends: Vec<Ends> = tiers.iter().map(|tier| Ends { from: tier.from, up_to: tier.up_to }).collect();
                let ends = self.ends(&ends, &format!("{}/tiers", at.pointer));
                let before = match basis {
                    TierBasis::Amount => None,
                    TierBasis::CumulativeAmount => {
                        let key = self.key(key.as_ref(), at);
                        key.map(|key| self.names.count(Counted::Cumulative { key, since: *since }))
                    }
                };
                let (who, parts) = self.tier_lines(tiers, at)?;
                let residues = self.residues(&who, at);
                let scale = Scale { mode: *mode, before, since: *since, ends };
                Some(Step::Tiers { scale, who, parts, residues, feeable: feeable.unwrap_or(true) })
            }
            StepSpec::Remainder { recipient_id, placeholder, feeable } => {
                let who = self.names.who(recipient_id, *placeholder);
                Some(Step::Remainder { who, feeable: feeable.unwrap_or(true) })
            }
            StepSpec::RecoupFromShare { .. } => None,
        }
    }

    /// The key of a step that counts from release to release; nobody else uses it.
    fn key(&mut self, key: Option<&StepKey>, at: At<'_>) -> Option<StepKey> {
        let pointer = format!("{}/key", at.pointer);
        let Some(key) = key else {
            let message = "what is counted from release to release needs a `key` that stays the same in later versions";
            self.faults.add(FaultCode::StepKeyRequired, pointer, message);
            return None;
        };
        if let Some(earlier) = self.names.claim_key(key, at.step) {
            let message = format!("step {earlier} has that key already");
            self.faults.add(FaultCode::DuplicateStepKey, pointer, message);
        }
        Some(key.clone())
    }

    fn multiple(&mut self, multiple_ppm: Option<i64>, at: At<'_>) -> u64 {
        let multiple = multiple_ppm.map_or(Some(WHOLE_PPM), |ppm| u64::try_from(ppm).ok());
        let pointer = format!("{}/multiplePpm", at.pointer);
        match multiple.filter(|multiple| *multiple >= WHOLE_PPM) {
            Some(multiple) if multiple <= 1_000 * WHOLE_PPM => multiple,
            Some(_) => {
                let message = "a multiple is at most 1,000,000,000 ppm (a thousand times)";
                self.faults.add(FaultCode::RateOutOfRange, pointer, message);
                WHOLE_PPM
            }
            None => {
                let message = "a multiple is at least 1,000,000 ppm (what was advanced)";
                self.faults.add(FaultCode::MultipleBelowOne, pointer, message);
                WHOLE_PPM
            }
        }
    }

    fn fixed_lines(&mut self, one: Option<usize>, lines: &[LineSpec], feeable: bool, at: At<'_>) -> Option<Share> {
        let pointer = format!("{}/lines", at.pointer);
        match (one, lines.is_empty()) {
            (Some(who), true) => {
                let line = ShareLine { who, min: 0, max: i64::MAX, lifetime: None, feeable };
                Some(Share { lines: vec![line], weights: vec![1], total: 1, has_limits: false, residues: None })
            }
            (None, false) => {
                self.refuse_limits(lines, &pointer);
                self.share(lines, None, feeable, at)
            }
            (Some(_), false) => {
                let message = "say either `recipientId` or `lines`";
                self.faults.add(FaultCode::MixedShareKinds, &pointer, message);
                None
            }
            (None, true) => {
                self.faults.add(FaultCode::NoLines, &pointer, "say who gets it: `recipientId` or `lines`");
                None
            }
        }
    }

    fn refuse_limits(&mut self, lines: &[LineSpec], pointer: &str) {
        for (at, line) in lines.iter().enumerate() {
            if line.min.is_some() || line.max.is_some() || line.lifetime_max.is_some() {
                let message = "only the lines of a `share` step have `min`, `max` or `lifetimeMax`";
                self.faults.add(FaultCode::LimitNotAllowed, format!("{pointer}/{at}"), message);
            }
        }
    }

    fn share(&mut self, specs: &[LineSpec], key: Option<&StepKey>, feeable: bool, at: At<'_>) -> Option<Share> {
        let pointer = format!("{}/lines", at.pointer);
        let weights = weights(specs, &pointer, Allowed::Positive, &mut self.faults);
        if specs.len() > LINES_MAX {
            return None;
        }
        let lines: Vec<ShareLine> = specs
            .iter()
            .enumerate()
            .map(|(line, spec)| self.share_line(spec, key, feeable, &format!("{pointer}/{line}")))
            .collect();
        let floors: i128 = specs.iter().filter_map(|line| line.min).map(i128::from).sum();
        if floors > i128::from(WEIGHT_SUM_MAX) {
            let message = format!("together the floors exceed {WEIGHT_SUM_MAX} minor units");
            self.faults.add(FaultCode::WeightOverflow, &pointer, message);
        }
        let weights = weights?;
        let has_limits =
            specs.iter().any(|line| line.min.is_some() || line.max.is_some() || line.lifetime_max.is_some());
        let who: Vec<usize> = lines.iter().map(|line| line.who).collect();
        let residues = if has_limits { None } else { self.residues(&who, at) };
        Some(Share { lines, total: weights.iter().sum(), weights, has_limits, residues })
    }

    fn share_line(&mut self, spec: &LineSpec, key: Option<&StepKey>, feeable: bool, pointer: &str) -> ShareLine {
        let who = self.names.who(&spec.recipient_id, spec.placeholder);
        let limit = |check: &mut Self, value: Option<i64>, name: &str, otherwise: i64| {
            value.map_or(otherwise, |value| check.amount(value, format!("{pointer}/{name}"), 0))
        };
        let min = limit(self, spec.min, "min", 0);
        let max = limit(self, spec.max, "max", i64::MAX);
        let lifetime_max = limit(self, spec.lifetime_max, "lifetimeMax", i64::MAX);
        if min > max.min(lifetime_max) {
            let message = "the floor lies above the cap";
            self.faults.add(FaultCode::MinExceedsMax, format!("{pointer}/min"), message);
        }
        let lifetime = spec.lifetime_max.and(key).map(|key| {
            let place = self.names.count(Counted::Lifetime { key: key.clone(), who });
            (lifetime_max, place)
        });
        ShareLine { who, min, max, lifetime, feeable: spec.feeable.unwrap_or(feeable) }
    }

    /// One count a line, one after the other, if residues decide about ties.
    fn residues(&mut self, who: &[usize], at: At<'_>) -> Option<usize> {
        if at.ties != TieBreak::Carry {
            return None;
        }
        let places: Vec<usize> =
            who.iter().map(|who| self.names.count(Counted::Residue { step: at.step, who: *who })).collect();
        places.first().copied()
    }

    fn recoup_lines(
        &mut self,
        specs: &[RecoupLineSpec],
        multiple_ppm: u64,
        counted: &dyn Fn(usize) -> Counted,
        at: At<'_>,
    ) -> Vec<RecoupLine> {
        let pointer = format!("{}/lines", at.pointer);
        if specs.is_empty() {
            self.faults.add(FaultCode::NoLines, &pointer, "there must be at least one line");
        }
        if specs.len() > LINES_MAX {
            self.faults.add(
                FaultCode::TooManyLines,
                &pointer,
                format!("there are at most {LINES_MAX} lines in a step"),
            );
            return Vec::new();
        }
        let mut first: HashMap<&RecipientId, usize> = HashMap::new();
        let mut lines = Vec::with_capacity(specs.len());
        for (line, spec) in specs.iter().enumerate() {
            let earlier = *first.entry(&spec.recipient_id).or_insert(line);
            if earlier != line {
                let message = format!("`{}` is listed already in line {earlier}; add the two up", spec.recipient_id);
                self.faults.add(FaultCode::DuplicateRecipient, format!("{pointer}/{line}/recipientId"), message);
            }
            let principal = self.amount(spec.principal, format!("{pointer}/{line}/principal"), 1);
            let who = self.names.who(&spec.recipient_id, spec.placeholder);
            let target = half_up(u128::from(principal.unsigned_abs()) * u128::from(multiple_ppm), WHOLE_PPM.into());
            let target_minor = i64::try_from(target).unwrap_or(i64::MAX);
            lines.push(RecoupLine { who, target_minor, recouped: self.names.count(counted(who)) });
        }
        if lines.iter().map(|line| i128::from(line.target_minor)).sum::<i128>() > i128::from(i64::MAX) {
            self.faults.add(FaultCode::WeightOverflow, &pointer, "together the targets exceed 2^63 - 1 minor units");
        }
        lines
    }

    /// Who shares the slices, and each tier's parts of them in parts per million.
    fn tier_lines(&mut self, tiers: &[TierSpec], at: At<'_>) -> Option<(Vec<usize>, Vec<Vec<u64>>)> {
        let mut who: Vec<usize> = Vec::new();
        let mut columns: HashMap<usize, usize> = HashMap::new();
        let mut parts: Vec<Vec<u64>> = Vec::with_capacity(tiers.len());
        let mut is_whole = true;
        for (tier, spec) in tiers.iter().enumerate() {
            let pointer = format!("{}/tiers/{tier}/lines", at.pointer);
            self.refuse_limits(&spec.lines, &pointer);
            let Some(weights) = weights(&spec.lines, &pointer, Allowed::PercentagesAndZero, &mut self.faults) else {
                is_whole = false;
                continue;
            };
            let mut row = vec![0; who.len()];
            for (line, weight) in spec.lines.iter().zip(weights) {
                let place = self.names.who(&line.recipient_id, line.placeholder);
                let column = *columns.entry(place).or_insert_with(|| {
                    who.push(place);
                    row.push(0);
                    who.len() - 1
                });
                row[column] = weight;
            }
            parts.push(row);
        }
        if !is_whole {
            return None;
        }
        for row in &mut parts {
            row.resize(who.len(), 0);
        }
        self.refuse_nothing_in_every_tier(tiers, &who, &parts, at);
        Some((who, parts))
    }

    /// A part of zero makes sense in one tier among others only.
    fn refuse_nothing_in_every_tier(&mut self, tiers: &[TierSpec], who: &[usize], parts: &[Vec<u64>], at: At<'_>) {
        for (column, place) in who.iter().enumerate() {
            if parts.iter().any(|row| row[column] > 0) {
                continue;
            }
            let recipient = self.names.recipients[*place].clone();
            let found = tiers.iter().enumerate().find_map(|(tier, spec)| {
                let line = spec.lines.iter().position(|line| line.recipient_id == recipient)?;
                Some(format!("{}/tiers/{tier}/lines/{line}", at.pointer))
            });
            let message = format!("`{recipient}` gets nothing in every tier");
            self.faults.add(FaultCode::ShareNotPositive, found.unwrap_or_else(|| at.pointer.to_owned()), message);
        }
    }

    fn transfers(&mut self, specs: &[StepSpec]) -> Vec<Transfer> {
        let mut transfers = Vec::new();
        let mut edges: Vec<(RecipientId, RecipientId)> = Vec::new();
        for (step, spec) in specs.iter().enumerate() {
            let StepSpec::RecoupFromShare { key, from_recipient_id, to_recipient_id, target, rate_ppm } = spec else {
                continue;
            };
            let pointer = format!("/steps/{step}");
            let at = At { step, pointer: &pointer, ties: TieBreak::Declaration };
            let rate_ppm = self.part(*rate_ppm, format!("{pointer}/ratePpm"));
            let target_minor = self.amount(*target, format!("{pointer}/target"), 1);
            let key = self.key(key.as_ref(), at);
            if leads_back(&edges, to_recipient_id, from_recipient_id) {
                let message = format!("what `{to_recipient_id}` gets here goes back to `{from_recipient_id}`");
                self.faults.add(FaultCode::CycleDetected, &pointer, message);
            }
            edges.push((from_recipient_id.clone(), to_recipient_id.clone()));
            let Some(from) = self.names.known(from_recipient_id) else {
                let message = format!("no step pays `{from_recipient_id}`");
                self.faults.add(FaultCode::UnknownRecipient, format!("{pointer}/fromRecipientId"), message);
                continue;
            };
            let to = self.names.who(to_recipient_id, false);
            if let Some(key) = key {
                let recouped = self.names.count(Counted::Recouped { key, who: to });
                transfers.push(Transfer { step, from, to, target_minor, rate_ppm, recouped });
            }
        }
        transfers
    }
}

/// Whether a step always takes the whole pool.
fn takes_all(spec: &StepSpec) -> bool {
    match spec {
        StepSpec::Fixed { .. } | StepSpec::Recoup { .. } | StepSpec::RecoupFromShare { .. } => false,
        StepSpec::Share { portion_ppm, lines, .. } => {
            let is_open = |line: &LineSpec| line.max.is_none() && line.lifetime_max.is_none();
            portion_ppm.is_none_or(|portion| portion >= 1_000_000) && (lines.is_empty() || lines.iter().any(is_open))
        }
        StepSpec::Tiers { .. } | StepSpec::Remainder { .. } => true,
    }
}

/// Whether what `from` gets reaches `to`, by the moves that are known.
fn leads_back(edges: &[(RecipientId, RecipientId)], from: &RecipientId, to: &RecipientId) -> bool {
    let mut open = vec![from];
    let mut seen = std::collections::HashSet::new();
    while let Some(who) = open.pop() {
        if who == to {
            return true;
        }
        if seen.insert(who) {
            open.extend(edges.iter().filter(|(source, _)| source == who).map(|(_, target)| target));
        }
    }
    false
}
