//! The lists that a calculation fills, kept from one to the next: a batch job allocates nothing per release.

use crate::apportion::Share;

/// What one recipient gets, in minor units; `gross = fee + tax + net` and `net + carried in = recovered + held +
/// carried forward + payable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Their part of the pool.
    pub gross_minor: i64,
    /// Of it, what the platform may take its fee of.
    pub feeable_minor: i64,
    /// Their part of the platform fee, tax on it included.
    pub fee_minor: i64,
    /// Of `fee_minor`, the tax on the fee.
    pub fee_tax_minor: i64,
    /// What is withheld.
    pub tax_minor: i64,
    /// What is left: owed to the recipient.
    pub net_minor: i64,
    /// What earlier releases carried, and this one takes along.
    pub carried_in_minor: i64,
    /// What their debt took.
    pub recovered_minor: i64,
    /// What waits for them.
    pub held_minor: i64,
    /// What is carried to a later release.
    pub carried_forward_minor: i64,
    /// What is sent.
    pub payable_minor: i64,
}

/// What one rule withheld of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaxTaken {
    /// Their place.
    pub who: usize,
    /// The rule, by its place among the recipient's.
    pub rule: usize,
    /// What the rule looked at.
    pub base_minor: i64,
    /// What it wanted.
    pub wanted_minor: i64,
    /// What it got.
    pub taken_minor: i64,
}

/// Something to look at, recipients by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    NothingToSplit,
    NothingPayable,
    FeeClamped { wanted_minor: u128 },
    Shortfall { who: usize, missing_minor: i64 },
    Held { who: usize },
    Carried { who: usize },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// By place.
    pub(super) lines: Vec<Amounts>,
    /// What the model counts, as it will be afterwards.
    pub(super) counts: Vec<i64>,
    pub(super) taxes: Vec<TaxTaken>,
    pub(super) notices: Vec<Notice>,
    pub(super) shares: Vec<Share>,
    pub(super) weights: Vec<u64>,
    /// What the fee would have been, had the recipients borne it.
    pub(super) fee_elsewhere_minor: i64,
}

impl Work {
    pub(super) fn begin(&mut self, lines: usize, counts: impl Iterator<Item = i64>) {
        self.lines.clear();
        self.lines.resize(lines, Amounts::default());
        self.counts.clear();
        self.counts.extend(counts);
        self.taxes.clear();
        self.notices.clear();
        self.fee_elsewhere_minor = 0;
    }

    /// What a count still lacks of its target. A count below nothing, which no release leaves behind, is nothing.
    pub(super) fn missing(&self, target: i64, slot: usize) -> i64 {
        (target - self.counts[slot].max(0)).max(0)
    }

    pub(super) fn give(&mut self, who: usize, amount: i64, feeable: bool) {
        let line = &mut self.lines[who];
        line.gross_minor += amount;
        if feeable {
            line.feeable_minor += amount;
        }
    }
}
