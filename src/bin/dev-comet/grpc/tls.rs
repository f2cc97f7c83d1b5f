//! TLS for those who call: a certificate of our own, and the CA that theirs must come from, if they need one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// PEM files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and behind it those between it and its CA.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Callers need a certificate of this CA.
    pub client_ca: Option<PathBuf>,
}

impl Files {
    /// # Errors
    /// A sentence that names the flag and the file.
    pub fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot set up TLS: {error}"))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let wrong = |error: &dyn std::error::Error| {
                    format!("cannot use --tls-client-ca {}: {error}", file.display())
                };
                let mut roots = RootCertStore::empty();
                for certificate in certificates("--tls-client-ca", file)? {
                    roots.add(certificate).map_err(|error| wrong(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .map_err(|error| wrong(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("cannot read --tls-key {}: {error}", self.key.display()))?;
        let mut config = builder
            .with_single_cert(certificates("--tls-certificate", &self.certificate)?, key)
            .map_err(|error| {
                format!(
                    "--tls-certificate {} and --tls-key {} don't go together: {error}",
                    self.certificate.display(),
                    self.key.display()
                )
            })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(flag: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).and_then(|certificates| certificates.collect());
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{flag} {} has no certificate", file.display())),
        Err(error) => Err(format!("cannot read {flag} {}: {error}", file.display())),
    }
}
