//! What `job ctl` can be asked for.

use clap::{ArgMatches, Args, FromArgMatches, Subcommand};

use crate::control::request::{Request, level, skip};
use crate::settings::args::ControlledArgs;

#[derive(Debug, Subcommand)]
#[command(after_help = HELP)]
pub(super) enum CtlCommand {
    /// Read the settings again, and apply what has changed: all of it, or nothing where something needs a restart
    #[command(after_help = RELOAD_HELP)]
    Reload(PlainCommand),
    /// Change how much is logged: TRACE, DEBUG, INFO, WARN or ERROR
    LogLevel(LevelCommand),
    /// Read nothing more for now; what is in hand is finished and committed
    #[command(after_help = PAUSE_HELP)]
    Pause(PlainCommand),
    /// Go on reading
    Resume(PlainCommand),
    /// Give up a message that is in hand and isn't finished: it becomes a dead letter
    #[command(
        after_help = SKIP_HELP,
        override_usage = "job ctl skip [OPTIONS] [TOPIC] <PARTITION> <OFFSET>"
    )]
    Skip(SkipCommand),
    /// Show the last 100 commands, with who gave them
    Journal(PlainCommand),
}

const HELP: &str = "\
The job listens at a Unix socket (its log says where: job ctl reaches this process at ...). Where it is found in \
the runtime folder, --control isn't needed. Only its user and root may use it.

Examples:
  job ctl pause
  job ctl log-level DEBUG --control /run/chatroom-job/job.sock
  job ctl skip 3 1207";

const RELOAD_HELP: &str = "\
Flags and environment are those of the job's start; the file is read as it is now. These can change: log-messages, \
max-age, max-age-action, catch-up, hold-messages, hold-bytes, shutdown-timeout. Files of passwords and certificates are read with each new \
connection anyway.";

const PAUSE_HELP: &str = "\
The job stays in its group and keeps its partitions; what comes stays in Kafka. Comets that missed messages don't \
catch up meanwhile. A restart goes on.";

const SKIP_HELP: &str = "\
The message becomes a dead letter for the Comets that it waits for, and those behind it go on in their order. A call \
under way is awaited: that Comet has the message if the call ends well, else it isn't tried again.";

/// A command without words of its own.
#[derive(Debug, Args)]
pub(super) struct PlainCommand {
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    controlled: ControlledArgs,
}

#[derive(Debug, Args)]
pub(super) struct LevelCommand {
    #[command(flatten)]
    level: LevelArgs,
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    controlled: ControlledArgs,
}

#[derive(Debug, Args)]
struct LevelArgs {
    /// TRACE, DEBUG, INFO, WARN or ERROR
    #[arg(value_name = "LEVEL", value_parser = level)]
    level: log::LevelFilter,
}

#[derive(Debug, Args)]
pub(super) struct SkipCommand {
    #[command(flatten)]
    record: RecordArgs,
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    controlled: ControlledArgs,
}

#[derive(Debug, Args)]
struct RecordArgs {
    /// The message's topic (where the job reads several), partition and offset: TOPIC[PARTITION]@OFFSET in the status
    #[arg(value_name = "PLACE", required = true, num_args = 2..=3)]
    record: Vec<String>,
}

/// How the answer is shown.
#[derive(Debug, Args)]
struct HowArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What `job ctl` tells a job.
#[derive(Debug)]
pub struct CtlArgs {
    pub request: Request,
    pub json: bool,
}

impl CtlArgs {
    /// What the command of this name was called with.
    pub(super) fn of(name: &str, matches: &ArgMatches) -> Result<CtlArgs, clap::Error> {
        let request = match name {
            "reload" => Request::Reload,
            "log-level" => Request::LogLevel(LevelArgs::from_arg_matches(matches)?.level),
            "pause" => Request::Pause,
            "resume" => Request::Resume,
            "skip" => {
                let record = RecordArgs::from_arg_matches(matches)?.record;
                skip(&record).map_err(super::wrong)?
            }
            _ => Request::Journal,
        };
        let json = HowArgs::from_arg_matches(matches)?.json;
        Ok(CtlArgs { request, json })
    }
}
