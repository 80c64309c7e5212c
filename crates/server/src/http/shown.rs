//! Domain values of several fields in the API: [`Shown`] writes one exactly as the domain does, and describes it by an
//! object of the edge. What is answered is therefore what was stored and hashed, field by field.

use poem_openapi::{
    registry::{MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;

/// A domain value that is written as it is, and the object that says so in the specification.
pub trait Described: Serialize + Send + Sync {
    /// What the specification shows.
    type Shape: Type;
}

/// A domain value, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<T>(pub T);

impl<T: Described> Type for Shown<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        T::Shape::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        T::Shape::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::Shape::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Described> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<T: Described> ToJSON for Shown<T> {
    fn to_json(&self) -> Option<Value> {
        serde_json::to_value(&self.0).ok()
    }
}

/// Asked for by the derive of `Object`; bodies are read field by field.
impl<T: Described> ParseFromJSON for Shown<T> {
    fn parse_from_json(_value: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::custom("read field by field"))
    }
}
