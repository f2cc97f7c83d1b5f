//! TLS on connections of our own. The files are read for each of them.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::names::AnyName;
use super::{files, key, words};
use crate::base::pem;
use crate::kafka::finding::Finding;
use crate::settings::security::{ClientCertificate, Identification, Tls};

/// What a connection needs, by the files as they are now.
///
/// # Errors
/// A sentence that names the setting and the file.
pub fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up: {error}"))?;
    let roots = pem::roots("ssl-ca-location", tls.ca.as_deref(), "brokers'")?;
    let builder = match tls.identification {
        Identification::Https => builder.with_root_certificates(roots),
        Identification::None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName::new(roots, &provider))),
    };
    let Some(client) = &tls.client else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let certificates = files::certificates("ssl-certificate-location", &client.certificate)?;
    let key = key::key(client)?;
    let config = builder
        .with_client_auth_cert(certificates, key)
        .map_err(|error| {
            format!(
                "ssl-certificate-location {} and ssl-key-location {} don't go together: {error}",
                client.certificate.display(),
                client.key.display()
            )
        })?;
    Ok(Arc::new(config))
}

/// As `client_config`. Decrypting a key is made to take its time, so it is done aside.
async fn config_aside(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let is_slow = |client: &ClientCertificate| client.key_password.is_some();
    if !tls.client.as_ref().is_some_and(is_slow) {
        return client_config(tls);
    }
    let tls = tls.clone();
    let config = tokio::task::spawn_blocking(move || client_config(&tls)).await;
    config.map_err(|error| error.to_string())?
}

/// Begins TLS on a connection to `address`, whose certificate has to have its name, unless the settings take any.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn connect(
    address: &str,
    stream: TcpStream,
    tls: &Tls,
) -> Result<TlsStream<TcpStream>, Finding> {
    let connected = handshake(address, stream, tls).await;
    connected.map_err(|failed| match failed {
        Unsafe::Settings(why) => Finding::of_settings(why),
        Unsafe::Failed(error) => words::of_handshake(&error, tls.client.is_some()),
    })
}

/// Why TLS did not begin.
pub enum Unsafe {
    /// A setting, or its file, can't be used: which.
    Settings(String),
    Failed(io::Error),
}

/// As `connect`, for a server that need not be a broker.
///
/// # Errors
/// What is wrong.
pub async fn handshake(
    address: &str,
    stream: TcpStream,
    tls: &Tls,
) -> Result<TlsStream<TcpStream>, Unsafe> {
    let config = config_aside(tls).await.map_err(Unsafe::Settings)?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        Unsafe::Settings(format!("{host:?} is no name that a certificate can have"))
    })?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(Unsafe::Failed)
}
