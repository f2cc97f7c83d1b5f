//! What is wrong where TLS or SASL fails, and which setting to look at.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::base::text::escape_first;
use crate::base::x509::{names, time};
use crate::kafka::finding::{Finding, without_number};
use crate::settings::security::{Mechanism, Sasl};

/// How much of what a broker says is shown, in bytes.
const SHOWN: usize = 200;

const CA: &str = "Set ssl-ca-location to the PEM file of the CA that signed the broker's certificate; \
                  openssl s_client -showcerts -connect HOST:PORT shows that certificate";
const NAME: &str = "Reach the broker by a name that its certificate has (brokers, and advertised.listeners of the broker), \
                    or give it a certificate with this name";
const CLIENT: &str = "Set ssl-certificate-location and ssl-key-location to a certificate that a CA in the broker's truststore \
                      signed, and to its key";
const LOGIN: &str = "Check sasl-username, the password (sasl-password-file or JOB_SASL_PASSWORD) and sasl-mechanism; a broker knows \
         the users of each mechanism apart";
const TOKEN: &str = "Check what the broker expects of a token (issuer, audience, scope), and its log; sasl-oauthbearer-scope is \
                     what job asks for";
const PROTOCOL: &str = "Check security-protocol (SSL and SASL_SSL are with TLS, PLAINTEXT and SASL_PLAINTEXT without), and \
                        the port in brokers";

/// The TLS error inside of another one.
pub fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<TlsError>() {
            return Some(tls);
        }
        // An io::Error passes over what it wraps when it is asked for its source.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// Of an error that came up while TLS began.
pub fn of_handshake(error: &io::Error, shown: bool) -> Finding {
    match tls_error(error) {
        Some(error) => of_tls(error, shown),
        None => Finding::new(
            format!(
                "the connection ended while TLS began ({})",
                without_number(&error.to_string())
            ),
            PROTOCOL,
        ),
    }
}

/// Of what is wrong with TLS. `shown`: whether we have a client certificate.
pub fn of_tls(error: &TlsError, shown: bool) -> Finding {
    match error {
        TlsError::InvalidCertificate(error) => of_certificate(error),
        TlsError::AlertReceived(alert) => of_alert(*alert, shown),
        TlsError::InvalidMessage(_) => {
            Finding::new("what answers there does not speak TLS".into(), PROTOCOL)
        }
        other => Finding::new(format!("TLS failed: {other}"), PROTOCOL),
    }
}

fn of_certificate(error: &CertificateError) -> Finding {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Finding::new(
            "the broker's certificate is not from a CA that job trusts".into(),
            CA,
        ),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => Finding::new(
            format!(
                "the broker's certificate is for {}, not for {}",
                names(presented),
                expected.to_str()
            ),
            NAME,
        ),
        CertificateError::NotValidForName => {
            Finding::new("the broker's certificate is for another name".into(), NAME)
        }
        CertificateError::ExpiredContext { not_after, .. } => Finding::new(
            format!("the broker's certificate expired at {}", time(*not_after)),
            "Renew the broker's certificate; or is this machine's clock wrong?",
        ),
        CertificateError::Expired => Finding::new(
            "the broker's certificate expired".into(),
            "Renew the broker's certificate; or is this machine's clock wrong?",
        ),
        CertificateError::NotValidYetContext { not_before, .. } => Finding::new(
            format!(
                "the broker's certificate is not valid before {}",
                time(*not_before)
            ),
            "Is the clock of this machine wrong?",
        ),
        other => Finding::new(
            format!("the broker's certificate can't be trusted: {other}"),
            CA,
        ),
    }
}

/// The broker ended TLS, and said why.
fn of_alert(alert: AlertDescription, shown: bool) -> Finding {
    match alert {
        AlertDescription::CertificateRequired => {
            Finding::new("the broker wants a client certificate".into(), CLIENT)
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::AccessDenied => {
            let which = if shown { "another" } else { "a" };
            Finding::new(
                format!("the broker wants {which} client certificate (TLS alert {alert:?})"),
                CLIENT,
            )
        }
        AlertDescription::ProtocolVersion => Finding::new(
            "the broker speaks neither TLS 1.2 nor 1.3".into(),
            "Allow one of them in the broker's ssl.enabled.protocols",
        ),
        other => Finding::new(
            format!("the broker ended TLS (alert {other:?})"),
            "Does the broker want a client certificate (ssl-certificate-location, ssl-key-location)? Its log says more",
        ),
    }
}

/// The broker doesn't know this mechanism, and named those that it knows.
pub fn no_mechanism(mechanism: Mechanism, known: &[String]) -> Finding {
    let known = escape_first(known.join(", ").as_bytes(), SHOWN);
    match known.as_str() {
        "" => no_sasl(),
        known => Finding::new(
            format!("the broker's listener has no sasl-mechanism {mechanism}, only {known}"),
            "Set sasl-mechanism to one that it has (sasl.enabled.mechanisms of the broker)",
        ),
    }
}

/// The listener asks for no SASL.
pub fn no_sasl() -> Finding {
    Finding::new(
        "the broker's listener asks for no SASL".into(),
        "Set security-protocol to PLAINTEXT or SSL, or take the port of a listener with SASL in brokers",
    )
}

/// The broker didn't let this user in.
pub fn no_login(sasl: &Sasl, said: &str) -> Finding {
    Finding::new(
        format!(
            "the broker doesn't let {} in: {}",
            escape_first(sasl.username.as_bytes(), SHOWN),
            escape_first(said.as_bytes(), SHOWN)
        ),
        match sasl.mechanism {
            Mechanism::OauthBearer => TOKEN,
            _ => LOGIN,
        },
    )
}

/// Of what krafka says of SASL, in its own words.
pub fn of_krafka(sasl: &Sasl, message: &str) -> Finding {
    match message.split_once("Broker supports: ") {
        Some((_, known)) => {
            let names = known.split(['[', ']', ',', '"', ' ']);
            let known: Vec<String> = names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
            no_mechanism(sasl.mechanism, &known)
        }
        None => {
            let of_broker = message.split_once("SaslAuthenticationFailed - ");
            no_login(sasl, of_broker.map_or(message, |(_, of_broker)| of_broker))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::security::{Password, Secret};
    use krafka::error::KrafkaError;
    use rustls::pki_types::ServerName;
    use rustls::pki_types::UnixTime;
    use std::time::Duration;

    fn sasl() -> Sasl {
        Sasl {
            mechanism: Mechanism::Plain,
            username: "job".into(),
            password: Password::Variable(Secret::new("hush")),
            endpoint: None,
        }
    }

    #[test]
    fn each_error_of_tls_names_what_to_look_at() {
        let expected = ServerName::try_from("kafka-1").expect("a name");
        let time = UnixTime::since_unix_epoch(Duration::from_secs(86_400));
        let wrong_name = CertificateError::NotValidForNameContext {
            expected,
            presented: vec![
                "DnsName(\"a.example\")".into(),
                "IpAddress(10.0.0.1)".into(),
            ],
        };
        let no_name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("kafka-1").expect("a name"),
            presented: Vec::new(),
        };
        let expired = CertificateError::ExpiredContext {
            time,
            not_after: time,
        };
        for (error, cause, advice) in [
            (
                CertificateError::UnknownIssuer.into(),
                "not from a CA",
                "ssl-ca-location",
            ),
            (
                wrong_name.into(),
                "is for a.example, 10.0.0.1, not for kafka-1",
                "brokers",
            ),
            (no_name.into(), "is for no name", "advertised.listeners"),
            (expired.into(), "expired at 1970-01-02T00:00:00Z", "clock"),
            (
                TlsError::AlertReceived(AlertDescription::CertificateRequired),
                "wants a client certificate",
                "ssl-certificate-location and ssl-key-location",
            ),
            (
                TlsError::AlertReceived(AlertDescription::BadCertificate),
                "BadCertificate",
                "ssl-certificate-location",
            ),
            (
                rustls::InvalidMessage::InvalidContentType.into(),
                "does not speak TLS",
                "security-protocol",
            ),
        ] {
            // As both clients wrap it.
            let io = io::Error::new(io::ErrorKind::InvalidData, TlsError::clone(&error));
            let found = of_handshake(&io, true);
            assert!(found.cause.contains(cause), "{found:?}");
            assert!(found.advice.contains(advice), "{found:?}");
            let krafka = KrafkaError::auth_with_source("TLS handshake failed", io);
            assert_eq!(tls_error(&krafka), Some(&error));
        }
        let alert = TlsError::AlertReceived(AlertDescription::BadCertificate);
        let nothing = of_tls(&alert, false);
        assert!(
            nothing.cause.contains("wants a client certificate"),
            "{nothing:?}"
        );
        let closed = of_handshake(&io::ErrorKind::UnexpectedEof.into(), false);
        assert!(closed.advice.contains("security-protocol"), "{closed:?}");
    }

    #[test]
    fn each_refusal_of_sasl_names_its_settings() {
        let other = "SASL handshake failed: UnsupportedSaslMechanism. Broker supports: [\"SCRAM-SHA-256\", \"GSSAPI\"]";
        let found = of_krafka(&sasl(), other);
        assert!(
            found
                .cause
                .ends_with("no sasl-mechanism PLAIN, only SCRAM-SHA-256, GSSAPI"),
            "{found:?}"
        );
        let none = of_krafka(
            &sasl(),
            "SASL handshake failed: IllegalSaslState. Broker supports: []",
        );
        assert_eq!(none, no_sasl());
        let refused = of_krafka(
            &sasl(),
            "SASL authentication failed: SaslAuthenticationFailed - in\nvalid",
        );
        assert!(
            refused.cause.contains("doesn't let job in: in") && !refused.cause.contains('\n'),
            "{refused:?}"
        );
        assert!(refused.advice.contains("sasl-password-file"), "{refused:?}");
    }
}
