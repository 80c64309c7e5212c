//! A fault in what a client sent, before it is known where it lies.
//!
//! Readers of single values return these; whoever knows the place turns them into a [`Detail`].

use app::failure::Detail;
use serde_json::Value;

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Stable `snake_case` word: clients match on it.
    pub code: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
    /// Figures a program may want.
    pub meta: Option<Value>,
}

impl Fault {
    /// A fault without figures.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), meta: None }
    }

    /// The same fault with figures for programs.
    #[must_use]
    pub fn with_meta(self, meta: Value) -> Self {
        Self { meta: Some(meta), ..self }
    }

    /// Nothing was sent where something has to be.
    pub fn required() -> Self {
        Self::new("required", "This is required.")
    }

    /// Another kind of value was sent than the one asked for.
    pub fn wrong_type(wanted: &str, found: &str) -> Self {
        Self::new("wrong_type", format!("This must be {wanted}, not {found}."))
    }

    /// The right kind of value, but too much or too little of it.
    pub fn out_of_range(message: impl Into<String>) -> Self {
        Self::new("out_of_range", message)
    }

    /// A text that is not of the form asked for.
    pub fn invalid_format(message: impl Into<String>) -> Self {
        Self::new("invalid_format", message)
    }

    /// The fault, now that it is known which field it lies in (a JSON pointer).
    pub fn at(self, field: impl Into<String>) -> Detail {
        Detail { code: self.code, field: field.into(), message: self.message, meta: self.meta }
    }
}
