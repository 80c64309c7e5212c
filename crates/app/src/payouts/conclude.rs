//! Pure: what a rail's answer means for the instruction and its items.

use super::batch_work::BatchWork;
use crate::{
    change::Stored,
    ports::{
        Ids,
        rail::{Known, Lookup, Submit},
    },
};
use domain::{
    ids::TransactionId,
    instruction::{IllegalInstructionStep, Instruction},
    item::{IllegalItemStep, ItemStatus, ItemStep},
    ledger::{Transaction, Unbalanced, postings},
    timestamp::Timestamp,
};

/// What we know after asking a rail, whichever way we asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The outcome is known.
    Known(Known),
    /// The rail never received it. It may be sent again.
    NotSent,
    /// It may have happened or not.
    Unknown,
}

impl From<Submit> for Answer {
    fn from(submit: Submit) -> Self {
        match submit {
            Submit::Settled { reference } => Self::Known(Known::Settled { reference }),
            Submit::Refused { reason } => Self::Known(Known::Refused { reason }),
            Submit::NotSent { .. } => Self::NotSent,
            Submit::Unknown { .. } => Self::Unknown,
        }
    }
}

impl From<Lookup> for Answer {
    fn from(lookup: Lookup) -> Self {
        match lookup {
            Lookup::Found(known) => Self::Known(known),
            // That a rail does not know it now proves nothing by itself.
            Lookup::Absent | Lookup::CannotTell { .. } => Self::Unknown,
        }
    }
}

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
}

/// Writes an answer down. Answers the instruction if it changed, and what is posted.
pub(super) fn conclude(
    work: &mut BatchWork<'_>,
    instruction: Stored<Instruction>,
    answer: Answer,
    ids: &dyn Ids,
    at: Timestamp,
) -> Result<(Option<Stored<Instruction>>, Vec<Transaction>), Contradiction> {
    match answer {
        Answer::NotSent => Ok((None, Vec::new())),
        Answer::Unknown => {
            lose_track(work, &instruction.value, at)?;
            Ok((None, Vec::new()))
        }
        Answer::Known(known) => {
            let posted = settle_or_refuse(work, &instruction.value, &known, ids, at)?;
            let concluded = instruction.try_map(|instruction| match known {
                Known::Settled { reference } => instruction.accept(reference),
                Known::Refused { reason } => instruction.refuse(reason),
            })?;
            Ok((Some(concluded), posted))
        }
    }
}

/// Silence is never a failure: the item shows that we do not know.
fn lose_track(work: &mut BatchWork<'_>, instruction: &Instruction, at: Timestamp) -> Result<(), Contradiction> {
    for part in &instruction.items {
        if work.item(part.item).is_some_and(|item| item.status() == ItemStatus::Processing) {
            work.step(part.item, ItemStep::LoseTrack, at)?;
        }
    }
    Ok(())
}

fn settle_or_refuse(
    work: &mut BatchWork<'_>,
    instruction: &Instruction,
    known: &Known,
    ids: &dyn Ids,
    at: Timestamp,
) -> Result<Vec<Transaction>, Contradiction> {
    let mut posted = Vec::with_capacity(instruction.items.len());
    for part in &instruction.items {
        let id = TransactionId::new(ids.fresh());
        let step = match known {
            Known::Settled { reference } => {
                posted.push(postings::paid(id, instruction, part, at)?);
                ItemStep::Settle { reference: reference.clone() }
            }
            Known::Refused { reason } => {
                if let Some(item) = work.item(part.item) {
                    posted.push(postings::refused(id, instruction, part, item, at)?);
                }
                ItemStep::Refuse { reason: reason.clone() }
            }
        };
        work.step(part.item, step, at)?;
    }
    Ok(posted)
}
