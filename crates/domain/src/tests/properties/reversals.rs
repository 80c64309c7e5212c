//! Taking back a part of a release.

use super::config;
use crate::{
    batch::BatchLine,
    calculation::Detail,
    ids::BatchId,
    revenue_model::spec::FeeOnRefund,
    reversal::{ReversalError, ReversalLine, Strategy as Bearer, divide},
    tests::{
        naive,
        scene::{self, Scene, scene},
        tape::tapes,
    },
};
use proptest::prelude::*;
use uuid::Uuid;

/// What is left of a line: net, fee without the tax on it, the tax on it, and what each rule withheld.
fn parts(line: &BatchLine) -> Vec<i128> {
    let mut parts = vec![line.net_minor(), line.fee_minor - line.fee_tax_minor, line.fee_tax_minor];
    parts.extend(line.taxes.iter().map(|tax| tax.amount_minor));
    parts.into_iter().map(i128::from).collect()
}

/// What a reversal takes of the same.
fn taken(part: &ReversalLine) -> Vec<i128> {
    let kept = part.fee_kept_minor + part.fee_tax_kept_minor;
    let mut taken =
        vec![part.net_minor - kept, part.fee_minor + part.fee_kept_minor, part.fee_tax_minor + part.fee_tax_kept_minor];
    taken.extend(part.taxes.iter().map(|tax| tax.amount_minor));
    taken.into_iter().map(i128::from).collect()
}

proptest! {
    #![proptest_config(config())]

    /// Property 21: reversals sum to what is reversed, take nothing that is not there, divide what is left as the naive
    /// engine does, and leave nothing when everything is reversed; a unit more is refused.
    #[test]
    fn reversals_sum_up_and_a_full_one_leaves_nothing(mut tape in tapes(240)) {
        let Scene { model, mut ledger, releases, .. } = scene(&mut tape);
        let calculation = scene::run(&model, &mut ledger, &releases[0], Detail::None).unwrap();
        let batch = BatchId::new(Uuid::nil());
        let lines: Vec<BatchLine> =
            calculation.lines.iter().zip(0..).map(|(line, seq)| BatchLine::of(batch, seq, line, None)).collect();
        let kept = tape.pick(&[FeeOnRefund::Returned, FeeOnRefund::Kept]);
        let mut left: Vec<Vec<i128>> = lines.iter().map(parts).collect();
        let mut remaining: i64 = lines.iter().map(|line| line.gross_minor).sum();
        let mut earlier: Vec<ReversalLine> = Vec::new();
        for number in 0..tape.count(1, 4) {
            let id = format!("ref_{number}").parse().unwrap();
            let gross: Vec<i128> = left.iter().map(|parts| parts.iter().sum()).collect();
            let one = tape.count(0, lines.len() - 1);
            let (strategy, most) = if tape.one_in(4) {
                (Bearer::Recipient(lines[one].recipient.clone()), i64::try_from(gross[one]).unwrap())
            } else {
                (Bearer::SplitRatio, remaining)
            };
            let ask = |amount| divide(&id, amount, &strategy, kept, &lines, &earlier, remaining);
            let too_much = ReversalError::ExceedsRemaining { remaining_minor: most, asked_minor: most + 1 };
            prop_assert_eq!(ask(most + 1), Err(too_much));
            let amount = if number == 3 || tape.one_in(4) { most } else { tape.amount(0, most) };
            if amount == 0 {
                continue;
            }
            let reversed = ask(amount).unwrap();
            let shares = match strategy {
                Bearer::Recipient(_) => (0..lines.len()).map(|at| if at == one { amount.into() } else { 0 }).collect(),
                _ => naive::largest_remainder(amount.into(), &naive::claims(amount.into(), &gross), 0),
            };
            prop_assert!(reversed.iter().map(|part| part.seq as usize).eq((0..lines.len()).filter(|at| shares[*at] > 0)));
            for part in &reversed {
                let at = part.seq as usize;
                prop_assert_eq!(i128::from(part.gross_minor), shares[at]);
                let taken = taken(part);
                prop_assert_eq!(&taken, &naive::largest_remainder(shares[at], &naive::claims(shares[at], &left[at]), 0));
                for (left, taken) in left[at].iter_mut().zip(&taken) {
                    prop_assert!((0..=*left).contains(taken));
                    *left -= taken;
                }
                let is_kept = part.fee_kept_minor + part.fee_tax_kept_minor > 0;
                let is_returned = part.fee_minor + part.fee_tax_minor > 0;
                prop_assert!(!is_kept || kept == FeeOnRefund::Kept);
                prop_assert!(!is_returned || kept == FeeOnRefund::Returned);
                let (unsent, carried) = (tape.amount(0, 1_000), tape.amount(0, 1_000));
                let source = part.drawn(unsent, carried).source.unwrap();
                prop_assert_eq!(source.payable_minor + source.carried_minor + source.debt_minor, part.net_minor);
                prop_assert!(source.payable_minor <= unsent && source.carried_minor <= carried && source.debt_minor >= 0);
            }
            remaining -= amount;
            earlier.extend(reversed);
        }
        let rest = left.iter().flatten().sum::<i128>();
        prop_assert_eq!(rest, i128::from(remaining));
        prop_assert!(remaining > 0 || left.iter().flatten().all(|left| *left == 0));
    }
}
