//! The consumer thread: fetches batches, decodes and routes each record, and hands it to its key's worker.
//!
//! [`Core`] decides, and this file acts: it owns the channels, the back-off and the log lines. [`watchdog`] owns the thread.

mod again;
pub mod age;
mod catch_up;
pub mod core;
pub mod decode;
pub mod dispatch;
mod fan_out;
mod homes;
mod lags;
pub mod log_ends;
mod reading;
mod room_lists;
pub mod route;
mod trace;
mod watchdog;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, never, select, tick};
use tokio::sync::oneshot;

use self::again::Again;
use self::core::{Core, Effect, Event, Notice};
use crate::base::backoff::{Retry, grows};
use crate::base::last::Reader;
use crate::base::mailbox::Mailbox;
use crate::base::{text::one_line, wall};
use crate::figures::Figures;
use crate::kafka::fetch::{Batch, FetchError, Make, Outcome, Positions};
use crate::message::consumer::{Control, Paused};
use crate::message::fleet::Node;
use crate::message::rooms::Told;
use crate::message::{CometId, Held, PartitionId, RecordId, Topics, group, worker};
use crate::observe::logging;
use crate::settings::{Config, LogMessages};
use age::Ages;
use room_lists::RoomLists;
use route::Router;

/// Waits after a failed fetch. A broker that is back is read from within this.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(1);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

/// How often messages that wait are checked against `--max-age`.
const TICK: Duration = Duration::from_secs(1);

pub use watchdog::spawn;

/// The consumer thread's state. It moves to another thread when a fetch hangs: see [`watchdog`].
pub struct Consumer {
    core: Core,
    control: Receiver<Control>,
    /// Settings that hold from now on.
    settings: Receiver<Arc<Config>>,
    ticks: Receiver<Instant>,
    /// Where a room's messages don't go to all.
    room_lists: Option<RoomLists>,
    again: Again,
    outputs: Outputs,
    attempts: Retry,
}

/// Where the core's effects go.
struct Outputs {
    group: Sender<group::Event>,
    reads: Sender<group::Read>,
    workers: Vec<Mailbox<worker::Event>>,
    topics: Topics,
    figures: Arc<Figures>,
    log_messages: LogMessages,
    /// Messages that were decoded so far.
    received: Cell<u64>,
}

impl Consumer {
    /// A consumer that hands messages to `workers`, for these Comets at first. `again` makes what reads again for Comets that catch up.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn new(
        config: &Config,
        (control, settings): (Receiver<Control>, Receiver<Arc<Config>>),
        (group, reads): (Sender<group::Event>, Sender<group::Read>),
        (workers, comets): (Vec<Mailbox<worker::Event>>, Vec<Node>),
        again: Arc<Make>,
        figures: Arc<Figures>,
    ) -> std::io::Result<Self> {
        let caps = caps(config);
        Ok(Self {
            again: again::spawn(again)?,
            core: Core::new(
                workers.len(),
                router(config, comets),
                caps,
                Ages::from(config),
            ),
            control,
            settings,
            ticks: ticks(config),
            room_lists: None,
            outputs: Outputs {
                group,
                reads,
                workers,
                topics: config.topics.clone(),
                figures,
                log_messages: config.log_messages,
                received: Cell::new(0),
            },
            attempts: Retry::new(RETRY_FIRST, RETRY_MOST),
        })
    }

    /// Has a room's messages go to the Comets alone that have it, by what they tell.
    pub fn by_rooms(mut self, told: Reader<CometId, Told>) -> Self {
        self.core.by_rooms();
        self.room_lists = Some(RoomLists::new(told));
        self
    }

    /// Takes what Comets told of their rooms.
    fn hear_rooms(&mut self) {
        let Some(lists) = &mut self.room_lists else {
            return;
        };
        for ((comet, rooms), asked) in lists.changes(Instant::now()) {
            let figures = &self.outputs.figures.consumer;
            figures.room_list(comet, rooms.as_ref().map(|_| asked));
            self.step(Event::Rooms(comet, rooms));
        }
    }

    /// Blocks until a partition is assigned and the caps leave room. Returns the positions to fetch and how long to wait for new
    /// records there, or `None` when stopped.
    fn next_fetch(&mut self) -> Option<(Positions, Duration)> {
        loop {
            self.apply_pending()?;
            if let Some(positions) = self.core.positions() {
                return Some((positions, self.core.wait()));
            }
            self.rests();
            select! {
                recv(self.control) -> control => {
                    self.works();
                    self.apply(control.ok()?)?;
                }
                recv(self.again.answers) -> answer => {
                    self.works();
                    self.read_again(answer.ok()?);
                }
                recv(self.settings) -> config => {
                    self.works();
                    match config {
                        Ok(config) => self.take_settings(&config),
                        // Nobody changes them.
                        Err(_) => self.settings = never(),
                    }
                }
                recv(self.ticks) -> _ => {
                    self.works();
                    self.step(Event::Tick { now: wall::millis() });
                }
            }
        }
    }

    /// Handles the answer to a fetch from `positions`; waits a while if it failed. Returns `None` when stopped.
    fn on_fetched(
        &mut self,
        positions: &Positions,
        answer: Result<Vec<Batch>, FetchError>,
    ) -> Option<()> {
        let batches = match answer {
            Ok(batches) => batches,
            Err(error) => return self.failed(error),
        };
        if let Some(failed_for) = self.attempts.worked() {
            self.outputs.figures.consumer.reconnects.add(1);
            self.step(Event::Interrupted);
            let seconds = failed_for.as_secs_f64();
            log::warn!("reading from Kafka again, after {seconds:.1} s");
        }
        // A partition may have gone to another owner while the broker was waiting for records.
        self.apply_pending()?;
        self.hear_rooms();
        for batch in &batches {
            if let Outcome::Records { records, .. } = &batch.outcome
                && self.core.is_next(batch.partition, positions)
            {
                let bytes = records.iter().filter_map(|record| record.value.as_ref());
                let bytes: usize = bytes.map(|value| value.len()).sum();
                let figures = &self.outputs.figures.consumer;
                figures.read(batch.partition, records.len() as u64, bytes as u64);
            }
        }
        self.step(Event::Fetched {
            positions,
            batches,
            now: wall::millis(),
        });
        Some(())
    }

    fn failed(&mut self, error: FetchError) -> Option<()> {
        self.outputs.figures.consumer.failures.add(1);
        self.step(Event::Interrupted);
        let why = match error {
            FetchError::Failed(why) => why,
            FetchError::Unsupported(why) => format!("{why}. Use --fetch auto or modern"),
        };
        let wait = self.attempts.failed(&why, |why| {
            log::warn!(cause = why; "Reading from Kafka failed: {why}; trying again until it works");
        });
        match self.control.recv_timeout(wait) {
            Ok(control) => self.apply(control),
            Err(RecvTimeoutError::Timeout) => Some(()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn apply_pending(&mut self) -> Option<()> {
        while let Ok(control) = self.control.try_recv() {
            self.apply(control)?;
        }
        if let Ok(answer) = self.again.answers.try_recv() {
            self.read_again(answer);
        }
        if let Ok(config) = self.settings.try_recv() {
            self.take_settings(&config);
        }
        if self.ticks.try_recv().is_ok() {
            self.step(Event::Tick {
                now: wall::millis(),
            });
        }
        if self.core.may_send_kept() {
            self.hear_rooms();
            self.step(Event::SendKept {
                now: wall::millis(),
            });
        }
        let core = &mut self.core;
        self.again.ask(|| core.positions_again());
        Some(())
    }

    fn read_again(&mut self, answer: again::Answer) {
        self.hear_rooms();
        let again::Answer { positions, batches } = answer;
        self.again.answered();
        self.step(Event::FetchedAgain {
            positions: &positions,
            batches,
            now: wall::millis(),
        });
    }

    /// Goes on with other settings, as far as they can change.
    fn take_settings(&mut self, config: &Config) {
        let (caps, ages) = (caps(config), Ages::from(config));
        self.outputs.log_messages = config.log_messages;
        self.outputs.figures.consumer.may_hold(caps);
        self.ticks = ticks(config);
        self.step(Event::Limits { caps, ages });
    }

    fn pause(&mut self, paused: bool, reply: oneshot::Sender<Paused>) {
        let was_paused = self.core.is_paused();
        self.step(Event::Pause(paused));
        self.outputs.figures.consumer.paused.set(paused.into());
        let held = self.core.held();
        // Who asked may have gone.
        let _ = reply.send(Paused { was_paused, held });
    }

    /// Returns `None` when stopped.
    fn apply(&mut self, control: Control) -> Option<()> {
        let control = match control {
            Control::Pause { paused, reply } => {
                self.pause(paused, reply);
                return Some(());
            }
            control => control,
        };
        match &control {
            Control::Stop => return None,
            Control::Assign { assignment, .. } => {
                self.outputs.figures.consumer.begin(assignment.partition);
            }
            Control::Revoke { partition } => self.outputs.figures.consumer.forget(*partition),
            _ => {}
        }
        self.step(Event::Control(control));
        Some(())
    }

    fn step(&mut self, event: Event<'_>) {
        let outputs = &self.outputs;
        self.core.step(event, &mut |effect| outputs.perform(effect));
        outputs.figures.consumer.holds(self.core.held());
    }

    /// The thread waits for what comes next, here or for Kafka.
    fn rests(&self) {
        self.outputs.figures.consumer.heart.rests();
    }

    fn works(&self) {
        self.outputs.figures.consumer.heart.works();
    }

    /// Notes where the logs end.
    fn note_ends(&self, ends: Positions) {
        let figures = &self.outputs.figures.consumer;
        figures.ends(ends, Instant::now());
    }
}

fn router(config: &Config, comets: Vec<Node>) -> Router {
    let unknown_to_all = config.push_unknown_server.goes_to_all(config.dialect);
    Router::new(comets).speaking(config.dialect, unknown_to_all)
}

fn caps(config: &Config) -> Held {
    Held {
        messages: config.hold_messages,
        bytes: config.hold_bytes,
    }
}

/// Nothing gets too old where no limit is set.
fn ticks(config: &Config) -> Receiver<Instant> {
    config.max_age.map_or_else(never, |_| tick(TICK))
}

impl Outputs {
    fn perform(&self, effect: Effect<'_>) {
        // A receiver is gone only when the service ends.
        match effect {
            Effect::Read(read) => {
                let _ = self.reads.send(read);
            }
            Effect::Group(event) => {
                let _ = self.group.send(event);
            }
            Effect::Worker(worker, event) => {
                if let worker::Event::Messages(messages) = &event {
                    trace::routed(&self.topics, worker, messages, &self.figures.comets);
                }
                let _ = self.workers[worker.0 as usize].send(event);
            }
            Effect::Say(notice) => self.say(notice),
            Effect::Spared(calls) => self.figures.consumer.spared.add(calls as u64),
        }
    }

    fn say(&self, notice: Notice<'_>) {
        let place = |record: RecordId| {
            let PartitionId { topic, index } = record.assignment.partition;
            format!("{}[{index}]@{}", self.topics.name(topic), record.offset)
        };
        match notice {
            Notice::Received(push) => {
                fail::fail_point!("decode");
                let count = self.received.get();
                self.received.set(count + 1);
                if self.log_messages.shows(count) {
                    logging::received(push);
                }
            }
            Notice::Attached { partition, comet } => {
                log::info!(
                    topic = partition.topic_name(), partition = partition.index, comet;
                    "partition {partition}: Comet {comet} gets what is new again, behind what it missed"
                );
            }
            Notice::Undecodable { record, why } => {
                self.figures.consumer.undecodable.add(1);
                let (partition, offset) = (record.assignment.partition, record.offset);
                log::error!(
                    topic = self.topics.name(partition.topic), partition = partition.index, offset, cause = why;
                    "Failed to parse message as PushMsg: {} (partition {partition}, offset {offset}): \
                     {why}; it goes to the dead-letter topic. Does its producer write PushMsg in protobuf?",
                    place(record)
                );
            }
            Notice::Unroutable { record, why } => {
                log::error!(
                    topic = self.topics.name(record.assignment.partition.topic),
                    partition = record.assignment.partition.index, offset = record.offset, cause = why;
                    "Nowhere to deliver {}: {why}; it goes to the dead-letter topic",
                    place(record)
                );
            }
            Notice::Scattered {
                room,
                partitions: [one, other],
            } => {
                let topic = self.topics.name(one.topic);
                let (one, other) = (one.index, other.index);
                log::warn!(
                    topic, room;
                    "room {} comes from partitions {one} and {other} of topic {topic}: Kafka keeps the order within one partition \
                     only, so its messages may reach people out of order. Does Logic write the room as the record's key?",
                    one_line(room)
                );
            }
            Notice::Unreadable {
                partition,
                first,
                last,
                why,
                is_known,
            } => {
                let letter = match is_known {
                    true => "they were dealt with before",
                    false => "one dead letter",
                };
                log::error!(
                    topic = self.topics.name(partition.topic), partition = partition.index, offset = first, cause = why;
                    "offsets {first} to {last} of partition {partition} can't be read: {why}; {letter}"
                );
            }
        }
    }
}
