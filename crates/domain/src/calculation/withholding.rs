//! Withholding tax: rule by rule, each cut to what fee and earlier rules left.

use super::{
    Column, Operation, Party,
    explanation::Explanation,
    work::{Notice, TaxTaken, Work},
};
use crate::tax::{TaxBase, TaxRule};

pub(super) fn take(parties: &[Party], work: &mut Work, explanation: &mut Explanation<'_>) {
    for (who, party) in parties.iter().enumerate().take(work.lines.len()) {
        for (rule, withholding) in party.tax.iter().enumerate() {
            withhold(who, rule, &withholding.rule, withholding.year_to_date_minor, work, explanation);
        }
    }
}

fn withhold(
    who: usize,
    place: usize,
    rule: &TaxRule,
    year_to_date: i64,
    work: &mut Work,
    explanation: &mut Explanation<'_>,
) {
    let line = &mut work.lines[who];
    let base_minor = match rule.spec().base {
        TaxBase::Gross => line.gross_minor,
        TaxBase::NetOfFee => line.gross_minor - line.fee_minor,
    };
    let taxed = rule.above_threshold(base_minor, year_to_date);
    let wanted = i64::try_from(rule.tax(taxed)).unwrap_or(i64::MAX);
    let left = line.gross_minor - line.fee_minor - line.tax_minor;
    let taken = wanted.min(left);
    line.tax_minor += taken;
    work.taxes.push(TaxTaken { who, rule: place, base_minor, wanted_minor: wanted, taken_minor: taken });

    let spec = rule.spec();
    let fraction = || {
        let unit = 1_000_000_000_000u128 * u128::from(spec.granularity);
        (format!("{taxed}*{}*{}", spec.taxable_ppm, spec.rate_ppm), unit.to_string())
    };
    let of = (None, Some(who), Column::TaxWithheld, Operation::Tax);
    explanation.quotient(of, wanted, rule.code(), fraction);
    if wanted > left {
        let missing_minor = wanted - left;
        explanation.value(
            None,
            Some(who),
            Column::TaxWithheld,
            Operation::Clamp,
            -missing_minor,
            "gross_less_fee_and_tax",
        );
        work.notices.push(Notice::Shortfall { who, missing_minor });
    }
}
