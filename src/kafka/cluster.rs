//! The cluster: its brokers, and how they are spoken to. Every connection to Kafka is made from this, krafka's and ours.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use krafka::auth::{AuthConfig, OAuthBearerToken, TlsConfig, TlsIdentity};
use krafka::error::KrafkaError;
use krafka::{Kafka, KafkaBuilder, ProxyConfig};

use super::secure::{self, Relay, files, key, token};
use super::trouble::Trouble;
use crate::base::limits;
use crate::message::Topics;
use crate::settings::security::{ClientCertificate, Mechanism, Tls};
use crate::settings::{Config, Security};

/// How long one request to a broker may take. A fetch or a join that the broker holds back on purpose counts apart.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For so long krafka takes for true what a broker said of a topic. A partition that is added has to be seen soon.
pub const METADATA_AGE: Duration = Duration::from_secs(2);
/// How long closing a client may take of which nothing is wanted any more.
pub const CLOSING: Duration = Duration::from_millis(100);
/// How long somebody who typed a command waits for each answer.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(8);

/// How often krafka reads the certificates again, for connections that it makes from then on.
const READ_CERTIFICATES_EVERY: Duration = Duration::from_secs(10);

/// Brokers, and what a connection to them needs. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    brokers: Vec<String>,
    security: Security,
    /// Where krafka can't do TLS as the settings say; or why there is none.
    relay: OnceLock<Result<Relay, String>>,
    client_id: String,
    client_rack: Option<String>,
    /// What errors speak of.
    topics: Topics,
    group: String,
}

impl Cluster {
    /// The cluster that the settings name.
    pub fn of(config: &Config) -> Cluster {
        Cluster(Arc::new(Inner {
            brokers: config.brokers.clone(),
            security: config.security.clone(),
            relay: OnceLock::new(),
            client_id: config.client_id.clone(),
            client_rack: config.client_rack.clone(),
            topics: config.topics.clone(),
            group: config.group.clone(),
        }))
    }

    /// Brokers with plain listeners, and no other setting.
    pub fn plain(brokers: &[&str]) -> Cluster {
        Cluster::secured(brokers, Security::default())
    }

    pub(super) fn secured(brokers: &[&str], security: Security) -> Cluster {
        Cluster(Arc::new(Inner {
            brokers: brokers.iter().map(|&broker| broker.to_owned()).collect(),
            security,
            relay: OnceLock::new(),
            client_id: "job".into(),
            client_rack: None,
            topics: Topics::new(["my-topic".to_owned()]),
            group: "my_consumer_group".into(),
        }))
    }

    /// Reads the files that the settings name, as each connection does.
    ///
    /// # Errors
    /// A sentence on the first that can't be used.
    pub fn check_files(&self) -> Result<(), String> {
        let Security { tls, sasl } = self.security();
        if let Some(tls) = tls {
            secure::client_config(tls)?;
        }
        if let Some(sasl) = sasl {
            files::password(sasl)?;
        }
        Ok(())
    }

    /// The bootstrap brokers, `host:port` each.
    pub fn brokers(&self) -> &[String] {
        &self.0.brokers
    }

    /// How a script of Kafka reaches them. A secured cluster asks it who it is, too.
    pub(super) fn for_scripts(&self) -> String {
        let brokers = self.joined();
        match self.0.security.is_plain() {
            true => format!("--bootstrap-server {brokers}"),
            false => format!("--bootstrap-server {brokers} --command-config ADMIN.properties"),
        }
    }

    /// The brokers, with commas between them.
    pub fn joined(&self) -> String {
        self.0.brokers.join(",")
    }

    pub(super) fn security(&self) -> &Security {
        &self.0.security
    }

    /// Whether we have a client certificate.
    pub(super) fn shows_certificate(&self) -> bool {
        let tls = self.0.security.tls.as_ref();
        tls.is_some_and(|tls| tls.client.is_some())
    }

    pub(super) fn client_id(&self) -> &str {
        &self.0.client_id
    }

    pub(super) fn client_rack(&self) -> Option<&str> {
        self.0.client_rack.as_deref()
    }

    pub(super) fn topics(&self) -> &Topics {
        &self.0.topics
    }

    pub(super) fn group(&self) -> &str {
        &self.0.group
    }

    /// Whether the fetchers may read over plain connections, from the leader.
    pub(super) fn suits_classic(&self) -> bool {
        self.0.security.is_plain() && self.0.client_rack.is_none()
    }

    /// Connects krafka.
    ///
    /// # Errors
    /// When none of the brokers answers, or a file of the settings can't be used.
    pub async fn connect(&self) -> Result<Kafka, KrafkaError> {
        self.builder(self.client_id())?
            .request_timeout(REQUEST_TIMEOUT)
            .connect()
            .await
    }

    /// As `connect`, for a command that somebody waits for.
    ///
    /// # Errors
    /// Within [`COMMAND_TIMEOUT`], and some seconds to find out why.
    pub async fn connect_for_command(&self, command: &str) -> Result<Kafka, Trouble> {
        let connecting = async {
            self.builder(&format!("{}-{command}", self.client_id()))?
                .request_timeout(COMMAND_TIMEOUT)
                .connect()
                .await
        };
        let connected = tokio::time::timeout(COMMAND_TIMEOUT, connecting).await;
        match connected.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            Ok(kafka) => Ok(kafka),
            Err(error) => Err(Trouble::with_connecting(self, &error).await),
        }
    }

    fn builder(&self, client_id: &str) -> Result<KafkaBuilder, KrafkaError> {
        let builder = Kafka::builder(self.joined())
            .client_id(client_id)
            .connect_timeout(CONNECT_TIMEOUT)
            .metadata_max_age(METADATA_AGE);
        let builder = match self.relay().map_err(KrafkaError::config)? {
            None => builder,
            Some(relay) => builder.proxy(ProxyConfig::with_credentials(
                relay.address(),
                "job",
                relay.password().reveal(),
            )),
        };
        Ok(match self.auth().map_err(KrafkaError::config)? {
            None => builder,
            Some(auth) => builder
                .security(auth)
                .tls_reload_interval(Some(READ_CERTIFICATES_EVERY)),
        })
    }

    /// The relay that does TLS for krafka, where it doesn't do that itself.
    fn relay(&self) -> Result<Option<&Relay>, String> {
        let tls = match &self.security().tls {
            Some(tls) if self.security().takes_any_name() => tls,
            _ => return Ok(None),
        };
        let started = self.0.relay.get_or_init(|| {
            Relay::start(tls).map_err(|error| {
                format!(
                    "no relay for TLS could be started: {}",
                    limits::explained(&error)
                )
            })
        });
        started.as_ref().map(Some).map_err(Clone::clone)
    }

    /// What krafka needs, by the files as they are now. krafka has the certificates' paths, and the password itself.
    fn auth(&self) -> Result<Option<AuthConfig>, String> {
        let Security { tls, sasl } = self.security();
        self.check_files()?;
        let of_krafka = tls.as_ref().filter(|_| !self.security().takes_any_name());
        let tls = of_krafka.map(tls_config);
        let Some(sasl) = sasl else {
            return Ok(tls.map(AuthConfig::ssl));
        };
        let password = files::password(sasl)?;
        let (name, password) = (sasl.username.as_str(), password.reveal());
        let auth = match sasl.mechanism {
            Mechanism::Plain => AuthConfig::sasl_plain(name, password),
            Mechanism::ScramSha256 => AuthConfig::sasl_scram_sha256(name, password),
            Mechanism::ScramSha512 => AuthConfig::sasl_scram_sha512(name, password),
            Mechanism::OauthBearer => {
                token::renew(self.security());
                let security = self.security().clone();
                AuthConfig::sasl_oauthbearer_provider(move || bearer(security.clone()))
            }
        };
        Ok(Some(match tls {
            Some(tls) => auth.with_tls(tls),
            None => auth,
        }))
    }
}

fn tls_config(tls: &Tls) -> TlsConfig {
    let path = |path: &Path| path.display().to_string();
    let config = TlsConfig::new();
    let config = match &tls.ca {
        Some(ca) => config.with_ca_cert(path(ca)),
        None => config.with_native_roots(),
    };
    match &tls.client {
        Some(client) if client.key_password.is_some() => {
            let client = client.clone();
            config.with_client_identity_provider(move || identity(client.clone()))
        }
        Some(client) => config.with_client_cert(path(&client.certificate), path(&client.key)),
        None => config,
    }
}

/// A token for a new connection of krafka.
async fn bearer(security: Security) -> Result<OAuthBearerToken, KrafkaError> {
    let failed = |finding| KrafkaError::network(io::Error::other(finding));
    match token::token(&security).await.map_err(failed)? {
        Some(token) => Ok(OAuthBearerToken::new(token.value.reveal())),
        None => Err(KrafkaError::config("there is no token endpoint")),
    }
}

/// The client certificate and its decrypted key, by the files as they are now. krafka asks for it as often as it reads
/// files. Decrypting is made to take its time, so it is done aside.
async fn identity(client: ClientCertificate) -> Result<TlsIdentity, KrafkaError> {
    let reading = tokio::task::spawn_blocking(move || {
        let certificates = files::read("ssl-certificate-location", &client.certificate)?;
        Ok::<_, String>(TlsIdentity::from_pem(certificates, key::pem(&client)?))
    });
    match reading.await {
        Ok(read) => read.map_err(KrafkaError::config),
        Err(error) => Err(KrafkaError::config(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::security::{Password, Sasl, Secret};

    fn with_password(password: Password) -> Cluster {
        let sasl = Sasl {
            mechanism: Mechanism::ScramSha512,
            username: "job".into(),
            password,
            endpoint: None,
        };
        let security = Security {
            tls: None,
            sasl: Some(sasl),
        };
        Cluster::secured(&["a:1"], security)
    }

    #[test]
    fn nothing_shows_the_password() {
        let cluster = with_password(Password::Variable(Secret::new("hush")));
        let auth = cluster.auth().expect("it is complete");
        let shown = format!("{cluster:?} {auth:?}");
        assert!(shown.contains("job") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn the_password_is_read_each_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        let cluster = with_password(Password::File(path.clone()));
        let error = cluster.check_files().expect_err("there is no file");
        assert!(error.contains("sasl-password-file"), "{error}");
        for password in ["first", "second"] {
            std::fs::write(&path, password).expect("written");
            let auth = cluster.auth().expect("it is complete").expect("SASL");
            let scram = auth.scram_credentials().expect("SCRAM");
            let debugged = format!("{scram:?}");
            assert!(!debugged.contains(password), "{debugged}");
            assert_eq!(scram.password.as_str(), password);
        }
    }

    #[test]
    fn a_plain_cluster_needs_nothing() {
        let cluster = Cluster::plain(&["a:1", "b:2"]);
        assert_eq!(cluster.joined(), "a:1,b:2");
        assert!(cluster.suits_classic() && cluster.check_files().is_ok());
        assert!(cluster.auth().expect("nothing is missing").is_none());
    }
}
