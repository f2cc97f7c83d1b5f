//! TLS to Comets: whom job trusts there, and who it is. The files of that are read at the start, and again when they change (`watch`).

#[cfg(test)]
#[path = "../../../tests/e2e/support/certificates.rs"]
pub mod certificates;
#[cfg(test)]
#[path = "../../../tests/e2e/support/tls_server.rs"]
pub mod server;
mod watch;
pub mod words;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;

use crate::base::{pem, x509};
use crate::settings::CometTls;
use watch::Stamp;
pub use watch::Watch;

/// What a server that speaks HTTP/2 chooses (ALPN).
const H2: &[u8] = b"h2";

/// For all connections of a process.
pub struct Tls {
    settings: Arc<CometTls>,
    /// Of the files that were read first.
    stamps: Vec<Stamp>,
    /// By the files as they were read last.
    current: Mutex<Arc<ClientConfig>>,
}

/// What one connection needs.
#[derive(Clone)]
pub struct Secured {
    pub config: Arc<ClientConfig>,
    /// Whose certificate it has to be.
    pub name: ServerName<'static>,
    settings: Arc<CometTls>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that names the setting and its file.
    pub fn load(settings: &CometTls) -> Result<Tls, String> {
        // What changes while they are read is read again.
        let stamps = watch::stamps(settings);
        let config = config(settings)?;
        Ok(Tls {
            settings: Arc::new(settings.clone()),
            stamps,
            current: Mutex::new(Arc::new(config)),
        })
    }

    /// For a connection to a Comet with this name or IP address.
    ///
    /// # Errors
    /// No certificate can have that name.
    pub fn secured(&self, host: &str) -> Result<Secured, String> {
        let name = self.settings.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            let setting = self.settings.wording.of("server-name");
            format!(
                "TLS: {name:?} is no name that a certificate can have: set {setting} to the one that the Comets' certificates \
                 have"
            )
        })?;
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Secured {
            config: current.clone(),
            name,
            settings: self.settings.clone(),
        })
    }

    /// The name that all Comets have in place of their own.
    pub fn server_name(&self) -> Option<&str> {
        self.settings.server_name.as_deref()
    }

    /// Reads the files again. New connections use what is in them.
    fn read_again(&self) -> Result<(), String> {
        let config = Arc::new(config(&self.settings)?);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }
}

impl Secured {
    /// What is wrong, and what to do.
    pub fn said(&self, error: &rustls::Error) -> String {
        words::said(error, &self.settings, &self.name)
    }

    /// Whether the server has chosen HTTP/2.
    ///
    /// # Errors
    /// It hasn't: what to do.
    pub fn chose_http2(&self, protocol: Option<&[u8]>) -> Result<(), String> {
        match protocol {
            Some(H2) => Ok(()),
            _ => Err(words::NO_HTTP2.into()),
        }
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS to {:?}", self.name)
    }
}

/// What is known of a Comet's certificate.
#[derive(Clone, Copy, Debug)]
pub struct Certificate {
    pub expires: Option<Timestamp>,
}

impl Certificate {
    pub fn of(der: &[u8]) -> Certificate {
        Certificate {
            expires: x509::expires(der),
        }
    }
}

/// Whether the files can be used.
///
/// # Errors
/// A sentence that names the setting and its file.
pub fn check_files(settings: &CometTls) -> Result<(), String> {
    config(settings).map(drop)
}

/// Until when our own certificate is valid, if there is one.
///
/// # Errors
/// A sentence that names the setting and its file.
pub fn own_expires(settings: &CometTls) -> Result<Option<Timestamp>, String> {
    let Some((certificate, _)) = &settings.client else {
        return Ok(None);
    };
    let all = pem::certificates(&settings.wording.of(CERTIFICATE), certificate)?;
    Ok(all.first().and_then(|own| x509::expires(own)))
}

const CA: &str = "ca";
const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

fn config(settings: &CometTls) -> Result<ClientConfig, String> {
    let called = |name| settings.wording.of(name);
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up: {error}"))?
        .with_root_certificates(pem::roots(&called(CA), settings.ca.as_deref(), "Comets'")?);
    let mut config = match &settings.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let both = (
                pem::certificates(&called(CERTIFICATE), certificate)?,
                pem::key(&called(KEY), key)?,
            );
            builder
                .with_client_auth_cert(both.0, both.1)
                .map_err(|error| {
                    format!(
                        "{} {} and {} {} don't go together: {error}",
                        called(CERTIFICATE),
                        certificate.display(),
                        called(KEY),
                        key.display()
                    )
                })?
        }
    };
    config.alpn_protocols = vec![H2.to_vec()];
    // Connections last, and are few: each of them looks at the certificate as it is then.
    config.resumption = Resumption::disabled();
    Ok(config)
}
