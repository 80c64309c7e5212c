//! "Why is this not paid yet": a word for programs, a sentence for people, and what to do next.

use super::resolve_item::{RESOLVED_AS_FAILED, resolvable_from};
use crate::ports::{Rails, queries::ItemDetails, rail::RailProfile};
use domain::{
    instruction::{Instruction, Outcome},
    item::ItemState,
    recipient::HoldReason,
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
        ItemState::Scheduled => scheduled(details, now),
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

fn scheduled(details: &ItemDetails, now: Timestamp) -> Why {
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
    match item.not_before.filter(|not_before| *not_before > now) {
        Some(not_before) => Why::new(
            "retried_later",
            "The last attempt did not succeed, for a reason that may pass.",
            "Nothing is to be done: it is sent again by itself.",
        )
        .at(not_before),
        None => Why::new(
            "queued",
            "It is about to be sent; if it stays so, its rail cannot be reached or no worker runs.",
            "Nothing is to be done; look at the worker's log if it stays so for minutes.",
        ),
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
        (Some(last), _) if !last.may_have_been_received() => Why::new(
            "rail_unreachable",
            "The rail could not be reached or asked us to wait, so it took nothing.",
            "Nothing is to be done: it is tried again. It can be cancelled.",
        ),
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
