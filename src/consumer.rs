//! The consumer thread: fetches batches, decodes and routes each record, and hands it to its key's worker.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::backoff::Retry;
use crate::config::Config;
use crate::decode::decode;
use crate::fetch::{Batch, FetchError, Fetcher, Outcome, Positions, Record};
use crate::message::{How, Message, Settled, Slot};
use crate::route::Router;
use crate::sharing::Sharing;
use crate::{group, logging, worker};

/// Waits after a failed fetch. A broker that is back is read from within this.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(1);

/// What the group tells the consumer.
pub enum Control {
    /// Read a partition from `position` on, but for the offsets `finished` (ascending ranges).
    Assign {
        partition: i32,
        epoch: u64,
        position: i64,
        finished: Vec<Range<i64>>,
    },
    /// Stop reading a partition.
    Revoke { partition: i32 },
    /// Stop reading a partition, and say so to the group.
    Suspend { partition: i32, epoch: u64 },
    /// This much is settled and no longer held.
    Credit { messages: usize, bytes: usize },
    /// End the thread.
    Stop,
}

pub struct Consumer {
    control: Receiver<Control>,
    group: Sender<group::Event>,
    workers: Vec<Sender<worker::Event>>,
    sharing: Sharing,
    fetcher: Box<dyn Fetcher + Send>,
    router: Router,
    topic: String,
    partitions: BTreeMap<i32, Reading>,
    /// Messages and bytes that were read and are not settled, and the caps on both.
    held: Held,
    caps: Held,
}

/// A partition that is being read.
struct Reading {
    epoch: u64,
    position: i64,
    finished: Vec<Range<i64>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    messages: usize,
    bytes: usize,
}

impl Consumer {
    /// A consumer that reads through `fetcher` and hands messages to `workers`.
    pub fn new(
        config: &Config,
        fetcher: Box<dyn Fetcher + Send>,
        control: Receiver<Control>,
        group: Sender<group::Event>,
        workers: Vec<Sender<worker::Event>>,
    ) -> Self {
        Self {
            control,
            group,
            sharing: config.sharing(),
            workers,
            fetcher,
            router: Router::new(config.comet.clone()),
            topic: config.topic.clone(),
            partitions: BTreeMap::new(),
            held: Held::default(),
            caps: Held {
                messages: config.hold_messages,
                bytes: config.hold_bytes,
            },
        }
    }

    /// Reads until told to stop.
    pub fn run(mut self) {
        let mut reading = Retry::new(RETRY_FIRST, RETRY_MOST);
        loop {
            // Where there is nothing to read, or no room for it, only news can change that.
            let idle = self.partitions.is_empty() || self.is_full();
            let mut news = if idle {
                self.control.recv().ok()
            } else {
                self.control.try_recv().ok()
            };
            while let Some(control) = news {
                if !self.obey(control) {
                    return;
                }
                news = self.control.try_recv().ok();
            }
            if self.partitions.is_empty() || self.is_full() {
                continue;
            }
            let positions: Positions = self
                .partitions
                .iter()
                .map(|(p, r)| (*p, r.position))
                .collect();
            match self.fetcher.fetch(&positions) {
                Ok(batches) => {
                    if let Some(failed_for) = reading.worked() {
                        let seconds = failed_for.as_secs_f64();
                        log::info!("reading from Kafka again, after {seconds:.1} s");
                    }
                    // A partition may have gone to another owner while the broker was waiting for records.
                    while let Ok(control) = self.control.try_recv() {
                        if !self.obey(control) {
                            return;
                        }
                    }
                    for batch in batches {
                        self.take(batch, &positions);
                    }
                }
                Err(error) => {
                    let why = match error {
                        FetchError::Failed(why) => why,
                        FetchError::Unsupported(why) => {
                            format!("{why}. Use --fetch auto or modern")
                        }
                    };
                    let wait = reading.failed(&why, |why| {
                        log::warn!("Reading from Kafka failed: {why}; trying again until it works");
                    });
                    match self.control.recv_timeout(wait) {
                        Ok(control) => {
                            if !self.obey(control) {
                                return;
                            }
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.held.messages >= self.caps.messages || self.held.bytes >= self.caps.bytes
    }

    /// Returns whether to go on.
    fn obey(&mut self, control: Control) -> bool {
        match control {
            Control::Assign {
                partition,
                epoch,
                position,
                finished,
            } => {
                self.partitions.insert(
                    partition,
                    Reading {
                        epoch,
                        position,
                        finished,
                    },
                );
            }
            Control::Revoke { partition } => {
                self.partitions.remove(&partition);
            }
            Control::Suspend { partition, epoch } => {
                self.partitions.remove(&partition);
                let _ = self
                    .group
                    .send(group::Event::Suspended { partition, epoch });
            }
            Control::Credit { messages, bytes } => {
                self.held.messages -= messages;
                self.held.bytes -= bytes;
            }
            Control::Stop => return false,
        }
        true
    }

    fn take(&mut self, batch: Batch, positions: &Positions) {
        let partition = batch.partition;
        let Some(reading) = self.partitions.get_mut(&partition) else {
            return;
        };
        if positions.get(&partition) != Some(&reading.position) {
            // It went and came back while it was being read: this batch belongs to the turn before.
            return;
        }
        match batch.outcome {
            Outcome::Records { records, next } => {
                reading.position = next;
                self.dispatch(partition, records, next);
            }
            Outcome::OutOfRange { earliest } => {
                let Reading {
                    epoch, position, ..
                } = *reading;
                if earliest > position {
                    log::error!(
                        "partition {partition} of {} begins at offset {earliest}: the {} records from {position} on \
                         were deleted by the topic's retention before job could read them",
                        self.topic,
                        earliest - position
                    );
                } else {
                    log::warn!(
                        "partition {partition} of {} no longer has offset {position} (it was cut back, or made anew): \
                         reading it from offset {earliest}",
                        self.topic
                    );
                }
                self.partitions.remove(&partition);
                let moved = group::Event::Moved {
                    partition,
                    epoch,
                    position: earliest,
                };
                let _ = self.group.send(moved);
            }
        }
    }

    fn dispatch(&mut self, partition: i32, records: Vec<Record>, next: i64) {
        let Some(reading) = self.partitions.get(&partition) else {
            return;
        };
        let epoch = reading.epoch;
        let mut offsets = Vec::with_capacity(records.len());
        let mut messages: Vec<Vec<Message>> = self.workers.iter().map(|_| Vec::new()).collect();
        let mut settled = Vec::new();
        for record in records {
            let slot = Slot {
                partition,
                epoch,
                offset: record.offset,
            };
            offsets.push(slot.offset);
            if reading
                .finished
                .iter()
                .any(|range| range.contains(&slot.offset))
            {
                continue;
            }
            let bytes = record.value.as_ref().map_or(0, |value| value.len());
            self.held.messages += 1;
            self.held.bytes += bytes;
            match self.read(slot, &record) {
                Ok(delivery) => {
                    self.sharing
                        .hand_out(delivery, |worker, delivery, together| {
                            messages[worker].push(Message {
                                slot,
                                bytes,
                                delivery,
                                together,
                            });
                        });
                }
                Err(why) => settled.push(Settled {
                    slot,
                    bytes,
                    how: How::Undeliverable(why),
                }),
            }
        }
        // The group has to know of a record before it hears what became of it.
        let _ = self.group.send(group::Event::Read {
            partition,
            epoch,
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

    fn read(&self, slot: Slot, record: &Record) -> Result<crate::route::Delivery, String> {
        let place = format_args!("{}[{}]@{}", self.topic, slot.partition, slot.offset);
        fail::fail_point!("decode");
        let push = decode(record.value.as_ref()).map_err(|why| {
            log::error!(
                "Failed to parse message as PushMsg: {place} (partition {}, offset {}): {why}; \
                 it goes to the dead-letter topic. Does its producer write PushMsg in protobuf?",
                slot.partition,
                slot.offset
            );
            format!("Failed to parse message as PushMsg: {why}")
        })?;
        logging::received(push.type_.value(), push.operation, &push.room, &push.msg);
        self.router.route(push).map_err(|why| {
            log::error!("Nowhere to deliver {place}: {why}; it goes to the dead-letter topic");
            format!("Nowhere to deliver: {why}")
        })
    }
}
