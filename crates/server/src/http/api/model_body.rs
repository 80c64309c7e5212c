//! A revenue model in the API: how it is read, and how it is shown.
//!
//! What the design knows and this version does not build is refused as `split_invalid`, never ignored: a client that
//! relies on it must not be paid otherwise than it thinks.

use super::values::INTEGER_MAX;
use crate::http::{
    fault::Fault,
    fields::{Field, Fields},
    payload::FromBody,
    scalars::Sc,
};
use app::failure::{Class, Detail, Failure};
use domain::{
    currency::Currency,
    ids::{ProjectId, RecipientId},
    revenue_model::{
        ModelSpec, ModelStatus, PlatformFee,
        check::STEPS_MAX,
        spec::{LineSpec, StepSpec, TieBreak},
    },
    timestamp::Timestamp,
};
use poem_openapi::{Enum, Object, Union};
use serde::Serialize;

/// More lines than a step can have, so that one too many is told as such.
const LINES_READ_MAX: usize = 100_000;

/// A revenue model.
#[derive(Debug, Object)]
#[oai(rename = "RevenueModel", rename_all = "camelCase")]
pub struct ModelBody {
    /// If given, it must be the project of the path.
    pub(super) project_id: Option<Sc<ProjectId>>,
    /// If given, it must be the number that the version gets.
    #[oai(validator(minimum(value = "1"), maximum(value = "2147483647")))]
    pub(super) version: Option<u32>,
    /// `active`, if absent. A `draft` is stored with its faults, and never used.
    pub(super) status: Option<Sc<ModelStatus>>,
    /// First instant at which money is earned under it; now, if absent.
    pub(super) effective_from: Option<Sc<Timestamp>>,
    /// First instant at which it no longer is; open, if absent.
    pub(super) effective_to: Option<Sc<Timestamp>>,
    /// Binds the model to one currency.
    currency: Option<Sc<Currency>>,
    /// Who gets the odd unit when remainders are equal: the line that is listed first.
    tie_break: Option<TieBreakWord>,
    /// Whether every line gets at least one unit; `false`, if absent.
    min_unit_per_line: Option<bool>,
    platform_fee: Option<FeeBody>,
    /// The clauses, in order.
    #[oai(validator(max_items = 1000))]
    steps: Vec<StepBody>,
    /// What this version does not build.
    #[oai(skip)]
    unsupported: Vec<Detail>,
}

/// Who gets the odd unit when remainders are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "TieBreak", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub enum TieBreakWord {
    /// The line that is listed first.
    Declaration,
}

/// What the platform keeps: `clamp(rate of the gross sum + fixed, min, max)`, never more than there is.
#[derive(Clone, Copy, Debug, Object, Serialize)]
#[oai(rename = "PlatformFee", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct FeeBody {
    /// Parts per million; 0, if absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "9007199254740991")))]
    rate_ppm: Option<u64>,
    /// Minor units; 0, if absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "9007199254740991")))]
    fixed: Option<u64>,
    /// Minor units; 0, if absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "9007199254740991")))]
    min: Option<u64>,
    /// Minor units; unlimited, if absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "9007199254740991")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
}

/// A clause of the model.
#[derive(Debug, Union, Serialize)]
#[oai(rename = "Step", discriminator_name = "type", one_of, rename_all = "camelCase")]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum StepBody {
    /// Divides the pool among its lines.
    Share(ShareBody),
}

/// Divides the pool among its lines.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ShareStep")]
pub struct ShareBody {
    /// Who gets which part.
    #[oai(validator(max_items = 100000))]
    lines: Vec<LineBody>,
}

/// One recipient's part: exactly one of `ppm`, `percent`, `bps`, `weight`, `remaining`.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ShareLine", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct LineBody {
    recipient_id: Sc<RecipientId>,
    /// Parts per million.
    #[oai(validator(minimum(value = "-9007199254740991"), maximum(value = "9007199254740991")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    ppm: Option<i64>,
    /// Percent as a decimal string, at most four decimals.
    #[oai(validator(pattern = r"^-?[0-9]{1,9}(\.[0-9]{1,9})?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<String>,
    /// Basis points.
    #[oai(validator(minimum(value = "-9007199254740991"), maximum(value = "9007199254740991")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    bps: Option<i64>,
    /// Relative to the other lines: three lines of weight 1 are exact thirds.
    #[oai(validator(minimum(value = "-9007199254740991"), maximum(value = "9007199254740991")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<i64>,
    /// What the percentages of the other lines leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<bool>,
}

impl FromBody for ModelBody {
    /// Ten thousand lines fit.
    const LIMIT: usize = 4 * 1024 * 1024;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let mut later = Later::default();
        let project_id = fields.optional("projectId", Sc::read);
        let version = fields.optional("version", |number| number.whole_number(1..=i64::from(i32::MAX)));
        let status = fields.optional("status", Sc::read);
        let effective_from = fields.optional("effectiveFrom", Sc::read);
        let effective_to = fields.optional("effectiveTo", Sc::read);
        let currency = fields.optional("currency", Sc::read);
        let tie_break = fields.optional("tieBreak", |word| later.tie_break(word));
        let min_unit_per_line = fields.optional("minUnitPerLine", |flag| later.min_unit_per_line(flag));
        let platform_fee = fields.optional("platformFee", |fee| later.fee(fee));
        let steps = fields.required("steps", |list| list.list(0..=20 * STEPS_MAX, |step| later.step(step)));
        Some(Self {
            project_id: project_id?,
            version: version?.and_then(|version| u32::try_from(version).ok()),
            status: status?,
            effective_from: effective_from?,
            effective_to: effective_to?,
            currency: currency?,
            tie_break: tie_break?,
            min_unit_per_line: min_unit_per_line?,
            platform_fee: platform_fee?,
            steps: steps?.into_iter().flatten().collect(),
            unsupported: later.0,
        })
    }
}

/// Collects what the design knows and this version does not build.
#[derive(Default)]
pub struct Later(Vec<Detail>);

impl Later {
    fn refuse(&mut self, field: String, what: &str) {
        let message = format!("{what} cannot be used yet");
        self.0.push(Detail { code: "not_supported", field, message, meta: None });
    }

    /// Fields that belong to the design and are not built: each that was sent is refused.
    fn fields(&mut self, fields: &mut Fields<'_>, names: &[&'static str]) {
        fields.known_later(names);
        for name in names.iter().filter(|name| fields.has(name)) {
            let at = format!("{}/{name}", fields.pointer());
            self.refuse(at, &format!("`{name}`"));
        }
    }

    fn tie_break(&mut self, field: Field<'_>) -> Option<TieBreakWord> {
        let at = field.pointer().to_owned();
        let known = field.one_of(&[("declaration", true), ("rotate", false), ("carry", false)])?;
        if !known {
            self.refuse(at, "a tie rule other than `declaration`");
        }
        Some(TieBreakWord::Declaration)
    }

    fn min_unit_per_line(&mut self, field: Field<'_>) -> Option<bool> {
        let at = field.pointer().to_owned();
        let wanted = field.boolean()?;
        if wanted {
            self.refuse(at, "a minimum of one unit a line");
        }
        Some(false)
    }

    fn fee(&mut self, field: Field<'_>) -> Option<FeeBody> {
        field.object(|fields| {
            let mut units = |name| fields.optional(name, |number| number.whole_number(0..=INTEGER_MAX));
            let (rate_ppm, fixed, min, max) = (units("ratePpm"), units("fixed"), units("min"), units("max"));
            self.fields(
                fields,
                &["tiers", "base", "scope", "bearer", "exemptRecipientIds", "feeTaxPpm", "feeOnRefund"],
            );
            let unsigned = |number: Option<i64>| number.map(i64::unsigned_abs);
            Some(FeeBody {
                rate_ppm: unsigned(rate_ppm?),
                fixed: unsigned(fixed?),
                min: unsigned(min?),
                max: unsigned(max?),
            })
        })
    }

    /// `None` inside stands for a step that cannot be used yet.
    fn step(&mut self, field: Field<'_>) -> Option<Option<StepBody>> {
        let at = field.pointer().to_owned();
        field.object(|fields| {
            let kinds = [
                ("share", true),
                ("fixed", false),
                ("recoup", false),
                ("tiers", false),
                ("remainder", false),
                ("recoup_from_share", false),
            ];
            match fields.required("type", |word| word.one_of(&kinds)) {
                Some(true) => {
                    let lines = fields.required("lines", |list| list.list(0..=LINES_READ_MAX, |line| self.line(line)));
                    self.fields(fields, &["portionPpm", "key", "feeable"]);
                    Some(Some(StepBody::Share(ShareBody { lines: lines? })))
                }
                Some(false) => {
                    fields.accept_rest();
                    self.refuse(at, "a step of this type");
                    Some(None)
                }
                None => {
                    fields.accept_rest();
                    None
                }
            }
        })
    }

    fn line(&mut self, field: Field<'_>) -> Option<LineBody> {
        field.object(|fields| {
            let recipient_id = fields.required("recipientId", Sc::read);
            let mut number = |name| fields.optional(name, |number| number.whole_number(-INTEGER_MAX..=INTEGER_MAX));
            let (ppm, bps, weight) = (number("ppm"), number("bps"), number("weight"));
            let percent = fields.optional("percent", |text| text.text_with(percent));
            let remaining = fields.optional("remaining", |flag| flag.boolean());
            self.fields(fields, &["min", "max", "lifetimeMax", "feeable", "placeholder"]);
            Some(LineBody {
                recipient_id: recipient_id?,
                ppm: ppm?,
                percent: percent?,
                bps: bps?,
                weight: weight?,
                remaining: remaining?,
            })
        })
    }
}

/// A decimal number; how many decimals it may have is the model's business.
fn percent(text: &str) -> Result<String, Fault> {
    let is_digits = |part: &str| (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    if is_digits(whole) && is_digits(decimals) {
        return Ok(text.to_owned());
    }
    Err(Fault::invalid_format("This must be a decimal number such as \"33.3333\"."))
}

/// A model that asks for what is not built.
#[derive(Debug, thiserror::Error)]
#[error("the revenue model asks for what cannot be used yet")]
pub struct NotSupported(Vec<Detail>);

impl Failure for NotSupported {
    fn code(&self) -> &'static str {
        "split_invalid"
    }
    fn class(&self) -> Class {
        Class::Invalid
    }
    fn details(&self) -> Vec<Detail> {
        self.0.clone()
    }
}

impl ModelBody {
    /// The model as its author wrote it.
    pub(super) fn spec(self) -> Result<ModelSpec, NotSupported> {
        if !self.unsupported.is_empty() {
            return Err(NotSupported(self.unsupported));
        }
        let fee = |fee: FeeBody| PlatformFee {
            rate_ppm: fee.rate_ppm.unwrap_or_default(),
            fixed: fee.fixed.unwrap_or_default(),
            min: fee.min.unwrap_or_default(),
            max: fee.max,
        };
        Ok(ModelSpec {
            steps: self.steps.into_iter().map(StepSpec::from).collect(),
            currency: self.currency.map(|currency| currency.0),
            tie_break: TieBreak::Declaration,
            platform_fee: self.platform_fee.map(fee),
        })
    }
}

impl From<StepBody> for StepSpec {
    fn from(step: StepBody) -> Self {
        let line = |line: LineBody| LineSpec {
            recipient_id: line.recipient_id.0,
            ppm: line.ppm,
            percent: line.percent,
            bps: line.bps,
            weight: line.weight,
            remaining: line.remaining.unwrap_or_default(),
        };
        match step {
            StepBody::Share(share) => Self::Share { lines: share.lines.into_iter().map(line).collect() },
        }
    }
}

impl From<StepSpec> for StepBody {
    fn from(step: StepSpec) -> Self {
        let line = |line: LineSpec| LineBody {
            recipient_id: Sc(line.recipient_id),
            ppm: line.ppm,
            percent: line.percent,
            bps: line.bps,
            weight: line.weight,
            remaining: line.remaining.then_some(true),
        };
        match step {
            StepSpec::Share { lines } => Self::Share(ShareBody { lines: lines.into_iter().map(line).collect() }),
        }
    }
}

impl From<PlatformFee> for FeeBody {
    fn from(fee: PlatformFee) -> Self {
        Self { rate_ppm: Some(fee.rate_ppm), fixed: Some(fee.fixed), min: Some(fee.min), max: fee.max }
    }
}
