//! The composition root: the only module that names adapters.

use crate::{config::Config, worker::Worker};
use adapters::{
    events::LogPublisher,
    ids::UuidV7,
    rails::simulator::{OpenError, Simulator},
    sql::{Sql, SqlError},
};
use app::{
    ports::{Clock, IdempotencyKeys, Ids, PayoutQueries, PayoutRepository, Rails, SimulatorBook},
    revenue::turns::Turns,
};
use std::{path::Path, sync::Arc};

/// The service, put together. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// Where batches are kept.
    pub repository: Arc<dyn PayoutRepository>,
    /// Which requests were answered.
    pub keys: Arc<dyn IdempotencyKeys>,
    /// Whose turn it is, of releases that count.
    pub turns: Arc<Turns>,
    /// Pages and screens.
    pub queries: Arc<dyn PayoutQueries>,
    /// Where money goes out.
    pub rails: Rails,
    /// What the simulator was asked to pay.
    pub simulator: Arc<dyn SimulatorBook>,
    /// Names.
    pub ids: Arc<dyn Ids>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The worker, not running yet.
    pub worker: Worker,
}

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The database cannot be used.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The simulator cannot be used.
    #[error(transparent)]
    Simulator(#[from] OpenError),
    /// There is no database where one is expected.
    #[error("there is no database at {0}; `disburse serve` or `disburse migrate` makes one")]
    NoDatabase(String),
    /// The schema is not the one this binary works with.
    #[error("the schema of the database is not up to date; run `disburse migrate`")]
    SchemaPending,
}

/// A migration, and whether it was applied.
pub struct Migration {
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// Opens the database and brings its schema up to date, opens the rails, and puts everything together.
///
/// # Errors
/// See [`ComposeError`].
pub async fn service(config: &Config) -> Result<Service, ComposeError> {
    let sql = Sql::connect(&config.database_url.value).await?;
    sql.migrate().await?;
    put_together(config, sql).await
}

/// The same over a database that is there and up to date: who only looks must not make an empty one, and then find
/// nothing wrong with it.
///
/// # Errors
/// See [`ComposeError`].
pub async fn existing_service(config: &Config) -> Result<Service, ComposeError> {
    let sql = existing_database(config).await?;
    if !sql.migrations().await?.iter().all(|known| known.applied) {
        return Err(ComposeError::SchemaPending);
    }
    put_together(config, sql).await
}

async fn existing_database(config: &Config) -> Result<Sql, ComposeError> {
    let url = &config.database_url.value;
    let file = url.strip_prefix("sqlite://").map(|rest| rest.split('?').next().unwrap_or_default());
    if file.is_some_and(|file| !Path::new(file).exists()) {
        return Err(ComposeError::NoDatabase(config.database_for_people()));
    }
    Ok(Sql::connect(url).await?)
}

async fn put_together(config: &Config, sql: Sql) -> Result<Service, ComposeError> {
    let ids: Arc<dyn Ids> = Arc::new(UuidV7);
    let simulator = Simulator::open(&config.data_dir.value.join("simulator.db"), ids.clone()).await?;
    let rails = Rails::new(Arc::new(simulator.clone()), []);
    let sql = Arc::new(sql);
    Ok(Service {
        repository: sql.clone(),
        keys: sql.clone(),
        turns: Arc::default(),
        queries: sql.clone(),
        rails: rails.clone(),
        simulator: Arc::new(simulator),
        ids: ids.clone(),
        clock: sql.clone(),
        worker: Worker {
            repository: sql.clone(),
            queue: sql.clone(),
            outbox: sql.clone(),
            keys: sql.clone(),
            publisher: Arc::new(LogPublisher),
            rails,
            ids,
            clock: sql,
        },
    })
}

/// Brings the schema up to date, and nothing else.
///
/// # Errors
/// If the database cannot be used.
pub async fn migrate(config: &Config) -> Result<(), ComposeError> {
    Ok(Sql::connect(&config.database_url.value).await?.migrate().await?)
}

/// Which migrations the database has. Changes nothing.
///
/// # Errors
/// If the database cannot be used.
pub async fn migrations(config: &Config) -> Result<Vec<Migration>, ComposeError> {
    let sql = existing_database(config).await?;
    let known = sql.migrations().await?;
    Ok(known.into_iter().map(|known| Migration { name: known.name, applied: known.applied }).collect())
}
