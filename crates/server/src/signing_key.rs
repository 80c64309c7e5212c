//! The key that signs tokens: given, or made for development.

use crate::{
    config::Config,
    http::token::{TokenKey, WeakSecret},
};
use rand::TryRngCore;
use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The secret from there is too short.
    #[error("{0}: {1}")]
    Weak(String, WeakSecret),
    /// A development key would be reachable from elsewhere.
    #[error(
        "{0} can be reached from other machines, and the development key must not: set DISBURSE_JWT_SECRET \
         (at least 32 bytes) or DISBURSE_JWT_SECRET_FILE"
    )]
    NotLoopback(std::net::SocketAddr),
    /// The development key cannot be kept.
    #[error("the development key {0}: {1}")]
    File(PathBuf, io::Error),
    /// The system gives no random bits.
    #[error("no random bits for a development key: {0}")]
    Random(String),
}

/// The key of this deployment: the given secret, or on a loopback address a development key that is made on first
/// use and kept in the data folder.
///
/// # Errors
/// See [`SigningKeyError`].
pub fn signing_key(config: &Config) -> Result<TokenKey, SigningKeyError> {
    if let Some(secret) = &config.jwt_secret {
        let key = TokenKey::new(secret.value.expose().as_bytes());
        return key.map_err(|weak| SigningKeyError::Weak("the secret in the environment".to_owned(), weak));
    }
    if !config.listen.value.ip().is_loopback() {
        return Err(SigningKeyError::NotLoopback(config.listen.value));
    }
    let file = config.data_dir.value.join("development.key");
    let secret = read_or_make(&file)?;
    TokenKey::new(secret.trim().as_bytes()).map_err(|weak| SigningKeyError::Weak(file.display().to_string(), weak))
}

fn read_or_make(file: &Path) -> Result<String, SigningKeyError> {
    let failed = |error| SigningKeyError::File(file.to_owned(), error);
    match fs::read_to_string(file) {
        Ok(secret) => return Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut bytes = [0u8; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(|error| SigningKeyError::Random(error.to_string()))?;
    let secret = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    match publish(file, &secret) {
        Ok(()) => Ok(secret),
        // Another process of this machine was faster: its key is the key.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(file).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Whoever finds the file finds all of it: it is written under another name first.
fn publish(file: &Path, secret: &str) -> io::Result<()> {
    let draft = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut open| {
        open.write_all(secret.as_bytes())?;
        open.sync_all()
    });
    let published = written.and_then(|()| fs::hard_link(&draft, file));
    let _ = fs::remove_file(&draft);
    published
}
