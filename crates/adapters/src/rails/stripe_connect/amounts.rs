//! What a number means in which currency: Stripe's table is not that of ISO 4217.
//!
//! Source: Stripe's page on currencies, its lists of zero-decimal and three-decimal currencies and its special cases.
//! Where the special cases contradict the list of zero-decimal currencies (UGX), they win: that is what the API does.

use domain::{currency::Currency, money::Money};
use std::collections::BTreeMap;

/// Their whole units are sent.
const WHOLE_UNITS: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Thousandths are sent, and the last digit is zero.
const THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];
/// Hundredths are sent, and always whole hundreds: charges of ISK and UGX, payouts of HUF and TWD. A recipient who is
/// sent a fraction could not take it out.
const WHOLE_HUNDREDS: [&str; 4] = ["HUF", "ISK", "TWD", "UGX"];
/// Hundredths are sent.
const HUNDREDTHS: &str = "
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP CRC CVE CZK DKK
    DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG IDR ILS INR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD
    LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB
    SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TOP TRY TTD TZS UAH USD UYU UZS WST XCD XCG YER ZAR ZMW
";

/// How a currency is written down for Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    /// How many decimals their number has.
    exponent: u8,
    /// Their number is a multiple of this.
    multiple: i64,
}

/// None if Stripe does not have it.
fn unit(currency: Currency) -> Option<Unit> {
    let code = currency.code();
    let (exponent, multiple) = if WHOLE_UNITS.contains(&code) {
        (0, 1)
    } else if THOUSANDTHS.contains(&code) {
        (3, 10)
    } else if WHOLE_HUNDREDS.contains(&code) {
        (2, 100)
    } else if HUNDREDTHS.split_ascii_whitespace().any(|known| known == code) {
        (2, 1)
    } else {
        return None;
    };
    Some(Unit { exponent, multiple })
}

/// How many of our minor units are the smallest amount that can be sent.
fn granularity_minor(currency: Currency, unit: Unit) -> i64 {
    let theirs_per_ours = scale(unit.exponent, currency.exponent());
    let ours_per_theirs = scale(currency.exponent(), unit.exponent);
    (unit.multiple / theirs_per_ours).max(1) * ours_per_theirs
}

/// Ten to the power of what `one` has more decimals than `other`; 1 if it has none more.
fn scale(one: u8, other: u8) -> i64 {
    10_i64.pow(u32::from(one.saturating_sub(other)))
}

/// Currencies of which not every amount can be sent.
pub(super) fn granularities() -> BTreeMap<Currency, i64> {
    let known = Currency::all().filter_map(|currency| Some((currency, unit(currency)?)));
    known
        .map(|(currency, unit)| (currency, granularity_minor(currency, unit)))
        .filter(|(_, granularity)| *granularity > 1)
        .collect()
}

/// The number to send, or why there is none.
pub(super) fn to_stripe(amount: Money) -> Result<i64, String> {
    let Money { amount_minor, currency } = amount;
    let unit = unit(currency).ok_or_else(|| format!("Stripe does not pay {currency}"))?;
    let granularity = granularity_minor(currency, unit);
    if amount_minor <= 0 || amount_minor % granularity != 0 {
        return Err(format!(
            "of {currency} only multiples of {granularity} minor units can be sent, not {amount_minor}"
        ));
    }
    let scaled = amount_minor / scale(currency.exponent(), unit.exponent);
    scaled.checked_mul(scale(unit.exponent, currency.exponent())).ok_or_else(|| format!("{amount} is too much"))
}

/// What a number of Stripe's means; none if we have no such currency or no such amount.
pub(super) fn from_stripe(number: i64, currency: &str) -> Option<Money> {
    let currency: Currency = currency.to_ascii_uppercase().parse().ok()?;
    let unit = unit(currency)?;
    let theirs_per_ours = scale(unit.exponent, currency.exponent());
    if number % theirs_per_ours != 0 {
        return None;
    }
    let amount_minor = (number / theirs_per_ours).checked_mul(scale(currency.exponent(), unit.exponent))?;
    Some(Money::new(amount_minor, currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(amount_minor: i64, currency: &str) -> Money {
        Money::new(amount_minor, currency.parse().unwrap())
    }

    /// Every currency whose number or whose step is not simply ours.
    #[test]
    fn the_table_of_what_is_special() {
        let mut special = Vec::new();
        for currency in Currency::all() {
            let ours = currency.exponent();
            match unit(currency) {
                None => special.push(format!("{currency} -")),
                Some(unit) if unit.exponent == ours && unit.multiple == 1 => {}
                Some(unit) => {
                    let step = granularity_minor(currency, unit);
                    special.push(format!("{currency} {ours}>{} step {step}", unit.exponent));
                }
            }
        }
        let expected = "
            BHD 3>3 step 10, BTN -, CUP -, ERN -, GHS -, HUF 2>2 step 100, IQD -, IRR -, ISK 0>2 step 1,
            JOD 3>3 step 10, KPW -, KWD 3>3 step 10, LYD -, MGA 2>0 step 100, MRU -, OMR 3>3 step 10, SDG -, SSP -,
            STN -, SVC -, SYP -, TMT -, TND 3>3 step 10, TWD 2>2 step 100, UGX 0>2 step 1, VED -, VES -, ZWG -";
        let expected: Vec<&str> = expected.split(',').map(str::trim).collect();
        assert_eq!(special, expected);
    }

    #[test]
    fn an_amount_is_sent_in_the_units_that_stripe_counts() {
        for (ours, currency, theirs) in [
            (1_050, "USD", 1_050),
            (500, "JPY", 500),
            (5, "UGX", 500),
            (150, "ISK", 15_000),
            (4_500, "HUF", 4_500),
            (80_000, "TWD", 80_000),
            (500, "MGA", 5),
            (5_120, "KWD", 5_120),
            (1, "IDR", 1),
        ] {
            assert_eq!(to_stripe(money(ours, currency)), Ok(theirs), "{currency}");
            assert_eq!(from_stripe(theirs, &currency.to_ascii_lowercase()), Some(money(ours, currency)));
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        for (amount, currency) in [
            (4_510, "HUF"),
            (80_045, "TWD"),
            (550, "MGA"),
            (5_124, "KWD"),
            (100, "LYD"),
            (1, "IRR"),
            (0, "USD"),
            (-1, "USD"),
        ] {
            assert!(to_stripe(money(amount, currency)).is_err(), "{amount} {currency}");
        }
        assert!(to_stripe(money(i64::MAX, "UGX")).is_err());
        assert_eq!(from_stripe(550, "ugx"), None, "five and a half shillings");
        assert_eq!(from_stripe(1, "abc"), None);
        assert_eq!(from_stripe(i64::MAX, "mga"), None);
    }

    #[test]
    fn every_multiple_of_the_granularity_comes_back_as_it_went() {
        let granularities = granularities();
        for currency in Currency::all().filter(|currency| unit(*currency).is_some()) {
            let step = granularities.get(&currency).copied().unwrap_or(1);
            for times in [1, 2, 7, 100, 12_345] {
                let amount = Money::new(step * times, currency);
                assert_eq!(from_stripe(to_stripe(amount).unwrap(), currency.code()), Some(amount));
            }
        }
    }
}
