//! Pure: what a rail says, and what that means for an instruction, its items and the books.
//!
//! However we learn something (an answer to a submission, an answer to a question, a notification, two people's word),
//! it comes here. What is known replaces only what ranks lower, so the order in which things come does not matter;
//! what cannot be believed changes nothing and calls for a person (rails design, section 5, laws 4 and 6).

mod conclusion;
mod debts;

pub(crate) use conclusion::{Conclusion, add_count, write_down};

use super::{batch_work::BatchWork, cancel_lines::Cancelling, told::told};
use crate::{
    change::{New, PaidDestination, TakenEvent, Verdict},
    ports::{
        Dice, Ids,
        rail::{About, Class, RailEvent, RailProfile, Seen},
        repository::StoredCounter,
    },
};
use debts::{came_back, executed_late, set_off};
use domain::{
    counter::CounterKey,
    event::Alarm,
    ids::{ItemId, TransactionId},
    instruction::{IllegalInstructionStep, Instruction, InstructionItem, Outcome},
    item::{IllegalItemStep, Item, ItemStatus, ItemStep},
    ledger::{Unbalanced, postings},
    money::Money,
    recipient::HoldReason,
    timestamp::Timestamp,
};
use serde_json::json;
use std::{
    collections::{BTreeSet, HashMap},
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
            let about = (&instruction, meant.first().map(|part| part.item));
            into.alarm(facts, alarm, about, told(&facts.rail.id, event));
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

/// Nobody has taken it for days. It is offered for ever, and a person may know why it is not taken.
pub(crate) fn not_taken(into: &mut Conclusion, facts: Facts<'_>, instruction: &Instruction) {
    let item = instruction.items.first().map(|part| part.item);
    let what = json!({ "instructionId": instruction.id, "rail": instruction.rail });
    into.alarm(facts, Alarm::NotTaken, (instruction, item), what);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{batch_id, item_id, now, usd};
    use domain::ids::InstructionId;

    #[test]
    fn what_comes_back_is_believed_only_if_all_of_the_message_fits_the_order() {
        let part = InstructionItem::new(item_id(0), "W".to_owned(), 1_000, [0; 32]);
        let id = InstructionId::new(uuid::Uuid::from_u128(1));
        let (rail, parts) = ("simulator".parse().unwrap(), vec![part.clone()]);
        let order = Instruction::record(id, batch_id(), rail, usd(0).currency, parts, 1, Vec::new(), now());
        let eur = |minor| Money::new(minor, "EUR".parse().unwrap());
        for (named, returned, expected) in [
            (Some(usd(1_000)), usd(1_000), true),
            (None, usd(1), true),
            (Some(usd(999)), usd(1_000), false),
            (Some(eur(1_000)), usd(1_000), false),
            (Some(usd(1_000)), eur(1_000), false),
            (Some(usd(1_000)), usd(0), false),
            (Some(usd(1_000)), usd(1_001), false),
        ] {
            let what = Seen::Returned { reason: "no_account".to_owned(), returned, reference: None };
            let event = RailEvent::answered("W", what, named, b"raw");
            assert_eq!(is_credible(&event, &part, &order), expected, "{named:?} {returned:?}");
        }
    }
}
