//! A refund or another reversal: a part of a release is taken back from everybody who got a part of it.

use super::finish_reversal::{Booking, book_lines};
use crate::{
    RACES_MAX,
    change::{Cause, Change, Count, New, Reason},
    failure::{Class, Detail, Failure},
    idempotency::{Remembering, claim_key::ClaimKeyError},
    job::{Job, JobKind},
    payouts::{Contradiction, batch_work::BatchWork},
    ports::{
        CommitError, DuplicateKey, Ids, PayoutRepository, StoreError,
        repository::{BatchForReversal, Movement},
    },
};
use domain::{
    apportion::half_up,
    audit::{Actor, AuditEntry},
    batch::Fingerprint,
    counter::CounterKey,
    currency::Currency,
    event::{Event, EventKind},
    ids::{AuditId, EscrowId, EventId, JobId, RecipientId, Requester, ReversalId},
    revenue_model::spec::FeeOnRefund,
    reversal::{self, Remaining, Reversal, ReversalError, ReversalLine, Strategy},
    timestamp::Timestamp,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, time::Duration};

/// How long after a reversal what waits is looked at for the first time.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Clone, Debug)]
pub struct ReverseRevenue {
    /// The caller's name for it; it is booked at most once, ever.
    pub id: ReversalId,
    /// Of which release.
    pub escrow: EscrowId,
    /// How much; greater than zero.
    pub amount_minor: i64,
    /// The currency that the caller believes it to be, if they say.
    pub currency: Option<Currency>,
    /// Who bears it.
    pub strategy: Strategy,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// Who asks.
    pub requester: Requester,
}

impl ReverseRevenue {
    fn fingerprint(&self) -> Fingerprint {
        let facts = json!({
            "reversalId": self.id,
            "escrowId": self.escrow,
            "amount": self.amount_minor,
            "strategy": self.strategy.to_string(),
            "reason": self.reason,
        });
        Fingerprint(Sha256::digest(facts.to_string().as_bytes()).into())
    }
}

/// A reversal as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversed {
    /// The reversal.
    pub reversal: Reversal,
    /// The release it takes from.
    pub escrow: EscrowId,
    /// What each line gives back; what is in flight has no source yet.
    pub lines: Vec<ReversalLine>,
}

impl Reversed {
    /// Whether nothing waits any more.
    pub fn is_completed(&self) -> bool {
        self.lines.iter().all(|line| line.source.is_some())
    }
    /// `completed`, or `waiting` for payments in flight.
    pub fn status(&self) -> &'static str {
        if self.is_completed() { "completed" } else { "waiting" }
    }
}

/// Why nothing was booked, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum ReverseRevenueError {
    /// The reversal was booked before.
    #[error("reversal `{}` was booked already", .existing.reversal.id)]
    AlreadyReversed {
        /// What was booked.
        existing: Box<Reversed>,
        /// Whether that request said the same as this one.
        request_matches: bool,
    },
    /// The escrow was never scheduled.
    #[error("escrow `{0}` was never scheduled")]
    EscrowNotFound(EscrowId),
    /// The caller means another currency.
    #[error("the release is in {release}, not in {asked}")]
    CurrencyMismatch {
        /// The release's.
        release: Currency,
        /// The caller's.
        asked: Currency,
    },
    /// There is not so much left, or nobody to take it from.
    #[error("the reversal cannot be booked")]
    Invalid(#[from] ReversalError),
    /// The request's key belongs to another request.
    #[error(transparent)]
    Key(#[from] ClaimKeyError),
    /// Our own fault.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<StoreError> for ReverseRevenueError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl Failure for ReverseRevenueError {
    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyReversed { .. } => "already_reversed",
            Self::EscrowNotFound(_) => "escrow_not_found",
            Self::CurrencyMismatch { .. } => "validation_error",
            Self::Invalid(_) => "reversal_invalid",
            Self::Key(error) => error.code(),
            Self::Contradiction(_) => "server_error",
            Self::Commit(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::AlreadyReversed { .. } => Class::Conflict,
            Self::EscrowNotFound(_) => Class::NotFound,
            Self::CurrencyMismatch { .. } | Self::Invalid(_) => Class::Invalid,
            Self::Key(error) => error.class(),
            Self::Contradiction(_) => Class::Internal,
            Self::Commit(error) => error.class(),
        }
    }
    fn details(&self) -> Vec<Detail> {
        let one =
            |code, field: &str, message: String, meta| vec![Detail { code, field: field.to_owned(), message, meta }];
        match self {
            Self::CurrencyMismatch { .. } => one("currency_mismatch", "/currency", self.to_string(), None),
            Self::Invalid(error @ ReversalError::ExceedsRemaining { remaining_minor, asked_minor }) => {
                let meta = json!({ "remaining": remaining_minor, "asked": asked_minor });
                one("reversal_exceeds_remaining", "/amount", error.to_string(), Some(meta))
            }
            Self::Invalid(error @ ReversalError::NoSuchLine(_)) => {
                one("no_such_line", "/strategy", error.to_string(), None)
            }
            _ => Vec::new(),
        }
    }
    fn existing(&self) -> Option<Value> {
        let Self::AlreadyReversed { existing, request_matches } = self else { return None };
        Some(json!({
            "reversalId": existing.reversal.id,
            "batchId": existing.reversal.batch,
            "status": existing.status(),
            "requestMatches": request_matches,
        }))
    }
}

/// Books a reversal. What is in flight waits until it is known, and is then booked by a job.
///
/// # Errors
/// See [`ReverseRevenueError`].
pub async fn reverse_revenue(
    repository: &dyn PayoutRepository,
    ids: &dyn Ids,
    now: Timestamp,
    ask: ReverseRevenue,
    remember: &Remembering<Reversed>,
) -> Result<Reversed, ReverseRevenueError> {
    let mut races = 0;
    loop {
        refuse_a_second_time(repository, &ask).await?;
        let batch = repository.batch_by_escrow(&ask.escrow).await?;
        let found = match batch {
            Some(batch) => repository.batch_for_reversal(batch.id).await?,
            None => None,
        };
        let found = found.ok_or_else(|| ReverseRevenueError::EscrowNotFound(ask.escrow.clone()))?;
        let release = found.batch.value.currency;
        if let Some(asked) = ask.currency.filter(|asked| *asked != release) {
            return Err(ReverseRevenueError::CurrencyMismatch { release, asked });
        }
        let (reversed, change) = decide(repository, &ask, found, ids, now).await?;
        match repository.commit(Change { remember: remember.of(&reversed), ..change }).await {
            Ok(()) => return Ok(reversed),
            Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)) => return Err(ClaimKeyError::Reused.into()),
            Err(CommitError::Stale | CommitError::Duplicate(DuplicateKey::Reversal(_))) if races < RACES_MAX => {
                races += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A reversal that was booked, if it was.
///
/// # Errors
/// [`StoreError`].
pub async fn show_reversal(repository: &dyn PayoutRepository, id: &ReversalId) -> Result<Option<Reversed>, StoreError> {
    let Some((reversal, lines)) = repository.reversal(id).await? else { return Ok(None) };
    let batch = repository.batch_for_reversal(reversal.batch).await?;
    let escrow = batch.as_ref().and_then(|found| found.batch.value.escrow().cloned());
    let escrow = escrow.ok_or_else(|| StoreError::Corrupt(format!("reversal {id} is of no release")))?;
    Ok(Some(Reversed { reversal, escrow, lines }))
}

async fn refuse_a_second_time(
    repository: &dyn PayoutRepository,
    ask: &ReverseRevenue,
) -> Result<(), ReverseRevenueError> {
    match show_reversal(repository, &ask.id).await? {
        Some(existing) => {
            let request_matches = existing.reversal.fingerprint == ask.fingerprint();
            Err(ReverseRevenueError::AlreadyReversed { existing: Box::new(existing), request_matches })
        }
        None => Ok(()),
    }
}

/// The reversal, and everything that is committed with it.
async fn decide(
    repository: &dyn PayoutRepository,
    ask: &ReverseRevenue,
    found: BatchForReversal,
    ids: &dyn Ids,
    now: Timestamp,
) -> Result<(Reversed, Change), ReverseRevenueError> {
    let batch = found.batch.value.clone();
    let fee = fee_on_refund(&found);
    let earlier: i64 = found.reversals.iter().map(|reversal| reversal.amount_minor).sum();
    let remaining = batch.gross_minor() - earlier;
    let lines = reversal::divide(
        &ask.id,
        ask.amount_minor,
        &ask.strategy,
        fee,
        &found.lines,
        &found.reversal_lines,
        remaining,
    )?;
    let reversal = Reversal {
        id: ask.id.clone(),
        batch: batch.id,
        amount_minor: ask.amount_minor,
        currency: batch.currency,
        strategy: ask.strategy.clone(),
        platform_minor: if ask.strategy == Strategy::Platform { ask.amount_minor } else { 0 },
        reason: ask.reason.clone(),
        requested_by: ask.requester.clone(),
        fingerprint: ask.fingerprint(),
        created_at: now,
    };
    // Where the platform pays, the recipients keep what they got, so it counts.
    let moved = match ask.strategy {
        Strategy::Platform => Vec::new(),
        Strategy::SplitRatio | Strategy::Recipient(_) => {
            moved_back(&found, &found.movements, &lines, ask.amount_minor, remaining)
        }
    };
    let counts = moved.into_iter().map(|(key, add, recipient)| Count {
        key,
        seen: None,
        add,
        cause: Cause { batch: batch.id, reversal: Some(ask.id.clone()), recipient, reason: Reason::Reversal },
    });
    let mut counts: Vec<Count> = counts.collect();

    let mut work = BatchWork::new(found.batch.clone(), found.items.clone(), Actor::of(&ask.requester), ids);
    work.touch();
    let booking = Booking { repository, found: &found, reversal: &reversal, ids, now };
    let booked = book_lines(booking, &mut work, lines.clone()).await?;
    let mut change = work.take_change(None, now);
    let lines: Vec<ReversalLine> = lines
        .into_iter()
        .map(|line| booked.lines.iter().find(|done| done.seq == line.seq).cloned().unwrap_or(line))
        .collect();
    counts.extend(booked.counts);
    let reversed = Reversed { reversal: reversal.clone(), escrow: ask.escrow.clone(), lines };

    let said = json!({ "escrowId": ask.escrow, "amount": ask.amount_minor, "strategy": ask.strategy.to_string() });
    let actor = Actor::of(&ask.requester).saying(ask.reason.clone());
    let id = AuditId::new(ids.fresh());
    change.audit.push(AuditEntry::made(id, actor, "revenue.reverse", &reversal.id, said, now));
    change.insert.push(New::Reversal(reversal));
    change.insert.extend(reversed.lines.iter().cloned().map(New::ReversalLine));
    change.insert.extend(booked.sources.into_iter().map(New::Source));
    change.post.extend(booked.posted);
    change.count = counts;
    let mut say = |kind| change.publish.push(Event::reversal(EventId::new(ids.fresh()), kind, &reversed.reversal, now));
    say(EventKind::ReversalBooked);
    if reversed.is_completed() {
        say(EventKind::ReversalCompleted);
    } else {
        let kind = JobKind::FinishReversal(ask.id.clone());
        change.enqueue.push(Job { id: JobId::new(ids.fresh()), kind, run_at: now.after(FIRST_LOOK) });
    }
    Ok((reversed, change))
}

/// As the model said that split the release.
fn fee_on_refund(found: &BatchForReversal) -> FeeOnRefund {
    let fee = found.model.as_ref().and_then(|version| version.spec.platform_fee.as_ref());
    fee.map_or(FeeOnRefund::default(), |fee| fee.fee_on_refund)
}

/// What the release counted moves back in proportion: what a line counted with that line, the rest with the whole.
/// Answers which counter moves how far, and for whom.
pub(crate) fn moved_back(
    found: &BatchForReversal,
    movements: &[Movement],
    parts: &[ReversalLine],
    amount_minor: i64,
    remaining_minor: i64,
) -> Vec<(CounterKey, i64, Option<RecipientId>)> {
    let mut left: BTreeMap<&CounterKey, i64> = BTreeMap::new();
    for Movement { key, add, .. } in movements {
        *left.entry(key).or_default() += add;
    }
    let counted = |movement: &&Movement| {
        let kind = movement.key.kind();
        movement.cause.reversal.is_none() && movement.key.moves_back() && kind != "carried" && kind != "debt"
    };
    let back = |movement: &Movement| {
        let (part, whole) = match &movement.cause.recipient {
            Some(recipient) => {
                let line = found.lines.iter().find(|line| line.recipient == *recipient)?;
                let part = parts.iter().find(|part| part.seq == line.seq)?;
                (part.gross_minor, Remaining::of(line, &found.reversal_lines).gross_minor())
            }
            None => (amount_minor, remaining_minor),
        };
        let left = u128::from(left.get(&movement.key).copied().unwrap_or(0).max(0).unsigned_abs());
        let back = half_up(left * u128::from(part.unsigned_abs()), u128::from(whole.max(1).unsigned_abs()));
        let add = -i64::try_from(back).ok()?;
        (add != 0).then(|| (movement.key.clone(), add, movement.cause.recipient.clone()))
    };
    found.movements.iter().filter(counted).filter_map(back).collect()
}
