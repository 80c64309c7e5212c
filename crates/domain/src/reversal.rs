//! Taking back a part of a release: from everybody who got a part of it, in proportion to what they still have.
//!
//! A reversal is divided over each line's remaining gross, so that reversals never exceed a line and a full refund
//! restores everything. Each line's part is divided once more, over what the line was made of: net, fee, tax.
//! Sources: revenue-engine design, section 6 (refund); product design, section 3 (reversal).

use crate::{
    apportion::apportion,
    batch::{BatchLine, Fingerprint},
    calculation::RuleTax,
    currency::Currency,
    ids::{BatchId, ItemId, RecipientId, Requester, ReversalId},
    revenue_model::spec::FeeOnRefund,
    timestamp::Timestamp,
};
use std::{fmt, str::FromStr};

/// A reversal: who gives back how much of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The caller's name for it; unique for ever.
    pub id: ReversalId,
    /// The batch that the release became.
    pub batch: BatchId,
    /// What goes back, in minor units.
    pub amount_minor: i64,
    /// The batch's currency.
    pub currency: Currency,
    /// Who bears it.
    pub strategy: Strategy,
    /// Of `amount_minor`, what the platform pays out of its own.
    pub platform_minor: i64,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// Who asked.
    pub requested_by: Requester,
    /// What the request said.
    pub fingerprint: Fingerprint,
    /// When it was booked.
    pub created_at: Timestamp,
}

/// Who bears a reversal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Everybody, in proportion to their remaining gross.
    #[default]
    SplitRatio,
    /// The platform, out of its fees.
    Platform,
    /// One recipient.
    Recipient(RecipientId),
}

/// The text names no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `split_ratio`, `platform` or `recipient:` and a recipient's id")]
pub struct InvalidStrategy;

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SplitRatio => f.write_str("split_ratio"),
            Self::Platform => f.write_str("platform"),
            Self::Recipient(recipient) => write!(f, "recipient:{recipient}"),
        }
    }
}
impl FromStr for Strategy {
    type Err = InvalidStrategy;
    fn from_str(text: &str) -> Result<Self, InvalidStrategy> {
        match text.split_once(':') {
            None if text == "split_ratio" => Ok(Self::SplitRatio),
            None if text == "platform" => Ok(Self::Platform),
            Some(("recipient", id)) => id.parse().map(Self::Recipient).map_err(|_| InvalidStrategy),
            _ => Err(InvalidStrategy),
        }
    }
}

/// What one line gives back. Minor units; `gross = net + fee + fee tax + taxes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversalLine {
    /// The reversal.
    pub reversal: ReversalId,
    /// The batch.
    pub batch: BatchId,
    /// The line's place in the batch.
    pub seq: u32,
    /// Whose line.
    pub recipient: RecipientId,
    /// The item that pays it, if there is one.
    pub item: Option<ItemId>,
    /// What is taken back of the line's gross.
    pub gross_minor: i64,
    /// Of it, what the platform gives back of its fee, without the tax on it.
    pub fee_minor: i64,
    /// Of it, what is given back of the tax on the fee.
    pub fee_tax_minor: i64,
    /// Of it, what is not owed to the state any more, by rule.
    pub taxes: Vec<RuleTax>,
    /// Of it, what the recipient bears: their net share, and the fee if that is kept.
    pub net_minor: i64,
    /// Of `net_minor`, the fee that the platform keeps, without the tax on it.
    pub fee_kept_minor: i64,
    /// Of `net_minor`, the tax on the fee that is kept.
    pub fee_tax_kept_minor: i64,
    /// Where the recipient's part came from; not known while the item is in flight.
    pub source: Option<Source>,
}

/// Where a recipient's part of a reversal came from. Minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// What was not sent yet, and will not be.
    pub payable_minor: i64,
    /// What the line had carried, and nobody had paid since.
    pub carried_minor: i64,
    /// The rest: the recipient owes it now.
    pub debt_minor: i64,
}

/// What is left of a line after earlier reversals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    gross_minor: i64,
    fee_minor: i64,
    fee_tax_minor: i64,
    taxes: Vec<RuleTax>,
}

impl Remaining {
    /// What the earlier reversals (those of this line; others are passed over) left of a line.
    pub fn of(line: &BatchLine, earlier: &[ReversalLine]) -> Self {
        let mut left = Self {
            gross_minor: line.gross_minor,
            fee_minor: line.fee_minor - line.fee_tax_minor,
            fee_tax_minor: line.fee_tax_minor,
            taxes: line.taxes.clone(),
        };
        for part in earlier.iter().filter(|part| part.seq == line.seq) {
            left.gross_minor -= part.gross_minor;
            // A fee that was kept is used up all the same.
            left.fee_minor -= part.fee_minor + part.fee_kept_minor;
            left.fee_tax_minor -= part.fee_tax_minor + part.fee_tax_kept_minor;
            for tax in &mut left.taxes {
                let taken = part.taxes.iter().filter(|taken| taken.rule == tax.rule);
                tax.amount_minor -= taken.map(|taken| taken.amount_minor).sum::<i64>();
            }
        }
        left
    }
    /// What can still be taken back.
    pub fn gross_minor(&self) -> i64 {
        self.gross_minor
    }
    fn net_minor(&self) -> i64 {
        self.gross_minor
            - self.fee_minor
            - self.fee_tax_minor
            - self.taxes.iter().map(|tax| tax.amount_minor).sum::<i64>()
    }

    /// `gross_minor` of it, divided over what it is made of.
    fn part(&self, line: &BatchLine, reversal: &ReversalId, gross_minor: i64, fee: FeeOnRefund) -> ReversalLine {
        let mut weights: Vec<u64> =
            [self.net_minor(), self.fee_minor, self.fee_tax_minor].map(i64::unsigned_abs).to_vec();
        weights.extend(self.taxes.iter().map(|tax| tax.amount_minor.unsigned_abs()));
        // Nothing is left of a line only if nothing is taken back of it.
        let parts: Vec<i64> = apportion(gross_minor, &weights)
            .map(|shares| shares.iter().map(|share| share.value).collect())
            .unwrap_or_else(|_| vec![0; weights.len()]);
        let taxes = self.taxes.iter().zip(&parts[3..]);
        let taxes = taxes.map(|(tax, part)| RuleTax { rule: tax.rule.clone(), amount_minor: *part }).collect();
        let (returned, kept) = match fee {
            FeeOnRefund::Returned => ([parts[1], parts[2]], [0, 0]),
            FeeOnRefund::Kept => ([0, 0], [parts[1], parts[2]]),
        };
        ReversalLine {
            reversal: reversal.clone(),
            batch: line.batch,
            seq: line.seq,
            recipient: line.recipient.clone(),
            item: line.item,
            gross_minor,
            fee_minor: returned[0],
            fee_tax_minor: returned[1],
            taxes,
            net_minor: parts[0] + kept[0] + kept[1],
            fee_kept_minor: kept[0],
            fee_tax_kept_minor: kept[1],
            source: None,
        }
    }
}

/// All that is left of a line, as a reversal of it: what a line gives back that will not be paid. None if nothing is left.
pub fn whole(reversal: &ReversalId, line: &BatchLine, earlier: &[ReversalLine]) -> Option<ReversalLine> {
    let left = Remaining::of(line, earlier);
    (left.gross_minor > 0).then(|| left.part(line, reversal, left.gross_minor, FeeOnRefund::Returned))
}

/// Why a reversal cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReversalError {
    /// More than is left.
    #[error("at most {remaining_minor} minor units can still be reversed, not {asked_minor}")]
    ExceedsRemaining {
        /// What is left.
        remaining_minor: i64,
        /// What was asked.
        asked_minor: i64,
    },
    /// The recipient is not in the batch.
    #[error("the batch has no line of `{0}`")]
    NoSuchLine(RecipientId),
}

/// What each line gives back of `amount_minor`, and what the platform does. `remaining_minor` is what earlier
/// reversals left of the whole batch.
///
/// # Errors
/// See [`ReversalError`].
pub fn divide(
    reversal: &ReversalId,
    amount_minor: i64,
    strategy: &Strategy,
    fee: FeeOnRefund,
    lines: &[BatchLine],
    earlier: &[ReversalLine],
    remaining_minor: i64,
) -> Result<Vec<ReversalLine>, ReversalError> {
    let refuse_beyond = |remaining: i64| {
        let remaining_minor = remaining.min(remaining_minor);
        let exceeds = ReversalError::ExceedsRemaining { remaining_minor, asked_minor: amount_minor };
        if amount_minor > remaining_minor { Err(exceeds) } else { Ok(()) }
    };
    let left: Vec<Remaining> = lines.iter().map(|line| Remaining::of(line, earlier)).collect();
    let shares: Vec<i64> = match strategy {
        Strategy::Platform => {
            refuse_beyond(remaining_minor)?;
            return Ok(Vec::new());
        }
        Strategy::SplitRatio => {
            refuse_beyond(left.iter().map(Remaining::gross_minor).sum())?;
            let weights: Vec<u64> = left.iter().map(|left| left.gross_minor.unsigned_abs()).collect();
            let none = vec![0; weights.len()];
            apportion(amount_minor, &weights).map_or(none, |shares| shares.iter().map(|share| share.value).collect())
        }
        Strategy::Recipient(recipient) => {
            let place = lines.iter().position(|line| line.recipient == *recipient);
            let place = place.ok_or_else(|| ReversalError::NoSuchLine(recipient.clone()))?;
            refuse_beyond(left[place].gross_minor)?;
            let share = |at| if at == place { amount_minor } else { 0 };
            (0..lines.len()).map(share).collect()
        }
    };
    let parts = lines.iter().zip(&left).zip(shares).filter(|(_, share)| *share > 0);
    Ok(parts.map(|((line, left), share)| left.part(line, reversal, share, fee)).collect())
}

impl ReversalLine {
    /// Where the recipient's part comes from: what was not sent yet, then what the line still has carried, and the
    /// rest is a debt.
    pub fn drawn(&self, unsent_minor: i64, carried_minor: i64) -> Self {
        let payable_minor = self.net_minor.min(unsent_minor.max(0));
        let carried_minor = (self.net_minor - payable_minor).min(carried_minor.max(0));
        let debt_minor = self.net_minor - payable_minor - carried_minor;
        Self { source: Some(Source { payable_minor, carried_minor, debt_minor }), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn line(seq: u32, gross: i64, fee: i64, fee_tax: i64, tax: i64) -> BatchLine {
        let taxes = if tax > 0 { vec![RuleTax { rule: "us_nra".to_owned(), amount_minor: tax }] } else { vec![] };
        BatchLine {
            batch: BatchId::new(Uuid::nil()),
            seq,
            recipient: format!("rec_{seq}").parse().unwrap(),
            item: None,
            gross_minor: gross,
            fee_minor: fee + fee_tax,
            fee_tax_minor: fee_tax,
            taxes,
            carried_in_minor: 0,
            recovered_minor: 0,
            carried_forward_minor: 0,
            payable_minor: gross - fee - fee_tax - tax,
        }
    }
    fn reverse(
        lines: &[BatchLine],
        amounts: &[i64],
        strategy: &Strategy,
        fee: FeeOnRefund,
    ) -> Result<Vec<Vec<ReversalLine>>, ReversalError> {
        let gross: i64 = lines.iter().map(|line| line.gross_minor).sum();
        let (mut all, mut done): (Vec<ReversalLine>, i64) = (Vec::new(), 0);
        amounts
            .iter()
            .enumerate()
            .map(|(at, amount)| {
                let id = format!("ref_{at}").parse().unwrap();
                let parts = divide(&id, *amount, strategy, fee, lines, &all, gross - done)?;
                done += amount;
                all.extend(parts.clone());
                Ok(parts)
            })
            .collect()
    }

    /// The worked example: what was reversed before is not divided again.
    #[test]
    fn a_refund_is_divided_over_what_is_left() {
        let lines = [line(0, 34, 0, 0, 0), line(1, 34, 0, 0, 0), line(2, 33, 0, 0, 0)];
        let parts = reverse(&lines, &[50, 51], &Strategy::SplitRatio, FeeOnRefund::Returned).unwrap();
        let gross = |parts: &[ReversalLine]| parts.iter().map(|part| part.gross_minor).collect::<Vec<_>>();
        assert_eq!([gross(&parts[0]), gross(&parts[1])], [[17, 17, 16], [17, 17, 17]]);
    }

    #[test]
    fn who_bears_it_can_be_said() {
        let lines = [line(0, 140_000, 7_000, 0, 0), line(1, 60_000, 3_000, 0, 0)];
        let one = Strategy::Recipient("rec_1".parse().unwrap());
        let parts = reverse(&lines, &[60_000], &one, FeeOnRefund::Returned).unwrap();
        assert_eq!((parts[0][0].net_minor, parts[0][0].fee_minor), (57_000, 3_000));
        let too_much = ReversalError::ExceedsRemaining { remaining_minor: 60_000, asked_minor: 60_001 };
        assert_eq!(reverse(&lines, &[60_001], &one, FeeOnRefund::Returned), Err(too_much));
        let stranger = Strategy::Recipient("rec_9".parse().unwrap());
        assert!(matches!(reverse(&lines, &[1], &stranger, FeeOnRefund::Returned), Err(ReversalError::NoSuchLine(_))));
        assert_eq!(reverse(&lines, &[200_000], &Strategy::Platform, FeeOnRefund::Returned), Ok(vec![vec![]]));
    }

    #[test]
    fn a_fee_that_is_kept_is_borne_by_the_recipient() {
        let lines = [line(0, 1_000, 50, 10, 100)];
        let parts = reverse(&lines, &[1_000], &Strategy::SplitRatio, FeeOnRefund::Kept).unwrap();
        let part = &parts[0][0];
        assert_eq!((part.net_minor, part.fee_kept_minor, part.fee_minor, part.fee_tax_minor), (900, 50, 0, 0));
        let drawn = part.drawn(840, 0).source.unwrap();
        assert_eq!(drawn, Source { payable_minor: 840, carried_minor: 0, debt_minor: 60 });
    }

    #[test]
    fn a_strategy_is_read_back_as_written() {
        for text in ["split_ratio", "platform", "recipient:rec_a"] {
            assert_eq!(text.parse::<Strategy>().unwrap().to_string(), text);
        }
        for text in ["", "recipient:", "recipient:x", "split_ratio:x", "other"] {
            assert_eq!(text.parse::<Strategy>(), Err(InvalidStrategy), "{text}");
        }
    }
}
