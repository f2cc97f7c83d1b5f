//! The settings described for people. What a file with all of them says, and the tables of the docs, comes from the flags' own
//! descriptions.

#[cfg(test)]
mod tests;

use clap::{Arg, Args, Command};

use super::args::SettingArgs;
use super::load::{CONFIG, variable_name};

/// What there is to say about a setting.
#[derive(Clone, Debug)]
pub struct Described {
    /// The flag without its dashes, and the file's key.
    pub key: String,
    pub variable: String,
    pub default: Option<String>,
    /// What it is for, in a sentence or two without the last full stop.
    pub help: String,
    /// The values, where there are only these.
    pub values: Vec<String>,
    /// What stands for a value in the help.
    placeholder: String,
}

/// All settings that can stand in a file, in the order in which the help has them.
pub fn described() -> Vec<Described> {
    let command = SettingArgs::augment_args(Command::new("job"));
    let settings = command.get_arguments().filter_map(of);
    settings.collect()
}

fn of(arg: &Arg) -> Option<Described> {
    let key = arg.get_long().filter(|key| *key != CONFIG)?;
    let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
    let values = arg.get_possible_values();
    Some(Described {
        key: key.to_owned(),
        variable: variable_name(key),
        default: arg.get_default_values().first().map(|value| text(value)),
        help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        values: values
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect(),
        placeholder: arg
            .get_value_names()
            .and_then(<[_]>::first)
            .map(ToString::to_string)
            .unwrap_or_default(),
    })
}

impl Described {
    /// The line of a file that sets it.
    pub fn line(&self, value: &str) -> String {
        format!("{} = {}", self.key, self.written(value))
    }

    /// A value as a TOML file has it.
    fn written(&self, value: &str) -> String {
        let is_list = self.placeholder.ends_with(",…");
        if is_list {
            let items: Vec<_> = value.split(',').map(|item| string(item.trim())).collect();
            return format!("[{}]", items.join(", "));
        }
        // TOML knows no number that begins with a zero or a plus.
        let is_number = value
            .parse::<u32>()
            .is_ok_and(|number| number.to_string() == value);
        match is_number {
            true => value.to_owned(),
            false => string(value),
        }
    }

    /// A value to show where there is no default: one that the parser takes.
    fn sample(&self) -> String {
        if let Some(first) = self.values.first() {
            return first.clone();
        }
        match self.placeholder.as_str() {
            "FILE" | "PATH" => format!("/etc/chatroom-job/{}", self.key),
            "URL" => "https://login.example.com/token".into(),
            other => other.trim_end_matches(",…").to_lowercase(),
        }
    }
}

/// A basic string of TOML.
fn string(text: &str) -> String {
    let mut written = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => written.extend(['\\', letter]),
            control if control.is_control() => written += &format!("\\u{:04X}", u32::from(control)),
            other => written.push(other),
        }
    }
    written + "\""
}

const HEAD: &str = "\
Settings of job. Each stands here with its default, as a comment: take its # away to change it. One without a default shows a value as it \
could be.

job reads the file that --config or JOB_CONFIG names, else job.toml in its working folder. A flag wins over an environment variable, that \
over this file, and the file over the default. `job config` shows what is in force, and where it is from.

Times are written as \"500ms\", \"10s\", \"2m\", sizes as 65536 (bytes), \"64KiB\" or \"64MiB\". A secret is in a file of its own, which a setting \
here names.";

/// A job.toml with all settings, each a comment.
pub fn example() -> String {
    let mut file = comment(HEAD);
    for setting in described() {
        file.push('\n');
        file += &comment(&setting.help);
        if !setting.values.is_empty() {
            file += &comment(&format!("One of: {}", setting.values.join(", ")));
        }
        let value = match &setting.default {
            Some(default) => default.clone(),
            None => {
                file += &comment("Default: none");
                setting.sample()
            }
        };
        file += &format!("#{}\n", setting.line(&value));
    }
    file
}

/// Wraps a text into lines of comments.
fn comment(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = String::new();
    for paragraph in text.split('\n') {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines += &line;
                lines.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line += word;
        }
        lines += &line;
        lines.push('\n');
    }
    lines
}
