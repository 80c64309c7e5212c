//! ISO 4217: which codes are accepted, and with how many decimals.
//!
//! The table is that of the revenue-engine design, section 5 (data of January 2026); a test compares it
//! with the published list kept in `tests/vectors/iso4217.json`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, sync::LazyLock};

/// A currency that can be paid: a code of ISO 4217 with a minor unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: [u8; 3],
    exponent: u8,
}

/// Why a text is not a currency that can be paid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyError {
    /// Not three ASCII upper-case letters. Lower case is not folded.
    #[error("must be three upper-case letters of ISO 4217, such as `USD`")]
    Malformed,
    /// Well-formed, but no code of ISO 4217.
    #[error("`{0}` is not a currency of ISO 4217")]
    Unknown(String),
    /// The code was withdrawn.
    #[error("`{code}` was withdrawn{}", successor.map(|next| format!("; use `{next}`")).unwrap_or_default())]
    Withdrawn {
        /// The withdrawn code.
        code: &'static str,
        /// The code that took its place, where there is one.
        successor: Option<&'static str>,
    },
    /// A fund code, a metal, a unit of account or a test code: known, but nobody can be paid in it.
    #[error("`{0}` is a fund, metal or accounting code: nobody can be paid in it")]
    NotPayable(&'static str),
}

impl CurrencyError {
    /// Stable code of the fault (revenue-engine design, section 7e).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "currency_malformed",
            Self::Unknown(_) => "currency_unknown",
            Self::Withdrawn { .. } => "currency_withdrawn",
            Self::NotPayable(_) => "currency_not_payable",
        }
    }
}

impl Currency {
    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or_default()
    }
    /// How many decimals the minor unit has: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u8 {
        self.exponent
    }
    /// Every accepted currency, in the order of the alphabet.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied()
    }
    /// The decimals of a code that is known but not payable and still has a minor unit (CLF has 4).
    pub fn exponent_of_unpayable(code: &str) -> Option<u8> {
        FUNDS.iter().find(|(known, _)| *known == code).map(|(_, exponent)| *exponent)
    }
}

/// In the order of the alphabet: a release names its currency several times.
static ALL: LazyLock<Vec<Currency>> = LazyLock::new(|| {
    let codes = ACCEPTED.split_ascii_whitespace();
    codes.map(|code| Currency { code: letters(code), exponent: exponent_of(code) }).collect()
});

fn exponent_of(code: &str) -> u8 {
    if NO_DECIMALS.contains(&code) {
        0
    } else if THREE_DECIMALS.contains(&code) {
        3
    } else {
        2
    }
}

fn letters(code: &str) -> [u8; 3] {
    match code.as_bytes() {
        [a, b, c] => [*a, *b, *c],
        _ => *b"???",
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;
    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(CurrencyError::Malformed);
        }
        if let Ok(place) = ALL.binary_search_by(|one| one.code().cmp(text)) {
            return Ok(ALL[place]);
        }
        if let Some((code, successor)) = WITHDRAWN.iter().find(|(code, _)| *code == text) {
            return Err(CurrencyError::Withdrawn { code, successor: *successor });
        }
        let funds = FUNDS.iter().map(|(code, _)| *code);
        match funds.chain(NO_MINOR_UNIT.iter().copied()).find(|code| *code == text) {
            Some(code) => Err(CurrencyError::NotPayable(code)),
            None => Err(CurrencyError::Unknown(text.to_owned())),
        }
    }
}
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.code())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

const ACCEPTED: &str = "
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND
    BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE
    CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
    GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY
    KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD
    MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO
    NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF
    SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB
    TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND
    VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
";
const NO_DECIMALS: [&str; 16] =
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"];
const THREE_DECIMALS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
/// Fund codes and the accounting unit XAD: they have a minor unit, but nobody is paid in them.
const FUNDS: [(&str, u8); 10] = [
    ("BOV", 2),
    ("CHE", 2),
    ("CHW", 2),
    ("CLF", 4),
    ("COU", 2),
    ("MXV", 2),
    ("USN", 2),
    ("UYI", 0),
    ("UYW", 4),
    ("XAD", 2),
];
/// Metals, baskets and test codes: no minor unit at all.
const NO_MINOR_UNIT: [&str; 13] =
    ["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"];
/// Withdrawn codes, each with the code to use today.
const WITHDRAWN: [(&str, Option<&str>); 49] = [
    ("ADP", Some("EUR")),
    ("AFA", Some("AFN")),
    ("ANG", Some("XCG")),
    ("ATS", Some("EUR")),
    ("AZM", Some("AZN")),
    ("BEF", Some("EUR")),
    ("BGL", Some("EUR")),
    ("BGN", Some("EUR")),
    ("BYR", Some("BYN")),
    ("CUC", Some("CUP")),
    ("CYP", Some("EUR")),
    ("DEM", Some("EUR")),
    ("EEK", Some("EUR")),
    ("ESP", Some("EUR")),
    ("FIM", Some("EUR")),
    ("FRF", Some("EUR")),
    ("GHC", Some("GHS")),
    ("GRD", Some("EUR")),
    ("GWP", Some("XOF")),
    ("HRK", Some("EUR")),
    ("IEP", Some("EUR")),
    ("ITL", Some("EUR")),
    ("LTL", Some("EUR")),
    ("LUF", Some("EUR")),
    ("LVL", Some("EUR")),
    ("MGF", Some("MGA")),
    ("MRO", Some("MRU")),
    ("MTL", Some("EUR")),
    ("MZM", Some("MZN")),
    ("NLG", Some("EUR")),
    ("PTE", Some("EUR")),
    ("ROL", Some("RON")),
    ("RUR", Some("RUB")),
    ("SDD", Some("SDG")),
    ("SIT", Some("EUR")),
    ("SKK", Some("EUR")),
    ("SLL", Some("SLE")),
    ("SRG", Some("SRD")),
    ("STD", Some("STN")),
    ("TMM", Some("TMT")),
    ("TPE", Some("USD")),
    ("TRL", Some("TRY")),
    ("USS", Some("USD")),
    ("VEB", Some("VES")),
    ("VEF", Some("VES")),
    ("YUM", Some("RSD")),
    ("ZMK", Some("ZMW")),
    ("ZWD", Some("ZWG")),
    ("ZWL", Some("ZWG")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn published() -> Value {
        serde_json::from_str(include_str!("../tests/vectors/iso4217.json")).unwrap()
    }
    fn codes(list: &Value) -> Vec<String> {
        match list {
            Value::Array(codes) => codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect(),
            Value::Object(codes) => codes.keys().cloned().collect(),
            _ => panic!("neither a list nor a table"),
        }
    }

    #[test]
    fn every_published_code_is_accepted_with_its_decimals() {
        let list = published();
        for (key, exponent) in [("exponent_0", 0), ("exponent_2", 2), ("exponent_3", 3)] {
            for code in codes(&list[key]) {
                assert_eq!(code.parse::<Currency>().map(Currency::exponent), Ok(exponent), "{code}");
            }
        }
        assert_eq!(Currency::all().count(), 155);
        assert_eq!(list["active_count"], 155);
        assert!(Currency::all().is_sorted());
        for code in codes(&list["accepted_x_codes"]) {
            assert!(code.parse::<Currency>().is_ok(), "{code}");
        }
    }

    #[test]
    fn every_special_code_is_refused_and_keeps_its_decimals() {
        let list = published();
        for key in ["fund_codes", "accounting_unit", "special_no_exponent"] {
            for code in codes(&list[key]) {
                assert_eq!(code.parse::<Currency>().unwrap_err().code(), "currency_not_payable", "{code}");
            }
        }
        for key in ["fund_codes", "accounting_unit"] {
            for (code, exponent) in list[key].as_object().unwrap() {
                assert_eq!(Currency::exponent_of_unpayable(code).map(u64::from), exponent.as_u64(), "{code}");
            }
        }
        assert_eq!(Currency::exponent_of_unpayable("XAU"), None);
    }

    #[test]
    fn every_withdrawn_code_names_an_accepted_successor_if_any() {
        let list = codes(&published()["historic"]);
        assert_eq!(list.len(), WITHDRAWN.len());
        for code in list {
            match code.parse::<Currency>() {
                Err(CurrencyError::Withdrawn { successor: Some(next), .. }) => {
                    assert!(next.parse::<Currency>().is_ok(), "{code} -> {next}");
                }
                Err(CurrencyError::Withdrawn { successor: None, .. }) => {}
                other => panic!("{code}: {other:?}"),
            }
        }
        let gone = |code: &str| code.parse::<Currency>().unwrap_err().to_string();
        assert_eq!(gone("BGN"), "`BGN` was withdrawn; use `EUR`");
        assert_eq!(gone("ANG"), "`ANG` was withdrawn; use `XCG`");
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for (text, code) in [
            ("", "currency_malformed"),
            ("usd", "currency_malformed"),
            ("US", "currency_malformed"),
            ("USDT", "currency_malformed"),
            ("U1D", "currency_malformed"),
            ("\u{405}SD", "currency_malformed"),
            ("ABC", "currency_unknown"),
        ] {
            assert_eq!(text.parse::<Currency>().unwrap_err().code(), code, "{text}");
        }
    }
}
