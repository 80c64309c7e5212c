//! The engine once more, written from the words of the design and not from the code: everything is a fraction or a
//! plain loop, nothing is fast, nothing is shared with `apportion` or `calculation`. It reads the model as written.

mod after;
mod divide;
mod fee;
mod fraction;

use crate::{
    calculation::Party,
    currency::Currency,
    day::Day,
    revenue_model::{
        ModelSpec, StepKey,
        spec::{FeeBase, FeeBearer, FeeScope, LineSpec, Per, StepSpec, TieBreak, TierBasis},
    },
};
use divide::Bounds;
pub use divide::{at_least_one, claims, largest_remainder, water_filling};
pub use fee::{fee, on_top, slices};
pub use fraction::Fraction;
use std::collections::BTreeMap;

/// What is known before a release.
pub struct Question<'a> {
    pub spec: &'a ModelSpec,
    pub amount: i64,
    pub deducted: i64,
    pub currency: Currency,
    pub day: Day,
    /// By the order of [`Answer::lines`]; nobody is known, if empty.
    pub parties: &'a [Party],
}

/// Everything that is counted, by name. The rests of roundings are in units of one over the weights of their step.
pub type Memory = BTreeMap<String, i128>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub who: String,
    pub gross: i128,
    pub fee: i128,
    pub fee_tax: i128,
    pub tax: i128,
    pub net: i128,
    pub carried_in: i128,
    pub recovered: i128,
    pub held: i128,
    pub carried_forward: i128,
    pub payable: i128,
    /// By rule, in order.
    pub taxes: Vec<(String, i128)>,
    /// Of `gross`, what steps and lines say the fee is not taken of.
    spared: i128,
    placeholder: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub lines: Vec<Line>,
    /// A fee that nobody in the lines bears.
    pub fee_elsewhere: i128,
    pub warnings: Vec<String>,
}

/// What a release comes to. The memory is moved on. None if more comes together than can be counted.
pub fn calculate(question: &Question<'_>, memory: &mut Memory) -> Option<Answer> {
    let mut sum = Sum { question, memory: memory.clone(), answer: Answer::default() };
    sum.name_everybody();
    let pool = i128::from(question.amount) - i128::from(question.deducted);
    if pool == 0 {
        sum.answer.warnings.push("nothing_to_split".to_owned());
    }
    sum.steps(pool);
    sum.fee();
    sum.withhold();
    sum.settle();
    let total = |column: fn(&Line) -> i128| sum.answer.lines.iter().map(column).sum::<i128>();
    let fits = |number: i128| number <= i128::from(i64::MAX);
    let is_countable = sum.answer.lines.iter().all(|line| fits(line.carried_forward + line.payable))
        && fits(total(|line| line.carried_in))
        && fits(total(|line| line.carried_forward))
        && fits(total(|line| line.payable));
    if !is_countable {
        return None;
    }
    *memory = sum.memory;
    Some(sum.answer)
}

struct Sum<'a> {
    question: &'a Question<'a>,
    memory: Memory,
    answer: Answer,
}

impl Sum<'_> {
    /// One line for each recipient, in order of first appearance; those who only get a part of another's share last.
    fn name_everybody(&mut self) {
        for step in &self.question.spec.steps {
            match step {
                StepSpec::Fixed { recipient_id, placeholder, lines, .. } => {
                    if let Some(who) = recipient_id {
                        self.line(who.as_str()).placeholder |= placeholder;
                    }
                    lines.iter().for_each(|line| self.line(line.recipient_id.as_str()).placeholder |= line.placeholder);
                }
                StepSpec::Recoup { lines, .. } => {
                    lines.iter().for_each(|line| self.line(line.recipient_id.as_str()).placeholder |= line.placeholder);
                }
                StepSpec::Share { lines, .. } => {
                    lines.iter().for_each(|line| self.line(line.recipient_id.as_str()).placeholder |= line.placeholder);
                }
                StepSpec::Tiers { tiers, .. } => {
                    for line in tiers.iter().flat_map(|tier| &tier.lines) {
                        self.line(line.recipient_id.as_str()).placeholder |= line.placeholder;
                    }
                }
                StepSpec::Remainder { recipient_id, placeholder, .. } => {
                    self.line(recipient_id.as_str()).placeholder |= placeholder;
                }
                StepSpec::RecoupFromShare { .. } => {}
            }
        }
        for step in &self.question.spec.steps {
            if let StepSpec::RecoupFromShare { to_recipient_id, .. } = step {
                self.line(to_recipient_id.as_str());
            }
        }
    }

    fn line(&mut self, who: &str) -> &mut Line {
        let lines = &mut self.answer.lines;
        let at = lines.iter().position(|line| line.who == who).unwrap_or_else(|| {
            lines.push(Line { who: who.to_owned(), ..Line::default() });
            lines.len() - 1
        });
        &mut lines[at]
    }

    fn give(&mut self, who: &str, amount: i128, feeable: bool) {
        let line = self.line(who);
        line.gross += amount;
        if !feeable {
            line.spared += amount;
        }
    }

    fn counted(&self, name: &str) -> i128 {
        self.memory.get(name).copied().unwrap_or(0)
    }
    fn count(&mut self, name: String, add: i128) {
        *self.memory.entry(name).or_default() += add;
    }

    fn steps(&mut self, mut pool: i128) {
        let spec = self.question.spec;
        for (at, step) in spec.steps.iter().enumerate() {
            pool -= self.step(at, step, pool);
        }
        assert_eq!(pool, 0, "the last step takes everything");
        for step in &spec.steps {
            self.recoup_from_share(step);
        }
        if spec.tie_break == TieBreak::Rotate {
            self.count("sequence".to_owned(), 1);
        }
    }

    /// What the step takes of the pool.
    fn step(&mut self, at: usize, step: &StepSpec, pool: i128) -> i128 {
        match step {
            StepSpec::Fixed { key, amount, per, recipient_id, lines, feeable, .. } => {
                let name = format!("fixed/{}", text(key));
                let paid = if *per == Per::Lifetime { self.counted(&name) } else { 0 };
                let taken = pool.min((i128::from(*amount) - paid).max(0));
                if *per == Per::Lifetime {
                    self.count(name, taken);
                }
                let feeable = feeable.unwrap_or(true);
                match recipient_id {
                    Some(who) => self.give(who.as_str(), taken, feeable),
                    None => assert_eq!(self.share(at, key, lines, taken, feeable), taken),
                }
                taken
            }
            StepSpec::Recoup { key, lines, multiple_ppm, rate_ppm, cross_collateral_id, feeable } => {
                let usable = Fraction::ppm(rate_ppm.unwrap_or(1_000_000).into()).times(pool).down();
                let name = |who: &str| match cross_collateral_id {
                    Some(id) => format!("cross/{id}/{who}"),
                    None => format!("recouped/{}/{who}", text(key)),
                };
                let multiple = Fraction::ppm(multiple_ppm.unwrap_or(1_000_000).into());
                let outstanding: Vec<i128> = lines
                    .iter()
                    .map(|line| {
                        let target = multiple.times(line.principal.into()).half_up();
                        (target - self.counted(&name(line.recipient_id.as_str()))).max(0)
                    })
                    .collect();
                let taken = usable.min(outstanding.iter().sum());
                let shares = largest_remainder(taken, &claims(taken, &outstanding), 0);
                for (line, share) in lines.iter().zip(shares) {
                    self.count(name(line.recipient_id.as_str()), share);
                    self.give(line.recipient_id.as_str(), share, feeable.unwrap_or(true));
                }
                taken
            }
            StepSpec::Share { key, portion_ppm, lines, feeable } => {
                let portion = i128::from(portion_ppm.unwrap_or(1_000_000));
                let of_pool = largest_remainder(pool, &claims(pool, &[portion, 1_000_000 - portion]), 0)[0];
                self.share(at, key, lines, of_pool, feeable.unwrap_or(true))
            }
            StepSpec::Tiers { .. } => {
                self.tiers(at, step, pool);
                pool
            }
            StepSpec::Remainder { recipient_id, feeable, .. } => {
                self.give(recipient_id.as_str(), pool, feeable.unwrap_or(true));
                pool
            }
            StepSpec::RecoupFromShare { .. } => 0,
        }
    }

    /// The line that wins a tie among so many.
    fn first(&self, lines: usize) -> usize {
        match self.question.spec.tie_break {
            TieBreak::Declaration | TieBreak::Carry => 0,
            TieBreak::Rotate => usize::try_from(self.counted("sequence")).unwrap() % lines,
        }
    }

    /// Divides an amount by largest remainder over exact claims, by the model's rule for ties. `unit` is what the claims
    /// are fractions of.
    fn divide(&mut self, step: usize, amount: i128, claims: &[(String, Fraction)], unit: i128) -> Vec<i128> {
        let mut exact: Vec<Fraction> = claims.iter().map(|(_, claim)| *claim).collect();
        if self.question.spec.tie_break != TieBreak::Carry {
            return largest_remainder(amount, &exact, self.first(claims.len()));
        }
        let name = |who: &str| format!("residue/{step}/{who}");
        for ((who, _), claim) in claims.iter().zip(&mut exact) {
            *claim = claim.plus(Fraction::new(self.counted(&name(who)), unit));
        }
        let shares = divide::with_memory(amount, &exact);
        for (((who, _), claim), share) in claims.iter().zip(&exact).zip(&shares) {
            let left = claim.minus(Fraction::whole(*share)).in_units_of_one_over(unit);
            self.memory.insert(name(who), left);
        }
        shares
    }

    /// Divides an amount among lines; answers what they took.
    fn share(&mut self, step: usize, key: &Option<StepKey>, lines: &[LineSpec], amount: i128, feeable: bool) -> i128 {
        let weights = weights(lines);
        let sum: i128 = weights.iter().sum();
        let is_limited =
            lines.iter().any(|line| line.min.is_some() || line.max.is_some() || line.lifetime_max.is_some());
        let at_least = i128::from(self.question.spec.min_unit_per_line);
        let name = |line: &LineSpec| format!("lifetime/{}/{}", text(key), line.recipient_id);
        let shares = if is_limited {
            let bounds: Vec<Bounds> = lines
                .iter()
                .map(|line| {
                    let ever = line.lifetime_max.map(|max| (i128::from(max) - self.counted(&name(line))).max(0));
                    let cap = line.max.map(i128::from).into_iter().chain(ever).min();
                    let floor = i128::from(line.min.unwrap_or(0)).max(at_least);
                    // What somebody has had over the years is not promised again.
                    Bounds { floor: cap.map_or(floor, |cap| floor.min(cap)), cap }
                })
                .collect();
            water_filling(amount, &weights, &bounds, self.first(lines.len()))
        } else if at_least == 1 && self.question.spec.tie_break != TieBreak::Carry {
            at_least_one(amount, &weights, self.first(lines.len()))
        } else {
            let claims: Vec<(String, Fraction)> =
                lines.iter().map(|line| line.recipient_id.to_string()).zip(claims(amount, &weights)).collect();
            self.divide(step, amount, &claims, sum)
        };
        for (line, share) in lines.iter().zip(&shares) {
            if line.lifetime_max.is_some() {
                self.count(name(line), *share);
            }
            self.give(line.recipient_id.as_str(), *share, line.feeable.unwrap_or(feeable));
        }
        shares.iter().sum()
    }

    /// What went through a scale before, if it counts that; and counts what goes through now.
    fn through(&mut self, name: &str, basis: TierBasis, since: Option<Day>, amount: i128) -> i128 {
        if basis == TierBasis::Amount || since.is_some_and(|since| self.question.day < since) {
            return 0;
        }
        let name = format!("{name}/{since:?}");
        let before = self.counted(&name);
        self.count(name, amount);
        before
    }

    fn tiers(&mut self, at: usize, step: &StepSpec, pool: i128) {
        let StepSpec::Tiers { key, basis, mode, since, tiers, feeable } = step else { return };
        let before = self.through(&format!("cumulative/{}", text(key)), *basis, *since, pool);
        let ends: Vec<Option<i64>> = tiers.iter().map(|tier| tier.up_to).collect();
        let mut claims: Vec<(String, Fraction)> = Vec::new();
        for line in tiers.iter().flat_map(|tier| &tier.lines) {
            if claims.iter().all(|(who, _)| *who != line.recipient_id.as_str()) {
                claims.push((line.recipient_id.to_string(), Fraction::ppm(0)));
            }
        }
        for (tier, slice) in tiers.iter().zip(slices(&ends, *mode, before, pool)) {
            for (line, ppm) in tier.lines.iter().zip(weights(&tier.lines)) {
                let claim = claims.iter_mut().find(|(who, _)| *who == line.recipient_id.as_str()).unwrap();
                claim.1 = claim.1.plus(Fraction::ppm(ppm).times(slice));
            }
        }
        let shares = self.divide(at, pool, &claims, 1_000_000);
        for ((who, _), share) in claims.iter().zip(shares) {
            self.give(who, share, feeable.unwrap_or(true));
        }
    }

    fn recoup_from_share(&mut self, step: &StepSpec) {
        let StepSpec::RecoupFromShare { key, from_recipient_id, to_recipient_id, target, rate_ppm } = step else {
            return;
        };
        let name = format!("recouped/{}/{to_recipient_id}", text(key));
        let outstanding = (i128::from(*target) - self.counted(&name)).max(0);
        let rate = Fraction::ppm(rate_ppm.unwrap_or(1_000_000).into());
        let from = self.line(from_recipient_id.as_str());
        let moved = outstanding.min(rate.times(from.gross).down());
        // What the fee is taken of goes first.
        let spared = (moved - (from.gross - from.spared)).max(0);
        from.gross -= moved;
        from.spared -= spared;
        let to = self.line(to_recipient_id.as_str());
        to.gross += moved;
        to.spared += spared;
        self.count(name, moved);
    }

    fn fee(&mut self) {
        let Some(spec) = &self.question.spec.platform_fee else { return };
        let is_exempt = |line: &Line| spec.exempt_recipient_ids.iter().any(|who| who.as_str() == line.who);
        let base_of = |line: &Line| match spec.base {
            _ if is_exempt(line) => 0,
            Some(FeeBase::Gross) => line.gross,
            Some(FeeBase::FeeableLines) | None => line.gross - line.spared,
        };
        let bases: Vec<i128> = self.answer.lines.iter().map(base_of).collect();
        let base: i128 = bases.iter().sum();
        let before = spec.tiers.as_ref().map_or(0, |tiers| self.through("fee_base", tiers.basis, tiers.since, base));
        let mut warnings = Vec::new();
        let mut of = |base: i128| {
            let fee = fee(spec, base, before);
            if fee.wanted > base {
                warnings.push(format!("fee_clamped {}", fee.wanted));
            }
            (fee.taken, fee.taken + fee.tax)
        };
        match (spec.bearer, spec.scope) {
            (FeeBearer::Payer, _) => self.answer.fee_elsewhere = on_top(base, spec.rate_ppm.into(), spec.fixed.into()),
            (FeeBearer::Platform, FeeScope::Total) => self.answer.fee_elsewhere = of(base).1,
            (FeeBearer::Platform, FeeScope::Line) => {
                self.answer.fee_elsewhere = bases.iter().filter(|base| **base > 0).map(|base| of(*base).1).sum();
            }
            (FeeBearer::Recipients, FeeScope::Line) => {
                for (line, base) in self.answer.lines.iter_mut().zip(bases).filter(|(_, base)| *base > 0) {
                    let (own, all) = of(base);
                    (line.fee, line.fee_tax) = (all, all - own);
                }
            }
            (FeeBearer::Recipients, FeeScope::Total) => {
                let (own, all) = of(base);
                let fees = largest_remainder(all, &claims(all, &bases), 0);
                let taxes = largest_remainder(all - own, &claims(all - own, &fees), 0);
                for ((line, fee), tax) in self.answer.lines.iter_mut().zip(fees).zip(taxes) {
                    (line.fee, line.fee_tax) = (fee, tax);
                }
            }
        }
        if spec.bearer == FeeBearer::Recipients {
            self.answer.warnings.extend(warnings);
        }
    }
}

/// What lines say their parts are, as whole numbers: weights as they are, percentages in parts per million.
fn weights(lines: &[LineSpec]) -> Vec<i128> {
    let given = |line: &LineSpec| -> i128 {
        let percent = line.percent.as_ref().map(|percent| {
            let (whole, decimals) = percent.split_once('.').unwrap_or((percent, ""));
            format!("{whole}{decimals:0<4}").parse::<i128>().unwrap()
        });
        let ppm = line.ppm.map(i128::from).or(line.bps.map(|bps| i128::from(bps) * 100)).or(percent);
        ppm.or(line.weight.map(i128::from)).unwrap_or(0)
    };
    let sum: i128 = lines.iter().map(given).sum();
    lines.iter().map(|line| if line.remaining { 1_000_000 - sum } else { given(line) }).collect()
}

fn text(key: &Option<StepKey>) -> String {
    key.as_ref().map(ToString::to_string).unwrap_or_default()
}
