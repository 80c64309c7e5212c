//! A database of ours, asked past the service.

use super::databases::Databases;
use super::sqlite::Sqlite;
use crate::failure::{Attempt, Result};
use std::path::PathBuf;

/// Where a database is.
pub enum Store<'a> {
    /// On PostgreSQL.
    Postgres {
        /// The server.
        databases: &'a Databases,
        /// The database.
        url: String,
    },
    /// A file of SQLite.
    Sqlite {
        /// The shell.
        sqlite: &'a Sqlite,
        /// The file.
        file: PathBuf,
    },
}

impl Store<'_> {
    /// How the service is told of it, unless it takes the file of its own accord.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Postgres { url, .. } => Some(url),
            Self::Sqlite { .. } => None,
        }
    }

    /// What it answers.
    pub fn ask(&self, statements: &str) -> Result<String> {
        match self {
            Self::Postgres { databases, url } => databases.postgres().ask(url, statements),
            Self::Sqlite { sqlite, file } => sqlite.ask(file, statements),
        }
    }

    /// A number that it answers.
    pub fn number(&self, statement: &str) -> Result<f64> {
        let answer = self.ask(statement)?;
        answer.parse().attempting(|| format!("reading `{answer}`"))
    }
}
