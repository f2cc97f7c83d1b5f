//! The service's thread that writes dead letters. It holds each letter until it is written.

use std::collections::{BTreeMap, VecDeque};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{LARGEST, header};
use crate::base::backoff::{Retry, grows};
use crate::base::text::counted;
use crate::kafka::client::{
    Acks, CloseOptions, ConsumerRecord, CreateTopicsOptions, DeliveryHandle, ErrorCode,
    KrafkaError, NewTopic, Producer, Record,
};
use crate::kafka::fetch::{Positions, Reader};
use crate::kafka::{self, Trouble, alter_topic_command, is_too_large};
use crate::message::dead_letter::Letter;
use crate::message::{RecordId, group};
use crate::settings::{Config, Isolation};

/// Limits the letters of one round of writing.
const AT_ONCE: usize = 100;
/// Limits the held letters that the topic may refuse in one round of writing.
const REFUSED_AT_ONCE: usize = 10;

/// Limits one try to write a letter: the longest time of one request. After it the topic is looked up anew, because
/// somebody may have deleted it.
const DELIVERY_TIMEOUT: Duration = kafka::REQUEST_TIMEOUT;

/// Bytes of a record that fit in a letter. The rest is for the letter's own headers and for the format.
const ROOM: usize = LARGEST - (1 << 20);

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

/// Starts the thread. It writes letters until `letters` is closed, and retries each until it is written.
///
/// # Errors
/// The system refuses a thread or the runtime's files.
pub fn spawn(
    config: &Config,
    letters: Receiver<Letter>,
    group: Sender<group::Event>,
) -> std::io::Result<JoinHandle<()>> {
    let mut writer = DeadLetterWriter {
        brokers: config.brokers.clone(),
        source: config.topic.clone(),
        topic: config.dead_letter_topic(),
        connection: None,
        held: VecDeque::new(),
        retry: Retry::new(RETRY_FIRST, RETRY_MOST),
        again: Instant::now(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("dead-letter".into())
        .spawn(move || {
            while let Some(fresh) = writer.next_letters(&letters) {
                let written = runtime.block_on(writer.write(fresh));
                let written: Vec<_> = written
                    .into_iter()
                    .map(|letter| group::Written {
                        record: letter.record,
                        bytes: letter.bytes,
                        at: letter.at,
                    })
                    .collect();
                if !written.is_empty() && group.send(group::Event::Written(written)).is_err() {
                    break;
                }
            }
            runtime.block_on(writer.disconnect());
        })
}

struct DeadLetterWriter {
    brokers: Vec<String>,
    source: String,
    topic: String,
    connection: Option<Connection>,
    /// Letters that could not be written so far. Each is retried on its own, so that a letter that the topic refuses
    /// doesn't block the others.
    held: VecDeque<Letter>,
    retry: Retry,
    /// When the held letters are retried.
    again: Instant,
}

struct Connection {
    producer: Producer,
    originals: Originals,
}

impl DeadLetterWriter {
    /// Blocks until letters arrive or the held ones are due. Returns the new ones, which may be none, or `None` when closed.
    fn next_letters(&self, letters: &Receiver<Letter>) -> Option<Vec<Letter>> {
        let first = if self.held.is_empty() {
            Some(letters.recv().ok()?)
        } else {
            match letters.recv_deadline(self.again) {
                Ok(letter) => Some(letter),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        };
        let more = letters.try_iter().take(AT_ONCE - 1);
        let mut all: Vec<_> = first.into_iter().chain(more).collect();
        // Letters of neighbouring records then read their originals together.
        all.sort_unstable_by_key(|letter| letter.record);
        Some(all)
    }

    /// Writes new letters, and held ones when they are due. Returns the written ones; holds the rest.
    async fn write(&mut self, fresh: Vec<Letter>) -> Vec<Letter> {
        let mut written = Vec::new();
        let due = self.held.is_empty() || Instant::now() >= self.again;
        if !due && self.connection.is_none() {
            // Kafka failed a moment ago.
            self.held.extend(fresh);
            return written;
        }
        let mut failure = self.write_in_order(fresh, &mut written).await;
        let reachable = failure.is_none() || self.connection.is_some();
        if due && reachable {
            // This also separates letters that failed only because a batch with another one was too large.
            failure = self.write_held(&mut written).await;
        }
        match failure {
            Some(failure) if due || self.connection.is_none() => {
                let held = self.held.len();
                let cause = failure.cause(&self.brokers, &self.topic);
                let wait = self.retry.failed(&cause, |cause| {
                    failure.complain(cause, &self.topic, &self.source, held);
                });
                self.again = Instant::now() + wait;
            }
            None if self.held.is_empty() => {
                self.retry.worked();
            }
            _ => {}
        }
        written
    }

    /// Writes letters in order, and holds those that fail. Returns the first failure.
    async fn write_in_order(
        &mut self,
        letters: Vec<Letter>,
        written: &mut Vec<Letter>,
    ) -> Option<Failure> {
        let mut outcomes = self.try_write(&letters).await.into_iter();
        let mut failure = None;
        for letter in letters {
            let error = match outcomes.next() {
                Some(Ok(())) => {
                    written.push(letter);
                    continue;
                }
                outcome => outcome.and_then(Result::err),
            };
            if let Some(error) = error {
                if !is_too_large(&error) {
                    self.disconnect().await;
                }
                let record = letter.record;
                failure.get_or_insert(Failure { record, error });
            }
            self.held.push_back(letter);
        }
        failure
    }

    async fn disconnect(&mut self) {
        if let Some(Connection {
            producer,
            originals,
        }) = self.connection.take()
        {
            let options = CloseOptions::new().timeout(kafka::CLOSING);
            let _ = producer.close_with(options).await;
            originals.reader.close().await;
        }
    }

    /// Tries each held letter once, one by one, until Kafka fails or `REFUSED_AT_ONCE` are refused.
    async fn write_held(&mut self, written: &mut Vec<Letter>) -> Option<Failure> {
        let mut first = None;
        let mut refused = 0;
        for _ in 0..self.held.len() {
            let letter = self.held.pop_front()?;
            if let Some(failure) = self.write_in_order(vec![letter], written).await {
                refused += 1;
                let ends = self.connection.is_none() || refused == REFUSED_AT_ONCE;
                first.get_or_insert(failure);
                if ends {
                    break;
                }
            }
        }
        first
    }

    /// Returns an outcome for each letter, or fewer when Kafka failed.
    async fn try_write(&mut self, letters: &[Letter]) -> Vec<Result<(), KrafkaError>> {
        let mut outcomes = Vec::new();
        let mut handles = Vec::new();
        let mut failed = None;
        for letter in letters {
            match self.enqueue(letter).await {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    failed = Some(Err(error));
                    break;
                }
            }
        }
        for handle in handles {
            outcomes.push(handle.await.map(|_| ()));
        }
        outcomes.extend(failed);
        outcomes
    }

    async fn enqueue(&mut self, letter: &Letter) -> Result<DeliveryHandle, KrafkaError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self
                .connection
                .insert(Connection::open(&self.brokers, &self.source, &self.topic).await?),
        };
        let original = match letter.last {
            // Unreadable offsets have no original.
            Some(_) => None,
            None => connection.originals.get(letter.record).await?,
        };
        if original.is_none() && letter.last.is_none() {
            log::error!(
                "{}[{}]@{} is to become a dead letter, but Kafka no longer has it: its letter stays empty",
                self.source,
                letter.record.assignment.partition,
                letter.record.offset
            );
        }
        let record = record(&self.topic, &self.source, letter, original);
        connection.producer.enqueue(record).await
    }
}

/// Why a letter could not be written.
struct Failure {
    record: RecordId,
    error: KrafkaError,
}

impl Failure {
    fn cause(&self, brokers: &[String], topic: &str) -> String {
        if is_too_large(&self.error) {
            let value = format!("max.message.bytes={LARGEST}");
            format!(
                "it refused a letter as too large. Raise its max.message.bytes: {}",
                alter_topic_command(brokers, topic, &value)
            )
        } else {
            let trouble = Trouble::new(brokers, &self.error);
            format!("{trouble}. Can the topic be made and written to?")
        }
    }

    fn complain(&self, cause: &str, topic: &str, source: &str, held: usize) {
        log::error!(
            "Writing to the dead-letter topic {topic} failed: {cause}. {} waiting for it, among them \
             {source}[{}]@{}; their offsets are held. Trying again until it works",
            counted(held as u64, "message"),
            self.record.assignment.partition,
            self.record.offset
        );
    }
}

impl Connection {
    async fn open(brokers: &[String], source: &str, topic: &str) -> Result<Self, KrafkaError> {
        let kafka = kafka::connect(brokers).await?;
        if kafka::partitions(&kafka, topic).await?.is_none() {
            let new = NewTopic::new(topic, 1, -1)?
                .with_config("max.message.bytes", LARGEST.to_string())
                // A letter stays until somebody decides. With the broker's default it would be lost after 7 days.
                .with_config("retention.ms", "-1");
            let made = kafka
                .admin()
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
            .delivery_timeout(DELIVERY_TIMEOUT)
            .max_block(DELIVERY_TIMEOUT)
            .metrics_push(false)
            .build()
            .await?;
        Ok(Self {
            producer,
            originals: Originals {
                // The record was delivered, so it is readable whatever became of its transaction.
                reader: Reader::connect(brokers, source, Isolation::ReadUncommitted).await?,
                last: BTreeMap::new(),
                partition: -1,
            },
        })
    }
}

/// Reads records again, as they are in Kafka: delivery keeps neither key, headers nor timestamp, and the classic
/// fetcher can't tell null from empty.
struct Originals {
    reader: Reader,
    /// The records of the last read: letters often follow each other.
    last: BTreeMap<i64, ConsumerRecord>,
    partition: i32,
}

impl Originals {
    /// Returns the record, or `None` if Kafka no longer has it.
    async fn get(&mut self, record: RecordId) -> Result<Option<ConsumerRecord>, KrafkaError> {
        if self.partition != record.assignment.partition || !self.last.contains_key(&record.offset)
        {
            self.last = self.read_from(record).await?;
            self.partition = record.assignment.partition;
        }
        Ok(self.last.get(&record.offset).cloned())
    }

    async fn read_from(
        &mut self,
        record: RecordId,
    ) -> Result<BTreeMap<i64, ConsumerRecord>, KrafkaError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let position = Positions::from([(record.assignment.partition, record.offset)]);
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
                    record.assignment.partition, record.offset
                )));
            }
        }
    }
}

/// Builds the letter for `topic`: the message as it was read from the topic `source`, with headers that say why it failed.
/// `original` is `None` if Kafka no longer has it or it can't be read.
pub fn record(
    topic: &str,
    source: &str,
    letter: &Letter,
    original: Option<ConsumerRecord>,
) -> Record {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let mut record = Record::new(topic, "").without_value();
    let mut why = letter.why.clone();
    if let Some(mut original) = original {
        why.extend(left_out(&mut original));
        record.key = original.key;
        record.value = original.value;
        record.headers = original.headers;
        record = record.header(header::TIMESTAMP, original.timestamp.to_string());
    }
    record = record
        .header(header::TOPIC, source.to_owned())
        .header(
            header::PARTITION,
            letter.record.assignment.partition.to_string(),
        )
        .header(header::OFFSET, letter.record.offset.to_string());
    if let Some(last) = letter.last {
        record = record.header(header::LAST, last.to_string());
    }
    record
        .header(header::TIME, now.to_string())
        .header(header::ERROR, why)
}

/// Removes what doesn't fit in a letter: a compressed record may be much larger than its topic allows. Returns what was
/// removed, in words.
fn left_out(original: &mut ConsumerRecord) -> Option<String> {
    let length = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
    let (key, value) = (length(&original.key), length(&original.value));
    let headers: usize = original
        .headers
        .iter()
        .map(|(name, value)| name.len() + length(value))
        .sum();
    if key + value + headers <= ROOM {
        return None;
    }
    original.value = None;
    let mut parts = format!("its value of {value} bytes");
    if key + headers > ROOM {
        original.key = None;
        original.headers.clear();
        parts = format!("{parts}, its key and its headers");
    }
    Some(format!(
        "; the letter is without {parts}: it has room for {ROOM} bytes"
    ))
}
