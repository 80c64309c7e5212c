//! What of a reversal waited for a payment in flight is booked once it is known what became of the payment.

use crate::{
    change::{Cause, Change, Count, New, Reason, ReversalSource},
    job::{Lease, LeaseStep},
    payouts::{
        Contradiction,
        batch_work::BatchWork,
        execute_batch::{ExecuteBatchError, Ports},
    },
    ports::{Ids, PayoutRepository, StoreError, repository::BatchForReversal},
};
use domain::{
    audit::Actor,
    counter::CounterKey,
    event::{Event, EventKind},
    ids::{EventId, RecipientId, ReversalId, TransactionId},
    item::Item,
    ledger::{Transaction, postings},
    reversal::{Reversal, ReversalLine, Source},
    timestamp::Timestamp,
};
use std::time::Duration;

/// How many carries are looked at to find the one of a line: beyond that many newer ones it counts as paid.
const CARRIES_MAX: u32 = 1_000;
/// How often what waits is looked at: seldom, if it has waited for long.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(300);

/// What is needed to book lines of a reversal.
#[derive(Clone, Copy)]
pub(super) struct Booking<'a> {
    pub(super) repository: &'a dyn PayoutRepository,
    pub(super) found: &'a BatchForReversal,
    pub(super) reversal: &'a Reversal,
    pub(super) ids: &'a dyn Ids,
    pub(super) now: Timestamp,
}

/// What was booked.
pub(super) struct Booked {
    pub(super) lines: Vec<ReversalLine>,
    pub(super) sources: Vec<ReversalSource>,
    pub(super) counts: Vec<Count>,
    pub(super) posted: Option<Transaction>,
}

/// Books those of the lines whose money is not in flight, and what the platform pays.
///
/// # Errors
/// If the store cannot be used, or something does not add up.
pub(super) async fn book_lines(
    booking: Booking<'_>,
    work: &mut BatchWork<'_>,
    lines: Vec<ReversalLine>,
) -> Result<Booked, BookError> {
    let Booking { repository, found, reversal, ids, now } = booking;
    let mut booked = Booked { lines: Vec::new(), sources: Vec::new(), counts: Vec::new(), posted: None };
    for line in lines {
        let item = line.item.and_then(|id| work.item(id)).cloned();
        if item.as_ref().is_some_and(|item| item.status().is_in_transit()) {
            continue;
        }
        let unsent = item.as_ref().map_or(0, unsent_minor);
        let (carried, revision) = carried_by(repository, found, &line.recipient).await?;
        let line = line.drawn(unsent, carried);
        let Some(source) = line.source else { continue };
        if let Some(item) = &item {
            work.reverse(item.id, line.gross_minor, source.payable_minor, now).map_err(Contradiction::from)?;
        }
        booked.counts.extend(counts(booking, &line.recipient, source, revision));
        let (reversal, seq) = (reversal.id.clone(), line.seq);
        booked.sources.push(ReversalSource { reversal, seq, source, booked_at: now });
        booked.lines.push(line);
    }
    // Where the platform pays, no line waits: so this is booked with the reversal itself, and never again.
    let platform_minor = reversal.platform_minor;
    if let Some(release) = found.batch.value.release().filter(|_| platform_minor > 0 || !booked.lines.is_empty()) {
        let id = TransactionId::new(ids.fresh());
        let (batch, escrow) = (&found.batch.value, &release.escrow);
        let posted = postings::reversed(id, batch, escrow, &booked.lines, platform_minor, now);
        booked.posted = Some(posted.map_err(Contradiction::from)?);
    }
    Ok(booked)
}

/// Why lines could not be booked.
#[derive(Debug, thiserror::Error)]
pub(super) enum BookError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our own fault.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

impl From<BookError> for super::reverse_revenue::ReverseRevenueError {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Store(error) => error.into(),
            BookError::Contradiction(error) => error.into(),
        }
    }
}
impl From<BookError> for ExecuteBatchError {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Store(error) => error.into(),
            BookError::Contradiction(error) => error.into(),
        }
    }
}

/// What of an item was not sent, and is still owed.
fn unsent_minor(item: &Item) -> i64 {
    if item.status().is_owed() { item.due_minor() } else { 0 }
}

/// What the batch carried for a recipient and nobody paid since, and the revision at which that was so. What is
/// carried leaves in the order in which it came, so what is open is what came last.
pub(crate) async fn carried_by(
    repository: &dyn PayoutRepository,
    found: &BatchForReversal,
    recipient: &RecipientId,
) -> Result<(i64, u32), StoreError> {
    let key = CounterKey::carried(recipient, found.batch.value.currency);
    let own: i64 = found.movements.iter().filter(|movement| movement.key == key).map(|movement| movement.add).sum();
    if own <= 0 {
        return Ok((0, 0));
    }
    let counter = repository.counters(std::slice::from_ref(&key)).await?.into_iter().next();
    let Some(counter) = counter else { return Ok((0, 0)) };
    let mut open = counter.value.max(0);
    for raise in repository.raised_by(&key, CARRIES_MAX).await? {
        let still = raise.amount_minor.min(open);
        if raise.batch == found.batch.value.id {
            return Ok((still.min(own), counter.revision));
        }
        open -= still;
    }
    Ok((0, counter.revision))
}

fn counts(booking: Booking<'_>, recipient: &RecipientId, source: Source, carried_revision: u32) -> Vec<Count> {
    let Booking { found, reversal, .. } = booking;
    let currency = found.batch.value.currency;
    let count = |key: CounterKey, seen, add| Count {
        key,
        seen,
        add,
        cause: Cause {
            batch: found.batch.value.id,
            reversal: Some(reversal.id.clone()),
            recipient: Some(recipient.clone()),
            reason: Reason::Reversal,
        },
    };
    let mut counts = Vec::new();
    if source.carried_minor > 0 {
        let key = CounterKey::carried(recipient, currency);
        counts.push(count(key, Some(carried_revision), -source.carried_minor));
    }
    if source.debt_minor > 0 {
        counts.push(count(CounterKey::debt(recipient, currency), None, source.debt_minor));
    }
    counts
}

/// Books what can be booked by now; looks again later if anything still waits.
///
/// # Errors
/// See [`ExecuteBatchError`]: the next turn goes on where this one stopped.
pub async fn finish_reversal(ports: Ports<'_>, lease: Lease, id: ReversalId) -> Result<(), ExecuteBatchError> {
    let Ports { repository, ids, clock, .. } = ports;
    let done = Change { lease: Some(LeaseStep::Finish(lease.clone())), ..Change::default() };
    let Some((reversal, lines)) = repository.reversal(&id).await? else { return Ok(repository.commit(done).await?) };
    let Some(found) = repository.batch_for_reversal(reversal.batch).await? else {
        return Ok(repository.commit(done).await?);
    };
    let now = clock.now().await?;
    let waiting: Vec<ReversalLine> = lines.into_iter().filter(|line| line.source.is_none()).collect();
    let open = waiting.len();
    if open == 0 {
        return Ok(repository.commit(done).await?);
    }
    let mut work = BatchWork::new(found.batch.clone(), found.items.clone(), Actor::worker(), ids);
    let booking = Booking { repository, found: &found, reversal: &reversal, ids, now };
    let booked = book_lines(booking, &mut work, waiting).await?;
    let is_completed = booked.lines.len() == open;
    let step = if is_completed {
        LeaseStep::Finish(lease)
    } else {
        let waited = now.since(reversal.created_at);
        LeaseStep::Again(lease, now.after((waited / 4).clamp(LOOK_MIN, LOOK_MAX)))
    };
    let mut change = work.take_change(step, now);
    change.insert.extend(booked.sources.into_iter().map(New::Source));
    change.post.extend(booked.posted);
    change.count = booked.counts;
    if is_completed {
        let id = EventId::new(ids.fresh());
        change.publish.push(Event::reversal(id, EventKind::ReversalCompleted, &reversal, now));
    }
    Ok(repository.commit(change).await?)
}
