//! What a calculation looks like: its lines, its sums, and why each cent is where it is.

use super::values::Sum;
use crate::http::scalars::Sc;
use app::revenue::calculate_revenue::Calculated;
use domain::{
    batch::BatchLine,
    calculation::{Calculation, Column, ExplanationLine, Line, RuleTax, Totals, Warning},
    currency::Currency,
    ids::{CalculationId, ProjectId, RecipientId},
    recipient::HoldReason,
    revenue_model::ModelHash,
    timestamp::Timestamp,
};
use poem_openapi::{Enum, Object};
use serde::Serialize;

/// What an amount comes to.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Calculation", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct CalculationView {
    calculation_id: Sc<CalculationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<Sc<ProjectId>>,
    amount: i64,
    currency: Sc<Currency>,
    as_of: Sc<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<u32>,
    model_hash: Sc<ModelHash>,
    /// Grows whenever anything moves that the model counted, or that its recipients have carried, owe or were taxed on.
    ledger_version: u64,
    /// One line a recipient, in order of first appearance.
    breakdown: Vec<LineView>,
    totals: TotalsView,
    /// The sum of `netAmount`.
    total_distributed: i64,
    /// A platform fee that is in no line: the platform waived it, or the payer paid it on top.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_fee_elsewhere: Option<i64>,
    /// Why each cent is where it is.
    explanation: Vec<ExplanationView>,
    /// What to look at, though nothing is wrong.
    warnings: Vec<WarningView>,
    /// What would be counted, if this were scheduled.
    state_delta: Vec<MovementView>,
}

/// What one recipient gets. `grossShare = platformFeeShare + taxWithheldShare + netAmount`, and
/// `netAmount + carriedIn = recovered + held + carriedForward + payableAmount`.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "BreakdownLine", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    recipient_id: Sc<RecipientId>,
    gross_share: i64,
    /// The platform's part, tax on it included.
    platform_fee_share: i64,
    /// Of `platformFeeShare`, the tax on the fee.
    fee_tax_share: i64,
    tax_withheld_share: i64,
    /// What each rule withheld, in the order in which they took.
    taxes: Vec<RuleTaxView>,
    /// What is left: owed to the recipient.
    net_amount: i64,
    disposition: Disposition,
    /// Why it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_reason: Option<String>,
    /// What earlier releases carried, and this one takes along.
    carried_in: i64,
    /// What the recipient's debt takes.
    recovered: i64,
    /// What waits for the recipient.
    held: i64,
    /// What is carried to a later release.
    carried_forward: i64,
    /// What is paid now.
    payable_amount: i64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// It is paid.
    Payable,
    /// It waits for the recipient.
    Held,
    /// Nothing of it is paid now; it is carried to a later release.
    Carried,
}

/// What one rule withheld.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "RuleTax")]
pub struct RuleTaxView {
    /// The code of the rule.
    rule: String,
    amount: i64,
}

impl From<RuleTax> for RuleTaxView {
    fn from(tax: RuleTax) -> Self {
        Self { rule: tax.rule, amount: tax.amount_minor }
    }
}

impl Disposition {
    fn of(hold: Option<HoldReason>, carried_forward_minor: i64, payable_minor: i64) -> Self {
        match hold {
            Some(_) => Self::Held,
            None if payable_minor == 0 && carried_forward_minor > 0 => Self::Carried,
            None => Self::Payable,
        }
    }
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        let Line { recipient, amounts, taxes, hold } = line;
        Self {
            recipient_id: Sc(recipient),
            gross_share: amounts.gross_minor,
            platform_fee_share: amounts.fee_minor,
            fee_tax_share: amounts.fee_tax_minor,
            tax_withheld_share: amounts.tax_minor,
            taxes: taxes.into_iter().map(RuleTaxView::from).collect(),
            net_amount: amounts.net_minor,
            disposition: Disposition::of(hold, amounts.carried_forward_minor, amounts.payable_minor),
            hold_reason: hold.map(|reason| reason.as_str().to_owned()),
            carried_in: amounts.carried_in_minor,
            recovered: amounts.recovered_minor,
            held: amounts.held_minor,
            carried_forward: amounts.carried_forward_minor,
            payable_amount: amounts.payable_minor,
        }
    }
}

impl LineView {
    /// A line as it was booked. A batch does not keep what was held then; its explanation says how much, and why.
    pub(super) fn booked(line: BatchLine, explanation: &[ExplanationLine]) -> Self {
        let why = explanation
            .iter()
            .find(|why| why.column == Column::Held && why.recipient.as_ref() == Some(&line.recipient));
        let hold = why.and_then(|why| why.rule.parse().ok());
        let held_minor = why.map_or(0, |why| why.value);
        let payable_minor = line.payable_minor - held_minor;
        Self {
            gross_share: line.gross_minor,
            platform_fee_share: line.fee_minor,
            fee_tax_share: line.fee_tax_minor,
            tax_withheld_share: line.tax_minor(),
            net_amount: line.net_minor(),
            disposition: Disposition::of(hold, line.carried_forward_minor, payable_minor),
            hold_reason: hold.map(|reason| reason.as_str().to_owned()),
            carried_in: line.carried_in_minor,
            recovered: line.recovered_minor,
            held: held_minor,
            carried_forward: line.carried_forward_minor,
            payable_amount: payable_minor,
            recipient_id: Sc(line.recipient),
            taxes: line.taxes.into_iter().map(RuleTaxView::from).collect(),
        }
    }
}

/// The sums of the columns.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Totals", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct TotalsView {
    /// What was taken off before the split.
    deductions: i64,
    gross: i64,
    platform_fee: i64,
    /// Of `platformFee`, the tax on it.
    fee_tax: i64,
    tax_withheld: i64,
    net: i64,
    carried_in: i64,
    recovered: i64,
    held: i64,
    carried_forward: i64,
    payable: i64,
}

impl From<Totals> for TotalsView {
    fn from(totals: Totals) -> Self {
        Self {
            deductions: totals.deductions_minor,
            gross: totals.gross_minor,
            platform_fee: totals.fee_minor,
            fee_tax: totals.fee_tax_minor,
            tax_withheld: totals.tax_minor,
            net: totals.net_minor,
            carried_in: totals.carried_in_minor,
            recovered: totals.recovered_minor,
            held: totals.held_minor,
            carried_forward: totals.carried_forward_minor,
            payable: totals.payable_minor,
        }
    }
}

/// How a value came about. The values of one recipient and column sum to the breakdown.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ExplanationLine", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct ExplanationView {
    seq: u32,
    /// The step of the model, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    /// Absent where it is about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<Sc<RecipientId>>,
    /// The column of the breakdown, by its name in the totals; or `deduction`.
    column: String,
    /// `apportion`, `cap`, `floor`, `fixed`, `recoup`, `tier_slice`, `transfer`, `rate`, `clamp`, `tax`, `recover`, `hold`,
    /// `carry`, `granularity` or `difference`.
    op: String,
    /// What is divided; or the sum or difference that is the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    numerator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denominator: Option<String>,
    /// The whole units of the quotient.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<i64>,
    /// What the division leaves, as a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    remainder: Option<String>,
    /// The unit added because of a large remainder.
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_unit: Option<i64>,
    value: i64,
    rule: String,
}

impl From<ExplanationLine> for ExplanationView {
    fn from(line: ExplanationLine) -> Self {
        Self {
            seq: line.seq,
            step: line.step.and_then(|step| u32::try_from(step).ok()),
            recipient_id: line.recipient.map(Sc),
            column: line.column.as_str().to_owned(),
            op: line.operation.as_str().to_owned(),
            numerator: line.numerator,
            denominator: line.denominator,
            floor: line.floor,
            remainder: line.remainder,
            extra_unit: line.extra_unit,
            value: line.value,
            rule: line.rule,
        }
    }
}

/// Something to look at.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Warning", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct WarningView {
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<Sc<RecipientId>>,
    /// How much is missing, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Sum>,
    /// What the formula of the fee gave, in minor units, before it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<Sum>,
    /// How much is carried to a later release, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<Sum>,
    /// Why it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Warning> for WarningView {
    fn from(warning: Warning) -> Self {
        let mut view = Self {
            code: warning.code().to_owned(),
            recipient_id: warning.recipient().cloned().map(Sc),
            missing: None,
            wanted: None,
            carried: None,
            reason: None,
        };
        match warning {
            Warning::WithholdingShortfall { missing_minor, .. } => view.missing = Some(Sum(missing_minor.into())),
            Warning::FeeClamped { wanted_minor } => view.wanted = i128::try_from(wanted_minor).ok().map(Sum),
            Warning::CarriedForward { carried_minor, .. } => view.carried = Some(Sum(carried_minor.into())),
            Warning::RecipientHeld { reason, .. } => view.reason = Some(reason.as_str().to_owned()),
            Warning::NothingToSplit | Warning::NothingPayable => {}
        }
        view
    }
}

/// How far something moves that is counted from release to release.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "CounterMove", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct MovementView {
    /// What is counted: a kind, and what it belongs to.
    counter: String,
    /// Whose line moves it; absent where it is about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<Sc<RecipientId>>,
    /// How far.
    add: i64,
}

impl From<(String, Option<RecipientId>, i64)> for MovementView {
    fn from((counter, recipient, add): (String, Option<RecipientId>, i64)) -> Self {
        Self { counter, recipient_id: recipient.map(Sc), add }
    }
}

impl From<Calculated> for CalculationView {
    fn from(calculated: Calculated) -> Self {
        let Calculated { id, project, model_version, model_hash, as_of, ledger_version, calculation, movements } =
            calculated;
        // What moves is named by the use case, which knows what the model's counters are called.
        let Calculation { amount, lines, totals, explanation, warnings, movements: _ } = calculation;
        Self {
            calculation_id: Sc(id),
            project_id: project.map(Sc),
            amount: amount.amount_minor,
            currency: Sc(amount.currency),
            as_of: Sc(as_of),
            model_version,
            model_hash: Sc(model_hash),
            ledger_version,
            breakdown: lines.into_iter().map(LineView::from).collect(),
            totals: totals.into(),
            total_distributed: totals.net_minor,
            platform_fee_elsewhere: Some(totals.fee_elsewhere_minor).filter(|fee| *fee != 0),
            explanation: explanation.into_iter().map(ExplanationView::from).collect(),
            warnings: warnings.into_iter().map(WarningView::from).collect(),
            state_delta: movements.into_iter().map(MovementView::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_paid_held_or_carried() {
        assert_eq!(Disposition::of(None, 1, 1), Disposition::Payable);
        assert_eq!(Disposition::of(None, 0, 0), Disposition::Payable);
        assert_eq!(Disposition::of(None, 1, 0), Disposition::Carried);
        assert_eq!(Disposition::of(Some(HoldReason::RecipientPending), 0, 0), Disposition::Held);
    }
}
