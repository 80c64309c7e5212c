//! Durable work: committed with the facts that make it necessary, leased while it is done.

use domain::{
    batch::Batch,
    ids::{BatchId, JobId, RecipientId, ReversalId},
    timestamp::Timestamp,
};

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Ours.
    pub id: JobId,
    /// What is to be done.
    pub kind: JobKind,
    /// Not before this.
    pub run_at: Timestamp,
}

impl Job {
    /// The one job of a batch, for as long as there is something to do about it: it is enqueued once and woken ever after.
    pub fn of(batch: &Batch, run_at: Timestamp) -> Self {
        Self { id: batch.job, kind: JobKind::ExecuteBatch(batch.id), run_at }
    }
}

/// What is to be done. Every kind is safe to do twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Pay what is scheduled in a batch, and find out what became of what was sent.
    ExecuteBatch(BatchId),
    /// Look anew at what is held for a recipient, now that they have changed.
    ReleaseHeldItems(RecipientId),
    /// Pay what is carried for a recipient, if it is enough now that they have changed.
    PayCarried(RecipientId),
    /// Book what of a reversal waited for payments in flight.
    FinishReversal(ReversalId),
    /// Let go of what nobody claims in a batch.
    EscheatItems(BatchId),
    /// Look anew at every batch that is still to be paid, now that the policy has that version.
    ApplyPolicy(u32),
}

impl JobKind {
    /// The word that is stored.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ExecuteBatch(_) => "execute_batch",
            Self::ReleaseHeldItems(_) => "release_held_items",
            Self::PayCarried(_) => "pay_carried",
            Self::FinishReversal(_) => "finish_reversal",
            Self::EscheatItems(_) => "escheat_items",
            Self::ApplyPolicy(_) => "apply_policy",
        }
    }
    /// What it is about, as text.
    pub fn subject(&self) -> String {
        match self {
            Self::ExecuteBatch(batch) | Self::EscheatItems(batch) => batch.to_string(),
            Self::ReleaseHeldItems(recipient) | Self::PayCarried(recipient) => recipient.to_string(),
            Self::FinishReversal(reversal) => reversal.to_string(),
            Self::ApplyPolicy(version) => version.to_string(),
        }
    }
    /// The kind of that word and subject, if there is one.
    pub fn of(word: &str, subject: &str) -> Option<Self> {
        match word {
            "execute_batch" => subject.parse().ok().map(Self::ExecuteBatch),
            "release_held_items" => subject.parse().ok().map(Self::ReleaseHeldItems),
            "pay_carried" => subject.parse().ok().map(Self::PayCarried),
            "finish_reversal" => subject.parse().ok().map(Self::FinishReversal),
            "escheat_items" => subject.parse().ok().map(Self::EscheatItems),
            "apply_policy" => subject.parse().ok().map(Self::ApplyPolicy),
            _ => None,
        }
    }
}

/// The right to do a job, until it runs out or somebody else gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which job.
    pub job: JobId,
    /// The fencing token: grows with every claim, and is checked in every write.
    pub attempt: u32,
}

/// A job that was claimed, with the right to do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The right.
    pub lease: Lease,
    /// What is to be done.
    pub kind: JobKind,
}

/// What a commit does with the lease it was made under. Each is refused if the lease was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// The work goes on under it.
    Keep(Lease),
    /// The job is done, unless somebody woke it meanwhile: then it is due at once.
    Finish(Lease),
    /// The job is not done: it is due again at that time, or at once if somebody woke it meanwhile.
    Again(Lease, Timestamp),
}

impl LeaseStep {
    /// The lease that must still be held.
    pub fn lease(&self) -> &Lease {
        let (Self::Keep(lease) | Self::Finish(lease) | Self::Again(lease, _)) = self;
        lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_back_as_written() {
        let batch = BatchId::new(uuid::Uuid::from_u128(7));
        for kind in [
            JobKind::ExecuteBatch(batch),
            JobKind::EscheatItems(batch),
            JobKind::ReleaseHeldItems("rec_1".parse().unwrap()),
            JobKind::PayCarried("rec_1".parse().unwrap()),
            JobKind::FinishReversal("ref_1".parse().unwrap()),
            JobKind::ApplyPolicy(3),
        ] {
            assert_eq!(JobKind::of(kind.as_str(), &kind.subject()), Some(kind));
        }
        assert_eq!(JobKind::of("dance", "rec_1"), None);
        assert_eq!(JobKind::of("execute_batch", "rec_1"), None);
    }
}
