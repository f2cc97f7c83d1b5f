//! What is wrong where TLS fails, and what to do.

use rustls::pki_types::ServerName;
use rustls::{AlertDescription as Alert, CertificateError, Error, InvalidMessage};

use crate::base::x509::{names, time};
use crate::settings::CometTls;

pub const NO_HTTP2: &str = "TLS: the server doesn't choose HTTP/2 (ALPN h2), which gRPC needs: is it a Comet's gRPC port, and does \
                            what ends TLS there allow h2?";
/// Of a server that takes the connection and doesn't answer.
pub const SILENT: &str =
    "TLS: no handshake came within its time: does what listens there speak TLS, and is it stuck?";
pub const ENDED: &str = "TLS: the server ended the connection while TLS began: does it speak TLS there? If not, set \
                         comet-tls = off (in a list of Comets: the label tls)";

/// Of an error of TLS.
pub fn said(error: &Error, settings: &CometTls, name: &ServerName<'_>) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error, settings, name),
        Error::AlertReceived(alert) => of_alert(*alert, settings),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => format!(
            "TLS: what answers there doesn't speak TLS: set {} = off, or give the Comet its TLS port",
            settings.wording.of("tls")
        ),
        other => format!("TLS failed: {other}"),
    }
}

fn of_certificate(error: &CertificateError, settings: &CometTls, name: &ServerName<'_>) -> String {
    const RENEW: &str = "renew it; or is this machine's clock wrong?";
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let trusted = match &settings.ca {
                Some(ca) => format!("in {} {}", settings.wording.of("ca"), ca.display()),
                None => "that this system trusts".into(),
            };
            format!(
                "TLS: the certificate there is not from a CA {trusted}: set {} to the PEM file of the CA that signed it",
                settings.wording.of("ca")
            )
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            wrong_name(&names(presented), settings, name)
        }
        CertificateError::NotValidForName => wrong_name("another name", settings, name),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!(
                "TLS: the certificate there expired at {}: {RENEW}",
                time(*not_after)
            )
        }
        CertificateError::Expired => format!("TLS: the certificate there expired: {RENEW}"),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "TLS: the certificate there is not valid before {}: is the clock of this machine wrong?",
            time(*not_before)
        ),
        other => format!("TLS: the certificate there can't be trusted: {other}"),
    }
}

fn wrong_name(names: &str, settings: &CometTls, name: &ServerName<'_>) -> String {
    format!(
        "TLS: the certificate there is for {names}, not for {}: reach the Comet by a name that its certificate has, or set {}",
        name.to_str(),
        settings.wording.of("server-name")
    )
}

/// The server ended TLS, and said why.
fn of_alert(alert: Alert, settings: &CometTls) -> String {
    let called = |name| settings.wording.of(name);
    let (certificate, key) = (called("certificate"), called("key"));
    let set = format!(
        "set {certificate} and {key} to one from a CA that the Comet trusts, and to its key"
    );
    match alert {
        Alert::NoApplicationProtocol => NO_HTTP2.into(),
        Alert::CertificateRequired
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::AccessDenied => match &settings.client {
            None => format!("TLS: the Comet wants a client certificate (alert {alert:?}): {set}"),
            Some((certificate, _)) => format!(
                "TLS: the Comet doesn't accept the client certificate in {} (alert {alert:?}): {set}",
                certificate.display()
            ),
        },
        // Its CA has the name of another one.
        Alert::DecryptError if settings.client.is_some() => of_alert(Alert::UnknownCA, settings),
        Alert::UnrecognisedName => format!(
            "TLS: the server knows no such name: set {} to the one that it has",
            called("server-name")
        ),
        Alert::ProtocolVersion => {
            "TLS: the server speaks neither TLS 1.2 nor 1.3: allow one of them there".into()
        }
        other => format!("TLS: the server refused the connection (alert {other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Wording;

    fn says(error: &Error, settings: &CometTls) -> String {
        let name = ServerName::try_from("comet.internal").expect("a name");
        said(error, settings, &name)
    }

    #[test]
    fn each_error_says_what_to_do_and_names_the_file() {
        let plain = CometTls::default();
        let full = CometTls {
            ca: Some("/x/ca.pem".into()),
            client: Some(("/x/own.pem".into(), "/x/own.key".into())),
            ..CometTls::default()
        };
        let labels = CometTls {
            wording: Wording::Labels,
            ..full.clone()
        };
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let alert = Error::AlertReceived(Alert::UnknownCA);
        let wrong_name = Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("comet.internal").expect("a name"),
            presented: vec!["DnsName(\"a\x1b\")".into(), "DnsName(\"b\")".into()],
        });
        for (error, settings, expected) in [
            (&unknown, &plain, "that this system trusts: set comet-ca"),
            (&unknown, &full, "in comet-ca /x/ca.pem: set comet-ca"),
            (
                &unknown,
                &labels,
                "in the label ca /x/ca.pem: set the label ca to",
            ),
            (
                &alert,
                &plain,
                "wants a client certificate (alert UnknownCA): set comet-certificate",
            ),
            (
                &alert,
                &full,
                "doesn't accept the client certificate in /x/own.pem",
            ),
            (&wrong_name, &plain, ", b, not for comet.internal: reach"),
            (
                &Error::AlertReceived(Alert::NoApplicationProtocol),
                &plain,
                "ALPN h2",
            ),
            (
                &Error::InvalidMessage(InvalidMessage::InvalidContentType),
                &plain,
                "doesn't speak TLS: set comet-tls = off",
            ),
        ] {
            let said = says(error, settings);
            assert!(said.contains(expected) && !said.contains('\x1b'), "{said}");
        }
    }
}
