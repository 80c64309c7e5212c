//! What can be broken on purpose, to see that it is found.

use crate::{
    oracle::at_once,
    words::words,
    world::{Names, Who, World},
};
use app::{
    change::{Change, New, PolicyVersion, Resolution, Stored, Update},
    job::LeaseStep,
    ports::{
        CommitError, Ids as _, PayoutRepository,
        rail::{Class, Lookup, RailEvent, RailProfile, Recall, Submit},
        repository::BatchForExecution,
    },
};
use domain::{
    approval::{Approval, ApprovedItem, ContentHash, content_hash, destination_hash},
    batch::Origin,
    ids::{InstructionId, ItemId, TransactionId},
    instruction::{Instruction, Outcome},
    item::{Item, ItemState},
    ledger::{Transaction, TransactionKind, transaction::About},
    recipient::HoldReason,
};
use std::{collections::BTreeMap, time::Duration};

words! {
    /// Something that is broken on purpose.
    pub enum Bug {
        /// A write under a lost lease is made without it.
        NoFencing "no_fencing",
        /// Each call has a key of its own.
        NewKeyEachAttempt "new_key_each_attempt",
        /// The same bytes are sent again however old their key is.
        NoQueryAfterKeyExpiry "no_query_after_key_expiry",
        /// Silence is a refusal.
        TimeoutIsFailure "timeout_is_failure",
        /// A commit whose answer was lost was not made.
        LostAnswerIsFailure "ack_lost_is_failure",
        /// What was told before is told again.
        NoNotificationDedupe "no_webhook_dedupe",
        /// Whoever hears a notification has forgotten what was known.
        OutOfOrderNotification "out_of_order_webhook",
        /// An escrow is unique only as long as nobody else books it at the same time.
        ReleaseCheckThenInsert "release_check_then_insert",
        /// A release that was booked before is the same, whatever it says.
        ReleaseIgnoresAmount "release_ignores_amount",
        /// A cent is lost.
        RoundingLeak "rounding_leak",
        /// A machine's steady clock counts too slowly.
        SlowMachineClock "worker_clock_lease",
        /// A notification is answered before it is stored.
        AcknowledgedBeforeCommit "webhook_ack_before_commit",
        /// An event that nobody took is published.
        NoEventPublishRetry "no_event_publish_retry",
        /// Whoever was slower posts as well: an answer and a notification that say the same are two.
        PostedTwice "two_post_no_unique",
        /// What comes back is not posted.
        ReturnNotPosted "return_not_posted",
        /// Whatever is sent to us is believed.
        ForgedNotificationAccepted "forged_webhook_accepted",
        /// Work is tried again at once.
        NoBackoff "no_backoff_poison",
        /// Whoever was slower writes all the same.
        StaleIgnored "stale_ignored",
        /// Absence is believed while a request is on its way.
        SettleBoundIgnored "settle_bound_ignored",
        /// An intent that could not be stored is sent.
        UnstoredIntent "unstored_intent",
        /// A recall that was not answered, or refused, is believed.
        RecallBelieved "recall_believed",
        /// Workers do not look at the policy.
        PolicyIgnored "policy_ignored",
        /// Workers do not look at the holds of operators.
        HoldIgnored "hold_ignored",
        /// Whoever proposed what became of a payment confirms it.
        ResolvedAlone "resolved_alone",
        /// A batch forgets who made it, who approves it then.
        MakerApproves "maker_approves",
        /// Nobody looks at the amount that a rail names.
        WrongAmountBelieved "wrong_amount_believed",
        /// A rail that does not answer a question has nothing.
        NoAnswerIsAbsence "no_answer_is_absence",
        /// The events of a change are published though it was refused.
        PhantomEvent "phantom_event",
        /// Approvals are of a batch, whatever became of it since.
        ApprovalOfAnything "approval_of_anything",
    }
}

pub(crate) fn profile(world: &World, profile: RailProfile) -> RailProfile {
    match world.bug {
        Some(Bug::NoQueryAfterKeyExpiry) => RailProfile { replay_window: None, ..profile },
        Some(Bug::SettleBoundIgnored) => RailProfile { settle_bound: Duration::ZERO, ..profile },
        _ => profile,
    }
}
pub(crate) fn submitted(world: &World, submit: Submit) -> Submit {
    match submit {
        Submit::Unknown { cause } if world.has(Bug::TimeoutIsFailure) => {
            Submit::Refused { reason: cause, class: Class::Retry }
        }
        submit => submit,
    }
}
pub(crate) fn answered(world: &World, lookup: Lookup) -> Lookup {
    match lookup {
        Lookup::CannotTell { .. } if world.has(Bug::NoAnswerIsAbsence) => Lookup::ProvenAbsent,
        lookup => lookup,
    }
}
pub(crate) fn heard(world: &World, event: RailEvent) -> RailEvent {
    if world.has(Bug::WrongAmountBelieved) { RailEvent { amount: None, ..event } } else { event }
}
pub(crate) fn recalled(world: &World, recall: Recall) -> Recall {
    if world.has(Bug::RecallBelieved) { Recall::Recalled } else { recall }
}
pub(crate) fn batch_read(world: &World, who: Who, found: Option<BatchForExecution>) -> Option<BatchForExecution> {
    let mut found = found;
    if let (true, Who::Worker(_), Some(found)) = (world.has(Bug::HoldIgnored), who, &mut found) {
        for stored in &mut found.items {
            if stored.value.state().hold_reason() == Some(HoldReason::OperatorHold) {
                stored.value = stored.value.clone().in_state(ItemState::Scheduled);
            }
        }
    }
    if let (true, Who::Worker(_), Some(found)) = (world.has(Bug::ApprovalOfAnything), who, &mut found) {
        let now = content_now(world, found);
        let anew = |given: &Approval| {
            let items = given.items().keys().filter_map(|item| Some((*item, *now.get(item)?))).collect();
            let (maker, approver) = (given.maker().clone(), given.approver().clone());
            Approval::try_new(given.batch(), maker, approver, items, None, given.at()).ok()
        };
        found.approvals = found.approvals.iter().filter_map(anew).collect();
    }
    found
}

/// What would be sent of each item now.
fn content_now(world: &World, found: &BatchForExecution) -> BTreeMap<ItemId, ContentHash> {
    let batch = &found.batch.value;
    let items = found.items.iter().map(|stored| &stored.value);
    let one = |item: &Item| {
        let known = at_once(world.kernel.memory.recipients(std::slice::from_ref(&item.recipient)))?.ok()?;
        let destination = destination_hash(&known.first()?.value.destination);
        let (recipient, amount_minor) = (&item.recipient, item.due_minor());
        let one = ApprovedItem { item: item.id, recipient, amount_minor, destination };
        Some((item.id, content_hash(batch.id, batch.currency, batch.execute_at, &[one])))
    };
    items.filter_map(one).collect()
}
pub(crate) fn policy_read(world: &World, who: Who, found: Option<PolicyVersion>) -> Option<PolicyVersion> {
    if world.has(Bug::PolicyIgnored) && matches!(who, Who::Worker(_)) { None } else { found }
}
#[expect(clippy::unwrap_used, reason = "a name that can be read")]
pub(crate) fn resolution_read(world: &World, _: Who, found: Option<Stored<Resolution>>) -> Option<Stored<Resolution>> {
    let mut found = found;
    if let (true, Some(found)) = (world.has(Bug::ResolvedAlone), &mut found) {
        found.value.proposed_by = "usr_somebody".parse().unwrap();
    }
    found
}
pub(crate) fn names_read(world: &World, _: Who, found: Vec<String>) -> Vec<String> {
    if world.has(Bug::NoNotificationDedupe) { Vec::new() } else { found }
}
pub(crate) fn instruction_read(
    world: &World,
    _: Who,
    found: Option<Stored<Instruction>>,
) -> Option<Stored<Instruction>> {
    let mut found = found;
    if let (true, Some(found)) = (world.has(Bug::OutOfOrderNotification), &mut found) {
        for part in &mut found.value.items {
            part.outcome = Outcome::Sent;
        }
    }
    found
}
/// Whether a commit that fails is answered as if it were done.
pub(crate) fn is_called_done(world: &World, change: &Change) -> bool {
    world.has(Bug::UnstoredIntent) && change.insert.iter().any(|new| matches!(new, New::Instruction(_)))
}

/// The commit, with what is broken of it.
pub(crate) fn commit(world: &World, change: Change) -> Result<(), CommitError> {
    let change = spoilt(world, change);
    let done = applied(world, change.clone());
    match (done, world.bug) {
        (Err(CommitError::LeaseLost), Some(Bug::NoFencing)) => applied(world, Change { lease: None, ..change }),
        (Err(CommitError::Stale), Some(Bug::StaleIgnored)) => applied(world, refreshed(world, change)),
        (Err(CommitError::Duplicate(_) | CommitError::Stale), Some(Bug::ReleaseCheckThenInsert))
            if books_what_is_booked(world, &change) =>
        {
            applied(world, renamed(world, change))
        }
        (Err(error @ (CommitError::Stale | CommitError::Duplicate(_))), Some(Bug::PostedTwice)) => {
            let post = change.post.iter().filter_map(|posted| posted_anew(world, posted)).collect();
            applied(world, Change { post, ..Change::default() }).and(Err(error))
        }
        (Err(error), Some(Bug::PhantomEvent)) => {
            let told = Change { publish: change.publish, ..Change::default() };
            applied(world, told).and(Err(error))
        }
        (done, _) => done,
    }
}

fn applied(world: &World, change: Change) -> Result<(), CommitError> {
    let booked = change.clone();
    let done = at_once(world.kernel.memory.commit(change)).unwrap_or(Ok(()));
    if done.is_ok() {
        world.oracle().booked(&booked);
    }
    done
}

fn spoilt(world: &World, mut change: Change) -> Change {
    match world.bug {
        Some(Bug::RoundingLeak) => {
            for new in &mut change.insert {
                if let New::Item(item) = new {
                    item.payable_minor -= i64::from(item.payable_minor % 3 == 2);
                }
            }
        }
        Some(Bug::MakerApproves) => {
            for new in &mut change.insert {
                if let New::Batch(batch) = new {
                    batch.scheduled_by = crate::actors::read("usr_nobody");
                }
            }
        }
        Some(Bug::ReturnNotPosted) => change.post.retain(|posted| posted.kind().as_str() != "returned"),
        Some(Bug::NoBackoff) => {
            if let Some(LeaseStep::Again(lease, _)) = change.lease {
                change.lease = Some(LeaseStep::Again(lease, world.now()));
            }
        }
        Some(Bug::NoNotificationDedupe) => {
            for new in &mut change.insert {
                if let New::RailEvent(taken) = new {
                    taken.event.dedupe = format!("{}/{}", taken.event.dedupe, world.kernel.number());
                }
            }
        }
        _ => {}
    }
    change
}

/// The same change, as if what is there now had been read.
fn refreshed(world: &World, mut change: Change) -> Change {
    let memory = world.kernel.memory.as_ref();
    let mut batches = BTreeMap::new();
    for update in &change.update {
        if let Update::Batch(new) = update {
            batches
                .insert(new.value.id, at_once(memory.batch_for_execution(new.value.id)).and_then(Result::ok).flatten());
        }
    }
    for update in &mut change.update {
        match update {
            Update::Batch(new) => {
                if let Some(Some(found)) = batches.get(&new.value.id) {
                    new.revision = found.batch.revision;
                }
            }
            Update::Item(new) => {
                let items = batches.values().flatten().flat_map(|found| &found.items);
                if let Some(found) = items.into_iter().find(|found| found.value.id == new.value.id) {
                    new.revision = found.revision;
                }
            }
            Update::Instruction(new) => {
                if let Some(found) = at_once(memory.instruction(new.value.id)).and_then(Result::ok).flatten() {
                    new.revision = found.revision;
                }
            }
            Update::Recipient(_) | Update::Resolution(_) => {}
        }
    }
    change
}

/// Whether a change books an escrow that somebody else has booked since it was looked up.
fn books_what_is_booked(world: &World, change: &Change) -> bool {
    change.insert.iter().any(|new| {
        let New::Batch(batch) = new else { return false };
        let Some(escrow) = batch.escrow() else { return false };
        at_once(world.kernel.memory.batch_by_escrow(escrow)).is_some_and(|found| matches!(found, Ok(Some(_))))
    })
}

/// What an instruction's payment, refusal or return was posted as, under names that nobody had before.
fn posted_anew(world: &World, posted: &Transaction) -> Option<Transaction> {
    use TransactionKind::{Paid, Refused, Returned};
    let is_answer = matches!(posted.kind(), Paid | Refused | Returned);
    let about = posted.about();
    let names = Names(world.kernel.clone());
    let about = About { instruction: about.instruction.map(|_| InstructionId::new(names.fresh())), ..about };
    let id = TransactionId::new(names.fresh());
    let anew = || {
        let entries = posted.entries().to_vec();
        Transaction::try_new(id, posted.kind(), about, posted.currency(), entries, posted.posted_at()).ok()
    };
    is_answer.then(anew).flatten()
}

/// The same release under another name, as if nobody counted how often it was booked.
fn renamed(world: &World, mut change: Change) -> Change {
    for count in &mut change.count {
        count.seen = None;
    }
    for new in &mut change.insert {
        if let New::Batch(batch) = new
            && let Origin::Release(release) = &mut batch.origin
            && let Ok(escrow) = format!("{}x{}", release.escrow, world.kernel.number()).parse()
        {
            release.escrow = escrow;
        }
    }
    change
}
