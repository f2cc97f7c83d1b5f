//! The one parser of values, from any source.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Args};

use super::CONFIG;
use crate::settings::args::SettingArgs;

/// Reads `--key=value`, for values from any source.
pub struct Parser {
    command: clap::Command,
    /// The keys of all settings.
    pub keys: Vec<String>,
}

impl Parser {
    pub fn new() -> Parser {
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

    /// Reads a command line of flags.
    pub fn parse(
        &self,
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<ArgMatches, clap::Error> {
        self.command.clone().try_get_matches_from(args)
    }

    /// Checks one value.
    pub fn check(&self, key: &str, value: &OsString) -> Result<(), Reason> {
        self.parse([argument(key, value)]).map(drop).map_err(Reason)
    }

    /// Returns the hint that follows an unknown key's name.
    pub fn nearest(&self, key: &str) -> String {
        if key == CONFIG {
            return ": one file cannot name another".into();
        }
        let error = self
            .parse([argument(&key.replace('_', "-"), &"".into())])
            .err();
        let similar = error.as_ref().and_then(|error| match error.kind() {
            ErrorKind::UnknownArgument => error.get(ContextKind::SuggestedArg),
            // Known with '-' in place of '_'.
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

/// The parser's error for one value.
pub struct Reason(clap::Error);

impl Reason {
    /// The cause alone, without clap's mention of a flag that nobody wrote.
    pub fn of_value(&self) -> String {
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

/// A value as a flag.
pub fn argument(key: &str, value: &OsString) -> OsString {
    let mut argument = OsString::from(format!("--{key}="));
    argument.push(value);
    argument
}
