//! Whether a commit that was answered stays. Where it may not, money that was sent can be forgotten and sent again.
//!
//! SQLite is opened so that it stays. `PostgreSQL` decides that by its own settings, which are only looked at here.

use super::{Sql, SqlError, dialect::Dialect};
use sea_orm::ConnectionTrait;
use std::fmt;

/// What can undo a commit that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A crash of the server: it answers before the commit is on its disk.
    AtACrash,
    /// A failover: there are standbys, and the server answers before any of them has the commit.
    AtAFailover,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtACrash => {
                "it answers a commit before that is on its disk (`synchronous_commit` is `off`): a crash undoes what was \
                 acknowledged, and what was sent may be sent again. Set `synchronous_commit` to `on`"
            }
            Self::AtAFailover => {
                "it has standbys and answers a commit before any of them has it: a failover undoes what was acknowledged, \
                 and what was sent may be sent again. Name the standbys in `synchronous_standby_names`, with \
                 `synchronous_commit` at `on` or `remote_apply`"
            }
        })
    }
}

impl Sql {
    /// What can undo a commit as the database is set now, if anything can.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn loses_commits(&self) -> Result<Option<Loss>, SqlError> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        // Who may not see what a standby is doing sees that it is there. What copies the log to an archive, takes a backup
        // or follows rows is none: nobody fails over to it.
        let sql = "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), \
                   (SELECT count(*) FROM pg_stat_replication AS sender WHERE state IS DISTINCT FROM 'backup' \
                    AND application_name IS DISTINCT FROM 'pg_receivewal' AND NOT EXISTS (SELECT 1 FROM \
                    pg_replication_slots WHERE slot_type = 'logical' AND active_pid = sender.pid))";
        let row = self.lists().query_one_raw(self.dialect().statement(sql, [])).await?;
        let Some(row) = row else { return Ok(None) };
        let (commit, names): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let standbys: i64 = row.try_get_by_index(2)?;
        Ok(loss(&commit, &names, standbys))
    }
}

/// `synchronous_commit` and `synchronous_standby_names` mean what chapter 20.5 of `PostgreSQL`'s manual says:
/// `local` waits for no standby, and without names nobody is waited for.
fn loss(synchronous_commit: &str, standby_names: &str, standbys: i64) -> Option<Loss> {
    let waits_for_standbys = synchronous_commit != "local" && !standby_names.trim().is_empty();
    match synchronous_commit {
        "off" => Some(Loss::AtACrash),
        _ if standbys > 0 && !waits_for_standbys => Some(Loss::AtAFailover),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_stays_if_a_disk_and_every_failover_has_it() {
        for (commit, names, standbys, expected) in [
            ("on", "", 0, None),
            ("local", "", 0, None),
            ("off", "", 0, Some(Loss::AtACrash)),
            ("off", "ANY 1 (*)", 1, Some(Loss::AtACrash)),
            ("on", "", 1, Some(Loss::AtAFailover)),
            ("on", " ", 2, Some(Loss::AtAFailover)),
            ("local", "ANY 1 (*)", 1, Some(Loss::AtAFailover)),
            ("on", "ANY 1 (*)", 1, None),
            ("remote_apply", "FIRST 1 (a, b)", 2, None),
        ] {
            assert_eq!(loss(commit, names, standbys), expected, "{commit} {names} {standbys}");
        }
    }
}
