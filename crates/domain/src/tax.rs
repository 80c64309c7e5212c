//! Withholding tax as data: rules of a recipient, in force between two days, with thresholds that count a year.
//!
//! Rates change by law and by treaty; none of them is written into the code. Source: revenue-engine design, section 3.

use crate::{
    apportion,
    currency::Currency,
    day::Day,
    revenue_model::{WHOLE_PPM, spec::is_default},
};
use serde::{Deserialize, Serialize};

/// Most rules of one profile.
pub const RULES_MAX: usize = 32;
/// Years for which a form is good after the year in which it was signed, if no end was given.
const FORM_YEARS: i32 = 3;

/// One rule of withholding. Only a rule without fault can be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TaxRuleSpec", into = "TaxRuleSpec")]
pub struct TaxRule(TaxRuleSpec);

/// A rule as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaxRuleSpec {
    /// Names the rule and the ledger account `tax_withheld:{code}`.
    pub code: String,
    /// Whose tax it is, for people: `US`, `IN-MH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
    /// Parts per million of the taxable base.
    pub rate_ppm: u64,
    /// Parts per million of the base that are taxable at all (the part from a source in the country).
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub taxable_ppm: u64,
    /// What the rate applies to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub base: TaxBase,
    /// Below which nothing is withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// Where the last digit goes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rounding: Rounding,
    /// The tax is a multiple of so many minor units: 100 for whole rupees.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub granularity: u64,
    /// Rules are applied from the smallest number on; those listed first win a tie.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// Applies to amounts in this currency only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// First day on which it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<Day>,
    /// First day on which it no longer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_to: Option<Day>,
}

fn whole() -> u64 {
    WHOLE_PPM
}
fn is_whole(ppm: &u64) -> bool {
    *ppm == WHOLE_PPM
}
fn one() -> u64 {
    1
}
fn is_one(units: &u64) -> bool {
    *units == 1
}

/// What a rate applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxBase {
    /// The gross amount, whatever the platform keeps of it.
    #[default]
    Gross,
    /// The gross amount less the platform fee.
    NetOfFee,
}

/// Where the last digit goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest; the middle up.
    #[default]
    HalfUp,
    /// To the nearest; the middle to the even neighbour.
    HalfEven,
    /// Down.
    Floor,
}

/// An amount of a period up to which nothing is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Threshold {
    /// Minor units; it is passed when the sum of the period exceeds it.
    #[serde(rename = "amount")]
    pub amount_minor: u64,
    /// Over which time amounts are summed up.
    pub period: Period,
    /// What happens when it is passed.
    pub mode: ThresholdMode,
}

/// Over which time amounts are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From the first of January.
    CalendarYear,
    /// From the first of April.
    FiscalYearApr,
    /// Each calculation stands for itself.
    None,
}

impl Period {
    /// The name of the period in which a day lies, if there is one: `2026`, `fy2026`.
    pub fn label(self, day: Day) -> Option<String> {
        match self {
            Self::CalendarYear => Some(day.year().to_string()),
            Self::FiscalYearApr => Some(format!("fy{}", day.fiscal_year_from_april())),
            Self::None => None,
        }
    }
}

/// What happens when a threshold is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdMode {
    /// Everything of the period is taxed, also what came before and was not.
    CliffAll,
    /// The amount that passes it is taxed whole, and everything after it.
    CliffFromNow,
    /// Only what lies above it is taxed.
    ExcessOnly,
}

/// Why a rule cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTaxRule {
    /// The code is no word.
    #[error("the code of a rule must be 1 to 32 lower-case letters, digits or underscores, starting with a letter")]
    Code,
    /// A rate or the taxable part lies above 100 %.
    #[error("a rate is at most 1,000,000 ppm (100 %)")]
    RateOutOfRange,
    /// The tax cannot be a multiple of nothing.
    #[error("a granularity is between 1 and 1,000,000 minor units")]
    Granularity,
    /// It ends before it begins.
    #[error("`effectiveTo` must lie after `effectiveFrom`")]
    Period,
    /// The jurisdiction is too long.
    #[error("a jurisdiction is at most 32 printable characters")]
    Jurisdiction,
}

impl InvalidTaxRule {
    /// The field of the rule that is at fault.
    pub fn field(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::RateOutOfRange => "ratePpm",
            Self::Granularity => "granularity",
            Self::Period => "effectiveTo",
            Self::Jurisdiction => "jurisdiction",
        }
    }
}

impl TryFrom<TaxRuleSpec> for TaxRule {
    type Error = InvalidTaxRule;
    fn try_from(spec: TaxRuleSpec) -> Result<Self, InvalidTaxRule> {
        if !crate::recipient::is_word(&spec.code) {
            return Err(InvalidTaxRule::Code);
        }
        if spec.rate_ppm > WHOLE_PPM || spec.taxable_ppm > WHOLE_PPM {
            return Err(InvalidTaxRule::RateOutOfRange);
        }
        if !(1..=1_000_000).contains(&spec.granularity) {
            return Err(InvalidTaxRule::Granularity);
        }
        if spec.effective_from.zip(spec.effective_to).is_some_and(|(from, to)| to <= from) {
            return Err(InvalidTaxRule::Period);
        }
        let is_text = |text: &String| text.chars().count() <= 32 && !text.chars().any(char::is_control);
        if !spec.jurisdiction.as_ref().is_none_or(is_text) {
            return Err(InvalidTaxRule::Jurisdiction);
        }
        Ok(Self(spec))
    }
}
impl From<TaxRule> for TaxRuleSpec {
    fn from(rule: TaxRule) -> Self {
        rule.0
    }
}

impl TaxRule {
    /// The code of the rule that is meant when a recipient has a rate and no rule is named.
    pub const DEFAULT_CODE: &'static str = "withholding";

    /// A rule that takes a rate of the gross amount, always.
    ///
    /// # Errors
    /// See [`InvalidTaxRule`].
    pub fn flat(code: &str, rate_ppm: u64) -> Result<Self, InvalidTaxRule> {
        TaxRuleSpec {
            code: code.to_owned(),
            jurisdiction: None,
            rate_ppm,
            taxable_ppm: WHOLE_PPM,
            base: TaxBase::Gross,
            threshold: None,
            rounding: Rounding::HalfUp,
            granularity: 1,
            priority: 0,
            currency: None,
            effective_from: None,
            effective_to: None,
        }
        .try_into()
    }
    /// The rule as written.
    pub fn spec(&self) -> &TaxRuleSpec {
        &self.0
    }
    /// The code.
    pub fn code(&self) -> &str {
        &self.0.code
    }
    /// Whether it applies to an amount in that currency, earned on that day.
    pub fn applies(&self, currency: Currency, day: Day) -> bool {
        let TaxRuleSpec { effective_from, effective_to, currency: only, .. } = &self.0;
        only.is_none_or(|only| only == currency)
            && effective_from.is_none_or(|from| from <= day)
            && effective_to.is_none_or(|end| day < end)
    }
    /// What of `base_minor` is looked at, after `year_to_date_minor` of the same period.
    pub(crate) fn above_threshold(&self, base_minor: i64, year_to_date_minor: i64) -> u128 {
        let base = u128::from(base_minor.unsigned_abs());
        let before = u128::from(year_to_date_minor.max(0).unsigned_abs());
        let Some(Threshold { amount_minor, mode, .. }) = self.0.threshold else { return base };
        let limit = u128::from(amount_minor);
        if before + base <= limit {
            return 0;
        }
        match mode {
            ThresholdMode::CliffAll if before <= limit => before + base,
            ThresholdMode::CliffAll | ThresholdMode::CliffFromNow => base,
            ThresholdMode::ExcessOnly => base.min(before + base - limit),
        }
    }
    /// `round(taxed * taxable * rate / 10^12)` to a multiple of the granularity, in minor units.
    pub(crate) fn tax(&self, taxed: u128) -> u128 {
        let TaxRuleSpec { rate_ppm, taxable_ppm, rounding, granularity, .. } = &self.0;
        let unit = u128::from(WHOLE_PPM) * u128::from(WHOLE_PPM) * u128::from(*granularity);
        let exact = taxed * u128::from(*taxable_ppm) * u128::from(*rate_ppm);
        let multiples = match rounding {
            Rounding::HalfUp => apportion::half_up(exact, unit),
            Rounding::HalfEven => apportion::half_even(exact, unit),
            Rounding::Floor => exact / unit,
        };
        multiples * u128::from(*granularity)
    }
}

/// What is known of a recipient's tax: a form, and the rules that follow from it. A profile without rules is that of
/// somebody from whom nothing is withheld, which is not the same as no profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaxProfile {
    /// Which form, for people: `W-8BEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// When it was signed. It is good to the end of the third year after that, unless another end is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form_signed_at: Option<Day>,
    /// Last day on which it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form_valid_until: Option<Day>,
    /// Where the recipient resides, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residence: Option<String>,
    /// What is withheld.
    #[serde(default)]
    pub rules: Vec<TaxRule>,
}

impl TaxProfile {
    /// A profile of these rules, without a form that could expire.
    pub fn of(rules: Vec<TaxRule>) -> Self {
        Self { rules, ..Self::default() }
    }
    /// Whether the form, if there is one, is good on that day.
    pub fn is_valid(&self, day: Day) -> bool {
        let end = self.form_valid_until.or(self.form_signed_at.map(|signed| signed.last_of_year_after(FORM_YEARS)));
        end.is_none_or(|end| day <= end)
    }
    /// The rules that apply, in the order in which they take.
    pub fn rules_for(&self, currency: Currency, day: Day) -> Vec<&TaxRule> {
        let mut rules: Vec<&TaxRule> = self.rules.iter().filter(|rule| rule.applies(currency, day)).collect();
        rules.sort_by_key(|rule| rule.spec().priority);
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rule(fields: Value) -> TaxRule {
        let mut rule = json!({ "code": "us_nra", "ratePpm": 300_000 });
        rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(rule).unwrap()
    }
    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_has_no_fault_or_does_not_exist() {
        for (fields, fault) in [
            (json!({ "code": "us nra", "ratePpm": 1 }), "code"),
            (json!({ "code": "a", "ratePpm": 1_000_001 }), "rate"),
            (json!({ "code": "a", "ratePpm": 1, "taxablePpm": 1_000_001 }), "rate"),
            (json!({ "code": "a", "ratePpm": 1, "granularity": 0 }), "granularity"),
            (
                json!({ "code": "a", "ratePpm": 1, "effectiveFrom": "2026-01-02", "effectiveTo": "2026-01-02" }),
                "effectiveTo",
            ),
            (json!({ "code": "a", "ratePpm": 1, "surprise": 1 }), "surprise"),
        ] {
            let error = serde_json::from_value::<TaxRule>(fields).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn a_rule_is_in_force_from_its_first_day_until_before_its_last() {
        let rule = rule(json!({ "effectiveFrom": "2024-10-01", "effectiveTo": "2025-01-01", "currency": "INR" }));
        let inr = "INR".parse().unwrap();
        for (text, applies) in
            [("2024-09-30", false), ("2024-10-01", true), ("2024-12-31", true), ("2025-01-01", false)]
        {
            assert_eq!(rule.applies(inr, day(text)), applies, "{text}");
        }
        assert!(!rule.applies("USD".parse().unwrap(), day("2024-11-01")));
    }

    #[test]
    fn a_threshold_is_passed_in_three_ways() {
        let taxed = |mode: &str, base, before| {
            let threshold = json!({ "threshold": { "amount": 500, "period": "calendar_year", "mode": mode } });
            rule(threshold).above_threshold(base, before)
        };
        for mode in ["cliff_all", "cliff_from_now", "excess_only"] {
            assert_eq!(taxed(mode, 100, 400), 0, "{mode}: exactly the threshold does not pass it");
        }
        assert_eq!([taxed("cliff_all", 200, 400), taxed("cliff_all", 200, 600)], [600, 200]);
        assert_eq!([taxed("cliff_from_now", 200, 400), taxed("cliff_from_now", 200, 600)], [200, 200]);
        assert_eq!([taxed("excess_only", 200, 400), taxed("excess_only", 200, 600)], [100, 200]);
    }

    #[test]
    fn the_tax_is_rounded_as_the_rule_says() {
        let half = |rounding: &str, granularity: u64| {
            rule(json!({ "ratePpm": 500_000, "rounding": rounding, "granularity": granularity }))
        };
        assert_eq!([half("half_up", 1).tax(3), half("half_even", 1).tax(3), half("floor", 1).tax(3)], [2, 2, 1]);
        assert_eq!([half("half_up", 1).tax(1), half("half_even", 1).tax(1), half("floor", 1).tax(1)], [1, 0, 0]);
        // Whole rupees: 149.50 is 150, 149.49 is 149.
        assert_eq!([half("half_up", 100).tax(29_900), half("half_up", 100).tax(29_898)], [15_000, 14_900]);
    }

    #[test]
    fn a_form_is_good_to_the_end_of_the_third_year_after_it_was_signed() {
        let signed = TaxProfile { form_signed_at: Some(day("2023-02-01")), ..TaxProfile::default() };
        assert!(signed.is_valid(day("2026-12-31")) && !signed.is_valid(day("2027-01-01")));
        let told = TaxProfile { form_valid_until: Some(day("2030-01-01")), ..signed };
        assert!(told.is_valid(day("2030-01-01")) && !told.is_valid(day("2030-01-02")));
        assert!(TaxProfile::default().is_valid(day("2999-01-01")), "what has no form has none that expires");
    }

    #[test]
    fn rules_take_in_the_order_of_their_priority() {
        let named = |code: &str, priority| rule(json!({ "code": code, "priority": priority }));
        let profile = TaxProfile::of(vec![named("b", 2), named("a", 1), named("c", 1)]);
        let order: Vec<&str> =
            profile.rules_for("USD".parse().unwrap(), day("2026-01-01")).iter().map(|rule| rule.code()).collect();
        assert_eq!(order, ["a", "c", "b"]);
    }
}
