//! What `job config` can be asked for.

use clap::{ArgMatches, Args};

use crate::commands::config::Form;
use crate::settings::args::SettingArgs;
use crate::settings::load::Loaded;

const HELP: &str = "\
What it prints is a job.toml: `job config > job.toml` keeps what is in force. A secret is never shown.

Examples:
  job config
  job config --threads 8 --json
  job config --example > job.toml";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct ConfigCommand {
    /// A file with all settings, each with its default, as comments
    #[arg(long, conflicts_with = "json")]
    example: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

/// A file with all settings is asked for, whatever those in force are.
pub(super) fn is_example(matches: &ArgMatches) -> bool {
    matches.get_flag("example")
}

pub(super) fn in_force(loaded: Loaded, matches: &ArgMatches) -> Form {
    match matches.get_flag("json") {
        true => Form::Json(loaded),
        false => Form::InForce(loaded),
    }
}
