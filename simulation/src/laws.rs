//! What must be true, by name. A violation begins with the word of its law; `docs/simulation.md` says where each is
//! looked at.

use crate::words::words;

words! {
    /// What must be true.
    pub enum Law {
        /// No item is paid more than once, less what came back.
        PaidOnce "I1",
        /// What we say of a payment is what its provider says.
        AsTheProvider "I2",
        /// The ledger sums to zero.
        SumsToZero "I3",
        /// All of a release is allocated, to the minor unit, once.
        Allocated "I4",
        /// When nothing goes wrong any more, everything comes to rest.
        Rests "I5",
        /// Every move is told at least once, and nothing else is.
        Told "I6",
        /// Nobody writes or calls under a lease that is not theirs.
        Leased "I7",
        /// No item is sent under another instruction while a call for it is on its way.
        OneCall "I8",
        /// No storms: so many calls and turns, and no more.
        NoStorm "I9",
        /// The books balance after every step.
        Balanced "balanced",
        /// Nobody approves or confirms what they made themselves, and nothing is sent without enough approvals.
        SecondPerson "second_person",
        /// No money moves for what is held or cancelled.
        NotWhileHeld "held",
        /// What is sent was stored before, as it is sent.
        StoredFirst "stored_first",
        /// Nothing of ours panics, or contradicts itself.
        NoFault "no_fault",
    }
}
