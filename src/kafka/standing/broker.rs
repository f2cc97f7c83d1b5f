//! One broker, as it is asked how logs stand: the questions to a leader, on a connection that is kept.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
};
use kafka_protocol::protocol::Request;

use super::EARLIEST;
use super::patience::Patience;
use crate::kafka::ask::{Connection, text};
use crate::kafka::cluster::Cluster;
use crate::message::standing::{Log, Question};
use crate::message::{PartitionId, Topics, by_topic};

/// The versions asked for, oldest and newest.
const OFFSET_FOR_LEADER_EPOCH: (i16, i16) = (2, 3);
/// From version 5 on, a leader that doesn't know yet where its log ends says so.
const LIST_OFFSETS: (i16, i16) = (1, 5);
const API_VERSIONS: i16 = 0;

/// What [`LIST_OFFSETS`] takes for a time, beside milliseconds since 1970.
const LATEST: i64 = -1;

/// A broker at an address, and the connection to it. How long it may take is its own: one that is slow makes nobody wait for the
/// others.
pub struct Broker {
    pub address: String,
    cluster: Cluster,
    topics: Topics,
    kept: Option<Negotiated>,
    patience: Patience,
}

/// A connection, and the newest version of each request that the broker serves on it.
struct Negotiated {
    connection: Connection,
    versions: HashMap<i16, i16>,
}

impl Broker {
    pub fn new(address: String, cluster: Cluster, topics: Topics) -> Self {
        Self {
            address,
            cluster,
            topics,
            kept: None,
            patience: Patience::new(),
        }
    }

    /// Where `time` is in partitions: the first record that is as new, or the end where none is.
    pub async fn find(
        &mut self,
        of: &[(PartitionId, i32)],
        time: i64,
    ) -> Result<BTreeMap<PartitionId, i64>, String> {
        // Asked first: what is written between the questions is newer.
        let ends = self.offsets(of, LATEST).await?;
        let mut found = self.offsets(of, time).await?;
        found.retain(|partition, offset| match ends.get(partition) {
            Some(end) if *offset < 0 => {
                *offset = *end;
                *end >= 0
            }
            _ => *offset >= 0,
        });
        Ok(found)
    }

    /// Each question goes with the leader epoch that the metadata named.
    pub async fn logs(
        &mut self,
        questions: &[(Question, i32)],
    ) -> Result<Vec<(PartitionId, Log)>, String> {
        let of = |(question, epoch): &(Question, i32)| (question.partition, *epoch);
        let of: Vec<_> = questions.iter().map(of).collect();
        let starts = self.offsets(&of, EARLIEST).await?;
        let ends = self.offsets(&of, LATEST).await?;
        let offset = |known: &BTreeMap<PartitionId, i64>, partition| {
            known.get(&partition).copied().filter(|&offset| offset >= 0)
        };
        let epoch_ends = match self.epoch_ends(questions).await {
            Ok(ends) => ends,
            Err(Refusal::NotServed) => BTreeMap::new(),
            Err(Refusal::Failed(why)) => return Err(why),
        };
        let known = |(question, _): &(Question, i32)| {
            let partition = question.partition;
            let epoch_end = match epoch_ends.get(&partition) {
                Some(Ok(end)) => *end,
                // It isn't the leader, or not of this epoch: nothing that it says counts.
                Some(Err(())) => return None,
                None => None,
            };
            let log = Log {
                start: offset(&starts, partition)?,
                end: offset(&ends, partition)?,
                epoch_end,
            };
            Some((partition, log))
        };
        Ok(questions.iter().filter_map(known).collect())
    }

    /// Asks for `time` in partitions, each with its leader epoch. The offset is negative where there is none.
    async fn offsets(
        &mut self,
        of: &[(PartitionId, i32)],
        time: i64,
    ) -> Result<BTreeMap<PartitionId, i64>, String> {
        let asked = by_topic(of.iter().map(|(partition, epoch)| {
            let asked = ListOffsetsPartition::default()
                .with_partition_index(partition.index)
                .with_current_leader_epoch(*epoch)
                .with_timestamp(time);
            (partition.topic, asked)
        }));
        let asked = asked.into_iter().map(|(topic, partitions)| {
            ListOffsetsTopic::default()
                .with_name(text(self.topics.name(topic)).into())
                .with_partitions(partitions)
        });
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(asked.collect());
        let answer = self.ask(&request, LIST_OFFSETS).await?;
        let mut known = BTreeMap::new();
        for topic in &answer.topics {
            for p in topic.partitions.iter().filter(|p| p.error_code == 0) {
                let partition = self.topics.partition(&topic.name, p.partition_index);
                known.extend(partition.map(|partition| (partition, p.offset)));
            }
        }
        Ok(known)
    }

    /// Where the epochs that were known end, by partition: `Err` where the leader refused, `Ok(None)` where it has no
    /// such epoch.
    async fn epoch_ends(
        &mut self,
        questions: &[(Question, i32)],
    ) -> Result<BTreeMap<PartitionId, Result<Option<i64>, ()>>, Refusal> {
        let asked = by_topic(questions.iter().map(|(question, epoch)| {
            let asked = OffsetForLeaderPartition::default()
                .with_partition(question.partition.index)
                .with_current_leader_epoch(*epoch)
                .with_leader_epoch(question.leader_epoch.unwrap_or(*epoch));
            (question.partition.topic, asked)
        }));
        let asked = asked.into_iter().map(|(topic, partitions)| {
            OffsetForLeaderTopic::default()
                .with_topic(text(self.topics.name(topic)).into())
                .with_partitions(partitions)
        });
        let request = OffsetForLeaderEpochRequest::default()
            .with_replica_id((-1).into())
            .with_topics(asked.collect());
        let answer = self.try_ask(&request, OFFSET_FOR_LEADER_EPOCH).await?;
        let mut ends = BTreeMap::new();
        for topic in &answer.topics {
            for p in &topic.partitions {
                let end = match p.error_code.err() {
                    None => Ok((p.end_offset >= 0).then_some(p.end_offset)),
                    Some(_) => Err(()),
                };
                let partition = self.topics.partition(&topic.topic, p.partition);
                ends.extend(partition.map(|partition| (partition, end)));
            }
        }
        Ok(ends)
    }

    pub async fn ask<R: Request>(
        &mut self,
        request: &R,
        versions: (i16, i16),
    ) -> Result<R::Response, String> {
        let answer = self.try_ask(request, versions).await;
        answer.map_err(|refusal| match refusal {
            Refusal::NotServed => format!(
                "Kafka at {} doesn't serve request {} in version {} to {}",
                self.address,
                R::KEY,
                versions.0,
                versions.1
            ),
            Refusal::Failed(why) => why,
        })
    }

    /// Asks on the connection that is kept, and where that is none or a dead one, on a fresh one.
    async fn try_ask<R: Request>(
        &mut self,
        request: &R,
        versions: (i16, i16),
    ) -> Result<R::Response, Refusal> {
        let address = &self.address;
        // Taken out: a connection whose answer didn't come is not used again.
        let answer = match self.kept.take() {
            Some(served) => {
                let asking = served.ask(request, versions);
                self.patience.wait(address, asking).await.ok()
            }
            None => None,
        };
        let (served, answer) = match answer {
            Some(answer) => answer,
            None => {
                let asking = async {
                    Negotiated::open(&self.cluster, address)
                        .await?
                        .ask(request, versions)
                        .await
                };
                let answer = self.patience.wait(address, asking).await;
                answer.map_err(Refusal::Failed)?
            }
        };
        self.kept = Some(served);
        answer
    }
}

/// Why there is no answer.
enum Refusal {
    /// The broker is too old for the request.
    NotServed,
    Failed(String),
}

impl Negotiated {
    async fn open(cluster: &Cluster, address: &str) -> Result<Negotiated, String> {
        let mut connection = Connection::open(cluster, address).await?;
        let request = ApiVersionsRequest::default();
        let answer = connection.ask(&request, API_VERSIONS).await?;
        let versions = answer.api_keys.iter();
        Ok(Negotiated {
            connection,
            versions: versions.map(|api| (api.api_key, api.max_version)).collect(),
        })
    }

    /// Comes back with the answer, and can be asked again.
    async fn ask<R: Request>(
        mut self,
        request: &R,
        (oldest, newest): (i16, i16),
    ) -> Result<(Negotiated, Result<R::Response, Refusal>), String> {
        let served = self.versions.get(&R::KEY).map(|most| newest.min(*most));
        let answer = match served {
            Some(version) if version >= oldest => Ok(self.connection.ask(request, version).await?),
            _ => Err(Refusal::NotServed),
        };
        Ok((self, answer))
    }
}
