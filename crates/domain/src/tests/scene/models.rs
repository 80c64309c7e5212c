//! Random models without fault, and random recipients.

use super::{day, rec, usd};
use crate::{
    calculation::{Party, Withholding},
    day::Day,
    recipient::HoldReason,
    revenue_model::{
        ModelSpec, RevenueModel, StepKey, WHOLE_PPM,
        spec::{
            Fallback, FeeBase, FeeBearer, FeeOnRefund, FeeScope, FeeSpec, FeeTierSpec, FeeTiersSpec, LineSpec, Per,
            RecoupLineSpec, SettlementSpec, StepSpec, TieBreak, TierBasis, TierMode, TierSpec,
        },
    },
    tax::{Period, Rounding, TaxBase, TaxProfile, TaxRule, TaxRuleSpec, Threshold, ThresholdMode},
    tests::tape::Tape,
};
use std::collections::BTreeSet;

/// Why somebody may not be paid, in one of three cases.
pub fn hold(tape: &mut Tape) -> Option<HoldReason> {
    if tape.one_in(3) { Some(tape.pick(&HoldReason::ALL)) } else { None }
}

/// Somebody for every recipient of the model.
pub fn parties(tape: &mut Tape, model: &RevenueModel) -> Vec<Party> {
    let mut party = || {
        let simple = tape.one_in(2);
        if simple {
            return Party::default();
        }
        Party {
            hold: hold(tape),
            tax: (0..tape.pick(&[0, 1, 1, 2, 3]))
                .map(|at| Withholding { rule: tax_rule(tape, at), year_to_date_minor: 0 })
                .collect(),
            minimum_minor: if tape.one_in(3) { tape.amount(1, 10_000) } else { 0 },
            granularity_minor: tape.pick(&[1, 1, 10, 100]),
            ..Party::default()
        }
    };
    (0..model.recipients().len()).map(|_| party()).collect()
}

/// A rule of withholding; the numbers keep the codes of one recipient apart.
pub fn tax_rule(tape: &mut Tape, number: usize) -> TaxRule {
    let threshold = Threshold {
        amount_minor: tape.below(20_000),
        period: tape.pick(&[Period::None, Period::CalendarYear, Period::FiscalYearApr]),
        mode: tape.pick(&[ThresholdMode::CliffAll, ThresholdMode::CliffFromNow, ThresholdMode::ExcessOnly]),
    };
    let spec = TaxRuleSpec {
        code: format!("rule_{number}"),
        jurisdiction: None,
        rate_ppm: tape.ppm(),
        taxable_ppm: if tape.one_in(3) { tape.ppm() } else { WHOLE_PPM },
        base: tape.pick(&[TaxBase::Gross, TaxBase::NetOfFee]),
        threshold: if tape.one_in(2) { Some(threshold) } else { None },
        rounding: tape.pick(&[Rounding::HalfUp, Rounding::HalfEven, Rounding::Floor]),
        granularity: tape.pick(&[1, 1, 1, 7, 100]),
        priority: tape.pick(&[0, 0, 1, -1]),
        currency: None,
        effective_from: if tape.one_in(8) { Some(day("2026-01-01")) } else { None },
        effective_to: if tape.one_in(8) { Some(day("2026-04-01")) } else { None },
    };
    spec.try_into().unwrap()
}

/// A model without fault.
pub fn model(tape: &mut Tape) -> ModelSpec {
    let people = tape.count(1, 6);
    let mut maker = Maker { tape, people, named: BTreeSet::new(), keys: 0 };
    let mut steps: Vec<StepSpec> = (0..maker.tape.count(0, 3)).map(|_| maker.leaves_something()).collect();
    steps.push(maker.takes_all());
    for _ in 0..maker.tape.pick(&[0, 0, 0, 1, 2]) {
        let transfer = maker.transfer();
        let place = maker.tape.count(0, steps.len());
        steps.splice(place..place, transfer);
    }
    let platform_fee = if maker.tape.one_in(6) { None } else { Some(maker.fee()) };
    let tape = maker.tape;
    let default_tax_profile =
        tape.one_in(3).then(|| TaxProfile::of((0..tape.count(0, 2)).map(|at| tax_rule(tape, at)).collect()));
    let settlement = tape.one_in(3).then(|| SettlementSpec {
        recovery_ppm: Some(tape.ppm()),
        escheat_after_days: None,
        fallback: tape.pick(&[Fallback::RemainHeld, Fallback::ReleaseProRata, Fallback::Platform]),
    });
    ModelSpec {
        steps,
        currency: Some(usd()),
        tie_break: tape.pick(&[TieBreak::Declaration, TieBreak::Rotate, TieBreak::Carry]),
        min_unit_per_line: tape.one_in(5),
        platform_fee,
        default_tax_profile,
        settlement,
    }
}

/// How the lines of a step are limited.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limits {
    None,
    /// Some lines, but not all, have caps.
    OneOpen,
    /// All lines have a cap, so that something may be left.
    AllCapped,
}

struct Maker<'t> {
    tape: &'t mut Tape,
    people: usize,
    named: BTreeSet<usize>,
    keys: usize,
}

impl Maker<'_> {
    fn key(&mut self) -> Option<StepKey> {
        self.keys += 1;
        Some(format!("step-{}", self.keys).parse().unwrap())
    }
    fn feeable(&mut self) -> Option<bool> {
        self.tape.pick(&[None, None, Some(true), Some(false)])
    }
    fn somebody(&mut self, most: usize) -> Vec<usize> {
        let mut order = self.tape.order(self.people);
        order.truncate(self.tape.count(1, most.min(self.people)));
        self.named.extend(&order);
        order
    }
    fn cap(&mut self) -> i64 {
        if self.tape.one_in(3) { self.tape.amount(0, 100_000) } else { self.tape.amount(0, 300) }
    }

    /// Parts of every kind that add up.
    fn lines(&mut self, who: &[usize], with_weights: bool) -> Vec<LineSpec> {
        let mut lines: Vec<LineSpec> = who.iter().map(|who| LineSpec::of(rec(*who))).collect();
        let kind = self.tape.below(if with_weights { 5 } else { 3 });
        let unit = if kind == 1 { 10_000 } else { WHOLE_PPM };
        if kind >= 3 {
            let most = self.tape.pick(&[1, 3, 9, 1_000_000]);
            for line in &mut lines {
                line.weight = Some(self.tape.amount(1, most));
            }
            return lines;
        }
        let parts = self.tape.parts(unit, lines.len());
        for (line, part) in lines.iter_mut().zip(parts) {
            let part = i64::try_from(part).unwrap();
            match kind {
                0 => line.ppm = Some(part),
                1 => line.bps = Some(part),
                _ => line.percent = Some(format!("{}.{:04}", part / 10_000, part % 10_000)),
            }
        }
        if self.tape.one_in(4) {
            let at = self.tape.count(0, lines.len() - 1);
            lines[at] = LineSpec { remaining: true, ..LineSpec::of(lines[at].recipient_id.clone()) };
        }
        lines
    }

    fn share(&mut self, portion_ppm: Option<i64>, limits: Limits) -> StepSpec {
        let who = self.somebody(4);
        let mut lines = self.lines(&who, true);
        let open = self.tape.count(0, lines.len() - 1);
        for (at, line) in lines.iter_mut().enumerate() {
            line.feeable = self.feeable();
            line.placeholder = self.tape.one_in(8);
            if limits == Limits::None {
                continue;
            }
            if self.tape.one_in(3) {
                line.min = Some(self.cap());
            }
            let room = line.min.unwrap_or(0);
            if limits == Limits::AllCapped || at != open && self.tape.one_in(2) {
                match self.tape.below(3) {
                    0 => line.max = Some(room + self.cap()),
                    1 => line.lifetime_max = Some(room + self.cap()),
                    _ => (line.max, line.lifetime_max) = (Some(room + self.cap()), Some(room + self.cap())),
                }
            }
        }
        StepSpec::Share { key: self.key(), portion_ppm, lines, feeable: self.feeable() }
    }

    fn leaves_something(&mut self) -> StepSpec {
        match self.tape.below(4) {
            0 => self.fixed(),
            1 => self.recoup(),
            2 => {
                let portion = self.tape.amount(1, 999_999);
                let limits = self.tape.pick(&[Limits::None, Limits::OneOpen, Limits::AllCapped]);
                self.share(Some(portion), limits)
            }
            _ => self.share(None, Limits::AllCapped),
        }
    }

    fn fixed(&mut self) -> StepSpec {
        let per = self.tape.pick(&[Per::Calculation, Per::Lifetime]);
        let (key, amount, feeable) = (self.key(), self.cap().max(1), self.feeable());
        if self.tape.one_in(3) {
            let who = self.somebody(3);
            let lines = self.lines(&who, true);
            return StepSpec::Fixed { key, amount, per, recipient_id: None, placeholder: false, lines, feeable };
        }
        let who = self.somebody(1)[0];
        let placeholder = self.tape.one_in(8);
        StepSpec::Fixed { key, amount, per, recipient_id: Some(rec(who)), placeholder, lines: Vec::new(), feeable }
    }

    fn recoup(&mut self) -> StepSpec {
        let who = self.somebody(3);
        let lines = who
            .into_iter()
            .map(|who| {
                let (principal, placeholder) = (self.cap().max(1), self.tape.one_in(8));
                RecoupLineSpec { recipient_id: rec(who), principal, placeholder }
            })
            .collect();
        StepSpec::Recoup {
            key: self.key(),
            lines,
            multiple_ppm: self.tape.pick(&[None, Some(1_000_000), Some(1_200_000), Some(1_333_333)]),
            rate_ppm: if self.tape.one_in(2) { Some(self.tape.amount(1, 1_000_000)) } else { None },
            cross_collateral_id: if self.tape.one_in(4) { Some("advance".parse().unwrap()) } else { None },
            feeable: self.feeable(),
        }
    }

    fn takes_all(&mut self) -> StepSpec {
        match self.tape.below(4) {
            0 => self.share(None, Limits::None),
            1 => self.share(None, Limits::OneOpen),
            2 => self.tiers(),
            _ => {
                let who = self.somebody(1)[0];
                StepSpec::Remainder {
                    recipient_id: rec(who),
                    placeholder: self.tape.one_in(8),
                    feeable: self.feeable(),
                }
            }
        }
    }

    fn scale(&mut self) -> (TierBasis, TierMode, Option<Day>, Vec<Option<i64>>) {
        let basis = self.tape.pick(&[TierBasis::CumulativeAmount, TierBasis::Amount]);
        let mode = self.tape.pick(&[TierMode::Marginal, TierMode::Volume]);
        let since = self.tape.one_in(3).then(|| day("2026-01-01"));
        let mut ends = vec![None; self.tape.count(1, 4)];
        let mut end = 0;
        for slot in ends.iter_mut().rev().skip(1).rev() {
            end += self.cap().max(1);
            *slot = Some(end);
        }
        (basis, mode, since, ends)
    }

    fn tiers(&mut self) -> StepSpec {
        let (basis, mode, since, ends) = self.scale();
        let mut begin = Some(0);
        let mut tiers = Vec::new();
        for end in ends {
            let who = self.somebody(3);
            let lines = self.lines(&who, false);
            let from = if self.tape.one_in(2) { begin } else { None };
            tiers.push(TierSpec { from, up_to: end, lines });
            begin = end;
        }
        // Somebody of one tier may be listed in another with nothing.
        for at in 1..tiers.len() {
            let somebody = tiers[at - 1].lines[0].recipient_id.clone();
            let is_paid_there = tiers[at - 1].lines[0].percent.is_none() && tiers[at - 1].lines[0].ppm != Some(0);
            let uses_ppm = tiers[at].lines.iter().all(|line| line.ppm.is_some());
            let is_new = tiers[at].lines.iter().all(|line| line.recipient_id != somebody);
            if is_paid_there && uses_ppm && is_new && self.tape.one_in(2) {
                tiers[at].lines.push(LineSpec { ppm: Some(0), ..LineSpec::of(somebody) });
            }
        }
        StepSpec::Tiers { key: self.key(), basis, mode, since, tiers, feeable: self.feeable() }
    }

    /// From somebody who is paid to somebody with a larger number, so that nothing goes round.
    fn transfer(&mut self) -> Option<StepSpec> {
        let named: Vec<usize> = self.named.iter().copied().collect();
        let from = self.tape.pick(&named);
        let to = from + self.tape.count(1, 2);
        let step = StepSpec::RecoupFromShare {
            key: self.key(),
            from_recipient_id: rec(from),
            to_recipient_id: rec(to),
            target: self.cap().max(1),
            rate_ppm: if self.tape.one_in(2) { Some(self.tape.amount(1, 1_000_000)) } else { None },
        };
        Some(step)
    }

    fn fee(&mut self) -> FeeSpec {
        let has_tiers = self.tape.one_in(4);
        let small = |tape: &mut Tape| if tape.one_in(3) { tape.below(500) } else { 0 };
        let (fixed, min) = (small(self.tape), small(self.tape));
        let max = self.tape.one_in(4).then(|| min + self.tape.below(5_000));
        let tiers = has_tiers.then(|| {
            let (basis, mode, since, ends) = self.scale();
            let tier = |up_to| FeeTierSpec { from: None, up_to, rate_ppm: self.tape.ppm(), flat: small(self.tape) };
            FeeTiersSpec { basis, mode, since, tiers: ends.into_iter().map(tier).collect() }
        });
        let bearer =
            self.tape.pick(&[FeeBearer::Recipients, FeeBearer::Recipients, FeeBearer::Platform, FeeBearer::Payer]);
        let rate_ppm = match bearer {
            _ if has_tiers => 0,
            // What a payer pays on top grows beyond all bounds with the rate.
            FeeBearer::Payer => self.tape.below(500_001),
            FeeBearer::Recipients | FeeBearer::Platform => self.tape.ppm(),
        };
        let exempt = self.named.iter().filter(|_| self.tape.one_in(8)).map(|who| rec(*who)).collect();
        FeeSpec {
            rate_ppm,
            fixed,
            min,
            max,
            tiers,
            base: self.tape.pick(&[None, None, Some(FeeBase::Gross), Some(FeeBase::FeeableLines)]),
            scope: if has_tiers { FeeScope::Total } else { self.tape.pick(&[FeeScope::Total, FeeScope::Line]) },
            bearer,
            exempt_recipient_ids: exempt,
            fee_tax_ppm: if self.tape.one_in(3) { self.tape.ppm() } else { 0 },
            fee_on_refund: self.tape.pick(&[FeeOnRefund::Returned, FeeOnRefund::Kept]),
        }
    }
}
