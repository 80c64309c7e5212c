//! Fresh databases: a file of its own, or a database of its own on a PostgreSQL server.

use adapters::sql::Sql;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tempfile::TempDir;

/// Names a server on which databases may be created. `cargo xtask test` finds or starts one.
const URL_VARIABLE: &str = "DISBURSE_TEST_POSTGRES_URL";

/// A migrated database in a file, which goes with the folder.
pub async fn sqlite() -> (Sql, TempDir) {
    let folder = tempfile::tempdir().expect("a folder for the database");
    let sql = migrated(&sqlite_url(&folder)).await;
    (sql, folder)
}

/// The URL of the database in that folder; it is made when somebody connects.
pub fn sqlite_url(folder: &TempDir) -> String {
    format!("sqlite://{}?mode=rwc", folder.path().join("disburse.db").display())
}

/// A migrated database on the PostgreSQL server, which goes with the guard.
pub async fn postgres() -> (Sql, PostgresDatabase) {
    let database = PostgresDatabase::create().await;
    let sql = migrated(database.url()).await;
    (sql, database)
}

async fn migrated(url: &str) -> Sql {
    let sql = Sql::connect(url).await.expect("the database answers");
    sql.migrate().await.expect("the database can be migrated");
    sql
}

/// An empty database on the PostgreSQL server. It is dropped with this value, whoever is still connected; what
/// a killed run leaves behind goes with the server, which is a throw-away one.
pub struct PostgresDatabase {
    server: String,
    name: String,
    url: String,
}

impl PostgresDatabase {
    /// Creates it.
    pub async fn create() -> Self {
        Self::created(server(), "").await
    }

    /// One that takes any bytes for text.
    pub async fn of_bytes() -> Self {
        Self::created(server(), "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'").await
    }

    /// A new one with all that is in this one, to which nobody may be connected.
    pub async fn copy(&self) -> Self {
        Self::created(self.server.clone(), &format!("TEMPLATE {}", self.name)).await
    }

    async fn created(server: String, how: &str) -> Self {
        let name = format!("disburse_test_{}", uuid::Builder::from_random_bytes(random_bytes()).into_uuid().simple());
        administer(&server, &format!("CREATE DATABASE {name} {how}")).await;
        let url = with_database(&server, &name);
        Self { server, name, url }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // A runtime of its own: the one of the test may be on its way down.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(administer(&server, &statement));
        });
        if dropped.join().is_err() {
            println!("database {} is left behind", self.name);
        }
    }
}

fn server() -> String {
    std::env::var(URL_VARIABLE).unwrap_or_else(|_| {
        panic!("{URL_VARIABLE} names no PostgreSQL server: run `cargo xtask test`, which finds or starts one")
    })
}

async fn administer(server: &str, statement: &str) {
    let connection: DatabaseConnection = Database::connect(server).await.expect("the PostgreSQL server answers");
    connection.execute_unprepared(statement).await.expect("the server allows databases to be created and dropped");
    connection.close().await.expect("a connection can be closed");
}

/// The same server and credentials, another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, String::new()), |(url, query)| (url, format!("?{query}")));
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
    let authority = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}://{authority}/{name}{query}")
}

/// Sixteen bytes that no other run has, without a crate for it: a hasher is seeded by the operating system.
fn random_bytes() -> [u8; 16] {
    use std::hash::{BuildHasher, RandomState};
    let half = || RandomState::new().hash_one(std::process::id());
    (u128::from(half()) << 64 | u128::from(half())).to_be_bytes()
}
