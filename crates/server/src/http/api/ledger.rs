//! The ledger: its transactions, and whether the books balance.

use super::{Tag, values::Sum};
use crate::{
    compose::Service,
    http::{
        auth::Auth,
        page::{AfterParam, LimitParam, Page, page_of},
        params::QueryParam,
        payload::Js,
        problem::Answer,
        responses::responses,
        roles::may,
        scalars::Sc,
    },
};
use app::{
    ledger::check_books::{Check, TrialBalance, check_books},
    ports::queries::TransactionFilter,
};
use domain::{
    currency::Currency,
    ids::{BatchId, InstructionId, ItemId, TransactionId},
    ledger::{Account, Entry, Transaction},
    timestamp::Timestamp,
};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use std::sync::Arc;

/// A balanced ledger transaction. Amounts are minor units.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "LedgerTransaction", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct TransactionView {
    transaction_id: Sc<TransactionId>,
    /// Why it was posted.
    kind: String,
    batch_id: Sc<BatchId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<Sc<ItemId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instruction_id: Option<Sc<InstructionId>>,
    currency: Sc<Currency>,
    entries: Vec<EntryView>,
    posted_at: Sc<Timestamp>,
}

/// One line of a transaction: a debit or a credit.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "LedgerEntry")]
pub struct EntryView {
    account: Sc<Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    debit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit: Option<u64>,
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        let amount = entry.amount_minor.unsigned_abs();
        let is_debit = entry.amount_minor > 0;
        Self {
            account: Sc(entry.account.clone()),
            debit: is_debit.then_some(amount),
            credit: (!is_debit).then_some(amount),
        }
    }
}

impl From<Transaction> for TransactionView {
    fn from(transaction: Transaction) -> Self {
        let about = transaction.about();
        Self {
            transaction_id: Sc(transaction.id()),
            kind: transaction.kind().as_str().to_owned(),
            batch_id: Sc(about.batch),
            item_id: about.item.map(Sc),
            instruction_id: about.instruction.map(Sc),
            currency: Sc(transaction.currency()),
            entries: transaction.entries().iter().map(EntryView::from).collect(),
            posted_at: Sc(transaction.posted_at()),
        }
    }
}

/// Whether the books balance: not a zero sum, which cannot fail, but the ledger against the items, the batches and
/// the rails' own books.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "TrialBalance")]
pub struct TrialBalanceView {
    /// Whether every check holds.
    balanced: bool,
    checks: Vec<CheckView>,
    balances: Vec<BalanceView>,
}

/// Two figures that must be the same, for the whole and for each part.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "BooksCheck", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct CheckView {
    name: String,
    /// Absent where things are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Sc<Currency>>,
    /// What the facts say.
    expected: Sum,
    /// What the books say.
    actual: Sum,
    /// How many things are still under way and count as neither.
    open: u64,
    ok: bool,
    /// The parts that differ, at most a hundred of them.
    differences: Vec<DifferenceView>,
    /// How many more parts differ than are named.
    differences_more: u64,
}

/// A part that differs.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "BooksDifference")]
pub struct DifferenceView {
    /// The subject of an account, or an instruction.
    subject: String,
    expected: Sum,
    actual: Sum,
}

/// Debits less credits of an account.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "AccountBalance")]
pub struct BalanceView {
    account: Sc<Account>,
    currency: Sc<Currency>,
    balance: Sum,
}

impl From<Check> for CheckView {
    fn from(check: Check) -> Self {
        let ok = check.is_ok();
        let difference = |difference: app::ledger::check_books::Difference| DifferenceView {
            subject: difference.subject,
            expected: Sum(difference.expected),
            actual: Sum(difference.actual),
        };
        Self {
            name: check.name,
            currency: check.currency.map(Sc),
            expected: Sum(check.expected),
            actual: Sum(check.actual),
            open: check.open,
            ok,
            differences: check.differences.into_iter().map(difference).collect(),
            differences_more: check.differences_more,
        }
    }
}

impl From<TrialBalance> for TrialBalanceView {
    fn from(trial: TrialBalance) -> Self {
        let balance =
            |(account, currency, sum)| BalanceView { account: Sc(account), currency: Sc(currency), balance: Sum(sum) };
        Self {
            balanced: trial.is_balanced(),
            checks: trial.checks.into_iter().map(CheckView::from).collect(),
            balances: trial.balances.into_iter().map(balance).collect(),
        }
    }
}

responses! {
    /// Answers of `GET /ledger/transactions`.
    ListAnswer {
        /// The transactions, newest first.
        200 Listed(Js<Page<TransactionView>>),
    }
    errors []
}

responses! {
    /// Answers of `GET /ledger/trial-balance`.
    TrialBalanceAnswer {
        /// Every check and every balance.
        200 Checked(Js<TrialBalanceView>),
    }
    errors []
}

/// The endpoints of this file.
pub struct Ledger(pub(super) Arc<Service>);

#[OpenApi]
impl Ledger {
    /// List ledger transactions
    ///
    /// Newest first, by batch, by account, or all of them.
    #[oai(path = "/ledger/transactions", method = "get", operation_id = "listTransactions", tag = "Tag::Ledger")]
    async fn transactions(
        &self,
        _auth: Auth<may::ReadBooks>,
        #[oai(name = "batchId")] batch_id: QueryParam<Option<Sc<BatchId>>>,
        account: QueryParam<Option<Sc<Account>>>,
        limit: LimitParam,
        starting_after: AfterParam<TransactionId>,
    ) -> Answer<ListAnswer> {
        let filter =
            TransactionFilter { batch: batch_id.0.map(|id| id.0), account: account.0.map(|account| account.0) };
        let page = page_of(limit, starting_after);
        let transactions = self.0.queries.transactions(filter, page).await?;
        Ok(ListAnswer::Listed(Js(transactions.map(TransactionView::from).into())))
    }

    /// Check whether the books balance
    ///
    /// Every check shows both figures. Reads everything, so it takes as long as there is to read.
    #[oai(path = "/ledger/trial-balance", method = "get", operation_id = "getTrialBalance", tag = "Tag::Ledger")]
    async fn trial_balance(&self, _auth: Auth<may::ReadBooks>) -> Answer<TrialBalanceAnswer> {
        let trial = check_books(self.0.queries.as_ref(), &self.0.rails).await?;
        Ok(TrialBalanceAnswer::Checked(Js(trial.into())))
    }
}
