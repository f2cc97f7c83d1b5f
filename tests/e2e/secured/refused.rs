//! What keeps job out, and the setting that `job check` names for it.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};

use super::{assert_text_hidden, check, command, reads, with};
use crate::support::comet::Comet;
use crate::support::kafka::Version;
use crate::support::kafka::secured::{Listener, Secured, secured};
use crate::support::proxy::Proxy;
use crate::support::topic::Topic;
use crate::support::{await_until, free_port};

/// A server with an expired certificate of the CA that job trusts.
struct Expired {
    server: Child,
    port: u16,
}

impl Expired {
    fn start(secured: &Secured) -> Expired {
        secured.make_certificate("expired", &["--host", "127.0.0.1", "--expired"]);
        let port = free_port();
        let server = Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-accept",
                &format!("127.0.0.1:{port}"),
            ])
            .args(["-cert", &secured.secret("expired.pem")])
            .args(["-key", &secured.secret("expired.key")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl starts");
        await_until("openssl's server", || {
            let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            connected.map_err(|error| error.to_string())
        });
        Expired { server, port }
    }
}

impl Drop for Expired {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn check_names_what_to_look_at() {
    use Listener::{Mutual, Plaintext, SaslPlaintext, SaslSsl, Ssl};
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    for principal in ["User:job", "User:CN=job", "User:ANONYMOUS"] {
        secured.allow_all(principal, &topic);
    }
    let comet = Comet::start();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "letmein-not\n").expect("written");
    let wrong = wrong.to_str().expect("text");
    secured.make_certificate("stranger", &["--ca", "strange"]);
    let other_name = Proxy::start_on(Ipv4Addr::new(127, 0, 0, 2), secured.address(Ssl));
    let expired = Expired::start(secured);

    let sasl = secured.flags(SaslPlaintext);
    let scram = secured.flags(SaslSsl);
    let ssl = secured.flags(Ssl);
    let mutual = secured.flags(Mutual);
    let stranger = with(
        &mutual,
        "--ssl-certificate-location",
        &secured.secret("stranger.pem"),
    );
    let stranger = with(
        &stranger,
        "--ssl-key-location",
        &secured.secret("stranger.key"),
    );
    let at = |listener, of| secured.flags_at(listener, &secured.address(of));
    let cases: [(&str, Vec<String>, &[&str]); 11] = [
        (
            "wrong password, PLAIN",
            with(&sasl, "--sasl-password-file", wrong),
            &["doesn't let job in", "sasl-password-file"],
        ),
        (
            "wrong password, SCRAM",
            with(&scram, "--sasl-password-file", wrong),
            &["doesn't let job in", "sasl-password-file"],
        ),
        (
            "a mechanism that the listener doesn't have",
            with(&sasl, "--sasl-mechanism", "SCRAM-SHA-256"),
            &[
                "no sasl-mechanism SCRAM-SHA-256, only PLAIN",
                "Set sasl-mechanism",
            ],
        ),
        (
            "unknown CA",
            with(&ssl, "--ssl-ca-location", &secured.secret("strange.pem")),
            &["not from a CA that job trusts", "Set ssl-ca-location"],
        ),
        (
            "another name",
            secured.flags_at(Ssl, &other_name.address()),
            &[
                "is for localhost, 127.0.0.1, not for 127.0.0.2",
                "by a name",
            ],
        ),
        (
            "expired",
            secured.flags_at(Ssl, &format!("127.0.0.1:{}", expired.port)),
            &["certificate expired at", "Renew"],
        ),
        (
            "no client certificate",
            at(Ssl, Mutual),
            &["wants a client certificate", "Set ssl-certificate-location"],
        ),
        (
            "a client certificate of another CA",
            stranger,
            &[
                "wants another client certificate",
                "Set ssl-certificate-location",
            ],
        ),
        (
            "TLS to a plain port",
            at(Ssl, Plaintext),
            &["Check security-protocol"],
        ),
        (
            "plain to a port with TLS",
            at(Plaintext, Ssl),
            &["security-protocol"],
        ),
        (
            "SASL to a listener without",
            at(SaslPlaintext, Plaintext),
            &["asks for no SASL", "security-protocol"],
        ),
    ];
    for (what, flags, says) in cases {
        let ended = check(&topic, &flags, &comet);
        let said = format!("{}{}", ended.out, ended.err);
        assert_eq!(ended.code, Some(1), "{what}: {said}");
        for part in says {
            assert!(said.contains(part), "{what}: {part:?} is not in:\n{said}");
        }
        assert_text_hidden(&said, secured);
        assert!(!said.contains("letmein-not"), "{said}");
    }
}

#[test]
fn help_shows_no_secret() {
    // The variable's value would show if the flags took it as a default.
    let secured = secured(Version::V3_9_1);
    let help = Command::new(env!("CARGO_BIN_EXE_job"))
        .arg("--help")
        .env("JOB_SASL_PASSWORD", secured.read_secret("password"))
        .output()
        .expect("job starts");
    let help = String::from_utf8(help.stdout).expect("text");
    assert!(help.contains("JOB_SASL_PASSWORD"), "{help}");
    assert_text_hidden(&help, secured);
}

#[test]
fn the_classic_fetcher_is_refused() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::missing(&secured.kafka);
    let flags = secured.flags(Listener::SaslSsl);
    let comet = Comet::start();
    let mut job = reads(&topic, &flags, &comet)
        .flag("--fetch", "classic")
        .start();
    let line = job.await_line(&["fetch = classic", "plain connections only"]);
    assert!(line.contains("SASL_SSL"), "{line}");
    assert!(!job.await_exit().success());
    let error = command(&["check"], &flags, &["--fetch", "classic"]);
    assert!(
        format!("{}{}", error.out, error.err).contains("fetch = classic"),
        "{} {}",
        error.out,
        error.err
    );
}
