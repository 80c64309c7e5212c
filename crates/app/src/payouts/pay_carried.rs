//! Pays what is carried for a recipient without a release: because somebody says so, or because it is enough by now.

use super::{
    execute_batch::{ExecuteBatchError, Ports},
    plan::{plan_new_batch, policy_in_force},
};
use crate::{
    RACES_MAX,
    change::{BatchInputs, Cause, Change, Count, New, Reason},
    failure::{Class, Failure},
    idempotency::{Remembering, claim_key::ClaimKeyError},
    job::{Job, Lease, LeaseStep},
    ports::{CommitError, DuplicateKey, Ids, PayoutRepository, Rails, StoreError, repository::StoredCounter},
    revenue::{
        facts::{granularity_minor, minimum_minor},
        hold,
    },
};
use domain::{
    audit::{Actor, AuditEntry},
    batch::{Approvals, Batch, BatchLine, BatchStatus, Origin},
    counter::CounterKey,
    currency::Currency,
    event::Event,
    ids::{AuditId, BatchId, EventId, ItemId, JobId, RecipientId, TransactionId},
    item::Item,
    ledger::{Unbalanced, postings},
    recipient::{HoldReason, Recipient},
    timestamp::Timestamp,
};

/// What is asked: pay it now, whatever the recipient's minimum.
#[derive(Clone, Debug)]
pub struct PayCarried {
    /// Whom.
    pub recipient: RecipientId,
    /// What is carried in this currency.
    pub currency: Currency,
    /// Who asks.
    pub actor: Actor,
}

/// Why nothing was booked, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum PayCarriedError {
    /// Nobody ever heard of them.
    #[error("there is no recipient `{0}`")]
    RecipientNotFound(RecipientId),
    /// Nothing is carried, or nothing that a debt leaves and the rail can send.
    #[error("nothing is carried for `{0}` in {1} that could be sent")]
    NothingCarried(RecipientId, Currency),
    /// They may not be paid now.
    #[error("`{recipient}` may not be paid now ({})", .reason.as_str())]
    RecipientHeld {
        /// Who.
        recipient: RecipientId,
        /// Why.
        reason: HoldReason,
    },
    /// The request's key belongs to another request.
    #[error(transparent)]
    Key(#[from] ClaimKeyError),
    /// Our own fault: the postings would not have balanced.
    #[error(transparent)]
    Unbalanced(#[from] Unbalanced),
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<StoreError> for PayCarriedError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl Failure for PayCarriedError {
    fn code(&self) -> &'static str {
        match self {
            Self::RecipientNotFound(_) => "recipient_not_found",
            Self::NothingCarried(..) => "nothing_carried",
            Self::RecipientHeld { .. } => "recipient_held",
            Self::Key(error) => error.code(),
            Self::Unbalanced(_) => "server_error",
            Self::Commit(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::RecipientNotFound(_) => Class::NotFound,
            Self::NothingCarried(..) | Self::RecipientHeld { .. } => Class::Conflict,
            Self::Key(error) => error.class(),
            Self::Unbalanced(_) => Class::Internal,
            Self::Commit(error) => error.class(),
        }
    }
}

/// Pays what is carried. Answers the batch as it was committed, with what `remember` makes of it.
///
/// # Errors
/// See [`PayCarriedError`].
pub async fn pay_carried(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    ids: &dyn Ids,
    now: Timestamp,
    ask: PayCarried,
    remember: &Remembering<Batch>,
) -> Result<Batch, PayCarriedError> {
    let PayCarried { recipient, currency, actor } = ask;
    let mut races = 0;
    loop {
        let known = known(repository, &recipient).await?;
        if known.is_none() && repository.counters_of("carried", &recipient).await?.is_empty() {
            return Err(PayCarriedError::RecipientNotFound(recipient));
        }
        if let Some(reason) = hold(known.as_ref(), false, rails) {
            return Err(PayCarriedError::RecipientHeld { recipient, reason });
        }
        let balance = Balance::read(repository, &recipient, currency).await?;
        let grain = granularity_minor(known.as_ref(), currency, rails);
        let Some(due) = balance.due(0, grain) else {
            return Err(PayCarriedError::NothingCarried(recipient, currency));
        };
        let mut draft = draft(&recipient, currency, &actor, due, (ids, now));
        let policy = policy_in_force(repository).await?;
        plan_new_batch(repository, rails, &policy, &mut draft.batch, std::slice::from_ref(&draft.item), now).await?;
        let (batch, change) = book(draft, &balance, due, (&actor, ids, now))?;
        match repository.commit(Change { remember: remember.of(&batch), ..change }).await {
            Ok(()) => return Ok(batch),
            Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)) => return Err(ClaimKeyError::Reused.into()),
            Err(CommitError::Stale) if races < RACES_MAX => races += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Pays what is carried for a recipient in every currency in which it is enough.
///
/// # Errors
/// See [`ExecuteBatchError`]: the next turn goes on where this one stopped.
pub async fn pay_carried_if_enough(
    ports: Ports<'_>,
    lease: Lease,
    recipient: RecipientId,
) -> Result<(), ExecuteBatchError> {
    let Ports { repository, rails, ids, clock, .. } = ports;
    let known = known(repository, &recipient).await?;
    if hold(known.as_ref(), false, rails).is_none() {
        let now = clock.now().await?;
        for counter in repository.counters_of("carried", &recipient).await? {
            let Some(currency) = currency_of(&counter.key) else { continue };
            let balance = Balance::read(repository, &recipient, currency).await?;
            let minimum = known.as_ref().map_or(0, |known| minimum_minor(known, currency));
            let Some(due) = balance.due(minimum, granularity_minor(known.as_ref(), currency, rails)) else { continue };
            let actor = Actor::worker();
            let mut draft = draft(&recipient, currency, &actor, due, (ids, now));
            let policy = policy_in_force(repository).await?;
            plan_new_batch(repository, rails, &policy, &mut draft.batch, std::slice::from_ref(&draft.item), now)
                .await?;
            let (_, change) = book(draft, &balance, due, (&actor, ids, now))
                .map_err(|error| ExecuteBatchError::Contradiction(error.into()))?;
            repository.commit(Change { lease: Some(LeaseStep::Keep(lease.clone())), ..change }).await?;
        }
    }
    let change = Change { lease: Some(LeaseStep::Finish(lease)), ..Change::default() };
    Ok(repository.commit(change).await?)
}

async fn known(repository: &dyn PayoutRepository, recipient: &RecipientId) -> Result<Option<Recipient>, StoreError> {
    let found = repository.recipients(std::slice::from_ref(recipient)).await?;
    Ok(found.into_iter().next().map(|stored| stored.value))
}

/// The currency of a counter of somebody: its last word.
pub(crate) fn currency_of(key: &CounterKey) -> Option<Currency> {
    key.as_str().rsplit(':').next()?.parse().ok()
}

/// What is carried and owed, as it was read.
struct Balance {
    carried: StoredCounter,
    debt: StoredCounter,
}

/// What is done with it.
#[derive(Clone, Copy)]
struct Due {
    recovered_minor: i64,
    payable_minor: i64,
    carried_forward_minor: i64,
}

impl Balance {
    async fn read(
        repository: &dyn PayoutRepository,
        recipient: &RecipientId,
        currency: Currency,
    ) -> Result<Self, StoreError> {
        let keys = [CounterKey::carried(recipient, currency), CounterKey::debt(recipient, currency)];
        let found = repository.counters(&keys).await?;
        let counter = |key: &CounterKey| {
            let found = found.iter().find(|counter| counter.key == *key).cloned();
            found.unwrap_or_else(|| StoredCounter { key: key.clone(), value: 0, revision: 0 })
        };
        Ok(Self { carried: counter(&keys[0]), debt: counter(&keys[1]) })
    }

    /// What is sent, if it is enough: a debt comes first, and the rail sends multiples only.
    fn due(&self, minimum_minor: i64, granularity_minor: i64) -> Option<Due> {
        let recovered_minor = self.debt.value.clamp(0, self.carried.value.max(0));
        let available = self.carried.value.max(0) - recovered_minor;
        let payable_minor = available - available % granularity_minor;
        let due = Due { recovered_minor, payable_minor, carried_forward_minor: available - payable_minor };
        (payable_minor > 0 && available >= minimum_minor).then_some(due)
    }
}

/// A batch before it is booked.
struct Draft {
    batch: Batch,
    item: Item,
    recipient: RecipientId,
}

/// Pure: the batch and its item.
fn draft(
    recipient: &RecipientId,
    currency: Currency,
    actor: &Actor,
    due: Due,
    (ids, now): (&dyn Ids, Timestamp),
) -> Draft {
    let id = BatchId::new(ids.fresh());
    let item = Item::carry(ItemId::new(ids.fresh()), id, recipient.clone(), due.payable_minor, now);
    let batch = Batch {
        id,
        origin: Origin::Carry(recipient.clone()),
        scheduled_by: actor.requester(),
        currency,
        amount_minor: 0,
        deductions_minor: 0,
        fee_minor: 0,
        fee_tax_minor: 0,
        tax_minor: 0,
        total_net_minor: 0,
        execute_at: None,
        due_at: now,
        approvals: Approvals::default(),
        job: JobId::new(ids.fresh()),
        items_count: 1,
        status: BatchStatus::Scheduled,
        created_at: now,
        updated_at: now,
    };
    Draft { batch, item, recipient: recipient.clone() }
}

/// Pure: the batch, and everything that is committed with it.
fn book(
    Draft { batch, item, recipient }: Draft,
    balance: &Balance,
    due: Due,
    (actor, ids, now): (&Actor, &dyn Ids, Timestamp),
) -> Result<(Batch, Change), Unbalanced> {
    let id = batch.id;
    let line = BatchLine {
        batch: id,
        seq: 0,
        recipient: recipient.clone(),
        item: Some(item.id),
        gross_minor: 0,
        fee_minor: 0,
        fee_tax_minor: 0,
        taxes: Vec::new(),
        carried_in_minor: balance.carried.value,
        recovered_minor: due.recovered_minor,
        carried_forward_minor: due.carried_forward_minor,
        payable_minor: due.payable_minor,
    };
    let count = |counter: &StoredCounter, add: i64| Count {
        key: counter.key.clone(),
        seen: Some(counter.revision),
        add,
        cause: Cause { batch: id, reversal: None, recipient: Some(recipient.clone()), reason: Reason::Carry },
    };
    let mut counts = vec![count(&balance.carried, due.carried_forward_minor - balance.carried.value)];
    if due.recovered_minor > 0 {
        counts.push(count(&balance.debt, -due.recovered_minor));
    }
    let tx = || TransactionId::new(ids.fresh());
    let lines = std::slice::from_ref(&line);
    let post = [postings::carry_paid(tx(), &batch, lines)?, postings::recovered(tx(), &batch, lines)?];
    let inputs = BatchInputs { batch: id, inputs: serde_json::Value::Null };
    let change = Change {
        count: counts,
        post: post.into_iter().flatten().collect(),
        enqueue: vec![Job::of(&batch, batch.due_at)],
        audit: vec![AuditEntry::made(
            AuditId::new(ids.fresh()),
            actor.clone(),
            "batch.pay_carried",
            id,
            serde_json::json!({ "recipientId": recipient, "payableAmount": due.payable_minor }),
            now,
        )],
        publish: vec![Event::batch(EventId::new(ids.fresh()), &batch, batch.status, now)],
        insert: vec![New::Batch(batch.clone()), New::Inputs(inputs), New::Item(item), New::Line(line)],
        ..Change::default()
    };
    Ok((batch, change))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_what_a_debt_leaves_in_what_the_rail_sends_if_it_is_enough() {
        let due = |carried: i64, debt: i64, minimum: i64, granularity: i64| {
            let counter = |value| StoredCounter { key: CounterKey::stored("k".to_owned()), value, revision: 1 };
            let balance = Balance { carried: counter(carried), debt: counter(debt) };
            let due = balance.due(minimum, granularity)?;
            Some((due.recovered_minor, due.payable_minor, due.carried_forward_minor))
        };
        assert_eq!(due(1_000, 0, 0, 1), Some((0, 1_000, 0)));
        assert_eq!(due(1_000, 300, 0, 1), Some((300, 700, 0)));
        assert_eq!(due(1_000, 300, 700, 500), Some((300, 500, 200)));
        for (carried, debt, minimum, granularity) in
            [(0, 0, 0, 1), (300, 300, 0, 1), (300, 900, 0, 1), (1_000, 300, 701, 1), (400, 0, 0, 500), (-5, 0, 0, 1)]
        {
            assert_eq!(due(carried, debt, minimum, granularity), None, "{carried} {debt} {minimum} {granularity}");
        }
    }
}
