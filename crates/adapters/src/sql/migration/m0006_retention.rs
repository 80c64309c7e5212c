//! What is forgotten after a time is found without looking at what is not.

use super::script::Script;
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0006_retention", statements: script };

fn script(_: Dialect) -> String {
    INDEXES.to_owned()
}

/// Of a job that is done `run_at` is when that was. Alarms are never forgotten.
const INDEXES: &str = "
CREATE INDEX jobs_done ON jobs (run_at) WHERE state = 'done';
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL AND type <> 'payout.alarm';
";
