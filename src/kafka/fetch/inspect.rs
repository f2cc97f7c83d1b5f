//! Asks the brokers what the clients don't tell: which batch is at a position, where the log ends, whether a partition has
//! transactions.

mod producers;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, TopicName};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::raw::{self, Codec, Look};
use crate::kafka::Cluster;
use crate::kafka::acl;
use crate::kafka::ask::{Connection, text};
use crate::kafka::bootstrap::Bootstrap;
use crate::kafka::layout::Layout;
use crate::message::{PartitionId, TopicId, Topics, by_topic};
use crate::settings::{Config, Isolation};

/// Protocol versions that Kafka 2.8 to 4.3 serve.
const FETCH: i16 = 11;
const LIST_OFFSETS: i16 = 5;

/// Limits of the frequent question, about transactions, and of all others. A healthy broker answers within milliseconds,
/// and no fetch runs meanwhile.
const EACH: Duration = Duration::from_secs(1);
pub(super) const ALL: Duration = Duration::from_secs(5);

/// Bytes asked for at first: they hold most batches, and the head of the next one. A larger batch is asked for again, up
/// to Kafka's limit.
const USUAL: usize = 1 << 20;
/// Asked for where the first batch's header is enough. The broker sends the first batch whole.
const LITTLE: usize = 1 << 10;
const LARGEST: usize = 128 << 20;
/// Limits an answer's bytes beyond its records, and a list of producers.
const AROUND: usize = 4 << 20;

pub struct Inspector {
    runtime: Option<Runtime>,
    brokers: Brokers,
}

struct Brokers {
    cluster: Cluster,
    bootstrap: Bootstrap,
    topics: Topics,
    isolation: Isolation,
    /// The address of each partition's leader.
    leaders: BTreeMap<PartitionId, String>,
    open: BTreeMap<String, Connection>,
}

impl Inspector {
    pub fn new(config: &Config) -> Self {
        let cluster = Cluster::of(config);
        Self {
            runtime: None,
            brokers: Brokers {
                bootstrap: Bootstrap::new(cluster.clone()),
                cluster,
                topics: config.topics.clone(),
                isolation: config.isolation,
                leaders: BTreeMap::new(),
                open: BTreeMap::new(),
            },
        }
    }

    /// Looks at the batch at a position.
    ///
    /// # Errors
    /// The partition's leader doesn't answer, which says nothing about the batch.
    pub fn look(&mut self, partition: PartitionId, position: i64) -> Result<Look, String> {
        self.run(ALL, async |brokers| brokers.look(partition, position).await)
    }

    /// For a batch at `position` whose end can't be told: returns the last offset before the next intact batch, or `None` if
    /// none follows.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn last_before_next(
        &mut self,
        partition: PartitionId,
        position: i64,
    ) -> Result<Option<i64>, String> {
        self.run(ALL, async |brokers| {
            brokers.last_before_next(partition, position).await
        })
    }

    /// Returns the end of what is readable, by partition with a leader.
    ///
    /// # Errors
    /// A leader doesn't answer.
    pub fn ends(
        &mut self,
        partitions: &[PartitionId],
    ) -> Result<BTreeMap<PartitionId, i64>, String> {
        self.run(ALL, async |brokers| brokers.ends(partitions).await)
    }

    /// Returns when the first record at or behind a position was written, in milliseconds since 1970: as its batch's header
    /// says. `None` where nothing is there, or only records of before Kafka 0.11.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn written(
        &mut self,
        partition: PartitionId,
        position: i64,
    ) -> Result<Option<i64>, String> {
        self.run(ALL, async |brokers| {
            let read = brokers.fetch(partition, position, LITTLE).await?;
            Ok(raw::written(&read.records, position))
        })
    }

    /// Returns how the batch that holds a position is compressed. `None` where it isn't, or nothing is there.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn codec(
        &mut self,
        partition: PartitionId,
        position: i64,
    ) -> Result<Option<Codec>, String> {
        self.run(EACH, async |brokers| {
            let read = brokers.fetch(partition, position, LITTLE).await?;
            Ok(raw::codec(&read.records, position))
        })
    }

    /// Returns the first of these partitions that has, or had lately, a transactional producer.
    ///
    /// # Errors
    /// A leader doesn't answer within a second (or [`ALL`], while the leaders are unknown).
    pub fn transactional(
        &mut self,
        partitions: &[PartitionId],
    ) -> Result<Option<PartitionId>, String> {
        self.run(EACH, async |brokers| {
            brokers.transactional(partitions).await
        })
    }

    /// Asks a second time if the first failed with known leaders: brokers close idle connections, and leaders change.
    fn run<T>(
        &mut self,
        limit: Duration,
        ask: impl AsyncFn(&mut Brokers) -> Result<T, String>,
    ) -> Result<T, String> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| format!("starting a runtime: {error}"))?,
        };
        let answer = runtime.block_on(async {
            let was_known = !self.brokers.leaders.is_empty();
            // Some of the bootstrap addresses may be dead.
            let limit = if was_known { limit } else { ALL };
            let late = |_| Err(format!("no answer within {} s", limit.as_secs()));
            let twice = async {
                let answer = ask(&mut self.brokers).await;
                if answer.is_ok() || !was_known {
                    return answer;
                }
                self.brokers.forget();
                ask(&mut self.brokers).await
            };
            timeout(limit, twice).await.unwrap_or_else(late)
        });
        self.runtime = Some(runtime);
        if answer.is_err() {
            self.brokers.forget();
        }
        answer
    }
}

impl Brokers {
    fn forget(&mut self) {
        self.open.clear();
        self.leaders.clear();
    }

    async fn look(&mut self, partition: PartitionId, position: i64) -> Result<Look, String> {
        let mut read = self.fetch(partition, position, USUAL).await?;
        let needed = raw::needed(&read.records);
        if needed > read.records.len() && (USUAL..LARGEST).contains(&needed) {
            read = self.fetch(partition, position, needed).await?;
        }
        Ok(match &read.refused {
            Some(code) => Look::Broken(format!("the broker answers {code:?}")),
            None => raw::look(&read.records, position, read.end),
        })
    }

    async fn last_before_next(
        &mut self,
        partition: PartitionId,
        position: i64,
    ) -> Result<Option<i64>, String> {
        // Doubles the step until a batch is served, then searches for the first such offset in between.
        let end = self.ends(&[partition]).await?.remove(&partition);
        let end = end.ok_or_else(|| format!("partition {partition} has no leader"))?;
        let (mut bad, mut step) = (position, 1);
        let mut good = loop {
            let probed = (position + step).min(end - 1);
            if probed <= bad {
                return Ok(None);
            }
            match self.begins(partition, probed, end).await? {
                Some(first) => break (probed, first),
                None => bad = probed,
            }
            step *= 2;
        };
        while good.0 - bad > 1 {
            let middle = bad + (good.0 - bad) / 2;
            match self.begins(partition, middle, end).await? {
                Some(first) => good = (middle, first),
                None => bad = middle,
            }
        }
        // A batch that is readable now was never broken.
        match self.look(partition, position).await? {
            // Behind a damaged batch, the broker serves the next one whole but not from each of its offsets.
            Look::Broken(_) => Ok(Some(good.0.max(good.1) - 1)),
            _ => Ok(None),
        }
    }

    /// Returns the first offset of the first intact batch served from `position`.
    async fn begins(
        &mut self,
        partition: PartitionId,
        position: i64,
        end: i64,
    ) -> Result<Option<i64>, String> {
        let read = self.fetch(partition, position, USUAL).await?;
        Ok(raw::begins(&read.records, position, end))
    }

    async fn fetch(
        &mut self,
        partition: PartitionId,
        position: i64,
        bytes: usize,
    ) -> Result<Read, String> {
        let wanted = FetchPartition::default()
            .with_partition(partition.index)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(position)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(bytes as i32);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_min_bytes(1)
            .with_max_bytes(bytes as i32)
            .with_isolation_level(self.isolation.level())
            .with_session_epoch(-1)
            .with_topics(vec![
                FetchTopic::default()
                    .with_topic(self.topic(partition.topic))
                    .with_partitions(vec![wanted]),
            ]);
        let leader = self.connected(partition).await?;
        // The broker sends the first batch whole, at any size.
        let asked = leader.ask_within(&request, FETCH, bytes.max(LARGEST) + AROUND);
        let answer = within(asked).await?;
        let address = leader.address.clone();
        let found = answer.responses.into_iter().flat_map(|t| t.partitions);
        let Some(data) = found
            .into_iter()
            .find(|p| p.partition_index == partition.index)
        else {
            return Err(format!(
                "Kafka at {address} answered nothing for partition {partition}"
            ));
        };
        match data.error_code.err() {
            None => Ok(self.read(data, None)),
            // These errors are about the batch itself.
            Some(code @ (ResponseError::CorruptMessage | ResponseError::UnknownServerError)) => {
                Ok(self.read(data, Some(code)))
            }
            Some(code) => Err(self.answered(&address, code, partition)),
        }
    }

    fn answered(&self, address: &str, code: ResponseError, partition: PartitionId) -> String {
        let why = acl::why(&self.cluster, code.code());
        format!("Kafka at {address} answered {code:?} for partition {partition}{why}")
    }

    fn read(&self, data: PartitionData, refused: Option<ResponseError>) -> Read {
        Read {
            refused,
            end: match self.isolation {
                Isolation::ReadCommitted => data.last_stable_offset,
                Isolation::ReadUncommitted => data.high_watermark,
            },
            records: data.records.unwrap_or_default(),
        }
    }

    async fn ends(
        &mut self,
        partitions: &[PartitionId],
    ) -> Result<BTreeMap<PartitionId, i64>, String> {
        const LATEST: i64 = -1;
        let mut ends = BTreeMap::new();
        for (leader, partitions) in self.by_leader(partitions).await? {
            let asked = by_topic(partitions.iter().map(|partition| {
                let asked = ListOffsetsPartition::default()
                    .with_partition_index(partition.index)
                    .with_current_leader_epoch(-1)
                    .with_timestamp(LATEST);
                (partition.topic, asked)
            }));
            let asked = asked.into_iter().map(|(topic, partitions)| {
                ListOffsetsTopic::default()
                    .with_name(self.topic(topic))
                    .with_partitions(partitions)
            });
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_isolation_level(self.isolation.level())
                .with_topics(asked.collect());
            let connection = self.connection(&leader).await?;
            let answer = within(connection.ask(&request, LIST_OFFSETS)).await?;
            let all = answer.topics.iter();
            let all = all.flat_map(|topic| topic.partitions.iter().map(|p| (&topic.name, p)));
            for (topic, listed) in all {
                let partition = self.topics.partition(topic, listed.partition_index);
                let Some(partition) = partition else {
                    continue;
                };
                if let Some(code) = listed.error_code.err() {
                    return Err(self.answered(&leader, code, partition));
                }
                ends.insert(partition, listed.offset);
            }
        }
        Ok(ends)
    }

    /// Groups partitions by their leader's address; omits those without one.
    async fn by_leader(
        &mut self,
        partitions: &[PartitionId],
    ) -> Result<BTreeMap<String, Vec<PartitionId>>, String> {
        if partitions.iter().any(|p| !self.leaders.contains_key(p)) {
            self.find_leaders().await?;
        }
        let mut by_leader = BTreeMap::<String, Vec<PartitionId>>::new();
        for &partition in partitions {
            if let Some(leader) = self.leaders.get(&partition) {
                by_leader.entry(leader.clone()).or_default().push(partition);
            }
        }
        Ok(by_leader)
    }

    /// Connects to the partition's leader.
    async fn connected(&mut self, partition: PartitionId) -> Result<&mut Connection, String> {
        let leader = self.by_leader(&[partition]).await?.into_keys().next();
        let leader = leader.ok_or_else(|| format!("partition {partition} has no leader"))?;
        self.connection(&leader).await
    }

    async fn connection(&mut self, address: &str) -> Result<&mut Connection, String> {
        if !self.open.contains_key(address) {
            let connection = within(Connection::open(&self.cluster, address)).await?;
            self.open.insert(address.to_owned(), connection);
        }
        let open = self.open.get_mut(address);
        open.ok_or_else(|| format!("not connected to Kafka at {address}"))
    }

    async fn find_leaders(&mut self) -> Result<(), String> {
        let layout = Layout::ask(&self.bootstrap, &self.topics).await?;
        let leaders = layout.leaders.into_iter();
        self.leaders = leaders
            .filter_map(|(p, leader)| Some((p, leader?)))
            .collect();
        Ok(())
    }

    fn topic(&self, topic: TopicId) -> TopicName {
        TopicName(text(self.topics.name(topic)))
    }
}

/// What a broker served.
struct Read {
    /// Its error in place of the batch.
    refused: Option<ResponseError>,
    end: i64,
    records: bytes::Bytes,
}

async fn within<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("no answer from Kafka within {} s", EACH.as_secs()));
    timeout(EACH, asked).await.unwrap_or_else(late)
}
