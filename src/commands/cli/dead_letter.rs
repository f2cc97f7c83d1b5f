//! What `job dead-letter` can be asked for.

use clap::{ArgGroup, ArgMatches, Args, FromArgMatches, Subcommand};

use crate::commands::dead_letter::{Selection, Sources};
use crate::dead_letter::letter::Place;
use crate::settings;
use crate::settings::args::SourceArgs;

#[derive(Debug, Subcommand)]
pub(super) enum DeadLetterCommand {
    /// Show each dead letter that waits in a line
    #[command(after_help = LIST_HELP)]
    List(ListCommand),
    /// Show everything of one
    Show(ShowCommand),
    /// Write letters into the main topic again, each message once
    #[command(after_help = REPLAY_HELP)]
    Replay(ChosenCommand),
    /// Note that letters are not wanted: they wait no longer, and are never replayed
    #[command(after_help = DISCARD_HELP)]
    Discard(ChosenCommand),
}

// clap wraps these to the terminal's width.
const LIST_HELP: &str = "\
A line has the letter's place (partition@offset in TOPIC.dead-letter), when it became one, where the message stood in \
the topic, how often it was replayed and came back, its state, the message, the Comets that did not take it (only \
for ...) where the others have it, and the reason.

States: waiting; gone (Kafka no longer had the message when its letter was written; it can only be discarded). With \
--all also replayed and discarded.

The last line sums up what waits: how many letters, for which reasons, and for how long.";

const REPLAY_HELP: &str = "\
A message goes to the partition that it came from, as it was, with the header job.rounds. Where its letter names the \
Comets that did not take it, it goes to these alone: once for each, in the field `only` of PushMsg. Those of one key \
go in their original order. It is safe beside running jobs.

What is no PushMsg, or names nobody, would come straight back: it is skipped, unless it is named by its place.

What was replayed is noted in the dead-letter topic, and not replayed again. Ctrl-C stops it between two messages and \
repeats nothing. Where it is killed, or loses Kafka, the messages that it had in hand, 100 at most, may be sent again \
by the next replay; none is lost. Of two at once the later one goes on and the other one stops.";

const DISCARD_HELP: &str = "\
The letters stay in the dead-letter topic, for as long as its retention keeps them; a note there says that they are \
discarded. list --all shows them, and show all of one. There is no way back.";

#[derive(Debug, Args)]
pub(super) struct ListCommand {
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct ShowCommand {
    #[command(flatten)]
    show: ShowArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct ChosenCommand {
    #[command(flatten)]
    chosen: ChosenArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// What `job dead-letter` is to do.
#[derive(Debug)]
pub enum DeadLetter {
    /// `job dead-letter list`.
    List(ListArgs),
    /// `job dead-letter show`.
    Show(ShowArgs),
    /// `job dead-letter replay`.
    Replay(ChosenArgs),
    /// `job dead-letter discard`.
    Discard(ChosenArgs),
}

impl DeadLetter {
    /// A place, or a partition, that it names. Each topic may have it.
    pub fn place(&self) -> Option<String> {
        let from =
            |which: &SelectionArgs| Some(format!("partition {}", which.from.as_ref()?.partition));
        match self {
            DeadLetter::List(args) => from(&args.which),
            DeadLetter::Show(args) => Some(args.place.to_string()),
            DeadLetter::Replay(args) | DeadLetter::Discard(args) => {
                let place = args.places.first().map(Place::to_string);
                place.or_else(|| from(&args.which))
            }
        }
    }

    /// How many letters may be listed.
    pub fn limit(&self) -> u64 {
        match self {
            DeadLetter::List(args) => args.limit.unwrap_or(u64::MAX),
            _ => u64::MAX,
        }
    }

    /// What the command of this name was called with.
    pub(super) fn of(name: &str, matches: &ArgMatches) -> Result<DeadLetter, clap::Error> {
        Ok(match name {
            "show" => DeadLetter::Show(ShowArgs::from_arg_matches(matches)?),
            "replay" => DeadLetter::Replay(ChosenArgs::from_arg_matches(matches)?),
            "discard" => DeadLetter::Discard(ChosenArgs::from_arg_matches(matches)?),
            _ => DeadLetter::List(ListArgs::from_arg_matches(matches)?),
        })
    }
}

/// Which letters are meant.
#[derive(Debug, Args)]
pub struct SelectionArgs {
    /// Those with this in their reason
    #[arg(long, value_name = "TEXT", value_parser = settings::name)]
    reason: Option<String>,
    /// Those from this partition of the topic, and there from these offsets: 3, 3:120, 3:120-180 or 3:120-
    #[arg(long, value_name = "PARTITION[:OFFSET[-OFFSET]]", value_parser = Sources::parse)]
    from: Option<Sources>,
}

impl SelectionArgs {
    fn selection(&self) -> Selection {
        Selection {
            reason: self.reason.clone(),
            sources: self.from.clone(),
            places: Vec::new(),
        }
    }
}

/// What `job dead-letter list` shows.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    which: SelectionArgs,
    /// Show replayed and discarded letters too
    #[arg(long = "all", alias = "history")]
    pub history: bool,
    /// Show at most N letters
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

impl ListArgs {
    /// The letters asked for.
    pub fn selection(&self) -> Selection {
        self.which.selection()
    }
}

/// What `job dead-letter show` shows.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The letter's place, as list shows it: 0@17
    #[arg(value_name = "PLACE", value_parser = Place::parse)]
    pub place: Place,
    /// Write the bytes of its value as they are, and nothing else
    #[arg(long)]
    pub raw: bool,
}

/// What `job dead-letter replay` replays, and `discard` discards.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["places", "all", "reason", "from"]))]
pub struct ChosenArgs {
    /// These letters, by their places as list shows them: 0@17
    #[arg(value_name = "PLACE", value_parser = Place::parse, conflicts_with_all = ["all", "reason", "from"])]
    places: Vec<Place>,
    /// Every letter that waits
    #[arg(long, conflicts_with_all = ["reason", "from"])]
    pub all: bool,
    #[command(flatten)]
    which: SelectionArgs,
    /// Show which letters are meant, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl ChosenArgs {
    /// The letters asked for.
    pub fn selection(&self) -> Selection {
        Selection {
            places: self.places.clone(),
            ..self.which.selection()
        }
    }
}
