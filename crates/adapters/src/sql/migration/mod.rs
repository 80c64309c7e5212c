//! The schema, and the rules about it that the database itself holds. Migrations expand first and contract later;
//! one that was released never changes.

mod m0001_foundation;
mod m0002_idempotency;
mod m0003_revenue_engine;
mod m0004_control;
mod m0005_maker;
mod m0006_retention;
mod m0007_needs;
mod m0008_references;
mod m0009_accounts;
mod m0010_outbox;
mod m0011_facts;
mod m0012_late_entries;
mod rules;
mod script;

use super::{Sql, SqlError, dialect::Dialect, error::is_held};
use script::Script;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder, Statement};
use sea_orm_migration::{IntoSchemaManagerConnection, MigrationTrait, MigratorTrait, SchemaManager, seaql_migrations};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Names the advisory lock under which one process migrates: `disburse` in ASCII, folded to 63 bits.
const LOCK: i64 = 0x6469_7362_7572_7365;
/// How long the others wait for it.
const LOCK_WAIT: &str = "120s";
/// How long a step waits for a table that somebody uses, while everybody else waits behind it.
const TABLE_WAIT: &str = "2s";
/// For how long it is tried whether a table is free, and how long everybody else goes on in between.
const TABLE_WAIT_ALL: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(2);
/// The table of the steps that were taken.
const HISTORY: &str = "seaql_migrations";

/// Every step, the first first.
const STEPS: [Script; 12] = [
    m0001_foundation::MIGRATION,
    m0002_idempotency::MIGRATION,
    m0003_revenue_engine::MIGRATION,
    m0004_control::MIGRATION,
    m0005_maker::MIGRATION,
    m0006_retention::MIGRATION,
    m0007_needs::MIGRATION,
    m0008_references::MIGRATION,
    m0009_accounts::MIGRATION,
    m0010_outbox::MIGRATION,
    m0011_facts::MIGRATION,
    m0012_late_entries::MIGRATION,
];

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        STEPS.into_iter().map(|step| Box::new(step) as Box<dyn MigrationTrait>).collect()
    }
}

/// A step of the schema, and whether the database has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
    /// Whether a newer version took it, which says that this one may work beside it.
    pub newer: bool,
}

impl Sql {
    /// Brings the schema up to date. Many processes may start at once: one migrates, the others wait for it. A schema
    /// that a newer version brought further is left as it is.
    ///
    /// # Errors
    /// If the database cannot be used, or this version cannot work with its schema: then it is left as it is.
    pub async fn migrate(&self) -> Result<(), SqlError> {
        let deadline = Instant::now() + TABLE_WAIT_ALL;
        while !is_up_to_date(&self.migrations().await?) {
            match self.migrate_now().await {
                Err(SqlError::Database(error)) if is_held(&error) && Instant::now() < deadline => sleep(PAUSE).await,
                done => return done,
            }
        }
        Ok(())
    }

    async fn migrate_now(&self) -> Result<(), SqlError> {
        self.keep_temporary("FILE").await?;
        let write = self.begin_write().await?;
        lock(&write, self.dialect()).await?;
        // Whoever had the lock may have been a newer version, whose steps ours would not find their way among.
        if !is_up_to_date(&standing(&write).await?) {
            Migrator::up(&write, None).await?;
        }
        write.commit().await?;
        self.keep_temporary("MEMORY").await
    }

    /// Where SQLite keeps what it needs for a moment: a large table that is sorted for an index has no room in memory.
    async fn keep_temporary(&self, place: &str) -> Result<(), SqlError> {
        if self.dialect() == Dialect::Sqlite {
            self.writer().execute_unprepared(&format!("PRAGMA temp_store = {place}")).await?;
        }
        Ok(())
    }

    /// Every step of the schema, and whether the database has taken it. Changes nothing.
    ///
    /// # Errors
    /// If the database cannot be used, or this version cannot work with its schema.
    pub async fn migrations(&self) -> Result<Vec<MigrationStatus>, SqlError> {
        standing(self.database()).await
    }
}

fn is_up_to_date(steps: &[MigrationStatus]) -> bool {
    steps.iter().all(|step| step.applied)
}

/// A version whose first steps were others was here, and nothing is known of such tables; or a newer one, which says
/// whether this one may work with what it left.
async fn standing<'c, C>(connection: &'c C) -> Result<Vec<MigrationStatus>, SqlError>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    let mut taken = Vec::new();
    if SchemaManager::new(connection).has_table(HISTORY).await? {
        let history = seaql_migrations::Entity::find().order_by_asc(seaql_migrations::Column::Version);
        taken = history.all(connection).await?.into_iter().map(|step| step.version).collect();
    }
    let known: Vec<String> = STEPS.iter().map(|step| step.name.to_owned()).collect();
    let unknown: Vec<String> = taken.iter().filter(|step| !known.contains(step)).cloned().collect();
    if !unknown.is_empty() {
        if !known.iter().all(|step| taken.contains(step)) {
            return Err(SqlError::OtherVersion(quoted(&unknown)));
        }
        let lacking: Vec<String> = needed(connection).await?.into_iter().filter(|step| !known.contains(step)).collect();
        if !lacking.is_empty() {
            return Err(SqlError::LeftBehind(quoted(&lacking)));
        }
    }
    let ours = known.into_iter().map(|name| {
        let applied = taken.contains(&name);
        MigrationStatus { name, applied, newer: false }
    });
    Ok(ours.chain(unknown.into_iter().map(|name| MigrationStatus { name, applied: true, newer: true })).collect())
}

/// The steps that a version must know to work with this schema, as those said who took something away.
async fn needed(connection: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_string(connection.get_database_backend(), "SELECT migration FROM schema_needs");
    let rows = connection.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// On SQLite the write transaction is the lock. On `PostgreSQL` others do not wait long for a table that a step waits
/// for: whoever reads it for minutes would make all of them wait as long.
async fn lock(write: &impl ConnectionTrait, dialect: Dialect) -> Result<(), DbErr> {
    match dialect {
        Dialect::Sqlite => {}
        Dialect::Postgres => {
            let wait = format!(
                "SET LOCAL lock_timeout = '{LOCK_WAIT}'; SELECT pg_advisory_xact_lock({LOCK});
                 SET LOCAL lock_timeout = '{TABLE_WAIT}'"
            );
            write.execute_unprepared(&wait).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words that take something away from a version that does not expect it.
    const CONTRACTING: [&str; 5] = ["DROP TABLE", "DROP COLUMN", "RENAME", "ALTER COLUMN", "SET NOT NULL"];

    /// From the step on that made the table in which they say so.
    #[test]
    fn a_step_that_takes_something_away_says_which_versions_it_leaves_behind() {
        for step in STEPS.iter().skip_while(|step| step.name != m0007_needs::MIGRATION.name) {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let statements = (step.statements)(dialect).to_uppercase();
                let takes = CONTRACTING.iter().any(|word| statements.contains(word));
                assert!(!takes || statements.contains("INTO SCHEMA_NEEDS"), "{} must fill schema_needs", step.name);
            }
        }
    }
}
