//! What every action of a person on a batch or an item has in common: who acts, and why it may not be done.

use super::{batch_work::BatchWork, cancel_item, conclude::Contradiction, hold_item, why_unpaid::next_step};
use crate::{
    RACES_MAX,
    change::Change,
    failure::{Class, Failure},
    idempotency::{Remembering, claim_key::ClaimKeyError},
    ports::{CommitError, Dice, DuplicateKey, Ids, PayoutRepository, Rails, StoreError, repository::BatchForExecution},
};
use domain::{
    audit::{Actor, AuditEntry},
    batch::Batch,
    ids::{AuditId, BatchId, ItemId, RecipientId},
    item::{Item, ItemStatus},
    recipient::HoldReason,
    timestamp::Timestamp,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Who acts, and on what.
#[derive(Clone, Copy)]
pub struct Acting<'a> {
    /// Where batches are kept.
    pub repository: &'a dyn PayoutRepository,
    /// Where money goes out.
    pub rails: &'a Rails,
    /// Names.
    pub ids: &'a dyn Ids,
    /// Chance.
    pub dice: &'a dyn Dice,
    /// Who.
    pub actor: &'a Actor,
    /// When.
    pub now: Timestamp,
}

impl Acting<'_> {
    /// An entry of the audit log that is not the move of an item.
    pub(crate) fn audit(
        &self,
        action: &str,
        subject: impl ToString,
        before: Option<Value>,
        after: Option<Value>,
    ) -> AuditEntry {
        AuditEntry {
            id: AuditId::new(self.ids.fresh()),
            at: self.now,
            actor: self.actor.clone(),
            action: action.to_owned(),
            subject: subject.to_string(),
            before,
            after,
        }
    }

    /// The batch, ready to be worked on by whoever acts.
    pub(crate) async fn batch(&self, id: BatchId) -> Result<BatchForExecution, ActError> {
        self.repository.batch_for_execution(id).await?.ok_or(ActError::BatchNotFound(id))
    }

    /// The batch of an item.
    pub(crate) async fn batch_of(&self, item: ItemId) -> Result<BatchForExecution, ActError> {
        let batch = self.repository.batch_of_item(item).await?.ok_or(ActError::ItemNotFound(item))?;
        self.batch(batch).await
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// The batch as it was committed.
    pub batch: Batch,
    /// Its items that were acted on, as they are now.
    pub items: Vec<Item>,
    /// Of these, those whose rail was asked to give them up, and has not answered yet.
    pub asked: Vec<ItemId>,
}

impl Acted {
    pub(crate) fn of(work: &BatchWork<'_>, items: &[ItemId], asked: Vec<ItemId>) -> Self {
        let items = items.iter().filter_map(|id| work.item(*id).cloned()).collect();
        Self { batch: work.batch().clone(), items, asked }
    }
}

/// Why an action was not done, in the order of the checks.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such batch.
    #[error("there is no batch `{0}`")]
    BatchNotFound(BatchId),
    /// There is no such item.
    #[error("there is no item `{0}`")]
    ItemNotFound(ItemId),
    /// The item is in a state in which that cannot be done.
    #[error("an item that is `{}` cannot be {action}", .status.as_str())]
    NotNow {
        /// What was asked for: `held`, `cancelled`.
        action: &'static str,
        /// The state it is in.
        status: ItemStatus,
    },
    /// No item of the batch is in a state in which that can be done.
    #[error("the batch is `{status}`: none of its items can be {action}")]
    NothingToDo {
        /// What was asked for.
        action: &'static str,
        /// The state it is in.
        status: &'static str,
    },
    /// The item waits for its recipient, who may still not be paid: nobody releases past that.
    #[error("the item stays held: `{recipient}` may not be paid now (`{}`). {}", .reason.as_str(), next_step(*.reason))]
    RecipientHeld {
        /// Who.
        recipient: RecipientId,
        /// Why.
        reason: HoldReason,
    },
    /// The rail does not give it up.
    #[error("the rail does not give it up: {0}")]
    RecallRefused(String),
    /// Whether the rail gives it up is not known.
    #[error(
        "the rail did not say whether it gives it up: {0}; ask again, and if it stays so, two people say what became of \
         it at `resolve`"
    )]
    RecallUnknown(String),
    /// The request's key belongs to another request.
    #[error(transparent)]
    Key(#[from] ClaimKeyError),
    /// Our own fault.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<StoreError> for ActError {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl Failure for ActError {
    fn code(&self) -> &'static str {
        match self {
            Self::BatchNotFound(_) => "batch_not_found",
            Self::ItemNotFound(_) => "item_not_found",
            Self::NotNow { .. } | Self::NothingToDo { .. } => "wrong_state",
            Self::RecipientHeld { .. } => "recipient_held",
            Self::RecallRefused(_) => "recall_refused",
            Self::RecallUnknown(_) => "unavailable",
            Self::Key(error) => error.code(),
            Self::Contradiction(_) => "server_error",
            Self::Commit(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::BatchNotFound(_) | Self::ItemNotFound(_) => Class::NotFound,
            Self::NotNow { .. } | Self::NothingToDo { .. } | Self::RecipientHeld { .. } | Self::RecallRefused(_) => {
                Class::Conflict
            }
            Self::RecallUnknown(_) => Class::Unavailable,
            Self::Key(error) => error.class(),
            Self::Contradiction(_) => Class::Internal,
            Self::Commit(error) => error.class(),
        }
    }
}

/// What a person does with an item or a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Holds an item that is scheduled, until an operator releases it.
    HoldItem(ItemId),
    /// Releases an item that is held, unless its recipient may still not be paid.
    ReleaseItem(ItemId),
    /// Has an item sent again that failed or came back.
    RetryItem(ItemId),
    /// Has everything of a batch sent again that failed or came back.
    RetryBatch(BatchId),
    /// Gives an item up.
    CancelItem(ItemId),
    /// Gives up all that is left of a batch.
    CancelBatch(BatchId),
}

/// Does it: decides and commits, and decides anew as long as somebody else is faster.
///
/// # Errors
/// See [`ActError`].
pub async fn act(acting: Acting<'_>, action: Action, remember: &Remembering<Acted>) -> Result<Acted, ActError> {
    let recalls = match action {
        Action::CancelItem(_) | Action::CancelBatch(_) => cancel_item::ask_to_recall(acting, action).await?,
        Action::HoldItem(_) | Action::ReleaseItem(_) | Action::RetryItem(_) | Action::RetryBatch(_) => BTreeMap::new(),
    };
    let mut races = 0;
    loop {
        let (acted, change) = match action {
            Action::HoldItem(item) => hold_item::hold_item(acting, item).await?,
            Action::ReleaseItem(item) => hold_item::release_item(acting, item).await?,
            Action::RetryItem(item) => hold_item::retry_item(acting, item).await?,
            Action::RetryBatch(batch) => hold_item::retry_batch(acting, batch).await?,
            Action::CancelItem(_) | Action::CancelBatch(_) => cancel_item::cancel(acting, action, &recalls).await?,
        };
        match acting.repository.commit(Change { remember: remember.of(&acted), ..change }).await {
            Ok(()) => return Ok(acted),
            Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey)) => return Err(ClaimKeyError::Reused.into()),
            Err(CommitError::Stale | CommitError::Duplicate(_)) if races < RACES_MAX => races += 1,
            Err(error) => return Err(error.into()),
        }
    }
}
