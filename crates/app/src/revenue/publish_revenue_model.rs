//! Stores a new, immutable version of a project's revenue model.

use super::{SplitInvalid, split};
use crate::{
    RACES_MAX,
    change::{Change, New},
    failure::{Class, Detail, Failure},
    ports::{CommitError, DuplicateKey, Ids, PayoutRepository, StoreError},
};
use domain::{
    event::Event,
    ids::{EventId, ProjectId, Requester},
    revenue_model::{ModelSpec, ModelStatus, ModelVersion},
    timestamp::Timestamp,
};

/// What is asked.
#[derive(Clone, Debug)]
pub struct PublishRevenueModel {
    /// Whose model. Storing the first one makes the project known.
    pub project: ProjectId,
    /// The number the caller expects the version to have, if they say so.
    pub version: Option<u32>,
    /// To be used, or only kept.
    pub status: ModelStatus,
    /// First instant at which money is earned under it; now, if absent.
    pub effective_from: Option<Timestamp>,
    /// First instant, if any, at which it no longer is.
    pub effective_to: Option<Timestamp>,
    /// The model.
    pub spec: ModelSpec,
    /// Who asks.
    pub requester: Requester,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The version.
    pub version: ModelVersion,
    /// Whether it is new, or the same model was the newest version already.
    pub new: bool,
    /// Its faults, which only a draft can have.
    pub faults: Vec<Detail>,
}

/// Why it was not stored, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum PublishRevenueModelError {
    /// The model has faults, and is no draft.
    #[error(transparent)]
    Split(#[from] SplitInvalid),
    /// The period ends before it starts.
    #[error("the period must end after it starts")]
    EmptyPeriod,
    /// The number given is not the number the version would get.
    #[error("the next version is {expected}, not {given}")]
    VersionConflict {
        /// The number that was given.
        given: u32,
        /// The number that the version would get.
        expected: u32,
    },
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<StoreError> for PublishRevenueModelError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl Failure for PublishRevenueModelError {
    fn code(&self) -> &'static str {
        match self {
            Self::Split(error) => error.code(),
            Self::EmptyPeriod => "validation_error",
            Self::VersionConflict { .. } => "model_version_conflict",
            Self::Commit(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Split(error) => error.class(),
            Self::EmptyPeriod => Class::Invalid,
            Self::VersionConflict { .. } => Class::Conflict,
            Self::Commit(error) => error.class(),
        }
    }
    fn details(&self) -> Vec<Detail> {
        match self {
            Self::Split(error) => error.details(),
            Self::EmptyPeriod => vec![Detail {
                code: "out_of_range",
                field: "/effectiveTo".to_owned(),
                message: "must lie after `effectiveFrom`".to_owned(),
                meta: None,
            }],
            Self::VersionConflict { .. } | Self::Commit(_) => Vec::new(),
        }
    }
}

/// Stores a version, or finds that the newest one is the same.
///
/// # Errors
/// See [`PublishRevenueModelError`].
pub async fn publish_revenue_model(
    repository: &dyn PayoutRepository,
    ids: &dyn Ids,
    now: Timestamp,
    ask: PublishRevenueModel,
) -> Result<Published, PublishRevenueModelError> {
    let faults = ask.spec.check().err().map(|faults| split::details(faults, "")).unwrap_or_default();
    if !faults.is_empty() && ask.status == ModelStatus::Active {
        return Err(SplitInvalid::Model(faults).into());
    }
    if ask.effective_to.is_some_and(|end| end <= ask.effective_from.unwrap_or(now)) {
        return Err(PublishRevenueModelError::EmptyPeriod);
    }
    let mut races = 0;
    loop {
        let newest = repository.newest_model(&ask.project).await?;
        if let Some(same) = newest.as_ref().filter(|newest| is_same(newest, &ask)) {
            return Ok(Published { version: same.clone(), new: false, faults });
        }
        let version = next(newest.as_ref(), &ask, now)?;
        let change = Change {
            publish: vec![Event::model_stored(EventId::new(ids.fresh()), &version)],
            insert: vec![New::ModelVersion(version.clone())],
            ..Change::default()
        };
        match repository.commit(change).await {
            Ok(()) => return Ok(Published { version, new: true, faults }),
            Err(CommitError::Duplicate(DuplicateKey::ModelVersion(..))) if races < RACES_MAX => races += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The same model, to be used at the same time. Only the newest version counts: to go back to an older one
/// is a change.
fn is_same(newest: &ModelVersion, ask: &PublishRevenueModel) -> bool {
    newest.hash == ask.spec.hash()
        && newest.status == ask.status
        && ask.effective_from.is_none_or(|from| from == newest.effective_from)
        && ask.effective_to == newest.effective_to
        && ask.version.is_none_or(|version| version == newest.version)
}

fn next(
    newest: Option<&ModelVersion>,
    ask: &PublishRevenueModel,
    now: Timestamp,
) -> Result<ModelVersion, PublishRevenueModelError> {
    let expected = newest.map_or(1, |newest| newest.version + 1);
    if let Some(given) = ask.version.filter(|given| *given != expected) {
        return Err(PublishRevenueModelError::VersionConflict { given, expected });
    }
    Ok(ModelVersion {
        project: ask.project.clone(),
        version: expected,
        status: ask.status,
        effective_from: ask.effective_from.unwrap_or(now),
        effective_to: ask.effective_to,
        hash: ask.spec.hash(),
        spec: ask.spec.clone(),
        created_by: ask.requester.clone(),
        created_at: now,
    })
}
