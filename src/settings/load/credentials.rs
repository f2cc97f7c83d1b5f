//! Files that systemd hands to a unit (`LoadCredential=`): one with a setting's name is that setting's file, where nothing else names
//! one. So a unit needs no path, and only root and this process can read the secret.

use std::path::{Path, PathBuf};

use super::{Environment, variable_name};

/// Where systemd puts them.
const FOLDER: &str = "CREDENTIALS_DIRECTORY";
/// How the names of settings end whose value is the name of a file.
const FILES: [&str; 2] = ["-file", "-location"];

/// Returns the credential for this setting, with its name: `sasl-password` for `sasl-password-file`, `ssl-ca` for `ssl-ca-location`.
/// A variable that holds the secret itself wins over it.
pub fn of(key: &str, environment: &Environment) -> Option<(String, PathBuf)> {
    let name = FILES.iter().find_map(|end| key.strip_suffix(end))?;
    let folder = Path::new(environment.variable(FOLDER)?);
    if environment.variable(&variable_name(name)).is_some() {
        return None;
    }
    let path = folder.join(name);
    path.is_file().then(|| (name.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_the_file_of_its_setting_unless_a_variable_holds_the_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("sasl-password"), "secret").expect("writes");
        let environment = |more: &[(&str, &str)]| Environment {
            variables: [(FOLDER, folder.path().to_str().expect("text"))]
                .iter()
                .chain(more)
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            folder: PathBuf::new(),
        };
        let found = of("sasl-password-file", &environment(&[]));
        let expected = folder.path().join("sasl-password");
        assert_eq!(found, Some(("sasl-password".to_owned(), expected)));
        let held = environment(&[("JOB_SASL_PASSWORD", "other")]);
        assert_eq!(of("sasl-password-file", &held), None);
        for other in ["ssl-key-password-file", "sasl-password", "topic"] {
            assert_eq!(of(other, &environment(&[])), None, "{other}");
        }
    }
}
