//! A server's side of TLS. The unit tests include this file too.

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::certificates::{Authority, Made};

/// How the server differs from one that asks for nothing and speaks HTTP/2.
pub struct Manners<'a> {
    pub clients_of: Option<&'a Authority>,
    pub protocols: &'a [&'a str],
    pub version: &'static SupportedProtocolVersion,
}

impl Default for Manners<'_> {
    fn default() -> Self {
        Self {
            clients_of: None,
            protocols: &["h2"],
            version: &version::TLS13,
        }
    }
}

pub fn config(own: &Made, manners: &Manners<'_>) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[manners.version])
        .expect("ring has them");
    let builder = match manners.clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let ca = CertificateDer::from_pem_file(authority.pem()).expect("readable");
            roots.add(ca).expect("a CA");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("it has a CA"))
        }
    };
    let certificate = CertificateDer::from_pem_file(&own.certificate).expect("readable");
    let key = PrivateKeyDer::from_pem_file(&own.key).expect("readable");
    let mut config = builder
        .with_single_cert(vec![certificate], key)
        .expect("they go together");
    let protocols = manners.protocols.iter();
    config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}
