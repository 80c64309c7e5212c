//! From a released amount to lines that sum to the cent.
//!
//! [`Calculator`] is a pure function of the model, the release, what is known of the recipients and what was counted
//! before; its body is the order of deduction (revenue-engine design, section 7c), one call a line, and the laws are
//! asserted before a result leaves. [`calculate`] is the same for people: with names, warnings and an explanation.

mod calculator;
mod explanation;
mod fee;
mod laws;
mod scale;
mod settlement;
mod waterfall;
mod withholding;
mod work;

pub use crate::apportion::charge_for;
pub use calculator::{Calculator, Release, Split, strangers};
pub use explanation::{Column, Detail, ExplanationLine, Operation};
pub use laws::LawBroken;
pub use work::{Amounts, TaxTaken};

use crate::{
    currency::Currency, day::Day, ids::RecipientId, money::Money, recipient::HoldReason, revenue_model::RevenueModel,
    tax::TaxRule,
};
use explanation::Explanation;
use std::ops::Deref;
use work::Notice;

/// What is calculated.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What was released, in minor units; greater than zero.
    pub amount: Money,
    /// What reduces the pool before anything is split.
    pub deductions: &'a [Deduction],
    /// The day on which it was earned, in UTC.
    pub day: Day,
    /// Who gets which part.
    pub model: &'a RevenueModel,
    /// What is known of the recipients, in the order of [`RevenueModel::recipients`]; if empty, see [`strangers`].
    pub parties: &'a [Party],
    /// What the model counted so far, in the order of [`RevenueModel::counted`]; nothing, if empty.
    pub counts: &'a [i64],
    /// How much is explained.
    pub detail: Detail,
}

/// What the calculation needs to know of a recipient. Amounts are minor units of the release's currency.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Party {
    /// Why nothing may be paid now, if so.
    pub hold: Option<HoldReason>,
    /// What is withheld, in this order.
    pub tax: Vec<Withholding>,
    /// What is carried for them.
    pub carried_minor: i64,
    /// What they owe.
    pub debt_minor: i64,
    /// Less than this is not sent, but carried.
    pub minimum_minor: i64,
    /// Their rail sends multiples of this only.
    pub granularity_minor: i64,
}

impl Default for Party {
    /// Somebody who is simply paid.
    fn default() -> Self {
        Self { hold: None, tax: Vec::new(), carried_minor: 0, debt_minor: 0, minimum_minor: 0, granularity_minor: 1 }
    }
}

/// A rule that applies to a recipient.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Withholding {
    /// The rule.
    pub rule: TaxRule,
    /// What it has looked at before in the same period.
    pub year_to_date_minor: i64,
}

/// Something the caller takes off the amount before it is split (a refund, a processor's fee).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deduction {
    /// What for.
    pub kind: DeductionKind,
    /// Minor units; greater than zero.
    pub amount_minor: i64,
    /// The caller's own reference.
    pub reference: Option<String>,
}

/// What a deduction is for. It names the ledger account `deductions:{kind}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeductionKind {
    /// What the payment processor kept.
    PspFee,
    /// What was paid back to the payer.
    Refund,
    /// What the payer's bank took back.
    Chargeback,
    /// A cost that the contract puts before the split.
    Expense,
}

impl DeductionKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::PspFee, Self::Refund, Self::Chargeback, Self::Expense];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PspFee => "psp_fee",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
            Self::Expense => "expense",
        }
    }
}

/// The result: it obeys the laws, or it does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calculation {
    /// What was released.
    pub amount: Money,
    /// One line a recipient, in order of first appearance.
    pub lines: Vec<Line>,
    /// The sums of the columns.
    pub totals: Totals,
    /// Why each cent is where it is.
    pub explanation: Vec<ExplanationLine>,
    /// What the caller should look at, though nothing is wrong.
    pub warnings: Vec<Warning>,
    /// What must be counted together with this.
    pub movements: Vec<Movement>,
}

/// What one recipient gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who.
    pub recipient: RecipientId,
    /// How much.
    pub amounts: Amounts,
    /// What each rule withheld, in the order in which they took.
    pub taxes: Vec<RuleTax>,
    /// Why it is not paid now, if so.
    pub hold: Option<HoldReason>,
}

impl Deref for Line {
    type Target = Amounts;
    fn deref(&self) -> &Amounts {
        &self.amounts
    }
}

impl Line {
    /// Every column of the breakdown.
    pub(crate) fn columns(&self) -> [(Column, i64); 10] {
        [
            (Column::Gross, self.gross_minor),
            (Column::PlatformFee, self.fee_minor),
            (Column::FeeTax, self.fee_tax_minor),
            (Column::TaxWithheld, self.tax_minor),
            (Column::Net, self.net_minor),
            (Column::CarriedIn, self.carried_in_minor),
            (Column::Recovered, self.recovered_minor),
            (Column::Held, self.held_minor),
            (Column::CarriedForward, self.carried_forward_minor),
            (Column::Payable, self.payable_minor),
        ]
    }
}

/// What one rule withheld.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleTax {
    /// The code of the rule.
    pub rule: String,
    /// Minor units.
    pub amount_minor: i64,
}

/// Sums of the columns, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What was taken off before the split.
    pub deductions_minor: i64,
    /// Each column, summed up over the lines.
    pub sums: Amounts,
    /// A fee that is not in the lines: the platform waived it, or the payer paid it on top.
    pub fee_elsewhere_minor: i64,
}

impl Deref for Totals {
    type Target = Amounts;
    fn deref(&self) -> &Amounts {
        &self.sums
    }
}

/// Something that must be counted together with the result, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// What is counted.
    pub counter: Counter,
    /// Whose line moves it, if it is one.
    pub recipient: Option<RecipientId>,
    /// How far.
    pub add: i64,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// What the model counts, by its place in [`RevenueModel::counted`].
    Model(usize),
    /// What a tax rule looked at in a period.
    TaxBase {
        /// The code of the rule.
        rule: String,
        /// The period.
        period: String,
    },
    /// What is carried for the recipient.
    Carried,
    /// What the recipient owes.
    Debt,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The deductions took everything.
    NothingToSplit,
    /// Fee and tax took everything.
    NothingPayable,
    /// The fee was cut to the base it is taken from.
    FeeClamped {
        /// What the formula gave.
        wanted_minor: u128,
    },
    /// The tax was cut to what the fee left; the platform owes the rest.
    WithholdingShortfall {
        /// Whose.
        recipient: RecipientId,
        /// How much is missing.
        missing_minor: i64,
    },
    /// The line is not paid now.
    RecipientHeld {
        /// Whose.
        recipient: RecipientId,
        /// Why.
        reason: HoldReason,
    },
    /// The line, or a part of it, is carried to a later release.
    CarriedForward {
        /// Whose.
        recipient: RecipientId,
        /// How much.
        carried_minor: i64,
    },
}

impl Warning {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingToSplit => "nothing_to_split",
            Self::NothingPayable => "nothing_payable",
            Self::FeeClamped { .. } => "fee_clamped",
            Self::WithholdingShortfall { .. } => "withholding_shortfall",
            Self::RecipientHeld { .. } => "recipient_held",
            Self::CarriedForward { .. } => "carried_forward",
        }
    }
    /// Whom it is about.
    pub fn recipient(&self) -> Option<&RecipientId> {
        match self {
            Self::NothingToSplit | Self::NothingPayable | Self::FeeClamped { .. } => None,
            Self::WithholdingShortfall { recipient, .. }
            | Self::RecipientHeld { recipient, .. }
            | Self::CarriedForward { recipient, .. } => Some(recipient),
        }
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalculationError {
    /// Nothing was released.
    #[error("the amount must be greater than zero")]
    AmountNotPositive,
    /// The model is bound to another currency.
    #[error("the model is bound to {model}, the amount is in {amount}")]
    CurrencyMismatch {
        /// The model's.
        model: Currency,
        /// The amount's.
        amount: Currency,
    },
    /// More is taken off than was released.
    #[error("the deductions exceed the amount")]
    DeductionsExceedAmount,
    /// Together with what is carried it is more than 2^63 - 1 minor units.
    #[error("together with what is carried this exceeds 2^63 - 1 minor units")]
    CarriedOutOfRange,
    /// Our own fault: the result would not have added up.
    #[error(transparent)]
    LawBroken(#[from] LawBroken),
}

/// Splits what was released, with names, warnings and as much explanation as was asked for.
///
/// # Errors
/// See [`CalculationError`].
pub fn calculate(request: Request<'_>) -> Result<Calculation, CalculationError> {
    let Request { amount, deductions, day, model, parties, counts, detail } = request;
    let stand_ins = if parties.is_empty() { strangers(model, amount.currency, day) } else { Vec::new() };
    let parties = if parties.is_empty() { &stand_ins } else { parties };

    let mut explanation = Explanation::new(detail, model.recipients());
    deductions.iter().for_each(|deduction| explanation.deduction(deduction));
    let deducted: i128 = deductions.iter().map(|deduction| i128::from(deduction.amount_minor)).sum();
    let deductions_minor = i64::try_from(deducted).map_err(|_| CalculationError::DeductionsExceedAmount)?;
    let release = Release { amount_minor: amount.amount_minor, currency: amount.currency, deductions_minor, day };
    let mut calculator = Calculator::with_parties(model, parties);
    let totals = calculator.run(&release, counts, &mut explanation)?;
    let calculation = Calculation {
        amount,
        lines: lines(&calculator, model),
        totals,
        explanation: explanation.into_lines(),
        warnings: warnings(&calculator, model),
        movements: movements(&calculator, model, counts, day),
    };
    if detail == Detail::Full {
        laws::assert_explained(&calculation)?;
    }
    Ok(calculation)
}

fn lines(calculator: &Calculator<'_>, model: &RevenueModel) -> Vec<Line> {
    let named = model.recipients().iter().zip(&calculator.work().lines).enumerate();
    let mut lines: Vec<Line> = named
        .map(|(who, (recipient, amounts))| {
            let hold = calculator.parties().get(who).and_then(|party| party.hold);
            Line { recipient: recipient.clone(), amounts: *amounts, taxes: Vec::new(), hold }
        })
        .collect();
    for tax in &calculator.work().taxes {
        let rule = calculator.parties()[tax.who].tax[tax.rule].rule.code();
        let taxes = &mut lines[tax.who].taxes;
        match taxes.iter_mut().find(|known| known.rule == rule) {
            Some(known) => known.amount_minor += tax.taken_minor,
            None => taxes.push(RuleTax { rule: rule.to_owned(), amount_minor: tax.taken_minor }),
        }
    }
    lines
}

fn warnings(calculator: &Calculator<'_>, model: &RevenueModel) -> Vec<Warning> {
    let recipient = |who: usize| model.recipients()[who].clone();
    let line = |who: usize| &calculator.work().lines[who];
    let warning = |notice: &Notice| match *notice {
        Notice::NothingToSplit => Some(Warning::NothingToSplit),
        Notice::NothingPayable => Some(Warning::NothingPayable),
        Notice::FeeClamped { wanted_minor } => Some(Warning::FeeClamped { wanted_minor }),
        Notice::Shortfall { who, missing_minor } => {
            Some(Warning::WithholdingShortfall { recipient: recipient(who), missing_minor })
        }
        Notice::Held { who } => {
            let reason = calculator.parties().get(who).and_then(|party| party.hold);
            reason.map(|reason| Warning::RecipientHeld { recipient: recipient(who), reason })
        }
        Notice::Carried { who } => {
            let carried_minor = line(who).carried_forward_minor;
            Some(Warning::CarriedForward { recipient: recipient(who), carried_minor })
        }
    };
    calculator.work().notices.iter().filter_map(warning).collect()
}

fn movements(calculator: &Calculator<'_>, model: &RevenueModel, counts: &[i64], day: Day) -> Vec<Movement> {
    let mut movements = Vec::new();
    let mut add = |counter: Counter, who: Option<usize>, add: i64| {
        if add != 0 {
            let recipient = who.map(|who| model.recipients()[who].clone());
            movements.push(Movement { counter, recipient, add });
        }
    };
    for (place, counted) in model.counted().iter().enumerate() {
        let before = counts.get(place).copied().unwrap_or(0);
        add(Counter::Model(place), counted.who(), calculator.work().counts[place] - before);
    }
    for tax in &calculator.work().taxes {
        let rule = &calculator.parties()[tax.who].tax[tax.rule].rule;
        let period = rule.spec().threshold.and_then(|threshold| threshold.period.label(day));
        if let Some(period) = period {
            add(Counter::TaxBase { rule: rule.code().to_owned(), period }, Some(tax.who), tax.base_minor);
        }
    }
    for (who, line) in calculator.work().lines.iter().enumerate() {
        add(Counter::Carried, Some(who), line.carried_forward_minor - line.carried_in_minor);
        add(Counter::Debt, Some(who), -line.recovered_minor);
    }
    movements
}

#[cfg(test)]
mod tests;
