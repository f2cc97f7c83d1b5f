//! `job dead-letter`: list and show; [`replay`] and [`discard`] have their own files.
//!
//! [`index`] tells what became of each letter. `job check` asks [`waiting`] how many letters wait.

// Public modules parse or build records; fuzz targets use them.
mod comes_back;
mod discard;
pub mod index;
mod replay;
pub mod resend;
mod select;
pub mod show;
mod summary;
mod waiting;

use std::io::Write;
use std::ops::ControlFlow;

use crate::base::{limits, signals, text, wall};
use crate::comet;
use crate::commands::cli::{DeadLetter, ListArgs, ShowArgs};
use crate::dead_letter::letter::{Place, StoredLetter};
use crate::dead_letter::topic::Topic;
use crate::kafka::client::ConsumerRecord;
use crate::observe::logging;
use crate::settings::Config;
use comes_back::Servers;
use crossbeam_channel::Receiver;
use index::{Index, Plan};

pub use select::{Selection, Sources};
pub use waiting::count as count_waiting;

/// Runs the command. Returns false when a replay left letters out.
///
/// # Errors
/// Kafka can't be reached or read, the topic or a letter isn't there, or the process can't take over signals or start a
/// runtime.
pub fn run(config: &Config, asked: &DeadLetter, out: &mut impl Write) -> Result<bool, String> {
    // Only a replay has work to finish on a signal. Signals come first: the log starts threads.
    let stop = match asked {
        DeadLetter::Replay(args) if !args.dry_run => {
            signals::stop_on_signals().map_err(|error| {
                format!(
                    "cannot take over SIGINT and SIGTERM: {}",
                    limits::explained(&error)
                )
            })?
        }
        _ => crossbeam_channel::never(),
    };
    logging::init_for_command(comet::redirect_log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime
        .map_err(|error| format!("cannot start a runtime: {}", limits::explained(&error)))?;
    if config.topics.are_several()
        && let Some(place) = asked.place()
    {
        return Err(format!(
            "{place} is a place in each of the topics {}: name one of them with --topic",
            config.topics
        ));
    }
    let servers = match asked {
        DeadLetter::Replay(_) => servers(config, out),
        _ => Servers::default(),
    };
    runtime.block_on(async {
        let mut left = asked.limit();
        let mut all_well = true;
        for topic in config.topics.names() {
            let of_it = config.of_topic(topic);
            all_well &= one(&of_it, (asked, &servers), &mut left, &stop, out).await?;
        }
        Ok(all_well)
    })
}

/// The Comets that a replay has to know.
fn servers(config: &Config, out: &mut impl Write) -> Servers {
    Servers::find(config).unwrap_or_else(|why| {
        say(
            out,
            format_args!(
                "which Comets there are isn't known: {why}. What is for users on a server that is none of them will come back"
            ),
        );
        Servers::default()
    })
}

/// Runs the command for the one topic of `config`. `left` is how many letters may still be listed.
async fn one(
    config: &Config,
    (asked, servers): (&DeadLetter, &Servers),
    left: &mut u64,
    stop: &Receiver<()>,
    out: &mut impl Write,
) -> Result<bool, String> {
    let Some(topic) = Topic::open(config).await? else {
        let name = config.dead_letter_topic();
        return match asked {
            DeadLetter::Show(args) => Err(format!(
                "there is no letter {}: there is no topic {name}",
                args.place
            )),
            _ => {
                say(
                    out,
                    format_args!("no dead letters: there is no topic {name}"),
                );
                Ok(true)
            }
        };
    };
    match asked {
        DeadLetter::List(args) => list(topic, args, left, out).await,
        DeadLetter::Show(args) => show(topic, args, out).await,
        DeadLetter::Replay(args) => replay::replay(config, topic, (args, servers), stop, out).await,
        DeadLetter::Discard(args) => discard::discard(topic, args, out).await,
    }
}

/// Writes a line. Returns false when the reader has gone.
pub fn say(out: &mut impl Write, text: std::fmt::Arguments<'_>) -> bool {
    writeln!(out, "{text}").is_ok()
}

/// Reads the whole topic, up to its ends now, into the index.
pub async fn read_all(topic: &mut Topic, index: &mut Index) -> Result<Ends, String> {
    let bounds = topic.bounds().await?;
    for (&partition, range) in &bounds {
        topic
            .read(partition, range.clone(), |record| {
                index.add(record);
                ControlFlow::Continue(())
            })
            .await?;
    }
    Ok(bounds
        .into_iter()
        .map(|(partition, range)| (partition, range.end))
        .collect())
}

/// The offset after the last one read, by partition.
pub type Ends = std::collections::BTreeMap<i32, i64>;

/// Checks that every letter named by its place exists.
pub fn all_there(topic: &Topic, index: &Index) -> Result<(), String> {
    match index.missing() {
        Some(place) => Err(format!(
            "there is no letter {place} in {}; `job dead-letter list` shows the places",
            topic.name
        )),
        None => Ok(()),
    }
}

/// `1 message`, `2 messages`.
pub fn messages(count: usize) -> String {
    text::counted(count as u64, "message")
}

/// Words the selected letters that are not due.
pub fn rest(plan: &Plan) -> String {
    let mut text = String::new();
    for (count, what) in [
        (plan.replayed, "replayed before"),
        (plan.discarded, "discarded before"),
        (
            plan.gone,
            "without a message: Kafka no longer had it, or it can't be read",
        ),
        (
            plan.undeliverable,
            "skipped, which can't be decoded or name nobody and would come straight back (to replay one all the same, \
             name its place)",
        ),
        (
            plan.elsewhere,
            "skipped, which are for users on a server that isn't in the fleet and would come straight back (list that Comet; or \
             name their places, or set push-unknown-server to all here and for job)",
        ),
    ] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    text
}

/// Reads the topic twice: markers follow the letters that they are about.
async fn list(
    mut topic: Topic,
    args: &ListArgs,
    left: &mut u64,
    out: &mut impl Write,
) -> Result<bool, String> {
    if *left == 0 {
        return Ok(true);
    }
    let selection = args.selection();
    let mut index = Index::new(selection.clone());
    let bounds = topic.bounds().await?;
    read_all(&mut topic, &mut index).await?;
    let (settled, summary) = (index.settled(), index.summary());
    drop(index);

    let mut listed = 0_u64;
    for (partition, range) in bounds {
        topic
            .read(partition, range, |record| {
                if *left == 0 {
                    return ControlFlow::Break(());
                }
                let Some(letter) = StoredLetter::read(record) else {
                    return ControlFlow::Continue(());
                };
                let state = index::state(&settled, &letter);
                if selection.takes(&letter) && (args.history || state.waits()) {
                    *left -= 1;
                    listed += 1;
                    let line = show::line(&letter, state);
                    if !say(out, format_args!("{line}")) {
                        *left = 0;
                    }
                }
                ControlFlow::Continue(())
            })
            .await?;
    }
    if listed == 0 {
        let such = if selection == Selection::default() {
            ""
        } else {
            " such"
        };
        let wait = if args.history { "" } else { " wait" };
        let before = match settled.counts() {
            (replayed, discarded) if !args.history && replayed + discarded > 0 => format!(
                "; {replayed} replayed and {discarded} discarded in all: list --all shows them"
            ),
            _ => String::new(),
        };
        say(
            out,
            format_args!("no{such} dead letters{wait} in {}{before}", topic.name),
        );
    } else if let Some(summary) = summary.in_words(&topic.name, wall::millis()) {
        say(out, format_args!("{summary}"));
    }
    Ok(true)
}

async fn show(mut topic: Topic, args: &ShowArgs, out: &mut impl Write) -> Result<bool, String> {
    let record = find(&mut topic, args.place).await?;
    if args.raw {
        let value = record.value.unwrap_or_default();
        return match out.write_all(&value).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            Err(error) => Err(format!(
                "writing the value's {} bytes: {error}",
                value.len()
            )),
        };
    }
    let Some(letter) = StoredLetter::read(record.clone()) else {
        let (place, text) = (args.place, show::other(&record));
        say(
            out,
            format_args!(
                "{place} is no letter, but a note of a replay or discard, or somebody else's record: {text}"
            ),
        );
        return Ok(true);
    };
    let mut index = Index::new(Selection::default());
    read_all(&mut topic, &mut index).await?;
    let text = show::whole(&letter, index::state(&index.settled(), &letter));
    // As in `say`.
    let _ = out.write_all(text.as_bytes());
    Ok(true)
}

async fn find(topic: &mut Topic, place: Place) -> Result<ConsumerRecord, String> {
    if let Some(record) = topic.get(place).await? {
        return Ok(record);
    }
    let bounds = topic.bounds().await?;
    let held = bounds.get(&place.partition).map_or_else(
        || format!("it has {} partitions", bounds.len()),
        |range| match range {
            range if range.is_empty() => format!("partition {} is empty", place.partition),
            range => format!(
                "partition {} holds {} to {}",
                place.partition,
                range.start,
                range.end - 1
            ),
        },
    );
    Err(format!(
        "{} has nothing at {place}: {held}. `job dead-letter list` shows the places",
        topic.name
    ))
}
