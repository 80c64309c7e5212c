//! Sets what must be true before a batch is paid: who says yes to what, and when it is time.

use super::act::Acting;
use crate::{
    RACES_MAX,
    change::{Change, New, PolicyVersion},
    failure::{Class, Detail, Failure},
    job::{Job, JobKind},
    ports::{CommitError, DuplicateKey, StoreError},
};
use domain::{
    event::Event,
    ids::{EventId, JobId, Requester},
    policy::{PolicyFault, PolicySpec},
};
use serde_json::json;

/// Why it was not done, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum SetPolicyError {
    /// The policy has faults.
    #[error("{} things in the policy are wrong; see details", .0.len())]
    Invalid(Vec<PolicyFault>),
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<StoreError> for SetPolicyError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl Failure for SetPolicyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "validation_error",
            Self::Commit(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Invalid(_) => Class::Invalid,
            Self::Commit(error) => error.class(),
        }
    }
    fn details(&self) -> Vec<Detail> {
        let Self::Invalid(faults) = self else { return Vec::new() };
        let detail = |fault: &PolicyFault| Detail {
            code: fault.code.as_str(),
            field: fault.pointer.clone(),
            message: fault.message.clone(),
            meta: None,
        };
        faults.iter().map(detail).collect()
    }
}

/// Sets the policy. Saying the same again changes nothing. Every batch that is still to be paid is looked at anew by a
/// job of the same commit.
///
/// # Errors
/// See [`SetPolicyError`].
pub async fn set_policy(
    acting: Acting<'_>,
    spec: PolicySpec,
    requester: Requester,
) -> Result<PolicyVersion, SetPolicyError> {
    spec.check().map_err(SetPolicyError::Invalid)?;
    let mut races = 0;
    loop {
        let before = acting.repository.policy().await?;
        if let Some(same) = before.as_ref().filter(|before| before.spec == spec) {
            return Ok(same.clone());
        }
        let version = before.as_ref().map_or(0, |before| before.version) + 1;
        let policy = PolicyVersion { version, spec: spec.clone(), set_by: requester.clone(), set_at: acting.now };
        let said = |version: &PolicyVersion| json!(version.spec);
        let change = Change {
            insert: vec![New::Policy(policy.clone())],
            enqueue: vec![Job {
                id: JobId::new(acting.ids.fresh()),
                kind: JobKind::ApplyPolicy(version),
                run_at: acting.now,
            }],
            publish: vec![Event::policy_changed(EventId::new(acting.ids.fresh()), version, acting.now)],
            audit: vec![acting.audit(
                "policy.set",
                format!("policy_{version}"),
                before.as_ref().map(said),
                Some(said(&policy)),
            )],
            ..Change::default()
        };
        match acting.repository.commit(change).await {
            Ok(()) => return Ok(policy),
            Err(CommitError::Duplicate(DuplicateKey::Policy(_))) if races < RACES_MAX => races += 1,
            Err(error) => return Err(error.into()),
        }
    }
}
