//! A released escrow becomes a batch: split, booked, and queued, in one commit.

use crate::{
    RACES_MAX,
    change::{Change, New},
    failure::{Class, Detail, Failure},
    job::{Job, JobKind},
    ports::{CommitError, Ids, PayoutRepository, Rails, StoreError, repository::InForce},
    revenue::{SplitInvalid, check, parties, split_error},
};
use domain::{
    batch::{Approval, Attempted, Batch, BatchStatus, Fingerprint},
    calculation::{self, Calculation, CalculationError, Deduction, LawBroken, Line, Request},
    event::Event,
    ids::{BatchId, EscrowId, EventId, ItemId, JobId, MilestoneId, ProjectId, Requester, TransactionId},
    item::Item,
    ledger::{Unbalanced, postings},
    money::Money,
    revenue_model::ModelVersion,
    timestamp::Timestamp,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What is asked.
#[derive(Clone, Debug)]
pub struct SchedulePayouts {
    /// The release; it is booked at most once, ever.
    pub escrow: EscrowId,
    /// Whose revenue it is.
    pub project: ProjectId,
    /// What it was released for.
    pub milestone: Option<MilestoneId>,
    /// What was released; greater than zero.
    pub amount: Money,
    /// When it was earned; now, if absent. Chooses the version of the model.
    pub as_of: Option<Timestamp>,
    /// Not to be paid before this. What lies in the past means at once.
    pub execute_at: Option<Timestamp>,
    /// What is taken off before the split.
    pub deductions: Vec<Deduction>,
    /// Who asks.
    pub requester: Requester,
}

impl SchedulePayouts {
    /// What the request says, without who says it and when.
    fn fingerprint(&self) -> Fingerprint {
        let deduction = |deduction: &Deduction| json!({ "type": deduction.kind, "amount": deduction.amount_minor, "reference": deduction.reference });
        let facts = json!({
            "escrowId": self.escrow,
            "projectId": self.project,
            "milestoneId": self.milestone,
            "amount": self.amount.amount_minor,
            "currency": self.amount.currency,
            "asOf": self.as_of,
            "executeAt": self.execute_at,
            "deductions": self.deductions.iter().map(deduction).collect::<Vec<_>>(),
        });
        Fingerprint(Sha256::digest(facts.to_string().as_bytes()).into())
    }
}

/// Why nothing was booked, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum SchedulePayoutsError {
    /// The escrow became a batch before.
    #[error("escrow `{}` was scheduled already, as `{}`", .existing.escrow, .existing.id)]
    AlreadyScheduled {
        /// The batch it became.
        existing: Box<Batch>,
        /// Whether that request said the same as this one.
        request_matches: bool,
    },
    /// Nobody ever stored a model for the project.
    #[error("there is no project `{0}`; store a revenue model for it first")]
    ProjectNotFound(ProjectId),
    /// The model cannot split the amount.
    #[error(transparent)]
    Split(#[from] SplitInvalid),
    /// Our own fault: the result would not have added up.
    #[error(transparent)]
    Law(#[from] LawBroken),
    /// Our own fault: the postings would not have balanced.
    #[error(transparent)]
    Unbalanced(#[from] Unbalanced),
    /// The store cannot be used; nothing was booked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The connection broke while the commit was under way, and the escrow could not be read afterwards.
    #[error(
        "it is not known whether escrow `{0}` was scheduled: send the same request again, it is booked at most once"
    )]
    OutcomeUnknown(EscrowId),
    /// Others were faster too often; nothing was booked.
    #[error("too busy: send the same request again")]
    Busy,
}

impl Failure for SchedulePayoutsError {
    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyScheduled { .. } => "already_scheduled",
            Self::ProjectNotFound(_) => "project_not_found",
            Self::Split(error) => error.code(),
            Self::Law(_) | Self::Unbalanced(_) => "server_error",
            Self::Store(error) => error.code(),
            Self::OutcomeUnknown(_) | Self::Busy => "unavailable",
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::AlreadyScheduled { .. } => Class::Conflict,
            Self::ProjectNotFound(_) => Class::NotFound,
            Self::Split(error) => error.class(),
            Self::Law(_) | Self::Unbalanced(_) => Class::Internal,
            Self::Store(error) => error.class(),
            Self::OutcomeUnknown(_) | Self::Busy => Class::Unavailable,
        }
    }
    fn details(&self) -> Vec<Detail> {
        if let Self::Split(error) = self { error.details() } else { Vec::new() }
    }
    fn existing(&self) -> Option<Value> {
        let Self::AlreadyScheduled { existing, request_matches } = self else { return None };
        Some(json!({ "batchId": existing.id, "status": existing.status.as_str(), "requestMatches": request_matches }))
    }
}

impl From<CalculationError> for SchedulePayoutsError {
    fn from(error: CalculationError) -> Self {
        split_error(error).map_or_else(Self::Law, Self::Split)
    }
}

/// Books a release. Answers the batch as it was committed.
///
/// # Errors
/// See [`SchedulePayoutsError`]; a conflict is always [`SchedulePayoutsError::AlreadyScheduled`].
pub async fn schedule_payouts(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    ids: &dyn Ids,
    now: Timestamp,
    ask: SchedulePayouts,
) -> Result<Batch, SchedulePayoutsError> {
    for _ in 0..RACES_MAX {
        refuse_a_second_time(repository, &ask).await?;
        let version = model_in_force(repository, &ask, now).await?;
        let model = check(&version.spec, "")?;
        let parties = parties(repository, rails, &model).await?;
        let calculation = calculation::calculate(Request {
            amount: ask.amount,
            deductions: &ask.deductions,
            model: &model,
            parties: &parties,
            detail: calculation::Detail::None,
        })?;
        let (batch, change) = book(&ask, &version, &calculation, ids, now)?;
        match repository.commit(change).await {
            Ok(()) => return Ok(batch),
            Err(CommitError::Unclear(_)) => return find_after_unclear_commit(repository, &ask, batch).await,
            Err(CommitError::Store(error)) => return Err(error.into()),
            // Somebody booked the same escrow, or drew the same name: the next turn finds out which.
            Err(CommitError::Duplicate(_) | CommitError::Stale | CommitError::LeaseLost) => {}
        }
    }
    Err(SchedulePayoutsError::Busy)
}

async fn refuse_a_second_time(
    repository: &dyn PayoutRepository,
    ask: &SchedulePayouts,
) -> Result<(), SchedulePayoutsError> {
    match repository.batch_by_escrow(&ask.escrow).await? {
        Some(existing) => Err(already_scheduled(existing, ask)),
        None => Ok(()),
    }
}

fn already_scheduled(existing: Batch, ask: &SchedulePayouts) -> SchedulePayoutsError {
    let request_matches = existing.fingerprint == ask.fingerprint();
    SchedulePayoutsError::AlreadyScheduled { existing: Box::new(existing), request_matches }
}

async fn model_in_force(
    repository: &dyn PayoutRepository,
    ask: &SchedulePayouts,
    now: Timestamp,
) -> Result<ModelVersion, SchedulePayoutsError> {
    match repository.model_in_force(&ask.project, ask.as_of.unwrap_or(now)).await? {
        InForce::ProjectUnknown => Err(SchedulePayoutsError::ProjectNotFound(ask.project.clone())),
        InForce::Nothing => Err(SplitInvalid::NoEffectiveModel.into()),
        InForce::Version(version) => Ok(*version),
    }
}

/// The commit may have been applied or not: if the batch is there, it is ours or somebody else's.
async fn find_after_unclear_commit(
    repository: &dyn PayoutRepository,
    ask: &SchedulePayouts,
    batch: Batch,
) -> Result<Batch, SchedulePayoutsError> {
    match repository.batch_by_escrow(&ask.escrow).await {
        Ok(Some(found)) if found.id == batch.id => Ok(batch),
        Ok(Some(found)) => Err(already_scheduled(found, ask)),
        // Not there yet proves nothing: the database may still be at it.
        Ok(None) | Err(_) => Err(SchedulePayoutsError::OutcomeUnknown(ask.escrow.clone())),
    }
}

/// Pure: the batch, and everything that is committed with it.
fn book(
    ask: &SchedulePayouts,
    version: &ModelVersion,
    calculation: &Calculation,
    ids: &dyn Ids,
    now: Timestamp,
) -> Result<(Batch, Change), Unbalanced> {
    let id = BatchId::new(ids.fresh());
    let items = items(id, &calculation.lines, ids, now);
    let statuses: Vec<_> = items.iter().map(|item| (item.status(), Attempted(false))).collect();
    let batch = Batch {
        id,
        escrow: ask.escrow.clone(),
        project: ask.project.clone(),
        milestone: ask.milestone.clone(),
        scheduled_by: ask.requester.clone(),
        currency: ask.amount.currency,
        amount_minor: ask.amount.amount_minor,
        deductions_minor: calculation.totals.deductions_minor,
        fee_minor: calculation.totals.fee_minor,
        tax_minor: calculation.totals.tax_minor,
        total_net_minor: calculation.totals.net_minor,
        model_version: version.version,
        model_hash: version.hash,
        as_of: ask.as_of.unwrap_or(now),
        execute_at: ask.execute_at,
        fingerprint: ask.fingerprint(),
        job: JobId::new(ids.fresh()),
        items_count: u32::try_from(items.len()).unwrap_or(u32::MAX),
        status: BatchStatus::of(&statuses, Approval::NotNeeded),
        created_at: now,
        updated_at: now,
    };
    let change = Change {
        post: vec![
            postings::released(TransactionId::new(ids.fresh()), &batch)?,
            postings::scheduled(TransactionId::new(ids.fresh()), &batch, &calculation.lines, &ask.deductions)?,
        ],
        enqueue: vec![Job {
            id: batch.job,
            kind: JobKind::ExecuteBatch(id),
            run_at: ask.execute_at.map_or(now, |at| at.max(now)),
        }],
        publish: events(&batch, &items, ids, now),
        insert: std::iter::once(New::Batch(batch.clone())).chain(items.into_iter().map(New::Item)).collect(),
        ..Change::default()
    };
    Ok((batch, change))
}

/// Only a line with nothing for its recipient is booked without an item.
fn items(batch: BatchId, lines: &[Line], ids: &dyn Ids, now: Timestamp) -> Vec<Item> {
    let owed = lines.iter().filter(|line| line.net_minor > 0);
    owed.zip(0..).map(|(line, seq)| Item::book(ItemId::new(ids.fresh()), batch, seq, line, now)).collect()
}

/// The batch is scheduled; what is more than that is told beside it.
fn events(batch: &Batch, items: &[Item], ids: &dyn Ids, now: Timestamp) -> Vec<Event> {
    let id = || EventId::new(ids.fresh());
    let mut events = vec![Event::batch(id(), batch, BatchStatus::Scheduled, now)];
    if batch.status != BatchStatus::Scheduled {
        events.push(Event::batch(id(), batch, batch.status, now));
    }
    let held = items.iter().filter(|item| item.state().hold_reason().is_some());
    events.extend(held.map(|item| Event::item(id(), item, now)));
    events
}

#[cfg(test)]
mod tests;
