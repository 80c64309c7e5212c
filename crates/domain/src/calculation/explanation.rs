//! Why each cent is where it is: enough to redo the calculation with a pencil.

use super::Deduction;
use crate::{apportion::Share, ids::RecipientId};

/// How much is explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// What happened to the whole: deductions, the fee total.
    Summary,
    /// Also every line's part of it.
    #[default]
    Full,
}

/// The column of the breakdown that a line explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// What was taken off before the split.
    Deduction,
    /// Parts of the pool.
    Gross,
    /// The platform's part.
    PlatformFee,
    /// Withheld.
    TaxWithheld,
}

impl Column {
    /// The word that is answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deduction => "deduction",
            Self::Gross => "gross",
            Self::PlatformFee => "platformFee",
            Self::TaxWithheld => "taxWithheld",
        }
    }
}

/// How a value came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A part of an amount, by largest remainder.
    Apportion,
    /// An amount times a rate, rounded half up.
    Rate,
    /// An amount as given.
    Fixed,
    /// A value moved to a limit.
    Clamp,
    /// A rate withheld.
    Tax,
}

impl Operation {
    /// The word that is answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apportion => "apportion",
            Self::Rate => "rate",
            Self::Fixed => "fixed",
            Self::Clamp => "clamp",
            Self::Tax => "tax",
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
    /// The product that is divided, as `amount*weight`.
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
    pub rule: &'static str,
}

/// Collects as much as was asked for.
pub(super) struct Explanation {
    detail: Detail,
    lines: Vec<ExplanationLine>,
}

impl Explanation {
    pub(super) fn new(detail: Detail) -> Self {
        Self { detail, lines: Vec::new() }
    }

    pub(super) fn into_lines(self) -> Vec<ExplanationLine> {
        self.lines
    }

    pub(super) fn deduction(&mut self, deduction: &Deduction) {
        self.add(None, Column::Deduction, Operation::Fixed, deduction.amount_minor, deduction.kind.as_str());
    }

    /// One line for each share of `amount` among `parts` (recipient and weight).
    pub(super) fn apportioned<'a>(
        &mut self,
        step: Option<usize>,
        column: Column,
        amount: i64,
        parts: impl Iterator<Item = (&'a RecipientId, u64)> + Clone,
        shares: &[Share],
    ) {
        if self.detail != Detail::Full {
            return;
        }
        let total: u64 = parts.clone().map(|(_, weight)| weight).sum();
        for ((recipient, weight), share) in parts.zip(shares) {
            let line =
                self.add(Some(recipient), column, Operation::Apportion, share.value, "largest_remainder/declaration");
            let Some(line) = line else { return };
            line.step = step;
            line.numerator = Some(format!("{amount}*{weight}"));
            line.denominator = Some(total.to_string());
            line.floor = Some(share.floor);
            line.remainder = Some(format!("{}/{total}", share.remainder));
            line.extra_unit = Some(share.extra_unit());
        }
    }

    /// `base * rate / 1,000,000`, rounded half up.
    pub(super) fn rate(
        &mut self,
        recipient: Option<&RecipientId>,
        column: Column,
        operation: Operation,
        (base, rate_ppm): (i64, u64),
        value: i64,
    ) {
        if let Some(line) = self.add(recipient, column, operation, value, "half_up") {
            line.numerator = Some(format!("{base}*{rate_ppm}"));
            line.denominator = Some("1000000".to_owned());
        }
    }

    /// A value that stands by itself: a fixed amount, or the difference that a limit makes.
    pub(super) fn plain(
        &mut self,
        recipient: Option<&RecipientId>,
        column: Column,
        operation: Operation,
        value: i64,
        rule: &'static str,
    ) {
        self.add(recipient, column, operation, value, rule);
    }

    fn add(
        &mut self,
        recipient: Option<&RecipientId>,
        column: Column,
        operation: Operation,
        value: i64,
        rule: &'static str,
    ) -> Option<&mut ExplanationLine> {
        let wanted = match self.detail {
            Detail::None => false,
            Detail::Summary => recipient.is_none(),
            Detail::Full => true,
        };
        if !wanted {
            return None;
        }
        let seq = u32::try_from(self.lines.len() + 1).unwrap_or(u32::MAX);
        self.lines.push(ExplanationLine {
            seq,
            step: None,
            recipient: recipient.cloned(),
            column,
            operation,
            numerator: None,
            denominator: None,
            floor: None,
            remainder: None,
            extra_unit: None,
            value,
            rule,
        });
        self.lines.last_mut()
    }
}
