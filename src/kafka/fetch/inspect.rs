//! Asks the brokers what the fetchers' clients don't tell: what stands at a position, where the log ends, whether a
//! partition has transactions.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId, DescribeProducersRequest, FetchRequest, ListOffsetsRequest, TopicName,
};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::raw::{self, Look};
use crate::kafka::ask::{Connection, text};
use crate::kafka::bootstrap::Bootstrap;
use crate::kafka::layout::Layout;
use crate::settings::{Config, Isolation};

/// The protocol's versions that Kafka 2.8 to 4.3 serve.
const FETCH: i16 = 11;
const LIST_OFFSETS: i16 = 5;
const DESCRIBE_PRODUCERS: i16 = 0;

/// A broker that is well answers within milliseconds, and nothing is read meanwhile.
const EACH: Duration = Duration::from_secs(1);
pub(super) const ALL: Duration = Duration::from_secs(5);

/// What is asked for at first: most batches, and the head of the next one. A larger one is asked for again, up to what
/// Kafka can have.
const USUAL: usize = 1 << 20;
const LARGEST: usize = 128 << 20;
/// How much an answer is longer than its records, and how long a list of producers may be.
const AROUND: usize = 4 << 20;

pub struct Inspector {
    runtime: Option<Runtime>,
    brokers: Brokers,
}

struct Brokers {
    bootstrap: Bootstrap,
    topic: String,
    isolation: Isolation,
    /// The address of each partition's leader.
    leaders: BTreeMap<i32, String>,
    open: BTreeMap<String, Connection>,
}

impl Inspector {
    pub fn new(config: &Config) -> Self {
        Self {
            runtime: None,
            brokers: Brokers {
                bootstrap: Bootstrap::new(config.brokers.clone()),
                topic: config.topic.clone(),
                isolation: config.isolation,
                leaders: BTreeMap::new(),
                open: BTreeMap::new(),
            },
        }
    }

    /// What stands at a position.
    ///
    /// # Errors
    /// When the partition's leader doesn't say: that is no word about what stands there.
    pub fn look(&mut self, partition: i32, position: i64) -> Result<Look, String> {
        self.run(ALL, async |brokers| brokers.look(partition, position).await)
    }

    /// Where what stands at `position` can't be made out: the last offset before the next one that an intact batch is
    /// served from. `None` where there is none.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn last_before_next(
        &mut self,
        partition: i32,
        position: i64,
    ) -> Result<Option<i64>, String> {
        self.run(ALL, async |brokers| {
            brokers.last_before_next(partition, position).await
        })
    }

    /// Up to where these partitions can be read, as far as they have leaders.
    ///
    /// # Errors
    /// When a leader doesn't say.
    pub fn ends(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, String> {
        self.run(ALL, async |brokers| brokers.ends(partitions).await)
    }

    /// The first of these partitions that has, or had lately, a producer with transactions.
    ///
    /// # Errors
    /// When a leader doesn't say: within a second, where it is known which one to ask.
    pub fn transactional(&mut self, partitions: &[i32]) -> Result<Option<i32>, String> {
        self.run(EACH, async |brokers| {
            brokers.transactional(partitions).await
        })
    }

    /// Asks a second time where the first may have failed for what is known from before: a broker closes a connection that
    /// is idle for long, and a partition's leader changes.
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
            // Of several addresses of the cluster some may be dead.
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

    async fn look(&mut self, partition: i32, position: i64) -> Result<Look, String> {
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
        partition: i32,
        position: i64,
    ) -> Result<Option<i64>, String> {
        // Steps grow until there is something; then the first such place is looked for in between.
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
        // What can be read by now was never broken.
        match self.look(partition, position).await? {
            // The broker serves a batch whole, but not from each of its offsets, where it stands behind a damaged one.
            Look::Broken(_) => Ok(Some(good.0.max(good.1) - 1)),
            _ => Ok(None),
        }
    }

    /// Where the first intact batch begins that is served from `position`.
    async fn begins(
        &mut self,
        partition: i32,
        position: i64,
        end: i64,
    ) -> Result<Option<i64>, String> {
        let read = self.fetch(partition, position, USUAL).await?;
        Ok(raw::begins(&read.records, position, end))
    }

    async fn fetch(&mut self, partition: i32, position: i64, bytes: usize) -> Result<Read, String> {
        let wanted = FetchPartition::default()
            .with_partition(partition)
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
                    .with_topic(self.topic())
                    .with_partitions(vec![wanted]),
            ]);
        let leader = self.connected(partition).await?;
        // The first batch comes whole, however long it is.
        let asked = leader.ask_within(&request, FETCH, bytes.max(LARGEST) + AROUND);
        let answer = within(asked).await?;
        let address = leader.address.clone();
        let found = answer.responses.into_iter().flat_map(|t| t.partitions);
        let Some(data) = found.into_iter().find(|p| p.partition_index == partition) else {
            return Err(format!(
                "Kafka at {address} answered nothing for partition {partition}"
            ));
        };
        match data.error_code.err() {
            None => Ok(self.read(data, None)),
            // These say something of what stands there.
            Some(code @ (ResponseError::CorruptMessage | ResponseError::UnknownServerError)) => {
                Ok(self.read(data, Some(code)))
            }
            Some(code) => Err(format!(
                "Kafka at {address} answered {code:?} for partition {partition}"
            )),
        }
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

    async fn ends(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, i64>, String> {
        const LATEST: i64 = -1;
        let mut ends = BTreeMap::new();
        for (leader, partitions) in self.by_leader(partitions).await? {
            let asked = partitions.iter().map(|&partition| {
                ListOffsetsPartition::default()
                    .with_partition_index(partition)
                    .with_current_leader_epoch(-1)
                    .with_timestamp(LATEST)
            });
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_isolation_level(self.isolation.level())
                .with_topics(vec![
                    ListOffsetsTopic::default()
                        .with_name(self.topic())
                        .with_partitions(asked.collect()),
                ]);
            let connection = self.connection(&leader).await?;
            let answer = within(connection.ask(&request, LIST_OFFSETS)).await?;
            for listed in answer.topics.iter().flat_map(|t| &t.partitions) {
                if let Some(code) = listed.error_code.err() {
                    let partition = listed.partition_index;
                    return Err(format!(
                        "Kafka at {leader} answered {code:?} for partition {partition}"
                    ));
                }
                ends.insert(listed.partition_index, listed.offset);
            }
        }
        Ok(ends)
    }

    async fn transactional(&mut self, partitions: &[i32]) -> Result<Option<i32>, String> {
        for (leader, partitions) in self.by_leader(partitions).await? {
            let request = DescribeProducersRequest::default().with_topics(vec![
                TopicRequest::default()
                    .with_name(self.topic())
                    .with_partition_indexes(partitions),
            ]);
            let connection = self.connection(&leader).await?;
            let asked = connection.ask_within(&request, DESCRIBE_PRODUCERS, AROUND);
            let answer = within(asked).await?;
            for described in answer.topics.iter().flat_map(|t| &t.partitions) {
                if let Some(code) = described.error_code.err() {
                    let partition = described.partition_index;
                    return Err(format!(
                        "Kafka at {leader} answered {code:?} for partition {partition}"
                    ));
                }
                // The coordinator writes its epoch with a transaction's marker.
                let mut producers = described.active_producers.iter();
                if producers.any(|p| p.coordinator_epoch >= 0 || p.current_txn_start_offset >= 0) {
                    return Ok(Some(described.partition_index));
                }
            }
        }
        Ok(None)
    }

    /// The partitions that have a leader, by its address.
    async fn by_leader(
        &mut self,
        partitions: &[i32],
    ) -> Result<BTreeMap<String, Vec<i32>>, String> {
        if partitions.iter().any(|p| !self.leaders.contains_key(p)) {
            self.find_leaders().await?;
        }
        let mut by_leader = BTreeMap::<String, Vec<i32>>::new();
        for &partition in partitions {
            if let Some(leader) = self.leaders.get(&partition) {
                by_leader.entry(leader.clone()).or_default().push(partition);
            }
        }
        Ok(by_leader)
    }

    /// A connection to the partition's leader.
    async fn connected(&mut self, partition: i32) -> Result<&mut Connection, String> {
        let leader = self.by_leader(&[partition]).await?.into_keys().next();
        let leader = leader.ok_or_else(|| format!("partition {partition} has no leader"))?;
        self.connection(&leader).await
    }

    async fn connection(&mut self, address: &str) -> Result<&mut Connection, String> {
        if !self.open.contains_key(address) {
            let connection = within(Connection::open(address)).await?;
            self.open.insert(address.to_owned(), connection);
        }
        let open = self.open.get_mut(address);
        open.ok_or_else(|| format!("not connected to Kafka at {address}"))
    }

    async fn find_leaders(&mut self) -> Result<(), String> {
        let layout = Layout::ask(&self.bootstrap, &self.topic).await?;
        let leaders = layout.leaders.into_iter();
        self.leaders = leaders
            .filter_map(|(p, leader)| Some((p, leader?)))
            .collect();
        Ok(())
    }

    fn topic(&self) -> TopicName {
        TopicName(text(&self.topic))
    }
}

/// What a broker served.
struct Read {
    /// What it said instead of serving what stands there.
    refused: Option<ResponseError>,
    end: i64,
    records: bytes::Bytes,
}

async fn within<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("no answer from Kafka within {} s", EACH.as_secs()));
    timeout(EACH, asked).await.unwrap_or_else(late)
}
