//! Who made a batch, as an approval of it says, is held by more than a foreign key.

use super::script::Script;
use crate::sql::dialect::Dialect;

pub(super) const MIGRATION: Script = Script { name: "m0005_maker", statements: script };

fn script(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => SQLITE,
        // There a foreign key is held whoever is connected, as the trigger would be, and so is the CHECK.
        Dialect::Postgres => "",
    }
    .to_owned()
}

/// SQLite holds a foreign key only for a connection that asks for it, and a CHECK for one that does not wave it: the
/// sqlite3 shell starts without the first, and one pragma ends the second. A trigger is held for every connection.
const SQLITE: &str = "
CREATE TRIGGER approvals_by_others_than_the_maker BEFORE INSERT ON approvals
  WHEN NOT EXISTS (
    SELECT 1 FROM batches WHERE id = NEW.batch_id AND scheduled_by = NEW.maker AND scheduled_by <> NEW.approver)
BEGIN
  SELECT RAISE(ABORT, 'maker_is_checker: the maker is who scheduled the batch, and approves nothing of it');
END;
";
