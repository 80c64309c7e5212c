//! The conservation laws (revenue-engine design, section 4), asserted before a result leaves.

use super::{Calculation, Column, Detail, ExplanationLine, Line};
use crate::ids::RecipientId;
use std::collections::HashMap;

/// A law that a result would have broken. It is our fault, never the caller's, and never a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the calculation would not have added up ({0})")]
pub struct LawBroken(pub &'static str);

pub(super) fn assert(calculation: &Calculation, detail: Detail) -> Result<(), LawBroken> {
    let Calculation { amount, lines, totals, explanation, warnings: _ } = calculation;
    let holds = |law: bool, name: &'static str| if law { Ok(()) } else { Err(LawBroken(name)) };

    holds(totals.gross_minor == amount.amount_minor - totals.deductions_minor, "L1: gross = amount - deductions")?;
    for line in lines {
        holds(line.gross_minor == line.fee_minor + line.tax_minor + line.net_minor, "L2: gross = fee + tax + net")?;
        holds((0..=line.gross_minor).contains(&line.fee_minor), "L4: 0 <= fee <= gross")?;
        holds((0..=line.gross_minor - line.fee_minor).contains(&line.tax_minor), "L4: 0 <= tax <= gross - fee")?;
        holds(line.net_minor == line.held_minor() + line.payable_minor(), "L5: net = held + payable")?;
    }
    holds(columns_sum(lines, calculation), "L3: each column sums to its total")?;
    if detail == Detail::Full {
        holds(explained(lines, explanation), "L6: the explanation sums to every column")?;
    }
    Ok(())
}

fn columns_sum(lines: &[Line], calculation: &Calculation) -> bool {
    let totals = &calculation.totals;
    let sum = |column: fn(&Line) -> i64| lines.iter().map(|line| i128::from(column(line))).sum::<i128>();
    sum(|line| line.gross_minor) == i128::from(totals.gross_minor)
        && sum(|line| line.fee_minor) == i128::from(totals.fee_minor)
        && sum(|line| line.tax_minor) == i128::from(totals.tax_minor)
        && sum(|line| line.net_minor) == i128::from(totals.net_minor)
        && sum(Line::held_minor) == i128::from(totals.held_minor)
        && sum(Line::payable_minor) == i128::from(totals.payable_minor)
}

fn explained(lines: &[Line], explanation: &[ExplanationLine]) -> bool {
    let mut sums: HashMap<(&RecipientId, Column), i128> = HashMap::new();
    for line in explanation {
        if let Some(recipient) = &line.recipient {
            *sums.entry((recipient, line.column)).or_default() += i128::from(line.value);
        }
    }
    let sum = |line: &Line, column| sums.get(&(&line.recipient, column)).copied().unwrap_or_default();
    lines.iter().all(|line| {
        sum(line, Column::Gross) == i128::from(line.gross_minor)
            && sum(line, Column::PlatformFee) == i128::from(line.fee_minor)
            && sum(line, Column::TaxWithheld) == i128::from(line.tax_minor)
    })
}
