//! `job dead-letter replay`: writes letters into the main topic again, each message once.
//!
//! A marker in the dead-letter topic says what was replayed. It follows right after Kafka's acknowledgement in the main topic. No
//! transaction binds the two: `--fetch classic` can't recognise an aborted one, and one transaction in the main topic
//! makes `--fetch auto` use the modern client from then on. This bounds the repeats: a replay that is killed or loses
//! Kafka between the two leaves at most [`AT_ONCE`] messages unmarked, and the next replay sends those again. None is
//! ever lost, and a stop by a signal repeats nothing.
//!
//! Two replays at once: each writes a marker that it began, before it reads what is due. The last one that began goes
//! on. An earlier one sees that marker before its next messages, stops and writes that it ended; the later one waits
//! for this. If that doesn't come in time (it was killed, or hangs), its last messages may come twice, within the same
//! bound.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::comes_back::Servers;
use super::index::{Aim, Due, Index, Plan};
use super::resend::{Outcome, Resender};
use super::show::{self, State};
use super::{Ends, all_there, messages, read_all, rest, say};
use crate::base::text;
use crate::commands::cli::ChosenArgs;
use crate::dead_letter::letter::{Place, StoredLetter};
use crate::dead_letter::markers::{Marker, Run};
use crate::dead_letter::topic::Topic;
use crate::kafka::client::RecordMetadata;
use crate::kafka::{self, Cluster};
use crate::settings::Config;
use crossbeam_channel::Receiver;

/// Limits the messages that are written before they are marked.
pub const AT_ONCE: usize = 100;
const BYTES_AT_ONCE: usize = 4 << 20;
/// Lists each message up to this many.
const LISTED: usize = 20;
/// Limit for an earlier replay to see that this one began.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Replays the selected letters. Returns whether all of them are in the main topic.
///
/// # Errors
/// Kafka fails, the main topic or a named letter isn't there, a signal came, or a later replay took over. The text says
/// how many messages were replayed before.
pub async fn replay(
    config: &Config,
    mut topic: Topic,
    (args, servers): (&ChosenArgs, &Servers),
    stop: &Receiver<()>,
    out: &mut impl Write,
) -> Result<bool, String> {
    let mut index = Index::new(args.selection()).knowing(servers.clone());
    let read_to = read_all(&mut topic, &mut index).await?;
    all_there(&topic, &index)?;
    let plan = index.plan(Aim::Replay);
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
                config.topics,
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
        main: config.topics.first(),
        writer: Resender::open(&topic, config.topics.first(), partitions).await?,
        topic,
        index,
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
                format_args!("replayed {done_in} into {}{rest}", config.topics),
            );
            Ok(skipped == 0)
        }
        Err(error) => Err(format!(
            "{error}\nreplayed {done_in} into {}; run it again for the rest",
            config.topics
        )),
    }
}

/// How many partitions the main topic has.
async fn main_partitions(config: &Config, topic: &Topic) -> Result<usize, String> {
    let main = config.topics.first();
    let asked = kafka::partitions(&topic.kafka, main).await;
    asked
        .map_err(|error| topic.tried(&format!("asking for {main}"), &error))?
        .ok_or_else(|| {
            let command = kafka::create_topic_command(&Cluster::of(config), main);
            format!("there is no topic {main} to replay into. To make it:\n  {command}")
        })
}

struct Replay<'a> {
    main: &'a str,
    writer: Resender,
    topic: Topic,
    index: Index,
    /// The offset after the last one read of the dead-letter topic, by partition.
    read_to: Ends,
    run: Run,
    done: usize,
    /// Messages that the main topic refused as too large.
    skipped: usize,
}

impl Replay<'_> {
    async fn all(&mut self, stop: &Receiver<()>, out: &mut impl Write) -> Result<Plan, String> {
        self.take_over(stop, out).await?;
        let plan = self.index.plan(Aim::Replay);
        let listed = plan.due.len() <= LISTED;
        let sent = self.send_all(&plan.due, stop, listed, out).await;
        // If this fails, the next replay waits for it in vain for HAND_OVER.
        let ended = Marker::Ended(self.run.id.clone());
        let marked = self.mark(&ended, self.first_partition()).await;
        sent.and(marked).map(|()| plan)
    }

    /// Marks that this run begins, and waits for an earlier one that may still be at work.
    async fn take_over(&mut self, stop: &Receiver<()>, out: &mut impl Write) -> Result<(), String> {
        self.catch_up().await?;
        let earlier = self.index.last_run.clone();
        let began = Marker::Began(self.run.clone());
        self.mark(&began, self.first_partition()).await?;
        self.catch_up().await?;
        let Some(earlier) = earlier.filter(|run| !self.index.has_ended(run)) else {
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
        while begin.elapsed() < HAND_OVER && !self.index.has_ended(&earlier) {
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
        match &self.index.last_run {
            Some(last) if *last != self.run => {
                Err(format!("another replay began ({}) and takes over", last.by))
            }
            _ => Ok(()),
        }
    }

    /// Writes the next few messages, and marks them. Returns those that are left.
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
            // Retention may have deleted it since it was read.
            if !self.index.is_discarded(due.place)
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
                Outcome::Written(places) => {
                    written.push(*due);
                    if listed {
                        self.say_written(due, &places, out);
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
        fail::fail_point!("replay-marker");
        self.mark_replayed(&written).await?;
        match failure {
            Some(error) => Err(self
                .topic
                .tried(&format!("writing to {}", self.main), &error)),
            None => Ok(due.get(taken..).unwrap_or_default()),
        }
    }

    fn say_written(&self, due: &Due, places: &[RecordMetadata], out: &mut impl Write) {
        let mut comets = due.whom.names();
        for at in places {
            let only = comets.next().map_or_else(String::new, |comet| {
                format!("  only for {}", text::one_line(comet))
            });
            let (from, partition, offset) = (due.place, at.partition, at.offset);
            say(
                out,
                format_args!("{from}  to  {}[{partition}]@{offset}{only}", self.main),
            );
        }
    }

    fn say_refused(&self, letter: &StoredLetter, out: &mut impl Write) {
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

    async fn mark_replayed(&self, written: &[&Due]) -> Result<(), String> {
        for (partition, offsets) in offsets_of(written.iter().copied()) {
            let marked = self.mark(&Marker::Replayed(offsets), partition).await;
            marked.map_err(|error| {
                let count = messages(written.len());
                format!("{error}\nThe last {count} are in {}, but not noted: the next replay sends them again", self.main)
            })?;
        }
        Ok(())
    }

    async fn mark(&self, marker: &Marker, partition: i32) -> Result<(), String> {
        let record = marker.record(&self.topic.name, partition, &self.run);
        self.writer.send(record).await.map_err(|error| {
            let what = format!("noting in {} what is replayed", self.topic.name);
            self.topic.tried(&what, &error)
        })
    }

    fn first_partition(&self) -> i32 {
        self.topic.partitions.first().copied().unwrap_or(0)
    }

    /// Reads what was added to the dead-letter topic since the last look.
    async fn catch_up(&mut self) -> Result<(), String> {
        for (partition, end) in self.topic.ends().await? {
            let from = self.read_to.insert(partition, end).unwrap_or(0);
            let index = &mut self.index;
            self.topic
                .read(partition, from..end, |record| {
                    index.add(record);
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
    for place in due.flat_map(|due| std::iter::once(&due.place).chain(&due.duplicates)) {
        let of_partition = offsets.entry(place.partition).or_default();
        of_partition.push(place.offset);
    }
    offsets.values_mut().for_each(|list| list.sort_unstable());
    offsets
}

/// Reads a letter again, whole.
pub async fn letter(topic: &mut Topic, place: Place) -> Result<Option<StoredLetter>, String> {
    let record = topic.get(place).await?;
    Ok(record.and_then(StoredLetter::read))
}
