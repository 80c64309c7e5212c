//! Stores a new, immutable version of a project's revenue model.

use super::{SplitInvalid, split};
use crate::{
    RACES_MAX,
    change::{Change, New},
    failure::{Class, Detail, Failure},
    ports::{CommitError, DuplicateKey, Ids, PayoutRepository, StoreError},
};
use domain::{
    audit::{Actor, AuditEntry},
    event::Event,
    ids::{AuditId, EventId, ProjectId, Requester},
    revenue_model::{ModelSpec, ModelStatus, ModelVersion},
    timestamp::Timestamp,
};
use serde_json::json;

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
    let mut races = 0;
    loop {
        let newest = repository.newest_model(&ask.project).await?;
        if let Some(same) = newest.as_ref().filter(|newest| is_same(newest, &ask)) {
            return Ok(Published { version: same.clone(), new: false, faults });
        }
        let version = next(newest.as_ref(), &ask, now)?;
        let said = json!({ "version": version.version, "status": version.status.as_str(), "hash": version.hash });
        let (id, actor) = (AuditId::new(ids.fresh()), Actor::of(&ask.requester));
        let change = Change {
            audit: vec![AuditEntry::made(id, actor, "model.publish", &version.project, said, now)],
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
    if ask.effective_to.is_some_and(|end| end <= ask.effective_from.unwrap_or(now)) {
        return Err(PublishRevenueModelError::EmptyPeriod);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, down, now, seventy_thirty, spec, version},
        ports::repository::MockPayoutRepository,
    };

    fn ask(spec: ModelSpec) -> PublishRevenueModel {
        PublishRevenueModel {
            project: "prj_1".parse().unwrap(),
            version: None,
            status: ModelStatus::Active,
            effective_from: None,
            effective_to: None,
            spec,
            requester: "usr_1".parse().unwrap(),
        }
    }
    fn other() -> ModelSpec {
        spec(r#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_ana","weight":1}]}]}"#)
    }
    fn faulty() -> ModelSpec {
        spec(r#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_ana","percent":"70"}]}]}"#)
    }
    /// A repository whose newest version is this.
    fn with_newest(newest: Option<ModelVersion>) -> MockPayoutRepository {
        let mut repository = MockPayoutRepository::new();
        repository.expect_newest_model().returning(move |_| Ok(newest.clone()));
        repository
    }
    async fn publish(
        repository: &MockPayoutRepository,
        ask: PublishRevenueModel,
    ) -> Result<Published, PublishRevenueModelError> {
        publish_revenue_model(repository, &Counting::default(), now(), ask).await
    }
    fn accepting(mut repository: MockPayoutRepository) -> MockPayoutRepository {
        repository.expect_commit().once().returning(|change| {
            assert_eq!((change.insert.len(), change.publish.len()), (1, 1));
            Ok(())
        });
        repository
    }

    #[tokio::test]
    async fn the_first_model_is_version_one_and_a_change_is_the_next() {
        let first = publish(&accepting(with_newest(None)), ask(seventy_thirty())).await.unwrap();
        assert_eq!((first.version.version, first.new, first.version.effective_from), (1, true, now()));
        let next = publish(&accepting(with_newest(Some(version(seventy_thirty())))), ask(other())).await.unwrap();
        assert_eq!((next.version.version, next.new), (4, true));
    }

    #[tokio::test]
    async fn the_same_model_again_is_the_same_version() {
        let same = publish(&with_newest(Some(version(seventy_thirty()))), ask(seventy_thirty())).await.unwrap();
        assert_eq!((same.version.version, same.new), (3, false));
    }

    #[tokio::test]
    async fn the_same_model_is_the_same_version_also_after_its_period() {
        let ended = ModelVersion { effective_to: Some(now()), ..version(seventy_thirty()) };
        let again = PublishRevenueModel { effective_to: Some(now()), ..ask(seventy_thirty()) };
        assert!(!publish(&with_newest(Some(ended)), again).await.unwrap().new);
    }

    #[tokio::test]
    async fn the_same_model_for_another_time_or_use_is_another_version() {
        let from = PublishRevenueModel { effective_from: Some(now()), ..ask(seventy_thirty()) };
        let to = PublishRevenueModel { effective_to: Some(domain::timestamp::Timestamp::MAX), ..ask(seventy_thirty()) };
        let draft = PublishRevenueModel { status: ModelStatus::Draft, ..ask(seventy_thirty()) };
        for ask in [from, to, draft] {
            assert!(publish(&accepting(with_newest(Some(version(seventy_thirty())))), ask).await.unwrap().new);
        }
    }

    #[tokio::test]
    async fn a_model_with_faults_is_refused_unless_it_is_a_draft() {
        let error = publish(&with_newest(None), ask(faulty())).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("split_invalid", Class::Invalid));
        assert_eq!(error.details()[0].code, "share_sum_not_100");

        let draft = PublishRevenueModel { status: ModelStatus::Draft, ..ask(faulty()) };
        let stored = publish(&accepting(with_newest(None)), draft).await.unwrap();
        assert_eq!(stored.faults[0].code, "share_sum_not_100");
    }

    #[tokio::test]
    async fn a_number_that_does_not_fit_is_a_conflict_and_a_period_that_is_none_is_invalid() {
        let wrong = PublishRevenueModel { version: Some(9), ..ask(other()) };
        let error = publish(&with_newest(Some(version(seventy_thirty()))), wrong).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("model_version_conflict", Class::Conflict));

        let empty = PublishRevenueModel { effective_to: Some(now()), ..ask(other()) };
        let error = publish(&with_newest(None), empty).await.unwrap_err();
        assert_eq!((error.code(), error.details()[0].field.as_str()), ("validation_error", "/effectiveTo"));
    }

    #[tokio::test]
    async fn who_loses_the_race_for_a_number_takes_the_next_but_not_for_ever() {
        let taken = || Err(CommitError::Duplicate(DuplicateKey::ModelVersion("prj_1".parse().unwrap(), 1)));
        let mut repository = with_newest(None);
        let mut commits = 0;
        repository.expect_commit().times(2).returning(move |_| {
            commits += 1;
            if commits == 1 { taken() } else { Ok(()) }
        });
        assert!(publish(&repository, ask(other())).await.unwrap().new);

        let mut unlucky = with_newest(None);
        unlucky.expect_commit().returning(move |_| taken());
        assert_eq!(publish(&unlucky, ask(other())).await.unwrap_err().class(), Class::Unavailable);
    }

    #[tokio::test]
    async fn every_failure_of_the_store_is_unavailable() {
        let mut repository = MockPayoutRepository::new();
        repository.expect_newest_model().returning(|_| Err(down()));
        assert_eq!(publish(&repository, ask(other())).await.unwrap_err().code(), "unavailable");

        let mut repository = with_newest(None);
        repository.expect_commit().returning(|_| Err(down().into()));
        assert_eq!(publish(&repository, ask(other())).await.unwrap_err().code(), "unavailable");
    }
}
