//! Somebody says yes to a batch: to exactly what would be paid of it now, item by item.

use super::{
    act::{ActError, Acted, Acting},
    batch_work::BatchWork,
    conclude::Contradiction,
    plan::{Plan, destination_of, policy_in_force},
};
use crate::{
    RACES_MAX,
    change::{Change, New},
    failure::{Class, Failure},
    idempotency::{Remembering, claim_key::ClaimKeyError},
    job::Job,
    ports::{CommitError, DuplicateKey, PayoutRepository, Rails, StoreError, repository::BatchForExecution},
};
use domain::{
    approval::{Approval, ContentHash, destination_hash},
    event::Event,
    ids::{BatchId, EventId, ItemId, Requester},
    timestamp::Timestamp,
};
use serde_json::json;

/// What is asked.
#[derive(Clone, Debug)]
pub struct ApproveBatch {
    /// Which batch.
    pub batch: BatchId,
    /// What the approver saw, if they say: then nothing else is approved.
    pub hash: Option<ContentHash>,
    /// Who says yes.
    pub approver: Requester,
}

/// Why it was not taken, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum ApproveBatchError {
    /// As any action.
    #[error(transparent)]
    Act(#[from] ActError),
    /// Nobody must say yes, or enough people have.
    #[error("no approval of the batch is missing")]
    NotNeeded,
    /// Whoever made it does not check it.
    #[error("`{0}` made a part of this ({1}): somebody else must approve it")]
    MakerIsChecker(Requester, &'static str),
    /// The policy names who may approve.
    #[error("the policy names who may approve, and `{0}` is not among them")]
    NotAnApprover(Requester),
    /// Something changed since the approver looked.
    #[error("what would be paid changed since you looked; look again: it is {now} now")]
    ContentChanged {
        /// What there is to say yes to now.
        now: ContentHash,
    },
    /// They said yes to this before.
    #[error("`{0}` approved this before")]
    AlreadyApproved(Requester),
}

impl From<CommitError> for ApproveBatchError {
    fn from(error: CommitError) -> Self {
        Self::Act(error.into())
    }
}
impl From<StoreError> for ApproveBatchError {
    fn from(error: StoreError) -> Self {
        Self::Act(error.into())
    }
}

impl Failure for ApproveBatchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Act(error) => error.code(),
            Self::NotNeeded => "approval_not_needed",
            Self::MakerIsChecker(..) => "maker_is_checker",
            Self::NotAnApprover(_) => "not_an_approver",
            Self::ContentChanged { .. } => "content_changed",
            Self::AlreadyApproved(_) => "already_approved",
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Act(error) => error.class(),
            Self::MakerIsChecker(..) | Self::NotAnApprover(_) => Class::Refused,
            Self::NotNeeded | Self::ContentChanged { .. } | Self::AlreadyApproved(_) => Class::Conflict,
        }
    }
}

/// Takes an approval. If it was the last that was missing, the batch is executed when it is due.
///
/// # Errors
/// See [`ApproveBatchError`].
pub async fn approve_batch(
    acting: Acting<'_>,
    ask: ApproveBatch,
    remember: &Remembering<Acted>,
) -> Result<Acted, ApproveBatchError> {
    let mut races = 0;
    loop {
        let (acted, change) = decide(acting, &ask).await?;
        match acting.repository.commit(Change { remember: remember.of(&acted), ..change }).await {
            Ok(()) => return Ok(acted),
            Err(CommitError::Duplicate(DuplicateKey::Approval(_))) => {
                return Err(ApproveBatchError::AlreadyApproved(ask.approver));
            }
            Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)) => {
                return Err(ActError::from(ClaimKeyError::Reused).into());
            }
            Err(CommitError::Stale) if races < RACES_MAX => races += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn decide(acting: Acting<'_>, ask: &ApproveBatch) -> Result<(Acted, Change), ApproveBatchError> {
    let mut found = acting.batch(ask.batch).await?;
    let plan = Plan::read(acting.repository, acting.rails, &found, acting.now).await?;
    if !plan.approvals().are_missing() {
        // What asked for it may be gone since the batch was last looked at: then it is looked at now.
        let wake = Job::of(&found.batch.value, plan.due_at().max(acting.now));
        acting.repository.commit(Change { wake: vec![wake], ..Change::default() }).await?;
        return Err(ApproveBatchError::NotNeeded);
    }
    refuse_makers(acting, &found, &plan, &ask.approver).await?;
    let policy = policy_in_force(acting.repository).await?;
    if !policy.approval.approvers.is_empty() && !policy.approval.approvers.contains(&ask.approver) {
        return Err(ApproveBatchError::NotAnApprover(ask.approver.clone()));
    }
    let now = ContentHash::of_all(plan.content());
    if ask.hash.is_some_and(|seen| seen != now) {
        return Err(ApproveBatchError::ContentChanged { now });
    }
    let counts = |approval: &Approval| {
        *approval.approver() == ask.approver
            && approval.items() == plan.content()
            && approval.is_valid(&policy.approval, acting.now)
    };
    let maker = found.batch.value.scheduled_by.clone();
    let (content, note) = (plan.content().clone(), acting.actor.note.clone());
    let approval = Approval::try_new(ask.batch, maker, ask.approver.clone(), content, note, acting.now)
        .map_err(|_| ApproveBatchError::MakerIsChecker(ask.approver.clone(), "the batch"))?;
    if found.approvals.iter().any(counts) {
        return Err(ApproveBatchError::AlreadyApproved(ask.approver.clone()));
    }
    let before = found.batch.value.approvals;
    found.approvals.push(approval.clone());
    let plan = Plan::read(acting.repository, acting.rails, &found, acting.now).await?;

    let mut work = BatchWork::new(found.batch, found.items, acting.actor.clone(), acting.ids);
    work.plan(plan.due_at(), plan.approvals());
    work.touch();
    let mut change = work.take_change(None, acting.now);
    let batch = work.batch().clone();
    change.insert.push(New::Approval(approval));
    change.publish.push(Event::approval_given(EventId::new(acting.ids.fresh()), &batch, &ask.approver, acting.now));
    change.audit.push(acting.audit(
        "batch.approve",
        ask.batch,
        Some(json!({ "given": before.given, "required": before.required })),
        Some(json!({ "given": batch.approvals.given, "required": batch.approvals.required, "hash": now })),
    ));
    if !batch.approvals.are_missing() {
        change.wake.push(Job::of(&batch, batch.due_at.max(acting.now)));
    }
    let items: Vec<ItemId> = plan.content().keys().copied().collect();
    Ok((Acted::of(&work, &items, Vec::new()), change))
}

/// Whoever scheduled the batch made it; whoever set where the money goes made that part of it.
async fn refuse_makers(
    acting: Acting<'_>,
    found: &BatchForExecution,
    plan: &Plan,
    approver: &Requester,
) -> Result<(), ApproveBatchError> {
    if found.batch.value.scheduled_by == *approver {
        return Err(ApproveBatchError::MakerIsChecker(approver.clone(), "the batch"));
    }
    let unsent = found.items.iter().map(|stored| &stored.value).filter(|item| plan.content().contains_key(&item.id));
    let recipients: Vec<_> = unsent.map(|item| item.recipient.clone()).collect();
    let known = acting.repository.recipients(&recipients).await?;
    let paid = acting.repository.paid_destinations(&recipients).await?;
    for stored in known.iter().filter(|stored| stored.value.destination_set_by == *approver) {
        let destination = destination_hash(&destination_of(Some(&stored.value), acting.rails));
        let was_paid = paid.iter().any(|paid| paid.recipient == stored.value.id && paid.destination == destination);
        // What was paid to before was checked before.
        if !was_paid {
            return Err(ApproveBatchError::MakerIsChecker(approver.clone(), "where the money goes"));
        }
    }
    Ok(())
}

/// What there is to say yes to, if somebody must: what an approver sends back to approve exactly this.
///
/// # Errors
/// If the store cannot be used.
pub async fn content_to_approve(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    batch: BatchId,
    now: Timestamp,
) -> Result<Option<ContentHash>, StoreError> {
    let Some(found) = repository.batch_for_execution(batch).await? else { return Ok(None) };
    let plan = Plan::read(repository, rails, &found, now).await?;
    Ok(plan.approvals().are_missing().then(|| ContentHash::of_all(plan.content())))
}

impl From<Contradiction> for ApproveBatchError {
    fn from(error: Contradiction) -> Self {
        Self::Act(error.into())
    }
}
