//! The steps of the model, in order: each takes from the pool that the previous one left.

use super::{
    Column, LawBroken, Operation,
    explanation::{Apportioned, Explanation},
    scale::{count, count_before, mode, slices},
    work::Work,
};
use crate::{
    apportion::{Ties as TieOrder, by_weight, house, limits, parts, rates::rate_down, residue},
    day::Day,
    revenue_model::{RecoupLine, RevenueModel, Scale, Share, Step, Ties, Transfer, WHOLE_PPM},
};

/// The gross column. Whoever gets nothing keeps a line, so that an auditor sees them.
pub(super) fn run(
    model: &RevenueModel,
    pool: i64,
    day: Day,
    work: &mut Work,
    explanation: &mut Explanation<'_>,
) -> Result<(), LawBroken> {
    let turn = match model.ties() {
        Ties::Rotate(slot) => usize::try_from(work.counts[slot]).unwrap_or(0),
        Ties::Declaration | Ties::Carry => 0,
    };
    let mut flow = Flow { model, day, turn, work, explanation, at: 0 };
    let mut left = pool;
    for (at, step) in model.steps().iter().enumerate() {
        flow.at = at;
        left -= flow.step(step, left);
    }
    if left != 0 {
        return Err(LawBroken("L1: the model left a part of the pool"));
    }
    for transfer in model.transfers() {
        flow.transfer(*transfer);
    }
    if let Ties::Rotate(slot) = model.ties() {
        flow.work.counts[slot] = flow.work.counts[slot].wrapping_add(1).max(0);
    }
    Ok(())
}

struct Flow<'a, 'n> {
    model: &'a RevenueModel,
    day: Day,
    turn: usize,
    work: &'a mut Work,
    explanation: &'a mut Explanation<'n>,
    at: usize,
}

impl Flow<'_, '_> {
    /// What the step took.
    fn step(&mut self, step: &Step, pool: i64) -> i64 {
        match step {
            Step::Fixed { amount_minor, given, share } => self.fixed(*amount_minor, *given, share, pool),
            Step::Recoup { rate_ppm, lines, feeable } => self.recoup(*rate_ppm, lines, *feeable, pool),
            Step::Share { portion_ppm, share } => {
                let portion = self.portion(*portion_ppm, pool);
                self.share(share, portion)
            }
            Step::Tiers { scale, who, parts, residues, feeable } => {
                self.tiers(scale, who, parts, *residues, pool);
                let shares = std::mem::take(&mut self.work.shares);
                for (who, share) in who.iter().zip(&shares) {
                    self.work.give(*who, share.value, *feeable);
                }
                self.work.shares = shares;
                pool
            }
            Step::Remainder { who, feeable } => {
                self.work.give(*who, pool, *feeable);
                let step = Some(self.at);
                self.explanation.value(step, Some(*who), Column::Gross, Operation::Fixed, pool, "remainder");
                pool
            }
        }
    }

    fn ties(&self, lines: usize) -> TieOrder {
        TieOrder::of_turn(self.turn, lines)
    }
    fn rule(&self) -> &'static str {
        match self.model.ties() {
            Ties::Declaration => "largest_remainder/declaration",
            Ties::Rotate(_) => "largest_remainder/rotate",
            Ties::Carry => "largest_remainder/carry",
        }
    }
    fn apportioned(&self, amount: i64, total: u64) -> Apportioned {
        let (step, column, operation) = (Some(self.at), Column::Gross, Operation::Apportion);
        Apportioned { step, column, operation, amount, total, rule: self.rule() }
    }

    /// The largest-remainder part of the pool that a step divides at all.
    fn portion(&mut self, portion_ppm: u64, pool: i64) -> i64 {
        if portion_ppm == WHOLE_PPM {
            return pool;
        }
        by_weight(pool, &[portion_ppm, WHOLE_PPM - portion_ppm], WHOLE_PPM, TieOrder::default(), &mut self.work.shares);
        let portion = self.work.shares[0].value;
        let line = (Some(self.at), None, Column::Gross, Operation::Rate);
        let fraction = || (format!("{pool}*{portion_ppm}"), WHOLE_PPM.to_string());
        self.explanation.quotient(line, portion, "portion", fraction);
        portion
    }

    fn fixed(&mut self, amount: i64, given: Option<usize>, share: &Share, pool: i64) -> i64 {
        let before = given.map_or(0, |slot| self.work.counts[slot].max(0));
        let taken = pool.min((amount - before).max(0));
        if let Some(slot) = given {
            self.work.counts[slot] += taken;
        }
        if let [line] = share.lines[..] {
            self.work.give(line.who, taken, line.feeable);
            let rule = if given.is_some() { "lifetime" } else { "calculation" };
            let line =
                self.explanation.value(Some(self.at), Some(line.who), Column::Gross, Operation::Fixed, taken, rule);
            if let Some(line) = line {
                line.numerator = Some(format!("min({pool},{amount}-{before})"));
            }
            return taken;
        }
        self.share(share, taken)
    }

    fn recoup(&mut self, rate_ppm: u64, lines: &[RecoupLine], feeable: bool, pool: i64) -> i64 {
        let usable = rate_down(pool, rate_ppm);
        let mut weights = std::mem::take(&mut self.work.weights);
        weights.clear();
        weights.extend(lines.iter().map(|line| self.work.missing(line.target_minor, line.recouped).unsigned_abs()));
        let outstanding: u64 = weights.iter().sum();
        let taken = usable.min(i64::try_from(outstanding).unwrap_or(i64::MAX));
        if rate_ppm < WHOLE_PPM {
            let line = (Some(self.at), None, Column::Gross, Operation::Rate);
            self.explanation.quotient(line, usable, "floor", || (format!("{pool}*{rate_ppm}"), WHOLE_PPM.to_string()));
        }
        // Who shares by what is outstanding never gets more than that: the pool is at most the sum.
        by_weight(taken, &weights, outstanding.max(1), TieOrder::default(), &mut self.work.shares);
        for (at, line) in lines.iter().enumerate() {
            let value = self.work.shares[at].value;
            self.work.counts[line.recouped] += value;
            self.work.give(line.who, value, feeable);
        }
        let what =
            Apportioned { operation: Operation::Recoup, rule: "pari_passu", ..self.apportioned(taken, outstanding) };
        let parts = lines.iter().zip(&weights).map(|(line, weight)| (line.who, *weight));
        self.explanation.apportioned(what, parts, &self.work.shares);
        self.work.weights = weights;
        taken
    }

    /// Divides `amount` among the lines; answers what was taken, which is less only if all lines are at their caps.
    fn share(&mut self, share: &Share, amount: i64) -> i64 {
        let ties = self.ties(share.lines.len());
        if share.has_limits {
            return self.limited(share, amount, ties);
        }
        let memory = self.memory(share.residues, share.lines.len());
        if let Some(first) = share.residues {
            let entitled = entitled(amount, &share.weights);
            let residues = &mut self.work.counts[first..first + share.lines.len()];
            self.work.shares = residue::apportion(amount, &entitled, share.total, residues);
        } else if self.model.min_unit_per_line() {
            self.work.shares = house::apportion(amount, &share.weights, share.total, ties);
        } else {
            by_weight(amount, &share.weights, share.total, ties, &mut self.work.shares);
        }
        for (at, line) in share.lines.iter().enumerate() {
            let value = self.work.shares[at].value;
            self.work.give(line.who, value, line.feeable);
        }
        if self.explanation.is_full() {
            let what = self.apportioned(amount, share.total);
            for (at, line) in share.lines.iter().enumerate() {
                let numerator = format!("{amount}*{}{}", share.weights[at], remembered(&memory, at));
                self.explanation.share(what, line.who, numerator, &self.work.shares[at]);
            }
        }
        amount
    }

    /// What earlier releases left over for each line, if that decides and somebody reads it.
    fn memory(&self, residues: Option<usize>, lines: usize) -> Vec<i64> {
        let first = residues.filter(|_| self.explanation.is_full());
        first.map(|first| self.work.counts[first..first + lines].to_vec()).unwrap_or_default()
    }

    fn limited(&mut self, share: &Share, amount: i64, ties: TieOrder) -> i64 {
        let least = i64::from(self.model.min_unit_per_line());
        let limit = |line: &crate::revenue_model::ShareLine| {
            let ever = line.lifetime.map_or(i64::MAX, |(max, slot)| self.work.missing(max, slot));
            let max = line.max.min(ever);
            // Over the years a cap comes first: what was promised at least is promised up to it.
            limits::Limit { min: line.min.max(least).min(max), max }
        };
        let bounds: Vec<limits::Limit> = share.lines.iter().map(limit).collect();
        let filled = limits::fill(amount, &share.weights, &bounds, ties);
        for (line, part) in share.lines.iter().zip(&filled.shares) {
            if let Some((_, slot)) = line.lifetime {
                self.work.counts[slot] += part.value;
            }
            self.work.give(line.who, part.value, line.feeable);
        }
        if self.explanation.is_full() {
            self.explain_limited(share, &filled, &bounds);
        }
        filled.taken_minor()
    }

    fn explain_limited(&mut self, share: &Share, filled: &limits::Filled, bounds: &[limits::Limit]) {
        let what = self.apportioned(filled.shared_minor, filled.shared_weight);
        for (at, line) in share.lines.iter().enumerate() {
            let part = &filled.shares[at];
            let operation = match filled.places[at] {
                limits::Place::Free => {
                    let weight = if filled.by_floors { bounds[at].min.unsigned_abs() } else { share.weights[at] };
                    self.explanation.share(what, line.who, format!("{}*{weight}", what.amount), part);
                    continue;
                }
                limits::Place::Cap => Operation::Cap,
                limits::Place::Floor => Operation::Floor,
            };
            self.explanation.value(
                Some(self.at),
                Some(line.who),
                Column::Gross,
                operation,
                part.value,
                "water_filling",
            );
        }
    }

    /// The whole pool over the tiers, into `work.shares`.
    fn tiers(&mut self, scale: &Scale, who: &[usize], rates: &[Vec<u64>], residues: Option<usize>, pool: i64) {
        let before = count_before(scale, self.day, self.work);
        let slices = slices(scale, before, pool);
        let mut entitled = vec![0u128; who.len()];
        for (tier, slice) in &slices {
            for (column, entitled) in entitled.iter_mut().enumerate() {
                *entitled += u128::from(slice.unsigned_abs()) * u128::from(rates[*tier][column]);
            }
            let line = (Some(self.at), None, Column::Gross, Operation::TierSlice);
            self.explanation
                .quotient(line, *slice, mode(scale), || (format!("tier {tier}"), format!("after {before}")));
        }
        count(scale, self.day, self.work, pool);
        let memory = self.memory(residues, who.len());
        self.work.shares = match residues {
            Some(first) => {
                let residues = &mut self.work.counts[first..first + who.len()];
                residue::apportion(pool, &entitled, WHOLE_PPM, residues)
            }
            None => parts::apportion(pool, &entitled, WHOLE_PPM, self.ties(who.len())),
        };
        if self.explanation.is_full() {
            let what = self.apportioned(pool, WHOLE_PPM);
            for (column, place) in who.iter().enumerate() {
                let terms: Vec<String> =
                    slices.iter().map(|(tier, slice)| format!("{slice}*{}", rates[*tier][column])).collect();
                let numerator = format!("{}{}", terms.join("+"), remembered(&memory, column));
                self.explanation.share(what, *place, numerator, &self.work.shares[column]);
            }
        }
    }

    fn transfer(&mut self, transfer: Transfer) {
        let Transfer { step, from, to, target_minor, rate_ppm, recouped } = transfer;
        let outstanding = self.work.missing(target_minor, recouped);
        let gross = self.work.lines[from].gross_minor;
        let moved = outstanding.min(rate_down(gross, rate_ppm));
        self.work.counts[recouped] += moved;
        // What the platform takes its fee of moves first.
        let feeable = moved.min(self.work.lines[from].feeable_minor);
        self.work.lines[from].gross_minor -= moved;
        self.work.lines[from].feeable_minor -= feeable;
        self.work.lines[to].gross_minor += moved;
        self.work.lines[to].feeable_minor += feeable;
        let how = || format!("min({outstanding},{gross}*{rate_ppm}/{WHOLE_PPM})");
        for (who, value) in [(from, -moved), (to, moved)] {
            let line = self.explanation.value(
                Some(step),
                Some(who),
                Column::Gross,
                Operation::Transfer,
                value,
                "recoup_from_share",
            );
            if let Some(line) = line {
                line.numerator = Some(how());
            }
        }
    }
}

fn entitled(amount: i64, weights: &[u64]) -> Vec<u128> {
    weights.iter().map(|weight| u128::from(amount.unsigned_abs()) * u128::from(*weight)).collect()
}

/// What a line's entitlement is increased by, as a term of a sum.
fn remembered(memory: &[i64], at: usize) -> String {
    memory.get(at).filter(|residue| **residue != 0).map(|residue| format!("{residue:+}")).unwrap_or_default()
}
