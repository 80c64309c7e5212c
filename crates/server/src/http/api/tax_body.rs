//! A tax profile in the API: how it is read, and what the specification shows of it.

use super::words::{Count, count};
use crate::http::{fault::Fault, fields::Field, scalars::Sc, scalars::Scalar, shown::Described};
use domain::{
    currency::Currency,
    day::Day,
    revenue_model::WHOLE_PPM,
    tax::{
        InvalidTaxRule, Period, RULES_MAX, Rounding, TaxBase, TaxProfile, TaxRule, TaxRuleSpec, Threshold,
        ThresholdMode,
    },
};
use poem_openapi::Object;

/// Most characters of a text that is for people.
const TEXT_MAX: usize = 64;
/// Most characters of a jurisdiction.
const JURISDICTION_MAX: usize = 32;
/// Largest multiple that a tax can be rounded to.
const GRANULARITY_MAX: i64 = 1_000_000;

impl Described for TaxProfile {
    type Shape = TaxProfileShape;
}

/// What is known of a recipient's tax: a form, and the rules that follow from it. Without rules nothing is withheld,
/// which is not the same as no profile.
#[derive(Debug, Object)]
#[oai(rename = "TaxProfile", rename_all = "camelCase")]
pub struct TaxProfileShape {
    /// Which form, for people.
    #[oai(validator(min_length = 1, max_length = 64, pattern = "^[^\\u0000]*$"))]
    form: Option<String>,
    /// When it was signed. It is good to the end of the third year after that, unless `formValidUntil` says otherwise.
    form_signed_at: Option<Sc<Day>>,
    /// Last day on which it is good. After that the recipient counts as one without a profile.
    form_valid_until: Option<Sc<Day>>,
    /// Where the recipient resides, for people.
    #[oai(validator(min_length = 1, max_length = 64, pattern = "^[^\\u0000]*$"))]
    residence: Option<String>,
    /// What is withheld, by `priority` and then in this order. Each rule is cut to what is left of gross less fee.
    #[oai(validator(max_items = 32))]
    rules: Vec<TaxRuleShape>,
}

/// A rule of withholding. The tax is `base * taxablePpm * ratePpm / 10^12`, rounded.
#[derive(Debug, Object)]
#[oai(rename = "TaxRule", rename_all = "camelCase")]
pub struct TaxRuleShape {
    /// Names the rule and its ledger account.
    #[oai(validator(pattern = "^[a-z][a-z0-9_]{0,31}$"))]
    code: String,
    /// Whose tax it is, for people.
    #[oai(validator(max_length = 32, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$"))]
    jurisdiction: Option<String>,
    /// Parts per million of the taxable base.
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000")))]
    rate_ppm: u64,
    /// Parts per million of the base that are taxable at all; 1,000,000, if absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000")))]
    taxable_ppm: Option<u64>,
    /// `gross`, if absent.
    base: Option<Sc<TaxBase>>,
    /// An amount up to which nothing is withheld.
    threshold: Option<ThresholdShape>,
    /// `half_up`, if absent.
    rounding: Option<Sc<Rounding>>,
    /// The tax is a multiple of so many minor units: 100 for whole rupees. 1, if absent.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    granularity: Option<u64>,
    /// Rules are applied from the smallest number on; 0, if absent.
    #[oai(validator(minimum(value = "-2147483648"), maximum(value = "2147483647")))]
    priority: Option<i32>,
    /// Applies to amounts in this currency only.
    currency: Option<Sc<Currency>>,
    /// First day on which it is in force.
    effective_from: Option<Sc<Day>>,
    /// First day on which it no longer is.
    effective_to: Option<Sc<Day>>,
}

/// An amount of a period up to which nothing is withheld.
#[derive(Debug, Object)]
#[oai(rename = "TaxThreshold", rename_all = "camelCase")]
pub struct ThresholdShape {
    /// Minor units; it is passed when the sum of the period exceeds it.
    amount: Sc<Count>,
    period: Sc<Period>,
    mode: Sc<ThresholdMode>,
}

/// Reads a profile, with every fault of every rule.
pub(super) fn profile(field: Field<'_>) -> Option<TaxProfile> {
    field.object(|fields| {
        let form = fields.optional("form", |text| text.text(1..=TEXT_MAX));
        let form_signed_at = fields.optional("formSignedAt", Day::read);
        let form_valid_until = fields.optional("formValidUntil", Day::read);
        let residence = fields.optional("residence", |text| text.text(1..=TEXT_MAX));
        let rules = fields.required("rules", |list| list.list(0..=RULES_MAX, rule));
        Some(TaxProfile {
            form: form?,
            form_signed_at: form_signed_at?,
            form_valid_until: form_valid_until?,
            residence: residence?,
            rules: rules?,
        })
    })
}

fn rule(field: Field<'_>) -> Option<TaxRule> {
    field.object(|fields| {
        let whole = i64::try_from(WHOLE_PPM).unwrap_or(i64::MAX);
        let code = fields.required("code", |text| text.text_with(code));
        let jurisdiction = fields.optional("jurisdiction", |text| text.text_with(jurisdiction));
        let rate_ppm = fields.required("ratePpm", |rate| rate.whole_number(0..=whole));
        let taxable_ppm = fields.optional("taxablePpm", |part| part.whole_number(0..=whole));
        let base = fields.optional("base", TaxBase::read);
        let threshold = fields.optional("threshold", threshold);
        let rounding = fields.optional("rounding", Rounding::read);
        let granularity = fields.optional("granularity", |units| units.whole_number(1..=GRANULARITY_MAX));
        let priority =
            fields.optional("priority", |number| number.whole_number(i64::from(i32::MIN)..=i64::from(i32::MAX)));
        let currency = fields.optional("currency", Currency::read);
        let effective_from = fields.optional("effectiveFrom", Day::read);
        let effective_to = fields.optional("effectiveTo", Day::read);
        let spec = TaxRuleSpec {
            code: code?,
            jurisdiction: jurisdiction?,
            rate_ppm: rate_ppm?.unsigned_abs(),
            taxable_ppm: taxable_ppm?.map_or(WHOLE_PPM, i64::unsigned_abs),
            base: base?.unwrap_or_default(),
            threshold: threshold?,
            rounding: rounding?.unwrap_or_default(),
            granularity: granularity?.map_or(1, i64::unsigned_abs),
            priority: priority?.and_then(|number| i32::try_from(number).ok()).unwrap_or_default(),
            currency: currency?,
            effective_from: effective_from?,
            effective_to: effective_to?,
        };
        // What the fields say one by one is good; the rule as a whole has the last word.
        spec.try_into().map_err(|error: InvalidTaxRule| fields.refuse_at(error.field(), fault(error))).ok()
    })
}

fn threshold(field: Field<'_>) -> Option<Threshold> {
    field.object(|fields| {
        let amount_minor = fields.required("amount", count);
        let period = fields.required("period", Period::read);
        let mode = fields.required("mode", ThresholdMode::read);
        Some(Threshold { amount_minor: amount_minor?, period: period?, mode: mode? })
    })
}

fn code(text: &str) -> Result<String, Fault> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    let fits = |byte: u8| is_letter(byte) || byte.is_ascii_digit() || byte == b'_';
    let starts = text.bytes().next().is_some_and(is_letter);
    if starts && text.len() <= 32 && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(fault(InvalidTaxRule::Code))
    }
}

fn jurisdiction(text: &str) -> Result<String, Fault> {
    let fits = text.chars().count() <= JURISDICTION_MAX && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(fault(InvalidTaxRule::Jurisdiction)) }
}

fn fault(error: InvalidTaxRule) -> Fault {
    let message = format!("This rule cannot be: {error}.");
    match error {
        InvalidTaxRule::Code | InvalidTaxRule::Jurisdiction => Fault::invalid_format(message),
        InvalidTaxRule::RateOutOfRange | InvalidTaxRule::Granularity | InvalidTaxRule::Period => {
            Fault::out_of_range(message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{fields, json};
    use serde_json::json;

    fn read(profile: &serde_json::Value) -> Result<TaxProfile, Vec<String>> {
        let text = json!({ "p": profile }).to_string();
        let document = json::parse(text.as_bytes()).unwrap();
        let read = fields::read(&document, Vec::new(), |fields| fields.required("p", super::profile));
        read.map_err(|faults| faults.iter().map(|fault| format!("{} {}", fault.field, fault.code)).collect())
    }

    #[test]
    fn a_profile_is_read_as_the_domain_writes_it() {
        let written = json!({
            "form": "W-8BEN", "formSignedAt": "2026-01-31", "formValidUntil": "2028-12-31", "residence": "IN",
            "rules": [
                { "code": "us_nra", "jurisdiction": "US", "ratePpm": 150_000, "taxablePpm": 400_000, "base": "net_of_fee",
                  "threshold": { "amount": 60_000, "period": "calendar_year", "mode": "excess_only" },
                  "rounding": "half_even", "granularity": 100, "priority": -1, "currency": "USD",
                  "effectiveFrom": "2026-01-01", "effectiveTo": "2027-01-01" },
                { "code": "in_tds", "ratePpm": 1_000 },
            ],
        });
        let profile = read(&written).unwrap();
        assert_eq!(serde_json::to_value(&profile).unwrap(), written);
        assert_eq!(serde_json::from_value::<TaxProfile>(written).unwrap(), profile);
        assert_eq!(read(&json!({ "rules": [] })), Ok(TaxProfile::default()));
    }

    #[test]
    fn every_fault_of_every_rule_is_told() {
        let rule = json!({
            "code": "US NRA", "jurisdiction": "\u{7}", "ratePpm": 1_000_001, "taxablePpm": -1, "base": "net",
            "threshold": { "amount": -1, "mode": "cliff" }, "rounding": "up", "granularity": 0, "priority": 2_147_483_648_i64,
            "currency": "usd", "effectiveFrom": "1.1.2026", "x": 1,
        });
        let backwards =
            json!({ "code": "a", "ratePpm": 1, "effectiveFrom": "2026-01-02", "effectiveTo": "2026-01-02" });
        let profile = json!({ "form": "", "formSignedAt": "2026-02-30", "rules": [rule, backwards, {}] });
        let faults = [
            "/p/form out_of_range",
            "/p/formSignedAt invalid_format",
            "/p/rules/0/base invalid_format",
            "/p/rules/0/code invalid_format",
            "/p/rules/0/currency currency_malformed",
            "/p/rules/0/effectiveFrom invalid_format",
            "/p/rules/0/granularity out_of_range",
            "/p/rules/0/jurisdiction invalid_format",
            "/p/rules/0/priority out_of_range",
            "/p/rules/0/ratePpm out_of_range",
            "/p/rules/0/rounding invalid_format",
            "/p/rules/0/taxablePpm out_of_range",
            "/p/rules/0/threshold/amount out_of_range",
            "/p/rules/0/threshold/mode invalid_format",
            "/p/rules/0/threshold/period required",
            "/p/rules/0/x unknown_field",
            "/p/rules/1/effectiveTo out_of_range",
            "/p/rules/2/code required",
            "/p/rules/2/ratePpm required",
        ];
        assert_eq!(read(&profile).unwrap_err(), faults);
        assert_eq!(read(&json!({})).unwrap_err(), ["/p/rules required"]);
    }
}
