//! A PostgreSQL server for the tests: the one that was named, or a throw-away one.

use crate::apt;
use crate::cluster::{self, Cluster, Disk};
use crate::failure::{Failure, Result};
use crate::guarded::Guarded;
use crate::process;
use std::path::PathBuf;
use std::process::Command;

/// Names a server on which databases may be created.
pub const URL_VARIABLE: &str = "DISBURSE_TEST_POSTGRES_URL";

/// A server that answers. A throw-away one ends with this value.
pub struct Postgres {
    url: String,
    psql: PathBuf,
    _server: Option<Guarded>,
}

impl Postgres {
    /// Takes the server that the environment names; else starts one from local binaries; else
    /// installs Debian's package first.
    pub fn provide() -> Result<Self> {
        Self::provide_on(Disk::DoesNotWait)
    }

    /// The same, but a throw-away one waits for its disk, as a server in earnest does.
    pub fn provide_durable() -> Result<Self> {
        Self::provide_on(Disk::Waits)
    }

    fn provide_on(disk: Disk) -> Result<Self> {
        let named = std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty());
        let (url, server) = match named {
            Some(url) => {
                println!("using the server that {URL_VARIABLE} names");
                (url, None)
            }
            None => {
                let (url, server) = Cluster::plan(disk)?.start()?;
                (url, Some(server))
            }
        };
        let postgres = Self { url, psql: find_or_install_psql()?, _server: server };
        println!("PostgreSQL {} answers", postgres.ask(&postgres.url, "SHOW server_version")?);
        Ok(postgres)
    }

    /// The server's URL, with a database from which others can be created.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a new, empty database and returns its URL.
    pub fn create_database(&self, name: &str) -> Result<String> {
        self.execute(&format!("CREATE DATABASE {name}"))?;
        Ok(with_database(&self.url, name))
    }

    /// Removes a database, also when somebody is still connected.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
    }

    /// What a database of the server answers to a statement: lines of fields, and `|` between these.
    pub fn ask(&self, database_url: &str, statement: &str) -> Result<String> {
        let answer = process::capture(self.psql(database_url).args(["-A", "-t", "-c", statement]))?;
        Ok(answer.trim().to_owned())
    }

    fn execute(&self, statement: &str) -> Result<()> {
        process::capture(self.psql(&self.url).args(["-c", statement])).map(drop)
    }

    fn psql(&self, url: &str) -> Command {
        let mut psql = Command::new(&self.psql);
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url])
            .env("PGCONNECT_TIMEOUT", "10")
            .env("PGOPTIONS", "-c client_min_messages=warning");
        psql
    }
}

/// The same server and credentials, another database.
pub fn with_database(url: &str, name: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
    let authority = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}://{authority}/{name}{query}")
}

fn find_or_install_psql() -> Result<PathBuf> {
    let find = || {
        process::find_program("psql").or_else(|| {
            cluster::debian_folders()
                .into_iter()
                .map(|folder| folder.join("psql"))
                .find(|path| process::is_program(path))
        })
    };
    if let Some(psql) = find() {
        return Ok(psql);
    }
    apt::install("psql", &["postgresql-client"])?;
    find().ok_or_else(|| Failure::new("psql is not there although its package was installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            ("postgres://u@127.0.0.1:5433/postgres", "postgres://u@127.0.0.1:5433/x"),
            ("postgres://u:p%2F@h", "postgres://u:p%2F@h/x"),
            ("postgresql://u@h/a?sslmode=disable", "postgresql://u@h/x?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "x"), expected);
        }
    }
}
