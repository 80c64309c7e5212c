//! When a batch is due, and which of its items may be sent: what the policy says of it now.
//!
//! Nothing of this is decided once and for all. A destination that changes, an amount that a reversal lessens, an approval
//! that runs out: whatever would be paid now must be what enough people said yes to.

use crate::{
    change::{PolicyVersion, Stored},
    ports::{PayoutRepository, Rails, StoreError, repository::BatchForExecution},
    revenue::hold,
};
use domain::{
    approval::{Approval, ApprovedItem, ContentHash, content_hash, destination_hash, given},
    batch::{Approvals, Attempted, Batch, BatchStatus},
    ids::{ItemId, RecipientId},
    item::{Item, ItemStatus},
    policy::{ApprovalFacts, Policy},
    recipient::{Destination, HoldReason, Recipient},
    timestamp::Timestamp,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the policy says of a batch now.
#[derive(Debug)]
pub(crate) struct Plan {
    due_at: Timestamp,
    approvals: Approvals,
    /// Items that wait for somebody to say yes; none, if nobody must.
    uncleared: HashSet<ItemId>,
    /// What there is to say yes to: every item that is still to be sent, as it would be sent now.
    content: BTreeMap<ItemId, ContentHash>,
}

impl Plan {
    /// Reads the policy and what it needs.
    pub(crate) async fn read(
        repository: &dyn PayoutRepository,
        rails: &Rails,
        found: &BatchForExecution,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let policy = policy_in_force(repository).await?;
        let items = found.items.iter().map(|stored| &stored.value);
        Self::of(repository, rails, &policy, &found.batch.value, items.cloned().collect(), &found.approvals, now).await
    }

    /// The same for a batch and items that are not stored yet.
    pub(crate) async fn of(
        repository: &dyn PayoutRepository,
        rails: &Rails,
        policy: &Policy,
        batch: &Batch,
        items: Vec<Item>,
        approved: &[Approval],
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let due_at = due_at(policy, batch);
        let unsent: Vec<&Item> = items.iter().filter(|item| is_unsent(item)).collect();
        if policy.approval.rules.is_empty() || unsent.is_empty() {
            let approvals = Approvals::default();
            return Ok(Self { due_at, approvals, uncleared: HashSet::new(), content: BTreeMap::new() });
        }
        let recipients: Vec<RecipientId> = unsent.iter().map(|item| item.recipient.clone()).collect();
        let known = repository.recipients(&recipients).await?;
        let known: HashMap<RecipientId, Stored<Recipient>> =
            known.into_iter().map(|stored| (stored.value.id.clone(), stored)).collect();
        let mut paid: HashMap<RecipientId, HashSet<[u8; 32]>> = HashMap::new();
        for before in repository.paid_destinations(&recipients).await? {
            paid.entry(before.recipient).or_default().insert(before.destination);
        }
        let mut facts = ApprovalFacts {
            currency: batch.currency,
            amount_minor: items
                .iter()
                .filter(|item| item.status() != ItemStatus::Cancelled)
                .map(|item| item.payable_minor)
                .sum(),
            has_new_destination: false,
            has_changed_destination: false,
        };
        let mut content = BTreeMap::new();
        for item in unsent {
            let recipient = known.get(&item.recipient).map(|stored| &stored.value);
            let destination = destination_hash(&destination_of(recipient, rails));
            match paid.get(&item.recipient) {
                None => facts.has_new_destination = true,
                Some(paid) if !paid.contains(&destination) => facts.has_changed_destination = true,
                Some(_) => {}
            }
            content.insert(item.id, hash_of(batch, item, destination));
        }
        let required = policy.approval.required(&facts);
        let by_item = content.iter().map(|(item, hash)| (*item, given(&policy.approval, approved, *item, *hash, now)));
        let by_item: Vec<(ItemId, u32)> = by_item.collect();
        let given = by_item.iter().map(|(_, given)| *given).min().unwrap_or_default().min(required);
        let uncleared = by_item.into_iter().filter(|(_, given)| *given < required).map(|(item, _)| item).collect();
        Ok(Self { due_at, approvals: Approvals { required, given }, uncleared, content })
    }

    /// Not before this.
    pub(crate) fn due_at(&self) -> Timestamp {
        self.due_at
    }
    /// How many must say yes, and how many have said so to everything that is still to be sent.
    pub(crate) fn approvals(&self) -> Approvals {
        self.approvals
    }
    /// Whether nobody must say yes to this item any more.
    pub(crate) fn is_cleared(&self, item: ItemId) -> bool {
        !self.uncleared.contains(&item)
    }
    /// Whether nobody must say yes any more to this item, if it is sent there: its recipient may have changed since the
    /// policy was read.
    pub(crate) fn is_cleared_for(&self, batch: &Batch, item: &Item, destination: &Destination) -> bool {
        let is_as_read = |hash: &ContentHash| *hash == hash_of(batch, item, destination_hash(destination));
        self.is_cleared(item.id) && self.content.get(&item.id).is_none_or(is_as_read)
    }
    /// What there is to say yes to.
    pub(crate) fn content(&self) -> &BTreeMap<ItemId, ContentHash> {
        &self.content
    }
}

/// A batch that is about to be booked is told when it is due and who must say yes, as the policy says.
///
/// # Errors
/// If the store cannot be used.
pub(crate) async fn plan_new_batch(
    repository: &dyn PayoutRepository,
    rails: &Rails,
    policy: &Policy,
    batch: &mut Batch,
    items: &[Item],
    now: Timestamp,
) -> Result<(), StoreError> {
    let plan = Plan::of(repository, rails, policy, batch, items.to_vec(), &[], now).await?;
    batch.due_at = plan.due_at();
    batch.approvals = plan.approvals();
    let statuses: Vec<_> = items.iter().map(|item| (item.status(), Attempted(false))).collect();
    batch.status = BatchStatus::of(&statuses, batch.approvals);
    Ok(())
}

/// The policy in force; one that asks for nothing, if nobody ever set one.
///
/// # Errors
/// If the store cannot be used, or what it holds cannot be.
pub(crate) async fn policy_in_force(repository: &dyn PayoutRepository) -> Result<Policy, StoreError> {
    policy_of(repository.policy().await?)
}

/// The same, of what was read.
pub(crate) fn policy_of(stored: Option<PolicyVersion>) -> Result<Policy, StoreError> {
    match stored {
        None => Ok(Policy::default()),
        Some(version) => version
            .spec
            .check()
            .map_err(|faults| StoreError::Corrupt(format!("policy {}: {faults:?}", version.version))),
    }
}

/// When a batch is due.
pub(crate) fn due_at(policy: &Policy, batch: &Batch) -> Timestamp {
    match &policy.calendar {
        Some(calendar) => calendar.due(batch.created_at, batch.execute_at),
        None => batch.execute_at.map_or(batch.created_at, |at| at.max(batch.created_at)),
    }
}

/// Whether it is still to be sent, now or when its hold is over.
fn is_unsent(item: &Item) -> bool {
    matches!(item.status(), ItemStatus::Scheduled | ItemStatus::PendingKyc)
}

fn hash_of(batch: &Batch, item: &Item, destination: [u8; 32]) -> ContentHash {
    let one = ApprovedItem { item: item.id, recipient: &item.recipient, amount_minor: item.due_minor(), destination };
    content_hash(batch.id, batch.currency, batch.execute_at, &[one])
}

/// Where somebody is paid now.
pub(crate) fn destination_of(recipient: Option<&Recipient>, rails: &Rails) -> Destination {
    recipient.map_or_else(|| Destination::bare(rails.default_id().clone()), |known| known.destination.clone())
}

/// Why an item cannot be sent to its recipient as they are known now, if so: they may not be paid, or their rail cannot
/// pay to their details.
pub(crate) fn in_the_way(rails: &Rails, item: &Item, recipient: Option<&Recipient>) -> Option<HoldReason> {
    // Nobody but the model says that somebody is not known yet: as long as nobody registers them, they are not.
    let is_placeholder = item.state().hold_reason() == Some(HoldReason::RecipientPlaceholder);
    hold(recipient, is_placeholder, rails).or_else(|| {
        let destination = destination_of(recipient, rails);
        let is_usable = rails.get(&destination.rail).is_some_and(|rail| rail.check(&destination).is_ok());
        (!is_usable).then_some(HoldReason::DestinationUnusable)
    })
}
