//! What takes something back.

use super::{super::Ports, carried, fresh, read};
use app::{
    change::{Cause, Change, Count, Escheat, New, Reason, ReversalSource, Update},
    ports::repository::BatchForReversal,
};
use domain::{
    batch::Fingerprint,
    counter::CounterKey,
    event::{Event, EventKind},
    ids::{BatchId, EventId, TransactionId},
    item::Item,
    ledger::postings,
    revenue_model::spec::FeeOnRefund,
    reversal::{Reversal, ReversalLine, Source, Strategy, divide},
    timestamp::Timestamp,
};

/// A reversal that was made, and what booking it commits.
pub struct Reversed {
    pub reversal: Reversal,
    /// Those that are booked have their source.
    pub lines: Vec<ReversalLine>,
    pub change: Change,
}

/// A batch that exists, with all that was ever taken back of it.
pub async fn found(ports: &Ports, batch: BatchId) -> BatchForReversal {
    ports.repository.batch_for_reversal(batch).await.unwrap().expect("the batch exists")
}

/// A reversal of so much of a batch. What was sent is not taken back: that waits while it is in flight, and is a debt
/// afterwards.
pub fn reverse(found: &BatchForReversal, id: &str, amount_minor: i64, strategy: Strategy, at: Timestamp) -> Reversed {
    let batch = &found.batch.value;
    let earlier: i64 = found.reversals.iter().map(|reversal| reversal.amount_minor).sum();
    let (left, fee) = (batch.gross_minor() - earlier, FeeOnRefund::Returned);
    let lines = divide(&read(id), amount_minor, &strategy, fee, &found.lines, &found.reversal_lines, left).unwrap();
    let reversal = Reversal {
        id: read(id),
        batch: batch.id,
        amount_minor,
        currency: batch.currency,
        platform_minor: if strategy == Strategy::Platform { amount_minor } else { 0 },
        strategy,
        reason: None,
        requested_by: read("usr_operator"),
        fingerprint: Fingerprint([0x11; 32]),
        created_at: at,
    };
    // Whoever reverses writes the batch, so that two reversals of it never count the same.
    let mut touched = found.batch.clone();
    touched.value.updated_at = at;
    let mut change = super::update(Update::Batch(touched));
    let lines: Vec<ReversalLine> = lines.into_iter().map(|line| draw(found, line, &mut change, at)).collect();
    let booked: Vec<ReversalLine> = lines.iter().filter(|line| line.source.is_some()).cloned().collect();
    if reversal.platform_minor > 0 || !booked.is_empty() {
        let (escrow, id) = (batch.escrow().expect("it came from a release"), TransactionId::new(fresh()));
        change.post.push(postings::reversed(id, batch, escrow, &booked, reversal.platform_minor, at).unwrap());
    }
    change.insert.push(New::Reversal(reversal.clone()));
    change.insert.extend(lines.iter().cloned().map(New::ReversalLine));
    change.insert.extend(booked.iter().map(|line| New::Source(source(line, at))));
    change.publish.push(Event::reversal(EventId::new(fresh()), EventKind::ReversalBooked, &reversal, at));
    Reversed { reversal, lines, change }
}

/// What books a line that waited for its item.
pub fn finish(found: &BatchForReversal, line: &ReversalLine, at: Timestamp) -> Change {
    let batch = &found.batch.value;
    let mut change = Change::default();
    let line = draw(found, line.clone(), &mut change, at);
    change.insert.push(New::Source(source(&line, at)));
    let (escrow, id) = (batch.escrow().expect("it came from a release"), TransactionId::new(fresh()));
    change.post.push(postings::reversed(id, batch, escrow, &[line], 0, at).unwrap());
    change
}

/// Where the money of a line came from, as it is written down.
pub fn source(line: &ReversalLine, booked_at: Timestamp) -> ReversalSource {
    let source = line.source.expect("it is booked");
    ReversalSource { reversal: line.reversal.clone(), seq: line.seq, source, booked_at }
}

/// Takes the recipient's part out of the item, then out of what the batch carried for them, and makes a debt of the
/// rest, unless the item is in flight.
fn draw(found: &BatchForReversal, line: ReversalLine, change: &mut Change, at: Timestamp) -> ReversalLine {
    let item = line.item.and_then(|id| found.items.iter().find(|item| item.value.id == id));
    if item.is_some_and(|item| item.value.status().is_in_transit()) {
        return line;
    }
    let unsent = |item: &Item| if item.status().is_owed() { item.due_minor() } else { 0 };
    let key = carried(line.recipient.as_str());
    let theirs = found.movements.iter().filter(|movement| movement.key == key);
    let line = line.drawn(item.map_or(0, |item| unsent(&item.value)), theirs.map(|movement| movement.add).sum());
    let Source { payable_minor, carried_minor, debt_minor } = line.source.expect("it was drawn");
    if let Some(item) = item {
        let reversed = item.clone().try_map(|item| item.reverse(line.gross_minor, payable_minor, at)).unwrap();
        change.update.push(Update::Item(reversed));
    }
    let cause = Cause {
        batch: line.batch,
        reversal: Some(line.reversal.clone()),
        recipient: Some(line.recipient.clone()),
        reason: Reason::Reversal,
    };
    let currency = found.batch.value.currency;
    let moves = [
        (CounterKey::carried(&line.recipient, currency), -carried_minor),
        (CounterKey::debt(&line.recipient, currency), debt_minor),
    ];
    let moves = moves.into_iter().filter(|(_, add)| *add != 0);
    change.count.extend(moves.map(|(key, add)| Count { key, seen: None, add, cause: cause.clone() }));
    line
}

/// What becomes of an item that nobody claimed.
pub fn escheat(item: &Item, platform_minor: i64, at: Timestamp) -> Escheat {
    let released_minor = item.due_minor() - platform_minor;
    Escheat { item: item.id, batch: item.batch, platform_minor, released_minor, at }
}
