//! Why each cent is where it is: enough to redo the calculation with a pencil.

use super::Deduction;
use crate::{apportion::Share, ids::RecipientId};

/// How much is explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// What happened to the whole: deductions, pools, the fee total.
    Summary,
    /// Also every line's part of it.
    #[default]
    Full,
}

/// The column of the breakdown that a line explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// What was taken off before the split.
    Deduction,
    /// Parts of the pool.
    Gross,
    /// The platform's part, tax on it included.
    PlatformFee,
    /// Of the platform's part, the tax on it.
    FeeTax,
    /// Withheld.
    TaxWithheld,
    /// What is left: owed to the recipient.
    Net,
    /// What earlier releases carried.
    CarriedIn,
    /// What a debt took.
    Recovered,
    /// What waits for the recipient.
    Held,
    /// What is carried to a later release.
    CarriedForward,
    /// What is sent.
    Payable,
}

impl Column {
    /// The word that is answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deduction => "deduction",
            Self::Gross => "gross",
            Self::PlatformFee => "platformFee",
            Self::FeeTax => "feeTax",
            Self::TaxWithheld => "taxWithheld",
            Self::Net => "net",
            Self::CarriedIn => "carriedIn",
            Self::Recovered => "recovered",
            Self::Held => "held",
            Self::CarriedForward => "carriedForward",
            Self::Payable => "payable",
        }
    }
}

/// How a value came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A part of an amount, by largest remainder.
    Apportion,
    /// A part moved down to its limit.
    Cap,
    /// A part moved up to its limit.
    Floor,
    /// An amount as given.
    Fixed,
    /// What was advanced, given back.
    Recoup,
    /// The part of an amount that lies within a tier.
    TierSlice,
    /// A part that goes from one line to another.
    Transfer,
    /// An amount times a rate.
    Rate,
    /// A value moved to a limit.
    Clamp,
    /// A rate withheld.
    Tax,
    /// What a debt takes.
    Recover,
    /// What waits for the recipient.
    Hold,
    /// What is carried from release to release.
    Carry,
    /// What is too small for the rail to send.
    Granularity,
    /// What is left when the other columns are taken off.
    Difference,
}

impl Operation {
    /// The word that is answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apportion => "apportion",
            Self::Cap => "cap",
            Self::Floor => "floor",
            Self::Fixed => "fixed",
            Self::Recoup => "recoup",
            Self::TierSlice => "tier_slice",
            Self::Transfer => "transfer",
            Self::Rate => "rate",
            Self::Clamp => "clamp",
            Self::Tax => "tax",
            Self::Recover => "recover",
            Self::Hold => "hold",
            Self::Carry => "carry",
            Self::Granularity => "granularity",
            Self::Difference => "difference",
        }
    }
}

/// One line of the explanation. The `value`s of one recipient and column sum to the breakdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplanationLine {
    /// 1, 2, 3 and so on.
    pub seq: u32,
    /// The step of the model, counted from 0.
    pub step: Option<usize>,
    /// Whose value; nobody's when it is about the whole.
    pub recipient: Option<RecipientId>,
    /// What it explains.
    pub column: Column,
    /// How the value came about.
    pub operation: Operation,
    /// The product that is divided, as `amount*weight`, or the sum or difference that is the value.
    pub numerator: Option<String>,
    /// What it is divided by.
    pub denominator: Option<String>,
    /// The whole units of the quotient.
    pub floor: Option<i64>,
    /// What the division leaves, as `remainder/denominator`.
    pub remainder: Option<String>,
    /// The unit added because of a large remainder.
    pub extra_unit: Option<i64>,
    /// The result, in minor units.
    pub value: i64,
    /// The rule applied.
    pub rule: String,
}

/// Collects as much as was asked for, recipients by their place.
pub(super) struct Explanation<'a> {
    detail: Detail,
    names: &'a [RecipientId],
    lines: Vec<ExplanationLine>,
}

/// Where an apportionment happened.
#[derive(Clone, Copy)]
pub(super) struct Apportioned {
    pub(super) step: Option<usize>,
    pub(super) column: Column,
    pub(super) operation: Operation,
    pub(super) amount: i64,
    pub(super) total: u64,
    pub(super) rule: &'static str,
}

impl<'a> Explanation<'a> {
    pub(super) fn new(detail: Detail, names: &'a [RecipientId]) -> Self {
        Self { detail, names, lines: Vec::new() }
    }

    pub(super) fn into_lines(self) -> Vec<ExplanationLine> {
        self.lines
    }

    pub(super) fn is_full(&self) -> bool {
        self.detail == Detail::Full
    }

    pub(super) fn deduction(&mut self, deduction: &Deduction) {
        self.value(None, None, Column::Deduction, Operation::Fixed, deduction.amount_minor, deduction.kind.as_str());
    }

    /// One line for each share among `parts` (place and weight).
    pub(super) fn apportioned(
        &mut self,
        what: Apportioned,
        parts: impl Iterator<Item = (usize, u64)>,
        shares: &[Share],
    ) {
        if !self.is_full() {
            return;
        }
        for ((who, weight), share) in parts.zip(shares) {
            self.share(what, who, format!("{}*{weight}", what.amount), share);
        }
    }

    /// One line for one share.
    pub(super) fn share(&mut self, what: Apportioned, who: usize, numerator: String, share: &Share) {
        let Apportioned { step, column, operation, total, rule, .. } = what;
        if let Some(line) = self.value(step, Some(who), column, operation, share.value, rule) {
            line.numerator = Some(numerator);
            line.denominator = Some(total.to_string());
            line.floor = Some(share.floor);
            line.remainder = Some(format!("{}/{total}", share.remainder));
            line.extra_unit = Some(share.extra_unit());
        }
    }

    /// A value that stands by itself: a fixed amount, or the difference that a limit makes.
    pub(super) fn value(
        &mut self,
        step: Option<usize>,
        who: Option<usize>,
        column: Column,
        operation: Operation,
        value: i64,
        rule: &str,
    ) -> Option<&mut ExplanationLine> {
        let wanted = match self.detail {
            Detail::None => false,
            Detail::Summary => who.is_none(),
            Detail::Full => true,
        };
        if !wanted {
            return None;
        }
        let seq = u32::try_from(self.lines.len() + 1).unwrap_or(u32::MAX);
        self.lines.push(ExplanationLine {
            seq,
            step,
            recipient: who.map(|who| self.names[who].clone()),
            column,
            operation,
            numerator: None,
            denominator: None,
            floor: None,
            remainder: None,
            extra_unit: None,
            value,
            rule: rule.to_owned(),
        });
        self.lines.last_mut()
    }

    /// A value that is a quotient: how it is computed is only written down if somebody reads it.
    pub(super) fn quotient(
        &mut self,
        line: (Option<usize>, Option<usize>, Column, Operation),
        value: i64,
        rule: &str,
        fraction: impl FnOnce() -> (String, String),
    ) {
        let (step, who, column, operation) = line;
        if let Some(line) = self.value(step, who, column, operation, value, rule) {
            let (numerator, denominator) = fraction();
            line.numerator = Some(numerator);
            line.denominator = Some(denominator);
        }
    }

    /// A value that is a sum or a difference.
    pub(super) fn computed(
        &mut self,
        who: usize,
        column: Column,
        operation: Operation,
        value: i64,
        rule: &str,
        how: impl FnOnce() -> String,
    ) {
        if let Some(line) = self.value(None, Some(who), column, operation, value, rule) {
            line.numerator = Some(how());
        }
    }
}
