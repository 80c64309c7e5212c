//! Databases of a bench on a server that keeps what it acknowledges. They go when the bench ends.

use super::machine;
use crate::failure::{Failure, Result};
use crate::postgres::Postgres;
use std::cell::RefCell;
use std::path::Path;

/// The server, and what was made on it.
pub struct Databases {
    postgres: Postgres,
    made: RefCell<Vec<String>>,
}

impl Databases {
    /// Takes the server that the environment names, or starts one that waits for its disk.
    pub fn provide() -> Result<Self> {
        let postgres = Postgres::provide_durable()?;
        let settings = "SELECT string_agg(name, ', ') FROM pg_settings WHERE setting = 'off' AND name IN \
                        ('fsync', 'synchronous_commit', 'full_page_writes')";
        let careless = postgres.ask(postgres.url(), settings)?;
        if !careless.is_empty() {
            return Err(Failure::new(format!("the PostgreSQL server is faster than an honest one: {careless} is off")));
        }
        machine::require_a_disk(Path::new(&postgres.ask(postgres.url(), "SHOW data_directory")?))?;
        Ok(Self { postgres, made: RefCell::default() })
    }

    /// The server.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// A new, empty database: its URL.
    pub fn create(&self, name: &str) -> Result<String> {
        let name = format!("disburse_bench_{name}_{}", std::process::id());
        let url = self.postgres.create_database(&name)?;
        self.made.borrow_mut().push(name);
        Ok(url)
    }

    /// Writes what waits in memory, so that nobody pays for what somebody else wrote.
    pub fn checkpoint(&self) -> Result<()> {
        self.postgres.ask(self.postgres.url(), "CHECKPOINT").map(drop)
    }

    /// A number that a database answers.
    pub fn number(&self, url: &str, statement: &str) -> Result<f64> {
        let answer = self.postgres.ask(url, statement)?;
        answer.parse().map_err(|_| Failure::new(format!("`{statement}` was answered `{answer}`, which is no number")))
    }

    /// What the server says of itself.
    pub fn version(&self) -> Result<String> {
        let sql = "SELECT format('PostgreSQL %s (shared_buffers %s, fsync on)', \
                   split_part(current_setting('server_version'), ' ', 1), current_setting('shared_buffers'))";
        self.postgres.ask(self.postgres.url(), sql)
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        for name in self.made.borrow_mut().drain(..) {
            if let Err(failure) = self.postgres.drop_database(&name) {
                eprintln!("warning: {failure}");
            }
        }
    }
}
