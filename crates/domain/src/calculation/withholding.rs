//! Withholding tax: a rate on each recipient's gross amount, cut to what the fee left.

use super::{Column, Explanation, Line, Operation, Party, Warning};
use crate::{apportion::half_up, ids::RecipientId, recipient::TaxRule, revenue_model::WHOLE_PPM};
use std::collections::HashMap;

pub(super) fn take(
    parties: &HashMap<RecipientId, Party>,
    lines: &mut [Line],
    explanation: &mut Explanation,
    warnings: &mut Vec<Warning>,
) {
    for line in lines.iter_mut() {
        if let Some(rule) = parties.get(&line.recipient).and_then(|party| party.tax.as_ref()) {
            withhold(rule, line, explanation, warnings);
        }
    }
}

fn withhold(rule: &TaxRule, line: &mut Line, explanation: &mut Explanation, warnings: &mut Vec<Warning>) {
    let product = u128::from(line.gross_minor.unsigned_abs()) * u128::from(rule.rate_ppm());
    // A rate of at most 100 % never exceeds the gross amount, so the value fits.
    let wanted = i64::try_from(half_up(product, u128::from(WHOLE_PPM))).unwrap_or(line.gross_minor);
    let left = line.gross_minor - line.fee_minor;
    line.tax_minor = wanted.min(left);
    line.tax_rule = Some(rule.code().to_owned());

    let whose = Some(&line.recipient);
    explanation.rate(whose, Column::TaxWithheld, Operation::Tax, (line.gross_minor, rule.rate_ppm()), wanted);
    if wanted > left {
        let missing_minor = wanted - left;
        explanation.plain(whose, Column::TaxWithheld, Operation::Clamp, -missing_minor, "gross_less_fee");
        warnings.push(Warning::WithholdingShortfall { recipient: line.recipient.clone(), missing_minor });
    }
}
