//! What is withheld, and what becomes of the rest.

use super::{Fraction, Sum};
use crate::{
    calculation::Party,
    tax::{Period, Rounding, TaxBase, TaxRuleSpec, ThresholdMode},
};

impl Sum<'_> {
    pub(super) fn withhold(&mut self) {
        let question = self.question;
        let mut by_default: Vec<TaxRuleSpec> = Vec::new();
        if let (true, Some(profile)) = (question.parties.is_empty(), &question.spec.default_tax_profile) {
            by_default = profile.rules.iter().map(|rule| rule.spec().clone()).collect();
            by_default.retain(|rule| {
                rule.currency.is_none_or(|currency| currency == question.currency)
                    && rule.effective_from.is_none_or(|from| question.day >= from)
                    && rule.effective_to.is_none_or(|to| question.day < to)
            });
            by_default.sort_by_key(|rule| rule.priority);
        }
        for at in 0..self.answer.lines.len() {
            let rules: Vec<(TaxRuleSpec, i128)> = match question.parties.get(at) {
                None => by_default.iter().map(|rule| (rule.clone(), 0)).collect(),
                Some(party) => {
                    let rules = party.tax.iter();
                    rules.map(|tax| (tax.rule.spec().clone(), tax.year_to_date_minor.into())).collect()
                }
            };
            for (rule, year_to_date) in rules {
                self.apply(at, &rule, year_to_date);
            }
        }
    }

    fn apply(&mut self, at: usize, rule: &TaxRuleSpec, before: i128) {
        let day = self.question.day;
        let line = &mut self.answer.lines[at];
        let base = match rule.base {
            TaxBase::Gross => line.gross,
            TaxBase::NetOfFee => line.gross - line.fee,
        };
        let looked_at = match rule.threshold {
            None => base,
            Some(threshold) => {
                let limit = i128::from(threshold.amount_minor);
                let (is_passed, was_passed) = (before + base > limit, before > limit);
                match threshold.mode {
                    _ if !is_passed => 0,
                    ThresholdMode::CliffAll if !was_passed => before + base,
                    ThresholdMode::CliffAll | ThresholdMode::CliffFromNow => base,
                    ThresholdMode::ExcessOnly => before + base - limit.max(before),
                }
            }
        };
        let grain = i128::from(rule.granularity);
        let exact = Fraction::new(i128::from(rule.taxable_ppm) * i128::from(rule.rate_ppm), 1_000_000_000_000 * grain);
        let exact = exact.times(looked_at);
        let wanted = grain
            * match rule.rounding {
                Rounding::HalfUp => exact.half_up(),
                Rounding::HalfEven => exact.half_even(),
                Rounding::Floor => exact.down(),
            };
        let left = line.gross - line.fee - line.tax;
        let taken = wanted.min(left);
        line.tax += taken;
        line.taxes.push((rule.code.clone(), taken));
        if wanted > left {
            self.answer.warnings.push(format!("withholding_shortfall {} {}", line.who, wanted - left));
        }
        let year =
            |year: i32, begins_in_april: bool| if begins_in_april { format!("fy{year}") } else { year.to_string() };
        let period = match rule.threshold.map(|threshold| threshold.period) {
            None | Some(Period::None) => return,
            Some(Period::CalendarYear) => year(day.year(), false),
            // January to March belong to the year before.
            Some(Period::FiscalYearApr) => {
                let is_early = ["-01-", "-02-", "-03-"].iter().any(|month| day.to_string()[4..].starts_with(month));
                year(day.year() - i32::from(is_early), true)
            }
        };
        let name = format!("tax/{}/{}/{period}", line.who, rule.code);
        self.count(name, base);
    }

    pub(super) fn settle(&mut self) {
        let question = self.question;
        let recovery = question.spec.settlement.and_then(|settlement| settlement.recovery_ppm).unwrap_or(1_000_000);
        for at in 0..self.answer.lines.len() {
            let stranger = Party::default();
            let party = question.parties.get(at).unwrap_or(&stranger);
            let line = &mut self.answer.lines[at];
            line.net = line.gross - line.fee - line.tax;
            line.recovered = Fraction::ppm(recovery.into()).times(line.net).down().min(party.debt_minor.into());
            let due = line.net - line.recovered;
            let hold = match (party.hold, question.parties.is_empty() && line.placeholder) {
                (Some(reason), _) => Some(reason.as_str()),
                (None, true) => Some("recipient_placeholder"),
                (None, false) => None,
            };
            if let Some(reason) = hold {
                line.held = due;
                self.answer.warnings.push(format!("recipient_held {} {reason}", line.who));
            } else {
                let available = i128::from(party.carried_minor) + due;
                let payable = if available < i128::from(party.minimum_minor) {
                    0
                } else {
                    let grain = i128::from(party.granularity_minor);
                    Fraction::new(available, grain).down() * grain
                };
                // What is carried is only touched if there is something new, or something to send.
                if payable > 0 || due > 0 {
                    line.carried_in = party.carried_minor.into();
                    line.payable = payable;
                    line.carried_forward = available - payable;
                }
                if line.carried_forward > 0 {
                    self.answer.warnings.push(format!("carried_forward {} {}", line.who, line.carried_forward));
                }
            }
            let (who, carried, recovered) = (line.who.clone(), line.carried_forward - line.carried_in, line.recovered);
            self.count(format!("carried/{who}"), carried);
            self.count(format!("debt/{who}"), -recovered);
        }
        let lines = &self.answer.lines;
        if lines.iter().any(|line| line.gross > 0) && lines.iter().all(|line| line.net == 0) {
            self.answer.warnings.push("nothing_payable".to_owned());
        }
    }
}
