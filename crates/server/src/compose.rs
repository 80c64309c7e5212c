//! The composition root: the only module that names adapters.

use crate::{
    config::{Config, Mode, StripeConfig},
    worker::Worker,
};
use adapters::{
    dice::ThreadDice,
    events::LogPublisher,
    ids::UuidV7,
    rails::{
        simulator::{OpenError, Simulator},
        stripe_connect::{self, StripeConnect},
    },
    sql::{Loss, MigrationStatus, Sql, SqlError},
};
use app::{
    payouts::gate::Gates,
    ports::{
        Clock, Dice, IdempotencyKeys, Ids, PayoutQueries, PayoutRail, PayoutRepository, Rails, SimulatorBook,
        SimulatorFaults, SimulatorNotifications, TestClock,
    },
    revenue::{needs::Needs, turns::Turns},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use adapters::rails::simulator::{
    NAME as SIMULATOR,
    provider::{HttpAnswer, HttpRequest, SimulatorHttp},
};

/// The service, put together. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// Where batches are kept.
    pub repository: Arc<dyn PayoutRepository>,
    /// Which requests were answered.
    pub keys: Arc<dyn IdempotencyKeys>,
    /// Whose turn it is, of releases that count.
    pub turns: Arc<Turns>,
    /// What the last release of a project needed to know.
    pub needs: Arc<Needs>,
    /// Pages and screens.
    pub queries: Arc<dyn PayoutQueries>,
    /// Where money goes out.
    pub rails: Rails,
    /// The simulator, in test mode.
    pub simulator: Option<SimulatorPorts>,
    /// Names.
    pub ids: Arc<dyn Ids>,
    /// Chance.
    pub dice: Arc<dyn Dice>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The clock that can be moved, in test mode.
    pub test_clock: Option<Arc<dyn TestClock>>,
    /// The worker, not running yet.
    pub worker: Worker,
}

/// The simulator, as people and tests see it. Cheap to clone.
#[derive(Clone)]
pub struct SimulatorPorts {
    /// What it was asked to pay.
    pub book: Arc<dyn SimulatorBook>,
    /// How it is told to misbehave.
    pub faults: Arc<dyn SimulatorFaults>,
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
    /// Money is to move in earnest, and nothing is there to move it.
    #[error("live mode needs a real rail: set DISBURSE_STRIPE_SECRET_KEY, or leave live mode")]
    NoRealRail,
    /// The database's clock is ahead of the world's.
    #[error("this database was used in test mode, where its clock was moved: live mode needs a database of its own")]
    ClockWasMoved,
    /// The database may undo what it acknowledged, and nobody said that it may.
    #[error("the database does not keep what it acknowledges: {0}, or start with --accept-data-loss")]
    LosesCommits(Loss),
    /// Stripe cannot be used as it is configured.
    #[error(transparent)]
    Stripe(#[from] stripe_connect::SetupError),
    /// There is no database where one is expected.
    #[error("there is no database at {0}; `disburse serve` or `disburse migrate` makes one")]
    NoDatabase(String),
    /// There is no book of the simulator where one is expected.
    #[error("there is no book of the simulator at {0}; if it is another process, name it by --simulator-url")]
    NoBook(PathBuf),
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
    /// Whether a newer version took it.
    pub newer: bool,
}

/// Opens the database and brings its schema up to date, opens the rails, and puts everything together.
///
/// # Errors
/// See [`ComposeError`].
pub async fn service(config: &Config) -> Result<Service, ComposeError> {
    let sql = Sql::connect(&config.database_url.value).await?;
    if let Some(loss) = accepted_loss_of(config, &sql).await? {
        tracing::warn!("started all the same with a database that does not keep what it acknowledges: {loss}");
    }
    sql.migrate().await?;
    put_together(config, sql).await
}

/// What can undo a commit that the database answered, if anything can and the settings say that it may.
///
/// # Errors
/// [`ComposeError::LosesCommits`] if they do not say so; then the service does not start.
pub async fn accepted_loss(config: &Config) -> Result<Option<Loss>, ComposeError> {
    accepted_loss_of(config, &existing_database(config).await?).await
}

async fn accepted_loss_of(config: &Config, sql: &Sql) -> Result<Option<Loss>, ComposeError> {
    match sql.loses_commits().await? {
        Some(loss) if !config.accept_data_loss.value => Err(ComposeError::LosesCommits(loss)),
        loss => Ok(loss),
    }
}

/// What whoever only looks needs.
pub struct Looking {
    /// Pages and screens.
    pub queries: Arc<dyn PayoutQueries>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The rails whose books can be asked for from here.
    pub rails: Vec<Arc<dyn PayoutRail>>,
    /// Where the book of a simulator in this process would be; none if it is a process of its own, or there is no
    /// simulator. If there is no such file, the simulator is not among the rails.
    pub simulator_book: Option<PathBuf>,
}

/// A database that is there and up to date, and books that are there: who only looks must not make an empty one, and
/// then find nothing wrong with it, or everything.
///
/// # Errors
/// See [`ComposeError`].
pub async fn looking(config: &Config) -> Result<Looking, ComposeError> {
    let sql = up_to_date_database(config).await?;
    let clock: Arc<dyn Clock> = Arc::new(sql.clone());
    let is_local = config.mode.value == Mode::Test && config.simulator_url.is_none();
    let simulator_book = is_local.then(|| simulator_book(config));
    let is_seen = simulator_book.as_ref().is_none_or(|book| book.exists());
    let simulator = if config.mode.value == Mode::Test && is_seen {
        Some(simulator(config, Arc::new(UuidV7), clock.clone()).await?)
    } else {
        None
    };
    let rails = all_rails(config, simulator)?;
    if rails.is_empty() && simulator_book.is_none() {
        return Err(ComposeError::NoRealRail);
    }
    Ok(Looking { queries: Arc::new(sql), clock, rails, simulator_book })
}

/// What is needed to ask the rails what they know.
pub struct Sweeping {
    /// Where batches are kept.
    pub repository: Arc<dyn PayoutRepository>,
    /// Who is asked.
    pub rails: Rails,
    /// Names.
    pub ids: Arc<dyn Ids>,
    /// Chance.
    pub dice: Arc<dyn Dice>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A database that is there and up to date, and every rail: a simulator without a book would have paid nobody.
///
/// # Errors
/// See [`ComposeError`].
pub async fn sweeping(config: &Config) -> Result<Sweeping, ComposeError> {
    let sql = up_to_date_database(config).await?;
    let (ids, clock): (Arc<dyn Ids>, Arc<dyn Clock>) = (Arc::new(UuidV7), Arc::new(sql.clone()));
    let is_test = config.mode.value == Mode::Test;
    let book = simulator_book(config);
    if is_test && config.simulator_url.is_none() && !book.exists() {
        return Err(ComposeError::NoBook(book));
    }
    let simulator = if is_test { Some(simulator(config, ids.clone(), clock.clone()).await?) } else { None };
    let rails = rails(config, simulator)?;
    Ok(Sweeping { repository: Arc::new(sql), rails, ids, dice: Arc::new(ThreadDice), clock })
}

/// Live mode goes by a clock that nobody moved.
async fn refuse_a_moved_clock(config: &Config, sql: &Sql) -> Result<(), ComposeError> {
    if config.mode.value == Mode::Live && sql.clock_offset().await? > Duration::ZERO {
        return Err(ComposeError::ClockWasMoved);
    }
    Ok(())
}

async fn up_to_date_database(config: &Config) -> Result<Sql, ComposeError> {
    let sql = existing_database(config).await?;
    if !sql.migrations().await?.iter().all(|known| known.applied) {
        return Err(ComposeError::SchemaPending);
    }
    refuse_a_moved_clock(config, &sql).await?;
    Ok(sql)
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
    let dice: Arc<dyn Dice> = Arc::new(ThreadDice);
    let sql = Arc::new(sql);
    let clock: Arc<dyn Clock> = sql.clone();
    let is_test = config.mode.value == Mode::Test;
    refuse_a_moved_clock(config, &sql).await?;
    let simulator = if is_test { Some(simulator(config, ids.clone(), clock.clone()).await?) } else { None };
    let rails = rails(config, simulator.clone())?;
    let service = Service {
        repository: sql.clone(),
        keys: sql.clone(),
        turns: Arc::default(),
        needs: Arc::default(),
        queries: sql.clone(),
        rails: rails.clone(),
        simulator: simulator
            .clone()
            .map(|simulator| SimulatorPorts { book: Arc::new(simulator.clone()), faults: Arc::new(simulator) }),
        ids: ids.clone(),
        dice: dice.clone(),
        clock: clock.clone(),
        test_clock: is_test.then(|| sql.clone() as Arc<dyn TestClock>),
        worker: Worker {
            repository: sql.clone(),
            queue: sql.clone(),
            outbox: sql.clone(),
            keys: sql,
            publisher: Arc::new(LogPublisher),
            notifications: simulator.map(|simulator| Arc::new(simulator) as Arc<dyn SimulatorNotifications>),
            rails,
            gates: Arc::new(Gates::default()),
            ids,
            dice,
            clock,
            kept: config.kept(),
        },
    };
    // Where tests make the process die; a release binary has nothing of the kind.
    #[cfg(debug_assertions)]
    let service = crate::failpoints::over(service);
    Ok(service)
}

async fn simulator(config: &Config, ids: Arc<dyn Ids>, clock: Arc<dyn Clock>) -> Result<Simulator, ComposeError> {
    let secret = config.simulator_secret.as_ref().map(|secret| secret.value.expose().as_bytes().to_vec());
    Ok(match &config.simulator_url {
        Some(url) => Simulator::connect(&url.value, secret)?,
        None => Simulator::open_local(&simulator_book(config), ids, clock, secret).await?,
    })
}

/// Where the simulator keeps its book.
fn simulator_book(config: &Config) -> PathBuf {
    config.data_dir.value.join("simulator.db")
}

/// The simulated provider as a process of its own, over the same book.
///
/// # Errors
/// If its book cannot be used.
pub async fn simulator_http(config: &Config, secret: Option<Vec<u8>>) -> Result<SimulatorHttp, ComposeError> {
    let book = SimulatorHttp::open(&simulator_book(config), Arc::new(UuidV7), secret).await;
    Ok(book.map_err(OpenError::from)?)
}

/// In test mode the simulator is where somebody is paid who has no destination; in live mode there is none.
fn rails(config: &Config, simulator: Option<Simulator>) -> Result<Rails, ComposeError> {
    let mut rails = all_rails(config, simulator)?.into_iter();
    let default = rails.next().ok_or(ComposeError::NoRealRail)?;
    Ok(Rails::new(default, rails))
}

/// The simulator first, if there is one.
fn all_rails(config: &Config, simulator: Option<Simulator>) -> Result<Vec<Arc<dyn PayoutRail>>, ComposeError> {
    let simulator = simulator.map(|simulator| Arc::new(simulator) as Arc<dyn PayoutRail>);
    let real = config.stripe.as_ref().map(|stripe| stripe_connect(config.mode.value, stripe)).transpose()?;
    Ok(simulator.into_iter().chain(real).collect())
}

fn stripe_connect(mode: Mode, config: &StripeConfig) -> Result<Arc<dyn PayoutRail>, ComposeError> {
    let secrets = config.webhook_secrets.as_ref().map_or("", |secrets| secrets.value.expose());
    let secrets = secrets.split([',', '\n']).map(str::trim).filter(|secret| !secret.is_empty());
    let settings = stripe_connect::Settings {
        secret_key: stripe_connect::Secret::new(config.secret_key.value.expose()),
        mode: match mode {
            Mode::Test => stripe_connect::Mode::Test,
            Mode::Live => stripe_connect::Mode::Live,
        },
        webhook_secrets: secrets.map(stripe_connect::Secret::new).collect(),
        api_base: config.api_base.as_ref().map(|base| base.value.clone()),
    };
    Ok(Arc::new(StripeConnect::try_new(settings)?))
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
    let read = |step: MigrationStatus| Migration { name: step.name, applied: step.applied, newer: step.newer };
    Ok(known.into_iter().map(read).collect())
}
