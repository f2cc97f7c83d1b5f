//! What a client's bytes come over: a socket, or TLS over one.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

pub struct Line {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl Line {
    pub fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Line> {
        let secured = |config: &Arc<ServerConfig>| {
            let mut tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            // What the socket doesn't take has to stay somewhere.
            tls.set_buffer_limit(None);
            Ok::<_, io::Error>(Box::new(tls))
        };
        let tls = tls.map(secured).transpose()?;
        Ok(Line { socket, tls })
    }

    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// As a socket's: 0 where the client has gone, `WouldBlock` where nothing is left.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.socket.read(into);
        };
        loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Sends as much as the socket takes, and leaves the rest for the next time.
    pub fn send(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            let mut sent = 0;
            while sent < output.len() {
                match later(self.socket.write(&output[sent..]))? {
                    Some(written) => sent += written,
                    None => break,
                }
            }
            output.drain(..sent);
            return Ok(());
        };
        tls.writer().write_all(output)?;
        output.clear();
        while tls.wants_write() && later(tls.write_tls(&mut self.socket))?.is_some() {}
        Ok(())
    }
}

/// `None` where the socket takes no more now.
fn later(written: io::Result<usize>) -> io::Result<Option<usize>> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

const CERTIFICATE: &str = "comet.pem";
const KEY: &str = "comet.key";

/// Makes a certificate for 127.0.0.1 that vouches for itself, in this folder. Returns where it is.
pub fn make_certificate(folder: &Path) -> Result<String, String> {
    let settings = folder.join("comet.cnf");
    let text = "[req]\ndistinguished_name = name\nx509_extensions = it\nprompt = no\n[name]\nCN = comet\n\
                [it]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";
    std::fs::write(&settings, text)
        .map_err(|e| format!("{} can't be written: {e}", settings.display()))?;
    let [config, key, certificate] = [settings, folder.join(KEY), folder.join(CERTIFICATE)]
        .map(|path| path.display().to_string());
    let ended = Command::new("openssl")
        .args(["req", "-x509", "-config", &config, "-newkey", "ec"])
        .args([
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
        ])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .map_err(|e| format!("openssl does not start: {e}"))?;
    match ended.status.success() {
        true => Ok(certificate),
        false => Err(format!(
            "openssl made no certificate: {}",
            String::from_utf8_lossy(&ended.stderr)
        )),
    }
}

/// A server's TLS, with the certificate that was made in this folder.
pub fn with_certificate(folder: &Path) -> Result<Arc<ServerConfig>, String> {
    let failed = |e: &dyn std::fmt::Display| format!("TLS with {}: {e}", folder.display());
    let certificate =
        CertificateDer::from_pem_file(folder.join(CERTIFICATE)).map_err(|e| failed(&e))?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY)).map_err(|e| failed(&e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|e| failed(&e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
