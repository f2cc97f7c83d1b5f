//! The files that the settings name: certificates, keys and passwords, as they are at this moment.

use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::settings::security::{Password, Secret};

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

/// The key in the file of ssl-key-location.
///
/// # Errors
/// A sentence that names setting and file, and shows nothing of what is in it.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let setting = "ssl-key-location";
    let pem = read(setting, path)?;
    let has = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    let file = path.display();
    if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "{setting} {file}: encrypted key: decrypt it with openssl pkey -in {file} -out FILE, let nobody else read that \
             file (chmod 600), and name it in {setting}"
        ));
    }
    // What a parser says of a key might show some of it.
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        format!("{setting} {file}: there is no key in PEM in it (-----BEGIN PRIVATE KEY-----)")
    })
}

/// The password, without the end of its line.
///
/// # Errors
/// A sentence that names setting and file.
pub fn password(password: &Password) -> Result<Secret, String> {
    let path = match password {
        Password::Variable(secret) => return Ok(secret.clone()),
        Password::File(path) => path,
    };
    let setting = "sasl-password-file";
    let bytes = read(setting, path)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{setting} {}: not UTF-8 text", path.display()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!(
            "{setting} {}: it has an empty line for a password",
            path.display()
        )),
        text if text.contains('\0') => Err(format!(
            "{setting} {}: a password has no byte 0",
            path.display()
        )),
        text => Ok(Secret::new(text)),
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    let file = path.display();
    match std::fs::read(path) {
        Ok(bytes) if bytes.is_empty() => Err(format!("{setting} {file}: the file is empty")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(format!("{setting} {file}: it can't be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_setting() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let says = |said: String, parts: &[&str]| {
            for part in parts {
                assert!(said.contains(part), "{part} is not in: {said}");
            }
            assert!(!said.contains("hush"), "{said}");
        };
        let ca = |path: &Path| certificates("ssl-ca-location", path).expect_err("it is wrong");
        says(
            ca(Path::new("/nonexistent/ca")),
            &["ssl-ca-location /nonexistent/ca", "No such file"],
        );
        says(
            ca(&file("empty", "")),
            &["ssl-ca-location", "the file is empty"],
        );
        says(ca(&file("text", "hush\n")), &["no certificate in PEM"]);
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        says(ca(&file("broken", broken)), &["can't be read as PEM"]);

        let no_key = |path: &Path| key(path).expect_err("it is wrong");
        says(
            no_key(&file("no-key", "hush")),
            &["ssl-key-location", "no key in PEM"],
        );
        for (name, text) in [
            ("pkcs8", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhush\n"),
            (
                "old",
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nhush\n",
            ),
        ] {
            let path = file(name, text);
            let command = format!("openssl pkey -in {}", path.display());
            says(no_key(&path), &["encrypted key", &command]);
        }

        let no_password = |path: PathBuf| password(&Password::File(path)).expect_err("it is wrong");
        says(
            no_password(file("line", "\r\n")),
            &["sasl-password-file", "empty line"],
        );
        says(
            no_password("/nonexistent/p".into()),
            &["sasl-password-file", "No such file"],
        );
        let good = password(&Password::File(file("good", "hush hush \n")));
        assert_eq!(good, Ok(Secret::new("hush hush ")));
    }
}
