//! How Kafka is spoken to: with TLS, with SASL, with both, or plainly.

mod oauth;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};

pub use oauth::{SECRET_VARIABLE, TokenEndpoint, Url, url};

/// The environment variable with the password. There is no such flag, which everybody would see in the list of
/// processes, and no such key of the file.
pub const PASSWORD_VARIABLE: &str = "JOB_SASL_PASSWORD";

/// What somebody accepts who takes certificates with any name, and what to do about it.
pub const ANY_NAME: &str = "ssl-endpoint-identification-algorithm = none: who has any certificate of a trusted CA and \
                            stands between job and Kafka can read and change everything";
pub const GIVE_A_NAME: &str =
    "Give the brokers certificates with their names (subjectAltName), and set https";

/// What a secured connection needs. With neither part, it is a plain one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Security {
    pub tls: Option<Tls>,
    pub sasl: Option<Sasl>,
}

impl Security {
    /// Whether connections are plain.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && self.sasl.is_none()
    }

    /// Whether TLS takes a broker's certificate that has another name.
    pub fn takes_any_name(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.identification == Identification::None)
    }

    /// The value of security-protocol.
    pub fn protocol(&self) -> Protocol {
        match (&self.tls, &self.sasl) {
            (None, None) => Protocol::Plaintext,
            (Some(_), None) => Protocol::Ssl,
            (None, Some(_)) => Protocol::SaslPlaintext,
            (Some(_), Some(_)) => Protocol::SaslSsl,
        }
    }
}

/// Whom TLS trusts, and who we are there. The files are read for each connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// The CAs that sign brokers' certificates; this system's without it.
    pub ca: Option<PathBuf>,
    pub client: Option<ClientCertificate>,
    pub identification: Identification,
}

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The file of its password, where it is encrypted.
    pub key_password: Option<PathBuf>,
}

/// Whether a broker's certificate has to have the broker's name. It has to be from a CA that we trust either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identification {
    #[default]
    Https,
    None,
}

/// Who we are to SASL.
#[derive(Clone, Debug, PartialEq)]
pub struct Sasl {
    pub mechanism: Mechanism,
    /// For OAUTHBEARER, the id of the OAuth client.
    pub username: String,
    /// For OAUTHBEARER, the client's secret.
    pub password: Password,
    /// For OAUTHBEARER alone.
    pub endpoint: Option<TokenEndpoint>,
}

/// Where the password is.
#[derive(Clone, Debug, PartialEq)]
pub enum Password {
    /// Read for each connection.
    File(PathBuf),
    Variable(Secret),
}

/// Text that nothing shows.
#[derive(Clone, PartialEq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: &str) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the connection alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What a listener of a broker speaks, as Kafka names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Plaintext => "PLAINTEXT",
            Protocol::Ssl => "SSL",
            Protocol::SaslPlaintext => "SASL_PLAINTEXT",
            Protocol::SaslSsl => "SASL_SSL",
        })
    }
}

/// Reads the name of a protocol.
pub fn protocol() -> impl TypedValueParser<Value = Protocol> {
    let names = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    PossibleValuesParser::new(names).map(|name| match name.to_ascii_uppercase().as_str() {
        "SSL" => Protocol::Ssl,
        "SASL_PLAINTEXT" => Protocol::SaslPlaintext,
        "SASL_SSL" => Protocol::SaslSsl,
        _ => Protocol::Plaintext,
    })
}

/// How SASL shows who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    OauthBearer,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::OauthBearer => "OAUTHBEARER",
        })
    }
}

/// Reads the name of a mechanism.
pub fn mechanism() -> impl TypedValueParser<Value = Mechanism> {
    let names = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
    PossibleValuesParser::new(names).map(|name| match name.to_ascii_uppercase().as_str() {
        "SCRAM-SHA-256" => Mechanism::ScramSha256,
        "SCRAM-SHA-512" => Mechanism::ScramSha512,
        "OAUTHBEARER" => Mechanism::OauthBearer,
        _ => Mechanism::Plain,
    })
}

/// Reads the path of a file.
pub fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("the path of a file is missing".into()),
        path => Ok(path.into()),
    }
}

/// Reads librdkafka's setting of that name.
pub fn identification() -> impl TypedValueParser<Value = Identification> {
    PossibleValuesParser::new(["https", "none"]).map(|name| {
        match name.to_ascii_lowercase().as_str() {
            "none" => Identification::None,
            _ => Identification::Https,
        }
    })
}

/// The settings as they were given, each by itself.
#[derive(Debug)]
pub struct Given {
    pub protocol: Protocol,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub key_password: Option<PathBuf>,
    pub identification: Identification,
    pub mechanism: Option<Mechanism>,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// What [`PASSWORD_VARIABLE`] holds.
    pub password: Option<Secret>,
    pub oauth: GivenOauth,
}

/// Those of OAUTHBEARER.
#[derive(Debug, Default)]
pub struct GivenOauth {
    pub url: Option<Url>,
    pub client_id: Option<String>,
    pub secret_file: Option<PathBuf>,
    /// What [`SECRET_VARIABLE`] holds.
    pub secret: Option<Secret>,
    pub scope: Option<String>,
}

impl GivenOauth {
    /// The settings' names, and whether each is set.
    fn set(&self) -> [(&'static str, bool); 5] {
        [
            ("sasl-oauthbearer-token-endpoint-url", self.url.is_some()),
            ("sasl-oauthbearer-client-id", self.client_id.is_some()),
            (
                "sasl-oauthbearer-client-secret-file",
                self.secret_file.is_some(),
            ),
            (SECRET_VARIABLE, self.secret.is_some()),
            ("sasl-oauthbearer-scope", self.scope.is_some()),
        ]
    }

    fn together(self) -> Result<Sasl, String> {
        let mechanism = Mechanism::OauthBearer;
        let missing =
            |setting: &str| format!("sasl-mechanism = {mechanism} needs {setting}: set it");
        let url = self
            .url
            .ok_or_else(|| missing("sasl-oauthbearer-token-endpoint-url"))?;
        let username = self
            .client_id
            .ok_or_else(|| missing("sasl-oauthbearer-client-id"))?;
        let secret = one_of(
            ("sasl-oauthbearer-client-secret-file", self.secret_file),
            (SECRET_VARIABLE, self.secret),
        )?;
        let password = secret.ok_or_else(|| {
            format!(
                "sasl-oauthbearer-client-id = {username:?} needs a secret: put it into a file and set \
                 sasl-oauthbearer-client-secret-file, or set {SECRET_VARIABLE}"
            )
        })?;
        Ok(Sasl {
            mechanism,
            username,
            password,
            endpoint: Some(TokenEndpoint {
                url,
                scope: self.scope,
            }),
        })
    }
}

/// Where a secret is, by a setting or by a variable.
fn one_of(
    (setting, file): (&str, Option<PathBuf>),
    (variable, secret): (&str, Option<Secret>),
) -> Result<Option<Password>, String> {
    match (file, secret) {
        (Some(file), None) => Ok(Some(Password::File(file))),
        (None, Some(secret)) => Ok(Some(Password::Variable(secret))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(format!(
            "{setting} and {variable} are both set: keep one of them"
        )),
    }
}

impl Given {
    /// # Errors
    /// One is missing, or two don't go together: the error names them and what to do.
    pub fn together(self) -> Result<Security, String> {
        use Protocol::{SaslPlaintext, SaslSsl, Ssl};
        let has_tls = matches!(self.protocol, Ssl | SaslSsl);
        let has_sasl = matches!(self.protocol, SaslPlaintext | SaslSsl);
        let protocol = self.protocol;
        let needs = |setting: &str, what: &str, names: &str| {
            Err(format!(
                "{setting} needs {what}, which security-protocol = {protocol} doesn't have: set security-protocol = {names}, \
                 or leave {setting} out"
            ))
        };
        let of_tls = [
            ("ssl-ca-location", self.ca.is_some()),
            ("ssl-certificate-location", self.certificate.is_some()),
            ("ssl-key-location", self.key.is_some()),
            ("ssl-key-password-file", self.key_password.is_some()),
            (
                "ssl-endpoint-identification-algorithm",
                self.identification == Identification::None,
            ),
        ];
        let of_sasl = [
            ("sasl-mechanism", self.mechanism.is_some()),
            ("sasl-username", self.username.is_some()),
            ("sasl-password-file", self.password_file.is_some()),
            (PASSWORD_VARIABLE, self.password.is_some()),
        ];
        if let Some((setting, _)) = of_tls.iter().find(|(_, set)| *set && !has_tls) {
            let names = if has_sasl {
                "SASL_SSL"
            } else {
                "SSL or SASL_SSL"
            };
            return needs(setting, "TLS", names);
        }
        let of_oauth = self.oauth.set();
        let mut any_sasl = of_sasl.iter().chain(&of_oauth);
        if let Some((setting, _)) = any_sasl.find(|(_, set)| *set && !has_sasl) {
            let names = if has_tls {
                "SASL_SSL"
            } else {
                "SASL_SSL or SASL_PLAINTEXT"
            };
            return needs(setting, "SASL", names);
        }
        let client = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate {
                certificate,
                key,
                key_password: self.key_password,
            }),
            (None, None) if self.key_password.is_some() => {
                return Err("ssl-key-password-file needs its key: set ssl-key-location".into());
            }
            (None, None) => None,
            (Some(_), None) => {
                return Err("ssl-certificate-location needs its key: set ssl-key-location".into());
            }
            (None, Some(_)) => {
                return Err(
                    "ssl-key-location needs its certificate: set ssl-certificate-location".into(),
                );
            }
        };
        let tls = has_tls.then_some(Tls {
            ca: self.ca,
            client,
            identification: self.identification,
        });
        if !has_sasl {
            return Ok(Security { tls, sasl: None });
        }
        let Some(mechanism) = self.mechanism else {
            return Err(format!(
                "security-protocol = {protocol} needs sasl-mechanism: set it to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, \
                 as the broker has it"
            ));
        };
        // Those of another mechanism would be taken for what is in use.
        let of_others: &[_] = match mechanism {
            Mechanism::OauthBearer => &of_sasl[1..],
            _ => &of_oauth,
        };
        if let Some((setting, _)) = of_others.iter().find(|(_, set)| *set) {
            return Err(format!(
                "{setting} is of no use to sasl-mechanism = {mechanism}: leave it out, or set another mechanism"
            ));
        }
        if mechanism == Mechanism::OauthBearer {
            let sasl = Some(self.oauth.together()?);
            return Ok(Security { tls, sasl });
        }
        let Some(username) = self.username else {
            return Err(format!(
                "sasl-mechanism = {mechanism} needs sasl-username: set it"
            ));
        };
        let password = one_of(
            ("sasl-password-file", self.password_file),
            (PASSWORD_VARIABLE, self.password),
        )?;
        let Some(password) = password else {
            return Err(format!(
                "sasl-username = {username:?} needs a password: put it into a file and set sasl-password-file, or set \
                 {PASSWORD_VARIABLE}"
            ));
        };
        let sasl = Some(Sasl {
            mechanism,
            username,
            password,
            endpoint: None,
        });
        Ok(Security { tls, sasl })
    }
}
