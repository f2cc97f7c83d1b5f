//! The kafka crate: protocol v0, which Kafka serves up to 3.9.
//!
//! # Faults of kafka 0.10.0
//!
//! Each of these has a line or two here. Files of their own answer others: [`gap`], [`alone`], and `leaders.rs` beside this.
//!
//! - It doesn't match answers to requests. One sees it after a time-out: the next request gets the late answer. So `client`
//!   is dropped after any error. Once the crate compares correlation ids, an error of one partition may keep it.
//! - It builds its checksum table anew for each record. One sees it in a profile of a drain: a third of the CPU. So
//!   checksums are off. They prove nothing of the disk: even with a fast table there is no need for them.
//! - It turns error codes that it doesn't know into -1. One sees it with zstd (76). So -1 counts as unsupported
//!   (`Classic::refused`). Once the crate passes codes on, name those of an unsupported batch there.

mod alone;
mod gap;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use kafka::client::fetch::{Data, Response};
use kafka::client::{FetchPartition, KafkaClient};
use kafka::error::{Error, KafkaCode};

use super::leaders::Leaders;
use super::{Batch, FetchError, Fetcher, Outcome, Positions, Record};
use crate::base::wall;
use crate::kafka::Cluster;
use crate::kafka::acl;
use crate::message::{PartitionId, Topics};
use crate::settings::{Coalesce, Config};
use gap::{did_not_come, up_to_gap};

/// Limits the bytes asked for from one partition. The broker's own limit on a record is 1 MiB unless raised.
const LARGEST: i32 = 256 << 20;

/// Every batch is larger than this, in bytes.
const LEAST_BATCH: i32 = 60;

/// After this many connections in a row that the broker closes on a fetch, it doesn't serve the protocol: Kafka 4 closes
/// the connection on a v0 request.
const CLOSED_IS_UNSUPPORTED: u32 = 2;

pub struct Classic {
    cluster: Cluster,
    topics: Topics,
    coalesce: Coalesce,
    leaders: Leaders,
    /// Dropped after any I/O error: a late answer would be taken for the next request's.
    client: Option<KafkaClient>,
    /// Bytes to ask for, by partition whose next record is larger than usual.
    enlarged: HashMap<PartitionId, i32>,
    /// Connections closed on a fetch since the last answer.
    closed: u32,
    /// Whether a broker has served the protocol.
    has_answered: bool,
    /// Offsets missing in the middle of an answer, in words.
    gap: Option<String>,
    /// Where the logs ended by the last answer.
    ends: Positions,
    /// Partitions that a broker's error calls unreadable.
    accused: Vec<PartitionId>,
    /// One partition's failure while others brought records. The next fetch reports it.
    failure: Option<FetchError>,
}

impl Classic {
    /// A fetcher that reads from at most `most_brokers`.
    pub fn new(config: &Config, most_brokers: usize) -> Self {
        let cluster = Cluster::of(config);
        Self {
            leaders: Leaders::new(&cluster, &config.topics, most_brokers),
            cluster,
            topics: config.topics.clone(),
            coalesce: config.coalesce,
            client: None,
            enlarged: HashMap::new(),
            closed: 0,
            has_answered: false,
            gap: None,
            ends: Positions::new(),
            accused: Vec::new(),
            failure: None,
        }
    }

    /// Ensures a client with current metadata for these positions.
    fn connect(&mut self, positions: &Positions) -> Result<(), FetchError> {
        match self.leaders.look(positions, self.client.is_some())? {
            true => Ok(()),
            false => self.make_client(),
        }
    }

    /// Makes a client with the topics of the last look.
    fn make_client(&mut self) -> Result<(), FetchError> {
        let name = self.cluster.client_id();
        let connected = self.leaders.connect(|hosts| {
            let mut client = KafkaClient::new(hosts);
            client.set_client_id(name.into());
            // With the default a single chat message waits until the broker has 4,096 bytes.
            client.set_fetch_min_bytes(1);
            // The broker computes these checksums when it converts batches to v0: they prove nothing about its disk.
            client.set_fetch_crc_validation(false);
            client
        });
        let client =
            connected.map_err(|error| self.failed("asking for the topic's partitions", error))?;
        self.client = Some(client);
        Ok(())
    }

    fn connected(&mut self) -> Result<&mut KafkaClient, FetchError> {
        self.client
            .as_mut()
            .ok_or_else(|| FetchError::Failed("not connected".into()))
    }

    /// Sorts a failure: one that may pass, or one that this client can't overcome.
    fn failed(&mut self, doing: &str, error: Error) -> FetchError {
        self.client = None;
        let said = format!("{doing} at {}: {error}", self.cluster.joined());
        match error {
            Error::UnsupportedCompression => FetchError::Unsupported(format!(
                "{said} (it reads records that are plain or compressed with gzip or snappy)"
            )),
            Error::UnsupportedProtocol | Error::InvalidSnappy(_) | Error::CodecError => {
                FetchError::Unsupported(said)
            }
            Error::UnexpectedEOF => self.closed(said),
            Error::Io(io)
                if matches!(
                    io.kind(),
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
                ) =>
            {
                self.closed(said)
            }
            Error::Kafka(code) => self.refused(code, said),
            _ => FetchError::Failed(said),
        }
    }

    /// Whether the broker closed the connection on the last request.
    pub fn was_closed(&self) -> bool {
        self.closed > 0
    }

    fn closed(&mut self, said: String) -> FetchError {
        self.closed += 1;
        if self.closed >= CLOSED_IS_UNSUPPORTED {
            FetchError::Unsupported(
                "the broker closes the connection on a request of protocol v0, as Kafka 4 and later do"
                    .into(),
            )
        } else {
            FetchError::Failed(said)
        }
    }

    fn refused(&mut self, code: KafkaCode, said: String) -> FetchError {
        match code {
            // -1 is also what the crate makes of codes that it doesn't know.
            KafkaCode::Unknown | KafkaCode::UnsupportedVersion | KafkaCode::CorruptMessage => {
                FetchError::Unsupported(said)
            }
            _ => FetchError::Failed(said),
        }
    }

    /// Returns the gap in the last answer, in words, if there was one. Records from the gap on were dropped.
    pub fn take_gap(&mut self) -> Option<String> {
        self.gap.take()
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: i64,
        asked: i32,
        data: &Data<'_>,
    ) -> Option<Batch> {
        self.ends.insert(partition, data.highwatermark_offset());
        let messages = up_to_gap(data.messages());
        let Some(first) = messages.first() else {
            if data.highwatermark_offset() > from {
                // The next record is larger than the bytes asked for, so none came whole.
                if asked >= LARGEST {
                    self.enlarged.remove(&partition);
                    return unreadable(
                        partition,
                        format!(
                            "partition {partition} brings nothing at offset {from}, though its log goes on to offset {} (a \
                             transaction's marker, a record of more than {LARGEST} bytes, or a quota that lets none through)",
                            data.highwatermark_offset()
                        ),
                    );
                }
                self.enlarged
                    .insert(partition, asked.saturating_mul(4).min(LARGEST));
            }
            return None;
        };
        if first.offset > from {
            return unreadable(partition, did_not_come(partition, from, first));
        }
        self.enlarged.remove(&partition);
        if let (Some(last), Some(behind)) = (messages.last(), data.messages().get(messages.len())) {
            self.gap = Some(did_not_come(partition, last.offset + 1, behind));
        }
        let next = messages.last().map_or(from, |last| last.offset + 1);
        Some(Batch {
            partition,
            outcome: Outcome::Records {
                records: records(messages),
                next,
            },
        })
    }
}

fn unreadable(partition: PartitionId, why: String) -> Option<Batch> {
    let outcome = Outcome::Unreadable { last: None, why };
    Some(Batch { partition, outcome })
}

/// Copies the whole batch once; the records share the copy.
fn records(messages: &[kafka::client::fetch::Message<'_>]) -> Vec<Record> {
    let read = -wall::millis();
    let mut block = Vec::with_capacity(messages.iter().map(|m| m.value.len()).sum());
    for message in messages {
        block.extend_from_slice(message.value);
    }
    let mut block = Bytes::from(block);
    messages
        .iter()
        .map(|message| Record {
            offset: message.offset,
            trace: None,
            value: Some(block.split_to(message.value.len())),
            size: message.value.len(),
            timestamp: read,
        })
        .collect()
}

impl Fetcher for Classic {
    fn ends(&mut self) -> Positions {
        std::mem::take(&mut self.ends)
    }

    fn fetch(&mut self, positions: &Positions, wait: Duration) -> Result<Vec<Batch>, FetchError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let usual = super::bytes_per_partition(self.coalesce, positions.len()) as i32;
        // A topic that the client can't read at all, such as one on several brokers, is no matter of single partitions.
        let connected = match self.leaders.look(positions, self.client.is_some())? {
            true => Ok(()),
            false => self.make_client(),
        };
        let answer = connected.and_then(|()| self.request(positions, usual, wait));
        let why = match answer {
            Ok(responses) if responses.is_empty() => {
                // The next try looks up their leaders.
                self.client = None;
                return Err(FetchError::Failed(format!(
                    "no partition of {} can be read now",
                    self.topics
                )));
            }
            Ok(responses) => {
                self.accused.clear();
                let mut batches = self.take(&responses, positions, usual);
                // A broker that fails at one partition answers the same error for the whole request.
                let accused = std::mem::take(&mut self.accused);
                batches.retain(|batch| !accused.contains(&batch.partition));
                batches.extend(self.each_alone(accused.into_iter(), positions, usual));
                return self.or_failure(batches);
            }
            Err(FetchError::Unsupported(why)) => why,
            // It serves the protocol, so it may have closed on a batch that it can't convert.
            Err(FetchError::Failed(why)) if self.has_answered && self.was_closed() => why,
            Err(failed) => return Err(failed),
        };
        let batches = self.each_alone(positions.keys().copied(), positions, usual);
        if self.has_answered || self.failure.is_some() {
            self.or_failure(batches)
        } else {
            Err(FetchError::Unsupported(why))
        }
    }
}

impl Classic {
    fn asked(&self, partition: PartitionId, usual: i32) -> i32 {
        *self.enlarged.get(&partition).unwrap_or(&usual)
    }

    fn request(
        &mut self,
        positions: &Positions,
        usual: i32,
        wait: Duration,
    ) -> Result<Vec<Response>, FetchError> {
        let topics = self.topics.clone();
        let requests: Vec<FetchPartition<'_>> = positions
            .iter()
            .filter(|(p, _)| self.leaders.can_read(**p))
            .map(|(p, offset)| {
                FetchPartition::new(topics.name(p.topic), p.index, *offset)
                    .with_max_bytes(self.asked(*p, usual))
            })
            .collect();
        let client = self.connected()?;
        let answer = client
            .set_fetch_max_wait_time(wait)
            .and_then(|()| client.fetch_messages(&requests));
        answer.map_err(|error| self.failed("reading", error))
    }

    /// Turns responses into batches. A single partition's failure goes into `self.failure`.
    fn take(&mut self, responses: &[Response], positions: &Positions, usual: i32) -> Vec<Batch> {
        if !responses.is_empty() {
            self.closed = 0;
            self.has_answered = true;
        }
        let mut batches = Vec::new();
        let topics = responses.iter().flat_map(Response::topics);
        let all = topics.flat_map(|topic| {
            let id = self.topics.id(topic.topic());
            topic.partitions().iter().map(move |of| (id, of))
        });
        let all: Vec<_> = all.collect();
        for (topic, partition) in all {
            let index = partition.partition();
            let Some(id) = topic.map(|topic| PartitionId { topic, index }) else {
                continue;
            };
            let Some(&from) = positions.get(&id) else {
                continue;
            };
            let outcome = match partition.data() {
                Ok(data) => Ok(self.read(id, from, self.asked(id, usual), data)),
                Err(error) => self.partition_failed(id, &error),
            };
            match outcome {
                Ok(batch) => batches.extend(batch),
                Err(failed) => self.failure = Some(failed),
            }
        }
        batches
    }

    /// Returns the batches, or the failure if there are none. Otherwise keeps the failure for the next fetch.
    fn or_failure(&mut self, batches: Vec<Batch>) -> Result<Vec<Batch>, FetchError> {
        match self.failure.take() {
            Some(failure) if batches.is_empty() => Err(failure),
            failure => {
                self.failure = failure;
                Ok(batches)
            }
        }
    }

    fn partition_failed(
        &mut self,
        partition: PartitionId,
        error: &Error,
    ) -> Result<Option<Batch>, FetchError> {
        let Error::Kafka(code) = error else {
            return Err(FetchError::Failed(error.to_string()));
        };
        if matches!(
            code,
            KafkaCode::NotLeaderForPartition
                | KafkaCode::LeaderNotAvailable
                | KafkaCode::ReplicaNotAvailable
                | KafkaCode::UnknownTopicOrPartition
        ) {
            // The others go on; the next look finds its new leader.
            let why = format!("its broker answered {code:?}");
            self.leaders.disown(partition, why);
            return Ok(None);
        }
        if *code != KafkaCode::OffsetOutOfRange {
            // New metadata may name a new leader.
            self.client = None;
            let said = format!(
                "reading partition {partition}: {code:?}{}",
                acl::why(&self.cluster, *code as i16)
            );
            return match self.refused(*code, said) {
                FetchError::Unsupported(why) => {
                    self.accused.push(partition);
                    Ok(unreadable(partition, why))
                }
                failed => Err(failed),
            };
        }
        let outcome = Outcome::OutOfRange;
        Ok(Some(Batch { partition, outcome }))
    }
}
