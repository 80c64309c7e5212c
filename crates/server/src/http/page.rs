//! Lists, a page at a time: `limit` and `starting_after` in, `data` and `has_more` out.
//!
//! Pages go by key, not by number, so that rows that arrive meanwhile shift nothing. `starting_after` is
//! the id of the last row seen, typed by each endpoint.

use super::{
    fault::Fault,
    params::QueryParam,
    scalars::{Sc, Scalar},
};
use app::ports::queries::{self, Paged};
use poem_openapi::{
    Object,
    registry::MetaSchema,
    types::{ParseFromJSON, ToJSON},
};
use serde::Serialize;
use serde_json::Value;

/// How many rows one page holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u16);

/// The query parameter `limit`.
pub type LimitParam = QueryParam<Option<Sc<Limit>>>;

impl Limit {
    const MAX: u16 = 100;
    const DEFAULT: Self = Self(20);
}

/// The query parameter `starting_after`.
pub type AfterParam<T> = QueryParam<Option<Sc<T>>>;

/// The page that the two parameters ask for.
pub fn page_of<T>(limit: LimitParam, starting_after: AfterParam<T>) -> queries::Page<T> {
    let limit = limit.0.map_or(Limit::DEFAULT, |limit| limit.0);
    queries::Page { limit: u32::from(limit.0), after: starting_after.0.map(|after| after.0) }
}

impl Scalar for Limit {
    const NAME: &'static str = "PageLimit";
    const TYPE: &'static str = "integer";

    fn describe(schema: &mut MetaSchema) {
        schema.description = Some("How many entries a page holds at most.");
        schema.minimum = Some(1.0);
        schema.maximum = Some(f64::from(Self::MAX));
        schema.default = Some(Self::DEFAULT.wire());
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::wrong_type("a whole number", "anything else"));
        }
        match text.parse() {
            Ok(rows @ 1..=Self::MAX) => Ok(Self(rows)),
            _ => Err(Fault::out_of_range(format!("This must be 1 to {}.", Self::MAX))),
        }
    }

    fn wire(&self) -> Value {
        self.0.into()
    }
}

/// One page of a list.
#[derive(Debug, Object, Serialize)]
pub struct Page<T: ParseFromJSON + ToJSON> {
    /// The entries, in the order of the list.
    pub data: Vec<T>,
    /// Whether there are more after the last one.
    pub has_more: bool,
}

impl<T: ParseFromJSON + ToJSON> From<Paged<T>> for Page<T> {
    fn from(paged: Paged<T>) -> Self {
        Self { data: paged.data, has_more: paged.has_more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_to_a_hundred() {
        let parse = |text: &str| Limit::parse(text).map(|limit| limit.0).map_err(|fault| fault.code);
        assert_eq!((parse("1"), parse("100"), parse("007")), (Ok(1), Ok(100), Ok(7)));
        for text in ["0", "101", "99999999999999999999"] {
            assert_eq!(parse(text), Err("out_of_range"), "{text}");
        }
        for text in ["", "-1", "+1", "1.0", "1e1", "x", " 1"] {
            assert_eq!(parse(text), Err("wrong_type"), "{text}");
        }
    }
}
