//! The books, kept up to date commit by commit, so that they can be compared after every step: comparing everything
//! every time would take most of a run. Everything is compared now and then as well (see `run.rs`).

use app::change::{Change, New, Update};
use domain::{
    batch::{Batch, BatchLine},
    ids::{BatchId, InstructionId, ItemId, RecipientId},
    instruction::{Instruction, Outcome},
    item::Item,
    ledger::Account,
    recipient::RailId,
};
use std::collections::{BTreeMap, BTreeSet};

/// A sum in minor units. There is one currency in a run.
type Sum = i128;

/// What the ledger comes to, and what it must come to.
#[derive(Default)]
pub struct Incremental {
    balances: BTreeMap<Account, Sum>,
    /// What left our account at a rail under an instruction, by the ledger.
    executed: BTreeMap<InstructionId, Sum>,
    instructions: BTreeMap<InstructionId, Instruction>,
    instructions_of: BTreeMap<ItemId, BTreeSet<InstructionId>>,
    /// Which items are on their way.
    in_transit: BTreeSet<ItemId>,
    transit_of: BTreeMap<InstructionId, Sum>,
    transit: BTreeMap<RailId, Sum>,
    owed_of: BTreeMap<ItemId, Sum>,
    owed: BTreeMap<RecipientId, Sum>,
    carried: BTreeMap<RecipientId, Sum>,
    debts: BTreeMap<RecipientId, Sum>,
}

/// What of the books does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imbalance {
    /// A transaction or the ledger does not sum to zero.
    Sum(String),
    /// A release is not allocated to the minor unit.
    Allocation(String),
    /// What an instruction is said to have come to is not what was booked for it.
    Executed(String),
    /// An account is not what items, instructions or counters say.
    Account(String),
}

/// What a commit touched.
#[derive(Default)]
struct Touched {
    instructions: BTreeSet<InstructionId>,
    recipients: BTreeSet<RecipientId>,
    rails: BTreeSet<RailId>,
}

impl Incremental {
    /// A change was applied. Answers what does not hold after it.
    pub fn applied(&mut self, change: &Change) -> Vec<Imbalance> {
        let mut wrong = Vec::new();
        let mut touched = Touched::default();
        for posted in &change.post {
            let sum: Sum = posted.entries().iter().map(|entry| Sum::from(entry.amount_minor)).sum();
            if sum != 0 {
                wrong.push(Imbalance::Sum(format!("{} {} sums to {sum}", posted.kind().as_str(), posted.id())));
            }
            for entry in posted.entries() {
                let amount = Sum::from(entry.amount_minor);
                *self.balances.entry(entry.account.clone()).or_default() += amount;
                match &entry.account {
                    Account::Payable(who) | Account::Carried(who) | Account::Debt(who) => {
                        touched.recipients.insert(who.clone());
                    }
                    Account::InTransit(rail) | Account::Cash(rail) => {
                        touched.rails.insert(rail.clone());
                    }
                    _ => {}
                }
                if let (Account::Cash(_), Some(instruction)) = (&entry.account, posted.about().instruction) {
                    *self.executed.entry(instruction).or_default() -= amount;
                    touched.instructions.insert(instruction);
                }
            }
        }
        self.take_over(change, &mut touched);
        check_allocation(change, &mut wrong);
        self.check(&touched, &mut wrong);
        wrong
    }

    fn take_over(&mut self, change: &Change, touched: &mut Touched) {
        for new in &change.insert {
            match new {
                New::Item(item) => self.item(item, touched),
                New::Instruction(instruction) => self.instruction(instruction, touched),
                _ => {}
            }
        }
        for update in &change.update {
            match update {
                Update::Item(new) => self.item(&new.value, touched),
                Update::Instruction(new) => self.instruction(&new.value, touched),
                _ => {}
            }
        }
        for count in &change.count {
            let mut words = count.key.as_str().split(':').skip(1);
            let Some(who) = words.next().and_then(|word| word.parse::<RecipientId>().ok()) else { continue };
            let sums = match count.key.kind() {
                "carried" => &mut self.carried,
                "debt" => &mut self.debts,
                _ => continue,
            };
            *sums.entry(who.clone()).or_default() += Sum::from(count.add);
            touched.recipients.insert(who);
        }
        for id in &touched.instructions {
            let Some(instruction) = self.instructions.get(id) else { continue };
            let live = instruction.items.iter().filter(|part| part.outcome.is_live());
            let live = live.filter(|part| self.in_transit.contains(&part.item));
            let now: Sum = live.map(|part| Sum::from(part.amount_minor)).sum();
            let before = self.transit_of.insert(*id, now).unwrap_or_default();
            *self.transit.entry(instruction.rail.clone()).or_default() += now - before;
            touched.rails.insert(instruction.rail.clone());
        }
    }

    fn item(&mut self, item: &Item, touched: &mut Touched) {
        let owed = if item.status().is_owed() { Sum::from(item.due_minor()) } else { 0 };
        let before = self.owed_of.insert(item.id, owed).unwrap_or_default();
        *self.owed.entry(item.recipient.clone()).or_default() += owed - before;
        touched.recipients.insert(item.recipient.clone());
        let is_moved = if item.status().is_in_transit() {
            self.in_transit.insert(item.id)
        } else {
            self.in_transit.remove(&item.id)
        };
        if is_moved {
            touched.instructions.extend(self.instructions_of.get(&item.id).into_iter().flatten());
        }
    }

    fn instruction(&mut self, instruction: &Instruction, touched: &mut Touched) {
        for part in &instruction.items {
            self.instructions_of.entry(part.item).or_default().insert(instruction.id);
        }
        self.instructions.insert(instruction.id, instruction.clone());
        touched.instructions.insert(instruction.id);
    }

    fn check(&self, touched: &Touched, wrong: &mut Vec<Imbalance>) {
        for id in &touched.instructions {
            let booked = self.executed.get(id).copied().unwrap_or_default();
            let told = self.instructions.get(id).map_or(0, executed);
            if booked != told {
                wrong.push(Imbalance::Executed(format!("{id} came to {told}, and {booked} is booked")));
            }
        }
        let mut compare = |account: Account, must: Sum| {
            let is = self.balances.get(&account).copied().unwrap_or_default();
            if is != must {
                wrong.push(Imbalance::Account(format!("{account} is {is} and must be {must}")));
            }
        };
        let of = |sums: &BTreeMap<RecipientId, Sum>, who: &RecipientId| sums.get(who).copied().unwrap_or_default();
        for who in &touched.recipients {
            compare(Account::Payable(who.clone()), -of(&self.owed, who));
            compare(Account::Carried(who.clone()), -of(&self.carried, who));
            compare(Account::Debt(who.clone()), of(&self.debts, who));
        }
        for rail in &touched.rails {
            compare(Account::InTransit(rail.clone()), -self.transit.get(rail).copied().unwrap_or_default());
        }
    }

    /// What the whole ledger sums to.
    pub fn total(&self) -> Sum {
        self.balances.values().sum()
    }
}

/// What left our account under an instruction, by what became of its items. No rail of a run keeps charges.
fn executed(instruction: &Instruction) -> Sum {
    let of_part = |part: &domain::instruction::InstructionItem| match part.outcome {
        Outcome::Settled { .. } | Outcome::Stray { .. } | Outcome::Returned { .. } => {
            Sum::from(part.amount_minor - part.returned_minor)
        }
        Outcome::Sent | Outcome::Accepted { .. } | Outcome::Refused { .. } | Outcome::Absent | Outcome::Recalled => 0,
    };
    instruction.items.iter().map(of_part).sum()
}

/// I4: what is released is what is taken off, what the platform gets, what is withheld and what is owed; and what is
/// owed is what the lines say, of which each is paid by its item.
fn check_allocation(change: &Change, wrong: &mut Vec<Imbalance>) {
    let batches = change.insert.iter().filter_map(|new| if let New::Batch(batch) = new { Some(batch) } else { None });
    let mut lines: BTreeMap<BatchId, Vec<&BatchLine>> = BTreeMap::new();
    let mut payable: BTreeMap<ItemId, i64> = BTreeMap::new();
    for new in &change.insert {
        match new {
            New::Line(line) => lines.entry(line.batch).or_default().push(line),
            New::Item(item) => {
                payable.insert(item.id, item.payable_minor);
            }
            _ => {}
        }
    }
    for batch in batches {
        let lines = lines.get(&batch.id).map(Vec::as_slice).unwrap_or_default();
        if let Some(what) = misallocated(batch, lines, &payable) {
            wrong.push(Imbalance::Allocation(format!("{}: {what}", batch.id)));
        }
    }
}

fn misallocated(batch: &Batch, lines: &[&BatchLine], payable: &BTreeMap<ItemId, i64>) -> Option<String> {
    let Batch { amount_minor, deductions_minor, fee_minor, tax_minor, total_net_minor, .. } = batch;
    let allocated = deductions_minor + fee_minor + tax_minor + total_net_minor;
    if *amount_minor != allocated {
        return Some(format!("{amount_minor} was released, and {allocated} is allocated"));
    }
    let net: i64 = lines.iter().map(|line| line.net_minor()).sum();
    if net != *total_net_minor {
        return Some(format!("{total_net_minor} is owed, and its lines come to {net}"));
    }
    lines.iter().find_map(|line| {
        let whole = line.net_minor() + line.carried_in_minor;
        let parts = line.payable_minor + line.recovered_minor + line.carried_forward_minor;
        let paid = line.item.map_or(0, |item| payable.get(&item).copied().unwrap_or_default());
        if whole != parts {
            return Some(format!("line {} is {whole}, and its parts are {parts}", line.seq));
        }
        (paid != line.payable_minor)
            .then(|| format!("line {} is to be paid with {}, and its item pays {paid}", line.seq, line.payable_minor))
    })
}
