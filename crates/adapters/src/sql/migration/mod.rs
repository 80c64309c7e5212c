//! The schema, and the rules about it that the database itself holds. Migrations expand first and contract later;
//! one that was released never changes.

mod m0001_foundation;
mod m0002_idempotency;
mod m0003_revenue_engine;
mod m0004_control;
mod m0005_maker;
mod m0006_retention;
mod rules;
mod script;

use super::{Sql, SqlError, dialect::Dialect};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder};
use sea_orm_migration::{
    MigrationTrait, MigratorTrait, SchemaManager,
    migrator::{Migration, MigrationStatus as Status},
    seaql_migrations,
};

/// Names the advisory lock under which one process migrates: `disburse` in ASCII, folded to 63 bits.
const LOCK: i64 = 0x6469_7362_7572_7365;
/// How long the others wait for it.
const LOCK_WAIT: &str = "120s";
/// The table of the steps that were taken.
const HISTORY: &str = "seaql_migrations";

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_foundation::MIGRATION),
            Box::new(m0002_idempotency::MIGRATION),
            Box::new(m0003_revenue_engine::MIGRATION),
            Box::new(m0004_control::MIGRATION),
            Box::new(m0005_maker::MIGRATION),
            Box::new(m0006_retention::MIGRATION),
        ]
    }
}

/// A step of the schema, and whether the database has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

impl Sql {
    /// Brings the schema up to date. Many processes may start at once: one migrates, the others wait for it.
    ///
    /// # Errors
    /// If the database cannot be used, or was migrated by another version: then it is left as it is.
    pub async fn migrate(&self) -> Result<(), SqlError> {
        if self.migrations().await?.iter().all(|known| known.applied) {
            return Ok(());
        }
        let write = self.begin_write().await?;
        lock(&write, self.dialect()).await?;
        Migrator::up(&write, None).await?;
        write.commit().await?;
        Ok(())
    }

    /// Every step of the schema, and whether the database has taken it. Changes nothing.
    ///
    /// # Errors
    /// If the database cannot be used, or was migrated by another version.
    pub async fn migrations(&self) -> Result<Vec<MigrationStatus>, SqlError> {
        self.refuse_another_version().await?;
        let known = Migrator::get_migration_with_status_read_only(self.database()).await?;
        let status = |known: &Migration| MigrationStatus {
            name: known.name().to_owned(),
            applied: known.status() == Status::Applied,
        };
        Ok(known.iter().map(status).collect())
    }

    /// A newer version was here, or one whose first steps were others: nothing is known of such tables.
    async fn refuse_another_version(&self) -> Result<(), SqlError> {
        if !SchemaManager::new(self.database()).has_table(HISTORY).await? {
            return Ok(());
        }
        let applied = seaql_migrations::Entity::find().order_by_asc(seaql_migrations::Column::Version);
        let applied = applied.all(self.database()).await?;
        let known: Vec<String> = Migrator::migrations().iter().map(|known| known.name().to_owned()).collect();
        let unknown = applied.iter().filter(|step| !known.contains(&step.version));
        let names: Vec<String> = unknown.map(|step| format!("`{}`", step.version)).collect();
        if names.is_empty() { Ok(()) } else { Err(SqlError::OtherVersion(names.join(", "))) }
    }
}

/// On SQLite the write transaction is the lock.
async fn lock(write: &impl ConnectionTrait, dialect: Dialect) -> Result<(), DbErr> {
    match dialect {
        Dialect::Sqlite => {}
        Dialect::Postgres => {
            let wait = format!("SET LOCAL lock_timeout = '{LOCK_WAIT}'; SELECT pg_advisory_xact_lock({LOCK})");
            write.execute_unprepared(&wait).await?;
        }
    }
    Ok(())
}
