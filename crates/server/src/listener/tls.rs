//! TLS towards callers: a certificate and its key, read once when the process starts.

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What is spoken above TLS, as a peer may choose it.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Its file cannot be read.
    #[error("the certificate {0}: {1}")]
    Certificate(PathBuf, Unreadable),
    /// The file of the key cannot be read.
    #[error("the key {0}: {1}")]
    Key(PathBuf, Unreadable),
    /// They are no pair.
    #[error("the certificate {0} and the key {1} cannot be used together: {2}")]
    Pair(PathBuf, PathBuf, rustls::Error),
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system does not give it to us.
    #[error(transparent)]
    Io(io::Error),
    /// It holds something else.
    #[error("there is none in PEM in this file")]
    Missing,
    /// It is broken.
    #[error("it is no good PEM: {0}")]
    Broken(pem::Error),
}

impl From<pem::Error> for Unreadable {
    fn from(error: pem::Error) -> Self {
        match error {
            pem::Error::Io(error) => Self::Io(error),
            pem::Error::NoItemsFound => Self::Missing,
            other => Self::Broken(other),
        }
    }
}

/// A certificate and its key, ready to be shown. Cheap to clone.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Reads both files: the certificate with those that vouch for it, and its key.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let bad_certificate = |why: pem::Error| TlsError::Certificate(certificate.to_owned(), why.into());
        let chain = CertificateDer::pem_file_iter(certificate).map_err(bad_certificate)?;
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(bad_certificate)?;
        if chain.is_empty() {
            return Err(bad_certificate(pem::Error::NoItemsFound));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| TlsError::Key(key.to_owned(), why.into()))?;
        let pair = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret));
        let mut pair = pair.map_err(|why| TlsError::Pair(certificate.to_owned(), key.to_owned(), why))?;
        pair.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self(TlsAcceptor::from(Arc::new(pair))))
    }

    /// Shakes hands with a peer.
    ///
    /// # Errors
    /// If it speaks something else, or breaks off.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        self.0.accept(stream).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let [ours, other] = [0, 1].map(|_| rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap());
        let certificate = file("ours.crt", &ours.cert.pem());
        let key = file("ours.key", &ours.signing_key.serialize_pem());
        assert!(Tls::read(&certificate, &key).is_ok());

        let empty = file("empty.pem", "");
        let broken = file("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
        let others = file("other.key", &other.signing_key.serialize_pem());
        let nowhere = folder.path().join("nowhere.pem");
        for (certificate, key, told) in [
            (&nowhere, &key, ["the certificate ", "nowhere.pem: ", "No such file"]),
            (&certificate, &nowhere, ["the key ", "nowhere.pem: ", "No such file"]),
            (&empty, &key, ["the certificate ", "empty.pem: ", "none in PEM"]),
            (&certificate, &empty, ["the key ", "empty.pem: ", "none in PEM"]),
            (&broken, &key, ["the certificate ", "broken.pem: ", "no good PEM"]),
            (&key, &key, ["the certificate ", "ours.key: ", "none in PEM"]),
            (&certificate, &certificate, ["the key ", "ours.crt: ", "none in PEM"]),
            (&certificate, &others, ["ours.crt", "other.key", "cannot be used together"]),
        ] {
            let said = Tls::read(certificate, key).err().expect("it is refused").to_string();
            assert!(told.iter().all(|part| said.contains(part)), "{said}");
            assert!(!said.contains("PRIVATE"), "{said}");
        }
    }
}
