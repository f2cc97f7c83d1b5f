//! Settings from four places: flags win over environment variables, those over the file, that over defaults.
//!
//! Each value of the lower layers is written as `--key=value` and read by the flags' own parser. What a
//! layer holds is checked even where a higher one wins.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, FromArgMatches};
use toml::de::{DeTable, DeValue};

use crate::cli::SettingArgs;
use crate::config::Config;

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "job.toml";
/// The one flag that is no key of the file: it names the file.
const CONFIG: &str = "config";

/// What surrounds the command line: the process's, or a test's.
pub struct Surroundings {
    /// The environment variables.
    pub variables: HashMap<OsString, OsString>,
    /// The working folder.
    pub folder: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Surroundings {
        Surroundings {
            variables: std::env::vars_os().collect(),
            folder: PathBuf::new(),
        }
    }

    /// A variable's value; an empty one counts as not set.
    fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables
            .get(&OsString::from(name))
            .filter(|value| !value.is_empty())
    }
}

/// The settings, and where each is from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    settings: Vec<Setting>,
}

#[derive(Clone, Debug)]
struct Setting {
    key: String,
    value: String,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq)]
enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Variable(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

impl Loaded {
    /// A line for each setting, as `topic = chat (job.toml)`: the value in use, and where it is from.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.settings
            .iter()
            .map(|Setting { key, value, origin }| format!("{key} = {value} ({origin})"))
    }
}

/// The environment variable of a setting; `None` for a flag that is no setting.
pub fn variable(arg: &Arg) -> Option<String> {
    let settings = SettingArgs::augment_args(clap::Command::new("job"));
    let known = settings
        .get_arguments()
        .any(|setting| setting.get_id() == arg.get_id());
    known.then(|| variable_name(arg.get_long().unwrap_or_default()))
}

fn variable_name(key: &str) -> String {
    format!("JOB_{}", key.replace('-', "_").to_ascii_uppercase())
}

/// Reads all layers under the flags of `matches`. The error names the value, and the variable or the file
/// and line where it stands.
pub fn load(matches: &ArgMatches, surroundings: &Surroundings) -> Result<Loaded, String> {
    let parser = Parser::new();
    let mut layered: BTreeMap<String, (OsString, Origin)> = BTreeMap::new();

    let file = config_file(matches, surroundings)?;
    if let Some(path) = &file {
        for (key, value) in read_file(path, surroundings, &parser)? {
            layered.insert(key, (value.into(), Origin::File(path.clone())));
        }
    }
    for key in &parser.keys {
        let name = variable_name(key);
        if let Some(value) = surroundings.variable(&name) {
            parser.check(key, value).map_err(|reason| {
                format!(
                    "environment variable {name}={}: {}",
                    value.display(),
                    reason.of_value()
                )
            })?;
            layered.insert(key.clone(), (value.clone(), Origin::Variable(name)));
        }
    }
    for key in &parser.keys {
        if let Some(value) = flag(matches, &id(key)) {
            layered.insert(key.clone(), (value, Origin::Flag(format!("--{key}"))));
        }
    }

    let args = layered.iter().map(|(key, (value, _))| argument(key, value));
    let merged = parser.parse(args).map_err(|error| error.to_string())?;
    let settings = parser.keys.iter().map(|key| {
        let value = merged.get_raw(&id(key)).into_iter().flatten().next();
        Setting {
            key: key.clone(),
            value: value.map_or("none".into(), |value| value.to_string_lossy().into_owned()),
            origin: layered
                .get(key)
                .map_or(Origin::Default, |(_, origin)| origin.clone()),
        }
    });
    Ok(Loaded {
        settings: settings.collect(),
        file,
        config: SettingArgs::from_arg_matches(&merged)
            .map_err(|error| error.to_string())?
            .into(),
    })
}

/// clap's id of the argument with the flag `--key`.
fn id(key: &str) -> String {
    key.replace('-', "_")
}

fn argument(key: &str, value: &OsString) -> OsString {
    let mut argument = OsString::from(format!("--{key}="));
    argument.push(value);
    argument
}

/// What the command line says itself about an argument (which `job send` may not have).
fn flag(matches: &ArgMatches, id: &str) -> Option<OsString> {
    let mut raw = matches.try_get_raw(id).ok()??;
    (matches.value_source(id) == Some(ValueSource::CommandLine))
        .then(|| raw.next().map(OsString::from))?
}

/// The file to read: `--config`, `JOB_CONFIG`, or `job.toml` where it is there.
fn config_file(
    matches: &ArgMatches,
    surroundings: &Surroundings,
) -> Result<Option<PathBuf>, String> {
    let named = flag(matches, CONFIG).map(|path| (path, format!("--{CONFIG}")));
    let name = variable_name(CONFIG);
    let named = named.or_else(|| Some((surroundings.variable(&name)?.clone(), name)));
    if let Some((path, by)) = named {
        let path = PathBuf::from(path);
        return match surroundings.folder.join(&path).try_exists() {
            Ok(true) => Ok(Some(path)),
            Ok(false) => Err(format!("{by} names {}, which is not there", path.display())),
            Err(error) => Err(format!("{by} names {}: {error}", path.display())),
        };
    }
    let there = surroundings
        .folder
        .join(DEFAULT_FILE)
        .try_exists()
        .unwrap_or(true);
    Ok(there.then(|| PathBuf::from(DEFAULT_FILE)))
}

/// The file's keys and values, each checked.
fn read_file(
    path: &Path,
    surroundings: &Surroundings,
    parser: &Parser,
) -> Result<Vec<(String, String)>, String> {
    let shown = path.display();
    let bytes = std::fs::read(surroundings.folder.join(path))
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        format!("{shown}:{}: not UTF-8 text", line(good, good.len()))
    })?;
    let at = |start: usize| format!("{shown}:{}", line(text.as_bytes(), start));

    let table = DeTable::parse(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        format!("{}: {}", at(start), error.message())
    })?;
    let mut found = Vec::new();
    for (key, value) in table.get_ref() {
        let at = at(key.span().start);
        let key = key.get_ref().as_ref();
        if !parser.keys.iter().any(|known| known == key) {
            return Err(format!(
                "{at}: unknown key '{key}'{}",
                parser.nearest(key, value.get_ref())
            ));
        }
        let value = plain(value.get_ref()).ok_or_else(|| {
            format!(
                "{at}: {key} must be a string, a number or a list of strings, not a {}",
                value.get_ref().type_str()
            )
        })?;
        parser
            .check(key, &OsString::from(&value))
            .map_err(|reason| format!("{at}: {key} = {value}: {}", reason.of_value()))?;
        found.push((key.to_owned(), value));
    }
    Ok(found)
}

/// The number of the line in which byte `end` stands.
fn line(text: &[u8], end: usize) -> usize {
    1 + text.iter().take(end).filter(|&&byte| byte == b'\n').count()
}

/// A value as it would be written in a flag: a list becomes one of commas.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|n| n.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Array(list) => {
            let items = list
                .iter()
                .map(|item| item.get_ref().as_str().map(ToOwned::to_owned));
            items
                .collect::<Option<Vec<_>>>()
                .map(|items| items.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// Reads `--key=value`, for values from whatever layer.
struct Parser {
    command: clap::Command,
    keys: Vec<String>,
}

impl Parser {
    fn new() -> Parser {
        let command = SettingArgs::augment_args(clap::Command::new("job"))
            .no_binary_name(true)
            .disable_help_flag(true);
        let keys = command
            .get_arguments()
            .filter_map(Arg::get_long)
            .filter(|key| *key != CONFIG);
        Parser {
            keys: keys.map(ToOwned::to_owned).collect(),
            command,
        }
    }

    fn parse(&self, args: impl IntoIterator<Item = OsString>) -> Result<ArgMatches, clap::Error> {
        self.command.clone().try_get_matches_from(args)
    }

    fn check(&self, key: &str, value: &OsString) -> Result<(), Reason> {
        self.parse([argument(key, value)]).map(drop).map_err(Reason)
    }

    /// What to say after the name of an unknown key.
    fn nearest(&self, key: &str, value: &DeValue<'_>) -> String {
        if value.is_table() {
            return ": settings stand outside of [sections]".into();
        }
        if key == CONFIG {
            return ": one file cannot name another".into();
        }
        let error = self
            .parse([argument(&key.replace('_', "-"), &"".into())])
            .err();
        let similar = error.as_ref().and_then(|error| match error.kind() {
            ErrorKind::UnknownArgument => error.get(ContextKind::SuggestedArg),
            // It is known once '_' is written '-'.
            _ => error.get(ContextKind::InvalidArg),
        });
        match similar {
            Some(ContextValue::String(flag)) => {
                let flag = flag.trim_start_matches('-');
                format!(
                    "; did you mean '{}'?",
                    flag.split([' ', '=']).next().unwrap_or(flag)
                )
            }
            _ => format!("; the keys are {}", self.keys.join(", ")),
        }
    }
}

/// Why a value was refused.
struct Reason(clap::Error);

impl Reason {
    /// The reason alone, without clap's mention of a flag that nobody wrote.
    fn of_value(&self) -> String {
        if let Some(source) = std::error::Error::source(&self.0) {
            return source.to_string();
        }
        match (self.0.kind(), self.0.get(ContextKind::ValidValue)) {
            (ErrorKind::InvalidUtf8, _) => "not UTF-8 text".into(),
            (_, Some(ContextValue::Strings(valid))) => {
                format!("must be one of {}", valid.join(", "))
            }
            _ => "not a valid value".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Fetch;
    use std::time::Duration;

    /// Loads from flags, variables and a file's text, as `job run` would.
    fn load_all(
        flags: &[&str],
        variables: &[(&str, &str)],
        file: Option<&str>,
    ) -> Result<Loaded, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if let Some(text) = file {
            std::fs::write(folder.path().join(DEFAULT_FILE), text).expect("a written file");
        }
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let matches = Parser::new()
            .parse(flags.iter().map(OsString::from))
            .map_err(|error| error.to_string())?;
        load(
            &matches,
            &Surroundings {
                variables,
                folder: folder.path().to_owned(),
            },
        )
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let file = "topic = 'file'\ngroup = 'file'\nwindow = 7\n";
        let variables = [
            ("JOB_TOPIC", "variable"),
            ("JOB_GROUP", "variable"),
            ("JOB_THREADS", ""),
        ];
        let loaded = load_all(&["--topic=flag"], &variables, Some(file)).expect("loads");
        assert_eq!(loaded.config.topic, "flag");
        assert_eq!(loaded.config.group, "variable");
        assert_eq!(loaded.config.window, 7);
        assert_eq!(loaded.config.threads, 4);
        let lines: Vec<_> = loaded.lines().collect();
        for line in [
            "brokers = localhost:9092 (default)",
            "topic = flag (--topic)",
            "group = variable (JOB_GROUP)",
            "group-instance-id = none (default)",
            "window = 7 (job.toml)",
        ] {
            assert!(
                lines.iter().any(|l| l == line),
                "{line} is not in {lines:#?}"
            );
        }
    }

    #[test]
    fn every_setting_can_stand_in_the_file_and_in_the_environment() {
        let file = "brokers = ['a:1', 'b:2']\ntopic = 't'\ngroup = 'g'\ngroup-instance-id = 'i'\n\
            session-timeout = 6\ncomet = 'c:1,[::1]:2'\nthreads = 1\nwindow = 0x10\nfetch = 'modern'\n\
            call-timeout = '500ms'\nshutdown-timeout = 0\nhold-messages = 10_000\nhold-bytes = '64KiB'\n";
        let expected = Config {
            brokers: vec!["a:1".into(), "b:2".into()],
            topic: "t".into(),
            group: "g".into(),
            group_instance_id: Some("i".into()),
            session_timeout: Duration::from_secs(6),
            comet: vec!["c:1".into(), "[::1]:2".into()],
            threads: 1,
            window: 16,
            fetch: Fetch::Modern,
            call_timeout: Duration::from_millis(500),
            shutdown_timeout: Duration::ZERO,
            hold_messages: 10_000,
            hold_bytes: 65_536,
        };
        assert_eq!(
            load_all(&[], &[], Some(file)).expect("loads").config,
            expected
        );
        let variables = [
            ("JOB_BROKERS", "a:1,b:2"),
            ("JOB_TOPIC", "t"),
            ("JOB_GROUP", "g"),
            ("JOB_GROUP_INSTANCE_ID", "i"),
            ("JOB_SESSION_TIMEOUT", "6"),
            ("JOB_COMET", "c:1, [::1]:2"),
            ("JOB_THREADS", "1"),
            ("JOB_WINDOW", "16"),
            ("JOB_FETCH", "modern"),
            ("JOB_CALL_TIMEOUT", "500ms"),
            ("JOB_SHUTDOWN_TIMEOUT", "0"),
            ("JOB_HOLD_MESSAGES", "10000"),
            ("JOB_HOLD_BYTES", "65536"),
        ];
        assert_eq!(variables.len(), Parser::new().keys.len());
        assert_eq!(
            load_all(&[], &variables, None).expect("loads").config,
            expected
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (file, says) in [
            (
                "\nbroker = 'a:1'",
                "job.toml:2: unknown key 'broker'; did you mean 'brokers'?",
            ),
            (
                "hold_bytes = 1",
                "job.toml:1: unknown key 'hold_bytes'; did you mean 'hold-bytes'?",
            ),
            (
                "colour = 1",
                "job.toml:1: unknown key 'colour'; the keys are brokers, topic,",
            ),
            (
                "config = 'x'",
                "job.toml:1: unknown key 'config': one file cannot name another",
            ),
            (
                "\n[kafka]\nbrokers = 'a:1'",
                "job.toml:2: unknown key 'kafka': settings stand outside of [sections]",
            ),
            (
                "\n\nthreads = 65",
                "job.toml:3: threads = 65: not a whole number from 1 to 64",
            ),
            (
                "fetch = 'x'",
                "job.toml:1: fetch = x: must be one of auto, classic, modern",
            ),
            ("fetch = ''", "job.toml:1: fetch = : "),
            (
                "topic = ''",
                "job.toml:1: topic = : the name of a topic is missing",
            ),
            (
                "brokers = []",
                "job.toml:1: brokers = : an address is missing",
            ),
            (
                "brokers = [1]",
                "job.toml:1: brokers must be a string, a number or a list of strings, not a",
            ),
            ("topic = 'a'\ntopic = 'b'", "job.toml:2: duplicate key"),
            ("topic = ", "job.toml:1: "),
        ] {
            let error = load_all(&[], &[], Some(file)).expect_err(file);
            assert!(error.starts_with(says), "{file}: {error}");
        }
        let error = load_all(&["--threads=2"], &[("JOB_THREADS", "many")], None)
            .expect_err("a bad variable");
        assert_eq!(
            error,
            "environment variable JOB_THREADS=many: not a whole number from 1 to 64"
        );
        let error = load_all(&[], &[("JOB_CONFIG", "other.toml")], None).expect_err("no such file");
        assert_eq!(error, "JOB_CONFIG names other.toml, which is not there");
    }
}
