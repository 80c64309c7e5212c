//! Domain values in the API: [`Sc`] gives one a named schema, with its pattern, bounds and example, and reads
//! and writes it, so that the domain need not know this framework.

use super::{fault::Fault, fields::Field, params::Parameter};
use poem::http::HeaderValue;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToHeader, ToJSON, Type},
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;

/// A domain value that travels as one JSON string or number.
pub trait Scalar: Sized + Send + Sync {
    /// The name of the schema.
    const NAME: &'static str;
    /// `string` or `integer`.
    const TYPE: &'static str = "string";

    /// Adds pattern, enumeration, bounds, example and description.
    fn describe(schema: &mut MetaSchema);

    /// The value, from a parameter or a JSON string.
    fn parse(text: &str) -> Result<Self, Fault>;

    /// The value, from a field of a body. What travels as a number reads a number.
    fn read(field: Field<'_>) -> Option<Self> {
        field.text_with(Self::parse)
    }

    /// The value as it is sent.
    fn wire(&self) -> Value;
}

/// A domain value, as the API sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sc<T>(pub T);

impl<T: Scalar> Sc<T> {
    /// The value, from a field of a body.
    pub fn read(field: Field<'_>) -> Option<Self> {
        T::read(field).map(Self)
    }
}

impl<T: Scalar> Type for Sc<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(T::NAME.to_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(T::NAME.to_owned(), |_| {
            let mut schema = MetaSchema::new(T::TYPE);
            T::describe(&mut schema);
            schema
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Scalar> Parameter for Sc<T> {
    fn parse(text: &str) -> Result<Self, Fault> {
        T::parse(text).map(Self)
    }
}

impl<T: Scalar> Serialize for Sc<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.wire().serialize(to)
    }
}

impl<T: Scalar> ToJSON for Sc<T> {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.wire())
    }
}

/// Asked for by the derive of `Object`; bodies are read by [`Scalar::read`].
impl<T: Scalar> ParseFromJSON for Sc<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let text = match value.unwrap_or_default() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        T::parse(&text).map(Self).map_err(|fault| ParseError::custom(fault.message))
    }
}

impl<T: Scalar> ToHeader for Sc<T> {
    fn to_header(&self) -> Option<HeaderValue> {
        match self.0.wire() {
            Value::String(text) => HeaderValue::from_str(&text).ok(),
            other => HeaderValue::from_str(&other.to_string()).ok(),
        }
    }
}
