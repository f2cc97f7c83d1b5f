//! The producer: sends without a pause, and knows what Kafka acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use krafka::Kafka as Client;
use krafka::producer::{Acks, DeliveryHandle, Record};
use tokio::sync::mpsc;

use crate::children::lock;
use crate::kafka::TOPIC;
use crate::streams::{Stream, Streams, poison};
use crate::timeline::{Micros, now};

/// So rarely a record that can't be delivered is sent, beside those of the faults: one in so many.
const POISON_EVERY: u32 = 400;

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

pub struct Producer {
    pub counts: Arc<Counts>,
    /// Records that can't be delivered and are to be sent as soon as possible.
    pub poison: Arc<AtomicU32>,
    pub acknowledged: Arc<Mutex<Vec<Sent>>>,
    pub trouble: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    sending: tokio::task::JoinHandle<()>,
    collecting: tokio::task::JoinHandle<()>,
}

impl Producer {
    pub async fn start(
        client: &Client,
        streams: Arc<Streams>,
        rate: u32,
        seed: u64,
    ) -> Result<Producer, String> {
        let producer = client
            .producer()
            .acks(Acks::All)
            .idempotent(true)
            .linger(Duration::from_millis(2))
            // An outage of Kafka is waited for.
            .delivery_timeout(Duration::from_secs(300))
            .max_block(Duration::from_secs(300))
            .metrics_push(false)
            .build()
            .await
            .map_err(|e| format!("the producer does not start: {e}"))?;
        let counts = Arc::new(Counts::default());
        let (handles, written) = mpsc::unbounded_channel();
        let (stop, poison) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let acknowledged: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let trouble: Arc<Mutex<Vec<String>>> = Arc::default();
        let sending = {
            let (streams, counts, stop, poison) = (
                streams.clone(),
                counts.clone(),
                stop.clone(),
                poison.clone(),
            );
            let trouble = Arc::clone(&trouble);
            tokio::spawn(async move {
                let mut sender = Sender {
                    next: vec![0; streams.count()],
                    streams,
                    rng: Rng::with_seed(seed ^ 0x5eed),
                    counts,
                };
                let mut tick = tokio::time::interval(Duration::from_millis(10));
                let mut owed = 0.0;
                while !stop.load(Relaxed) {
                    tick.tick().await;
                    owed += f64::from(rate) / 100.0;
                    while owed >= 1.0 {
                        owed -= 1.0;
                        let bad = poison
                            .fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1))
                            .is_ok();
                        let (message, record) = sender.next(bad);
                        match producer.enqueue(record).await {
                            Ok(handle) => drop(handles.send((message, handle))),
                            Err(error) => {
                                sender.counts.failed.fetch_add(1, Relaxed);
                                lock(&trouble).push(error.to_string());
                            }
                        }
                    }
                }
                if let Err(error) = producer.flush().await {
                    lock(&trouble).push(error.to_string());
                }
            })
        };
        let collecting = {
            let (counts, acknowledged, trouble) = (
                counts.clone(),
                Arc::clone(&acknowledged),
                Arc::clone(&trouble),
            );
            tokio::spawn(collect(written, counts, streams, acknowledged, trouble))
        };
        Ok(Producer {
            counts,
            poison,
            acknowledged,
            trouble,
            stop,
            sending,
            collecting,
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

struct Sender {
    streams: Arc<Streams>,
    next: Vec<u32>,
    rng: Rng,
    counts: Arc<Counts>,
}

impl Sender {
    fn next(&mut self, bad: bool) -> (Option<(Stream, u32)>, Record) {
        self.counts.sent.fetch_add(1, Relaxed);
        let stream = self.streams.draw(&mut self.rng);
        let key = self.streams.name(stream).to_owned();
        if bad || self.rng.u32(0..POISON_EVERY) == 0 {
            let record = match poison(&mut self.rng) {
                Some(value) => Record::new(TOPIC, value),
                None => Record::new(TOPIC, "").without_value(),
            };
            return (None, record.key(key));
        }
        let sequence = self.next[stream];
        self.next[stream] += 1;
        let padding = 50 + self.rng.usize(0..300);
        let value = self.streams.encode(stream, sequence, padding);
        (Some((stream, sequence)), Record::new(TOPIC, value).key(key))
    }
}

async fn collect(
    mut written: mpsc::UnboundedReceiver<(Option<(Stream, u32)>, DeliveryHandle)>,
    counts: Arc<Counts>,
    streams: Arc<Streams>,
    acknowledged: Arc<Mutex<Vec<Sent>>>,
    trouble: Arc<Mutex<Vec<String>>>,
) {
    while let Some((message, handle)) = written.recv().await {
        match handle.await {
            Ok(written) if written.is_persisted() => {
                counts.acknowledged.fetch_add(1, Relaxed);
                if let Some((stream, _)) = message {
                    counts.due.fetch_add(streams.reach(stream) as u64, Relaxed);
                }
                lock(&acknowledged).push(Sent {
                    message,
                    partition: written.partition,
                    offset: (written.offset >= 0).then_some(written.offset),
                    acknowledged: now(),
                });
            }
            outcome => {
                counts.failed.fetch_add(1, Relaxed);
                lock(&trouble).push(format!("{outcome:?}"));
            }
        }
    }
}
