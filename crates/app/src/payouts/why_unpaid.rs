//! "Why is this not paid yet": a word for programs, a sentence for people, and what to do next.

use super::resolve_item::{RESOLVED_AS_FAILED, resolvable_from};
use crate::ports::{
    Rails,
    queries::{ItemDetails, RailPause},
    rail::{Class, RailProfile},
};
use domain::{
    instruction::{Instruction, Outcome},
    item::ItemState,
    recipient::{HoldReason, RailId},
    timestamp::Timestamp,
};

/// Why an item is not paid yet; or that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// A stable word.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
    /// What can be done, or that nothing needs to be.
    pub next_step: String,
    /// When something happens by itself, if that is known.
    pub not_before: Option<Timestamp>,
}

impl Why {
    fn new(code: &'static str, message: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { code, message: message.into(), next_step: next_step.into(), not_before: None }
    }
    fn at(self, not_before: Timestamp) -> Self {
        Self { not_before: Some(not_before), ..self }
    }
}

/// Says why an item is not paid yet. Pure.
pub fn why_unpaid(details: &ItemDetails, rails: &Rails, now: Timestamp) -> Why {
    let instruction = details.instructions.last();
    let rail = instruction.and_then(|last| rails.get(&last.rail)).map(|rail| rail.profile());
    match details.item.state() {
        ItemState::Scheduled => scheduled(details, rails, now),
        ItemState::PendingKyc { reason } => held(*reason),
        ItemState::Processing => processing(details, instruction),
        ItemState::InDoubt => in_doubt(details, instruction, rail.as_ref(), now),
        ItemState::Paid { .. } => Why::new("paid", "It is paid.", "Nothing is to be done."),
        ItemState::Failed { reason, .. } if reason == RESOLVED_AS_FAILED => Why::new(
            "refused",
            "Two people found that the rail had not executed it: the money never left, and is still owed.",
            "Mend what kept the rail from it, then retry the item; or cancel it.",
        ),
        ItemState::Failed { reason, .. } => Why::new(
            "refused",
            format!("The rail refused it (`{reason}`): the money never left, and is still owed."),
            "Mend what the rail complains of, then retry the item; or cancel it.",
        ),
        ItemState::Returned { reason, .. } => Why::new(
            "returned",
            format!("It was paid and came back (`{reason}`): the money is owed again."),
            "Ask the recipient for other details, then retry the item; or cancel it.",
        ),
        ItemState::Cancelled { .. } => Why::new(
            "cancelled",
            "It was cancelled: the money went back to the escrow.",
            "Nothing is to be done; money that was cancelled needs a new release.",
        ),
    }
}

fn scheduled(details: &ItemDetails, rails: &Rails, now: Timestamp) -> Why {
    let (batch, item) = (&details.batch, &details.item);
    if batch.approvals.are_missing() {
        let (given, required) = (batch.approvals.given, batch.approvals.required);
        return Why::new(
            "awaiting_approval",
            format!("The policy asks for {required} to say yes, and {given} did."),
            "Somebody who may approve, and who did not make it, approves the batch.",
        );
    }
    if batch.due_at > now {
        return Why::new("not_due_yet", "It is not due yet.", "Nothing is to be done: it is paid when it is due.")
            .at(batch.due_at);
    }
    let not_before = item.not_before.filter(|not_before| *not_before > now);
    let next = details.rail.as_ref().unwrap_or_else(|| rails.default_id());
    let why = match (pause_of(details, next), blamed(details, rails), not_before) {
        (Some(pause), ..) => rail_paused(pause),
        (None, Some(reason), _) => Why::new(
            "retried_later",
            format!("The rail refused it because of us (`{reason}`)."),
            format!("{} If that is done, nothing: it is sent again by itself.", to_mend(reason)),
        ),
        (None, None, Some(_)) => Why::new(
            "retried_later",
            "The last attempt did not succeed, for a reason that may pass.",
            "Nothing is to be done: it is sent again by itself.",
        ),
        (None, None, None) => Why::new(
            "queued",
            "It is sent as soon as it is its turn; if it stays so, its rail asked for time or cannot be reached, or no worker runs.",
            "Nothing is to be done; look at the alarms and at the worker's log if it stays so for minutes.",
        ),
    };
    Why { not_before, ..why }
}

/// Why it was refused last, if that was because of us.
fn blamed<'d>(details: &'d ItemDetails, rails: &Rails) -> Option<&'d str> {
    let last = details.instructions.last()?;
    let Outcome::Refused { reason } = &last.item(details.item.id)?.outcome else { return None };
    let class = rails.get(&last.rail)?.class_of(reason)?;
    (class == Class::Ops).then_some(reason.as_str())
}

fn pause_of<'d>(details: &'d ItemDetails, rail: &RailId) -> Option<&'d RailPause> {
    details.pauses.iter().find(|pause| pause.rail == *rail)
}

fn rail_paused(RailPause { since, says, .. }: &RailPause) -> Why {
    Why::new(
        "rail_paused",
        format!(
            "Its rail is paused: it refused everything because of us (`{says}`), and has taken nothing since {since}."
        ),
        format!("{} The rail is tried again every minute, and what waits goes on by itself.", to_mend(says)),
    )
}

/// What to do about a rail that blames us. An empty balance has the same name everywhere.
fn to_mend(says: &str) -> &'static str {
    match says {
        "insufficient_funds" | "balance_insufficient" => "Top up our balance at the provider.",
        _ => "Mend our credentials or our account at the provider.",
    }
}

/// What ends such a hold.
pub(super) fn next_step(reason: HoldReason) -> &'static str {
    held_for(reason).1
}

fn held(reason: HoldReason) -> Why {
    let (message, next) = held_for(reason);
    Why::new(reason.as_str(), message, next)
}

/// A sentence of each reason, and what to do.
fn held_for(reason: HoldReason) -> (&'static str, &'static str) {
    match reason {
        HoldReason::RecipientPending => (
            "The recipient is `pending`.",
            "Once they have done what is missing, register the recipient as `active` (`PUT /recipients/{recipientId}`): that releases the item.",
        ),
        HoldReason::RecipientBlocked => (
            "The recipient is `blocked`.",
            "When they may be paid, register the recipient as `active` (`PUT /recipients/{recipientId}`): that releases the item.",
        ),
        HoldReason::RecipientPlaceholder => (
            "The recipient stands for somebody who is not known yet.",
            "Register the recipient (`PUT /recipients/{recipientId}`): that releases the item.",
        ),
        HoldReason::RecipientUnregistered => (
            "Nobody registered the recipient, and the rail pays no strangers.",
            "Register the recipient (`PUT /recipients/{recipientId}`): that releases the item.",
        ),
        HoldReason::DestinationUnusable => (
            "The rail cannot pay to the recipient's details.",
            "Register the recipient with details that the rail takes (`PUT /recipients/{recipientId}`): that releases the item.",
        ),
        HoldReason::InstructionImpossible => (
            "The rail takes the details, and cannot put the payment into an instruction.",
            "Register the recipient with other details, or release the item to have it tried again.",
        ),
        HoldReason::RecipientMustAct => (
            "The rail says that the recipient must act first, such as finish their verification there.",
            "Have the recipient do it; then register their details or release the item.",
        ),
        HoldReason::OperatorHold => ("An operator holds it.", "An operator releases the item, or cancels it."),
    }
}

fn processing(details: &ItemDetails, instruction: Option<&Instruction>) -> Why {
    let part = instruction.and_then(|last| last.item(details.item.id));
    match (instruction, part.map(|part| &part.outcome)) {
        (_, Some(Outcome::Accepted { .. })) => Why::new(
            "with_the_rail",
            "The rail has it, and has not said yet that it is paid.",
            "Nothing is to be done: the rail reports, and is asked from time to time. It can be cancelled if the rail recalls it.",
        ),
        (Some(last), _) if !last.may_have_been_received() => match pause_of(details, &last.rail) {
            Some(pause) => rail_paused(pause),
            None => Why::new(
                "rail_unreachable",
                "The rail could not be reached or asked us to wait, so it took nothing.",
                "Nothing is to be done: it is tried again. It can be cancelled.",
            ),
        },
        _ => Why::new("sending", "It is being sent.", "Nothing is to be done."),
    }
}

fn in_doubt(
    details: &ItemDetails,
    instruction: Option<&Instruction>,
    rail: Option<&RailProfile>,
    now: Timestamp,
) -> Why {
    let message = "The rail did not answer, or what it says does not fit the order: it may have been paid or not.";
    if let Some(proposal) = &details.resolution {
        let next = format!(
            "A second person says the same (`{}`), or something else, at the item's `resolve`.",
            proposal.outcome.as_str()
        );
        return Why::new(
            "second_person_needed",
            format!("{message} {} said what became of it.", proposal.proposed_by),
            next,
        );
    }
    let (Some(instruction), Some(rail)) = (instruction, rail) else {
        return Why::new("outcome_unknown", message, "The rail it went to is not configured any more: configure it.");
    };
    let not_before = resolvable_from(rail, instruction);
    if now < not_before {
        return Why::new(
            "outcome_unknown",
            message,
            "Nothing is to be done yet: the rail is asked, and where it is safe the same order is sent again under the same key.",
        )
        .at(not_before);
    }
    Why::new(
        "resolution_needed",
        message,
        "Find out at the rail what became of it; then two people say so at the item's `resolve`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{batch, item, item_id, now, rail, rails},
        ports::rail::MockPayoutRail,
    };
    use domain::{
        ids::InstructionId,
        instruction::InstructionItem,
        item::{Item, ItemStep},
    };
    use std::time::Duration;

    /// What is known of an item after these steps, and after an instruction of which that became.
    fn details(steps: Vec<ItemStep>, outcome: Option<Outcome>) -> ItemDetails {
        let step = |item: Item, step| item.after(step, now()).unwrap();
        let item = steps.into_iter().fold(item(0, None), step);
        let instructions = outcome.into_iter().map(|outcome| {
            let part = InstructionItem { outcome, ..InstructionItem::new(item_id(0), "W".into(), 100, [0; 32]) };
            let (id, rail) = (InstructionId::new(uuid::Uuid::nil()), "simulator".parse().unwrap());
            Instruction::record(id, batch().id, rail, batch().currency, vec![part], 1, Vec::new(), now())
        });
        let instructions = instructions.collect();
        ItemDetails { item, batch: batch(), instructions, resolution: None, rail: None, pauses: Vec::new() }
    }
    fn refused(reason: &str) -> ItemDetails {
        let steps = vec![ItemStep::RecordIntent, ItemStep::ProveAbsent];
        details(steps, Some(Outcome::Refused { reason: reason.to_owned() }))
    }
    fn pause(rail: &str, says: &str) -> RailPause {
        RailPause { rail: rail.parse().unwrap(), since: now(), says: says.to_owned() }
    }
    fn knowing() -> MockPayoutRail {
        let mut rail = rail("simulator", true);
        rail.expect_class_of().returning(|reason| match reason {
            "insufficient_funds" | "authentication_failed" => Some(Class::Ops),
            "could_not_process" => Some(Class::Retry),
            _ => None,
        });
        rail
    }
    fn why(details: &ItemDetails) -> Why {
        why_unpaid(details, &rails(knowing()), now())
    }

    #[test]
    fn what_we_must_mend_is_told_of_what_was_refused() {
        for (reason, mend) in [
            ("insufficient_funds", "Top up our balance at the provider."),
            ("authentication_failed", "Mend our credentials or our account at the provider."),
        ] {
            let known = refused(reason);
            let told = why(&known);
            assert_eq!(told.code, "retried_later", "nobody knows of a pause");
            assert!(told.message.contains(reason) && told.next_step.starts_with(mend), "{told:?}");
            let told = why(&ItemDetails { pauses: vec![pause("simulator", reason)], ..known });
            assert_eq!(told.code, "rail_paused");
            assert!(told.message.contains(reason) && told.next_step.starts_with(mend), "{told:?}");
        }
        for reason in ["could_not_process", "nobody_knows"] {
            let known = refused(reason);
            assert_eq!(why(&known).code, "queued");
            let item = known.item.clone().postponed(now().after(Duration::from_secs(9)), true);
            let told = why(&ItemDetails { item, ..known });
            assert_eq!((told.code, told.not_before), ("retried_later", Some(now().after(Duration::from_secs(9)))));
            assert!(told.next_step.starts_with("Nothing"), "{told:?}");
        }
    }

    #[test]
    fn what_waits_for_a_rail_that_is_paused_says_so_and_nobody_else_does() {
        let waits = details(Vec::new(), None);
        assert_eq!(why(&waits).code, "queued");
        let paused = |pauses, rail: Option<&str>| {
            let rail = rail.map(|rail| rail.parse().unwrap());
            why(&ItemDetails { pauses, rail, ..waits.clone() }).code
        };
        assert_eq!(paused(vec![pause("other", "x"), pause("simulator", "x")], None), "rail_paused");
        assert_eq!(paused(vec![pause("other", "x")], None), "queued");
        assert_eq!(paused(vec![pause("other", "x")], Some("other")), "rail_paused");
        assert_eq!(paused(vec![pause("simulator", "x")], Some("other")), "queued");
    }

    #[test]
    fn what_a_rail_that_blames_us_did_not_take_says_so() {
        let mut unsent = details(vec![ItemStep::RecordIntent], Some(Outcome::Sent));
        let paused = vec![pause("simulator", "the provider answered 401")];
        assert_eq!(why(&ItemDetails { pauses: paused.clone(), ..unsent.clone() }).code, "sending");
        unsent.instructions[0] = unsent.instructions[0].clone().not_sent();
        assert_eq!(why(&unsent).code, "rail_unreachable");
        let told = why(&ItemDetails { pauses: paused, ..unsent });
        assert_eq!(told.code, "rail_paused");
        assert!(told.next_step.starts_with("Mend our credentials"), "{told:?}");
    }
}
