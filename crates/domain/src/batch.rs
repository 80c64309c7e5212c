//! What one escrow release became, and what is carried without one.

use crate::{
    calculation::{Line, RuleTax},
    currency::Currency,
    ids::{BatchId, EscrowId, ItemId, JobId, MilestoneId, ProjectId, RecipientId, Requester},
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
    /// What it came from.
    pub origin: Origin,
    /// Who asked.
    pub scheduled_by: Requester,
    /// The one currency of everything in it.
    pub currency: Currency,
    /// What was released, in minor units; nothing in a batch of kind `carry`.
    pub amount_minor: i64,
    /// What was taken off before the split.
    pub deductions_minor: i64,
    /// The platform's part, of all lines, tax on it included.
    pub fee_minor: i64,
    /// Of `fee_minor`, the tax on the fee.
    pub fee_tax_minor: i64,
    /// Withheld, of all lines.
    pub tax_minor: i64,
    /// Owed to recipients.
    pub total_net_minor: i64,
    /// Not to be paid before this, if given.
    pub execute_at: Option<Timestamp>,
    /// When it is due: never before `execute_at`, and as the payout calendar says.
    pub due_at: Timestamp,
    /// Who must still say yes.
    pub approvals: Approvals,
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

/// What a batch came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The release of an escrow.
    Release(Box<Release>),
    /// What was carried for a recipient, and is due without an escrow.
    Carry(RecipientId),
}

/// The release of an escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which escrow; unique for ever.
    pub escrow: EscrowId,
    /// Whose revenue it is.
    pub project: ProjectId,
    /// What it was released for.
    pub milestone: Option<MilestoneId>,
    /// The version that split it.
    pub model_version: u32,
    /// The hash of the model that split it.
    pub model_hash: ModelHash,
    /// When the money was earned.
    pub as_of: Timestamp,
    /// What the request said, to tell a repetition from a contradiction.
    pub fingerprint: Fingerprint,
}

impl Batch {
    /// The release it came from, if it came from one.
    pub fn release(&self) -> Option<&Release> {
        match &self.origin {
            Origin::Release(release) => Some(release),
            Origin::Carry(_) => None,
        }
    }
    /// The escrow it came from, if it came from one.
    pub fn escrow(&self) -> Option<&EscrowId> {
        self.release().map(|release| &release.escrow)
    }
    /// What came out of the deductions: the sum of the lines' gross amounts.
    pub fn gross_minor(&self) -> i64 {
        self.amount_minor - self.deductions_minor
    }
}

impl Origin {
    /// The word that is stored and answered.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Release(_) => "release",
            Self::Carry(_) => "carry",
        }
    }
}

/// One recipient's line of a batch, also of those for whom there is nothing to send. It never changes: what a reversal
/// takes of it is booked beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchLine {
    /// The batch.
    pub batch: BatchId,
    /// Its place in the batch, from 0.
    pub seq: u32,
    /// Who.
    pub recipient: RecipientId,
    /// The item that pays it, if there is something to pay.
    pub item: Option<ItemId>,
    /// Gross, in minor units.
    pub gross_minor: i64,
    /// The platform's part of it, tax on it included.
    pub fee_minor: i64,
    /// Of `fee_minor`, the tax on the fee.
    pub fee_tax_minor: i64,
    /// What is withheld, by rule.
    pub taxes: Vec<RuleTax>,
    /// What earlier batches carried, and this one takes along.
    pub carried_in_minor: i64,
    /// What the recipient's debt took.
    pub recovered_minor: i64,
    /// What is carried to a later batch.
    pub carried_forward_minor: i64,
    /// What is sent, held or not.
    pub payable_minor: i64,
}

impl BatchLine {
    /// The line of a calculation.
    pub fn of(batch: BatchId, seq: u32, line: &Line, item: Option<ItemId>) -> Self {
        Self {
            batch,
            seq,
            recipient: line.recipient.clone(),
            item,
            gross_minor: line.gross_minor,
            fee_minor: line.fee_minor,
            fee_tax_minor: line.fee_tax_minor,
            taxes: line.taxes.clone(),
            carried_in_minor: line.carried_in_minor,
            recovered_minor: line.recovered_minor,
            carried_forward_minor: line.carried_forward_minor,
            payable_minor: line.payable_minor + line.held_minor,
        }
    }
    /// What is withheld, of all rules.
    pub fn tax_minor(&self) -> i64 {
        self.taxes.iter().map(|tax| tax.amount_minor).sum()
    }
    /// What is left of gross: owed to the recipient.
    pub fn net_minor(&self) -> i64 {
        self.gross_minor - self.fee_minor - self.tax_minor()
    }
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
    pub fn of(items: &[(ItemStatus, Attempted)], approvals: Approvals) -> Self {
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
            if approvals.are_missing() {
                Self::AwaitingApproval
            } else if items.iter().any(|(_, attempted)| attempted.0) {
                Self::Processing
            } else {
                Self::Scheduled
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

/// How many people must say yes, and how many have, to what would be paid now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    /// So many must.
    pub required: u32,
    /// So many have.
    pub given: u32,
}

impl Approvals {
    /// Whether nothing may be paid yet.
    pub fn are_missing(self) -> bool {
        self.given < self.required
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BatchStatus as B;
    use ItemStatus as I;

    fn of(items: &[ItemStatus]) -> BatchStatus {
        let items: Vec<_> =
            items.iter().map(|status| (*status, Attempted(!matches!(status, I::Scheduled | I::PendingKyc)))).collect();
        BatchStatus::of(&items, Approvals::default())
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
        let missing = |status| BatchStatus::of(&[(status, Attempted(false))], Approvals { required: 2, given: 1 });
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
