//! Amounts: a whole number of minor units, and the currency that says what a unit is.

use crate::currency::Currency;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest amount a request may carry: 2^53 - 1, so that a JSON client loses no unit.
pub const AMOUNT_MINOR_MAX: i64 = 9_007_199_254_740_991;

/// An amount of money in minor units (cents for USD, yen for JPY, fils for KWD).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// How many minor units; negative where money is owed the other way.
    pub amount_minor: i64,
    /// What a unit is.
    pub currency: Currency,
}

impl Money {
    /// So many minor units of that currency.
    pub fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }
}

/// For people: `1,330.00 USD`, `133,000 JPY`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain =
            Decimal::from_i128_with_scale(i128::from(self.amount_minor).abs(), u32::from(self.currency.exponent()))
                .to_string();
        let (whole, decimals) = match plain.split_once('.') {
            Some((whole, decimals)) => (whole, format!(".{decimals}")),
            None => (plain.as_str(), String::new()),
        };
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let text = format!("{sign}{}{decimals} {}", grouped(whole), self.currency);
        f.pad(&text)
    }
}

fn grouped(digits: &str) -> String {
    let first = digits.len() % 3;
    let mut out = digits[..first].to_owned();
    for (at, digit) in digits[first..].chars().enumerate() {
        if at % 3 == 0 && !out.is_empty() {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_major_units() {
        let check = |amount: i64, currency: &str, text: &str| {
            assert_eq!(Money::new(amount, currency.parse().unwrap()).to_string(), text);
        };
        check(133_000, "USD", "1,330.00 USD");
        check(5, "USD", "0.05 USD");
        check(-5, "USD", "-0.05 USD");
        check(133_000, "JPY", "133,000 JPY");
        check(133_000, "KWD", "133.000 KWD");
        check(999, "JPY", "999 JPY");
        check(0, "EUR", "0.00 EUR");
        check(i64::MAX, "USD", "92,233,720,368,547,758.07 USD");
        check(i64::MIN, "JPY", "-9,223,372,036,854,775,808 JPY");
    }
}
