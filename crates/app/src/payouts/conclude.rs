//! Pure: what a rail says, and what that means for an instruction, its items and the books.
//!
//! However we learn something (an answer to a submission, an answer to a question, a notification, two people's word),
//! it comes here. What is known replaces only what ranks lower, so the order in which things come does not matter;
//! what cannot be believed changes nothing and calls for a person (rails design, section 5, laws 4 and 6).

use super::{
    batch_work::BatchWork,
    cancel_lines::{CancelledLines, Cancelling},
};
use crate::{
    change::{Cause, Change, Count, New, PaidDestination, Reason, Stored, TakenEvent, Update, Verdict},
    ports::{
        Dice, Ids,
        rail::{About, Class, RailEvent, RailProfile, Seen},
        repository::StoredCounter,
    },
};
use domain::{
    counter::CounterKey,
    event::{Alarm, Event},
    ids::{EventId, ItemId, RecipientId, TransactionId},
    instruction::{IllegalInstructionStep, Instruction, InstructionItem, Outcome},
    item::{IllegalItemStep, Item, ItemStatus, ItemStep},
    ledger::{Account, Transaction, Unbalanced, postings},
    money::Money,
    recipient::HoldReason,
    timestamp::Timestamp,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// How often the worker makes a new instruction by itself after a refusal that may pass.
pub const RETRIES_MAX: u32 = 8;
/// How long it waits at most before that.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// The reason of what the rail never had, however often it was sent.
pub const NEVER_RECEIVED: &str = "never_received";

/// A rule of the domain that an answer would have broken: our own fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// An item cannot move that way.
    #[error(transparent)]
    Item(#[from] IllegalItemStep),
    /// An instruction cannot move that way.
    #[error(transparent)]
    Instruction(#[from] IllegalInstructionStep),
    /// The postings would not balance.
    #[error(transparent)]
    Unbalanced(#[from] Unbalanced),
    /// Somebody makes and approves the same.
    #[error(transparent)]
    MakerIsChecker(#[from] domain::approval::MakerIsChecker),
}

/// What is known beside the batch.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The rail that speaks.
    pub(crate) rail: &'a RailProfile,
    /// Items under one of whose instructions something was executed after it had been given up.
    pub(crate) strays: &'a BTreeSet<ItemId>,
    /// What the recipients of these items owe.
    pub(crate) debts: &'a HashMap<CounterKey, StoredCounter>,
    /// What is needed to cancel a line, if the rail says that it recalled something.
    pub(crate) cancelling: Option<&'a Cancelling>,
    pub(crate) ids: &'a dyn Ids,
    pub(crate) dice: &'a dyn Dice,
    pub(crate) at: Timestamp,
}

/// What must be committed beside the moves of the items.
#[derive(Default)]
pub(crate) struct Conclusion {
    updates: Vec<Update>,
    posted: Vec<Transaction>,
    counts: BTreeMap<CounterKey, Count>,
    insert: Vec<New>,
    publish: Vec<Event>,
    /// Lines that will not be paid.
    pub(crate) cancelled: CancelledLines,
}

impl Conclusion {
    /// Puts everything into a change.
    pub(crate) fn into_change(self, change: &mut Change) {
        let Self { updates, posted, mut counts, insert, publish, cancelled } = self;
        change.update.extend(updates);
        change.post.extend(posted);
        change.insert.extend(insert);
        change.publish.extend(publish);
        cancelled.into_change(change, &mut counts);
        change.count.extend(counts.into_values());
    }

    fn count(&mut self, count: Count) {
        add_count(&mut self.counts, count);
    }

    fn alarm(
        &mut self,
        facts: Facts<'_>,
        alarm: Alarm,
        about: (&Instruction, Option<ItemId>),
        what: serde_json::Value,
    ) {
        let (instruction, item) = about;
        let of_item = item.map(tracing::field::display);
        tracing::error!(alarm = alarm.as_str(), instruction = %instruction.id, item = of_item, what = %what, "a person is needed");
        let id = EventId::new(facts.ids.fresh());
        self.publish.push(Event::alarm(id, alarm, (Some(instruction.batch), item), what, facts.at));
    }
}

/// Moves of one counter add up: no counter occurs twice in a change.
pub(crate) fn add_count(counts: &mut BTreeMap<CounterKey, Count>, count: Count) {
    match counts.get_mut(&count.key) {
        Some(known) => {
            known.add += count.add;
            known.seen = known.seen.or(count.seen);
        }
        None => {
            counts.insert(count.key.clone(), count);
        }
    }
}

/// Writes down that an instruction is as it is now. To be called once, after everything about it was learned.
pub(crate) fn write_down(into: &mut Conclusion, before: &Stored<Instruction>, now: Instruction) {
    if now != before.value {
        into.updates.push(Update::Instruction(Stored { value: now, revision: before.revision }));
    }
}

/// Whether what an event says about the money can be of this payment.
pub(crate) fn is_credible(event: &RailEvent, part: &InstructionItem, instruction: &Instruction) -> bool {
    let ordered = Money::new(part.amount_minor, instruction.currency);
    let names_it = event.amount.is_none_or(|amount| amount == ordered);
    match &event.what {
        Seen::Returned { returned, .. } => {
            names_it
                && returned.currency == instruction.currency
                && (1..=part.amount_minor).contains(&returned.amount_minor)
        }
        _ => names_it,
    }
}

/// The parts of an instruction that an event is about.
pub(crate) fn parts_of<'i>(event: &RailEvent, instruction: &'i Instruction) -> Vec<&'i InstructionItem> {
    let is_meant = |part: &&InstructionItem| match &event.about {
        About::Item(wire_ref) => part.wire_ref == *wire_ref,
        About::Instruction(id) => instruction.id == *id,
        About::Destination(_) => false,
    };
    instruction.items.iter().filter(is_meant).collect()
}

/// Takes what a rail said of an instruction. `is_new` answers whether something that cannot be believed was not told
/// before: it is stored and alarmed once. Where the event came by itself, `stored` stores whatever it says.
pub(crate) fn hear(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    mut instruction: Instruction,
    event: &RailEvent,
    (stored, is_new): (bool, bool),
) -> Result<Instruction, Contradiction> {
    let meant: Vec<InstructionItem> = parts_of(event, &instruction).into_iter().cloned().collect();
    let credible = !meant.is_empty() && meant.iter().all(|part| is_credible(event, part, &instruction));
    let mut verdict = Verdict::Known;
    if credible {
        for part in &meant {
            let (now, one) = learn(work, into, facts, instruction, part.item, &event.what)?;
            instruction = now;
            verdict = stronger(verdict, one);
        }
    } else {
        verdict = Verdict::Alarmed;
        if is_new {
            let alarm = if meant.is_empty() { Alarm::UnknownPayment } else { Alarm::AmountMismatch };
            let what = json!({ "rail": facts.rail.id, "name": event.dedupe, "says": event.what.as_str(),
                "amount": event.amount.map(|amount| amount.to_string()) });
            into.alarm(facts, alarm, (&instruction, meant.first().map(|part| part.item)), what);
        }
        for part in &meant {
            lose_track(work, part.item, facts.at)?;
        }
    }
    if is_new && (stored || verdict == Verdict::Alarmed) {
        into.insert.push(New::RailEvent(Box::new(TakenEvent {
            rail: facts.rail.id.clone(),
            event: event.clone(),
            instruction: Some(instruction.id),
            verdict,
            received_at: facts.at,
        })));
    }
    Ok(instruction)
}

fn stronger(one: Verdict, two: Verdict) -> Verdict {
    match (one, two) {
        (Verdict::Alarmed, _) | (_, Verdict::Alarmed) => Verdict::Alarmed,
        (Verdict::Applied, _) | (_, Verdict::Applied) => Verdict::Applied,
        (Verdict::Known, Verdict::Known) => Verdict::Known,
    }
}

/// The rail has it: whatever it did not say of an item, it will report.
pub(crate) fn acknowledge(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    mut instruction: Instruction,
    reference: Option<&String>,
) -> Result<Instruction, Contradiction> {
    let silent: Vec<ItemId> =
        instruction.items.iter().filter(|part| part.outcome == Outcome::Sent).map(|part| part.item).collect();
    for item in silent {
        let what = Seen::Accepted { reference: reference.cloned() };
        instruction = learn(work, into, facts, instruction, item, &what)?.0;
    }
    Ok(instruction)
}

/// The rail refused all of it.
pub(crate) fn refused(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    mut instruction: Instruction,
    (reason, class): (&str, Class),
) -> Result<Instruction, Contradiction> {
    for item in items_of(&instruction) {
        let what = Seen::Rejected { reason: reason.to_owned(), class };
        instruction = learn(work, into, facts, instruction, item, &what)?.0;
    }
    Ok(instruction)
}

/// It is proven that the rail never had it, or it never left: what was to be paid is owed again, and sent later.
pub(crate) fn absent(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    mut instruction: Instruction,
) -> Result<Instruction, Contradiction> {
    for item in items_of(&instruction) {
        let Some(part) = instruction.item(item).filter(|part| part.outcome == Outcome::Sent).cloned() else { continue };
        give_back(work, into, facts, &instruction, &part)?;
        send_later(work, facts, item, NEVER_RECEIVED, true)?;
        instruction = instruction.learn(item, Outcome::Absent)?;
    }
    Ok(instruction)
}

/// Silence is never a failure: the items show that we do not know.
pub(crate) fn unknown(work: &mut BatchWork<'_>, instruction: &Instruction, at: Timestamp) -> Result<(), Contradiction> {
    for part in instruction.items.iter().filter(|part| part.outcome == Outcome::Sent) {
        lose_track(work, part.item, at)?;
    }
    Ok(())
}

/// An item was not executed and is free again: it never left, or people say so. It is sent again unless somebody
/// decides otherwise.
pub(crate) fn given_up(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    instruction: Instruction,
    item: ItemId,
) -> Result<Instruction, Contradiction> {
    let Some(part) = instruction.item(item).cloned() else { return Ok(instruction) };
    give_back(work, into, facts, &instruction, &part)?;
    work.step(item, ItemStep::ProveAbsent, facts.at)?;
    Ok(instruction.learn(item, Outcome::Absent)?)
}

/// As [`unknown`], of what was found sent and is neither asked for nor sent again now.
pub(crate) fn unknown_if_sent(
    work: &mut BatchWork<'_>,
    instruction: &Instruction,
    at: Timestamp,
) -> Result<(), Contradiction> {
    if instruction.may_have_been_received() { unknown(work, instruction, at) } else { Ok(()) }
}

fn lose_track(work: &mut BatchWork<'_>, item: ItemId, at: Timestamp) -> Result<(), Contradiction> {
    if work.item(item).is_some_and(|item| item.status() == ItemStatus::Processing) {
        work.step(item, ItemStep::LoseTrack, at)?;
    }
    Ok(())
}

fn items_of(instruction: &Instruction) -> Vec<ItemId> {
    instruction.items.iter().map(|part| part.item).collect()
}

/// One thing about one item of an instruction: the whole table of what it can mean.
pub(crate) fn learn(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    instruction: Instruction,
    id: ItemId,
    what: &Seen,
) -> Result<(Instruction, Verdict), Contradiction> {
    let (Some(part), Some(item)) = (instruction.item(id).cloned(), work.item(id).cloned()) else {
        return Ok((instruction, Verdict::Known));
    };
    let was = &part.outcome;
    let learned = match what {
        Seen::Accepted { reference } => {
            if *was != Outcome::Sent {
                return Ok((instruction, Verdict::Known));
            }
            if item.status() == ItemStatus::InDoubt {
                work.step(id, ItemStep::Acknowledge, facts.at)?;
            }
            instruction.learn(id, Outcome::Accepted { reference: reference.clone() })?
        }
        Seen::Settled { reference } => match was {
            Outcome::Settled { .. } | Outcome::Stray { .. } | Outcome::Returned { .. } => {
                return Ok((instruction, Verdict::Known));
            }
            Outcome::Sent | Outcome::Accepted { .. } => {
                into.posted.push(postings::paid(transaction(facts), &instruction, &part, facts.at)?);
                work.step(id, ItemStep::Settle { reference: reference.clone() }, facts.at)?;
                into.insert.push(paid_destination(&item, &part, facts.at));
                instruction.learn(id, Outcome::Settled { reference: reference.clone() })?
            }
            Outcome::Refused { .. } | Outcome::Absent | Outcome::Recalled => {
                executed_late(work, into, facts, instruction, &part, &item, reference.as_ref())?
            }
        },
        Seen::Rejected { reason, class } => match was {
            Outcome::Sent | Outcome::Accepted { .. } => {
                give_back(work, into, facts, &instruction, &part)?;
                rejected(work, into, facts, &instruction, &part, (reason, *class))?;
                instruction.learn(id, Outcome::Refused { reason: reason.clone() })?
            }
            Outcome::Settled { .. } | Outcome::Stray { .. } => {
                // What is executed can come back; it cannot have been refused.
                let what =
                    json!({ "rail": facts.rail.id, "was": was.as_str(), "says": what.as_str(), "reason": reason });
                into.alarm(facts, Alarm::Contradiction, (&instruction, Some(id)), what);
                return Ok((instruction, Verdict::Alarmed));
            }
            Outcome::Refused { .. } | Outcome::Absent | Outcome::Recalled | Outcome::Returned { .. } => {
                return Ok((instruction, Verdict::Known));
            }
        },
        Seen::Returned { reason, returned, reference } => {
            return came_back(work, into, facts, instruction, id, (reason, returned.amount_minor, reference.as_ref()));
        }
        Seen::Recalled => match was {
            Outcome::Sent | Outcome::Accepted { .. } => {
                give_back(work, into, facts, &instruction, &part)?;
                let learned = instruction.learn(id, Outcome::Recalled)?;
                match facts.cancelling {
                    Some(cancelling) => {
                        work.step(id, ItemStep::ProveRecalled, facts.at)?;
                        into.cancelled.cancel(work, cancelling, &item, (facts.ids, facts.at))?;
                    }
                    // Nobody here knows how to cancel a line: it is owed, and waits for an operator.
                    None => work.step(id, ItemStep::RecipientMustAct(HoldReason::OperatorHold), facts.at)?,
                }
                learned
            }
            _ => return Ok((instruction, Verdict::Known)),
        },
        Seen::DetailsChanged => return Ok((instruction, Verdict::Known)),
    };
    Ok((learned, Verdict::Applied))
}

fn transaction(facts: Facts<'_>) -> TransactionId {
    TransactionId::new(facts.ids.fresh())
}

fn paid_destination(item: &Item, part: &InstructionItem, at: Timestamp) -> New {
    New::PaidDestination(PaidDestination { recipient: item.recipient.clone(), destination: part.destination, at })
}

/// Nothing was executed: what was on its way is owed again.
fn give_back(
    work: &BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    instruction: &Instruction,
    part: &InstructionItem,
) -> Result<(), Contradiction> {
    if let Some(item) = work.item(part.item) {
        into.posted.push(postings::refused(transaction(facts), instruction, part, item, facts.at)?);
    }
    Ok(())
}

/// What a refusal means for the item, by its class.
fn rejected(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    instruction: &Instruction,
    part: &InstructionItem,
    (reason, class): (&str, Class),
) -> Result<(), Contradiction> {
    match class {
        Class::Retry => send_later(work, facts, part.item, reason, true)?,
        Class::Ops => send_later(work, facts, part.item, reason, false)?,
        Class::Hold => work.step(part.item, ItemStep::RecipientMustAct(HoldReason::RecipientMustAct), facts.at)?,
        Class::Fail => work.step(part.item, ItemStep::Refuse { reason: reason.to_owned() }, facts.at)?,
    }
    set_off(work, into, facts, instruction, part)
}

/// What was paid late and is a debt since, and is owed again after a refusal, is set off: then it is paid.
fn set_off(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    instruction: &Instruction,
    part: &InstructionItem,
) -> Result<(), Contradiction> {
    let Some(item) = work.item(part.item).filter(|item| facts.strays.contains(&item.id)).cloned() else {
        return Ok(());
    };
    let key = CounterKey::debt(&item.recipient, instruction.currency);
    // If a later batch has recovered the debt meanwhile, there is nothing to set off: the money is owed.
    let Some(debt) = facts.debts.get(&key).filter(|debt| debt.value >= part.amount_minor) else { return Ok(()) };
    into.posted.push(postings::set_off(transaction(facts), instruction, part, &item, facts.at)?);
    into.count(count(&item, instruction, Some(debt.revision), -part.amount_minor, key, Reason::LatePayment));
    Ok(work.step(item.id, ItemStep::SettleLate { reference: None }, facts.at)?)
}

fn send_later(
    work: &mut BatchWork<'_>,
    facts: Facts<'_>,
    id: ItemId,
    reason: &str,
    counts: bool,
) -> Result<(), Contradiction> {
    let retries = work.item(id).map_or(0, |item| item.retries);
    if counts && retries >= RETRIES_MAX {
        // A known refusal that uses them up is a failure.
        return Ok(work.step(id, ItemStep::Refuse { reason: reason.to_owned() }, facts.at)?);
    }
    work.step(id, ItemStep::ProveAbsent, facts.at)?;
    let pause = full_jitter(facts.dice, Duration::from_secs(2), retries, RETRY_PAUSE_MAX);
    work.postpone(id, facts.at.after(pause), counts);
    Ok(())
}

/// A pause that grows with every try, and is any part of that: so those who failed together do not come back together.
pub(crate) fn full_jitter(dice: &dyn Dice, first: Duration, tries: u32, most: Duration) -> Duration {
    let whole = first.saturating_mul(1 << tries.min(20)).min(most);
    let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
    Duration::from_millis(100) + Duration::from_micros(dice.below(micros))
}

/// It had been given up, and was executed after all.
fn executed_late(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    instruction: Instruction,
    part: &InstructionItem,
    item: &Item,
    reference: Option<&String>,
) -> Result<Instruction, Contradiction> {
    let is_owed = matches!(item.status(), ItemStatus::Failed | ItemStatus::Scheduled | ItemStatus::PendingKyc);
    // A reversal may have taken a part meanwhile: that much the recipient has too much.
    let owed_minor = if is_owed { item.due_minor().min(part.amount_minor) } else { 0 };
    into.posted.push(postings::paid_late(transaction(facts), &instruction, part, item, owed_minor, facts.at)?);
    into.insert.push(paid_destination(item, part, facts.at));
    let debt_minor = part.amount_minor - owed_minor;
    if debt_minor > 0 {
        let key = CounterKey::debt(&item.recipient, instruction.currency);
        into.count(count(item, &instruction, None, debt_minor, key, Reason::LatePayment));
        let what = json!({ "rail": facts.rail.id, "itemStatus": item.status().as_str(), "amount": debt_minor });
        into.alarm(facts, Alarm::PaidTwice, (&instruction, Some(item.id)), what);
    }
    if is_owed {
        work.step(item.id, ItemStep::SettleLate { reference: reference.cloned() }, facts.at)?;
        return Ok(instruction.learn(item.id, Outcome::Settled { reference: reference.cloned() })?);
    }
    // The batch is held still: whoever refuses the newer one must know of this.
    work.touch();
    Ok(instruction.learn(item.id, Outcome::Stray { reference: reference.cloned() })?)
}

/// It was executed, and came back: all of it, or a part. `returned_minor` is what came back by now, all in all.
fn came_back(
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    facts: Facts<'_>,
    instruction: Instruction,
    id: ItemId,
    (reason, returned_minor, reference): (&str, i64, Option<&String>),
) -> Result<(Instruction, Verdict), Contradiction> {
    let (Some(part), Some(item)) = (instruction.item(id).cloned(), work.item(id).cloned()) else {
        return Ok((instruction, Verdict::Known));
    };
    let more_minor = returned_minor - part.returned_minor;
    if matches!(part.outcome, Outcome::Returned { .. }) || more_minor <= 0 {
        return Ok((instruction, Verdict::Known));
    }
    let is_stray = match part.outcome {
        Outcome::Settled { .. } => false,
        Outcome::Stray { .. } => true,
        // It was executed before it came back, though nobody told.
        _ => {
            let settled = Seen::Settled { reference: reference.cloned() };
            let (settled, _) = learn(work, into, facts, instruction, id, &settled)?;
            return came_back(work, into, facts, settled, id, (reason, returned_minor, reference));
        }
    };
    let is_whole = part.returned_minor == 0 && (returned_minor == part.amount_minor || facts.rail.charges_returns);
    let learned = if is_whole {
        let owed_minor = if is_stray { 0 } else { item.due_minor().min(part.amount_minor) };
        let mut to = vec![(Account::Payable(item.recipient.clone()), owed_minor)];
        if part.amount_minor > owed_minor {
            to.push(lessen_debt(into, facts, &item, &instruction, part.amount_minor - owed_minor));
        }
        into.posted.push(postings::returned(transaction(facts), &instruction, &part, &to, returned_minor, facts.at)?);
        if !is_stray {
            let step = ItemStep::Return { reference: reference.cloned(), reason: reason.to_owned() };
            work.step(id, step, facts.at)?;
        }
        instruction.learn(id, Outcome::Returned { reference: reference.cloned(), reason: reason.to_owned() })?
    } else {
        let (to, _) = if is_stray {
            lessen_debt(into, facts, &item, &instruction, more_minor)
        } else {
            carry(into, &item, &instruction, more_minor)
        };
        into.posted.push(postings::returned_in_part(
            transaction(facts),
            &instruction,
            &part,
            to,
            more_minor,
            facts.at,
        )?);
        let what = json!({ "rail": facts.rail.id, "amount": more_minor, "reason": reason });
        into.alarm(facts, Alarm::ReturnedInPart, (&instruction, Some(id)), what);
        instruction
    };
    work.touch();
    Ok((learned.came_back(id, returned_minor), Verdict::Applied))
}

fn carry(into: &mut Conclusion, item: &Item, instruction: &Instruction, minor: i64) -> (Account, i64) {
    let key = CounterKey::carried(&item.recipient, instruction.currency);
    into.count(count(item, instruction, None, minor, key, Reason::Return));
    (Account::Carried(item.recipient.clone()), minor)
}

/// What was a debt is none any more; if a later batch has recovered it meanwhile, the recipient is owed it.
fn lessen_debt(
    into: &mut Conclusion,
    facts: Facts<'_>,
    item: &Item,
    instruction: &Instruction,
    minor: i64,
) -> (Account, i64) {
    let key = CounterKey::debt(&item.recipient, instruction.currency);
    match facts.debts.get(&key).filter(|debt| debt.value >= minor) {
        Some(debt) => {
            into.count(count(item, instruction, Some(debt.revision), -minor, key, Reason::Return));
            (Account::Debt(item.recipient.clone()), minor)
        }
        None => carry(into, item, instruction, minor),
    }
}

fn count(
    item: &Item,
    instruction: &Instruction,
    seen: Option<u32>,
    add: i64,
    key: CounterKey,
    reason: Reason,
) -> Count {
    let recipient: Option<RecipientId> = Some(item.recipient.clone());
    Count { key, seen, add, cause: Cause { batch: instruction.batch, reversal: None, recipient, reason } }
}
