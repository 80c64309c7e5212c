//! Domain values as the API shows them: each a named schema with its pattern, bounds and example.

use crate::http::{
    fault::Fault,
    fields::{Field, Number},
    scalars::Scalar,
};
use app::{ports::queries::SumMinor, recipients::show_balance::BalanceKind};
use domain::{
    batch::BatchStatus,
    calculation,
    currency::{Currency, CurrencyError},
    ids::{
        AuditId, BatchId, CalculationId, EscrowId, EventId, InstructionId, ItemId, JobId, MilestoneId, ProjectId,
        RecipientId, Requester, ResolutionId, ReversalId, TransactionId,
    },
    item::ItemStatus,
    ledger::Account,
    money::AMOUNT_MINOR_MAX,
    recipient::{RailId, RecipientStatus},
    revenue_model::{ModelHash, ModelStatus},
    reversal::Strategy,
    timestamp::Timestamp,
};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::{borrow::Cow, fmt::Display, str::FromStr};

/// The largest whole number that every JSON reader keeps exact.
pub const INTEGER_MAX: i64 = AMOUNT_MINOR_MAX;

fn parse_text<T: FromStr>(text: &str) -> Result<T, Fault>
where
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| Fault::invalid_format(format!("This {error}.")))
}

macro_rules! own_id_scalars {
    ($($type:ident, $about:literal;)+) => {$(
        impl Scalar for $type {
            const NAME: &'static str = stringify!($type);
            fn describe(schema: &mut MetaSchema) {
                schema.description = Some($about);
                schema.pattern = Some(format!("^{}[0-7][0-9a-hjkmnp-tv-z]{{25}}$", $type::PREFIX));
                schema.example = Some(format!("{}01k9x3m5q7e8r9t0v1w2x3y4z5", $type::PREFIX).into());
            }
            fn parse(text: &str) -> Result<Self, Fault> {
                parse_text(text)
            }
            fn wire(&self) -> Value {
                self.to_string().into()
            }
        }
    )+};
}

own_id_scalars! {
    BatchId, "A payout batch.";
    ItemId, "One payment of a batch.";
    InstructionId, "An order to a rail; also its idempotency key.";
    JobId, "A durable piece of work.";
    EventId, "Something that happened.";
    TransactionId, "A ledger transaction.";
    CalculationId, "One run of the calculator.";
    AuditId, "An entry of the audit log.";
    ResolutionId, "What people say became of a payment.";
}

/// Three forms: a UUID, an `ObjectId`, a prefixed id.
const FOREIGN_ID: &str = "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{24}|[a-z][a-z0-9]{1,11}_[A-Za-z0-9]{1,48})$";

macro_rules! foreign_id_scalars {
    ($($type:ident, $example:literal, $about:literal;)+) => {$(
        impl Scalar for $type {
            const NAME: &'static str = stringify!($type);
            fn describe(schema: &mut MetaSchema) {
                schema.description = Some($about);
                schema.pattern = Some(FOREIGN_ID.to_owned());
                schema.example = Some($example.into());
            }
            fn parse(text: &str) -> Result<Self, Fault> {
                parse_text(text)
            }
            fn wire(&self) -> Value {
                self.as_str().into()
            }
        }
    )+};
}

foreign_id_scalars! {
    EscrowId, "esc_1042", "The release of one escrow: a UUID, a 24-digit ObjectId, or a prefixed id. It is booked at most once, ever.";
    ProjectId, "prj_7", "A project: a UUID, a 24-digit ObjectId, or a prefixed id.";
    MilestoneId, "ms_3", "A milestone: a UUID, a 24-digit ObjectId, or a prefixed id.";
    RecipientId, "rec_ana", "Somebody who is owed money: a UUID, a 24-digit ObjectId, or a prefixed id.";
    ReversalId, "ref_77", "A refund or another reversal: a UUID, a 24-digit ObjectId, or a prefixed id. It is booked at most once, ever.";
    Requester, "usr_cli", "Who asked: the subject of their token.";
}

macro_rules! word_scalars {
    ($($type:ident: $words:expr, $about:literal;)+) => {$(
        impl Scalar for $type {
            const NAME: &'static str = stringify!($type);
            fn describe(schema: &mut MetaSchema) {
                schema.description = Some($about);
                schema.enum_items = $words.iter().map(|word| word.as_str().into()).collect();
            }
            fn parse(text: &str) -> Result<Self, Fault> {
                $words.into_iter().find(|word| word.as_str() == text).ok_or_else(|| {
                    let words: Vec<_> = $words.iter().map(|word| format!("`{}`", word.as_str())).collect();
                    Fault::invalid_format(format!("This must be one of {}.", words.join(", ")))
                })
            }
            fn wire(&self) -> Value {
                self.as_str().into()
            }
        }
    )+};
}

word_scalars! {
    BatchStatus: BatchStatus::ALL, "What the items of a batch come to.";
    ItemStatus: ItemStatus::ALL, "What is true of an item now.";
    RecipientStatus: RecipientStatus::ALL, "Whether a recipient may be paid now; unless `active`, what is owed is held.";
    ModelStatus: [ModelStatus::Draft, ModelStatus::Active], "Only an `active` version splits money.";
    BalanceKind: BalanceKind::ALL, "Going to be sent, waiting for the recipient, too small to be sent, or owed by the recipient.";
    DeductionKind: calculation::DeductionKind::ALL, "What was taken off before the split.";
}

use calculation::DeductionKind;

impl Scalar for Currency {
    const NAME: &'static str = "Currency";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("ISO 4217, upper case.");
        schema.enum_items = Currency::all().map(|currency| currency.to_string().into()).collect();
        schema.example = Some("USD".into());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse()
            .map_err(|error: CurrencyError| Fault::new(error.code(), format!("This {error}.").replace("This `", "`")))
    }
    fn wire(&self) -> Value {
        self.code().into()
    }
}

impl Scalar for Timestamp {
    const NAME: &'static str = "Timestamp";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("An instant (RFC 3339), to the microsecond, answered in UTC.");
        schema.format = Some("date-time");
        schema.example = Some("2026-01-31T12:00:00Z".into());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        parse_text(text)
    }
    fn wire(&self) -> Value {
        self.to_string().into()
    }
}

impl Scalar for ModelHash {
    const NAME: &'static str = "ModelHash";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("SHA-256 of the canonical JSON of what decides the cents.");
        schema.pattern = Some("^sha256:[0-9a-f]{64}$".to_owned());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        parse_text(text)
    }
    fn wire(&self) -> Value {
        self.to_string().into()
    }
}

impl Scalar for RailId {
    const NAME: &'static str = "RailId";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("A payment rail.");
        schema.pattern = Some("^[a-z][a-z0-9_]{0,31}$".to_owned());
        schema.example = Some("simulator".into());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        parse_text(text)
    }
    fn wire(&self) -> Value {
        self.as_str().into()
    }
}

impl Scalar for Strategy {
    const NAME: &'static str = "ReversalStrategy";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some(
            "Who bears a reversal: everybody, in proportion to what is left of their lines (`split_ratio`), the `platform`, \
             or one recipient (`recipient:` and their id).",
        );
        let id = FOREIGN_ID.trim_start_matches('^').trim_end_matches('$');
        schema.pattern = Some(format!("^(split_ratio|platform|recipient:{id})$"));
        schema.example = Some("split_ratio".into());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        parse_text(text)
    }
    fn wire(&self) -> Value {
        self.to_string().into()
    }
}

impl Scalar for Account {
    const NAME: &'static str = "Account";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("A ledger account: a kind and, where it has one, a subject.");
        schema.pattern = Some("^(escrow_receivable|platform_fees|fee_tax|rail_charges|(escrow|payable|carried|debt|cash|in_transit|tax_withheld|deductions):.+)$".to_owned());
        schema.example = Some("payable:rec_ana".into());
    }
    fn parse(text: &str) -> Result<Self, Fault> {
        parse_text(text)
    }
    fn wire(&self) -> Value {
        self.to_string().into()
    }
}

/// An amount that a request carries: 1 to 2^53 - 1 minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub i64);

impl Scalar for Amount {
    const NAME: &'static str = "Amount";
    const TYPE: &'static str = "integer";
    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("Minor units of the currency (cents for USD, yen for JPY).");
        schema.format = Some("int64");
        schema.minimum = Some(1.0);
        schema.maximum = Some(AMOUNT_MINOR_MAX as f64);
        schema.example = Some(200_000.into());
    }
    fn parse(_text: &str) -> Result<Self, Fault> {
        Err(Fault::wrong_type("a number", "a string"))
    }
    fn read(field: Field<'_>) -> Option<Self> {
        let out_of_range = || {
            Fault::new("amount_out_of_range", format!("An amount is at most {AMOUNT_MINOR_MAX} minor units."))
                .with_meta(serde_json::json!({ "max": AMOUNT_MINOR_MAX }))
        };
        field.number_with(|number| match number {
            Number::Whole(1..=AMOUNT_MINOR_MAX) => Ok(Self(match number {
                Number::Whole(value) => value,
                Number::TooSmall | Number::TooLarge | Number::Fraction => 0,
            })),
            Number::Whole(value) if value > 0 => Err(out_of_range()),
            Number::TooLarge => Err(out_of_range()),
            Number::Whole(_) | Number::TooSmall => {
                Err(Fault::new("amount_not_positive", "An amount is greater than zero."))
            }
            Number::Fraction => Err(Fault::new(
                "amount_not_integer",
                "An amount is a whole number of minor units, such as 200000 for 2,000.00 USD.",
            )),
        })
    }
    fn wire(&self) -> Value {
        self.0.into()
    }
}

/// A sum of money that may exceed what one amount can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum(pub SumMinor);

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i128(self.0)
    }
}

/// Facts whose names depend on what they are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts(pub Value);

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

/// Types with a schema of their own that no derive knows: only answered, or read by other means.
macro_rules! answered {
    ($type:ident, $name:literal, $schema:expr) => {
        impl Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;
            fn name() -> Cow<'static, str> {
                $name.into()
            }
            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }
            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }
            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
        /// Asked for by the derive of `Object`; never used.
        impl ParseFromJSON for $type {
            fn parse_from_json(_value: Option<Value>) -> ParseResult<Self> {
                Err(poem_openapi::types::ParseError::custom("only answered"))
            }
        }
        /// Asked for by the derive of `Object`; answers are written by serde.
        impl ToJSON for $type {
            fn to_json(&self) -> Option<Value> {
                serde_json::to_value(self).ok()
            }
        }
    };
}

pub(super) use answered;

answered!(
    Sum,
    "integer",
    MetaSchema { description: Some("Minor units of the currency."), ..MetaSchema::new("integer") }
);
answered!(
    Facts,
    "object",
    MetaSchema {
        additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
        ..MetaSchema::new("object")
    }
);
