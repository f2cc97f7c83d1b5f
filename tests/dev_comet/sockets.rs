//! Where dev-comet takes calls: beside TCP, a Unix socket and TLS.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::grpc::{ask, greet, post, to_room};
use super::*;

const ROOM: &str = "/ChatRoom.Comet.Comet/BroadcastRoom";

#[test]
fn a_unix_socket_is_as_good_as_a_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("comet.sock");
    let listen = format!("unix:{}", path.display());
    for _ in 0..2 {
        // The second finds what the first left behind, which was killed.
        let comet = DevComet::start_on(&listen, "127.0.0.1:0");
        assert_eq!(comet.grpc, listen);
        let mut person = Person::join(&comet, "room=r1");
        Caller::new(&comet).room("r1", "hello");
        assert_eq!(person.text(), "hello");
        drop(comet);
        assert!(path.exists(), "it was killed, so nobody removed it");
    }
    let mut comet = DevComet::start_on(&listen, "127.0.0.1:0");
    let second = Command::new(env!("CARGO_BIN_EXE_dev-comet"))
        .args(["--listen", &listen, "--web", "127.0.0.1:0"])
        .output()
        .expect("it runs");
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(error.contains(&listen), "{error}");
    Caller::new(&comet).broadcast("the first is still there");
    let pid = i32::try_from(comet.process.id()).expect("a number");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it runs");
    assert!(comet.process.wait().expect("it ends").success());
    assert!(!path.exists(), "it is removed");
}

/// Certificates of a CA of the test's own.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().expect("a folder"));
        let new = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let ca = [
            "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem",
        ];
        made.openssl(&[&new[..], &ca].concat());
        for (name, purpose) in [("comet", "serverAuth"), ("job", "clientAuth")] {
            let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
            let subject = format!("/CN={name}");
            let alternative = format!("subjectAltName=DNS:{name}");
            let purpose = format!("extendedKeyUsage={purpose}");
            let by_ca = [
                "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", &subject,
            ];
            let its = ["-addext", &alternative, "-addext", &purpose];
            let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
            let files = ["-keyout", &key, "-out", &pem];
            made.openssl(&[&new[..], &by_ca, &its, &leaf, &files].concat());
        }
        made
    }

    fn openssl(&self, arguments: &[&str]) {
        let made = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("openssl runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn connector(&self, with_certificate: bool) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.file("ca.pem"))).expect("a CA");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = if with_certificate {
            let key = PrivateKeyDer::from_pem_file(self.file("job.key")).expect("a key");
            let chain = vec![certificate(&self.file("job.pem"))];
            builder.with_client_auth_cert(chain, key).expect("they fit")
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).expect("a certificate")
}

/// Calls over TLS: the call's status, or the connection's error.
async fn call_over_tls(comet: &DevComet, connector: TlsConnector) -> Result<i32, String> {
    let socket = tokio::net::TcpStream::connect(&comet.grpc).await;
    let name = ServerName::try_from("comet").expect("a name");
    let tls = connector.connect(name, socket.expect("it listens")).await;
    let mut tls = tls.map_err(|error| error.to_string())?;
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // Whether a certificate is missing is said with the first byte that is read: of the greeting, here.
    let mut first = [0; 1];
    let read = tokio::io::AsyncReadExt::read_exact(&mut tls, &mut first).await;
    read.map_err(|error| error.to_string())?;
    let (read, write) = tokio::io::split(tls);
    let whole = tokio::io::join(
        tokio::io::AsyncReadExt::chain(std::io::Cursor::new(first), read),
        write,
    );
    let calls = greet(Box::pin(whole)).await;
    Ok(ask(&calls, post(ROOM), &to_room("hello")).await.ended().0)
}

#[tokio::test]
async fn calls_come_with_tls_and_with_a_certificate_where_that_is_asked_for() {
    let certificates = Certificates::new();
    let file = |name| certificates.file(name).display().to_string();
    let (pem, key, ca) = (file("comet.pem"), file("comet.key"), file("ca.pem"));
    let ports = ["--listen", "127.0.0.1:0", "--web", "127.0.0.1:0"];
    let tls = ["--tls-certificate", &pem, "--tls-key", &key];
    let open = DevComet::start_with(&[&ports[..], &tls].concat());
    let (with, without) = (certificates.connector(true), certificates.connector(false));
    assert_eq!(call_over_tls(&open, without.clone()).await, Ok(0));
    assert_eq!(call_over_tls(&open, with.clone()).await, Ok(0));

    let closed = DevComet::start_with(&[&ports[..], &tls, &["--tls-client-ca", &ca]].concat());
    assert_eq!(call_over_tls(&closed, with).await, Ok(0));
    let refused = call_over_tls(&closed, without)
        .await
        .expect_err("none was shown");
    assert!(refused.contains("CertificateRequired"), "{refused}");
}

#[test]
fn files_that_are_no_good_are_named() {
    let certificates = Certificates::new();
    let file = |name| certificates.file(name).display().to_string();
    let (pem, key, other) = (file("comet.pem"), file("comet.key"), file("job.key"));
    let gone = file("gone");
    for (flags, named) in [
        (vec!["--tls-certificate", &gone, "--tls-key", &key], &gone),
        (vec!["--tls-certificate", &key, "--tls-key", &key], &key),
        (vec!["--tls-certificate", &pem, "--tls-key", &pem], &pem),
        (vec!["--tls-certificate", &pem, "--tls-key", &other], &other),
        (
            vec![
                "--tls-certificate",
                &pem,
                "--tls-key",
                &key,
                "--tls-client-ca",
                &key,
            ],
            &key,
        ),
    ] {
        let ended = Command::new(env!("CARGO_BIN_EXE_dev-comet"))
            .args(["--listen", "127.0.0.1:0", "--web", "127.0.0.1:0"])
            .args(&flags)
            .output()
            .expect("it runs");
        let error = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{flags:?}: {error}");
        assert!(error.contains(named.as_str()), "{flags:?}: {error}");
    }
}
