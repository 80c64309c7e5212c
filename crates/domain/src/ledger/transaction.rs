//! A ledger transaction is balanced, or it does not exist.

use super::Account;
use crate::{
    currency::Currency,
    ids::{BatchId, InstructionId, ItemId, TransactionId},
    timestamp::Timestamp,
};

/// A balanced set of entries in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    id: TransactionId,
    kind: TransactionKind,
    about: About,
    currency: Currency,
    entries: Vec<Entry>,
    posted_at: Timestamp,
}

/// One line of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which account.
    pub account: Account,
    /// Minor units: a debit is greater than zero, a credit less. Never zero.
    pub amount_minor: i64,
}

/// What a transaction is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The batch.
    pub batch: BatchId,
    /// The item, where it is one.
    pub item: Option<ItemId>,
    /// The instruction, where it is one. With item and kind it is unique: nothing is posted twice.
    pub instruction: Option<InstructionId>,
}

/// Why a transaction was posted: a row of the product design, section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionKind {
    /// The escrow service released the money.
    Released,
    /// The release was split.
    Scheduled,
    /// The intent to pay an item was committed.
    Sent,
    /// The rail settled it.
    Paid,
    /// The rail refused it: the money is owed again.
    Refused,
    /// What is too small to be sent is carried to a later batch.
    Carried,
    /// What was carried is sent with this batch.
    CarryPaid,
    /// A debt took a part of what is owed.
    Recovered,
    /// A part of a release was taken back.
    Reversed,
    /// What nobody claimed goes to somebody else.
    Escheated,
    /// It will not be paid: the line goes back to the escrow.
    Cancelled,
    /// It was paid and came back: the money is owed again.
    Returned,
    /// A part of it came back: the payment stands, the part is carried for the recipient.
    ReturnedInPart,
    /// The rail executed it after all, when it had been given up.
    PaidLate,
    /// What is owed is set off against what was paid late.
    SetOff,
}

impl TransactionKind {
    /// Whether it is posted at most once for an item of an instruction. What comes back in parts comes several times;
    /// what the rail says has a name of its own then.
    pub fn is_once(self) -> bool {
        self != Self::ReturnedInPart
    }

    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Released,
        Self::Scheduled,
        Self::Sent,
        Self::Paid,
        Self::Refused,
        Self::Carried,
        Self::CarryPaid,
        Self::Recovered,
        Self::Reversed,
        Self::Escheated,
        Self::Cancelled,
        Self::Returned,
        Self::ReturnedInPart,
        Self::PaidLate,
        Self::SetOff,
    ];

    /// The word that is stored and answered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Scheduled => "scheduled",
            Self::Sent => "sent",
            Self::Paid => "paid",
            Self::Refused => "refused",
            Self::Carried => "carried",
            Self::CarryPaid => "carry_paid",
            Self::Recovered => "recovered",
            Self::Reversed => "reversed",
            Self::Escheated => "escheated",
            Self::Cancelled => "cancelled",
            Self::Returned => "returned",
            Self::ReturnedInPart => "returned_in_part",
            Self::PaidLate => "paid_late",
            Self::SetOff => "set_off",
        }
    }
}

/// Why there is no such transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// Debits and credits differ.
    #[error("debits and credits differ by {0}")]
    Difference(i128),
    /// There are fewer than two entries.
    #[error("a transaction has at least two entries")]
    TooFewEntries,
    /// An entry of zero says nothing.
    #[error("an entry is not zero")]
    ZeroEntry,
}

impl Transaction {
    /// A balanced transaction.
    ///
    /// # Errors
    /// See [`Unbalanced`].
    pub fn try_new(
        id: TransactionId,
        kind: TransactionKind,
        about: About,
        currency: Currency,
        entries: Vec<Entry>,
        posted_at: Timestamp,
    ) -> Result<Self, Unbalanced> {
        if entries.len() < 2 {
            return Err(Unbalanced::TooFewEntries);
        }
        if entries.iter().any(|entry| entry.amount_minor == 0) {
            return Err(Unbalanced::ZeroEntry);
        }
        match entries.iter().map(|entry| i128::from(entry.amount_minor)).sum() {
            0 => Ok(Self { id, kind, about, currency, entries, posted_at }),
            difference => Err(Unbalanced::Difference(difference)),
        }
    }

    /// Ours.
    pub fn id(&self) -> TransactionId {
        self.id
    }
    /// Why it was posted.
    pub fn kind(&self) -> TransactionKind {
        self.kind
    }
    /// What it is about.
    pub fn about(&self) -> About {
        self.about
    }
    /// The one currency of all entries.
    pub fn currency(&self) -> Currency {
        self.currency
    }
    /// At least two; they sum to zero.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
    /// When it was posted.
    pub fn posted_at(&self) -> Timestamp {
        self.posted_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn transaction(amounts: &[i64]) -> Result<Transaction, Unbalanced> {
        let entries =
            amounts.iter().map(|amount_minor| Entry { account: Account::PlatformFees, amount_minor: *amount_minor });
        Transaction::try_new(
            TransactionId::new(Uuid::nil()),
            TransactionKind::Released,
            About { batch: BatchId::new(Uuid::nil()), item: None, instruction: None },
            "USD".parse().unwrap(),
            entries.collect(),
            Timestamp::from_unix_micros(0),
        )
    }

    #[test]
    fn it_is_balanced_or_it_does_not_exist() {
        assert!(transaction(&[100, -60, -40]).is_ok());
        assert_eq!(transaction(&[100, -60]), Err(Unbalanced::Difference(40)));
        assert_eq!(transaction(&[i64::MAX, i64::MAX]), Err(Unbalanced::Difference(i128::from(i64::MAX) * 2)));
        assert_eq!(transaction(&[]), Err(Unbalanced::TooFewEntries));
        assert_eq!(transaction(&[1, 0, -1]), Err(Unbalanced::ZeroEntry));
    }
}
