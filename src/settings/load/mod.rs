//! Loads settings from five sources: flags win over environment variables, those over the file, that over systemd's credentials,
//! and these over defaults.
//!
//! Each value of a lower source is written as `--key=value` and read by the flags' own parser. Every value is checked,
//! even where a higher source wins.

mod credentials;
pub(super) mod file;
pub(super) mod parser;
#[cfg(test)]
mod tests;
mod unknown;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, FromArgMatches};

use crate::base::text::escape_body;
use crate::settings::Config;
use crate::settings::args::{Secrets, SettingArgs};
use crate::settings::metadata;
use crate::settings::security::{PASSWORD_VARIABLE, SECRET_VARIABLE, Secret};
use parser::{Parser, argument};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "job.toml";
/// The key of a setting of which it matters whether somebody set it.
const HTTP: &str = "http";
/// The one flag that is no key of the file: it names the file.
pub(super) const CONFIG: &str = "config";

/// The environment of a command line: the process's, or a test's.
pub struct Environment {
    /// The environment variables.
    pub variables: HashMap<OsString, OsString>,
    /// The working folder.
    pub folder: PathBuf,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Environment {
        Environment {
            variables: std::env::vars_os().collect(),
            folder: PathBuf::new(),
        }
    }

    /// Returns a variable's value; an empty one counts as not set.
    fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables
            .get(&OsString::from(name))
            .filter(|value| !value.is_empty())
    }

    /// Returns the names of all variables that are set.
    fn set(&self) -> impl Iterator<Item = &OsString> {
        let set = self.variables.iter().filter(|(_, value)| !value.is_empty());
        set.map(|(name, _)| name)
    }
}

/// The settings, each with its source.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    settings: Vec<Setting>,
    /// Variables that begin like settings and are none.
    ignored: Vec<String>,
}

/// One setting: its value as text, which is no secret, and where it is from.
#[derive(Clone, Debug)]
pub struct Setting {
    pub key: String,
    /// `None`: there is none.
    pub value: Option<String>,
    /// The whole value, where nothing may show it.
    hidden: Option<Secret>,
    pub origin: Origin,
}

/// Where a value is from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    Default,
    /// A file that systemd hands over, by the credential's name.
    Credential(String),
    File(PathBuf),
    Variable(String),
    Flag(String),
}

impl Setting {
    /// The value for people.
    fn shown(&self) -> String {
        escape_body(self.value.as_deref().unwrap_or("none").as_bytes())
    }
}

/// What stands in the place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// A setting that is not what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub key: String,
    before: String,
    after: String,
    origin: Origin,
}

impl fmt::Display for Change {
    /// As `max-age: off → 10m (job.toml)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change {
            key,
            before,
            after,
            origin,
        } = self;
        write!(f, "{key}: {before} → {after} ({origin})")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Credential(name) => write!(f, "credential {name}"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Variable(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

impl Loaded {
    /// A line for each setting, as `topic = chat (job.toml)`: the value in use and its source. A last line names the
    /// ignored variables.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let ignored = (!self.ignored.is_empty()).then(|| {
            let names = escape_body(self.ignored.join(", ").as_bytes());
            format!("ignored, as no settings of job: {names}")
        });
        self.settings
            .iter()
            .map(|setting| format!("{} = {} ({})", setting.key, setting.shown(), setting.origin))
            .chain(ignored)
    }

    /// All settings.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The names of variables that begin like settings and are none.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The settings that have other values in `newer`.
    pub fn changes(&self, newer: &Loaded) -> Vec<Change> {
        let pairs = self.settings.iter().zip(&newer.settings);
        let changed = pairs.filter(|(before, after)| {
            (&before.value, &before.hidden) != (&after.value, &after.hidden)
        });
        let changes = changed.map(|(before, after)| Change {
            key: after.key.clone(),
            before: before.shown(),
            after: after.shown(),
            origin: after.origin.clone(),
        });
        changes.collect()
    }
}

/// Returns a setting's environment variable, or `None` for a flag that is no setting.
pub fn variable(arg: &Arg) -> Option<String> {
    let settings = SettingArgs::augment_args(clap::Command::new("job"));
    let known = settings
        .get_arguments()
        .any(|setting| setting.get_id() == arg.get_id());
    known.then(|| variable_name(arg.get_long().unwrap_or_default()))
}

pub(super) fn variable_name(key: &str) -> String {
    format!("JOB_{}", key.replace('-', "_").to_ascii_uppercase())
}

/// Merges the flags of `matches` with the environment, the file and the defaults.
///
/// # Errors
/// A value is invalid, two don't go together, a key is unknown, a variable is nearly a setting's, or the file can't be read. The error names the
/// value, and the variable or the file and line.
pub fn load(matches: &ArgMatches, environment: &Environment) -> Result<Loaded, String> {
    merge(matches, environment, None)
}

/// The same for a command that needs one setting alone: whether the others go together is no concern of its. systemd gives a reload
/// no credentials, for one.
///
/// # Errors
/// As [`load`] says, but for what goes together.
pub fn load_one(
    matches: &ArgMatches,
    environment: &Environment,
    key: &str,
) -> Result<Loaded, String> {
    merge(matches, environment, Some(key))
}

fn merge(
    matches: &ArgMatches,
    environment: &Environment,
    only: Option<&str>,
) -> Result<Loaded, String> {
    let parser = Parser::new();
    let mut values: BTreeMap<String, (OsString, Origin)> = BTreeMap::new();

    let known: Vec<_> = parser
        .keys
        .iter()
        .map(String::as_str)
        .chain([CONFIG])
        .map(variable_name)
        .chain([PASSWORD_VARIABLE, SECRET_VARIABLE].map(str::to_owned))
        .collect();
    let ignored = unknown::unknown(environment.set(), &known)?;

    for key in &parser.keys {
        if let Some((name, path)) = credentials::of(key, environment) {
            values.insert(key.clone(), (path.into(), Origin::Credential(name)));
        }
    }
    let file = config_file(matches, environment)?;
    if let Some(path) = &file {
        for (key, value) in file::read(path, &environment.folder, &parser)? {
            values.insert(key, (value.into(), Origin::File(path.clone())));
        }
    }
    for key in &parser.keys {
        let name = variable_name(key);
        if let Some(value) = environment.variable(&name) {
            parser.check(key, value).map_err(|reason| {
                format!(
                    "environment variable {name}={}: {}",
                    escape_body(shown(key, value.to_string_lossy().into()).as_bytes()),
                    reason.of_value()
                )
            })?;
            values.insert(key.clone(), (value.clone(), Origin::Variable(name)));
        }
    }
    for key in &parser.keys {
        if let Some(value) = flag(matches, &id(key)) {
            values.insert(key.clone(), (value, Origin::Flag(format!("--{key}"))));
        }
    }

    values.retain(|key, _| only.is_none_or(|only| key == only));
    let args = values.iter().map(|(key, (value, _))| argument(key, value));
    let merged = parser.parse(args).map_err(|error| error.to_string())?;
    let settings = parser.keys.iter().map(|key| {
        let value = merged.get_raw(&id(key)).into_iter().flatten().next();
        let value = value.map(|value| value.to_string_lossy().into_owned());
        let hidden = value.as_deref().filter(|_| key == metadata::KEY);
        Setting {
            key: key.clone(),
            hidden: hidden.map(Secret::new),
            value: value.map(|value| shown(key, value)),
            origin: values
                .get(key)
                .map_or(Origin::Default, |(_, origin)| origin.clone()),
        }
    });
    let mut settings: Vec<_> = settings.collect();
    let secrets = match only {
        Some(_) => Secrets::default(),
        None => Secrets {
            password: secret(environment, PASSWORD_VARIABLE)?,
            client_secret: secret(environment, SECRET_VARIABLE)?,
        },
    };
    for (key, variable, secret) in [
        ("sasl-password", PASSWORD_VARIABLE, &secrets.password),
        (
            "sasl-oauthbearer-client-secret",
            SECRET_VARIABLE,
            &secrets.client_secret,
        ),
    ] {
        settings.extend(secret.as_ref().map(|_| Setting {
            key: key.into(),
            value: Some(HIDDEN.into()),
            hidden: None,
            origin: Origin::Variable(variable.into()),
        }));
    }
    let args = SettingArgs::from_arg_matches(&merged).map_err(|error| error.to_string())?;
    let mut config = args.into_config(secrets)?;
    config.http.is_asked_for = values.contains_key(HTTP);
    Ok(Loaded {
        settings,
        file,
        ignored,
        config,
    })
}

/// A setting's value, without what nothing may show.
fn shown(key: &str, value: String) -> String {
    match key {
        metadata::KEY => metadata::shown(&value),
        _ => value,
    }
}

/// A secret, where the environment holds it. No error shows it.
fn secret(environment: &Environment, variable: &str) -> Result<Option<Secret>, String> {
    let Some(value) = environment.variable(variable) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .ok_or_else(|| format!("environment variable {variable}: not UTF-8 text"))?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}

/// clap's id of the argument with the flag `--key`.
fn id(key: &str) -> String {
    key.replace('-', "_")
}

/// Returns a flag's value if the command line itself has it. `job send` doesn't know every flag.
fn flag(matches: &ArgMatches, id: &str) -> Option<OsString> {
    let mut raw = matches.try_get_raw(id).ok()??;
    (matches.value_source(id) == Some(ValueSource::CommandLine))
        .then(|| raw.next().map(OsString::from))?
}

/// Returns the file to read: `--config`, `JOB_CONFIG`, or `job.toml` if it exists.
fn config_file(matches: &ArgMatches, environment: &Environment) -> Result<Option<PathBuf>, String> {
    let named = flag(matches, CONFIG).map(|path| (path, format!("--{CONFIG}")));
    let name = variable_name(CONFIG);
    let named = named.or_else(|| Some((environment.variable(&name)?.clone(), name)));
    if let Some((path, by)) = named {
        let path = PathBuf::from(path);
        return match environment.folder.join(&path).try_exists() {
            Ok(true) => Ok(Some(path)),
            Ok(false) => Err(format!("{by} names {}, which is not there", path.display())),
            Err(error) => Err(format!("{by} names {}: {error}", path.display())),
        };
    }
    let there = environment
        .folder
        .join(DEFAULT_FILE)
        .try_exists()
        .unwrap_or(true);
    Ok(there.then(|| PathBuf::from(DEFAULT_FILE)))
}
