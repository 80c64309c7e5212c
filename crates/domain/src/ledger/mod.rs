//! The double-entry ledger: append-only, integer minor units, one currency a transaction.
//!
//! * [`account`]: a kind and, where named, a subject
//! * [`transaction`]: balanced, or it does not exist
//! * [`postings`]: which event posts what, one function a row of the product design, section 3

pub mod account;
pub mod postings;
pub mod transaction;

pub use account::Account;
pub use transaction::{Entry, Transaction, TransactionKind, Unbalanced};
