//! The conservation laws (revenue-engine design, section 4), asserted before a result leaves.

use super::{Amounts, Calculation, Column, ExplanationLine, Line, TaxTaken, Totals};
use crate::ids::RecipientId;
use std::collections::HashMap;

/// A law that a result would have broken. It is our fault, never the caller's, and never a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the calculation would not have added up ({0})")]
pub struct LawBroken(pub &'static str);

fn holds(law: bool, name: &'static str) -> Result<(), LawBroken> {
    if law { Ok(()) } else { Err(LawBroken(name)) }
}

/// L1 to L5, line by line and summed up.
pub(super) fn assert(amount: i64, totals: &Totals, lines: &[Amounts], taxes: &[TaxTaken]) -> Result<(), LawBroken> {
    holds(totals.gross_minor == amount - totals.deductions_minor, "L1: gross = amount - deductions")?;
    for line in lines {
        let Amounts { gross_minor: gross, fee_minor: fee, tax_minor: tax, net_minor: net, .. } = *line;
        holds(gross == fee + tax + net, "L2: gross = fee + tax + net")?;
        holds(fee >= 0 && tax >= 0 && net >= 0, "L4: 0 <= fee <= gross, 0 <= tax <= gross - fee, net >= 0")?;
        holds((0..=fee).contains(&line.fee_tax_minor), "L4: the tax on the fee is a part of it")?;
        let Amounts { recovered_minor: recovered, held_minor: held, carried_forward_minor: forward, .. } = *line;
        let (carried, payable) = (line.carried_in_minor, line.payable_minor);
        holds(recovered >= 0 && held >= 0 && forward >= 0 && payable >= 0, "L5: nothing is negative")?;
        let right = [recovered, held, forward, payable].into_iter().map(i128::from).sum::<i128>();
        let balances = i128::from(net) + i128::from(carried) == right;
        holds(balances, "L5: net + carried in = recovered + held + carried forward + payable")?;
    }
    let withheld: i64 = taxes.iter().map(|tax| tax.taken_minor).sum();
    holds(withheld == totals.tax_minor, "L3: what the rules withheld is the tax column")
}

/// L6: the explanation sums to every column.
pub(super) fn assert_explained(calculation: &Calculation) -> Result<(), LawBroken> {
    let mut sums: HashMap<(&RecipientId, Column), i128> = HashMap::new();
    for ExplanationLine { recipient, column, value, .. } in &calculation.explanation {
        if let Some(recipient) = recipient {
            *sums.entry((recipient, *column)).or_default() += i128::from(*value);
        }
    }
    let is_explained = |line: &Line| {
        line.columns().into_iter().all(|(column, value)| {
            sums.get(&(&line.recipient, column)).copied().unwrap_or_default() == i128::from(value)
        })
    };
    holds(calculation.lines.iter().all(is_explained), "L6: the explanation sums to every column")
}
