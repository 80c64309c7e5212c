//! A released escrow becomes a batch: split, booked, and queued, in one commit.

use super::plan::{plan_new_batch, policy_of};
use crate::{
    RACES_MAX,
    change::{BatchInputs, Change, New},
    failure::{Class, Detail, Failure},
    idempotency::{Remembering, claim_key::ClaimKeyError},
    job::{Job, JobKind},
    ports::{
        CommitError, DuplicateKey, Ids, PayoutRepository, Rails, StoreError,
        repository::{Basis, InForce, Wanted},
    },
    revenue::{
        SplitInvalid, check,
        facts::{Facts, Known, Occasion},
        needs::{Need, Needs},
        split_error,
        turns::{Turn, Turns},
    },
};
use domain::{
    audit::{Actor, AuditEntry},
    batch::{Approvals, Batch, BatchLine, BatchStatus, Fingerprint, Origin, Release},
    calculation::{self, Calculation, CalculationError, Deduction, LawBroken, Line},
    day::Day,
    event::Event,
    ids::{AuditId, BatchId, EscrowId, EventId, ItemId, JobId, MilestoneId, ProjectId, TransactionId},
    item::Item,
    ledger::{Unbalanced, postings},
    money::Money,
    revenue_model::{ModelVersion, RevenueModel, Settlement, spec::Fallback},
    timestamp::Timestamp,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};

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
    pub actor: Actor,
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
    #[error("escrow `{escrow}` was scheduled already, as `{}`", .existing.id)]
    AlreadyScheduled {
        /// Which escrow.
        escrow: EscrowId,
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
    /// The key of the request is another request's; nothing was booked.
    #[error(transparent)]
    Key(#[from] ClaimKeyError),
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
            Self::Key(error) => error.code(),
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
            Self::Key(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::OutcomeUnknown(_) | Self::Busy => Class::Unavailable,
        }
    }
    fn details(&self) -> Vec<Detail> {
        if let Self::Split(error) = self { error.details() } else { Vec::new() }
    }
    fn existing(&self) -> Option<Value> {
        let Self::AlreadyScheduled { existing, request_matches, .. } = self else { return None };
        Some(json!({ "batchId": existing.id, "status": existing.status.as_str(), "requestMatches": request_matches }))
    }
}

impl From<CalculationError> for SchedulePayoutsError {
    fn from(error: CalculationError) -> Self {
        split_error(error).map_or_else(Self::Law, Self::Split)
    }
}

/// Books a release. Answers the batch as it was committed. What `remember` makes of the batch is committed with it.
///
/// # Errors
/// See [`SchedulePayoutsError`]; a conflict is always [`SchedulePayoutsError::AlreadyScheduled`].
pub async fn schedule_payouts(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    ids: &dyn Ids,
    turns: &Turns,
    needs: &Needs,
    ask: SchedulePayouts,
    remember: &Remembering<Batch>,
) -> Result<Batch, SchedulePayoutsError> {
    let mut turn = None;
    for race in 0..RACES_MAX {
        // Hardly any escrow is released twice, and the commit notices it: it is looked for only once there is a reason.
        if race > 0 {
            refuse_a_second_time(repository, &ask).await?;
        }
        let (asked, basis) = look(repository, needs, &ask, race == 0).await?;
        let recalled = basis.recalled.clone();
        let planned = plan(repository, rails, (ids, turns, needs), &ask, (asked, basis), &mut turn).await;
        let (batch, change) = match planned {
            Ok(planned) => planned,
            // It may have been changed since.
            Err(_) if recalled.is_some() => continue,
            Err(SchedulePayoutsError::Store(error)) => return Err(error.into()),
            Err(error) => {
                refuse_a_second_time(repository, &ask).await?;
                return Err(error);
            }
        };
        let change = Change { remember: remember.of(&batch), recalled, ..change };
        match repository.commit(change).await {
            Ok(()) => return Ok(batch),
            Err(CommitError::Unclear(_)) => return find_after_unclear_commit(repository, &ask, batch).await,
            Err(CommitError::Store(error)) => return Err(error.into()),
            Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)) => {
                refuse_a_second_time(repository, &ask).await?;
                return Err(ClaimKeyError::Reused.into());
            }
            // Somebody booked the same escrow, counted the same, changed what was recalled, or drew the same name: the
            // next turn finds out which.
            Err(CommitError::Duplicate(_) | CommitError::Stale | CommitError::LeaseLost) => {}
        }
    }
    Err(SchedulePayoutsError::Busy)
}

/// The batch, and everything that is to be committed with it. Whose model counts waits for their turn first.
async fn plan(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    (ids, turns, needs): (&dyn Ids, &Turns, &Needs),
    ask: &SchedulePayouts,
    (asked, basis): (Arc<Need>, Basis),
    turn: &mut Option<Turn>,
) -> Result<(Batch, Change), SchedulePayoutsError> {
    let currency = ask.amount.currency;
    let Basis { now, in_force, policy, recipients, counters, recalled: _ } = basis;
    let version = match in_force {
        InForce::ProjectUnknown => return Err(SchedulePayoutsError::ProjectNotFound(ask.project.clone())),
        InForce::Nothing => return Err(SplitInvalid::NoEffectiveModel.into()),
        InForce::Version(version) => *version,
    };
    let model = check(&version.spec, "")?;
    let mut counters = Some(counters);
    if turn.is_none() && !model.counted().is_empty() {
        *turn = Some(turns.wait(&ask.project).await);
        // Whoever had the turn before counted.
        counters = None;
    }
    let day = Day::of(ask.as_of.unwrap_or(now));
    let project = Some((&ask.project, version.version));
    let known = Known { asked, recipients, counters };
    let facts = Facts::read(repository, rails, &model, Occasion { project, currency, day }, known).await?;
    needs.remember(&ask.project, currency, &facts.need);
    let calculation = facts.calculate(&model, ask.amount, &ask.deductions, calculation::Detail::None)?;
    let mut draft = draft(ask, &version, &calculation, (ids, now));
    plan_new_batch(repository, rails, &policy_of(policy)?, &mut draft.batch, &draft.items, now).await?;
    Ok(book(ask, draft, &model, &facts, &calculation, (ids, now))?)
}

/// What is known of what the last release of the project needed.
async fn look(
    repository: &dyn PayoutRepository,
    needs: &Needs,
    ask: &SchedulePayouts,
    may_be_recalled: bool,
) -> Result<(Arc<Need>, Basis), StoreError> {
    let wanted = |need: &Need| {
        let Need { recipients, counters } = need.clone();
        Wanted { project: ask.project.clone(), as_of: ask.as_of, recipients, counters, may_be_recalled }
    };
    let asked = needs.of(&ask.project, ask.amount.currency);
    match repository.basis(&wanted(&asked)).await {
        // What cannot be read may be something that nobody needs any more.
        Err(StoreError::Corrupt(_)) if *asked != Need::default() => {
            let basis = repository.basis(&wanted(&Need::default())).await?;
            Ok((Arc::default(), basis))
        }
        basis => Ok((asked, basis?)),
    }
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
    let request_matches = existing.release().is_some_and(|release| release.fingerprint == ask.fingerprint());
    SchedulePayoutsError::AlreadyScheduled { escrow: ask.escrow.clone(), existing: Box::new(existing), request_matches }
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

/// A batch before it is booked.
struct Draft {
    batch: Batch,
    lines: Vec<BatchLine>,
    items: Vec<Item>,
}

/// Pure: the batch, its lines and its items.
fn draft(
    ask: &SchedulePayouts,
    version: &ModelVersion,
    calculation: &Calculation,
    (ids, now): (&dyn Ids, Timestamp),
) -> Draft {
    let id = BatchId::new(ids.fresh());
    let (lines, items) = lines_and_items(id, &calculation.lines, ids, now);
    let release = Release {
        escrow: ask.escrow.clone(),
        project: ask.project.clone(),
        milestone: ask.milestone.clone(),
        model_version: version.version,
        model_hash: version.hash,
        as_of: ask.as_of.unwrap_or(now),
        fingerprint: ask.fingerprint(),
    };
    let totals = &calculation.totals;
    let batch = Batch {
        id,
        origin: Origin::Release(Box::new(release)),
        scheduled_by: ask.actor.requester(),
        currency: ask.amount.currency,
        amount_minor: ask.amount.amount_minor,
        deductions_minor: totals.deductions_minor,
        fee_minor: totals.fee_minor,
        fee_tax_minor: totals.fee_tax_minor,
        tax_minor: totals.tax_minor,
        total_net_minor: totals.net_minor,
        execute_at: ask.execute_at,
        due_at: ask.execute_at.map_or(now, |at| at.max(now)),
        approvals: Approvals::default(),
        job: JobId::new(ids.fresh()),
        items_count: u32::try_from(items.len()).unwrap_or(u32::MAX),
        status: BatchStatus::Scheduled,
        created_at: now,
        updated_at: now,
    };
    Draft { batch, lines, items }
}

/// Pure: the batch, and everything that is committed with it.
fn book(
    ask: &SchedulePayouts,
    Draft { batch, lines, items }: Draft,
    model: &RevenueModel,
    facts: &Facts,
    calculation: &Calculation,
    (ids, now): (&dyn Ids, Timestamp),
) -> Result<(Batch, Change), Unbalanced> {
    let id = batch.id;
    let Some(release) = batch.release().cloned() else { return Err(Unbalanced::TooFewEntries) };
    let tx = || TransactionId::new(ids.fresh());
    let mut post = vec![
        postings::released(tx(), &batch, &release)?,
        postings::scheduled(tx(), &batch, &release, &lines, &ask.deductions)?,
    ];
    post.extend(postings::recovered(tx(), &batch, &lines)?);
    post.extend(postings::carried(tx(), &batch, &lines)?);
    post.extend(postings::carry_paid(tx(), &batch, &lines)?);
    let mut enqueue = vec![Job::of(&batch, batch.due_at)];
    let Settlement { escheat_after_days, fallback, .. } = model.settlement();
    if fallback != Fallback::RemainHeld {
        let run_at = now.after(days(escheat_after_days));
        enqueue.push(Job { id: JobId::new(ids.fresh()), kind: JobKind::EscheatItems(id), run_at });
    }
    let inputs = BatchInputs { batch: id, inputs: facts.inputs(&ask.deductions).write() };
    let rows = std::iter::once(New::Batch(batch.clone())).chain([New::Inputs(inputs)]);
    let change = Change {
        count: facts.count(&calculation.movements, id),
        post,
        enqueue,
        publish: events(&batch, &items, ids, now),
        audit: vec![audit(&batch, &ask.actor, ids)],
        insert: rows.chain(items.into_iter().map(New::Item)).chain(lines.into_iter().map(New::Line)).collect(),
        ..Change::default()
    };
    Ok((batch, change))
}

fn audit(batch: &Batch, actor: &Actor, ids: &dyn Ids) -> AuditEntry {
    let said = json!({
        "escrowId": batch.escrow(),
        "amount": batch.amount_minor,
        "currency": batch.currency,
        "status": batch.status.as_str(),
    });
    let id = AuditId::new(ids.fresh());
    AuditEntry::made(id, actor.clone(), "batch.schedule", batch.id, said, batch.created_at)
}

/// So many days, each of 24 hours.
pub(super) fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

/// Every line is booked; only one with something to send, held or not, has an item.
fn lines_and_items(batch: BatchId, lines: &[Line], ids: &dyn Ids, now: Timestamp) -> (Vec<BatchLine>, Vec<Item>) {
    let mut items: Vec<Item> = Vec::new();
    let lines = lines.iter().zip(0..).map(|(line, seq)| {
        let has_item = line.payable_minor + line.held_minor > 0;
        let item = has_item.then(|| {
            let place = u32::try_from(items.len()).unwrap_or(u32::MAX);
            let item = Item::book(ItemId::new(ids.fresh()), batch, place, line, now);
            let id = item.id;
            items.push(item);
            id
        });
        BatchLine::of(batch, seq, line, item)
    });
    (lines.collect(), items)
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
