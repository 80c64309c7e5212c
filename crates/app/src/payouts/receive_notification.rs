//! A rail sent us a message: what it says is written down with what it changes, in one commit.
//!
//! The message is believed only if the rail signed it. The same saying again changes nothing. What it says of payments
//! that we never ordered, or of other amounts, is stored and calls for a person.

use super::{
    batch_work::BatchWork,
    conclude::{self, Conclusion, Contradiction},
    execute_batch::Known,
    told::told,
};
use crate::{
    RACES_MAX,
    change::{Change, New, Stored, TakenEvent, Verdict},
    failure::{Class, Failure},
    job::{Job, JobKind},
    ports::{
        CommitError, Dice, DuplicateKey, Ids, PayoutRepository, Rails, StoreError,
        rail::{About, Inbound, IngestError, RailEvent, RailProfile},
    },
};
use domain::{
    audit::Actor,
    event::{Alarm, Event},
    ids::{EventId, JobId},
    instruction::Instruction,
    item::ItemStatus,
    recipient::RailId,
    timestamp::Timestamp,
};

/// What is needed to hear.
#[derive(Clone, Copy)]
pub struct Ears<'a> {
    /// Where batches are kept.
    pub repository: &'a dyn PayoutRepository,
    /// Who may speak.
    pub rails: &'a Rails,
    /// Names.
    pub ids: &'a dyn Ids,
    /// Chance.
    pub dice: &'a dyn Dice,
}

/// What was made of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// So many sayings were written down now.
    pub taken: u32,
    /// So many were known by their names.
    pub known: u32,
}

/// Why a message was not taken, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// There is no such rail.
    #[error("there is no rail `{0}`")]
    RailNotFound(RailId),
    /// It is not believed, or cannot be read.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Our own fault.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// It could not be committed: the rail sends it again.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<StoreError> for ReceiveError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl Failure for ReceiveError {
    fn code(&self) -> &'static str {
        match self {
            Self::RailNotFound(_) => "rail_not_found",
            Self::Ingest(IngestError::Forged(_)) => "bad_signature",
            Self::Ingest(IngestError::Unreadable(_)) => "malformed_message",
            Self::Ingest(IngestError::NotTaken(_)) => "messages_not_taken",
            Self::Contradiction(_) => "server_error",
            Self::Commit(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::RailNotFound(_) | Self::Ingest(IngestError::NotTaken(_)) => Class::NotFound,
            Self::Ingest(IngestError::Forged(_)) => Class::Refused,
            Self::Ingest(IngestError::Unreadable(_)) => Class::Invalid,
            Self::Contradiction(_) => Class::Internal,
            Self::Commit(error) => error.class(),
        }
    }
}

/// Takes a message. It is all written down when this answers.
///
/// # Errors
/// See [`ReceiveError`].
pub async fn receive_notification(ears: Ears<'_>, rail: &RailId, message: Inbound) -> Result<Heard, ReceiveError> {
    let speaker = ears.rails.get(rail).ok_or_else(|| ReceiveError::RailNotFound(rail.clone()))?;
    let profile = speaker.profile();
    let mut heard = Heard::default();
    for event in speaker.ingest(&message)? {
        if take(ears, &profile, &event, message.received_at).await? {
            heard.taken += 1;
        } else {
            heard.known += 1;
        }
    }
    Ok(heard)
}

/// Answers whether it was new.
pub(crate) async fn take(
    ears: Ears<'_>,
    rail: &RailProfile,
    event: &RailEvent,
    now: Timestamp,
) -> Result<bool, ReceiveError> {
    let mut races = 0;
    loop {
        let known = ears.repository.taken_events(&rail.id, std::slice::from_ref(&event.dedupe)).await?;
        if !known.is_empty() {
            return Ok(false);
        }
        let change = match decide(ears, rail, event, now).await {
            Err(ReceiveError::Commit(CommitError::Stale)) if races < RACES_MAX => {
                races += 1;
                continue;
            }
            decided => decided?,
        };
        match ears.repository.commit(change).await {
            Ok(()) => return Ok(true),
            Err(CommitError::Duplicate(DuplicateKey::RailEvent(..))) => return Ok(false),
            Err(CommitError::Stale | CommitError::Duplicate(_)) if races < RACES_MAX => races += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// `Stale` if what was read one after another is not of one moment.
async fn decide(ears: Ears<'_>, rail: &RailProfile, event: &RailEvent, now: Timestamp) -> Result<Change, ReceiveError> {
    if let About::Destination(value) = &event.about {
        return Ok(details_changed(ears, rail, event, value, now).await?);
    }
    match ordered(ears, rail, event).await? {
        Some(stored) => about_ours(ears, rail, event, stored, now).await,
        None => Ok(about_nothing(ears, rail, event, now)),
    }
}

/// The order of ours that a saying is about, if there is one.
pub(crate) async fn ordered(
    ears: Ears<'_>,
    rail: &RailProfile,
    event: &RailEvent,
) -> Result<Option<Stored<Instruction>>, StoreError> {
    match &event.about {
        About::Destination(_) => Ok(None),
        About::Item(wire_ref) => ears.repository.instruction_of(&rail.id, wire_ref).await,
        About::Instruction(id) => {
            let stored = ears.repository.instruction(*id).await?;
            Ok(stored.filter(|stored| stored.value.rail == rail.id))
        }
    }
}

async fn about_ours(
    ears: Ears<'_>,
    rail: &RailProfile,
    event: &RailEvent,
    stored: Stored<Instruction>,
    now: Timestamp,
) -> Result<Change, ReceiveError> {
    let batch = stored.value.batch;
    let found = ears.repository.batch_for_execution(batch).await?;
    let found =
        found.ok_or_else(|| StoreError::Corrupt(format!("the batch {batch} of an instruction is not there")))?;
    // Somebody else may have heard the same between the two: then the instruction is older than its items.
    let still = ears.repository.instruction(stored.value.id).await?;
    if still.is_none_or(|still| still.revision != stored.revision) {
        return Err(CommitError::Stale.into());
    }
    let mut work = BatchWork::new(found.batch, found.items, Actor::rail(&rail.id), ears.ids);
    let known = Known::of_events(ears.repository, &work, vec![(&stored.value, event)], found.strays).await?;
    let facts = known.facts(rail, (ears.ids, ears.dice), now);
    let mut into = Conclusion::default();
    let instruction = conclude::hear(&mut work, &mut into, facts, stored.value.clone(), event, (true, true))?;
    conclude::write_down(&mut into, &stored, instruction);
    // Even if nothing moves: whoever decides about the batch meanwhile must know of this.
    work.touch();
    let next = work.items().filter(|item| item.status() == ItemStatus::Scheduled);
    let next = next.map(|item| item.not_before.unwrap_or(now)).min();
    let wake = next.map(|at| Job::of(work.batch(), at.max(work.batch().due_at)));
    let mut change = work.take_change(None, now);
    change.wake.extend(wake);
    into.into_change(&mut change);
    Ok(change)
}

/// We never ordered it: that is stored, and a person is needed.
fn about_nothing(ears: Ears<'_>, rail: &RailProfile, event: &RailEvent, now: Timestamp) -> Change {
    let about = told(&rail.id, event);
    tracing::error!(
        rail = %rail.id,
        name = event.dedupe,
        key = event.key.as_deref(),
        reference = event.what.reference(),
        what = %about,
        "a rail reports on a payment that we never ordered"
    );
    let alarm = Event::alarm(EventId::new(ears.ids.fresh()), Alarm::UnknownPayment, (None, None), about, now);
    Change { insert: vec![stored(rail, event, Verdict::Alarmed, now)], publish: vec![alarm], ..Change::default() }
}

/// Whoever is paid there may be paid by now: what is held for them is looked at anew.
async fn details_changed(
    ears: Ears<'_>,
    rail: &RailProfile,
    event: &RailEvent,
    value: &str,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let recipients = ears.repository.recipients_paid_at(&rail.id, value).await?;
    let job =
        |recipient| Job { id: JobId::new(ears.ids.fresh()), kind: JobKind::ReleaseHeldItems(recipient), run_at: now };
    let verdict = if recipients.is_empty() { Verdict::Known } else { Verdict::Applied };
    let enqueue = recipients.into_iter().map(job).collect();
    Ok(Change { insert: vec![stored(rail, event, verdict, now)], enqueue, ..Change::default() })
}

fn stored(rail: &RailProfile, event: &RailEvent, verdict: Verdict, received_at: Timestamp) -> New {
    let (rail, event) = (rail.id.clone(), event.clone());
    New::RailEvent(Box::new(TakenEvent { rail, event, instruction: None, verdict, received_at }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, Middle, batch_id, found, item, item_id, now, rail, rails},
        ports::{rail::Seen, repository::MockPayoutRepository},
    };
    use domain::{ids::InstructionId, instruction::InstructionItem, item::ItemStep};
    use std::sync::atomic::{AtomicU32, Ordering};
    use uuid::Uuid;

    /// The instruction of an item, at that revision.
    fn sent(revision: u32) -> Stored<Instruction> {
        let part = InstructionItem::new(item_id(0), "W1".to_owned(), 100, [0; 32]);
        let (rail, currency) = ("simulator".parse().unwrap(), "USD".parse().unwrap());
        let id = InstructionId::new(Uuid::from_u128(1));
        let value = Instruction::record(id, batch_id(), rail, currency, vec![part], 1, b"body".to_vec(), now());
        Stored { value, revision }
    }

    /// Hears that the item is paid, where the instruction has these revisions each time that it is read.
    async fn hear(revisions: fn(u32) -> u32, commits: usize) -> Result<Heard, ReceiveError> {
        let reads = AtomicU32::new(0);
        let mut known = found(vec![item(0, None).after(ItemStep::RecordIntent, now()).unwrap()]);
        known.unresolved = vec![sent(1)];
        let mut repository = MockPayoutRepository::new();
        repository.expect_taken_events().returning(|_, _| Ok(Vec::new()));
        repository.expect_instruction_of().returning(|_, _| Ok(Some(sent(1))));
        repository.expect_batch_for_execution().returning(move |_| Ok(Some(known.clone())));
        repository
            .expect_instruction()
            .returning(move |_| Ok(Some(sent(revisions(reads.fetch_add(1, Ordering::Relaxed))))));
        repository.expect_commit().times(commits).returning(|_| Ok(()));
        let mut speaker = rail("simulator", true);
        speaker.expect_ingest().returning(|_| {
            let settled = Seen::Settled { reference: None };
            Ok(vec![RailEvent::answered("W1", settled, None, b"raw")])
        });
        let (ids, rails) = (Counting::default(), rails(speaker));
        let ears = Ears { repository: &repository, rails: &rails, ids: &ids, dice: &Middle };
        let message = Inbound { headers: Vec::new(), body: Vec::new(), received_at: now() };
        receive_notification(ears, &"simulator".parse().unwrap(), message).await
    }

    #[tokio::test]
    async fn what_was_read_at_two_moments_is_read_again_and_nothing_is_concluded_from_it() {
        assert_eq!(hear(|_| 1, 1).await.unwrap().taken, 1);
        // Somebody wrote between the two reads: once, and whenever it is tried.
        assert_eq!(hear(|read| if read == 0 { 2 } else { 1 }, 1).await.unwrap().taken, 1);
        assert_eq!(hear(|_| 2, 0).await.unwrap_err().class(), Class::Unavailable);
    }
}
