//! The dead-letter topic: each message that can never be delivered, as it was, with headers that say why.

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender};
use krafka::admin::{CreateTopicsOptions, DescribeTopicsOptions, NewTopic};
use krafka::consumer::ConsumerRecord;
use krafka::error::{ErrorCode, KrafkaError};
use krafka::producer::{Acks, Producer, Record};

use crate::backoff::Retry;
use crate::config::Config;
use crate::fetch::{Positions, Reader};
use crate::group;
use crate::kafka::Trouble;
use crate::message::Slot;

/// Headers of a dead letter. Those that the record had stand before them.
pub const TOPIC: &str = "job.source.topic";
pub const PARTITION: &str = "job.source.partition";
pub const OFFSET: &str = "job.source.offset";
/// When the record was written, in milliseconds since 1970.
pub const TIMESTAMP: &str = "job.source.timestamp";
/// When it became a dead letter, likewise.
pub const TIME: &str = "job.time";
pub const ERROR: &str = "job.error";

/// The made topic takes records that the main topic took, and their headers: the main topic's limit is the
/// broker's 1 MiB unless somebody raised it.
const LARGEST: usize = 64 << 20;

/// So many letters are written at once.
const AT_ONCE: usize = 100;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// A message to bury.
#[derive(Debug)]
pub struct Letter {
    pub slot: Slot,
    pub bytes: usize,
    pub why: String,
}

/// Starts the thread that writes dead letters until `letters` ends. It tries each one until it is written.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    config: &Config,
    letters: Receiver<Letter>,
    group: Sender<group::Event>,
) -> std::io::Result<JoinHandle<()>> {
    let mut undertaker = Undertaker {
        brokers: config.brokers.clone(),
        source: config.topic.clone(),
        topic: config.dead_letter_topic(),
        connection: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("dead-letter".into())
        .spawn(move || {
            while let Ok(first) = letters.recv() {
                let batch: Vec<Letter> = std::iter::once(first)
                    .chain(letters.try_iter().take(AT_ONCE - 1))
                    .collect();
                runtime.block_on(undertaker.bury(&batch));
                let buried = batch
                    .into_iter()
                    .map(|letter| (letter.slot, letter.bytes))
                    .collect();
                if group.send(group::Event::Buried(buried)).is_err() {
                    return;
                }
            }
        })
}

struct Undertaker {
    brokers: Vec<String>,
    source: String,
    topic: String,
    connection: Option<Connection>,
}

struct Connection {
    producer: Producer,
    originals: Originals,
}

impl Undertaker {
    /// Writes the letters, however long it takes.
    async fn bury(&mut self, letters: &[Letter]) {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let mut left = letters;
        while !left.is_empty() {
            match self.try_bury(left).await {
                Ok(written) => {
                    left = &left[written..];
                    retry.worked();
                }
                Err(error) => {
                    self.connection = None;
                    let wait = retry.failed(|| self.complain(&error, left));
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn complain(&self, error: &KrafkaError, left: &[Letter]) {
        let Some(Letter { slot, .. }) = left.first() else {
            return;
        };
        log::error!(
            "Writing to the dead-letter topic {} failed: {}. {} messages wait for it, from {}[{}]@{} on. Trying again \
             until it works: can the topic be made and written to?",
            self.topic,
            Trouble::new(&self.brokers, error),
            left.len(),
            self.source,
            slot.partition,
            slot.offset
        );
    }

    /// Writes some of the letters, in order. Returns how many.
    async fn try_bury(&mut self, letters: &[Letter]) -> Result<usize, KrafkaError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self
                .connection
                .insert(Connection::open(&self.brokers, &self.source, &self.topic).await?),
        };
        let mut written = Vec::new();
        for letter in letters {
            let original = connection.originals.get(letter.slot).await?;
            if original.is_none() {
                log::error!(
                    "{}[{}]@{} is to become a dead letter, but Kafka no longer has it: its letter stays empty",
                    self.source,
                    letter.slot.partition,
                    letter.slot.offset
                );
            }
            let record = record(&self.topic, &self.source, letter, original);
            written.push(connection.producer.enqueue(record).await?);
        }
        for (done, handle) in written.into_iter().enumerate() {
            match handle.await {
                Ok(_) => {}
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
        Ok(letters.len())
    }
}

impl Connection {
    async fn open(brokers: &[String], source: &str, topic: &str) -> Result<Self, KrafkaError> {
        let kafka = crate::kafka::connect(brokers).await?;
        let admin = kafka.admin();
        let found = admin
            .describe_topics([topic], DescribeTopicsOptions::default())
            .await?;
        if found.values().any(Result::is_err) {
            let new =
                NewTopic::new(topic, 1, -1)?.with_config("max.message.bytes", LARGEST.to_string());
            let made = admin
                .create_topics([new], CreateTopicsOptions::default())
                .await?;
            for result in made.into_values() {
                match result {
                    Ok(()) => log::info!("made the dead-letter topic {topic}"),
                    Err(KrafkaError::Broker {
                        code: ErrorCode::TopicAlreadyExists,
                        ..
                    }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let producer = kafka
            .producer()
            .acks(Acks::All)
            .linger(Duration::ZERO)
            .max_request_size(LARGEST)
            .buffer_memory(LARGEST)
            .metrics_push(false)
            .build()
            .await?;
        Ok(Self {
            producer,
            originals: Originals {
                reader: Reader::connect(brokers, source).await?,
                last: BTreeMap::new(),
                partition: -1,
            },
        })
    }
}

/// Reads records again, as they are in Kafka: what delivery holds of them lacks key, headers and time, and the
/// classic fetcher can't tell null from empty.
struct Originals {
    reader: Reader,
    /// The records that the last read brought: letters often follow each other.
    last: BTreeMap<i64, ConsumerRecord>,
    partition: i32,
}

impl Originals {
    /// The record at `slot`, or `None` where Kafka no longer has it.
    async fn get(&mut self, slot: Slot) -> Result<Option<ConsumerRecord>, KrafkaError> {
        if self.partition != slot.partition || !self.last.contains_key(&slot.offset) {
            self.last = self.read_from(slot).await?;
            self.partition = slot.partition;
        }
        Ok(self.last.get(&slot.offset).cloned())
    }

    async fn read_from(
        &mut self,
        slot: Slot,
    ) -> Result<BTreeMap<i64, ConsumerRecord>, KrafkaError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let position = Positions::from([(slot.partition, slot.offset)]);
        loop {
            let records = match self.reader.read(&position).await {
                Ok(records) => records,
                Err(KrafkaError::NoOffset { .. }) => return Ok(BTreeMap::new()),
                Err(error) => return Err(error),
            };
            if !records.is_empty() {
                return Ok(records
                    .into_iter()
                    .map(|record| (record.offset, record))
                    .collect());
            }
            if Instant::now() > deadline {
                return Err(KrafkaError::timeout(format!(
                    "reading partition {} at offset {} again",
                    slot.partition, slot.offset
                )));
            }
        }
    }
}

fn record(topic: &str, source: &str, letter: &Letter, original: Option<ConsumerRecord>) -> Record {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let mut record = Record::new(topic, "").without_value();
    if let Some(original) = original {
        record.key = original.key;
        record.value = original.value;
        record.headers = original.headers;
        record = record.header(TIMESTAMP, original.timestamp.to_string());
    }
    record
        .header(TOPIC, source.to_owned())
        .header(PARTITION, letter.slot.partition.to_string())
        .header(OFFSET, letter.slot.offset.to_string())
        .header(TIME, now.to_string())
        .header(ERROR, letter.why.clone())
}
