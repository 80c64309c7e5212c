//! The composition root: the only module that names adapters.

use crate::{config::Config, worker::Worker};
use adapters::{
    events::LogPublisher,
    ids::UuidV7,
    rails::simulator::{OpenError, Simulator},
    sql::{Sql, SqlError},
};
use app::ports::{Clock, Ids, PayoutQueries, PayoutRepository, Rails, SimulatorBook};
use std::sync::Arc;

/// The service, put together. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// Where batches are kept.
    pub repository: Arc<dyn PayoutRepository>,
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
    let ids: Arc<dyn Ids> = Arc::new(UuidV7);
    let simulator = Simulator::open(&config.data_dir.value.join("simulator.db"), ids.clone()).await?;
    let rails = Rails::new(Arc::new(simulator.clone()), []);
    let sql = Arc::new(sql);
    Ok(Service {
        repository: sql.clone(),
        queries: sql.clone(),
        rails: rails.clone(),
        simulator: Arc::new(simulator),
        ids: ids.clone(),
        clock: sql.clone(),
        worker: Worker {
            repository: sql.clone(),
            queue: sql.clone(),
            outbox: sql.clone(),
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

/// Which migrations the database has.
///
/// # Errors
/// If the database cannot be used.
pub async fn migrations(config: &Config) -> Result<Vec<Migration>, ComposeError> {
    let sql = Sql::connect(&config.database_url.value).await?;
    let known = sql.migrations().await?;
    Ok(known.into_iter().map(|known| Migration { name: known.name, applied: known.applied }).collect())
}
