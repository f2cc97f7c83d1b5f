//! `job dead-letter replay`: writes letters into the main topic again, each message once.
//!
//! What was replayed is noted in the dead-letter topic, right after Kafka has acknowledged it in the main topic. No
//! transaction binds the two: `--fetch classic` can't tell an aborted one from others, and one transaction in the main topic
//! would have `--fetch auto` read with the modern client from then on. What follows is the bound on repeats: a replay that is killed, or loses Kafka, between the two leaves
//! [`AT_ONCE`] messages at most in the main topic that are not noted, and the next replay sends those again. None is
//! ever lost; a stop by a signal repeats nothing.
//!
//! Two at once: each says in the topic that it began, before it reads what is to be done. The last one that began
//! goes on; an earlier one sees its note before the next messages, stops and says that it ended, which the later one
//! waits for. Where that doesn't come in time (it was killed, or is stuck), what it had in hand may come twice: the
//! same bound.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::book::{Aim, Book, Due, Plan};
use super::notes::{Note, Run};
use super::rewrite::{Outcome, Rewriter};
use super::show::{self, State};
use super::topic::Topic;
use super::{Ends, all_there, messages, read_all, rest, say};
use crate::commands::cli::ChosenArgs;
use crate::dead_letter::letter::{Found, Place};
use crate::kafka;
use crate::settings::Config;
use crossbeam_channel::Receiver;

/// So many messages are written before they are noted, or fewer where they are large.
pub const AT_ONCE: usize = 100;
const BYTES_AT_ONCE: usize = 4 << 20;
/// Up to so many messages each gets a line.
const LISTED: usize = 20;
/// How long an earlier replay may take to see that this one began.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Replays the letters asked for. Returns whether all of them are in the main topic.
///
/// # Errors
/// Says what was tried, what came back, what to do, and how many messages were replayed before.
pub async fn replay(
    config: &Config,
    mut topic: Topic,
    args: &ChosenArgs,
    stop: &Receiver<()>,
    out: &mut impl Write,
) -> Result<bool, String> {
    let mut book = Book::new(args.selection());
    let read_to = read_all(&mut topic, &mut book).await?;
    all_there(&topic, &book)?;
    let plan = book.plan(Aim::Replay);
    let partitions = main_partitions(config, &topic).await?;
    if args.dry_run {
        for due in &plan.due {
            if let Some(letter) = letter(&mut topic, due.place).await? {
                say(out, format_args!("{}", show::line(&letter, State::Waiting)));
            }
        }
        let count = messages(plan.due.len());
        say(
            out,
            format_args!(
                "{count} would be replayed into {}{}",
                config.topic,
                rest(&plan)
            ),
        );
        return Ok(true);
    }
    if plan.due.is_empty() {
        say(
            out,
            format_args!("nothing to replay from {}{}", topic.name, rest(&plan)),
        );
        return Ok(true);
    }
    let mut replay = Replay {
        main: &config.topic,
        writer: Rewriter::open(&topic, &config.topic, partitions).await?,
        topic,
        book,
        read_to,
        run: Run::of_this_process(),
        done: 0,
        skipped: 0,
    };
    let begin = Instant::now();
    let ended = replay.all(stop, out).await;
    let Replay { done, skipped, .. } = replay;
    let done_in = format!(
        "{} in {:.1} s",
        messages(done),
        begin.elapsed().as_secs_f64()
    );
    match ended {
        Ok(plan) => {
            let mut rest = rest(&plan);
            if skipped > 0 {
                rest += &format!("; {skipped} refused as too large");
            }
            say(
                out,
                format_args!("replayed {done_in} into {}{rest}", config.topic),
            );
            Ok(skipped == 0)
        }
        Err(error) => Err(format!(
            "{error}\nreplayed {done_in} into {}; run it again for the rest",
            config.topic
        )),
    }
}

/// How many partitions the main topic has.
async fn main_partitions(config: &Config, topic: &Topic) -> Result<usize, String> {
    let asked = kafka::partitions(&topic.kafka, &config.topic).await;
    asked
        .map_err(|error| topic.tried(&format!("asking for {}", config.topic), &error))?
        .ok_or_else(|| {
            let command = kafka::create_topic_command(&config.brokers, &config.topic);
            format!(
                "there is no topic {} to replay into. To make it:\n  {command}",
                config.topic
            )
        })
}

struct Replay<'a> {
    main: &'a str,
    writer: Rewriter,
    topic: Topic,
    book: Book,
    /// How far the dead-letter topic was read.
    read_to: Ends,
    run: Run,
    done: usize,
    /// Messages that the main topic doesn't take.
    skipped: usize,
}

impl Replay<'_> {
    async fn all(&mut self, stop: &Receiver<()>, out: &mut impl Write) -> Result<Plan, String> {
        self.take_over(stop, out).await?;
        let plan = self.book.plan(Aim::Replay);
        let listed = plan.due.len() <= LISTED;
        let sent = self.send_all(&plan.due, stop, listed, out).await;
        // Where this can't be written, the next one waits for it in vain, for a moment.
        let ended = Note::Ended(self.run.id.clone());
        let noted = self.note(&ended, self.first_partition()).await;
        sent.and(noted).map(|()| plan)
    }

    /// Says that this run begins, and waits for an earlier one that may still be at work.
    async fn take_over(&mut self, stop: &Receiver<()>, out: &mut impl Write) -> Result<(), String> {
        self.catch_up().await?;
        let earlier = self.book.last_run.clone();
        let began = Note::Began(self.run.clone());
        self.note(&began, self.first_partition()).await?;
        self.catch_up().await?;
        let Some(earlier) = earlier.filter(|run| !self.book.has_ended(run)) else {
            return Ok(());
        };
        say(
            out,
            format_args!(
                "an earlier replay ({}) did not say that it ended; waiting up to {} s in case it is still at work",
                earlier.by,
                HAND_OVER.as_secs()
            ),
        );
        let begin = Instant::now();
        while begin.elapsed() < HAND_OVER && !self.book.has_ended(&earlier) {
            self.may_go_on(stop)?;
            tokio::time::sleep(HAND_OVER / 50).await;
            self.catch_up().await?;
        }
        Ok(())
    }

    async fn send_all(
        &mut self,
        due: &[Due],
        stop: &Receiver<()>,
        listed: bool,
        out: &mut impl Write,
    ) -> Result<(), String> {
        let mut left = due;
        while !left.is_empty() {
            self.catch_up().await?;
            self.may_go_on(stop)?;
            left = self.send_some(left, listed, out).await?;
        }
        Ok(())
    }

    fn may_go_on(&self, stop: &Receiver<()>) -> Result<(), String> {
        if stop.try_recv().is_ok() {
            return Err("stopped by a signal".into());
        }
        match &self.book.last_run {
            Some(last) if *last != self.run => {
                Err(format!("another replay began ({}) and takes over", last.by))
            }
            _ => Ok(()),
        }
    }

    /// Writes as many messages as go at once, and notes them. Returns those that are left.
    async fn send_some<'d>(
        &mut self,
        due: &'d [Due],
        listed: bool,
        out: &mut impl Write,
    ) -> Result<&'d [Due], String> {
        let mut letters = Vec::new();
        let mut bytes = 0;
        let mut taken = 0;
        for due in due.iter().take(AT_ONCE) {
            // What retention has deleted since it was read is no longer there.
            if !self.book.is_discarded(due.place)
                && let Some(letter) = letter(&mut self.topic, due.place).await?
            {
                bytes += letter.record.value.as_ref().map_or(0, bytes::Bytes::len);
                letters.push((due, letter));
            }
            taken += 1;
            if bytes > BYTES_AT_ONCE {
                break;
            }
        }
        let (outcomes, failure) = self.writer.write(&letters).await;
        let mut written = Vec::new();
        for ((due, letter), outcome) in letters.iter().zip(outcomes) {
            match outcome {
                Outcome::Written(at) => {
                    written.push(*due);
                    if listed {
                        let place = due.place;
                        let (partition, offset) = (at.partition, at.offset);
                        say(
                            out,
                            format_args!("{place}  to  {}[{partition}]@{offset}", self.main),
                        );
                    }
                }
                Outcome::TooLarge => {
                    self.skipped += 1;
                    self.say_refused(letter, out);
                }
                Outcome::Failed => {}
            }
        }
        self.done += written.len();
        fail::fail_point!("replay-note");
        self.note_replayed(&written).await?;
        match failure {
            Some(error) => Err(self
                .topic
                .tried(&format!("writing to {}", self.main), &error)),
            None => Ok(due.get(taken..).unwrap_or_default()),
        }
    }

    fn say_refused(&self, letter: &Found, out: &mut impl Write) {
        let place = letter.place();
        let size = letter.record.value.as_ref().map_or(0, bytes::Bytes::len);
        say(
            out,
            format_args!(
                "{place}  not replayed: {} refused its {size} bytes as too large. Raise the topic's max.message.bytes \
                 and run it again",
                self.main
            ),
        );
    }

    async fn note_replayed(&self, written: &[&Due]) -> Result<(), String> {
        for (partition, offsets) in offsets_of(written.iter().copied()) {
            let noted = self.note(&Note::Replayed(offsets), partition).await;
            noted.map_err(|error| {
                let count = messages(written.len());
                format!("{error}\nThe last {count} are in {}, but not noted: the next replay sends them again", self.main)
            })?;
        }
        Ok(())
    }

    async fn note(&self, note: &Note, partition: i32) -> Result<(), String> {
        let record = note.record(&self.topic.name, partition, &self.run);
        self.writer.send(record).await.map_err(|error| {
            let what = format!("noting in {} what is replayed", self.topic.name);
            self.topic.tried(&what, &error)
        })
    }

    fn first_partition(&self) -> i32 {
        self.topic.partitions.first().copied().unwrap_or(0)
    }

    /// Reads what came to the dead-letter topic since.
    async fn catch_up(&mut self) -> Result<(), String> {
        for (partition, end) in self.topic.ends().await? {
            let from = self.read_to.insert(partition, end).unwrap_or(0);
            let book = &mut self.book;
            self.topic
                .read(partition, from..end, |record| {
                    book.add(record);
                    ControlFlow::Continue(())
                })
                .await?;
        }
        Ok(())
    }
}

/// The offsets of these messages' letters, ascending, by partition.
pub fn offsets_of<'a>(due: impl Iterator<Item = &'a Due>) -> BTreeMap<i32, Vec<i64>> {
    let mut offsets = BTreeMap::<i32, Vec<i64>>::new();
    for place in due.flat_map(|due| std::iter::once(&due.place).chain(&due.twins)) {
        let of_partition = offsets.entry(place.partition).or_default();
        of_partition.push(place.offset);
    }
    offsets.values_mut().for_each(|list| list.sort_unstable());
    offsets
}

/// Reads a letter again, whole.
pub async fn letter(topic: &mut Topic, place: Place) -> Result<Option<Found>, String> {
    let record = topic.get(place).await?;
    Ok(record.and_then(Found::read))
}
