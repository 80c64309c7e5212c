//! The table `ledger_entries`: the lines of transactions, in order.

use super::Place;
use app::ports::StoreError;
use domain::{
    ids::TransactionId,
    ledger::{Account, Entry, Transaction},
};
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger_entries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub transaction_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub account_kind: String,
    pub account_subject: String,
    pub currency: String,
    pub amount_minor: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The lines of a transaction.
    pub fn write(transaction: &Transaction) -> Vec<Self> {
        let row = |(entry, seq): (&Entry, i64)| {
            let Entry { account, amount_minor } = entry;
            Self {
                transaction_id: transaction.id().uuid(),
                seq,
                account_kind: account.kind().to_owned(),
                account_subject: account.subject().to_owned(),
                currency: transaction.currency().code().to_owned(),
                amount_minor: *amount_minor,
            }
        };
        transaction.entries().iter().zip(0..).map(row).collect()
    }

    /// The line of a row whose header has that currency.
    pub fn read(self, header_currency: &str) -> Result<Entry, StoreError> {
        let Self { transaction_id, seq, account_kind, account_subject, currency, amount_minor } = self;
        let name = format!("{} {seq}", TransactionId::new(transaction_id));
        let row = Place { table: "ledger_entries", id: &name };
        if currency != header_currency {
            return row.column("currency", Err(format!("`{currency}` under a header in `{header_currency}`")));
        }
        let account = row.column("account_kind", Account::of(&account_kind, &account_subject))?;
        Ok(Entry { account, amount_minor })
    }
}
