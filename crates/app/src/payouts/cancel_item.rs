//! Somebody gives an item up, or all that is left of a batch.
//!
//! What was not sent is cancelled at once. What never left is given up unsent. What may have arrived is cancelled only
//! with the rail's proof: it is asked to recall it.

use super::{
    act::{ActError, Acted, Acting, Action},
    batch_work::BatchWork,
    cancel_lines::Cancelling,
    conclude::{self, Conclusion, Contradiction},
    execute_batch::Known,
};
use crate::{
    change::{Change, Stored},
    job::Job,
    ports::{
        rail::{Recall, Seen},
        repository::BatchForExecution,
    },
};
use domain::{
    ids::{ItemId, Requester},
    instruction::Instruction,
    item::{ItemStatus, ItemStep},
};
use serde_json::json;
use std::collections::BTreeMap;

/// What the rails say to giving up what is on its way: of one item, or of a whole batch. Asking twice does no harm.
pub(super) async fn ask_to_recall(acting: Acting<'_>, action: Action) -> Result<BTreeMap<ItemId, Recall>, ActError> {
    let (found, only) = found(acting, action).await?;
    let mut recalls = BTreeMap::new();
    for stored in &found.unresolved {
        let instruction = &stored.value;
        let wanted: Vec<ItemId> = open_items(instruction, only);
        if wanted.is_empty() || !instruction.may_have_been_received() {
            continue;
        }
        let recall = match acting.rails.get(&instruction.rail) {
            Some(rail) => rail.recall(instruction, &wanted).await,
            None => Recall::Unknown { cause: "the rail is not there".to_owned() },
        };
        recalls.extend(wanted.into_iter().map(|item| (item, recall.clone())));
    }
    match only.and_then(|item| recalls.get(&item)) {
        Some(Recall::Refused { reason }) => Err(ActError::RecallRefused(reason.clone())),
        Some(Recall::Unknown { cause }) => Err(ActError::RecallUnknown(cause.clone())),
        Some(Recall::Recalled | Recall::Asked) | None => Ok(recalls),
    }
}

/// The batch, and the item if only that is meant.
async fn found(acting: Acting<'_>, action: Action) -> Result<(BatchForExecution, Option<ItemId>), ActError> {
    match action {
        Action::CancelBatch(batch) | Action::RetryBatch(batch) => Ok((acting.batch(batch).await?, None)),
        Action::CancelItem(item) | Action::HoldItem(item) | Action::ReleaseItem(item) | Action::RetryItem(item) => {
            Ok((acting.batch_of(item).await?, Some(item)))
        }
    }
}

fn open_items(instruction: &Instruction, only: Option<ItemId>) -> Vec<ItemId> {
    let open = instruction.items.iter().filter(|part| part.outcome.is_open()).map(|part| part.item);
    open.filter(|item| only.is_none_or(|only| only == *item)).collect()
}

/// Cancels what can be cancelled now.
pub(super) async fn cancel(
    acting: Acting<'_>,
    action: Action,
    recalls: &BTreeMap<ItemId, Recall>,
) -> Result<(Acted, Change), ActError> {
    let (found, only) = found(acting, action).await?;
    let batch = found.batch.value.id;
    let requester = acting.actor.name.parse().unwrap_or_else(|_| Requester::worker());
    let cancelling =
        Cancelling::read(acting.repository, batch, requester).await?.ok_or(ActError::BatchNotFound(batch))?;
    let mut work = BatchWork::new(found.batch, found.items, acting.actor.clone(), acting.ids);
    let wanted: Vec<ItemId> = match only {
        Some(item) => vec![item],
        None => work.items().filter(|item| !item.status().is_final()).map(|item| item.id).collect(),
    };
    let mut into = Conclusion::default();
    let mut asked = Vec::new();
    for stored in &found.unresolved {
        let given_up = give_up(acting, &mut work, &mut into, &cancelling, (stored, only), recalls).await?;
        asked.extend(given_up);
    }
    for id in &wanted {
        let Some(item) = work.item(*id).cloned() else { return Err(ActError::ItemNotFound(*id)) };
        match item.status() {
            ItemStatus::Scheduled | ItemStatus::PendingKyc | ItemStatus::Failed | ItemStatus::Returned => {
                work.step(*id, ItemStep::Cancel, acting.now).map_err(Contradiction::from)?;
                into.cancelled.cancel(&mut work, &cancelling, &item, (acting.ids, acting.now))?;
            }
            ItemStatus::Processing | ItemStatus::InDoubt | ItemStatus::Cancelled => {}
            status @ ItemStatus::Paid => return Err(ActError::NotNow { action: "cancelled", status }),
        }
    }
    let is_done = |id: &ItemId| work.item(*id).is_some_and(|item| item.status() == ItemStatus::Cancelled);
    let done: Vec<ItemId> = wanted.iter().copied().filter(is_done).collect();
    let before = cancelling.found().items.iter().filter(|stored| stored.value.status() == ItemStatus::Cancelled);
    let is_news = before.filter(|stored| done.contains(&stored.value.id)).count() < done.len();
    // The rail gave it up because we asked, and somebody else heard of that and wrote it down before us.
    let is_ours = recalls.values().any(|recall| *recall == Recall::Recalled);
    if !is_news && !is_ours && asked.is_empty() {
        return Err(nothing_done(&work, only, recalls));
    }
    if only.is_none() && work.items().all(|item| item.status() == ItemStatus::Cancelled) {
        into.cancelled.cancel_bare(&cancelling, (acting.ids, acting.now))?;
    }
    let acted = Acted::of(&work, &wanted, asked);
    let mut change = work.take_change(None, acting.now);
    into.into_change(&mut change);
    // What is left may need nobody's approval any more.
    change.wake.push(Job::of(work.batch(), work.batch().due_at.max(acting.now)));
    for item in &acted.asked {
        change.audit.push(acting.audit("item.recall", item, None, Some(json!({ "asked": true }))));
    }
    Ok((Acted { batch: work.batch().clone(), ..acted }, change))
}

/// Why nothing could be cancelled.
fn nothing_done(work: &BatchWork<'_>, only: Option<ItemId>, recalls: &BTreeMap<ItemId, Recall>) -> ActError {
    for recall in recalls.values() {
        match recall {
            Recall::Unknown { cause } => return ActError::RecallUnknown(cause.clone()),
            Recall::Refused { reason } => return ActError::RecallRefused(reason.clone()),
            Recall::Recalled | Recall::Asked => {}
        }
    }
    match only.and_then(|item| work.item(item)) {
        Some(item) => ActError::NotNow { action: "cancelled", status: item.status() },
        None => ActError::NothingToDo { action: "cancelled", status: work.batch().status.as_str() },
    }
}

/// What of an instruction is given up: because it never left, or because the rail says so. Answers those whose rail was
/// asked and has not answered.
async fn give_up(
    acting: Acting<'_>,
    work: &mut BatchWork<'_>,
    into: &mut Conclusion,
    cancelling: &Cancelling,
    (stored, only): (&Stored<Instruction>, Option<ItemId>),
    recalls: &BTreeMap<ItemId, Recall>,
) -> Result<Vec<ItemId>, ActError> {
    let mut instruction = stored.value.clone();
    let Some(rail) = acting.rails.get(&instruction.rail).map(|rail| rail.profile()) else { return Ok(Vec::new()) };
    let known = Known::of_events(acting.repository, work, Vec::new(), Vec::new()).await?;
    let facts = known.facts(&rail, (acting.ids, acting.dice), acting.now);
    let facts = conclude::Facts { cancelling: Some(cancelling), ..facts };
    let mut asked = Vec::new();
    for item in open_items(&instruction, only) {
        if !instruction.may_have_been_received() {
            instruction = conclude::given_up(work, into, facts, instruction, item)?;
            continue;
        }
        match recalls.get(&item) {
            Some(Recall::Recalled) => {
                instruction = conclude::learn(work, into, facts, instruction, item, &Seen::Recalled)?.0;
            }
            Some(Recall::Asked) => asked.push(item),
            Some(Recall::Refused { .. } | Recall::Unknown { .. }) | None => {}
        }
    }
    conclude::write_down(into, stored, instruction);
    Ok(asked)
}
