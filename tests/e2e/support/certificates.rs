//! Certificates for tests, which openssl makes. The unit tests include this file too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

/// Its own settings, whatever those of the machine are. Dates that lie in the past need `openssl ca`.
const SETTINGS: &str = "
[ca]
default_ca = this
[this]
database = DIR/index.txt
new_certs_dir = DIR
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
";
const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// A CA, with all that it made. The files go with it.
pub struct Authority {
    folder: TempDir,
}

/// The files of a certificate and of its key.
#[derive(Clone, Debug)]
pub struct Made {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn create() -> Authority {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority { folder };
        let settings = SETTINGS.replace("DIR", &authority.path("").display().to_string());
        fs::write(authority.path("settings"), settings).expect("written");
        fs::write(authority.path("index.txt"), "").expect("written");
        authority.run(&format!(
            "req -x509 -extensions authority {NEW_KEY} -subj /CN=authority -days 30 -keyout DIR/ca.key -out DIR/ca.pem"
        ));
        authority
    }

    /// The file of its own certificate.
    pub fn pem(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for these names, as `DNS:localhost,IP:127.0.0.1`, which is valid from now for so many days.
    pub fn certificate(&self, file: &str, names: &str, days: i64) -> Made {
        self.valid(file, names, -1, days)
    }

    /// One that expired an hour ago.
    pub fn expired(&self, file: &str, names: &str) -> Made {
        self.valid(file, names, -48, 0)
    }

    fn valid(&self, file: &str, names: &str, from_hours: i64, days: i64) -> Made {
        let now = Timestamp::now();
        let time = |hours| {
            let at = now + SignedDuration::from_hours(hours);
            at.strftime("%Y%m%d%H%M%SZ").to_string()
        };
        let until = time(if days == 0 { -1 } else { days * 24 });
        self.run(&format!(
            "req -new {NEW_KEY} -subj /CN={file} -addext subjectAltName={names} -keyout DIR/{file}.key -out DIR/{file}.csr"
        ));
        self.run(&format!(
            "ca -batch -notext -cert DIR/ca.pem -keyfile DIR/ca.key -in DIR/{file}.csr -out DIR/{file}.pem -startdate {} -enddate {until}",
            time(from_hours)
        ));
        Made {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, words: &str) {
        let folder = self.folder.path();
        let words = words.replace("DIR", &folder.display().to_string());
        let (verb, words) = words.split_once(' ').expect("a verb");
        let done = Command::new("openssl")
            .args([verb, "-config"])
            .arg(folder.join("settings"))
            .args(words.split(' '))
            .output()
            .expect("openssl starts");
        assert!(done.status.success(), "openssl {verb} {words}: {done:?}");
    }
}

/// Puts a file in another's place, as tools that renew certificates do.
pub fn put(from: &Path, to: &Path) {
    let beside = to.with_extension("new");
    fs::copy(from, &beside).expect("copied");
    fs::rename(beside, to).expect("moved");
}
