//! An OAuth server's token endpoint. Its tokens are not signed: a broker of scripts/kafka takes them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

pub const CLIENT: &str = "job-client";
pub const SCOPE: &str = "kafka chat";
/// Whom the tokens name.
pub const SUBJECT: &str = "chat-service";
pub const SECRET: &str = "sesame+/=";
/// Client and secret as a form has them.
const SHOWN: &str = "job-client:sesame%2B%2F%3D";
const FORM: &str = "grant_type=client_credentials&scope=kafka+chat";

pub struct TokenEndpoint {
    pub url: String,
    state: Arc<Mutex<State>>,
    folder: TempDir,
}

struct State {
    /// Seconds. A token of none has expired already.
    life: u64,
    given: usize,
    refused: usize,
}

impl TokenEndpoint {
    /// With TLS where it gets the files of certificate and key. Its tokens live for so many seconds.
    pub fn start(life: u64, files: Option<[String; 2]>) -> TokenEndpoint {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        let scheme = if files.is_some() { "https" } else { "http" };
        let tls = files.map(|[certificate, key]| Arc::new(config(&certificate, &key)));
        let state = Arc::new(Mutex::new(State {
            life,
            given: 0,
            refused: 0,
        }));
        let kept = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who closes the connection early gets no answer.
                let _ = match &tls {
                    None => answer(&stream, &kept),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls.clone()).expect("it is right");
                        answer(StreamOwned::new(connection, stream), &kept)
                    }
                };
            }
        });
        let endpoint = TokenEndpoint {
            url: format!("{scheme}://127.0.0.1:{port}/token"),
            state,
            folder: tempfile::tempdir().expect("a folder can be made"),
        };
        endpoint.write_secret(SECRET);
        endpoint
    }

    /// The file with the client's secret.
    pub fn secret_file(&self) -> String {
        let file = self.folder.path().join("secret");
        file.to_str().expect("text").to_owned()
    }

    pub fn write_secret(&self, secret: &str) {
        std::fs::write(self.secret_file(), format!("{secret}\n")).expect("written");
    }

    /// How many tokens it gave.
    pub fn given(&self) -> usize {
        self.state.lock().expect("nobody panics").given
    }

    /// How often it gave none.
    pub fn refused(&self) -> usize {
        self.state.lock().expect("nobody panics").refused
    }
}

fn config(certificate: &str, key: &str) -> ServerConfig {
    let certificates = CertificateDer::pem_file_iter(certificate).expect("a file");
    let certificates: Vec<_> = certificates.map(|one| one.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("they go together")
}

fn answer(stream: impl Read + Write, state: &Mutex<State>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse().expect("a number");
        }
        head.push(line);
    }
    let mut form = vec![0; length];
    stream.read_exact(&mut form)?;
    let shown = format!("Basic {}", STANDARD.encode(SHOWN));
    let is_right = head.iter().any(|line| line.ends_with(&shown));
    let mut state = state.lock().expect("nobody panics");
    let (status, body) = match is_right && form == FORM.as_bytes() {
        true => {
            state.given += 1;
            ("200 OK", token(state.life))
        }
        false => {
            state.refused += 1;
            ("401 Unauthorized", r#"{"error":"invalid_client"}"#.into())
        }
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.get_mut().write_all(answer.as_bytes())?;
    stream.get_mut().flush()
}

fn token(life: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is later").as_secs();
    // A broker wants the one before the other.
    let (issued, expires) = match life {
        0 => (now - 200, now - 100),
        life => (now - 1, now + life),
    };
    let claims = format!(r#"{{"sub":"{SUBJECT}","iat":{issued},"exp":{expires}}}"#);
    let [header, claims] = [r#"{"alg":"none"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!(r#"{{"access_token":"{header}.{claims}.","expires_in":{life},"token_type":"Bearer"}}"#)
}
