//! The steps of the model, in order: each takes from the pool that the previous one left.

use super::{Column, Explanation, LawBroken, Line, Party};
use crate::{
    apportion::apportion,
    ids::RecipientId,
    revenue_model::{RevenueModel, ShareLine, Step},
};
use std::collections::HashMap;

/// The gross column: one line a recipient, in order of first appearance. Whoever gets nothing keeps a
/// line, so that an auditor sees them.
pub(super) fn run(
    model: &RevenueModel,
    pool: i64,
    parties: &HashMap<RecipientId, Party>,
    explanation: &mut Explanation,
) -> Result<Vec<Line>, LawBroken> {
    let mut breakdown = Breakdown::new(parties);
    let mut left = pool;
    for (at, step) in model.steps().iter().enumerate() {
        left -= match step {
            Step::Share(lines) => share(at, lines, left, &mut breakdown, explanation)?,
        };
    }
    if left != 0 {
        return Err(LawBroken("L1: the model left a part of the pool"));
    }
    Ok(breakdown.lines)
}

/// The whole pool by weight; answers what was taken.
fn share(
    at: usize,
    lines: &[ShareLine],
    pool: i64,
    breakdown: &mut Breakdown<'_>,
    explanation: &mut Explanation,
) -> Result<i64, LawBroken> {
    let weights: Vec<u64> = lines.iter().map(|line| line.weight).collect();
    let shares = apportion(pool, &weights).map_err(|_| LawBroken("a checked model has weight"))?;
    for (line, share) in lines.iter().zip(&shares) {
        breakdown.add(&line.recipient, share.value);
    }
    explanation.apportioned(
        Some(at),
        Column::Gross,
        pool,
        lines.iter().map(|line| (&line.recipient, line.weight)),
        &shares,
    );
    Ok(pool)
}

struct Breakdown<'a> {
    parties: &'a HashMap<RecipientId, Party>,
    lines: Vec<Line>,
    place: HashMap<RecipientId, usize>,
}

impl<'a> Breakdown<'a> {
    fn new(parties: &'a HashMap<RecipientId, Party>) -> Self {
        Self { parties, lines: Vec::new(), place: HashMap::new() }
    }

    fn add(&mut self, recipient: &RecipientId, gross_minor: i64) {
        let place = *self.place.entry(recipient.clone()).or_insert_with(|| {
            self.lines.push(Line {
                recipient: recipient.clone(),
                gross_minor: 0,
                fee_minor: 0,
                tax_minor: 0,
                tax_rule: None,
                net_minor: 0,
                hold: self.parties.get(recipient).and_then(|party| party.hold),
            });
            self.lines.len() - 1
        });
        self.lines[place].gross_minor += gross_minor;
    }
}
