//! What is booked on an account is found by an index, but not on the two accounts on which every release has an entry, or an
//! account of its own: what is on `escrow_receivable` is everywhere, and an escrow is that of one batch. Half of what a
//! release wrote into that index was theirs, and an escrow's place in it is anywhere.

use super::script::Script;
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0009_accounts", statements: script };

fn script(_: Dialect) -> String {
    INDEX.to_owned()
}

const INDEX: &str = "
CREATE INDEX ledger_entries_on_account ON ledger_entries (account_kind, account_subject, transaction_id)
  WHERE account_kind NOT IN ('escrow', 'escrow_receivable');
DROP INDEX ledger_entries_by_account;
";
