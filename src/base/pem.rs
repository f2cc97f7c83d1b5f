//! The files of TLS: certificates, keys and lists of CAs in PEM, as they are at this moment. Errors name the setting and its file, and
//! show nothing of what is in it.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates in the file that a setting names.
///
/// # Errors
/// A sentence that names setting and file.
pub fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(setting, path)?;
    let found: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "{setting} {}: there is no certificate in PEM in it (-----BEGIN CERTIFICATE-----)",
            path.display()
        )),
        Err(error) => Err(format!(
            "{setting} {}: it can't be read as PEM: {error}",
            path.display()
        )),
    }
}

/// The private key in the file that a setting names, which isn't encrypted.
///
/// # Errors
/// A sentence that names setting and file.
pub fn key(setting: &str, path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read(setting, path)?;
    let file = path.display();
    if String::from_utf8_lossy(&pem).contains("ENCRYPTED") {
        return Err(format!(
            "{setting} {file}: it is encrypted, which job doesn't read here: convert it with openssl pkey -in {file} -out FILE, \
             let nobody else read that file (chmod 600), and name it in {setting}"
        ));
    }
    key_of(setting, path, &pem)
}

/// The private key in a file that was read.
///
/// # Errors
/// A sentence that names setting and file.
pub fn key_of(setting: &str, path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // What a parser says of a key might show some of it.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        format!(
            "{setting} {}: there is no key in PEM in it (-----BEGIN PRIVATE KEY-----)",
            path.display()
        )
    })
}

/// The CAs in the file that a setting names; this system's where it names none. They sign the certificates of `whose`.
///
/// # Errors
/// A sentence that names setting and file.
pub fn roots(setting: &str, path: Option<&Path>, whose: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match path {
        Some(path) => {
            for certificate in certificates(setting, path)? {
                roots.add(certificate).map_err(|error| {
                    format!(
                        "{setting} {}: a certificate in it can't be read: {error}",
                        path.display()
                    )
                })?;
            }
        }
        None => {
            // Some that can't be read are no reason to distrust the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(format!(
                    "this system has no list of CAs: set {setting} to the PEM file of the CA that signed the {whose} certificates"
                ));
            }
        }
    }
    Ok(roots)
}

/// What is in the file that a setting names.
///
/// # Errors
/// A sentence that names both.
pub fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    let file = path.display();
    match std::fs::read(path) {
        Ok(bytes) if bytes.is_empty() => Err(format!("{setting} {file}: the file is empty")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(format!("{setting} {file}: it can't be read: {error}")),
    }
}
