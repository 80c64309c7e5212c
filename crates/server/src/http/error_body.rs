//! The one body of every error, as it is written and as the specification shows it.

use super::{context, problem::ApiError};
use app::failure::Detail;
use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::Serialize;
use serde_json::Value;
use std::{borrow::Cow, marker::PhantomData};

/// What every error answer holds.
#[derive(Debug, Object, Serialize)]
pub struct ErrorBody {
    /// The error.
    error: ErrorContent,
}

/// What went wrong.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "Error", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct ErrorContent {
    /// Stable word for programs.
    code: String,
    /// What is wrong and what to do about it, for people.
    message: String,
    /// Every fault found, where there can be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Vec<ErrorDetail>>,
    /// What stands in the way of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    existing: Option<Open<Existing>>,
    /// Finds the log line; also in the header X-Request-Id.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// One fault among several.
#[derive(Debug, Object, Serialize)]
struct ErrorDetail {
    /// Stable word for programs.
    code: String,
    /// JSON pointer to the offending part of the body, or `/name` of a parameter; empty for the whole.
    field: String,
    /// What is wrong and what to do about it, for people.
    message: String,
    /// Figures for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Open<Figures>>,
}

impl ErrorBody {
    /// The body of an error, listing so many of its faults.
    pub fn of(error: &ApiError, details_max: usize) -> Self {
        let listed: Vec<_> = error.details.iter().take(details_max).map(ErrorDetail::of).collect();
        let mut message = error.message.clone();
        if listed.len() < error.details.len() {
            message.push_str(&format!(" The first {} are listed.", listed.len()));
        }
        Self {
            error: ErrorContent {
                code: error.code.to_owned(),
                message,
                details: (!listed.is_empty()).then_some(listed),
                existing: error.existing.clone().map(Open::new),
                request_id: context::request_id(),
            },
        }
    }
}

impl ErrorDetail {
    fn of(detail: &Detail) -> Self {
        Self {
            code: detail.code.to_owned(),
            field: detail.field.clone(),
            message: detail.message.clone(),
            meta: detail.meta.clone().map(Open::new),
        }
    }
}

/// An object that may hold more than its schema names: which figures there are depends on the code.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Open<S> {
    value: Value,
    #[serde(skip)]
    shape: PhantomData<S>,
}

/// What an open object holds at times.
trait Shape: Send + Sync {
    fn properties() -> Vec<(&'static str, MetaSchemaRef)>;
}

#[derive(Debug)]
struct Figures;

impl Shape for Figures {
    fn properties() -> Vec<(&'static str, MetaSchemaRef)> {
        Vec::new()
    }
}

#[derive(Debug)]
struct Existing;

impl Shape for Existing {
    fn properties() -> Vec<(&'static str, MetaSchemaRef)> {
        vec![
            ("reversalId", String::schema_ref()),
            ("batchId", String::schema_ref()),
            ("status", String::schema_ref()),
            ("requestMatches", bool::schema_ref()),
        ]
    }
}

impl<S> Open<S> {
    fn new(value: Value) -> Self {
        Self { value, shape: PhantomData }
    }
}

impl<S: Shape> Type for Open<S> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "object".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            properties: S::properties(),
            additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
            ..MetaSchema::new("object")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<S: Shape> ParseFromJSON for Open<S> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self::new(value.unwrap_or_default()))
    }
}

impl<S: Shape> ToJSON for Open<S> {
    fn to_json(&self) -> Option<Value> {
        Some(self.value.clone())
    }
}
