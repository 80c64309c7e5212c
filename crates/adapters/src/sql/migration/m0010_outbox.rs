//! An event is leased soon after it was written, all of a page at once. On `PostgreSQL` the leased ones then have room
//! beside the others, and no index is written.

use super::script::Script;
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0010_outbox", statements: script };

fn script(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => "ALTER TABLE outbox SET (fillfactor = 50);",
    }
    .to_owned()
}
