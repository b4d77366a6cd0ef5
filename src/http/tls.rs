//! TLS of the service's own, by rustls, from a certificate and a key in files.
//!
//! It offers HTTP/1.1 and nothing else. actix-web sets no bound on the streams of an HTTP/2 connection, so that one connection
//! could hold any number of requests, answers nobody reads included, past every limit that counts connections. Whoever wants
//! HTTP/2 puts a proxy in front.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::HttpError;

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and the ones above it, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Reads both.
    pub(super) fn load(&self) -> Result<ServerConfig, HttpError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|e| unusable(&self.certificate, e))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unusable(&self.key, e))?;
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&self.certificate, e))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|e| unusable(&self.certificate, e))
    }
}

fn unusable(file: &Path, cause: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::Tls {
        file: file.to_owned(),
        cause: Box::new(cause),
    }
}
