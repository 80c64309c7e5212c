//! What an amount would come to, without writing anything.

use super::{
    SplitInvalid, check,
    facts::{Facts, Known, Occasion},
    split_error,
};
use crate::{
    failure::{Class, Detail, Failure},
    ports::{Ids, PayoutRepository, Rails, StoreError, repository::InForce},
};
use domain::{
    calculation::{self, Calculation, CalculationError, Counter, Deduction, LawBroken, Movement},
    day::Day,
    ids::{CalculationId, ProjectId, RecipientId},
    money::Money,
    revenue_model::{Counted, ModelHash, ModelSpec, RevenueModel},
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
    /// What is taken off before the split.
    pub deductions: Vec<Deduction>,
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
    /// Grows whenever anything that was counted moves.
    pub ledger_version: u64,
    /// The breakdown.
    pub calculation: Calculation,
    /// What would be counted: the counter, whose line moves it, and how far.
    pub movements: Vec<(String, Option<RecipientId>, i64)>,
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
    let model = if project.is_some() { check(&spec, at)? } else { check_inline(&spec, at)? };
    let day = Day::of(as_of);
    let occasion = Occasion { project: project.as_ref().zip(model_version), currency: ask.amount.currency, day };
    let facts = Facts::read(repository, rails, &model, occasion, Known::default()).await?;
    let calculation = facts.calculate(&model, ask.amount, &ask.deductions, ask.detail)?;
    let name = |step: &Movement| facts.key(step).map_or_else(|| counter_name(&model, step), |key| key.to_string());
    let movements = calculation.movements.iter().map(|step| (name(step), step.recipient.clone(), step.add)).collect();
    Ok(Calculated {
        id: CalculationId::new(ids.fresh()),
        project,
        model_version,
        model_hash: spec.hash(),
        as_of,
        ledger_version: facts.ledger_version(),
        calculation,
        movements,
    })
}

/// An inline model is tried, not stored: nothing of it is counted from release to release, so its steps need no key.
fn check_inline(spec: &ModelSpec, at: &str) -> Result<RevenueModel, SplitInvalid> {
    check(&spec.with_keys(), at).or_else(|_| check(spec, at))
}

/// What an inline model would count, if it were stored.
fn counter_name(model: &RevenueModel, step: &Movement) -> String {
    let Counter::Model(place) = &step.counter else { return String::new() };
    match model.counted().get(*place) {
        Some(Counted::Recouped { key, .. }) => format!("recouped:{key}"),
        Some(Counted::CrossRecouped { id, .. }) => format!("cross_recouped:{id}"),
        Some(Counted::Fixed { key }) => format!("fixed:{key}"),
        Some(Counted::Lifetime { key, .. }) => format!("lifetime:{key}"),
        Some(Counted::Cumulative { key, .. }) => format!("cumulative:{key}"),
        Some(Counted::FeeBase { .. }) => "fee_base".to_owned(),
        Some(Counted::Residue { step, .. }) => format!("residue:{step}"),
        Some(Counted::Sequence) => "sequence".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, down, now, rail, rails, recipient, seventy_thirty, spec, usd, version},
        ports::repository::MockPayoutRepository,
    };
    use domain::recipient::RecipientStatus;

    fn ask(model: ModelChoice) -> CalculateRevenue {
        CalculateRevenue {
            model,
            amount: usd(200_000),
            as_of: None,
            deductions: vec![],
            detail: calculation::Detail::Full,
        }
    }
    fn of_project() -> CalculateRevenue {
        ask(ModelChoice::Project("prj_1".parse().unwrap()))
    }
    fn inline(json: &str) -> CalculateRevenue {
        ask(ModelChoice::Inline(Box::new(spec(json))))
    }
    fn with_model(in_force: InForce) -> MockPayoutRepository {
        let mut repository = MockPayoutRepository::new();
        repository.expect_model_in_force().returning(move |_, _| Ok(in_force.clone()));
        repository.expect_recipients().returning(|_| Ok(vec![recipient("rec_ben", RecipientStatus::Pending)]));
        repository.expect_counters().returning(|_| Ok(vec![]));
        repository
    }
    async fn calculate(
        repository: &MockPayoutRepository,
        ask: CalculateRevenue,
    ) -> Result<Calculated, CalculateRevenueError> {
        calculate_revenue(repository, &rails(rail("simulator", true)), &Counting::default(), now(), ask).await
    }

    /// The repository expects no commit: to write would be a panic.
    #[tokio::test]
    async fn a_stored_model_is_used_with_what_is_known_of_its_recipients_and_nothing_is_written() {
        let repository = with_model(InForce::Version(Box::new(version(seventy_thirty()))));
        let calculated = calculate(&repository, of_project()).await.unwrap();
        let totals = calculated.calculation.totals;
        assert_eq!((totals.net_minor, totals.held_minor, totals.payable_minor), (190_000, 57_000, 133_000));
        assert_eq!((calculated.model_version, calculated.as_of), (Some(3), now()));
    }

    #[tokio::test]
    async fn an_inline_model_needs_no_project() {
        let repository = with_model(InForce::ProjectUnknown);
        let one = r#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_ana","weight":1}]}]}"#;
        let calculated = calculate(&repository, inline(one)).await.unwrap();
        assert_eq!((calculated.project, calculated.model_version), (None, None));
        let error = calculate(&repository, inline(r#"{"steps":[]}"#)).await.unwrap_err();
        assert_eq!((error.code(), error.details()[0].field.as_str()), ("split_invalid", "/revenueModel/steps"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_apart() {
        let code = async |in_force| calculate(&with_model(in_force), of_project()).await.unwrap_err().code();
        assert_eq!(code(InForce::ProjectUnknown).await, "project_not_found");
        assert_eq!(code(InForce::Nothing).await, "split_invalid");
    }

    #[tokio::test]
    async fn every_failure_of_the_store_is_unavailable() {
        let mut repository = MockPayoutRepository::new();
        repository.expect_model_in_force().returning(|_, _| Err(down()));
        assert_eq!(calculate(&repository, of_project()).await.unwrap_err().class(), Class::Unavailable);

        let mut repository = MockPayoutRepository::new();
        repository.expect_model_in_force().returning(|_, _| Ok(InForce::Version(Box::new(version(seventy_thirty())))));
        repository.expect_recipients().returning(|_| Err(down()));
        assert_eq!(calculate(&repository, of_project()).await.unwrap_err().class(), Class::Unavailable);
    }
}
