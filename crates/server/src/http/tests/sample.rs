//! An API with one endpoint of each kind, written the way endpoints are written here.

use super::super::{
    auth::Auth,
    fault::Fault,
    fields::{Field, Fields},
    idempotency::Key,
    page::{AfterParam, LimitParam, Page, page_of},
    params::PathParam,
    payload::{Body, FromBody, Js},
    problem::Answer,
    responses::responses,
    roles::may,
    scalars::{Sc, Scalar},
};
use app::{
    failure::{Class, Detail, Failure},
    ports::queries::Paged,
};
use poem_openapi::{Object, OpenApi, Union, registry::MetaSchema};
use serde::Serialize;
use serde_json::{Value, json};

/// The id of a thing: `thing_` and a number.
#[derive(Clone, Debug, PartialEq)]
pub struct ThingId(pub String);

impl Scalar for ThingId {
    const NAME: &'static str = "ThingId";

    fn describe(schema: &mut MetaSchema) {
        schema.pattern = Some("^thing_[0-9]+$".to_owned());
        schema.example = Some("thing_1".into());
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        match text.strip_prefix("thing_") {
            Some(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Fault::invalid_format("A thing's id is `thing_` and a number.")),
        }
    }

    fn wire(&self) -> Value {
        self.0.clone().into()
    }
}

/// An amount in minor units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amount(pub i64);

impl Scalar for Amount {
    const NAME: &'static str = "Amount";
    const TYPE: &'static str = "integer";

    fn describe(schema: &mut MetaSchema) {
        schema.format = Some("int64");
        schema.minimum = Some(1.0);
        schema.maximum = Some(i64::MAX as f64);
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse().map(Self).map_err(|_| Fault::out_of_range("No amount."))
    }

    fn read(field: Field<'_>) -> Option<Self> {
        field.whole_number(1..=i64::MAX).map(Self)
    }

    fn wire(&self) -> Value {
        self.0.into()
    }
}

#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct Flat {
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000")))]
    pub ppm: i64,
}

#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct Tiers {
    pub above: Sc<Amount>,
}

/// How a thing is shared.
#[derive(Debug, Union)]
#[oai(discriminator_name = "kind", one_of, rename_all = "camelCase")]
pub enum Rule {
    Flat(Flat),
    Tiers(Tiers),
}

impl Rule {
    fn read(field: Field<'_>) -> Option<Self> {
        field.object(|fields| match fields.required("kind", |kind| kind.one_of(&[("flat", true), ("tiers", false)])) {
            Some(true) => {
                let ppm = fields.required("ppm", |ppm| ppm.whole_number(0..=1_000_000))?;
                Some(Self::Flat(Flat { ppm }))
            }
            Some(false) => Some(Self::Tiers(Tiers { above: fields.required("above", Sc::read)? })),
            None => {
                fields.accept_rest();
                None
            }
        })
    }
}

/// A thing to be made.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct NewThing {
    pub thing_id: Sc<ThingId>,
    pub amount: Sc<Amount>,
    #[oai(validator(min_length = 1, max_length = 10, pattern = "^[^\\u0000]*$"))]
    pub memo: Option<String>,
    pub rule: Option<Rule>,
}

impl FromBody for NewThing {
    const LIMIT: usize = 2000;

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let thing_id = fields.required("thingId", Sc::read);
        let amount = fields.required("amount", Sc::read);
        let memo = fields.optional("memo", |memo| memo.text(1..=10));
        let rule = fields.optional("rule", Rule::read);
        Some(Self { thing_id: thing_id?, amount: amount?, memo: memo?, rule: rule? })
    }
}

/// A thing that is there.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Thing {
    pub thing_id: Sc<ThingId>,
    pub amount: Sc<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memo: Option<String>,
}

responses! {
    /// Answers of `POST /things`.
    MakeThing {
        /// The thing is made,
        /// and there it is.
        201 Made(Js<Thing>, "Location" location: Option<String>),
        /// The thing was there already.
        200 WasThere(Js<Thing>),
    }
    errors [Conflict, NotFound]
}

responses! {
    /// Answers of `GET /things`.
    ListThings {
        /// The things.
        200 Listed(Js<Page<Thing>>),
    }
    errors []
}

responses! {
    /// Answers of `GET /things/{thing}/parts/{part}`.
    ReadPart {
        /// The part.
        200 Found(Js<Thing>),
    }
    errors [NotFound]
}

/// The ways in which the sample's use cases fail.
#[derive(Debug, thiserror::Error)]
#[error("{class:?} of {code}")]
pub struct Failed {
    code: &'static str,
    class: Class,
    #[source]
    cause: std::io::Error,
}

impl Failure for Failed {
    fn code(&self) -> &'static str {
        self.code
    }
    fn class(&self) -> Class {
        self.class
    }
    fn details(&self) -> Vec<Detail> {
        match self.class {
            Class::Invalid => vec![Fault::new("sum", "Too much.").with_meta(json!({"sumPpm": 2})).at("/shares")],
            _ => Vec::new(),
        }
    }
    fn existing(&self) -> Option<Value> {
        (self.class == Class::Conflict).then(|| json!({"batchId": "batch_1", "requestMatches": true}))
    }
}

fn fail(code: &'static str, class: Class) -> Result<(), Failed> {
    Err(Failed { code, class, cause: std::io::Error::other("disk at 10.0.0.7 is gone") })
}

#[derive(Clone)]
pub struct Sample;

#[OpenApi]
impl Sample {
    /// Make a thing
    ///
    /// The id decides what becomes of it.
    #[oai(path = "/things", method = "post", operation_id = "makeThing")]
    async fn make(
        &self,
        _auth: Auth<may::Schedule>,
        body: Body<NewThing>,
        #[oai(name = "Idempotency-Key")] _key: Key,
    ) -> Answer<MakeThing> {
        let NewThing { thing_id, amount, memo, rule: _ } = body.0;
        match thing_id.0.0.as_str() {
            "thing_404" => fail("project_not_found", Class::NotFound)?,
            "thing_409" => fail("already_scheduled", Class::Conflict)?,
            "thing_422" => fail("split_invalid", Class::Invalid)?,
            "thing_403" => fail("not_yours", Class::Refused)?,
            "thing_503" => fail("unavailable", Class::Unavailable)?,
            "thing_500" => fail("secret_code", Class::Internal)?,
            "thing_5000" => panic!("what was sent: {memo:?}"),
            _ => {}
        }
        let location = memo.as_ref().map(|memo| format!("/things/{memo}"));
        let made = Js(Thing { thing_id, amount, memo });
        Ok(if made.0.amount.0 == Amount(7) { MakeThing::WasThere(made) } else { MakeThing::Made(made, location) })
    }

    /// Read a part of a thing
    ///
    /// The arguments are in another order than the path has them.
    #[oai(path = "/things/:thing/parts/:part", method = "get", operation_id = "readPart")]
    async fn part(
        &self,
        _auth: Auth<may::Calculate>,
        part: PathParam<Sc<Amount>>,
        thing: PathParam<Sc<ThingId>>,
    ) -> Answer<ReadPart> {
        if part.0.0 == Amount(404) {
            fail("part_not_found", Class::NotFound)?;
        }
        if part.0.0 == Amount(409) {
            fail("undeclared", Class::Conflict)?;
        }
        Ok(ReadPart::Found(Js(Thing { thing_id: thing.0, amount: part.0, memo: None })))
    }

    /// Whether the sample is alive
    #[oai(path = "/health", method = "get", operation_id = "health")]
    async fn health(&self) -> Answer<ListThings> {
        Ok(ListThings::Listed(Js(Page { data: Vec::new(), has_more: false })))
    }

    #[oai(path = "/panic", method = "get", hidden)]
    async fn panic(&self) -> Answer<ListThings> {
        panic!("a secret")
    }
}

/// A second block with a path of the first one.
#[derive(Clone)]
pub struct Lists;

#[OpenApi]
impl Lists {
    /// List things
    #[oai(path = "/things", method = "get", operation_id = "listThings")]
    async fn list(
        &self,
        _auth: Auth<may::Read>,
        limit: LimitParam,
        starting_after: AfterParam<ThingId>,
    ) -> Answer<ListThings> {
        let page = page_of(limit, starting_after);
        let first = page.after.map_or(0, |after| after.0[6..].parse::<u64>().unwrap_or(0) + 1);
        let thing =
            |number: u64| Thing { thing_id: Sc(ThingId(format!("thing_{number}"))), amount: Sc(Amount(1)), memo: None };
        let rows = (first..30).map(thing).collect();
        Ok(ListThings::Listed(Js(Paged::cut(rows, page.limit).into())))
    }
}
