//! What the migrations are made of, and write their statements with.

use crate::sql::dialect::Dialect;
use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager,
    sea_orm::{ConnectionTrait, DbBackend, DbErr},
};

/// A step of the schema: a name that never changes, and the statements for a database.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) statements: fn(Dialect) -> String,
}

impl MigrationName for Script {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Script {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = (self.statements)(dialect_of(manager)?);
        manager.get_connection().execute_unprepared(&statements).await?;
        Ok(())
    }
}

/// The database that is migrated.
fn dialect_of(manager: &SchemaManager<'_>) -> Result<Dialect, DbErr> {
    match manager.get_database_backend() {
        DbBackend::Sqlite => Ok(Dialect::Sqlite),
        DbBackend::Postgres => Ok(Dialect::Postgres),
        other => Err(DbErr::Migration(format!("there is no schema for {other:?}"))),
    }
}

/// The statements, with each word in braces replaced by what the database calls it.
pub(super) fn spell(dialect: Dialect, statements: &str) -> String {
    let replace = |script: String, (word, meaning): (&str, &str)| script.replace(word, meaning);
    words(dialect).into_iter().fold(statements.to_owned(), replace)
}

/// In `PostgreSQL` texts are ordered by their bytes, as in SQLite: every order we answer is one of ids.
fn words(dialect: Dialect) -> [(&'static str, &'static str); 7] {
    match dialect {
        Dialect::Sqlite => [
            ("{id}", "BLOB"),
            ("{text}", "TEXT"),
            ("{bytes}", "BLOB"),
            ("{int}", "INTEGER"),
            ("{bool}", "INTEGER"),
            ("{table}", "STRICT"),
            // One tree in place of two, where rows are short.
            ("{lean_table}", "STRICT, WITHOUT ROWID"),
        ],
        Dialect::Postgres => [
            ("{id}", "uuid"),
            ("{text}", "text COLLATE \"C\""),
            ("{bytes}", "bytea"),
            ("{int}", "bigint"),
            ("{bool}", "boolean"),
            ("{table}", ""),
            ("{lean_table}", ""),
        ],
    }
}
