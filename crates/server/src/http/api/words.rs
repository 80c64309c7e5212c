//! Words, days and whole numbers of models and tax rules, as the API shows them.

use super::values::{INTEGER_MAX, answered};
use crate::http::{fault::Fault, fields::Field, scalars::Scalar};
use domain::{
    day::Day,
    revenue_model::{
        StepKey,
        spec::{Fallback, FeeBase, FeeBearer, FeeOnRefund, FeeScope, Per, TieBreak, TierBasis, TierMode},
    },
    tax::{Period, Rounding, TaxBase, ThresholdMode},
};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// One of a few words: what the domain writes for each of them.
macro_rules! words {
    ($($type:ident as $name:literal [$($variant:ident),+] $about:literal;)+) => {$(
        impl Scalar for $type {
            const NAME: &'static str = $name;
            fn describe(schema: &mut MetaSchema) {
                schema.description = Some($about);
                schema.enum_items = [$(Self::$variant),+].iter().map(Self::wire).collect();
            }
            fn parse(text: &str) -> Result<Self, Fault> {
                let words = [$(Self::$variant),+];
                words.into_iter().find(|word| word.wire() == text).ok_or_else(|| {
                    let words = words.map(|word| format!("`{}`", word.wire().as_str().unwrap_or_default()));
                    Fault::invalid_format(format!("This must be one of {}.", words.join(", ")))
                })
            }
            fn wire(&self) -> Value {
                // A word that is missing above does not compile.
                match self {
                    $(Self::$variant)|+ => serde_json::to_value(self).unwrap_or_default(),
                }
            }
        }
    )+};
}

words! {
    TieBreak as "TieBreak" [Declaration, Rotate, Carry]
        "Who gets the odd unit when remainders are equal: the line that is listed first, the lines in turn from release \
         to release, or whoever got too little before.";
    Per as "FixedPer" [Calculation, Lifetime] "Whether a fixed amount is due with every release, or once.";
    TierBasis as "TierBasis" [CumulativeAmount, Amount]
        "What tiers are measured by: everything that went through the step so far, or only what goes through it now.";
    TierMode as "TierMode" [Marginal, Volume]
        "What a tier applies to: the slice that lies within it, or the whole amount if it is the tier that was reached.";
    FeeBase as "FeeBase" [Gross, FeeableLines]
        "What the platform fee is taken of: all lines, or all but those that say `feeable: false`.";
    FeeScope as "FeeScope" [Total, Line]
        "What is rounded: the fee of the whole, which is then apportioned, or the fee of each line by itself.";
    FeeBearer as "FeeBearer" [Recipients, Platform, Payer]
        "Who bears the platform fee: the recipients, the platform (it is waived), or the payer (it was paid on top).";
    FeeOnRefund as "FeeOnRefund" [Returned, Kept]
        "What becomes of the platform fee when the amount is reversed.";
    Fallback as "Fallback" [RemainHeld, ReleaseProRata, Platform]
        "What becomes of a line that nobody claims: it stays held, the others of its batch get it in proportion to \
         their net amounts, or the platform gets it.";
    TaxBase as "TaxBase" [Gross, NetOfFee] "What a tax rate applies to.";
    Rounding as "TaxRounding" [HalfUp, HalfEven, Floor] "Where the last digit of a tax goes.";
    Period as "TaxPeriod" [CalendarYear, FiscalYearApr, None]
        "Over which time amounts are summed up: from the first of January, from the first of April, or not at all.";
    ThresholdMode as "ThresholdMode" [CliffAll, CliffFromNow, ExcessOnly]
        "What is taxed once a threshold is passed: everything of the period, the amount that passes it and all after \
         it, or only what lies above it.";
}

impl Scalar for StepKey {
    const NAME: &'static str = "StepKey";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some(
            "Names what a step counts from release to release. It stays the same in later versions, whatever the order \
             of steps.",
        );
        schema.pattern = Some("^[A-Za-z0-9_-]{1,64}$".to_owned());
        schema.example = Some("investors".into());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|error| Fault::invalid_format(format!("This {error}.")))
    }
    fn wire(&self) -> Value {
        self.to_string().into()
    }
}

impl Scalar for Day {
    const NAME: &'static str = "Day";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("A day, in UTC.");
        schema.format = Some("date");
        schema.example = Some("2026-01-31".into());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|error| Fault::invalid_format(format!("This {error}.")))
    }
    fn wire(&self) -> Value {
        self.to_string().into()
    }
}

/// A whole number of a model, as it was written: whether it makes sense there is for the model to say, with a code of
/// its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole(pub i64);

impl Scalar for Whole {
    const NAME: &'static str = "WholeNumber";
    const TYPE: &'static str = "integer";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("A whole number: minor units, a weight, or parts of a whole.");
        schema.format = Some("int64");
        schema.minimum = Some(i64::MIN as f64);
        schema.maximum = Some(i64::MAX as f64);
    }
    fn parse(_text: &str) -> Result<Self, Fault> {
        Err(Fault::wrong_type("a number", "a string"))
    }
    fn read(field: Field<'_>) -> Option<Self> {
        field.whole_number(i64::MIN..=i64::MAX).map(Self)
    }
    fn wire(&self) -> Value {
        self.0.into()
    }
}

/// A whole number that cannot be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl Scalar for Count {
    const NAME: &'static str = "Count";
    const TYPE: &'static str = "integer";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("A whole number that is not negative: minor units, or parts of a whole.");
        schema.format = Some("int64");
        schema.minimum = Some(0.0);
        schema.maximum = Some(INTEGER_MAX as f64);
    }
    fn parse(_text: &str) -> Result<Self, Fault> {
        Err(Fault::wrong_type("a number", "a string"))
    }
    fn read(field: Field<'_>) -> Option<Self> {
        field.whole_number(0..=INTEGER_MAX).map(|number| Self(number.unsigned_abs()))
    }
    fn wire(&self) -> Value {
        self.0.into()
    }
}

/// Where a tier ends; the last one has no end, written as `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OpenEnd(Option<i64>);

answered!(
    OpenEnd,
    "integer",
    MetaSchema {
        nullable: true,
        format: Some("int64"),
        minimum: Some(i64::MIN as f64),
        maximum: Some(i64::MAX as f64),
        ..MetaSchema::new("integer")
    }
);

/// The number of a [`Whole`].
pub fn whole(field: Field<'_>) -> Option<i64> {
    Whole::read(field).map(|number| number.0)
}

/// The number of a [`Count`].
pub fn count(field: Field<'_>) -> Option<u64> {
    Count::read(field).map(|number| number.0)
}

/// `true` or `false`.
pub fn flag(field: Field<'_>) -> Option<bool> {
    field.boolean()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_written() {
        for word in ["declaration", "rotate", "carry"] {
            assert_eq!(TieBreak::parse(word).unwrap().wire(), word);
        }
        for word in ["cliff_all", "cliff_from_now", "excess_only"] {
            assert_eq!(ThresholdMode::parse(word).unwrap().wire(), word);
        }
        let message = Per::parse("week").unwrap_err().message;
        assert_eq!(message, "This must be one of `calculation`, `lifetime`.");
    }
}
