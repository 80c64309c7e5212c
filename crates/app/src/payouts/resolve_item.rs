//! Two people say what became of a payment that no rail can tell any more.
//!
//! That is the end of a long road: the rail was asked, the same bytes were sent again as long as its replay window was
//! open, and asked again. Then one person says what happened and what shows it, and a second one says the same.

use super::{
    act::{ActError, Acted, Acting},
    batch_work::BatchWork,
    conclude::{self, Conclusion, Contradiction},
    execute_batch::{Known, arrived_by},
};
use crate::{
    RACES_MAX,
    change::{Change, New, Resolution, ResolutionState, Resolved, Stored, Update},
    failure::{Class, Failure},
    idempotency::{Remembering, claim_key::ClaimKeyError},
    job::Job,
    ports::{
        CommitError, DuplicateKey, StoreError,
        rail::{Class as RefusalClass, RailProfile, Seen},
    },
};
use domain::{
    ids::{ItemId, Requester, ResolutionId},
    instruction::Instruction,
    item::{Item, ItemStatus},
    money::Money,
    timestamp::Timestamp,
};
use serde_json::json;
use std::time::Duration;

/// The reason of what two people say was not executed.
pub(crate) const RESOLVED_AS_FAILED: &str = "resolved_as_failed";
/// A rail that never forgets a key is waited for this long.
const WITHOUT_WINDOW: Duration = Duration::from_secs(3_600);

/// What a person says.
#[derive(Clone, Debug)]
pub struct ResolveItem {
    /// Of which item.
    pub item: ItemId,
    /// What became of it.
    pub outcome: Resolved,
    /// What shows it: a statement, a ticket of the provider.
    pub evidence: String,
    /// Who says so.
    pub requester: Requester,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedItem {
    /// What was proposed; confirmed, if this was the second person.
    pub resolution: Resolution,
    /// The item as it is now.
    pub acted: Acted,
}

/// Why it was not taken, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum ResolveItemError {
    /// As any action.
    #[error(transparent)]
    Act(#[from] ActError),
    /// The rail may still tell by itself.
    #[error("the rail may still tell what became of it; not before {0}")]
    TooEarly(Timestamp),
    /// Whoever proposed it cannot confirm it.
    #[error("`{0}` proposed this: somebody else must confirm it")]
    SecondPersonNeeded(Requester),
}

impl From<CommitError> for ResolveItemError {
    fn from(error: CommitError) -> Self {
        Self::Act(error.into())
    }
}
impl From<StoreError> for ResolveItemError {
    fn from(error: StoreError) -> Self {
        Self::Act(error.into())
    }
}
impl From<Contradiction> for ResolveItemError {
    fn from(error: Contradiction) -> Self {
        Self::Act(error.into())
    }
}

impl Failure for ResolveItemError {
    fn code(&self) -> &'static str {
        match self {
            Self::Act(error) => error.code(),
            Self::TooEarly(_) => "too_early",
            Self::SecondPersonNeeded(_) => "second_person_needed",
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Act(error) => error.class(),
            Self::TooEarly(_) | Self::SecondPersonNeeded(_) => Class::Conflict,
        }
    }
}

/// Proposes what became of an item; or confirms it, if somebody else proposed the same.
///
/// # Errors
/// See [`ResolveItemError`].
pub async fn resolve_item(
    acting: Acting<'_>,
    ask: ResolveItem,
    remember: &Remembering<ResolvedItem>,
) -> Result<ResolvedItem, ResolveItemError> {
    let mut races = 0;
    loop {
        let (resolved, change) = decide(acting, &ask).await?;
        match acting.repository.commit(Change { remember: remember.of(&resolved), ..change }).await {
            Ok(()) => return Ok(resolved),
            Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)) => {
                return Err(ActError::from(ClaimKeyError::Reused).into());
            }
            Err(CommitError::Stale | CommitError::Duplicate(_)) if races < RACES_MAX => races += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn decide(acting: Acting<'_>, ask: &ResolveItem) -> Result<(ResolvedItem, Change), ResolveItemError> {
    let found = acting.batch_of(ask.item).await?;
    let strays = found.strays.clone();
    let mut work = BatchWork::new(found.batch, found.items, acting.actor.clone(), acting.ids);
    let status = work.item(ask.item).map(Item::status).ok_or(ActError::ItemNotFound(ask.item))?;
    // An older instruction that gave it up may still be open for another of its items.
    let is_open = |instruction: &Instruction| instruction.item(ask.item).is_some_and(|part| part.outcome.is_open());
    let live = found.unresolved.into_iter().find(|stored| is_open(&stored.value));
    let (ItemStatus::InDoubt, Some(instruction)) = (status, live) else {
        return Err(ActError::NotNow { action: "resolved", status }.into());
    };
    let Some(rail) = acting.rails.get(&instruction.value.rail).map(|rail| rail.profile()) else {
        return Err(ActError::NotNow { action: "resolved", status }.into());
    };
    refuse_too_early(&rail, &instruction.value, acting.now)?;
    let proposed = acting.repository.proposed_resolution(ask.item).await?;
    let same = |stored: &Stored<Resolution>| {
        stored.value.outcome == ask.outcome && stored.value.instruction == instruction.value.id
    };
    match proposed {
        Some(first) if same(&first) && first.value.proposed_by == ask.requester => {
            Err(ResolveItemError::SecondPersonNeeded(ask.requester.clone()))
        }
        Some(first) if same(&first) => confirm(acting, ask, &mut work, (first, instruction, &rail, strays)).await,
        other => Ok(propose(acting, ask, &mut work, other, &instruction.value)),
    }
}

/// When people may say what became of it: the replay window and the settle bound must have passed. Until then the rail
/// tells by itself.
pub(crate) fn resolvable_from(rail: &RailProfile, instruction: &Instruction) -> Timestamp {
    let window = rail.replay_window.unwrap_or(WITHOUT_WINDOW);
    arrived_by(rail, instruction).max(instruction.first_sent_at.after(window))
}

fn refuse_too_early(rail: &RailProfile, instruction: &Instruction, now: Timestamp) -> Result<(), ResolveItemError> {
    let not_before = resolvable_from(rail, instruction);
    if now < not_before { Err(ResolveItemError::TooEarly(not_before)) } else { Ok(()) }
}

/// The first word. What somebody proposed before, and was something else, is withdrawn.
fn propose(
    acting: Acting<'_>,
    ask: &ResolveItem,
    work: &mut BatchWork<'_>,
    before: Option<Stored<Resolution>>,
    instruction: &Instruction,
) -> (ResolvedItem, Change) {
    let resolution = Resolution {
        id: ResolutionId::new(acting.ids.fresh()),
        item: ask.item,
        instruction: instruction.id,
        outcome: ask.outcome,
        evidence: ask.evidence.clone(),
        note: acting.actor.note.clone(),
        proposed_by: ask.requester.clone(),
        proposed_at: acting.now,
        state: ResolutionState::Proposed,
    };
    work.touch();
    let mut change = work.take_change(None, acting.now);
    if let Some(Stored { value, revision }) = before {
        let value = Resolution { state: ResolutionState::Withdrawn { at: acting.now }, ..value };
        change.update.push(Update::Resolution(Stored { value, revision }));
    }
    change.insert.push(New::Resolution(resolution.clone()));
    let after = json!({ "outcome": ask.outcome.as_str(), "evidence": ask.evidence });
    change.audit.push(acting.audit("item.propose_resolution", ask.item, None, Some(after)));
    (ResolvedItem { resolution, acted: Acted::of(work, &[ask.item], Vec::new()) }, change)
}

/// The second word: it becomes true.
async fn confirm(
    acting: Acting<'_>,
    ask: &ResolveItem,
    work: &mut BatchWork<'_>,
    (first, stored, rail, strays): (Stored<Resolution>, Stored<Instruction>, &RailProfile, Vec<ItemId>),
) -> Result<(ResolvedItem, Change), ResolveItemError> {
    let known = Known::of_events(acting.repository, work, Vec::new(), strays).await?;
    let facts = known.facts(rail, (acting.ids, acting.dice), acting.now);
    let mut into = Conclusion::default();
    let instruction = stored.value.clone();
    let ordered = instruction.item(ask.item).map_or(0, |part| part.amount_minor);
    let what = match ask.outcome {
        Resolved::Paid => Some(Seen::Settled { reference: None }),
        Resolved::Failed => Some(Seen::Rejected { reason: RESOLVED_AS_FAILED.to_owned(), class: RefusalClass::Fail }),
        Resolved::Returned => Some(Seen::Returned {
            reason: "resolved_as_returned".to_owned(),
            returned: Money::new(ordered, instruction.currency),
            reference: None,
        }),
        Resolved::NotExecuted => None,
    };
    let instruction = match what {
        Some(what) => conclude::learn(work, &mut into, facts, instruction, ask.item, &what)?.0,
        None => conclude::given_up(work, &mut into, facts, instruction, ask.item)?,
    };
    conclude::write_down(&mut into, &stored, instruction);
    let wake = Job::of(work.batch(), work.batch().due_at.max(acting.now));
    let mut change = work.take_change(None, acting.now);
    change.wake.push(wake);
    into.into_change(&mut change);
    let state = ResolutionState::Confirmed { by: ask.requester.clone(), at: acting.now };
    let resolution = Resolution { state, ..first.value };
    change.update.push(Update::Resolution(Stored { value: resolution.clone(), revision: first.revision }));
    let before = json!({ "proposedBy": resolution.proposed_by });
    let after = json!({ "outcome": ask.outcome.as_str(), "evidence": ask.evidence });
    change.audit.push(acting.audit("item.confirm_resolution", ask.item, Some(before), Some(after)));
    Ok((ResolvedItem { resolution, acted: Acted::of(work, &[ask.item], Vec::new()) }, change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixtures::{Counting, Middle, batch_id, found, item, item_id, now, rail, rails},
        ports::repository::MockPayoutRepository,
    };
    use domain::{
        audit::Actor,
        ids::InstructionId,
        instruction::{InstructionItem, Outcome},
        item::ItemStep,
    };
    use uuid::Uuid;

    /// An instruction of two hours ago for these items, with what became of each.
    fn sent(id: u128, outcomes: &[(ItemId, Outcome)]) -> Stored<Instruction> {
        let part = |(item, outcome): &(ItemId, Outcome)| InstructionItem {
            outcome: outcome.clone(),
            ..InstructionItem::new(*item, format!("W{id}"), 100, [0; 32])
        };
        let since = Timestamp::from_unix_micros(now().unix_micros() - 7_200_000_000);
        let (rail, currency) = ("simulator".parse().unwrap(), "USD".parse().unwrap());
        let (id, parts) = (InstructionId::new(Uuid::from_u128(id)), outcomes.iter().map(part).collect());
        let value = Instruction::record(id, batch_id(), rail, currency, parts, 1, b"body".to_vec(), since);
        Stored { value, revision: 1 }
    }

    #[tokio::test]
    async fn what_is_said_is_said_of_the_instruction_that_is_open_for_the_item() {
        let doubtful = |n| {
            let item = item(n, None).after(ItemStep::RecordIntent, now()).unwrap();
            item.after(ItemStep::LoseTrack, now()).unwrap()
        };
        let mut known = found(vec![doubtful(0), doubtful(1)]);
        // The older one gave the first item up, and is open for the second still.
        known.unresolved = vec![
            sent(1, &[(item_id(0), Outcome::Absent), (item_id(1), Outcome::Sent)]),
            sent(2, &[(item_id(0), Outcome::Sent)]),
        ];
        let mut repository = MockPayoutRepository::new();
        repository.expect_batch_of_item().returning(|_| Ok(Some(batch_id())));
        repository.expect_batch_for_execution().returning(move |_| Ok(Some(known.clone())));
        repository.expect_proposed_resolution().returning(|_| Ok(None));
        repository.expect_commit().once().returning(|_| Ok(()));
        let (ids, rails) = (Counting::default(), rails(rail("simulator", true)));
        let actor = Actor::of(&"usr_ann".parse().unwrap());
        let acting =
            Acting { repository: &repository, rails: &rails, ids: &ids, dice: &Middle, actor: &actor, now: now() };
        let ask = ResolveItem {
            item: item_id(0),
            outcome: Resolved::Paid,
            evidence: "statement".to_owned(),
            requester: "usr_ann".parse().unwrap(),
        };
        let resolved = resolve_item(acting, ask, &Remembering::nothing()).await.unwrap();
        assert_eq!(resolved.resolution.instruction, InstructionId::new(Uuid::from_u128(2)));
    }
}
