//! `job config`: the settings in force, each with where it is from; or a file with all settings.
//!
//! What it prints is a job.toml itself.

use std::io::Write;

use serde_json::json;

use crate::settings::load::{HIDDEN, Loaded, Origin, Setting};
use crate::settings::reference::{Described, described, example};

/// Where the remarks stand, where the lines leave room for that.
const COLUMN: usize = 44;

/// What `job config` prints.
#[derive(Debug)]
pub enum Form {
    InForce(Loaded),
    Json(Loaded),
    Example,
}

/// # Errors
/// The output takes nothing.
pub fn config(form: &Form, out: &mut dyn Write) -> Result<(), String> {
    let text = match form {
        Form::InForce(loaded) => in_force(loaded),
        Form::Json(loaded) => as_json(loaded),
        Form::Example => example(),
    };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| format!("cannot write to standard output: {error}"))
}

fn in_force(loaded: &Loaded) -> String {
    let mut text = match &loaded.file {
        Some(file) => format!("# File: {}\n", one_line(&file.to_string_lossy())),
        None => "# File: none\n".to_owned(),
    };
    let described = described();
    for setting in loaded.settings() {
        let line = line(setting, described.iter().find(|one| one.key == setting.key));
        text += &format!(
            "{line:COLUMN$} # {}\n",
            one_line(&setting.origin.to_string())
        );
    }
    for name in loaded.ignored() {
        text += &format!("# Ignored, as no setting of job: {}\n", one_line(name));
    }
    text
}

/// What has no value in the file, and what no file may hold, is a comment.
fn line(setting: &Setting, described: Option<&Described>) -> String {
    match (described, &setting.value) {
        // As a value it would be sent.
        (Some(described), Some(value)) if value.contains(HIDDEN) => {
            format!("#{}", described.line(value))
        }
        (Some(described), Some(value)) => described.line(value),
        (Some(described), None) => format!("#{} = none", described.key),
        (None, _) => format!("#{} = {HIDDEN}", setting.key),
    }
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn as_json(loaded: &Loaded) -> String {
    let settings = loaded.settings().iter().map(|setting| {
        let (kind, from) = match &setting.origin {
            Origin::Default => ("default", None),
            Origin::Credential(name) => ("credential", Some(name.clone())),
            Origin::File(path) => ("file", Some(path.display().to_string())),
            Origin::Variable(name) => ("environment", Some(name.clone())),
            Origin::Flag(name) => ("flag", Some(name.clone())),
        };
        let Setting { key, value, .. } = setting;
        json!({ "key": key, "value": value, "kind": kind, "from": from })
    });
    let settings: Vec<_> = settings.collect();
    let file = loaded.file.as_ref().map(|file| file.display().to_string());
    let all = json!({ "file": file, "settings": settings, "ignored": loaded.ignored() });
    format!("{all:#}\n")
}
