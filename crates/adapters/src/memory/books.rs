//! Everything that "books balanced" compares.

use super::world::World;
use app::ports::queries::{BatchSums, Books, Executed, SumMinor};
use domain::{
    counter::CounterKey,
    currency::Currency,
    ids::{BatchId, EscrowId, InstructionId, RecipientId},
    instruction::Outcome,
    ledger::Account,
};
use std::collections::BTreeMap;

/// Sums by a subject and a currency.
type Sums<K> = BTreeMap<(K, Currency), SumMinor>;

impl World {
    pub(super) fn books(&self) -> Books {
        Books {
            // Their type proves that they balance.
            unbalanced_transactions: 0,
            balances: listed(self.balances()),
            batches: self.batch_sums().into_iter().collect(),
            owed: listed(self.owed()),
            given_back: listed(self.given_back()),
            carried: listed(self.counted("carried")),
            debts: listed(self.counted("debt")),
            drifted_counters: self.drifted_counters(),
            in_transit: listed(self.in_transit()),
            unresolved_instructions: self.unresolved_instructions(),
            charges: self.charges(),
            executed: self.executed(|_| true),
        }
    }

    /// What is booked as executed for the wanted instructions: what left our account at a rail under them.
    pub(super) fn executed(&self, wanted: impl Fn(InstructionId) -> bool) -> Vec<Executed> {
        let mut paid: BTreeMap<InstructionId, SumMinor> = BTreeMap::new();
        for transaction in self.transactions.values() {
            let Some(instruction) = transaction.about().instruction.filter(|id| wanted(*id)) else { continue };
            let cash = transaction.entries().iter().filter(|entry| matches!(entry.account, Account::Cash(_)));
            *paid.entry(instruction).or_default() -= cash.map(|entry| SumMinor::from(entry.amount_minor)).sum::<i128>();
        }
        let instructions = self.instructions.values().map(|stored| &stored.value);
        let executed = instructions.filter(|instruction| wanted(instruction.id)).map(|instruction| Executed {
            instruction: instruction.id,
            rail: instruction.rail.clone(),
            currency: instruction.currency,
            executed_minor: paid.get(&instruction.id).copied().unwrap_or_default(),
            unresolved: instruction.is_open(),
        });
        executed.collect()
    }

    fn balances(&self) -> Sums<Account> {
        let mut sums = Sums::new();
        for transaction in self.transactions.values() {
            for entry in transaction.entries() {
                add(&mut sums, entry.account.clone(), transaction.currency(), entry.amount_minor);
            }
        }
        sums
    }

    /// What batches say, less what reversals took, with what the platform got of what nobody claimed.
    fn batch_sums(&self) -> BTreeMap<Currency, BatchSums> {
        let mut all: BTreeMap<Currency, BatchSums> = BTreeMap::new();
        for batch in self.batches.values().map(|stored| &stored.value) {
            let sums = all.entry(batch.currency).or_default();
            sums.amount_minor += SumMinor::from(batch.amount_minor);
            sums.deductions_minor += SumMinor::from(batch.deductions_minor);
            sums.fee_minor += SumMinor::from(batch.fee_minor - batch.fee_tax_minor);
            sums.fee_tax_minor += SumMinor::from(batch.fee_tax_minor);
            sums.tax_minor += SumMinor::from(batch.tax_minor);
        }
        for line in self.reversal_lines(|_| true).into_iter().filter(|line| line.source.is_some()) {
            let Some(currency) = self.currency_of(line.batch) else { continue };
            let sums = all.entry(currency).or_default();
            sums.fee_minor -= SumMinor::from(line.fee_minor);
            sums.fee_tax_minor -= SumMinor::from(line.fee_tax_minor);
            sums.tax_minor -= line.taxes.iter().map(|tax| SumMinor::from(tax.amount_minor)).sum::<SumMinor>();
        }
        for reversal in self.reversals.values() {
            all.entry(reversal.currency).or_default().fee_minor -= SumMinor::from(reversal.platform_minor);
        }
        for escheat in self.escheats.values() {
            let Some(currency) = self.currency_of(escheat.batch) else { continue };
            all.entry(currency).or_default().fee_minor += SumMinor::from(escheat.platform_minor);
        }
        all
    }

    /// What reversals brought back, by escrow.
    fn given_back(&self) -> Sums<EscrowId> {
        let mut sums = Sums::new();
        let mut back = |batch: BatchId, amount_minor: i64| {
            let Some(batch) = self.batches.get(&batch).map(|stored| &stored.value) else { return };
            if let Some(escrow) = batch.escrow() {
                add(&mut sums, escrow.clone(), batch.currency, amount_minor);
            }
        };
        for line in self.reversal_lines(|_| true).into_iter().filter(|line| line.source.is_some()) {
            back(line.batch, line.gross_minor);
        }
        for reversal in self.reversals.values() {
            back(reversal.batch, reversal.platform_minor);
        }
        sums
    }

    /// What counters of a kind of recipients come to, by their moves.
    fn counted(&self, kind: &str) -> Sums<RecipientId> {
        let mut sums = Sums::new();
        for movement in self.moves.iter().map(|moved| &moved.movement).filter(|movement| movement.key.kind() == kind) {
            let mut words = movement.key.as_str().split(':').skip(1);
            let recipient = words.next().and_then(|word| word.parse().ok());
            if let Some((recipient, currency)) = recipient.zip(words.next().and_then(|word| word.parse().ok())) {
                add(&mut sums, recipient, currency, movement.add);
            }
        }
        sums
    }

    /// How many counters are not the sum of their moves.
    fn drifted_counters(&self) -> u64 {
        let mut sums: BTreeMap<&CounterKey, i64> = BTreeMap::new();
        for moved in &self.moves {
            *sums.entry(&moved.movement.key).or_default() += moved.movement.add;
        }
        let drifted = self.counters.iter().filter(|(key, (value, _))| sums.get(key).copied().unwrap_or(0) != *value);
        drifted.map(|_| 1).sum()
    }

    fn owed(&self) -> Sums<domain::ids::RecipientId> {
        let mut sums = Sums::new();
        for item in self.items.values().map(|stored| &stored.value).filter(|item| item.status().is_owed()) {
            if let Some(currency) = self.currency_of(item.batch) {
                add(&mut sums, item.recipient.clone(), currency, item.due_minor());
            }
        }
        sums
    }

    fn in_transit(&self) -> Sums<domain::recipient::RailId> {
        let mut sums = Sums::new();
        for instruction in self.instructions.values().map(|stored| &stored.value) {
            for part in instruction.items.iter().filter(|part| part.outcome.is_live()) {
                if self.items.get(&part.item).is_some_and(|item| item.value.status().is_in_transit()) {
                    add(&mut sums, instruction.rail.clone(), instruction.currency, part.amount_minor);
                }
            }
        }
        sums
    }

    fn unresolved_instructions(&self) -> u64 {
        self.instructions.values().filter(|stored| stored.value.is_open()).map(|_| 1).sum()
    }

    /// What rails kept of what came back.
    fn charges(&self) -> Vec<(Currency, SumMinor)> {
        let mut sums: BTreeMap<Currency, SumMinor> = BTreeMap::new();
        for instruction in self.instructions.values().map(|stored| &stored.value) {
            let returned = instruction.items.iter().filter(|part| matches!(part.outcome, Outcome::Returned { .. }));
            let kept = returned.map(|part| SumMinor::from(part.amount_minor - part.returned_minor));
            *sums.entry(instruction.currency).or_default() += kept.sum::<SumMinor>();
        }
        sums.into_iter().filter(|(_, sum)| *sum != 0).collect()
    }

    fn currency_of(&self, batch: BatchId) -> Option<Currency> {
        self.batches.get(&batch).map(|stored| stored.value.currency)
    }
}

fn add<K: Ord>(sums: &mut Sums<K>, subject: K, currency: Currency, amount_minor: i64) {
    *sums.entry((subject, currency)).or_default() += SumMinor::from(amount_minor);
}

/// Sorted, and without what comes to zero.
fn listed<K>(sums: Sums<K>) -> Vec<(K, Currency, SumMinor)> {
    let some = sums.into_iter().filter(|(_, sum)| *sum != 0);
    some.map(|((subject, currency), sum)| (subject, currency, sum)).collect()
}
