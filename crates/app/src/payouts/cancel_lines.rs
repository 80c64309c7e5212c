//! What is undone when a line of a batch will not be paid: the gross goes back to the escrow, what was carried in is
//! carried again, what was recovered is owed again, and what was counted counts no more (product design, section 3).
//!
//! Cancelled gross counts as reversed, so a cancellation is booked as a reversal of all that is left of the line, under
//! a name made of the item's: an item is cancelled at most once, and every rule of reversals holds.

use super::{
    batch_work::BatchWork,
    conclude::{Contradiction, add_count},
};
use crate::{
    change::{Cause, Change, Count, New, Reason, ReversalSource},
    ports::{
        Ids, PayoutRepository, StoreError,
        repository::{BatchForReversal, Movement, StoredCounter},
    },
    revenue::{finish_reversal::carried_by, reverse_revenue::moved_back},
};
use domain::{
    batch::{BatchLine, Fingerprint},
    counter::CounterKey,
    ids::{BatchId, RecipientId, Requester, ReversalId, TransactionId},
    item::Item,
    ledger::{Transaction, postings, postings::CancelledLine},
    reversal::{self, Reversal, ReversalLine, Source, Strategy},
    timestamp::Timestamp,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// What is needed to cancel lines of a batch, read beforehand.
pub(crate) struct Cancelling {
    found: BatchForReversal,
    /// What each line carries forward that nobody paid since, and the revision at which that was so; by place.
    carried: HashMap<u32, (i64, u32)>,
    debts: HashMap<RecipientId, StoredCounter>,
    requester: Requester,
}

impl Cancelling {
    /// Reads it.
    pub(crate) async fn read(
        repository: &dyn PayoutRepository,
        batch: BatchId,
        requester: Requester,
    ) -> Result<Option<Self>, StoreError> {
        let Some(found) = repository.batch_for_reversal(batch).await? else { return Ok(None) };
        let mut carried = HashMap::new();
        for line in found.lines.iter().filter(|line| line.carried_forward_minor > line.carried_in_minor) {
            carried.insert(line.seq, carried_by(repository, &found, &line.recipient).await?);
        }
        let currency = found.batch.value.currency;
        let keys: Vec<CounterKey> =
            found.lines.iter().map(|line| CounterKey::debt(&line.recipient, currency)).collect();
        let counters = repository.counters(&keys).await?;
        let debts = found.lines.iter().zip(&keys).filter_map(|(line, key)| {
            let counter = counters.iter().find(|counter| counter.key == *key)?;
            Some((line.recipient.clone(), counter.clone()))
        });
        Ok(Some(Self { carried, debts: debts.collect(), requester, found }))
    }

    /// The batch as it was read.
    pub(crate) fn found(&self) -> &BatchForReversal {
        &self.found
    }

    /// Lines that have no item, and of which something is left.
    fn bare_lines(&self) -> impl Iterator<Item = &BatchLine> {
        self.found.lines.iter().filter(|line| line.item.is_none())
    }
}

/// What must be committed for the lines that were cancelled.
#[derive(Default)]
pub(crate) struct CancelledLines {
    reversals: Vec<Reversal>,
    lines: Vec<ReversalLine>,
    posted: Vec<Transaction>,
    counts: Vec<Count>,
}

impl CancelledLines {
    /// Undoes the line of an item, which is cancelled by its own step.
    pub(crate) fn cancel(
        &mut self,
        work: &mut BatchWork<'_>,
        cancelling: &Cancelling,
        item: &Item,
        (ids, at): (&dyn Ids, Timestamp),
    ) -> Result<(), Contradiction> {
        let Some(line) = cancelling.found.lines.iter().find(|line| line.item == Some(item.id)) else { return Ok(()) };
        let name = ReversalId::of_cancelled_item(item.id);
        let gross_minor = self.undo(cancelling, line, &name, item.due_minor(), (ids, at))?;
        work.give_back(item.id, gross_minor);
        Ok(())
    }

    /// Undoes every line that has no item: a whole batch is cancelled.
    pub(crate) fn cancel_bare(
        &mut self,
        cancelling: &Cancelling,
        (ids, at): (&dyn Ids, Timestamp),
    ) -> Result<(), Contradiction> {
        let batch = cancelling.found.batch.value.id;
        for line in cancelling.bare_lines() {
            let name = ReversalId::of_cancelled_line(batch, line.seq);
            if !cancelling.found.reversals.iter().any(|known| known.id == name) {
                self.undo(cancelling, line, &name, 0, (ids, at))?;
            }
        }
        Ok(())
    }

    /// Answers what goes back of the gross amount.
    fn undo(
        &mut self,
        cancelling: &Cancelling,
        line: &BatchLine,
        name: &ReversalId,
        payable_minor: i64,
        (ids, at): (&dyn Ids, Timestamp),
    ) -> Result<i64, Contradiction> {
        let Cancelling { found, carried, debts, requester } = cancelling;
        let batch = &found.batch.value;
        let earlier: Vec<ReversalLine> = found.reversal_lines.iter().chain(&self.lines).cloned().collect();
        let back = reversal::whole(name, line, &earlier);
        let own: Vec<&Source> =
            earlier.iter().filter(|part| part.seq == line.seq).filter_map(|part| part.source.as_ref()).collect();
        let taken_of_carry: i64 = own.iter().map(|source| source.carried_minor).sum();
        let added_to_carry = line.carried_forward_minor - line.carried_in_minor;
        let left_of_carry = (added_to_carry.max(0) - taken_of_carry).max(0);
        let (open_carry, carry_revision) = carried.get(&line.seq).copied().unwrap_or_default();
        let carried_minor = open_carry.min(left_of_carry);
        let mut undone = CancelledLine {
            gross_minor: back.as_ref().map_or(0, |back| back.gross_minor),
            payable_minor,
            carried_minor,
            debt_minor: line.recovered_minor + left_of_carry - carried_minor,
            debt_gone_minor: 0,
            carried_again_minor: (-added_to_carry).max(0),
            fee_minor: back.as_ref().map_or(0, |back| back.fee_minor),
            fee_tax_minor: back.as_ref().map_or(0, |back| back.fee_tax_minor),
            taxes: back.as_ref().map(|back| back.taxes.clone()).unwrap_or_default(),
        };
        // Earlier reversals made a debt of what had been paid and came back since: it is none any more. What of it was
        // recovered meanwhile, the recipient is owed.
        let net_minor = back.as_ref().map_or(0, |back| back.net_minor);
        let beyond =
            undone.payable_minor + undone.carried_minor + undone.debt_minor - net_minor - undone.carried_again_minor;
        let debt = debts.get(&line.recipient);
        undone.debt_gone_minor = beyond.clamp(0, debt.map_or(0, |debt| debt.value.max(0)));
        undone.carried_again_minor += beyond - undone.debt_gone_minor;
        if undone == CancelledLine::default() {
            return Ok(0);
        }
        let id = TransactionId::new(ids.fresh());
        self.posted.push(postings::cancelled(id, batch, (&line.recipient, line.item), &undone, at)?);
        let count = |key: CounterKey, seen: Option<u32>, add: i64| Count {
            key,
            seen,
            add,
            cause: Cause {
                batch: batch.id,
                reversal: Some(name.clone()),
                recipient: Some(line.recipient.clone()),
                reason: Reason::Cancellation,
            },
        };
        let add = undone.carried_again_minor - undone.carried_minor;
        if add != 0 {
            let seen = (undone.carried_minor > 0).then_some(carry_revision);
            self.counts.push(count(CounterKey::carried(&line.recipient, batch.currency), seen, add));
        }
        let add = undone.debt_minor - undone.debt_gone_minor;
        if add != 0 {
            let seen = debt.filter(|_| undone.debt_gone_minor > 0).map(|debt| debt.revision);
            self.counts.push(count(CounterKey::debt(&line.recipient, batch.currency), seen, add));
        }
        if let Some(back) = back {
            let reversed: i64 = found.reversals.iter().chain(&self.reversals).map(|known| known.amount_minor).sum();
            let remaining = batch.gross_minor() - reversed;
            let movements = self.movements(found);
            let moved = moved_back(found, &movements, std::slice::from_ref(&back), back.gross_minor, remaining);
            self.counts.extend(moved.into_iter().map(|(key, add, recipient)| {
                let mut back = count(key, None, add);
                back.cause.recipient = recipient;
                back
            }));
            let source = Source {
                payable_minor: undone.payable_minor,
                carried_minor: undone.carried_minor,
                debt_minor: undone.debt_minor,
            };
            self.reversals.push(reversal_of(batch.currency, &back, requester, at));
            self.lines.push(ReversalLine { source: Some(source), ..back });
        }
        Ok(undone.gross_minor)
    }

    /// What moved counters, what was moved back here included.
    fn movements(&self, found: &BatchForReversal) -> Vec<Movement> {
        let mut movements = found.movements.clone();
        movements.extend(self.counts.iter().map(|count| Movement {
            key: count.key.clone(),
            add: count.add,
            cause: count.cause.clone(),
        }));
        movements
    }

    /// Puts everything into a change.
    pub(crate) fn into_change(self, change: &mut Change, counts: &mut BTreeMap<CounterKey, Count>) {
        let sources = self.lines.iter().zip(&self.reversals).filter_map(|(line, reversal)| {
            let (reversal_id, seq, booked_at) = (line.reversal.clone(), line.seq, reversal.created_at);
            Some(New::Source(ReversalSource { reversal: reversal_id, seq, source: line.source?, booked_at }))
        });
        let sources: Vec<New> = sources.collect();
        change.insert.extend(self.reversals.into_iter().map(New::Reversal));
        change.insert.extend(self.lines.into_iter().map(New::ReversalLine));
        change.insert.extend(sources);
        change.post.extend(self.posted);
        for count in self.counts {
            add_count(counts, count);
        }
    }
}

fn reversal_of(
    currency: domain::currency::Currency,
    back: &ReversalLine,
    requester: &Requester,
    at: Timestamp,
) -> Reversal {
    Reversal {
        id: back.reversal.clone(),
        batch: back.batch,
        amount_minor: back.gross_minor,
        currency,
        strategy: Strategy::Recipient(back.recipient.clone()),
        platform_minor: 0,
        reason: Some("cancelled".to_owned()),
        requested_by: requester.clone(),
        fingerprint: Fingerprint(Sha256::digest(back.reversal.as_str().as_bytes()).into()),
        created_at: at,
    }
}
