//! krafka, without a group: every protocol version and codec, from Kafka 3.7 on.

mod quiet;
mod undecodable;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use krafka::CloseOptions;
use krafka::consumer::{AutoOffsetReset, Consumer, ConsumerRecord, IsolationLevel, TopicPartition};
use krafka::error::KrafkaError;
use tokio::runtime::Runtime;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::{Batch, FetchError, Fetcher, MAX_WAIT, Outcome, Positions, Record, raw};
use crate::kafka::{self, Cluster, explained, is_login_refused};
use crate::message::trace::{self, Trace};
use crate::message::{PartitionId, TopicId, Topics, by_topic};
use crate::settings::{Config, Isolation};
use quiet::Quiet;
use undecodable::undecodable;

pub struct Modern {
    cluster: Cluster,
    topics: Topics,
    isolation: Isolation,
    /// What it asks for from one partition.
    bytes: usize,
    /// Whether it looks for traces in the headers.
    traces: bool,
    /// Runs only during a fetch, on the consumer thread.
    runtime: Option<Runtime>,
    reader: Option<Reader>,
}

impl Modern {
    pub fn new(config: &Config) -> Self {
        Self::with_bytes(config, super::PARTITION_BYTES)
    }

    /// One that asks for so many bytes of a partition. It gets one batch at least.
    pub fn with_bytes(config: &Config, bytes: usize) -> Self {
        Self {
            cluster: Cluster::of(config),
            topics: config.topics.clone(),
            isolation: config.isolation,
            bytes,
            traces: config.record_metadata,
            runtime: None,
            reader: None,
        }
    }

    fn try_fetch(&mut self, positions: &Positions, wait: Duration) -> Result<Vec<Batch>, String> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| format!("starting the reader's runtime: {e}"))?,
        };
        let outcome = runtime.block_on(async {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => {
                    let of = (&self.topics, self.isolation);
                    let mut reader = Reader::with_bytes(&self.cluster, of, self.bytes).await?;
                    reader.traces = self.traces;
                    self.reader.insert(reader)
                }
            };
            let fetched = reader.fetch(positions, wait).await;
            // The password may be another one by now: the next reader reads it again.
            if fetched.as_ref().is_err_and(is_login_refused)
                && let Some(reader) = self.reader.take()
            {
                reader.close().await;
            }
            fetched
        });
        self.runtime = Some(runtime);
        let (topic, brokers) = (&self.topics, self.cluster.joined());
        outcome.map_err(|error| {
            let why = explained(&self.cluster, &error);
            format!("reading {topic} at {brokers}: {why}")
        })
    }
}

impl Drop for Modern {
    fn drop(&mut self) {
        if let (Some(runtime), Some(reader)) = (self.runtime.take(), self.reader.take()) {
            runtime.block_on(reader.close());
        }
    }
}

/// The first fetch needs a dozen answers, each of which may come late from a broker that holds this client to a quota.
const LONGEST: Duration = Duration::from_secs(40);

impl Fetcher for Modern {
    fn longest(&self) -> Option<Duration> {
        Some(LONGEST)
    }

    fn fetch(&mut self, positions: &Positions, wait: Duration) -> Result<Vec<Batch>, FetchError> {
        self.try_fetch(positions, wait).map_err(FetchError::Failed)
    }

    fn ends(&mut self) -> Positions {
        match (&self.runtime, &self.reader) {
            (Some(runtime), Some(reader)) => runtime.block_on(reader.ends()),
            _ => Positions::new(),
        }
    }
}

/// A connected consumer and its positions.
pub(crate) struct Reader {
    consumer: Consumer,
    topics: Topics,
    /// Those of which the consumer has partitions.
    assigned: BTreeSet<TopicId>,
    /// The consumer's partitions and positions.
    at: Positions,
    /// The time of the last records, or of the last seek of all partitions.
    heard: Instant,
    quiet: Quiet,
    /// Whether traces are looked for in the headers.
    traces: bool,
}

/// Seeks all partitions after this long without a record. One that is quiet while others aren't, is sought as [`Quiet`] says.
///
/// # A fault of krafka 0.28.1
///
/// krafka doubles a partition's wait after each failure, up to 30 s, and neither says so nor lets one set it. One sees it
/// where a broker was away for a minute: its partitions are read half a minute after it is back, or after another broker has
/// taken them over. A seek ends the wait. Once krafka has a setting for its longest wait, delete this, `Reader::heard` and
/// `Quiet`.
const SEEK_AFTER: Duration = Duration::from_secs(2);

/// A broker that holds this client to a quota tells how long it won't listen, half a minute or more, and krafka says
/// nothing to it meanwhile. So the poll is given up, and the connection isn't: on a new one the wait would begin anew. A
/// request that is on its way has a limit of its own ([`kafka::REQUEST_TIMEOUT`]).
const HELD_BACK: Duration = Duration::from_secs(9);

fn held_back<T>(_: Elapsed) -> Result<T, KrafkaError> {
    Err(KrafkaError::timeout(format!(
        "no answer for {} s: a broker is slow, or a quota for job's client-id or user holds it back",
        HELD_BACK.as_secs()
    )))
}

impl Reader {
    pub(crate) async fn connect(
        cluster: &Cluster,
        topics: &Topics,
        isolation: Isolation,
    ) -> Result<Self, KrafkaError> {
        Self::with_bytes(cluster, (topics, isolation), super::PARTITION_BYTES).await
    }

    /// Asks for so many bytes of each partition.
    async fn with_bytes(
        cluster: &Cluster,
        (topics, isolation): (&Topics, Isolation),
        bytes: usize,
    ) -> Result<Self, KrafkaError> {
        let kafka = cluster.connect().await?;
        let consumer = kafka.consumer_without_group();
        let consumer = match cluster.client_rack() {
            Some(rack) => consumer.client_rack(rack),
            None => consumer,
        };
        let consumer = consumer
            // Reports a position that the broker doesn't hold, in place of a silent reset.
            .auto_offset_reset(AutoOffsetReset::None)
            .isolation_level(match isolation {
                Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
                Isolation::ReadUncommitted => IsolationLevel::ReadUncommitted,
            })
            .fetch_min_bytes(1)
            .fetch_max_wait(MAX_WAIT)
            .fetch_max_bytes(super::FETCH_BYTES as i32)
            .max_partition_fetch_bytes(bytes as i32)
            .max_poll_records(-1)
            .max_buffered_records(0)
            .idle_poll_backoff(Duration::from_millis(20))
            .metrics_push(false)
            .build()
            .await?;
        Ok(Self {
            consumer,
            topics: topics.clone(),
            assigned: BTreeSet::new(),
            at: Positions::new(),
            heard: Instant::now(),
            quiet: Quiet::default(),
            traces: false,
        })
    }

    /// Closes the consumer. krafka logs a warning about one that is dropped.
    pub(crate) async fn close(self) {
        let options = CloseOptions::new().timeout(kafka::CLOSING);
        let _ = self.consumer.close_with(options).await;
    }

    /// Reads records from `positions` on, as they are in Kafka. Waits for them for `wait` at most.
    pub(crate) async fn read(
        &mut self,
        positions: &Positions,
        wait: Duration,
    ) -> Result<Vec<ConsumerRecord>, KrafkaError> {
        let now = Instant::now();
        if self.heard.elapsed() >= SEEK_AFTER {
            self.at.clear();
            self.heard = now;
        }
        self.at.retain(|p, _| !self.quiet.is_due(*p, now));
        let polled = async {
            self.move_to(positions).await?;
            self.consumer.poll(wait).await
        };
        let records = timeout(HELD_BACK, polled).await.unwrap_or_else(held_back)?;
        let mut came = Positions::new();
        for record in &records {
            if let Some(partition) = self.topics.partition(&record.topic, record.partition) {
                came.insert(partition, record.offset + 1);
            }
        }
        let now = Instant::now();
        if !came.is_empty() {
            self.heard = now;
        }
        for (partition, next) in came {
            self.quiet.heard(partition, now);
            self.at.insert(partition, next);
        }
        Ok(records)
    }

    async fn move_to(&mut self, positions: &Positions) -> Result<(), KrafkaError> {
        if !self.at.keys().eq(positions.keys()) {
            // A topic that isn't read any longer is left without a partition.
            let wanted = by_topic(positions.keys().map(|p| (p.topic, p.index)));
            let left: Vec<_> = self.assigned.iter().copied().collect();
            for topic in left.into_iter().filter(|topic| !wanted.contains_key(topic)) {
                self.assign(topic, Vec::new()).await?;
                self.assigned.remove(&topic);
            }
            for (topic, partitions) in wanted {
                self.assigned.insert(topic);
                self.assign(topic, partitions).await?;
            }
            self.at.retain(|p, _| positions.contains_key(p));
            self.quiet.retain(|p| positions.contains_key(p));
        }
        for (&partition, &offset) in positions {
            if self.at.get(&partition) != Some(&offset) {
                self.consumer
                    .seek(self.topics.name(partition.topic), partition.index, offset)
                    .await?;
                self.at.insert(partition, offset);
            }
        }
        Ok(())
    }

    async fn assign(&self, topic: TopicId, partitions: Vec<i32>) -> Result<(), KrafkaError> {
        let topic = self.topics.name(topic);
        self.consumer.assign(topic, partitions).await
    }

    /// Where the logs end that it reads, as Kafka said last.
    async fn ends(&self) -> Positions {
        let lags = self.consumer.lag().await;
        let end = |(of, lag): (TopicPartition, krafka::consumer::PartitionLag)| {
            let partition = self.topics.partition(&of.topic, of.partition)?;
            Some((partition, lag.high_watermark?))
        };
        lags.into_iter().filter_map(end).collect()
    }

    async fn fetch(
        &mut self,
        positions: &Positions,
        wait: Duration,
    ) -> Result<Vec<Batch>, KrafkaError> {
        let records = match self.read(positions, wait).await {
            Ok(records) => records,
            Err(KrafkaError::NoOffset { partitions }) => {
                self.at.clear();
                let astray = partitions.into_iter().filter_map(|(topic, index)| {
                    Some(Batch {
                        partition: self.topics.partition(&topic, index)?,
                        outcome: Outcome::OutOfRange,
                    })
                });
                return Ok(astray.collect());
            }
            Err(error) => {
                if let Some((partition, why)) = undecodable(&error, &self.topics, &self.at) {
                    let outcome = Outcome::Unreadable { last: None, why };
                    // The next fetch brings the other partitions' records.
                    return Ok(vec![Batch { partition, outcome }]);
                }
                // The positions are unknown after a failure.
                self.at.clear();
                return Err(error);
            }
        };
        let mut by_partition = std::collections::BTreeMap::<PartitionId, Vec<Record>>::new();
        for record in records {
            let Some(partition) = self.topics.partition(&record.topic, record.partition) else {
                continue;
            };
            by_partition.entry(partition).or_default().push(Record {
                offset: record.offset,
                size: size(&record),
                trace: self.traces.then(|| trace(&record)).flatten(),
                value: record.value,
                timestamp: record.timestamp,
            });
        }
        let mut batches = Vec::with_capacity(by_partition.len());
        for (&partition, &from) in positions {
            let mut records = by_partition.remove(&partition).unwrap_or_default();
            if let Some(batch) = self.implausible(partition, from, &mut records).await {
                batches.push(batch);
                continue;
            }
            // Transaction markers move the position without a record.
            let after = self
                .consumer
                .position(self.topics.name(partition.topic), partition.index)
                .await
                .unwrap_or(from);
            let next = records
                .last()
                .map_or(after, |last| after.max(last.offset + 1));
            if next == from {
                continue;
            }
            self.at.insert(partition, next);
            let outcome = match records.first() {
                // The log was truncated (an unclean election): the records there now were never read.
                Some(first) if first.offset < from => {
                    self.at.clear();
                    Outcome::OutOfRange
                }
                _ if next < from => {
                    self.at.clear();
                    Outcome::OutOfRange
                }
                _ => Outcome::Records { records, next },
            };
            batches.push(Batch { partition, outcome });
        }
        Ok(batches)
    }

    /// Checks offsets that don't follow each other. Returns `None` if all are plausible. Otherwise returns the plausible
    /// records, so that the next fetch continues behind them, or an unreadable batch if there are none.
    async fn implausible(
        &mut self,
        partition: PartitionId,
        from: i64,
        records: &mut Vec<Record>,
    ) -> Option<Batch> {
        let first = records.first()?.offset;
        let mut pairs = records.windows(2);
        if first == from && pairs.all(|pair| pair[1].offset == pair[0].offset + 1) {
            return None;
        }
        let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
        let of = TopicPartition::new(self.topics.name(partition.topic), partition.index);
        let lag = self.consumer.lag().await;
        let end = lag.get(&of).and_then(|lag| lag.high_watermark);
        // The caller handles a truncated log.
        let good = raw::plausible(&offsets, from, end.unwrap_or(i64::MAX));
        if good.len() == offsets.len() || first < from {
            return None;
        }
        // Forces a seek at the next fetch.
        self.at.insert(partition, -1);
        records.truncate(good.end);
        records.drain(..good.start);
        let end = end.map_or("an offset not known yet".into(), |end| end.to_string());
        let why = format!(
            "the batch there says that it has offset {first}, which can't be in a log that ends at {end}"
        );
        let outcome = match records.last().map(|last| last.offset + 1) {
            Some(next) => Outcome::Records {
                records: std::mem::take(records),
                next,
            },
            None => Outcome::Unreadable { last: None, why },
        };
        Some(Batch { partition, outcome })
    }
}

/// Bytes of key, value and headers. They share the broker's answer, or the block that the batch unpacked to.
/// The trace that a record's headers tell.
fn trace(record: &ConsumerRecord) -> Option<Arc<Trace>> {
    let value = |name: &str| {
        let mut headers = record.headers.iter();
        let (_, value) = headers.find(|(other, _)| other == name)?;
        value.as_deref()
    };
    let trace = Trace::of(value(trace::PARENT)?, value(trace::STATE))?;
    Some(Arc::new(trace))
}

fn size(record: &ConsumerRecord) -> usize {
    let value = |of: &Option<Bytes>| of.as_ref().map_or(0, Bytes::len);
    let header = |(name, of): &(String, Option<Bytes>)| name.len() + value(of);
    let headers: usize = record.headers.iter().map(header).sum();
    value(&record.key) + value(&record.value) + headers
}
