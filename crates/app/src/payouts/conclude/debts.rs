//! What was executed late, or came back: what a recipient has too much is a debt, against which what is owed is set off.

use super::{Conclusion, Contradiction, Facts, learn, paid_destination, transaction};
use crate::{
    change::{Cause, Count, Reason, Verdict},
    payouts::batch_work::BatchWork,
    ports::rail::Seen,
};
use domain::{
    counter::CounterKey,
    event::Alarm,
    ids::{ItemId, RecipientId},
    instruction::{Instruction, InstructionItem, Outcome},
    item::{Item, ItemStatus, ItemStep},
    ledger::{Account, postings},
};
use serde_json::json;

/// What was paid late and is a debt since, and is owed again after a refusal, is set off: then it is paid.
pub(super) fn set_off(
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

/// It had been given up, and was executed after all.
pub(super) fn executed_late(
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
pub(super) fn came_back(
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
