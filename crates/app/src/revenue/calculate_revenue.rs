//! What an amount would come to, without writing anything.

use super::{SplitInvalid, check, parties, split_error};
use crate::{
    failure::{Class, Detail, Failure},
    ports::{Ids, PayoutRepository, Rails, StoreError, repository::InForce},
};
use domain::{
    calculation::{self, Calculation, CalculationError, LawBroken, Request},
    ids::{CalculationId, ProjectId},
    money::Money,
    revenue_model::{ModelHash, ModelSpec},
    timestamp::Timestamp,
};

/// What is asked.
#[derive(Clone, Debug)]
pub struct CalculateRevenue {
    /// Whose model.
    pub model: ModelChoice,
    /// What would be released; greater than zero.
    pub amount: Money,
    /// When it would have been earned; now, if absent.
    pub as_of: Option<Timestamp>,
    /// How much is explained.
    pub detail: calculation::Detail,
}

/// The model to use.
#[derive(Clone, Debug)]
pub enum ModelChoice {
    /// The one in force for this project.
    Project(ProjectId),
    /// This one.
    Inline(Box<ModelSpec>),
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calculated {
    /// Names this run.
    pub id: CalculationId,
    /// Whose model it was; absent for an inline one.
    pub project: Option<ProjectId>,
    /// Which version; absent for an inline one.
    pub model_version: Option<u32>,
    /// The hash of the model.
    pub model_hash: ModelHash,
    /// When the money would have been earned.
    pub as_of: Timestamp,
    /// The breakdown.
    pub calculation: Calculation,
}

/// Why there is no answer, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum CalculateRevenueError {
    /// Nobody ever stored a model for the project.
    #[error("there is no project `{0}`; store a revenue model for it first")]
    ProjectNotFound(ProjectId),
    /// The model cannot split the amount.
    #[error(transparent)]
    Split(#[from] SplitInvalid),
    /// Our own fault.
    #[error(transparent)]
    Law(#[from] LawBroken),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for CalculateRevenueError {
    fn code(&self) -> &'static str {
        match self {
            Self::ProjectNotFound(_) => "project_not_found",
            Self::Split(error) => error.code(),
            Self::Law(_) => "server_error",
            Self::Store(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::ProjectNotFound(_) => Class::NotFound,
            Self::Split(error) => error.class(),
            Self::Law(_) => Class::Internal,
            Self::Store(error) => error.class(),
        }
    }
    fn details(&self) -> Vec<Detail> {
        if let Self::Split(error) = self { error.details() } else { Vec::new() }
    }
}

impl From<CalculationError> for CalculateRevenueError {
    fn from(error: CalculationError) -> Self {
        split_error(error).map_or_else(Self::Law, Self::Split)
    }
}

/// Calculates. Writes nothing.
///
/// # Errors
/// See [`CalculateRevenueError`].
pub async fn calculate_revenue(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    ids: &dyn Ids,
    now: Timestamp,
    ask: CalculateRevenue,
) -> Result<Calculated, CalculateRevenueError> {
    let as_of = ask.as_of.unwrap_or(now);
    let (project, model_version, spec, at) = match ask.model {
        ModelChoice::Inline(spec) => (None, None, *spec, "/revenueModel"),
        ModelChoice::Project(project) => match repository.model_in_force(&project, as_of).await? {
            InForce::ProjectUnknown => return Err(CalculateRevenueError::ProjectNotFound(project)),
            InForce::Nothing => return Err(SplitInvalid::NoEffectiveModel.into()),
            InForce::Version(found) => (Some(project), Some(found.version), found.spec, ""),
        },
    };
    let model = check(&spec, at)?;
    let parties = parties(repository, rails, &model).await?;
    let request = Request { amount: ask.amount, deductions: &[], model: &model, parties: &parties, detail: ask.detail };
    Ok(Calculated {
        id: CalculationId::new(ids.fresh()),
        project,
        model_version,
        model_hash: spec.hash(),
        as_of,
        calculation: calculation::calculate(request)?,
    })
}
