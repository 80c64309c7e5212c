//! What one escrow release became.

use crate::{
    currency::Currency,
    ids::{BatchId, EscrowId, JobId, MilestoneId, ProjectId, Requester},
    item::ItemStatus,
    revenue_model::ModelHash,
    timestamp::Timestamp,
};

/// A payout batch. Its amounts, its recipients and its model version never change; its status follows
/// from its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Ours.
    pub id: BatchId,
    /// The release it came from; unique for ever.
    pub escrow: EscrowId,
    /// Whose revenue it is.
    pub project: ProjectId,
    /// What the release was for.
    pub milestone: Option<MilestoneId>,
    /// Who asked.
    pub scheduled_by: Requester,
    /// The one currency of everything in it.
    pub currency: Currency,
    /// What was released, in minor units.
    pub amount_minor: i64,
    /// What was taken off before the split.
    pub deductions_minor: i64,
    /// The platform's part, of all lines.
    pub fee_minor: i64,
    /// Withheld, of all lines.
    pub tax_minor: i64,
    /// Owed to recipients.
    pub total_net_minor: i64,
    /// The version that split it.
    pub model_version: u32,
    /// The hash of the model that split it.
    pub model_hash: ModelHash,
    /// When the money was earned.
    pub as_of: Timestamp,
    /// Not to be paid before this, if given.
    pub execute_at: Option<Timestamp>,
    /// What the request said, to tell a repetition from a contradiction.
    pub fingerprint: Fingerprint,
    /// The job that executes it.
    pub job: JobId,
    /// How many items it has.
    pub items_count: u32,
    /// What its items come to.
    pub status: BatchStatus,
    /// When it was booked.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
}

/// SHA-256 of what a request said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// The status of a batch: a pure function of its items, never set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BatchStatus {
    /// A required approval is missing.
    AwaitingApproval,
    /// Booked; nothing was attempted yet.
    Scheduled,
    /// Something is on its way or still to be sent.
    Processing,
    /// Everything is paid, or there was nothing to pay.
    Completed,
    /// Some of it is paid, the rest is not going to be without help.
    Partial,
    /// None of it is paid.
    Failed,
    /// All of it was given up.
    Cancelled,
}

impl BatchStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::AwaitingApproval,
        Self::Scheduled,
        Self::Processing,
        Self::Completed,
        Self::Partial,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Scheduled => "scheduled",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// What the items of a batch come to (product design, section 2).
    pub fn of(items: &[(ItemStatus, Attempted)], approval: Approval) -> Self {
        use ItemStatus as I;
        let all = |wanted: ItemStatus| items.iter().all(|(status, _)| *status == wanted);
        let any = |wanted: &[ItemStatus]| items.iter().any(|(status, _)| wanted.contains(status));

        if items.is_empty() {
            Self::Completed
        } else if all(I::Cancelled) {
            Self::Cancelled
        } else if any(&[I::Processing, I::InDoubt]) {
            Self::Processing
        } else if any(&[I::Scheduled, I::PendingKyc]) {
            match approval {
                Approval::Missing => Self::AwaitingApproval,
                Approval::NotNeeded if items.iter().any(|(_, attempted)| attempted.0) => Self::Processing,
                Approval::NotNeeded => Self::Scheduled,
            }
        } else if all(I::Paid) {
            Self::Completed
        } else if any(&[I::Paid]) {
            Self::Partial
        } else {
            Self::Failed
        }
    }
}

/// Whether an instruction was ever made for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempted(pub bool);

/// Whether somebody must still say yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// No policy asks for it, or it was given.
    NotNeeded,
    /// A policy asks for it, and it is not there.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use BatchStatus as B;
    use ItemStatus as I;

    fn of(items: &[ItemStatus]) -> BatchStatus {
        let items: Vec<_> =
            items.iter().map(|status| (*status, Attempted(!matches!(status, I::Scheduled | I::PendingKyc)))).collect();
        BatchStatus::of(&items, Approval::NotNeeded)
    }

    #[test]
    fn the_status_follows_from_the_items() {
        for (items, status) in [
            (&[][..], B::Completed),
            (&[I::Cancelled, I::Cancelled], B::Cancelled),
            (&[I::Paid, I::Processing], B::Processing),
            (&[I::Failed, I::InDoubt], B::Processing),
            (&[I::Scheduled, I::Scheduled], B::Scheduled),
            (&[I::Scheduled, I::PendingKyc], B::Scheduled),
            (&[I::Paid, I::Scheduled], B::Processing),
            (&[I::Failed, I::PendingKyc], B::Processing),
            (&[I::Paid, I::Paid], B::Completed),
            (&[I::Paid, I::Failed], B::Partial),
            (&[I::Paid, I::Cancelled], B::Partial),
            (&[I::Paid, I::Returned], B::Partial),
            (&[I::Failed, I::Failed], B::Failed),
            (&[I::Failed, I::Cancelled], B::Failed),
            (&[I::Returned], B::Failed),
        ] {
            assert_eq!(of(items), status, "{items:?}");
        }
    }

    #[test]
    fn a_missing_approval_shows_only_while_something_waits_for_it() {
        let missing = |status| BatchStatus::of(&[(status, Attempted(false))], Approval::Missing);
        assert_eq!(missing(I::Scheduled), B::AwaitingApproval);
        assert_eq!(missing(I::Paid), B::Completed);
    }

    /// Every pair of states, so that no combination is left to chance.
    #[test]
    fn a_batch_is_completed_only_if_everything_is_paid() {
        for one in ItemStatus::ALL {
            for two in ItemStatus::ALL {
                assert_eq!(of(&[one, two]) == B::Completed, one == I::Paid && two == I::Paid, "{one:?} {two:?}");
                assert_eq!(of(&[one, two]), of(&[two, one]), "the order of items does not matter");
            }
        }
    }
}
