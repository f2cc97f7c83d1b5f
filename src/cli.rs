//! The command line: `job [run]`, `job send`, `job check` and `job dead-letter`.
//!
//! The settings are described here once. `layers` reads the environment and the file through the same
//! description, so that flags, variables and keys agree.

mod dead_letter;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Addresses, Coalesce, Config, Fetch, Isolation, Window};
use crate::layers::{self, Loaded};
use crate::sharing::Sharing;
use dead_letter::DeadLetterCommand;
pub use dead_letter::{ChosenArgs, DeadLetter, ListArgs, ShowArgs};

/// What was asked for.
#[derive(Debug)]
pub enum Invocation {
    /// `job` and `job run`.
    Run(Loaded),
    /// `job send`.
    Send(Loaded, SendArgs),
    /// `job check`.
    Check(Loaded),
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
    /// See the messages that could not be delivered; send them again, or discard them
    #[command(subcommand)]
    DeadLetter(DeadLetterCommand),
}

const SETTINGS_HELP: &str = "\
Each setting is a flag, an environment variable and a key of the same name in a TOML file.
Flags win over the environment, that over the file, and that over the defaults.
Times are written as 500ms, 10s or 2m; sizes as 65536, 64KiB or 64MiB.

MUDUO_LOG_LEVEL=TRACE|DEBUG|INFO|WARN|ERROR sets how much is logged (INFO).";

const SEND_HELP: &str = "\
Examples:
  job send --room r1 hello
  job send --chat --user alice --room r1 hello everybody
  job send --room r1 --count 1000 --rate 100 'message {\x1b[1mn\x1b[0m}'
  job send --key user-17 --server comet-1 'only for you'";

/// The flags that say where messages are: all that `job send` and `job dead-letter` need.
#[derive(Debug, Args)]
struct SourceArgs {
    /// TOML file with settings [default: job.toml in the working folder, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kafka's brokers, separated by commas
    #[arg(long, value_name = "HOST:PORT,…", default_value = "localhost:9092", value_parser = config::addresses)]
    brokers: Addresses,
    /// Topic of the PushMsg records
    #[arg(long, default_value = "my-topic", value_parser = config::topic)]
    topic: String,
}

/// All settings. Each field's flag names its variable and key too.
#[derive(Debug, Args)]
pub(crate) struct SettingArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Consumer group
    #[arg(long, default_value = "my_consumer_group", value_parser = config::name)]
    group: String,
    /// Name of this member, for static membership: a restart under the same name causes no rebalance
    #[arg(long, value_name = "ID", value_parser = config::name)]
    group_instance_id: Option<String>,
    /// How long Kafka waits for a heartbeat before others take this member's partitions
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = config::duration)]
    session_timeout: Duration,
    /// The Comet nodes, separated by commas
    #[arg(long, value_name = "HOST:PORT,…", default_value = "localhost:50051", value_parser = config::distinct_addresses)]
    comet: Addresses,
    /// Workers, 1 to 64
    #[arg(long, value_name = "N", default_value = "4", value_parser = config::count(1, 64))]
    threads: usize,
    /// Calls in flight at once for each worker and Comet, 1 to 4096; auto: 64 shared among a worker's Comets, 8 at least
    #[arg(long, value_name = "N", default_value = "auto", value_parser = config::window)]
    window: Window,
    /// Whether calls that start together leave together (src/comet/cork.rs). Off is for the day on which that is
    /// suspected of a fault: it only costs speed.
    #[arg(long, hide = true, value_name = "SWITCH", default_value = "on", action = ArgAction::Set, value_parser = config::switch())]
    cork_calls: bool,
    /// Client that reads the records: classic for Kafka up to 3.9, modern from 3.7 on, auto chooses
    #[arg(long, value_name = "CLIENT", default_value = "auto", value_parser = config::fetch())]
    fetch: Fetch,
    /// Whether records of a Kafka transaction wait for its commit, and are left out where it is aborted
    #[arg(long, value_name = "LEVEL", default_value = "read_committed", value_parser = config::isolation())]
    isolation_level: Isolation,
    /// Messages that wait for a room go together in one call: as one web body (json), or as goim's frames
    #[arg(long, value_name = "FORM", default_value = "off", value_parser = config::coalesce())]
    coalesce: Coalesce,
    /// Messages in such a call at most, 2 to 1000
    #[arg(long, value_name = "N", default_value = "20", value_parser = config::count(2, 1000))]
    coalesce_max: usize,
    /// Bytes of its body at most, up to 3MiB
    #[arg(long, value_name = "SIZE", default_value = "65536", value_parser = config::coalesce_bytes)]
    coalesce_bytes: usize,
    /// Deadline of one call to a Comet
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = config::duration)]
    call_timeout: Duration,
    /// How long a stop may take, which waits for what is in flight
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = config::duration_or_none)]
    shutdown_timeout: Duration,
    /// Messages held at most between Kafka and the Comets; reading pauses there
    #[arg(long, value_name = "N", default_value = "4000", value_parser = config::count(1, usize::MAX))]
    hold_messages: usize,
    /// Bytes of them held at most
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = config::bytes)]
    hold_bytes: usize,
}

impl From<SettingArgs> for Config {
    fn from(args: SettingArgs) -> Config {
        Config {
            brokers: args.source.brokers.0,
            topic: args.source.topic,
            group: args.group,
            group_instance_id: args.group_instance_id,
            session_timeout: args.session_timeout,
            threads: args.threads,
            window: args
                .window
                .calls(Sharing::new(args.threads, args.comet.0.len()).comets_each()),
            comet: args.comet.0,
            cork_calls: args.cork_calls,
            fetch: args.fetch,
            isolation: args.isolation_level,
            coalesce: args.coalesce,
            coalesce_max: args.coalesce_max,
            coalesce_bytes: args.coalesce_bytes,
            call_timeout: args.call_timeout,
            shutdown_timeout: args.shutdown_timeout,
            hold_messages: args.hold_messages,
            hold_bytes: args.hold_bytes,
        }
    }
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
    #[arg(long, value_name = "ROOM", value_parser = config::name)]
    pub room: Option<String>,
    /// To this user; more users may be named by more --key
    #[arg(long, value_name = "KEY", value_parser = config::name)]
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

/// Reads the command line of this process, with the environment and the file that belong to it. `--help`,
/// `--version` and errors are printed, and end the process: with 0, and 2 for an error.
pub fn invocation() -> Invocation {
    read(std::env::args_os(), &layers::Surroundings::of_process())
        .unwrap_or_else(|error| error.exit())
}

fn read(
    args: impl IntoIterator<Item = std::ffi::OsString>,
    surroundings: &layers::Surroundings,
) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    let (name, matches) = matches.subcommand().unwrap_or(("run", &matches));
    let (name, matches) = matches.subcommand().unwrap_or((name, matches));
    let loaded = layers::load(matches, surroundings)
        .map_err(|message| clap::Error::raw(ErrorKind::ValueValidation, message + "\n"))?;
    Ok(match name {
        "send" => Invocation::Send(loaded, SendArgs::from_arg_matches(matches)?),
        "check" => Invocation::Check(loaded),
        "list" | "show" | "replay" | "discard" => {
            Invocation::DeadLetter(loaded, DeadLetter::of(name, matches)?)
        }
        _ => Invocation::Run(loaded),
    })
}

/// The command line, its settings' help completed by the names of their environment variables.
fn command() -> clap::Command {
    let with_variables = |command: clap::Command| {
        command.mut_args(|arg| match layers::variable(&arg) {
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
