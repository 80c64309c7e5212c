//! `split_invalid`: a model that cannot split the amount, with every fault.

use crate::failure::{Class, Detail, Failure};
use domain::{
    calculation::{CalculationError, LawBroken},
    revenue_model::{Fault, ModelSpec, RevenueModel},
};
use serde_json::json;

/// A model that cannot split the amount.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SplitInvalid {
    /// The model has faults.
    #[error("the revenue model does not add up")]
    Model(Vec<Detail>),
    /// No active version covers the instant at which the money was earned.
    #[error("no revenue model of the project is in force at that time")]
    NoEffectiveModel,
    /// The model is bound to another currency.
    #[error("{0}")]
    CurrencyMismatch(String),
    /// More is taken off than was released.
    #[error("the deductions exceed the amount")]
    DeductionsExceedAmount,
}

impl Failure for SplitInvalid {
    fn code(&self) -> &'static str {
        "split_invalid"
    }
    fn class(&self) -> Class {
        Class::Invalid
    }
    fn details(&self) -> Vec<Detail> {
        let one =
            |code, field: &str| vec![Detail { code, field: field.to_owned(), message: self.to_string(), meta: None }];
        match self {
            Self::Model(details) => details.clone(),
            Self::NoEffectiveModel => one("no_effective_model", "/asOf"),
            Self::CurrencyMismatch(_) => one("currency_mismatch", "/currency"),
            Self::DeductionsExceedAmount => one("deductions_exceed_amount", "/deductions"),
        }
    }
}

/// The checked model, or all of its faults as details. `prefix` is where the model stands in the request.
pub(crate) fn check(spec: &ModelSpec, prefix: &str) -> Result<RevenueModel, SplitInvalid> {
    spec.check().map_err(|faults| SplitInvalid::Model(details(faults, prefix)))
}

pub(crate) fn details(faults: Vec<Fault>, prefix: &str) -> Vec<Detail> {
    let detail = |fault: Fault| Detail {
        code: fault.code.as_str(),
        field: format!("{prefix}{}", fault.pointer),
        message: fault.message,
        meta: fault.meta,
    };
    faults.into_iter().map(detail).collect()
}

/// What an error of the calculator means: the caller's fault, or ours.
pub(crate) fn split_error(error: CalculationError) -> Result<SplitInvalid, LawBroken> {
    match error {
        CalculationError::CurrencyMismatch { .. } => Ok(SplitInvalid::CurrencyMismatch(error.to_string())),
        CalculationError::DeductionsExceedAmount => Ok(SplitInvalid::DeductionsExceedAmount),
        CalculationError::LawBroken(law) => Err(law),
        CalculationError::CarriedOutOfRange => Ok(SplitInvalid::Model(vec![Detail {
            code: "amount_out_of_range",
            field: "/amount".to_owned(),
            message: error.to_string(),
            meta: None,
        }])),
        // Amounts are checked before they get here.
        CalculationError::AmountNotPositive => Ok(SplitInvalid::Model(vec![Detail {
            code: "amount_not_positive",
            field: "/amount".to_owned(),
            message: error.to_string(),
            meta: Some(json!({ "min": 1 })),
        }])),
    }
}
