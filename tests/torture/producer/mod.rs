//! The producer: sends without a pause, and knows what Kafka acknowledged.

mod added;
mod transaction;

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use krafka::Kafka as Client;
use krafka::producer::{Acks, DeliveryHandle, Producer as Connection, ProducerBuilder, Record};
use tokio::sync::mpsc;

use crate::children::lock;
use crate::kafka::TOPIC;
use crate::streams::{Stream, Streams, poison};
use crate::timeline::{Micros, now};

pub use transaction::{Fate, Transaction};

/// So rarely a record that can't be delivered is sent, beside those of the faults: one in so many.
const POISON_EVERY: u32 = 400;

/// An outage of Kafka is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// What became of one record.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// `None` for one that can't be delivered.
    pub message: Option<(Stream, u32)>,
    pub partition: i32,
    /// `None` where Kafka had it already when the producer asked again: it is there, and where isn't said.
    pub offset: Option<i64>,
    pub acknowledged: Micros,
}

#[derive(Default)]
pub struct Counts {
    pub sent: AtomicU64,
    pub acknowledged: AtomicU64,
    pub failed: AtomicU64,
    /// Deliveries to come of what was acknowledged.
    pub due: AtomicU64,
}

/// What was sent and what became of it: shared by all that send.
pub struct Ledger {
    pub streams: Arc<Streams>,
    /// By stream, the number of its next message.
    next: Vec<AtomicU32>,
    /// How many of the topic's partitions get messages.
    partitions: AtomicI32,
    pub counts: Counts,
    pub acknowledged: Mutex<Vec<Sent>>,
    pub trouble: Mutex<Vec<String>>,
    pub transactions: Mutex<Vec<Transaction>>,
}

pub struct Producer {
    pub ledger: Arc<Ledger>,
    /// Records that can't be delivered and are to be sent as soon as possible.
    pub poison: Arc<AtomicU32>,
    added: mpsc::UnboundedSender<Lane>,
    stop: Arc<AtomicBool>,
    sending: tokio::task::JoinHandle<()>,
    collecting: tokio::task::JoinHandle<()>,
}

/// A connection that sends to the partitions below `end` that none before it sends to.
struct Lane {
    end: i32,
    connection: Connection,
}

impl Producer {
    pub async fn start(
        client: &Client,
        streams: Arc<Streams>,
        partitions: i32,
        rate: u32,
        seed: u64,
    ) -> Result<Producer, String> {
        let connection = builder(client)
            .build()
            .await
            .map_err(|e| format!("the producer does not start: {e}"))?;
        let ledger = Arc::new(Ledger {
            next: (0..streams.count()).map(|_| AtomicU32::new(0)).collect(),
            streams,
            partitions: AtomicI32::new(partitions),
            counts: Counts::default(),
            acknowledged: Mutex::default(),
            trouble: Mutex::default(),
            transactions: Mutex::default(),
        });
        let (handles, written) = mpsc::unbounded_channel();
        let (added, lanes) = mpsc::unbounded_channel();
        let (stop, poison) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let sender = Sender {
            ledger: ledger.clone(),
            rng: Rng::with_seed(seed ^ 0x5eed),
            lanes: vec![Lane {
                end: partitions,
                connection,
            }],
            added: lanes,
            poison: poison.clone(),
            stop: stop.clone(),
            handles,
        };
        Ok(Producer {
            sending: tokio::spawn(sender.run(rate)),
            collecting: tokio::spawn(collect(written, ledger.clone())),
            ledger,
            poison,
            added,
            stop,
        })
    }

    /// Sends nothing more.
    pub fn ask_to_stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether the fate of all that was sent is known.
    pub fn is_done(&self) -> bool {
        self.sending.is_finished() && self.collecting.is_finished()
    }
}

fn builder(client: &Client) -> ProducerBuilder {
    client
        .producer()
        .acks(Acks::All)
        .idempotent(true)
        .linger(Duration::from_millis(2))
        .delivery_timeout(PATIENCE)
        .max_block(PATIENCE)
        .metrics_push(false)
}

impl Ledger {
    /// The next message of a stream, to be sent.
    fn next(&self, stream: Stream, rng: &mut Rng) -> (u32, Record) {
        self.counts.sent.fetch_add(1, Relaxed);
        let sequence = self.next[stream].fetch_add(1, Relaxed);
        let padding = 50 + rng.usize(0..300);
        let value = self.streams.encode(stream, sequence, padding);
        (sequence, self.addressed(Record::new(TOPIC, value), stream))
    }

    fn addressed(&self, record: Record, stream: Stream) -> Record {
        record
            .key(self.streams.name(stream).to_owned())
            .partition(self.streams.partition(stream))
    }

    fn acknowledge(&self, sent: Sent) {
        self.counts.acknowledged.fetch_add(1, Relaxed);
        if let Some((stream, _)) = sent.message {
            let due = self.streams.reach(stream) as u64;
            self.counts.due.fetch_add(due, Relaxed);
        }
        lock(&self.acknowledged).push(sent);
    }

    fn fail(&self, trouble: String) {
        self.counts.failed.fetch_add(1, Relaxed);
        lock(&self.trouble).push(trouble);
    }
}

type Handles = mpsc::UnboundedSender<(Option<(Stream, u32)>, DeliveryHandle)>;

struct Sender {
    ledger: Arc<Ledger>,
    rng: Rng,
    lanes: Vec<Lane>,
    added: mpsc::UnboundedReceiver<Lane>,
    poison: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    handles: Handles,
}

impl Sender {
    async fn run(mut self, rate: u32) {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let mut owed = 0.0;
        while !self.stop.load(Relaxed) {
            tick.tick().await;
            while let Ok(lane) = self.added.try_recv() {
                self.ledger.partitions.store(lane.end, Relaxed);
                self.lanes.push(lane);
            }
            owed += f64::from(rate) / 100.0;
            while owed >= 1.0 {
                owed -= 1.0;
                self.send().await;
            }
        }
        for lane in &self.lanes {
            if let Err(error) = lane.connection.flush().await {
                lock(&self.ledger.trouble).push(error.to_string());
            }
        }
    }

    async fn send(&mut self) {
        let bad = self
            .poison
            .fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1))
            .is_ok();
        let (stream, message, record) = self.next(bad);
        let partition = self.ledger.streams.partition(stream);
        let Some(lane) = self.lanes.iter().find(|lane| partition < lane.end) else {
            return;
        };
        match lane.connection.enqueue(record).await {
            Ok(handle) => drop(self.handles.send((message, handle))),
            Err(error) => self.ledger.fail(error.to_string()),
        }
    }

    fn next(&mut self, bad: bool) -> (Stream, Option<(Stream, u32)>, Record) {
        let partitions = self.ledger.partitions.load(Relaxed);
        let stream = self.ledger.streams.draw(&mut self.rng, partitions);
        if bad || self.rng.u32(0..POISON_EVERY) == 0 {
            self.ledger.counts.sent.fetch_add(1, Relaxed);
            let record = match poison(&mut self.rng) {
                Some(value) => Record::new(TOPIC, value),
                None => Record::new(TOPIC, "").without_value(),
            };
            return (stream, None, self.ledger.addressed(record, stream));
        }
        let (sequence, record) = self.ledger.next(stream, &mut self.rng);
        (stream, Some((stream, sequence)), record)
    }
}

async fn collect(
    mut written: mpsc::UnboundedReceiver<(Option<(Stream, u32)>, DeliveryHandle)>,
    ledger: Arc<Ledger>,
) {
    while let Some((message, handle)) = written.recv().await {
        match handle.await {
            Ok(written) if written.is_persisted() => ledger.acknowledge(Sent {
                message,
                partition: written.partition,
                offset: (written.offset >= 0).then_some(written.offset),
                acknowledged: now(),
            }),
            outcome => ledger.fail(format!("{outcome:?}")),
        }
    }
}
