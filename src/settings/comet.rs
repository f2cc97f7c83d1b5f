//! How Comets are spoken to: with TLS or plainly, over TCP or Unix sockets.

use std::path::PathBuf;

use super::fleet::Source;
use super::{Caller, Config};

/// Whether this job can call through gRPC's own library.
const HAS_LIBRARY: bool = cfg!(feature = "grpcio");

/// What an address of a Unix socket begins with.
pub const UNIX: &str = "unix:";

/// Whom TLS trusts at the Comets, and who we are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CometTls {
    /// The CAs that sign the Comets' certificates; this system's without it.
    pub ca: Option<PathBuf>,
    /// The files of our certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name that every Comet's certificate has, in place of the one in its address.
    pub server_name: Option<String>,
    /// What errors call all that.
    pub wording: Wording,
}

/// Whether these are settings, or labels in a list of Comets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wording {
    #[default]
    Settings,
    Labels,
}

impl Wording {
    /// What one of them is called: `ca` is `comet-ca`, or the label ca.
    pub fn of(self, name: &str) -> String {
        match self {
            Self::Settings => format!("comet-{name}"),
            Self::Labels => format!("the label {name}"),
        }
    }
}

/// The settings as they were given, each by itself.
#[derive(Debug)]
pub struct GivenCometTls {
    pub is_on: bool,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub server_name: Option<String>,
    pub wording: Wording,
}

impl GivenCometTls {
    /// # Errors
    /// One is missing, or two don't go together: the error names them and what to do.
    pub fn together(self) -> Result<Option<CometTls>, String> {
        let of_tls = [
            ("ca", self.ca.is_some()),
            ("certificate", self.certificate.is_some()),
            ("key", self.key.is_some()),
            ("server-name", self.server_name.is_some()),
        ];
        let called = |name: &str| self.wording.of(name);
        if let (false, Some((name, _))) = (self.is_on, of_tls.iter().find(|(_, set)| *set)) {
            let (setting, tls) = (called(name), called("tls"));
            return Err(format!(
                "{setting} needs TLS to the Comets: set {tls} = on, or leave {setting} out"
            ));
        }
        let client = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                let (certificate, key) = (called("certificate"), called("key"));
                return Err(format!("{certificate} needs its key: set {key}"));
            }
            (None, Some(_)) => {
                let (certificate, key) = (called("certificate"), called("key"));
                return Err(format!("{key} needs its certificate: set {certificate}"));
            }
        };
        Ok(self.is_on.then_some(CometTls {
            ca: self.ca,
            client,
            server_name: self.server_name,
            wording: self.wording,
        }))
    }
}

/// Reads the name that certificates are to have.
///
/// # Errors
/// No certificate can have it.
pub fn server_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    match text {
        "" => Err("must not be empty".into()),
        _ if !text.chars().all(legal) => {
            Err("a name or an IP address is wanted, without a port, as comet.example.com".into())
        }
        _ => Ok(text.to_owned()),
    }
}

impl Config {
    /// Whether gRPC's library can't call these Comets, and why.
    pub fn needs_lean(&self) -> Option<&'static str> {
        if !HAS_LIBRARY {
            return Some("this job was built without gRPC's library");
        }
        let unix = self.comet.iter().any(is_at_socket);
        match (&self.comet_tls, unix) {
            (Some(_), _) => Some("comet-tls is on"),
            (None, true) => Some("a Comet is at a Unix socket"),
            (None, false) => None,
        }
    }

    pub(super) fn check_comets(&self) -> Result<(), String> {
        if self.caller == Caller::Grpcio && !HAS_LIBRARY {
            return Err(
                "caller = grpcio needs gRPC's library, which this job was built without (cargo's feature grpcio): set caller = auto or \
                 lean, or take a job that was built with it"
                    .into(),
            );
        }
        if let (Caller::Grpcio, Some(why)) = (self.caller, self.needs_lean()) {
            return Err(format!(
                "caller = grpcio calls Comets over plain TCP only, and {why}: set caller = auto or lean"
            ));
        }
        if self.comet_tls.is_some() && self.comet.iter().all(is_at_socket) {
            return Err(
                "comet-tls = on is of no use: job speaks plainly over Unix sockets, and no Comet is at a host:port. Leave comet-tls out"
                    .into(),
            );
        }
        Ok(())
    }
}

fn is_at_socket(source: &Source) -> bool {
    matches!(source, Source::Node(node) if node.address.starts_with(UNIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> GivenCometTls {
        GivenCometTls {
            is_on: true,
            ca: None,
            certificate: None,
            key: None,
            server_name: None,
            wording: Wording::Settings,
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(given().together(), Ok(Some(CometTls::default())));
        let off = GivenCometTls {
            is_on: false,
            ..given()
        };
        assert_eq!(off.together(), Ok(None));
        let file = || Some("f".into());
        for (wrong, says) in [
            (
                GivenCometTls {
                    certificate: file(),
                    ..given()
                },
                "set comet-key",
            ),
            (
                GivenCometTls {
                    key: file(),
                    ..given()
                },
                "set comet-certificate",
            ),
            (
                GivenCometTls {
                    is_on: false,
                    ca: file(),
                    ..given()
                },
                "comet-ca needs TLS to the Comets: set comet-tls = on",
            ),
        ] {
            let error = wrong.together().expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_server_name_has_no_port_and_no_spaces() {
        for right in ["comet.internal", " a ", "10.0.0.1", "::1"] {
            assert_eq!(server_name(right).as_deref(), Ok(right.trim()));
        }
        for wrong in ["", "a b", "https://a/", "[::1]:1", "名"] {
            assert!(server_name(wrong).is_err(), "{wrong}");
        }
    }
}
