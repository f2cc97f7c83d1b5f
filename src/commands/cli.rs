//! The command line: `job [run]`, `job send`, `job check`, `job config`, `job status`, `job ctl` and `job dead-letter`.
//!
//! `settings::args` describes the settings.

mod config;
mod ctl;
mod dead_letter;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::comet::{Metadata, fleet, tls};
use crate::commands::config::Form;
use crate::kafka::Cluster;
use crate::settings;
use crate::settings::args::{ServedArgs, SettingArgs, SourceArgs};
use crate::settings::load::{self, Loaded};
use config::ConfigCommand;
pub use ctl::CtlArgs;
use ctl::CtlCommand;
use dead_letter::DeadLetterCommand;
pub use dead_letter::{ChosenArgs, DeadLetter, ListArgs, ShowArgs};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// `job` and `job run`.
    Run(Loaded),
    /// `job send`.
    Send(Loaded, SendArgs),
    /// `job check`.
    Check(Loaded),
    /// `job config`.
    Config(Form),
    /// `job manual`.
    Manual(PathBuf),
    /// `job status`.
    Status(Loaded, StatusArgs),
    /// `job ctl`.
    Ctl(Loaded, CtlArgs),
    /// `job dead-letter`.
    DeadLetter(Loaded, DeadLetter),
}

#[derive(Debug, Parser)]
#[command(
    name = "job",
    version,
    about = "Delivers a chat system's messages from Kafka to its Comet nodes: in order, none lost",
    long_about = None,
    args_conflicts_with_subcommands = true,
    subcommand_help_heading = "Commands (run, when none is named)",
    after_help = SETTINGS_HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read messages from Kafka and call the Comets until SIGINT or SIGTERM
    #[command(after_help = SETTINGS_HELP)]
    Run(SettingArgs),
    /// Write PushMsg records to the topic, as Logic does
    #[command(after_help = SEND_HELP)]
    Send(SendCommand),
    /// Try each thing that the service needs, and say what to do where one is missing
    #[command(after_help = SETTINGS_HELP)]
    Check(SettingArgs),
    /// Show the settings in force, each with where it is from; or write a file with all of them
    Config(ConfigCommand),
    /// Write the manual pages, and completions for bash, zsh and fish, into a folder: for those who make packages
    #[command(hide = true)]
    Manual(ManualCommand),
    /// Show how a running job stands, and why it is slow
    #[command(after_help = STATUS_HELP)]
    Status(StatusCommand),
    /// Steer a running job: pause it, skip a message, change its log level or settings
    #[command(subcommand)]
    Ctl(CtlCommand),
    /// See the messages that could not be delivered; send them again, or discard them
    #[command(subcommand)]
    DeadLetter(DeadLetterCommand),
}

const SETTINGS_HELP: &str = "\
Each setting is a flag, an environment variable and a key of the same name in a TOML file.
Flags win over the environment, that over the file, and that over the defaults.
Times are written as 500ms, 10s or 2m; sizes as 65536, 64KiB or 64MiB.

MUDUO_LOG_LEVEL=TRACE|DEBUG|INFO|WARN|ERROR sets how much is logged (INFO), or RUST_LOG by module.";

const SEND_HELP: &str = "\
Examples:
  job send --room r1 hello
  job send --chat --user alice --room r1 hello everybody
  job send --room r1 --count 1000 --rate 100 'message {\x1b[1mn\x1b[0m}'
  job send --key user-17 --server comet-1 'only for you'";

const STATUS_HELP: &str = "\
It asks the job that serves at --http (its log says where: metrics, health and status at http://...). A browser shows
the same at that address.

Examples:
  job status
  job status --watch --http 10.0.0.5:9093
  job status --json";

#[derive(Debug, Args)]
struct ManualCommand {
    /// The folder, which is made where it isn't there
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct StatusCommand {
    #[command(flatten)]
    status: StatusArgs,
    #[command(flatten)]
    served: ServedArgs,
}

/// How `job status` shows it.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// As JSON, one document a line
    #[arg(long)]
    pub json: bool,
    /// Again every 2 seconds, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Only whether its threads go on, as /healthz says it: the exit code is 0, or 1 where not
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub health: bool,
}

#[derive(Debug, Args)]
struct SendCommand {
    #[command(flatten)]
    send: SendArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// What `job send` writes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("to").required(true).args(["room", "key", "broadcast"]))]
pub struct SendArgs {
    /// To everybody in this room
    #[arg(long, value_name = "ROOM", value_parser = settings::name)]
    pub room: Option<String>,
    /// To this user; more users may be named by more --key
    #[arg(long, value_name = "KEY", value_parser = settings::name)]
    pub key: Vec<String>,
    /// To everybody
    #[arg(long)]
    pub broadcast: bool,
    /// The message's operation [default: 4, and 5 with --broadcast]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub operation: Option<i32>,
    /// The Comet that the users of --key are connected to
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub server: String,
    /// How many messages
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Messages a second [default: as fast as Kafka takes them]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Wrap the text into the JSON body that the web page shows as a chat message
    #[arg(long)]
    pub chat: bool,
    /// Who the chat message is from
    #[arg(
        long,
        value_name = "NAME",
        default_value = "job send",
        requires = "chat"
    )]
    pub user: String,
    // clap takes a plain {n} in a help text for a new line.
    #[arg(
        value_name = "TEXT",
        required = true,
        help = "Words are joined by a space; {\x1b[1mn\x1b[0m} becomes the number of the message, from 1"
    )]
    pub text: Vec<String>,
}

/// Reads this process's command line, environment and configuration file. Prints `--help`, `--version` and errors, and
/// ends the process for them: with 0, or 2 for an error.
pub fn invocation() -> Invocation {
    read(std::env::args_os(), &load::Environment::of_process()).unwrap_or_else(|error| error.exit())
}

fn read(
    args: impl IntoIterator<Item = std::ffi::OsString>,
    environment: &load::Environment,
) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    let (command, matches) = matches.subcommand().unwrap_or(("run", &matches));
    let (name, matches) = matches.subcommand().unwrap_or((command, matches));
    if name == "manual" {
        let ManualCommand { folder } = ManualCommand::from_arg_matches(matches)?;
        return Ok(Invocation::Manual(folder));
    }
    if name == "config" && config::is_example(matches) {
        return Ok(Invocation::Config(Form::Example));
    }
    if name == "status" {
        return Ok(Invocation::Status(
            load::load_one(matches, environment, "http").map_err(wrong)?,
            StatusArgs::from_arg_matches(matches)?,
        ));
    }
    if command == "ctl" {
        return Ok(Invocation::Ctl(
            load::load_one(matches, environment, "control").map_err(wrong)?,
            CtlArgs::of(name, matches)?,
        ));
    }
    let loaded = load::load(matches, environment).map_err(wrong)?;
    if name == "config" {
        return Ok(Invocation::Config(config::in_force(loaded, matches)));
    }
    // The files that settings name are settings too. Later on, one that can't be read is waited for.
    Cluster::of(&loaded.config).check_files().map_err(wrong)?;
    if let "run" | "check" = name {
        Metadata::read(&loaded.config.comet_metadata).map_err(wrong)?;
        if let Some(tls) = &loaded.config.comet_tls {
            tls::check_files(tls).map_err(wrong)?;
        }
    }
    if name == "run" {
        fleet::check_files(&loaded.config).map_err(wrong)?;
    }
    Ok(match name {
        "send" => Invocation::Send(loaded, SendArgs::from_arg_matches(matches)?),
        "check" => Invocation::Check(loaded),
        "list" | "show" | "replay" | "discard" => {
            Invocation::DeadLetter(loaded, DeadLetter::of(name, matches)?)
        }
        _ => Invocation::Run(loaded),
    })
}

fn wrong(message: String) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, message + "\n")
}

/// Returns what reads the settings again as [`invocation`] did: the same flags and environment, and the file as it is then.
pub fn again() -> impl FnMut() -> Result<Loaded, String> + Send {
    let environment = load::Environment::of_process();
    let args: Vec<_> = std::env::args_os().collect();
    move || {
        let read = read(args.clone(), &environment).map_err(|error| {
            let text = error.to_string();
            text.trim_start_matches("error: ").trim_end().to_owned()
        });
        match read? {
            Invocation::Run(loaded) => Ok(loaded),
            // A command line stays what it is.
            _ => Err("it isn't the service's command line".into()),
        }
    }
}

/// The command line, its settings' help completed by the names of their environment variables.
pub fn command() -> clap::Command {
    let with_variables = |command: clap::Command| {
        command.mut_args(|arg| match load::variable(&arg) {
            Some(variable) => {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                arg.help(format!("{help} [env: {variable}]"))
            }
            None => arg,
        })
    };
    with_variables(Cli::command())
        .mut_subcommands(|command| with_variables(command).mut_subcommands(with_variables))
}

#[cfg(test)]
mod tests;
