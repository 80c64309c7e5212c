//! Which event posts what: one function for each row of the product design, section 3.

use super::{Account, Entry, Transaction, TransactionKind, Unbalanced, transaction::About};
use crate::{
    batch::Batch,
    calculation::{Deduction, Line},
    ids::TransactionId,
    instruction::{Instruction, InstructionItem},
    item::Item,
    timestamp::Timestamp,
};
use std::collections::BTreeMap;

/// The escrow service released the money: it owes us, we owe the release.
///
/// # Errors
/// If the batch has no amount.
pub fn released(id: TransactionId, batch: &Batch) -> Result<Transaction, Unbalanced> {
    let postings = Postings::default()
        .debit(Account::EscrowReceivable, batch.amount_minor)
        .credit(Account::Escrow(batch.escrow.clone()), batch.amount_minor);
    postings.of_batch(id, TransactionKind::Released, batch)
}

/// The release was split: every unit of it is somebody's.
///
/// # Errors
/// If the lines do not add up to the batch.
pub fn scheduled(
    id: TransactionId,
    batch: &Batch,
    lines: &[Line],
    deductions: &[Deduction],
) -> Result<Transaction, Unbalanced> {
    let mut postings = Postings::default().debit(Account::Escrow(batch.escrow.clone()), batch.amount_minor);
    for deduction in deductions {
        postings = postings.credit(Account::Deductions(deduction.kind), deduction.amount_minor);
    }
    for line in lines {
        postings = postings.credit(Account::Payable(line.recipient.clone()), line.net_minor);
        postings = postings.credit(Account::PlatformFees, line.fee_minor);
        if let Some(rule) = &line.tax_rule {
            postings = postings.credit(Account::TaxWithheld(rule.clone()), line.tax_minor);
        }
    }
    postings.of_batch(id, TransactionKind::Scheduled, batch)
}

/// The intent to pay an item is committed: it is no longer owed, it is on its way.
///
/// # Errors
/// If there is nothing to send.
pub fn sent(
    id: TransactionId,
    instruction: &Instruction,
    part: &InstructionItem,
    item: &Item,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let postings = Postings::default()
        .debit(Account::Payable(item.recipient.clone()), part.amount_minor)
        .credit(Account::InTransit(instruction.rail.clone()), part.amount_minor);
    postings.of_instruction(id, TransactionKind::Sent, instruction, part, at)
}

/// The rail settled an item: the money left our account there.
///
/// # Errors
/// If there was nothing to send.
pub fn paid(
    id: TransactionId,
    instruction: &Instruction,
    part: &InstructionItem,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let postings = Postings::default()
        .debit(Account::InTransit(instruction.rail.clone()), part.amount_minor)
        .credit(Account::Cash(instruction.rail.clone()), part.amount_minor);
    postings.of_instruction(id, TransactionKind::Paid, instruction, part, at)
}

/// The rail refused an item: it is owed again. Fee and tax stay, for the money is still the recipient's.
///
/// # Errors
/// If there was nothing to send.
pub fn refused(
    id: TransactionId,
    instruction: &Instruction,
    part: &InstructionItem,
    item: &Item,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let postings = Postings::default()
        .debit(Account::InTransit(instruction.rail.clone()), part.amount_minor)
        .credit(Account::Payable(item.recipient.clone()), part.amount_minor);
    postings.of_instruction(id, TransactionKind::Refused, instruction, part, at)
}

/// Sums up by account, debits before credits; an account that comes to zero has no entry.
#[derive(Default)]
struct Postings {
    debits: BTreeMap<Account, i64>,
    credits: BTreeMap<Account, i64>,
}

impl Postings {
    fn debit(mut self, account: Account, amount_minor: i64) -> Self {
        *self.debits.entry(account).or_default() += amount_minor;
        self
    }
    fn credit(mut self, account: Account, amount_minor: i64) -> Self {
        *self.credits.entry(account).or_default() -= amount_minor;
        self
    }
    fn entries(self) -> Vec<Entry> {
        let all = self.debits.into_iter().chain(self.credits);
        all.filter(|(_, amount)| *amount != 0).map(|(account, amount_minor)| Entry { account, amount_minor }).collect()
    }
    fn of_batch(self, id: TransactionId, kind: TransactionKind, batch: &Batch) -> Result<Transaction, Unbalanced> {
        let about = About { batch: batch.id, item: None, instruction: None };
        Transaction::try_new(id, kind, about, batch.currency, self.entries(), batch.created_at)
    }
    fn of_instruction(
        self,
        id: TransactionId,
        kind: TransactionKind,
        instruction: &Instruction,
        part: &InstructionItem,
        at: Timestamp,
    ) -> Result<Transaction, Unbalanced> {
        let about = About { batch: instruction.batch, item: Some(part.item), instruction: Some(instruction.id) };
        Transaction::try_new(id, kind, about, instruction.currency, self.entries(), at)
    }
}
