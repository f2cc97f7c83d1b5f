//! The private key of the client certificate. It may be encrypted, as PKCS#8.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::{EncryptedPrivateKeyInfo, pkcs5};
use rustls::pki_types::PrivateKeyDer;

use super::files::{read, secret};
use crate::base::pem::key_of;
use crate::settings::security::ClientCertificate;

const SETTING: &str = "ssl-key-location";
const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
/// Of the encryption that OpenSSL had before PKCS#8.
const LEGACY: &str = "Proc-Type: 4,ENCRYPTED";

/// The key.
///
/// # Errors
/// A sentence that names setting and file, and shows nothing of what is in it.
pub fn key(client: &ClientCertificate) -> Result<PrivateKeyDer<'static>, String> {
    key_of(SETTING, &client.key, &pem(client)?)
}

/// The key as PEM, decrypted where it is encrypted.
///
/// # Errors
/// As `key`.
pub fn pem(client: &ClientCertificate) -> Result<Vec<u8>, String> {
    let bytes = read(SETTING, &client.key)?;
    let file = client.key.display();
    let convert = format!(
        "convert it with openssl pkcs8 -topk8 -v2 aes256 -in {file} -out FILE, let nobody else read that file (chmod 600), \
         and name it in {SETTING}"
    );
    let text = String::from_utf8_lossy(&bytes);
    if text.contains(LEGACY) {
        return Err(format!(
            "{SETTING} {file}: it is encrypted in OpenSSL's old way ({LEGACY}), which job doesn't read: {convert}"
        ));
    }
    let Some((_, rest)) = text.split_once(BEGIN) else {
        return Ok(bytes);
    };
    let Some(password_file) = &client.key_password else {
        return Err(format!(
            "{SETTING} {file}: it is encrypted: set ssl-key-password-file to the file of its password"
        ));
    };
    let password = secret("ssl-key-password-file", password_file)?;
    let body = rest.split_once(END).map_or("", |(body, _)| body);
    let packed: String = body.split_whitespace().collect();
    let encrypted = STANDARD.decode(packed).unwrap_or_default();
    let encrypted = EncryptedPrivateKeyInfo::try_from(encrypted.as_slice())
        .map_err(|_| format!("{SETTING} {file}: what is in {BEGIN} is not an encrypted key"))?;
    match encrypted.decrypt(password.reveal()) {
        Ok(decrypted) => {
            let packed = STANDARD.encode(decrypted.as_bytes());
            Ok(
                format!("-----BEGIN PRIVATE KEY-----\n{packed}\n-----END PRIVATE KEY-----\n")
                    .into_bytes(),
            )
        }
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::NoPbes1CryptSupport
            | pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs5::Error::AlgorithmParametersInvalid { .. },
        )) => Err(format!(
            "{SETTING} {file}: it is encrypted in a way that job doesn't read (only PBES2, with AES-CBC, and with scrypt or \
             PBKDF2 of SHA-2): {convert}"
        )),
        // With a wrong one, what comes out is noise. It rarely looks as if it were decrypted, and isn't a key then.
        Err(_) => Err(format!(
            "{SETTING} {file}: it isn't encrypted with the password in ssl-key-password-file {}",
            password_file.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// A key, and the same as openssl's pkcs8 encrypts it with these options.
    fn encrypted(folder: &Path, options: &[&str]) -> (PathBuf, PathBuf) {
        let [plain, secret] = ["plain", "secret"].map(|name| folder.join(name));
        let made = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out";
        openssl(made, &[], &plain);
        openssl(
            "pkcs8 -topk8 -passout pass:hush",
            &[&["-in", plain.to_str().expect("text")], options, &["-out"]].concat(),
            &secret,
        );
        (plain, secret)
    }

    fn openssl(words: &str, more: &[&str], out: &Path) {
        let done = Command::new("openssl")
            .args(words.split(' '))
            .args(more)
            .arg(out)
            .output()
            .expect("openssl starts");
        assert!(done.status.success(), "{done:?}");
    }

    fn client(key: &Path, password: Option<&Path>) -> ClientCertificate {
        ClientCertificate {
            certificate: "c".into(),
            key: key.into(),
            key_password: password.map(Path::to_owned),
        }
    }

    #[test]
    fn what_openssl_encrypts_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let password = folder.path().join("password");
        std::fs::write(&password, "hush\n").expect("written");
        for options in [
            &["-v2", "aes256"][..],
            &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
            &["-scrypt"],
        ] {
            let (plain, secret) = encrypted(folder.path(), options);
            let plain = key(&client(&plain, None)).expect("a key");
            let read = key(&client(&secret, Some(&password))).expect("the password is right");
            assert_eq!(read, plain, "{options:?}");
        }
        // A password that isn't needed does no harm.
        let plain = folder.path().join("plain");
        let without = Path::new("/nonexistent/password");
        assert!(key(&client(&plain, Some(without))).is_ok());
    }

    #[test]
    fn what_is_wrong_with_an_encrypted_key_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let says = |key_file: &Path, password: Option<&Path>, parts: &[&str]| {
            let said = key(&client(key_file, password)).expect_err("it is wrong");
            let file = key_file.display().to_string();
            for part in [&["ssl-key-location", &file], parts].concat() {
                assert!(said.contains(part), "{part} is not in: {said}");
            }
            assert!(!said.contains("hush"), "{said}");
        };
        let (_, secret) = encrypted(folder.path(), &["-v2", "aes256"]);
        let right = file("right", "hush");
        says(&secret, None, &["set ssl-key-password-file"]);
        let missing = Path::new("/nonexistent/password");
        let (secret, wrong) = (secret, file("wrong", "hush hush\n"));
        says(&secret, Some(&wrong), &["isn't encrypted with", "/wrong"]);
        let said = key(&client(&secret, Some(missing))).expect_err("there is no password");
        assert!(
            said.contains("ssl-key-password-file /nonexistent/password"),
            "{said}"
        );

        let convert = "openssl pkcs8 -topk8 -v2 aes256 -in";
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nhush\n";
        says(&file("legacy", legacy), Some(&right), &["old way", convert]);
        let (_, old) = encrypted(folder.path(), &["-v2", "aes256", "-v2prf", "hmacWithSHA1"]);
        says(
            &old,
            Some(&right),
            &["a way that job doesn't read", convert],
        );
        let broken = format!("{BEGIN}\nhush\n{END}\n");
        says(
            &file("broken", &broken),
            Some(&right),
            &["not an encrypted key"],
        );
    }
}
