//! Settings, each with where it came from: flag, then environment, then `disburse.toml`, then default.

use crate::{
    http::Bounds,
    listener::{Limits, Tls, TlsError},
    worker::Kept,
};
use serde::Deserialize;
use std::{
    env, fmt, fs,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

/// The file of settings, in the folder the command is started in.
const FILE: &str = "disburse.toml";
/// Where the API listens, unless told otherwise.
const LISTEN: &str = "127.0.0.1:8080";
/// Where data is kept, unless told otherwise.
const DATA_DIR: &str = "./disburse-data";

/// Connections at once, unless told otherwise.
const CONNECTIONS_MAX: u32 = 1024;
/// Seconds that a body may take to come, and a request that only reads to be answered, unless told otherwise.
const REQUEST_SECONDS_MAX: u32 = 15;
/// Days that a job is kept which is done, unless told otherwise.
const JOBS_DAYS_KEPT: u32 = 7;
/// Days that an event is kept which was delivered, unless told otherwise.
const EVENTS_DAYS_KEPT: u32 = 30;

/// Settings as flags. A flag wins over everything else.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Address and port of the API [env: DISBURSE_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub listen: Option<String>,
    /// `sqlite://FILE` or `postgres://...` [env: DISBURSE_DATABASE_URL] [default: SQLite in the data folder]
    #[arg(long, value_name = "URL", global = true)]
    pub database_url: Option<String>,
    /// Folder of the database, the simulator's book and the development key [env: DISBURSE_DATA_DIR]
    /// [default: ./disburse-data]
    #[arg(long, value_name = "FOLDER", global = true)]
    pub data_dir: Option<String>,
    /// `test`, or `live`, where money moves in earnest [env: DISBURSE_MODE] [default: test]
    #[arg(long, value_name = "MODE", global = true)]
    pub mode: Option<String>,
    /// Where a `disburse simulator` listens that several machines share [env: DISBURSE_SIMULATOR_URL]
    /// [default: one inside this process]
    #[arg(long, value_name = "URL", global = true)]
    pub simulator_url: Option<String>,
    /// Start on a database that may undo what it acknowledged [env: DISBURSE_ACCEPT_DATA_LOSS] [default: refuse]
    #[arg(long, global = true)]
    pub accept_data_loss: bool,
    /// Connections at once; others wait [env: DISBURSE_CONNECTIONS_MAX] [default: 1024]
    #[arg(long, value_name = "NUMBER", global = true)]
    pub connections_max: Option<String>,
    /// Seconds that a body may take to come, and a request that only reads to be answered
    /// [env: DISBURSE_REQUEST_SECONDS_MAX] [default: 15]
    #[arg(long, value_name = "SECONDS", global = true)]
    pub request_seconds_max: Option<String>,
    /// Requests that each subject of a token may make in a second [env: DISBURSE_RATE_LIMIT] [default: any number]
    #[arg(long, value_name = "NUMBER", global = true)]
    pub rate_limit: Option<String>,
    /// Days that a job is kept which is done [env: DISBURSE_JOBS_DAYS_KEPT] [default: 7]
    #[arg(long, value_name = "DAYS", global = true)]
    pub jobs_days_kept: Option<String>,
    /// Days that an event is kept which was delivered [env: DISBURSE_EVENTS_DAYS_KEPT] [default: 30]
    #[arg(long, value_name = "DAYS", global = true)]
    pub events_days_kept: Option<String>,
    /// The certificate of the API, in PEM, followed by those that vouch for it [env: DISBURSE_TLS_CERTIFICATE]
    /// [default: no TLS]
    #[arg(long, value_name = "FILE", global = true)]
    pub tls_certificate: Option<String>,
    /// The key of the certificate, in PEM [env: DISBURSE_TLS_KEY]
    #[arg(long, value_name = "FILE", global = true)]
    pub tls_key: Option<String>,
}

/// Whether money moves in earnest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nobody is paid: there is a simulator, and a clock that can be moved.
    Test,
    /// People are paid over real rails, and there is no simulator.
    Live,
}

impl Mode {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }
}

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// An environment variable.
    Environment,
    /// `disburse.toml`.
    File,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => FILE,
            Self::Default => "default",
        })
    }
}

/// A setting and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// What it is.
    pub value: T,
    /// Who said so.
    pub origin: Origin,
}

/// All settings.
#[derive(Clone)]
pub struct Config {
    /// Where the API listens.
    pub listen: Setting<SocketAddr>,
    /// Which database.
    pub database_url: Setting<String>,
    /// Where data is kept.
    pub data_dir: Setting<PathBuf>,
    /// Whether money moves in earnest.
    pub mode: Setting<Mode>,
    /// The simulator that several machines share, if not one inside this process.
    pub simulator_url: Option<Setting<String>>,
    /// What the shared simulator signs its notifications with.
    pub simulator_secret: Option<Setting<Secret>>,
    /// Whether a database will do that may undo what it acknowledged.
    pub accept_data_loss: Setting<bool>,
    /// Connections at once.
    pub connections_max: Setting<NonZeroU32>,
    /// Seconds that a body may take to come, and a request that only reads to be answered.
    pub request_seconds_max: Setting<NonZeroU32>,
    /// Requests that each subject may make in a second, if there is a limit.
    pub rate_limit: Option<Setting<NonZeroU32>>,
    /// Days that a job is kept which is done.
    pub jobs_days_kept: Setting<NonZeroU32>,
    /// Days that an event is kept which was delivered.
    pub events_days_kept: Setting<NonZeroU32>,
    /// What the API is served with, if over TLS.
    pub tls: Option<TlsConfig>,
    /// The secret that signs tokens, if one was given.
    pub jwt_secret: Option<Setting<Secret>>,
    /// Stripe, if there is a key for it.
    pub stripe: Option<StripeConfig>,
}

/// The files of a certificate.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The certificate, and those that vouch for it.
    pub certificate: Setting<PathBuf>,
    /// Its key.
    pub key: Setting<PathBuf>,
}

/// How to use Stripe.
#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// The platform's key.
    pub secret_key: Setting<Secret>,
    /// The secrets of its webhook endpoints, one a line or separated by commas.
    pub webhook_secrets: Option<Setting<Secret>>,
    /// Where its API is, if not where it always is.
    pub api_base: Option<Setting<String>>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file of settings is no TOML, or has an unknown setting.
    #[error("{FILE}: {0}")]
    File(#[from] toml::de::Error),
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// Not an address and a port.
    #[error("`{0}` is no address with a port, such as `{LISTEN}`")]
    Listen(String),
    /// Neither of the two modes.
    #[error("the mode must be `test` or `live`, not `{0}`")]
    Mode(String),
    /// Neither yes nor no.
    #[error("DISBURSE_ACCEPT_DATA_LOSS must be `true` or `false`, not `{0}`")]
    AcceptDataLoss(String),
    /// Not a number that something can be limited to.
    #[error("`{0}` must be a whole number from 1 to {max}, not `{1}`", max = u32::MAX)]
    Number(&'static str, String),
    /// Half a certificate.
    #[error("TLS takes both `tls_certificate` and `tls_key`")]
    HalfTls,
    /// The shared simulator is none.
    #[error("the simulator's address must start with `http://`")]
    SimulatorUrl,
    /// Neither of the two kinds of database.
    #[error("the database must be `sqlite://FILE` or `postgres://...`")]
    DatabaseUrl,
}

/// What `disburse.toml` may say. The signing secret has no place in it: it comes from the environment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<String>,
    database_url: Option<String>,
    data_dir: Option<String>,
    mode: Option<String>,
    simulator_url: Option<String>,
    accept_data_loss: Option<bool>,
    connections_max: Option<i64>,
    request_seconds_max: Option<i64>,
    rate_limit: Option<i64>,
    jobs_days_kept: Option<i64>,
    events_days_kept: Option<i64>,
    tls_certificate: Option<String>,
    tls_key: Option<String>,
}

impl Config {
    /// Reads all settings of this process.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let file = match fs::read_to_string(FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ConfigError::Read(PathBuf::from(FILE), error)),
        };
        Self::resolve(flags, &|name| env::var(name).ok().filter(|value| !value.is_empty()), &file)
    }

    fn resolve(flags: &Flags, env: &dyn Fn(&str) -> Option<String>, file: &str) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(file)?;
        let data_dir = first(flags.data_dir.clone(), env("DISBURSE_DATA_DIR"), file.data_dir, || DATA_DIR.to_owned());
        let database = || format!("sqlite://{}", Path::new(&data_dir.value).join("disburse.db").display());
        let database_url = first(flags.database_url.clone(), env("DISBURSE_DATABASE_URL"), file.database_url, database);
        if !["sqlite://", "postgres://", "postgresql://"].iter().any(|scheme| database_url.value.starts_with(scheme)) {
            return Err(ConfigError::DatabaseUrl);
        }
        let mode = first(flags.mode.clone(), env("DISBURSE_MODE"), file.mode, || "test".to_owned());
        let known = [Mode::Test, Mode::Live].into_iter().find(|known| known.as_str() == mode.value);
        let simulator_url = given(flags.simulator_url.clone(), env("DISBURSE_SIMULATOR_URL"), file.simulator_url);
        if simulator_url.as_ref().is_some_and(|url| !url.value.starts_with("http://")) {
            return Err(ConfigError::SimulatorUrl);
        }
        let accepts = given(
            flags.accept_data_loss.then(|| "true".to_owned()),
            env("DISBURSE_ACCEPT_DATA_LOSS"),
            file.accept_data_loss.map(|accepts| accepts.to_string()),
        );
        let accepts = accepts.unwrap_or(Setting { value: "false".to_owned(), origin: Origin::Default });
        let listen = first(flags.listen.clone(), env("DISBURSE_LISTEN"), file.listen, || LISTEN.to_owned());
        let connections_max = first(
            flags.connections_max.clone(),
            env("DISBURSE_CONNECTIONS_MAX"),
            file.connections_max.map(|number| number.to_string()),
            || CONNECTIONS_MAX.to_string(),
        );
        let request_seconds_max = first(
            flags.request_seconds_max.clone(),
            env("DISBURSE_REQUEST_SECONDS_MAX"),
            file.request_seconds_max.map(|number| number.to_string()),
            || REQUEST_SECONDS_MAX.to_string(),
        );
        let rate_limit = given(
            flags.rate_limit.clone(),
            env("DISBURSE_RATE_LIMIT"),
            file.rate_limit.map(|number| number.to_string()),
        );
        let jobs_days_kept = first(
            flags.jobs_days_kept.clone(),
            env("DISBURSE_JOBS_DAYS_KEPT"),
            file.jobs_days_kept.map(|number| number.to_string()),
            || JOBS_DAYS_KEPT.to_string(),
        );
        let events_days_kept = first(
            flags.events_days_kept.clone(),
            env("DISBURSE_EVENTS_DAYS_KEPT"),
            file.events_days_kept.map(|number| number.to_string()),
            || EVENTS_DAYS_KEPT.to_string(),
        );
        let certificate = given(flags.tls_certificate.clone(), env("DISBURSE_TLS_CERTIFICATE"), file.tls_certificate);
        let key = given(flags.tls_key.clone(), env("DISBURSE_TLS_KEY"), file.tls_key);
        Ok(Self {
            listen: Setting {
                value: listen.value.parse().map_err(|_| ConfigError::Listen(listen.value.clone()))?,
                origin: listen.origin,
            },
            database_url,
            data_dir: path(data_dir),
            mode: Setting { value: known.ok_or(ConfigError::Mode(mode.value))?, origin: mode.origin },
            simulator_url,
            simulator_secret: secret(env, "DISBURSE_SIMULATOR_SECRET")?,
            accept_data_loss: Setting {
                value: accepts.value.parse().map_err(|_| ConfigError::AcceptDataLoss(accepts.value.clone()))?,
                origin: accepts.origin,
            },
            connections_max: number("connections_max", connections_max)?,
            request_seconds_max: number("request_seconds_max", request_seconds_max)?,
            rate_limit: rate_limit.map(|limit| number("rate_limit", limit)).transpose()?,
            jobs_days_kept: number("jobs_days_kept", jobs_days_kept)?,
            events_days_kept: number("events_days_kept", events_days_kept)?,
            tls: match (certificate, key) {
                (Some(certificate), Some(key)) => Some(TlsConfig { certificate: path(certificate), key: path(key) }),
                (None, None) => None,
                (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfTls),
            },
            jwt_secret: secret(env, "DISBURSE_JWT_SECRET")?,
            stripe: stripe(env)?,
        })
    }

    /// What a caller may take of the process.
    pub fn limits(&self) -> Limits {
        let connections_max = usize::try_from(self.connections_max.value.get()).unwrap_or(usize::MAX);
        Limits { connections_max, body_max: self.request_max() }
    }

    /// The certificate of the API, read, if there is one.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn read_tls(&self) -> Result<Option<Tls>, TlsError> {
        self.tls.as_ref().map(|tls| Tls::read(&tls.certificate.value, &tls.key.value)).transpose()
    }

    /// What a request may take of the service.
    pub fn bounds(&self) -> Bounds {
        Bounds { reading_max: self.request_max(), rate_limit: self.rate_limit.as_ref().map(|limit| limit.value) }
    }

    /// How long what is done is kept.
    pub fn kept(&self) -> Kept {
        Kept { jobs: days(&self.jobs_days_kept), events: days(&self.events_days_kept) }
    }

    fn request_max(&self) -> Duration {
        Duration::from_secs(self.request_seconds_max.value.get().into())
    }

    /// The database's address without its password, for people.
    pub fn database_for_people(&self) -> String {
        let url = &self.database_url.value;
        match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((credentials, rest))) => {
                let user = credentials.trim_start_matches(scheme).trim_start_matches("://");
                let user = user.split(':').next().unwrap_or_default();
                format!("{scheme}://{user}@{rest}")
            }
            _ => url.clone(),
        }
    }
}

fn first(
    flag: Option<String>,
    env: Option<String>,
    file: Option<String>,
    default: impl Fn() -> String,
) -> Setting<String> {
    let given = given(flag, env, file);
    given.unwrap_or_else(|| Setting { value: default(), origin: Origin::Default })
}

fn given(flag: Option<String>, env: Option<String>, file: Option<String>) -> Option<Setting<String>> {
    let given = [(flag, Origin::Flag), (env, Origin::Environment), (file, Origin::File)];
    given.into_iter().find_map(|(value, origin)| Some(Setting { value: value?, origin }))
}

fn path(given: Setting<String>) -> Setting<PathBuf> {
    Setting { value: PathBuf::from(given.value), origin: given.origin }
}

fn number(name: &'static str, given: Setting<String>) -> Result<Setting<NonZeroU32>, ConfigError> {
    let value = given.value.parse().map_err(|_| ConfigError::Number(name, given.value.clone()))?;
    Ok(Setting { value, origin: given.origin })
}

fn days(given: &Setting<NonZeroU32>) -> Duration {
    Duration::from_secs(u64::from(given.value.get()) * 24 * 3_600)
}

/// What the environment says under `name`, or the contents of the file that it names under `name` and `_FILE`.
fn secret(env: &dyn Fn(&str) -> Option<String>, name: &str) -> Result<Option<Setting<Secret>>, ConfigError> {
    let setting = |text: String| Setting { value: Secret(text), origin: Origin::Environment };
    if let Some(text) = env(name) {
        return Ok(Some(setting(text)));
    }
    let Some(path) = env(&format!("{name}_FILE")) else { return Ok(None) };
    let text = fs::read_to_string(&path).map_err(|error| ConfigError::Read(path.into(), error))?;
    Ok(Some(setting(text.trim().to_owned())))
}

fn stripe(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<StripeConfig>, ConfigError> {
    let Some(secret_key) = secret(env, "DISBURSE_STRIPE_SECRET_KEY")? else { return Ok(None) };
    let webhook_secrets = secret(env, "DISBURSE_STRIPE_WEBHOOK_SECRETS")?;
    let api_base = env("DISBURSE_STRIPE_API_BASE").map(|value| Setting { value, origin: Origin::Environment });
    Ok(Some(StripeConfig { secret_key, webhook_secrets, api_base }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flags: &Flags, env: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
        let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::resolve(flags, &env, file)
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let flags = Flags { listen: Some("127.0.0.1:1".to_owned()), ..Flags::default() };
        let env = [("DISBURSE_LISTEN", "127.0.0.1:2"), ("DISBURSE_DATA_DIR", "from-env")];
        let file = "listen = '127.0.0.1:3'\ndata_dir = 'from-file'\ndatabase_url = 'postgres://file'";
        let config = resolve(&flags, &env, file).unwrap();
        assert_eq!((config.listen.value.port(), config.listen.origin), (1, Origin::Flag));
        assert_eq!((config.data_dir.value.to_str(), config.data_dir.origin), (Some("from-env"), Origin::Environment));
        assert_eq!(config.database_url, Setting { value: "postgres://file".to_owned(), origin: Origin::File });

        let config = resolve(&Flags::default(), &[], "").unwrap();
        assert_eq!((config.listen.value.to_string().as_str(), config.listen.origin), (LISTEN, Origin::Default));
        assert_eq!(config.database_url.value, "sqlite://./disburse-data/disburse.db");
    }

    #[test]
    fn limits_are_numbers_and_there_is_none_on_the_rate() {
        let config = resolve(&Flags::default(), &[], "").unwrap();
        assert_eq!((config.limits().connections_max, config.limits().body_max.as_secs()), (1024, 15));
        assert_eq!(config.bounds().rate_limit, None);
        let env = [("DISBURSE_CONNECTIONS_MAX", "7")];
        let config = resolve(&Flags::default(), &env, "rate_limit = 3\nrequest_seconds_max = 2").unwrap();
        assert_eq!((config.limits().connections_max, config.bounds().reading_max.as_secs()), (7, 2));
        assert_eq!(config.bounds().rate_limit.map(NonZeroU32::get), Some(3));
        assert_eq!((config.kept().jobs.as_secs(), config.kept().events.as_secs()), (7 * 86_400, 30 * 86_400));
        let config = resolve(&Flags::default(), &[("DISBURSE_EVENTS_DAYS_KEPT", "1")], "jobs_days_kept = 2").unwrap();
        assert_eq!((config.kept().jobs.as_secs(), config.kept().events.as_secs()), (2 * 86_400, 86_400));
        for wrong in ["0", "-1", "1.5", "many", "4294967296"] {
            let flags = Flags { rate_limit: Some(wrong.to_owned()), ..Flags::default() };
            let said = resolve(&flags, &[], "").err().unwrap().to_string();
            assert!(said.contains(&format!("`rate_limit` must be a whole number from 1 to 4294967295, not `{wrong}`")));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let text = |env: &[(&str, &str)], file| resolve(&Flags::default(), env, file).err().unwrap().to_string();
        assert!(text(&[("DISBURSE_LISTEN", "8080")], "").contains("no address with a port"));
        assert!(text(&[("DISBURSE_DATABASE_URL", "mysql://x")], "").contains("must be `sqlite://FILE`"));
        assert!(text(&[], "lisen = 'x'").contains("unknown field `lisen`"));
        assert!(text(&[("DISBURSE_ACCEPT_DATA_LOSS", "yes")], "").contains("`true` or `false`, not `yes`"));
        assert!(text(&[("DISBURSE_TLS_KEY", "key.pem")], "").contains("both `tls_certificate` and `tls_key`"));
        assert!(text(&[("DISBURSE_MODE", "prod")], "").contains("`test` or `live`, not `prod`"));
        assert!(text(&[("DISBURSE_SIMULATOR_URL", "https://x")], "").contains("must start with `http://`"));
        assert!(text(&[("DISBURSE_JWT_SECRET_FILE", "no/such/file")], "").contains("no/such/file"));
    }

    #[test]
    fn neither_the_secret_nor_a_password_is_printed() {
        let env = [("DISBURSE_JWT_SECRET", "s3cret"), ("DISBURSE_DATABASE_URL", "postgres://ann:pass@db:5432/x")];
        let config = resolve(&Flags::default(), &env, "").unwrap();
        assert_eq!(format!("{:?}", config.jwt_secret.as_ref().unwrap().value), "[secret]");
        assert_eq!(config.jwt_secret.as_ref().unwrap().value.expose(), "s3cret");
        assert_eq!(config.database_for_people(), "postgres://ann@db:5432/x");
    }
}
