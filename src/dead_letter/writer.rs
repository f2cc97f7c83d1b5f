//! The service's thread that writes dead letters. It holds each letter until it is written.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::originals::Originals;
use super::waiting::Waiting;
use super::{LARGEST, compose};
use crate::base::backoff::{Retry, grows};
use crate::base::text::counted;
use crate::figures::Figures;
use crate::kafka::client::{
    Acks, CloseOptions, ConsumerRecord, CreateTopicsOptions, DeliveryHandle, ErrorCode,
    KrafkaError, NewTopic, Producer,
};
use crate::kafka::{self, Cluster, Trouble, alter_topic_command, is_invalid, is_too_large};
use crate::message::dead_letter::{Event, Letter};
use crate::message::{Completion, RecordId, Settled, TopicId, Topics, group};
use crate::settings::{Config, dead_letter_topic};

/// Limits the letters of one round of writing.
const AT_ONCE: usize = 100;
/// Limits the held letters that the topic may refuse in one round of writing.
const REFUSED_AT_ONCE: usize = 10;

/// Limits one try to write a letter: the longest time of one request. After it the topic is looked up anew, because
/// somebody may have deleted it.
const DELIVERY_TIMEOUT: Duration = kafka::REQUEST_TIMEOUT;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

/// Starts the thread, and with several topics one for each. It writes letters until `events` is closed, and retries each until it is written or its partition is
/// another member's: that one writes it then.
///
/// # Errors
/// The system refuses a thread or the runtime's files.
pub fn spawn(
    config: &Config,
    events: Receiver<Event>,
    group: Sender<group::Event>,
    figures: Arc<Figures>,
) -> std::io::Result<JoinHandle<()>> {
    if !config.topics.are_several() {
        return spawn_for(config, TopicId(0), events, group, figures);
    }
    // Where one dead-letter topic takes nothing, the others do.
    let spawn_one = |topic| {
        let (to_writer, letters) = unbounded();
        let (group, figures) = (group.clone(), figures.clone());
        spawn_for(config, topic, letters, group, figures).map(|writer| (to_writer, writer))
    };
    let writers: std::io::Result<Vec<_>> = config.topics.ids().map(spawn_one).collect();
    let writers = writers?;
    std::thread::Builder::new()
        .name("dead-letters".into())
        .spawn(move || {
            for event in events {
                let topic = event.assignment().partition.topic;
                // It is gone only when the service ends.
                let _ = writers[usize::from(topic.0)].0.send(event);
            }
            for (to_writer, writer) in writers {
                drop(to_writer);
                let _ = writer.join();
            }
        })
}

/// Starts the thread that writes one topic's letters.
fn spawn_for(
    config: &Config,
    source: TopicId,
    events: Receiver<Event>,
    group: Sender<group::Event>,
    figures: Arc<Figures>,
) -> std::io::Result<JoinHandle<()>> {
    let name = config.topics.name(source).to_owned();
    let mut writer = DeadLetterWriter {
        cluster: Cluster::of(config),
        sources: config.topics.clone(),
        topic: dead_letter_topic(&name),
        source: name,
        figures: figures.clone(),
        events,
        connection: None,
        waiting: Waiting::default(),
        retry: Retry::new(RETRY_FIRST, RETRY_MOST),
        again: Instant::now(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("dead-letter".into())
        .spawn(move || {
            let mut waiting = 0;
            while writer.await_letters() {
                let heart = &figures.letters.heart;
                let written = runtime.block_on(heart.during(writer.write()));
                for letter in &written {
                    figures.letters.written(letter.why.cause);
                }
                let before = std::mem::replace(&mut waiting, writer.waiting.held() as u64);
                figures.letters.waiting.replace(before, waiting);
                let dropped = writer.waiting.take_dropped();
                if !tell(&group, written, dropped) {
                    break;
                }
            }
            runtime.block_on(writer.disconnect());
        })
}

/// Tells the group what became of letters. Returns whether it still hears.
fn tell(group: &Sender<group::Event>, written: Vec<Letter>, dropped: Vec<Letter>) -> bool {
    let written: Vec<_> = written
        .into_iter()
        .map(|letter| group::Written {
            record: letter.record,
            bytes: letter.bytes,
            at: letter.at,
        })
        .collect();
    let released: Vec<_> = dropped
        .into_iter()
        .map(|letter| Settled {
            record: letter.record,
            bytes: letter.bytes,
            completion: match letter.at {
                None => Completion::Released,
                Some(comet) => Completion::Again { comet, took: false },
            },
        })
        .collect();
    (written.is_empty() || group.send(group::Event::Written(written)).is_ok())
        && (released.is_empty() || group.send(group::Event::Settled(released)).is_ok())
}

struct DeadLetterWriter {
    cluster: Cluster,
    sources: Topics,
    /// The topic that the letters are from, and the one that they are written to.
    source: String,
    topic: String,
    figures: Arc<Figures>,
    events: Receiver<Event>,
    connection: Option<Connection>,
    waiting: Waiting,
    retry: Retry,
    /// When the held letters are retried.
    again: Instant,
}

struct Connection {
    producer: Producer,
    originals: Originals,
}

impl DeadLetterWriter {
    /// Blocks until there are new letters, the held ones are due, or some are forgotten. Returns false once closed.
    fn await_letters(&mut self) -> bool {
        if !self.waiting.has_fresh() {
            let event = if self.waiting.held() == 0 {
                self.events.recv().map_err(Into::into)
            } else {
                self.events.recv_deadline(self.again)
            };
            match event {
                Ok(event) => self.waiting.hear(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        self.hear();
        true
    }

    /// Takes in what came meanwhile.
    fn hear(&mut self) {
        for event in self.events.try_iter() {
            self.waiting.hear(event);
        }
    }

    /// Writes new letters, and held ones when they are due. Returns the written ones; holds the rest.
    async fn write(&mut self) -> Vec<Letter> {
        let mut written = Vec::new();
        if !self.waiting.has_fresh() && self.waiting.held() == 0 {
            return written;
        }
        fail::fail_point!("letter");
        let due = self.waiting.held() == 0 || Instant::now() >= self.again;
        if !due && self.connection.is_none() {
            // Kafka failed a moment ago.
            self.waiting.hold_fresh();
            return written;
        }
        self.waiting.begin_fresh(AT_ONCE);
        let mut failure = self.write_in_order(AT_ONCE, &mut written).await;
        self.waiting.hold_rest();
        let reachable = failure.is_none() || self.connection.is_some();
        if due && reachable {
            // This also separates letters that failed only because a batch with another one was refused.
            failure = self.write_held(&mut written).await;
        }
        match failure {
            Some(failure) if due || self.connection.is_none() => {
                let held = self.waiting.held();
                let cause = failure.cause(&self.cluster, &self.topic);
                let wait = self.retry.failed(&cause, |cause| {
                    failure.complain(cause, &self.topic, &self.source, held);
                });
                self.again = Instant::now() + wait;
            }
            None if self.waiting.held() == 0 => {
                self.retry.worked();
            }
            _ => {}
        }
        written
    }

    /// Writes up to `most` letters of the round in order, and holds those that fail. Returns the first failure.
    async fn write_in_order(&mut self, most: usize, written: &mut Vec<Letter>) -> Option<Failure> {
        let mut failure = None;
        for (letter, outcome) in self.try_write(most).await {
            let Err(error) = outcome else {
                written.push(letter);
                continue;
            };
            // Where it is the letter that was refused, others may be taken.
            if !is_too_large(&error) && !is_invalid(&error) {
                self.disconnect().await;
            }
            let record = letter.record;
            failure.get_or_insert(Failure { record, error });
            self.waiting.hold(letter);
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
            originals.close().await;
        }
    }

    /// Tries each held letter once, one by one, until Kafka fails or `REFUSED_AT_ONCE` are refused.
    async fn write_held(&mut self, written: &mut Vec<Letter>) -> Option<Failure> {
        let mut first = None;
        let mut refused = 0;
        self.waiting.begin_held();
        while self.waiting.next().is_some() {
            if let Some(failure) = self.write_in_order(1, written).await {
                refused += 1;
                let ends = self.connection.is_none() || refused == REFUSED_AT_ONCE;
                first.get_or_insert(failure);
                if ends {
                    break;
                }
            }
        }
        self.waiting.put_back();
        first
    }

    /// Tries up to `most` letters of the round, until one can't be sent. Returns those and their outcomes.
    async fn try_write(&mut self, most: usize) -> Vec<(Letter, Result<(), KrafkaError>)> {
        let mut sent = Vec::new();
        let mut failed = None;
        while sent.len() < most {
            self.hear();
            let Some((record, last)) = self.waiting.next() else {
                break;
            };
            let original = match self.original(record, last).await {
                Ok(original) => original,
                Err(error) => {
                    failed = self.waiting.take(record).map(|letter| (letter, error));
                    break;
                }
            };
            // That may have taken long, and the partition may be gone.
            self.hear();
            let Some(letter) = self.waiting.take(record) else {
                continue;
            };
            match self.enqueue(&letter, original).await {
                Ok(handle) => sent.push((letter, handle)),
                Err(error) => {
                    failed = Some((letter, error));
                    break;
                }
            }
        }
        let mut outcomes = Vec::new();
        for (letter, handle) in sent {
            outcomes.push((letter, handle.await.map(|_| ())));
        }
        outcomes.extend(failed.map(|(letter, error)| (letter, Err(error))));
        outcomes
    }

    async fn connection(&mut self) -> Result<&mut Connection, KrafkaError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.cluster, &self.sources, &self.topic).await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// The record that a letter stands for. Unreadable offsets, up to `last`, have none.
    async fn original(
        &mut self,
        record: RecordId,
        last: Option<i64>,
    ) -> Result<Option<ConsumerRecord>, KrafkaError> {
        let connection = self.connection().await?;
        if last.is_some() {
            return Ok(None);
        }
        let original = connection.originals.get(record).await?;
        if original.is_none() {
            log::error!(
                topic = self.source,
                partition = record.assignment.partition.index,
                offset = record.offset;
                "{}[{}]@{} is to become a dead letter, but Kafka no longer has it: its letter stays empty",
                self.source,
                record.assignment.partition.index,
                record.offset
            );
        }
        Ok(original)
    }

    async fn enqueue(
        &mut self,
        letter: &Letter,
        original: Option<ConsumerRecord>,
    ) -> Result<DeliveryHandle, KrafkaError> {
        let names = &self.figures.comets;
        let record = compose::record(&self.topic, &self.source, names, letter, original);
        self.connection().await?.producer.enqueue(record).await
    }
}

/// Why a letter could not be written.
struct Failure {
    record: RecordId,
    error: KrafkaError,
}

impl Failure {
    fn cause(&self, cluster: &Cluster, topic: &str) -> String {
        if is_too_large(&self.error) {
            let value = format!("max.message.bytes={LARGEST}");
            format!(
                "it refused a letter as too large. Raise its max.message.bytes: {}",
                alter_topic_command(cluster, topic, &value)
            )
        } else if is_invalid(&self.error) {
            format!(
                "it refused a letter as invalid, as a compacted topic does with one without a key. Set its cleanup.policy: {}",
                alter_topic_command(cluster, topic, "cleanup.policy=delete")
            )
        } else {
            let trouble = Trouble::new(cluster, &self.error);
            format!("{trouble} (can the topic be made and written to?)")
        }
    }

    fn complain(&self, cause: &str, topic: &str, source: &str, held: usize) {
        log::error!(
            topic = source,
            partition = self.record.assignment.partition.index,
            offset = self.record.offset,
            cause;
            "Writing to the dead-letter topic {topic} failed: {cause}. {} waiting for it, among them \
             {source}[{}]@{}; their offsets are held. Trying again until it works",
            counted(held as u64, "message"),
            self.record.assignment.partition.index,
            self.record.offset
        );
    }
}

impl Connection {
    async fn open(cluster: &Cluster, sources: &Topics, topic: &str) -> Result<Self, KrafkaError> {
        let kafka = cluster.connect().await?;
        if kafka::partitions(&kafka, topic).await?.is_none() {
            let new = NewTopic::new(topic, 1, -1)?
                .with_config("max.message.bytes", LARGEST.to_string())
                // A letter stays until somebody decides. With the broker's defaults it would be lost after 7 days, or
                // where another one with its key comes.
                .with_config("retention.ms", "-1")
                .with_config("cleanup.policy", "delete");
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
            originals: Originals::connect(cluster, sources).await?,
        })
    }
}
