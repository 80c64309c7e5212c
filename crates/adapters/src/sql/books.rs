//! The figures that "books balanced" compares.
//!
//! A sum of amounts may exceed 64 bits: SQLite would fail, so whole millions and the rest are summed apart.

use super::{Sql, bulk, dialect::Dialect, error::store, rows::Place};
use app::ports::{
    StoreError,
    queries::{BatchSums, Books, Executed, SumMinor},
};
use domain::{
    currency::Currency,
    ids::{EscrowId, InstructionId, RecipientId},
    item::ItemStatus,
    ledger::Account,
    recipient::RailId,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value, prelude::Uuid};
use std::collections::{BTreeMap, BTreeSet};

/// Lines of reversals that are booked, with their reversal and its batch.
const BOOKED: &str = "FROM reversal_lines line
    JOIN reversal_sources source ON source.reversal_id = line.reversal_id AND source.seq = line.seq
    JOIN reversals ON reversals.id = line.reversal_id
    JOIN batches ON batches.id = line.batch_id";

impl Sql {
    /// All of it as of one moment.
    pub(super) async fn read_books(&self) -> Result<Books, StoreError> {
        let transaction = self.begin_long_read().await.map_err(store)?;
        let read = Read { transaction: &transaction, dialect: self.dialect() };
        let books = Books {
            unbalanced_transactions: read.unbalanced_transactions().await?,
            balances: read.balances().await?,
            batches: read.batches().await?,
            owed: read.owed().await?,
            given_back: read.given_back().await?,
            carried: read.counted("carried").await?,
            debts: read.counted("debt").await?,
            drifted_counters: read.drifted_counters().await?,
            in_transit: read.in_transit().await?,
            unresolved_instructions: read.count("SELECT count(*) FROM instructions WHERE open").await?,
            charges: read.charges().await?,
            executed: read.executed("", Vec::new()).await?,
        };
        transaction.commit().await.map_err(store)?;
        Ok(books)
    }

    pub(super) async fn read_executed(&self, instructions: &[InstructionId]) -> Result<Vec<Executed>, StoreError> {
        let transaction = self.begin_long_read().await.map_err(store)?;
        let read = Read { transaction: &transaction, dialect: self.dialect() };
        // Each once, however often it is named.
        let instructions: BTreeSet<InstructionId> = instructions.iter().copied().collect();
        let mut executed = Vec::with_capacity(instructions.len());
        for part in bulk::parts(instructions.into_iter().collect()) {
            let places: Vec<String> = (1..=part.len()).map(|at| format!("${at}")).collect();
            let only = format!("WHERE instructions.id IN ({})", places.join(", "));
            executed.extend(read.executed(&only, part.into_iter().map(|id| id.uuid().into()).collect()).await?);
        }
        transaction.commit().await.map_err(store)?;
        Ok(executed)
    }
}

/// The columns of a sum: whole millions, and the rest.
fn sum(of: &str) -> String {
    format!("CAST(sum({of} / 1000000) AS bigint), CAST(sum({of} % 1000000) AS bigint)")
}

/// The statuses that answer yes, as SQL.
fn statuses(is: fn(ItemStatus) -> bool) -> String {
    let words = ItemStatus::ALL.into_iter().filter(|status| is(*status));
    words.map(|status| format!("'{}'", status.as_str())).collect::<Vec<_>>().join(", ")
}

struct Read<'a> {
    transaction: &'a DatabaseTransaction,
    dialect: Dialect,
}

impl Read<'_> {
    async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, StoreError> {
        self.transaction.query_all_raw(self.dialect.statement(sql, values)).await.map_err(store)
    }

    async fn count(&self, sql: &str) -> Result<u64, StoreError> {
        let rows = self.rows(sql, Vec::new()).await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| at(row, 0))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn unbalanced_transactions(&self) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM (
               SELECT header.id FROM ledger_transactions header
               LEFT JOIN ledger_entries entry ON entry.transaction_id = header.id
               GROUP BY header.id
               HAVING count(entry.seq) < 2
                 OR sum(entry.amount_minor / 1000000) * 1000000 + sum(entry.amount_minor % 1000000) <> 0
                 OR sum(CASE WHEN entry.currency <> header.currency THEN 1 ELSE 0 END) > 0
             ) unbalanced",
        )
        .await
    }

    async fn balances(&self) -> Result<Vec<(Account, Currency, SumMinor)>, StoreError> {
        // Of most accounts, one an escrow, nothing is left: they are not even read.
        let sql = format!(
            "SELECT account_kind, account_subject, currency, {} FROM ledger_entries
             GROUP BY account_kind, account_subject, currency
             HAVING sum(amount_minor / 1000000) <> 0 OR sum(amount_minor % 1000000) <> 0",
            sum("amount_minor")
        );
        let mut balances = Vec::new();
        for row in self.rows(&sql, Vec::new()).await? {
            let (kind, subject): (String, String) = (at(&row, 0)?, at(&row, 1)?);
            let name = format!("on {kind}:{subject}");
            let account =
                Place { table: "ledger_entries", id: &name }.column("account_kind", Account::of(&kind, &subject))?;
            balances.push((account, currency_at(&row, 2)?, sum_at(&row, 3)?));
        }
        Ok(listed(balances))
    }

    /// What batches say, less what reversals took, with what the platform got of what nobody claimed.
    async fn batches(&self) -> Result<Vec<(Currency, BatchSums)>, StoreError> {
        let mut batches: BTreeMap<Currency, BatchSums> = BTreeMap::new();
        let sums = ["amount_minor", "deductions_minor", "fee_minor", "fee_tax_minor", "tax_minor"].map(sum).join(", ");
        let sql = format!("SELECT currency, {sums} FROM batches GROUP BY currency");
        for row in self.rows(&sql, Vec::new()).await? {
            let sums = batches.entry(currency_at(&row, 0)?).or_default();
            sums.amount_minor += sum_at(&row, 1)?;
            sums.deductions_minor += sum_at(&row, 3)?;
            sums.fee_minor += sum_at(&row, 5)? - sum_at(&row, 7)?;
            sums.fee_tax_minor += sum_at(&row, 7)?;
            sums.tax_minor += sum_at(&row, 9)?;
        }
        let sums = ["line.fee_minor", "line.fee_tax_minor", "line.tax_minor"].map(sum).join(", ");
        let sql = format!("SELECT reversals.currency, {sums} {BOOKED} GROUP BY reversals.currency");
        for row in self.rows(&sql, Vec::new()).await? {
            let sums = batches.entry(currency_at(&row, 0)?).or_default();
            sums.fee_minor -= sum_at(&row, 1)?;
            sums.fee_tax_minor -= sum_at(&row, 3)?;
            sums.tax_minor -= sum_at(&row, 5)?;
        }
        let sql = format!("SELECT currency, {} FROM reversals GROUP BY currency", sum("platform_minor"));
        for row in self.rows(&sql, Vec::new()).await? {
            batches.entry(currency_at(&row, 0)?).or_default().fee_minor -= sum_at(&row, 1)?;
        }
        let sql = format!(
            "SELECT batches.currency, {} FROM escheats JOIN batches ON batches.id = escheats.batch_id
             GROUP BY batches.currency",
            sum("escheats.platform_minor")
        );
        for row in self.rows(&sql, Vec::new()).await? {
            batches.entry(currency_at(&row, 0)?).or_default().fee_minor += sum_at(&row, 1)?;
        }
        Ok(batches.into_iter().collect())
    }

    /// What reversals brought back, by escrow.
    async fn given_back(&self) -> Result<Vec<(EscrowId, Currency, SumMinor)>, StoreError> {
        let by_line = format!(
            "SELECT batches.escrow_id, batches.currency, {} {BOOKED} GROUP BY batches.escrow_id, batches.currency",
            sum("line.gross_minor")
        );
        let by_platform = format!(
            "SELECT batches.escrow_id, batches.currency, {}
             FROM reversals JOIN batches ON batches.id = reversals.batch_id
             GROUP BY batches.escrow_id, batches.currency",
            sum("reversals.platform_minor")
        );
        let mut sums: BTreeMap<(EscrowId, Currency), SumMinor> = BTreeMap::new();
        for sql in [by_line, by_platform] {
            let place = Place { table: "reversals", id: &"by escrow" };
            for (escrow, currency, sum) in self.by_subject(&sql, place, "escrow_id").await? {
                *sums.entry((escrow, currency)).or_default() += sum;
            }
        }
        Ok(listed(sums.into_iter().map(|((escrow, currency), sum)| (escrow, currency, sum)).collect()))
    }

    /// What counters of a kind of recipients come to, by their moves.
    async fn counted(&self, kind: &str) -> Result<Vec<(RecipientId, Currency, SumMinor)>, StoreError> {
        // `;` is the character after `:`.
        let sql = format!(
            "SELECT counter_id, {} FROM counter_movements WHERE counter_id >= $1 AND counter_id < $2 GROUP BY counter_id",
            sum("add_minor")
        );
        let mut sums = Vec::new();
        for row in self.rows(&sql, vec![format!("{kind}:").into(), format!("{kind};").into()]).await? {
            let id: String = at(&row, 0)?;
            let place = Place { table: "counter_movements", id: &id };
            let mut words = id.split(':').skip(1);
            let recipient = place.needed("counter_id", words.next())?;
            let currency = place.needed("counter_id", words.next())?;
            sums.push((
                place.column("counter_id", recipient.parse())?,
                place.column("counter_id", currency.parse())?,
                sum_at(&row, 1)?,
            ));
        }
        Ok(listed(sums))
    }

    /// How many counters are not the sum of their moves, or have moves and do not exist.
    async fn drifted_counters(&self) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM (
               SELECT counters.id FROM counters FULL JOIN counter_movements step ON step.counter_id = counters.id
               GROUP BY counters.id, step.counter_id, counters.value, counters.revision
               HAVING counters.id IS NULL OR counters.revision <> count(step.revision)
                 OR counters.value <> coalesce(sum(step.add_minor), 0)
             ) drifted",
        )
        .await
    }

    async fn owed(&self) -> Result<Vec<(RecipientId, Currency, SumMinor)>, StoreError> {
        let sql = format!(
            "SELECT items.recipient_id, batches.currency, {}
             FROM items JOIN batches ON batches.id = items.batch_id
             WHERE items.status IN ({}) GROUP BY items.recipient_id, batches.currency",
            sum("(items.payable_minor - items.taken_minor)"),
            statuses(ItemStatus::is_owed)
        );
        self.by_subject(&sql, Place { table: "items", id: &"by recipient" }, "recipient_id").await
    }

    async fn in_transit(&self) -> Result<Vec<(RailId, Currency, SumMinor)>, StoreError> {
        let sql = format!(
            "SELECT instructions.rail, instructions.currency, {}
             FROM items JOIN instruction_items part ON part.item_id = items.id AND part.live
             JOIN instructions ON instructions.id = part.instruction_id
             WHERE items.status IN ({}) GROUP BY instructions.rail, instructions.currency",
            sum("part.amount_minor"),
            statuses(ItemStatus::is_in_transit)
        );
        self.by_subject(&sql, Place { table: "instructions", id: &"by rail" }, "rail").await
    }

    /// What rails kept of what came back.
    async fn charges(&self) -> Result<Vec<(Currency, SumMinor)>, StoreError> {
        let sql = format!(
            "SELECT instructions.currency, {}
             FROM instruction_items part JOIN instructions ON instructions.id = part.instruction_id
             WHERE part.outcome = 'returned' GROUP BY instructions.currency",
            sum("(part.amount_minor - part.returned_minor)")
        );
        let mut charges = Vec::new();
        for row in self.rows(&sql, Vec::new()).await? {
            charges.push((currency_at(&row, 0)?, sum_at(&row, 1)?));
        }
        charges.retain(|(_, sum)| *sum != 0);
        charges.sort();
        Ok(charges)
    }

    /// Rows of a subject, a currency and a sum.
    async fn by_subject<T>(
        &self,
        sql: &str,
        place: Place<'_>,
        column: &str,
    ) -> Result<Vec<(T, Currency, SumMinor)>, StoreError>
    where
        T: std::str::FromStr<Err: std::fmt::Display> + Ord,
    {
        let mut sums = Vec::new();
        for row in self.rows(sql, Vec::new()).await? {
            let subject: String = at(&row, 0)?;
            sums.push((place.column(column, subject.parse())?, currency_at(&row, 1)?, sum_at(&row, 2)?));
        }
        Ok(listed(sums))
    }

    /// What left our account at a rail under each instruction, in the order of their ids.
    async fn executed(&self, only: &str, values: Vec<Value>) -> Result<Vec<Executed>, StoreError> {
        let sql = format!(
            "SELECT instructions.id, instructions.rail, instructions.currency, instructions.open, {}
             FROM instructions
             LEFT JOIN ledger_transactions header ON header.instruction_id = instructions.id
             LEFT JOIN ledger_entries entry ON entry.transaction_id = header.id AND entry.account_kind = 'cash'
             {only}
             GROUP BY instructions.id, instructions.rail, instructions.currency, instructions.open
             ORDER BY instructions.id",
            sum("coalesce(entry.amount_minor, 0)")
        );
        let mut executed = Vec::new();
        for row in self.rows(&sql, values).await? {
            let instruction = InstructionId::new(at::<Uuid>(&row, 0)?);
            let place = Place { table: "instructions", id: &instruction };
            executed.push(Executed {
                instruction,
                rail: place.column("rail", at::<String>(&row, 1)?.parse())?,
                currency: currency_at(&row, 2)?,
                // What leaves an account of ours is a credit.
                executed_minor: -sum_at(&row, 4)?,
                unresolved: at(&row, 3)?,
            });
        }
        Ok(executed)
    }
}

fn at<T: sea_orm::TryGetable>(row: &QueryResult, index: usize) -> Result<T, StoreError> {
    row.try_get_by_index(index).map_err(store)
}

fn currency_at(row: &QueryResult, index: usize) -> Result<Currency, StoreError> {
    let code: String = at(row, index)?;
    code.parse().map_err(|error| StoreError::Corrupt(format!("currency: {error}")))
}

fn sum_at(row: &QueryResult, index: usize) -> Result<SumMinor, StoreError> {
    let (millions, rest): (i64, i64) = (at(row, index)?, at(row, index + 1)?);
    Ok(SumMinor::from(millions) * 1_000_000 + SumMinor::from(rest))
}

/// In order, without what comes to zero.
fn listed<T: Ord>(mut sums: Vec<(T, Currency, SumMinor)>) -> Vec<(T, Currency, SumMinor)> {
    sums.retain(|(.., sum)| *sum != 0);
    sums.sort();
    sums
}
