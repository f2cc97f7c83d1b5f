//! The files that the settings name: certificates, keys and passwords, as they are at this moment.

use std::path::Path;

pub use crate::base::pem::{certificates, read};
use crate::settings::security::{Mechanism, Password, Sasl, Secret};

/// The password, without the end of its line.
///
/// # Errors
/// A sentence that names setting and file.
pub fn password(sasl: &Sasl) -> Result<Secret, String> {
    let path = match &sasl.password {
        Password::Variable(secret) => return Ok(secret.clone()),
        Password::File(path) => path,
    };
    let setting = match sasl.mechanism {
        Mechanism::OauthBearer => "sasl-oauthbearer-client-secret-file",
        _ => "sasl-password-file",
    };
    secret(setting, path)
}

/// The one line of text in the file that a setting names.
///
/// # Errors
/// A sentence that names setting and file.
pub fn secret(setting: &str, path: &Path) -> Result<Secret, String> {
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

#[cfg(test)]
mod tests {
    use super::super::key::key;
    use super::*;
    use crate::settings::security::ClientCertificate;
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

        let client = ClientCertificate {
            certificate: "c".into(),
            key: file("no-key", "hush"),
            key_password: None,
        };
        says(
            key(&client).expect_err("it is wrong"),
            &["ssl-key-location", "no key in PEM"],
        );
        let sasl = |mechanism, path| Sasl {
            mechanism,
            username: "job".into(),
            password: Password::File(path),
            endpoint: None,
        };
        let no_password =
            |path: PathBuf| password(&sasl(Mechanism::Plain, path)).expect_err("it is wrong");
        says(
            password(&sasl(Mechanism::OauthBearer, "/nonexistent/s".into()))
                .expect_err("it is wrong"),
            &["sasl-oauthbearer-client-secret-file", "No such file"],
        );
        says(
            no_password(file("line", "\r\n")),
            &["sasl-password-file", "empty line"],
        );
        says(
            no_password("/nonexistent/p".into()),
            &["sasl-password-file", "No such file"],
        );
        let good = password(&sasl(Mechanism::Plain, file("good", "hush hush \n")));
        assert_eq!(good, Ok(Secret::new("hush hush ")));
    }
}
