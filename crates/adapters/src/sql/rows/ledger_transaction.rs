//! The table `ledger_transactions`: the headers; the lines are in `ledger_entries`.

use super::{Place, ledger_entry};
use app::ports::StoreError;
use domain::{
    ids::{BatchId, InstructionId, ItemId, TransactionId},
    ledger::{Transaction, TransactionKind, transaction::About},
    timestamp::Timestamp,
};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger_transactions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: String,
    pub batch_id: Uuid,
    pub item_id: Option<Uuid>,
    pub instruction_id: Option<Uuid>,
    pub currency: String,
    pub posted_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The header of a transaction.
    pub fn write(transaction: &Transaction) -> Self {
        let About { batch, item, instruction } = transaction.about();
        Self {
            id: transaction.id().uuid(),
            kind: transaction.kind().as_str().to_owned(),
            batch_id: batch.uuid(),
            item_id: item.map(ItemId::uuid),
            instruction_id: instruction.map(InstructionId::uuid),
            currency: transaction.currency().code().to_owned(),
            posted_at: transaction.posted_at().unix_micros(),
        }
    }

    /// The transaction of a header, with its lines in order.
    pub fn read(self, entries: Vec<ledger_entry::Model>) -> Result<Transaction, StoreError> {
        let Self { id, kind, batch_id, item_id, instruction_id, currency, posted_at } = self;
        let id = TransactionId::new(id);
        let row = Place { table: "ledger_transactions", id: &id };
        let about = About {
            batch: BatchId::new(batch_id),
            item: item_id.map(ItemId::new),
            instruction: instruction_id.map(InstructionId::new),
        };
        let transaction = Transaction::try_new(
            id,
            row.word("kind", &kind, TransactionKind::ALL, TransactionKind::as_str)?,
            about,
            row.column("currency", currency.parse())?,
            entries.into_iter().map(|entry| entry.read(&currency)).collect::<Result<_, _>>()?,
            Timestamp::from_unix_micros(posted_at),
        );
        row.column("entries", transaction)
    }
}
