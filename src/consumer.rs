//! The consumer thread: fetches batches, decodes and routes each record, and hands it to its key's worker.

pub mod decode;
pub mod dispatch;
pub mod route;
mod watchdog;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::base::backoff::{Retry, grows};
use crate::kafka::fetch::{Batch, FetchError, Outcome, Positions, Record};
use crate::message::call::Delivery;
use crate::message::consumer::Control;
use crate::message::memory::Rounds;
use crate::message::{Assignment, Completion, Message, RecordId, Settled, group, worker};
use crate::observe::logging;
use crate::settings::Config;
use decode::decode;
use dispatch::worker_of;
use route::Router;

/// Waits after a failed fetch. A broker that is back is read from within this.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(1);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

pub use watchdog::spawn;

/// The consumer thread's state. It moves to another thread when a fetch hangs: see [`watchdog`].
pub struct Consumer {
    control: Receiver<Control>,
    group: Sender<group::Event>,
    reads: Sender<group::Read>,
    workers: Vec<Sender<worker::Event>>,
    router: Router,
    topic: String,
    partitions: BTreeMap<i32, Reading>,
    attempts: Retry,
    /// Messages and bytes that were read and are not settled, and the caps on both.
    held: Held,
    caps: Held,
    rounds: Rounds,
}

/// A partition that is being read.
struct Reading {
    assignment: Assignment,
    position: i64,
    finished: Vec<Range<i64>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    messages: usize,
    bytes: usize,
}

impl Consumer {
    /// A consumer that hands messages to `workers`.
    pub fn new(
        config: &Config,
        control: Receiver<Control>,
        (group, reads): (Sender<group::Event>, Sender<group::Read>),
        workers: Vec<Sender<worker::Event>>,
    ) -> Self {
        Self {
            control,
            group,
            reads,
            workers,
            router: Router::new(config.comet.clone()),
            topic: config.topic.clone(),
            partitions: BTreeMap::new(),
            attempts: Retry::new(RETRY_FIRST, RETRY_MOST),
            held: Held::default(),
            caps: Held {
                messages: config.hold_messages,
                bytes: config.hold_bytes,
            },
            rounds: Rounds::default(),
        }
    }

    /// Blocks until a partition is assigned and the caps leave room. Returns the positions to fetch, or `None` when stopped.
    fn next_fetch(&mut self) -> Option<Positions> {
        loop {
            self.apply_pending()?;
            if !self.partitions.is_empty() && !self.is_full() {
                break;
            }
            // Only a control message can change that.
            let control = self.control.recv().ok()?;
            self.apply(control)?;
        }
        let positions = self.partitions.iter();
        Some(positions.map(|(p, r)| (*p, r.position)).collect())
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
            self.tell_interruption();
            let seconds = failed_for.as_secs_f64();
            log::info!("reading from Kafka again, after {seconds:.1} s");
        }
        // A partition may have gone to another owner while the broker was waiting for records.
        self.apply_pending()?;
        for batch in batches {
            self.take(batch, positions);
        }
        if self.rounds.end(self.held.bytes) {
            for worker in &self.workers {
                let _ = worker.send(worker::Event::RoundEnded);
            }
        }
        Some(())
    }

    /// The log may not be what it was before: it is looked at.
    fn tell_interruption(&self) {
        let reached = self.partitions.values().map(|reading| group::Reached {
            assignment: reading.assignment,
            position: reading.position,
        });
        let interrupted = group::Event::Interrupted(reached.collect());
        let _ = self.group.send(interrupted);
    }

    fn failed(&mut self, error: FetchError) -> Option<()> {
        self.tell_interruption();
        let why = match error {
            FetchError::Failed(why) => why,
            FetchError::Unsupported(why) => format!("{why}. Use --fetch auto or modern"),
        };
        let wait = self.attempts.failed(&why, |why| {
            log::warn!("Reading from Kafka failed: {why}; trying again until it works");
        });
        match self.control.recv_timeout(wait) {
            Ok(control) => self.apply(control),
            Err(RecvTimeoutError::Timeout) => Some(()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn is_full(&self) -> bool {
        self.held.messages >= self.caps.messages || self.held.bytes >= self.caps.bytes
    }

    fn apply_pending(&mut self) -> Option<()> {
        while let Ok(control) = self.control.try_recv() {
            self.apply(control)?;
        }
        Some(())
    }

    /// Returns `None` when stopped.
    fn apply(&mut self, control: Control) -> Option<()> {
        match control {
            Control::Assign {
                assignment,
                position,
                finished,
            } => {
                self.partitions.insert(
                    assignment.partition,
                    Reading {
                        assignment,
                        position,
                        finished,
                    },
                );
            }
            Control::Revoke { partition } => {
                self.partitions.remove(&partition);
            }
            Control::Suspend(assignment) => {
                self.partitions.remove(&assignment.partition);
                let _ = self.group.send(group::Event::Suspended(assignment));
            }
            Control::Credit { messages, bytes } => {
                self.held.messages -= messages;
                self.held.bytes -= bytes;
            }
            Control::Stop => return None,
        }
        Some(())
    }

    fn take(&mut self, batch: Batch, positions: &Positions) {
        let partition = batch.partition;
        let Some(reading) = self.partitions.get_mut(&partition) else {
            return;
        };
        if positions.get(&partition) != Some(&reading.position) {
            // It went and came back while it was being read: this batch belongs to an earlier assignment.
            return;
        }
        match batch.outcome {
            Outcome::Records { records, next } => {
                reading.position = next;
                self.dispatch(partition, records, next);
            }
            Outcome::Unreadable { last, why } => {
                // Where it ends has to be known to read on behind it.
                if let Some(last) = last {
                    self.skip_unreadable(partition, last, &why);
                }
            }
            Outcome::OutOfRange => {
                let assignment = reading.assignment;
                self.partitions.remove(&partition);
                let _ = self.group.send(group::Event::Astray(assignment));
            }
        }
    }

    /// Goes on behind what can't be read, and leaves one dead letter of it.
    fn skip_unreadable(&mut self, partition: i32, last: i64, why: &str) {
        let Some(reading) = self.partitions.get_mut(&partition) else {
            return;
        };
        let position = std::mem::replace(&mut reading.position, last + 1);
        // An earlier owner may have finished some of them, or left the letter.
        let finished = reading.finished.iter();
        let open = finished.fold(position, |first, range| {
            if range.contains(&first) {
                range.end
            } else {
                first
            }
        });
        let is_known = open > last;
        let first = if is_known { position } else { open };
        let letter = if is_known {
            "they were dealt with before"
        } else {
            "one dead letter"
        };
        log::error!(
            "offsets {first} to {last} of partition {partition} can't be read: {why}; {letter}"
        );
        let record = RecordId {
            assignment: reading.assignment,
            offset: first,
        };
        let _ = self.reads.send(group::Read {
            assignment: record.assignment,
            offsets: vec![first],
            next: last + 1,
        });
        if !is_known {
            self.held.messages += 1;
            let why = format!("offsets {first} to {last} can't be read: {why}");
            let _ = self
                .group
                .send(group::Event::Unreadable { record, last, why });
        }
    }

    fn dispatch(&mut self, partition: i32, records: Vec<Record>, next: i64) {
        let Some(reading) = self.partitions.get(&partition) else {
            return;
        };
        let assignment = reading.assignment;
        let mut offsets = Vec::with_capacity(records.len());
        let mut messages: Vec<Vec<Message>> = self.workers.iter().map(|_| Vec::new()).collect();
        let mut settled = Vec::new();
        for record in records {
            let id = RecordId {
                assignment,
                offset: record.offset,
            };
            offsets.push(id.offset);
            self.rounds.read(record.size);
            if reading
                .finished
                .iter()
                .any(|range| range.contains(&id.offset))
            {
                continue;
            }
            let bytes = record.value.as_ref().map_or(0, |value| value.len());
            self.held.messages += 1;
            self.held.bytes += bytes;
            match self.read(id, &record) {
                Ok(delivery) => {
                    let worker = worker_of(delivery.key, self.workers.len());
                    messages[worker.0 as usize].push(Message {
                        record: id,
                        bytes,
                        delivery,
                    });
                }
                Err(why) => settled.push(Settled {
                    record: id,
                    bytes,
                    completion: Completion::Undeliverable(why),
                }),
            }
        }
        // The group takes this in before it hears what became of them.
        let _ = self.reads.send(group::Read {
            assignment,
            offsets,
            next,
        });
        if !settled.is_empty() {
            let _ = self.group.send(group::Event::Settled(settled));
        }
        for (worker, messages) in self.workers.iter().zip(messages) {
            if !messages.is_empty() {
                let _ = worker.send(worker::Event::Messages(messages));
            }
        }
    }

    fn read(&self, id: RecordId, record: &Record) -> Result<Delivery, String> {
        let (partition, offset) = (id.assignment.partition, id.offset);
        let place = format_args!("{}[{partition}]@{offset}", self.topic);
        fail::fail_point!("decode");
        let push = decode(record.value.as_ref()).map_err(|why| {
            log::error!(
                "Failed to parse message as PushMsg: {place} (partition {partition}, offset {offset}): {why}; \
                 it goes to the dead-letter topic. Does its producer write PushMsg in protobuf?"
            );
            format!("Failed to parse message as PushMsg: {why}")
        })?;
        logging::received(&push);
        self.router.route(push).map_err(|why| {
            log::error!("Nowhere to deliver {place}: {why}; it goes to the dead-letter topic");
            format!("Nowhere to deliver: {why}")
        })
    }
}
