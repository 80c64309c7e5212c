//! Which event posts what: one function for each row of the product design, section 3.

use super::{Account, Entry, Transaction, TransactionKind, Unbalanced, transaction::About};
use crate::{
    batch::{Batch, BatchLine, Release},
    calculation::{Deduction, RuleTax},
    ids::{EscrowId, ItemId, RecipientId, TransactionId},
    instruction::{Instruction, InstructionItem},
    item::Item,
    reversal::{ReversalLine, Source},
    timestamp::Timestamp,
};
use std::collections::BTreeMap;

/// The escrow service released the money: it owes us, we owe the release.
///
/// # Errors
/// If the batch has no amount.
pub fn released(id: TransactionId, batch: &Batch, release: &Release) -> Result<Transaction, Unbalanced> {
    let postings = Postings::default()
        .debit(Account::EscrowReceivable, batch.amount_minor)
        .credit(Account::Escrow(release.escrow.clone()), batch.amount_minor);
    postings.of_batch(id, TransactionKind::Released, batch)
}

/// The release was split: every unit of it is somebody's.
///
/// # Errors
/// If the lines do not add up to the batch.
pub fn scheduled(
    id: TransactionId,
    batch: &Batch,
    release: &Release,
    lines: &[BatchLine],
    deductions: &[Deduction],
) -> Result<Transaction, Unbalanced> {
    let mut postings = Postings::default().debit(Account::Escrow(release.escrow.clone()), batch.amount_minor);
    for deduction in deductions {
        postings = postings.credit(Account::Deductions(deduction.kind), deduction.amount_minor);
    }
    for line in lines {
        postings = postings
            .credit(Account::Payable(line.recipient.clone()), line.net_minor())
            .credit(Account::PlatformFees, line.fee_minor - line.fee_tax_minor)
            .credit(Account::FeeTax, line.fee_tax_minor);
        for tax in &line.taxes {
            postings = postings.credit(Account::TaxWithheld(tax.rule.clone()), tax.amount_minor);
        }
    }
    postings.of_batch(id, TransactionKind::Scheduled, batch)
}

/// What the lines carry on, beyond what they took along; none if nothing does.
///
/// # Errors
/// Never: what is moved is taken from one account of a recipient and put on another.
pub fn carried(id: TransactionId, batch: &Batch, lines: &[BatchLine]) -> Result<Option<Transaction>, Unbalanced> {
    let mut postings = Postings::default();
    for line in lines {
        let more = (line.carried_forward_minor - line.carried_in_minor).max(0);
        postings = postings
            .debit(Account::Payable(line.recipient.clone()), more)
            .credit(Account::Carried(line.recipient.clone()), more);
    }
    postings.of_batch_if_any(id, TransactionKind::Carried, batch)
}

/// What the lines took along, beyond what they carry on; none if nothing does.
///
/// # Errors
/// As [`carried`].
pub fn carry_paid(id: TransactionId, batch: &Batch, lines: &[BatchLine]) -> Result<Option<Transaction>, Unbalanced> {
    let mut postings = Postings::default();
    for line in lines {
        let more = (line.carried_in_minor - line.carried_forward_minor).max(0);
        postings = postings
            .debit(Account::Carried(line.recipient.clone()), more)
            .credit(Account::Payable(line.recipient.clone()), more);
    }
    postings.of_batch_if_any(id, TransactionKind::CarryPaid, batch)
}

/// What debts took of the lines; none if nothing did.
///
/// # Errors
/// As [`carried`].
pub fn recovered(id: TransactionId, batch: &Batch, lines: &[BatchLine]) -> Result<Option<Transaction>, Unbalanced> {
    let mut postings = Postings::default();
    for line in lines {
        postings = postings
            .debit(Account::Payable(line.recipient.clone()), line.recovered_minor)
            .credit(Account::Debt(line.recipient.clone()), line.recovered_minor);
    }
    postings.of_batch_if_any(id, TransactionKind::Recovered, batch)
}

/// A reversal of some lines of a release: what everybody gives back goes back to the escrow.
///
/// # Errors
/// If the parts do not add up, or there are none.
pub fn reversed(
    id: TransactionId,
    batch: &Batch,
    escrow: &EscrowId,
    parts: &[ReversalLine],
    platform_minor: i64,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let mut postings = Postings::default().debit(Account::PlatformFees, platform_minor);
    let mut back = platform_minor;
    for part in parts {
        let Some(Source { payable_minor, carried_minor, debt_minor }) = part.source else { continue };
        postings = postings
            .debit(Account::Payable(part.recipient.clone()), payable_minor)
            .debit(Account::Carried(part.recipient.clone()), carried_minor)
            .debit(Account::Debt(part.recipient.clone()), debt_minor)
            .debit(Account::PlatformFees, part.fee_minor)
            .debit(Account::FeeTax, part.fee_tax_minor);
        for tax in &part.taxes {
            postings = postings.debit(Account::TaxWithheld(tax.rule.clone()), tax.amount_minor);
        }
        back += part.gross_minor;
    }
    let postings = postings.credit(Account::Escrow(escrow.clone()), back);
    let about = About { batch: batch.id, item: None, instruction: None };
    Transaction::try_new(id, TransactionKind::Reversed, about, batch.currency, postings.entries(), at)
}

/// What nobody claimed goes to the others of its batch, as a balance, or to the platform.
///
/// # Errors
/// If the parts do not add up to what was held.
pub fn escheated(
    id: TransactionId,
    batch: &Batch,
    item: &Item,
    others: &[(RecipientId, i64)],
    platform_minor: i64,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let mut postings = Postings::default()
        .debit(Account::Payable(item.recipient.clone()), item.due_minor())
        .credit(Account::PlatformFees, platform_minor);
    for (recipient, amount_minor) in others {
        postings = postings.credit(Account::Carried(recipient.clone()), *amount_minor);
    }
    let about = About { batch: batch.id, item: Some(item.id), instruction: None };
    Transaction::try_new(id, TransactionKind::Escheated, about, batch.currency, postings.entries(), at)
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

/// The money came back: what came is cash again, what the rail kept on the way is its charge. The whole goes `to` where
/// it had come from: to `payable`, where it is owed again, or to lessen a debt.
///
/// # Errors
/// If more came back than was paid.
pub fn returned(
    id: TransactionId,
    instruction: &Instruction,
    part: &InstructionItem,
    to: &[(Account, i64)],
    returned_minor: i64,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let mut postings = Postings::default()
        .debit(Account::Cash(instruction.rail.clone()), returned_minor)
        .debit(Account::RailCharges, part.amount_minor - returned_minor);
    for (account, amount_minor) in to {
        postings = postings.credit(account.clone(), *amount_minor);
    }
    postings.of_instruction(id, TransactionKind::Returned, instruction, part, at)
}

/// A part came back over a rail that keeps no charges: the payment stands, the part is carried for the recipient, or
/// lessens their debt.
///
/// # Errors
/// If nothing came back.
pub fn returned_in_part(
    id: TransactionId,
    instruction: &Instruction,
    part: &InstructionItem,
    to: Account,
    more_minor: i64,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let postings =
        Postings::default().debit(Account::Cash(instruction.rail.clone()), more_minor).credit(to, more_minor);
    postings.of_instruction(id, TransactionKind::ReturnedInPart, instruction, part, at)
}

/// The rail executed what had been given up. What is still owed of it, `owed_minor`, is paid by that; the rest is a
/// debt of the recipient.
///
/// # Errors
/// If there was nothing to send.
pub fn paid_late(
    id: TransactionId,
    instruction: &Instruction,
    part: &InstructionItem,
    item: &Item,
    owed_minor: i64,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let recipient = item.recipient.clone();
    let postings = Postings::default()
        .debit(Account::Payable(recipient.clone()), owed_minor)
        .debit(Account::Debt(recipient), part.amount_minor - owed_minor)
        .credit(Account::Cash(instruction.rail.clone()), part.amount_minor);
    postings.of_instruction(id, TransactionKind::PaidLate, instruction, part, at)
}

/// What is owed after a refusal is what was paid late already: one is set off against the other.
///
/// # Errors
/// If there is nothing to set off.
pub fn set_off(
    id: TransactionId,
    instruction: &Instruction,
    part: &InstructionItem,
    item: &Item,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let postings = Postings::default()
        .debit(Account::Payable(item.recipient.clone()), part.amount_minor)
        .credit(Account::Debt(item.recipient.clone()), part.amount_minor);
    postings.of_instruction(id, TransactionKind::SetOff, instruction, part, at)
}

/// What is undone of a line that will not be paid. Minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancelledLine {
    /// Of its gross, what earlier reversals left: it goes back to the escrow.
    pub gross_minor: i64,
    /// What was still to be sent.
    pub payable_minor: i64,
    /// What it carries forward, and nobody paid since.
    pub carried_minor: i64,
    /// What is owed to us by the recipient from now on: what this line recovered, and what of its carry was paid since.
    pub debt_minor: i64,
    /// What of earlier reversals had become a debt, and is none any more.
    pub debt_gone_minor: i64,
    /// What it took along of earlier lines: it is carried again.
    pub carried_again_minor: i64,
    /// The platform's part, without the tax on it.
    pub fee_minor: i64,
    /// The tax on it.
    pub fee_tax_minor: i64,
    /// What was withheld, by rule.
    pub taxes: Vec<RuleTax>,
}

/// A line will not be paid: everything that was booked for it goes back where it came from.
///
/// # Errors
/// If the parts do not add up.
pub fn cancelled(
    id: TransactionId,
    batch: &Batch,
    (recipient, item): (&RecipientId, Option<ItemId>),
    line: &CancelledLine,
    at: Timestamp,
) -> Result<Transaction, Unbalanced> {
    let mut postings = Postings::default()
        .debit(Account::Payable(recipient.clone()), line.payable_minor)
        .debit(Account::Carried(recipient.clone()), line.carried_minor)
        .debit(Account::Debt(recipient.clone()), line.debt_minor)
        .debit(Account::PlatformFees, line.fee_minor)
        .debit(Account::FeeTax, line.fee_tax_minor)
        .credit(Account::Debt(recipient.clone()), line.debt_gone_minor)
        .credit(Account::Carried(recipient.clone()), line.carried_again_minor);
    for tax in &line.taxes {
        postings = postings.debit(Account::TaxWithheld(tax.rule.clone()), tax.amount_minor);
    }
    if let Some(escrow) = batch.escrow() {
        postings = postings.credit(Account::Escrow(escrow.clone()), line.gross_minor);
    }
    let about = About { batch: batch.id, item, instruction: None };
    Transaction::try_new(id, TransactionKind::Cancelled, about, batch.currency, postings.entries(), at)
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
    fn of_batch_if_any(
        self,
        id: TransactionId,
        kind: TransactionKind,
        batch: &Batch,
    ) -> Result<Option<Transaction>, Unbalanced> {
        let about = About { batch: batch.id, item: None, instruction: None };
        let entries = self.entries();
        if entries.is_empty() {
            return Ok(None);
        }
        Transaction::try_new(id, kind, about, batch.currency, entries, batch.created_at).map(Some)
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
