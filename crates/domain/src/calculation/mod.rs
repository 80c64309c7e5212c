//! From a released amount to lines that sum to the cent.
//!
//! [`calculate`] is a pure function of the model, the amount, the deductions and what is known of the
//! recipients. Its body is the order of deduction (revenue-engine design, section 7c), one call a line;
//! the laws are asserted before a result leaves.

mod explanation;
mod fee;
mod laws;
mod waterfall;
mod withholding;

pub use explanation::{Column, Detail, ExplanationLine, Operation};
pub use laws::LawBroken;

use crate::{
    currency::Currency,
    ids::RecipientId,
    money::Money,
    recipient::{HoldReason, TaxRule},
    revenue_model::RevenueModel,
};
use explanation::Explanation;
use std::collections::HashMap;

/// What is calculated.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What was released, in minor units; greater than zero.
    pub amount: Money,
    /// What reduces the pool before anything is split.
    pub deductions: &'a [Deduction],
    /// Who gets which part.
    pub model: &'a RevenueModel,
    /// What is known of the recipients; whoever is absent is paid in full.
    pub parties: &'a HashMap<RecipientId, Party>,
    /// How much is explained.
    pub detail: Detail,
}

/// What the calculation needs to know of a recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// What is withheld.
    pub tax: Option<TaxRule>,
    /// Why nothing may be paid now, if so.
    pub hold: Option<HoldReason>,
}

/// Something the caller takes off the amount before it is split (a refund, a processor's fee).
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// What one recipient gets. Minor units; `gross = fee + tax + net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who.
    pub recipient: RecipientId,
    /// Their part of the pool.
    pub gross_minor: i64,
    /// Their part of the platform fee.
    pub fee_minor: i64,
    /// What is withheld.
    pub tax_minor: i64,
    /// The rule it is withheld under.
    pub tax_rule: Option<String>,
    /// What is left: owed to the recipient.
    pub net_minor: i64,
    /// Why it is not paid now, if so.
    pub hold: Option<HoldReason>,
}

impl Line {
    /// What is paid now: the net amount, unless the line is held.
    pub fn payable_minor(&self) -> i64 {
        if self.hold.is_some() { 0 } else { self.net_minor }
    }
    /// What is kept for later.
    pub fn held_minor(&self) -> i64 {
        self.net_minor - self.payable_minor()
    }
}

/// Sums of the columns, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What was taken off before the split.
    pub deductions_minor: i64,
    /// The pool that was split.
    pub gross_minor: i64,
    /// The platform's part.
    pub fee_minor: i64,
    /// Withheld.
    pub tax_minor: i64,
    /// Owed to recipients.
    pub net_minor: i64,
    /// Of `net_minor`, what is held.
    pub held_minor: i64,
    /// Of `net_minor`, what is paid now.
    pub payable_minor: i64,
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
        }
    }
    /// Whom it is about.
    pub fn recipient(&self) -> Option<&RecipientId> {
        match self {
            Self::NothingToSplit | Self::NothingPayable | Self::FeeClamped { .. } => None,
            Self::WithholdingShortfall { recipient, .. } | Self::RecipientHeld { recipient, .. } => Some(recipient),
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
    /// Our own fault: the result would not have added up.
    #[error(transparent)]
    LawBroken(#[from] LawBroken),
}

/// Splits what was released.
///
/// # Errors
/// See [`CalculationError`].
pub fn calculate(request: Request<'_>) -> Result<Calculation, CalculationError> {
    check_currency(&request)?;
    let mut explanation = Explanation::new(request.detail);
    let mut warnings = Vec::new();

    let (pool, deductions_minor) = pool_after_deductions(&request, &mut explanation, &mut warnings)?;
    let mut lines = waterfall::run(request.model, pool, request.parties, &mut explanation)?;
    fee::take(request.model.platform_fee(), &mut lines, &mut explanation, &mut warnings)?;
    withholding::take(request.parties, &mut lines, &mut explanation, &mut warnings);
    settle(&mut lines, &mut warnings);

    let calculation = Calculation {
        amount: request.amount,
        totals: totals(deductions_minor, &lines),
        lines,
        explanation: explanation.into_lines(),
        warnings,
    };
    laws::assert(&calculation, request.detail)?;
    Ok(calculation)
}

fn check_currency(request: &Request<'_>) -> Result<(), CalculationError> {
    match request.model.currency() {
        Some(model) if model != request.amount.currency => {
            Err(CalculationError::CurrencyMismatch { model, amount: request.amount.currency })
        }
        _ => Ok(()),
    }
}

fn pool_after_deductions(
    request: &Request<'_>,
    explanation: &mut Explanation,
    warnings: &mut Vec<Warning>,
) -> Result<(i64, i64), CalculationError> {
    let amount = request.amount.amount_minor;
    if amount <= 0 {
        return Err(CalculationError::AmountNotPositive);
    }
    let deductions: i128 = request.deductions.iter().map(|deduction| i128::from(deduction.amount_minor)).sum();
    let pool = i64::try_from(i128::from(amount) - deductions).ok().filter(|pool| (0..=amount).contains(pool));
    let pool = pool.ok_or(CalculationError::DeductionsExceedAmount)?;
    for deduction in request.deductions {
        explanation.deduction(deduction);
    }
    if pool == 0 {
        warnings.push(Warning::NothingToSplit);
    }
    Ok((pool, amount - pool))
}

/// What is left of each line is the recipient's, and whether it is paid now.
fn settle(lines: &mut [Line], warnings: &mut Vec<Warning>) {
    for line in lines.iter_mut() {
        line.net_minor = line.gross_minor - line.fee_minor - line.tax_minor;
        if let Some(reason) = line.hold {
            warnings.push(Warning::RecipientHeld { recipient: line.recipient.clone(), reason });
        }
    }
    if lines.iter().any(|line| line.gross_minor > 0) && lines.iter().all(|line| line.net_minor == 0) {
        warnings.push(Warning::NothingPayable);
    }
}

fn totals(deductions_minor: i64, lines: &[Line]) -> Totals {
    let sum = |column: fn(&Line) -> i64| lines.iter().map(column).sum();
    Totals {
        deductions_minor,
        gross_minor: sum(|line| line.gross_minor),
        fee_minor: sum(|line| line.fee_minor),
        tax_minor: sum(|line| line.tax_minor),
        net_minor: sum(|line| line.net_minor),
        held_minor: sum(Line::held_minor),
        payable_minor: sum(Line::payable_minor),
    }
}

#[cfg(test)]
mod tests;
