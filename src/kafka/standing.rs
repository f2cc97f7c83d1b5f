//! How the logs of a topic's partitions stand in Kafka now: which topic they are of, which leader epoch, where they begin
//! and end.
//!
//! One small request tells whether anything changed; only of a partition where something did, its leader is asked more.

mod patience;

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, ListOffsetsRequest, MetadataRequest, OffsetForLeaderEpochRequest,
};
use kafka_protocol::protocol::Request;

use super::ask::{Connection, address_of, text};
use super::cluster::Cluster;
use crate::message::standing::{Log, Question, Standing, TopicTag};
use crate::message::{PartitionId, Topics, by_topic};
use patience::Patience;

/// The versions asked for, oldest and newest. The topic's id comes with version 10 of the metadata (Kafka 2.8).
const METADATA: (i16, i16) = (4, 10);
const OFFSET_FOR_LEADER_EPOCH: (i16, i16) = (2, 3);
/// From version 5 on, a leader that doesn't know yet where its log ends says so.
const LIST_OFFSETS: (i16, i16) = (1, 5);
const API_VERSIONS: i16 = 0;

/// What [`LIST_OFFSETS`] takes for a time, beside milliseconds since 1970.
const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;

/// Asks, on connections that it keeps.
pub struct Asker {
    cluster: Cluster,
    topics: Topics,
    connections: HashMap<String, Negotiated>,
    patience: Patience,
    /// Whether it was said that the brokers give topics no ids.
    said: bool,
}

/// A connection, and the newest version of each request that the broker serves on it.
struct Negotiated {
    connection: Connection,
    versions: HashMap<i16, i16>,
}

impl Asker {
    pub fn new(cluster: Cluster, topics: Topics) -> Self {
        Self {
            cluster,
            topics,
            connections: HashMap::new(),
            patience: Patience::new(),
            said: false,
        }
    }

    /// Partitions that Kafka doesn't have, or has no topic for, are left out.
    ///
    /// # Errors
    /// A sentence, where no broker answers in time.
    pub async fn look(
        &mut self,
        questions: &[Question],
    ) -> Result<BTreeMap<PartitionId, Standing>, String> {
        let (known, brokers) = self.metadata().await?;
        let mut standings = BTreeMap::new();
        let mut by_leader = BTreeMap::<i32, Vec<(Question, i32)>>::new();
        for question in questions {
            let Some((topic, partition)) = known.get(&question.partition) else {
                continue;
            };
            let topic = *topic;
            let epoch = partition.leader_epoch;
            let standing = Standing {
                topic,
                leader_epoch: (epoch >= 0).then_some(epoch),
                log: None,
            };
            standings.insert(question.partition, standing);
            let unchanged =
                topic == question.topic && standing.leader_epoch == question.leader_epoch;
            if question.thorough || !unchanged {
                let leader = by_leader.entry(*partition.leader_id).or_default();
                leader.push((*question, epoch));
            }
        }
        for (leader, questions) in by_leader {
            let Some(address) = brokers.get(&leader) else {
                continue;
            };
            match self.logs(address, &questions).await {
                Ok(logs) => {
                    for (partition, log) in logs {
                        if let Some(standing) = standings.get_mut(&partition) {
                            standing.log = Some(log);
                        }
                    }
                }
                // The others' leaders may answer. It is asked again with the next look.
                Err(why) => log::debug!("{why}"),
            }
        }
        Ok(standings)
    }

    /// Where `time` is in partitions: the first record that is as new, or the end where none is. `time`: milliseconds since 1970, or
    /// [`EARLIEST`]. A partition whose leader doesn't say it is left out; the other value says why, where one failed.
    ///
    /// # Errors
    /// No broker answers, or none has the topic.
    pub async fn find(
        &mut self,
        partitions: &[PartitionId],
        time: i64,
    ) -> Result<(BTreeMap<PartitionId, i64>, Option<String>), String> {
        let (known, brokers) = self.metadata().await?;
        let mut by_leader = BTreeMap::<i32, Vec<(PartitionId, i32)>>::new();
        for (id, (_, partition)) in known {
            if partitions.contains(&id) {
                let leader = by_leader.entry(*partition.leader_id).or_default();
                leader.push((id, partition.leader_epoch));
            }
        }
        let (mut found, mut failed) = (BTreeMap::new(), None);
        for (leader, of) in by_leader {
            let Some(address) = brokers.get(&leader) else {
                failed = Some("its leader is not known".to_owned());
                continue;
            };
            match self.find_at(address, &of, time).await {
                Ok(offsets) => found.extend(offsets),
                // The others' leaders may answer.
                Err(why) => failed = Some(why),
            }
        }
        Ok((found, failed))
    }

    async fn find_at(
        &mut self,
        address: &str,
        of: &[(PartitionId, i32)],
        time: i64,
    ) -> Result<BTreeMap<PartitionId, i64>, String> {
        // Asked first: what is written between the questions is newer.
        let ends = self.offsets(address, of, LATEST).await?;
        let mut found = self.offsets(address, of, time).await?;
        found.retain(|partition, offset| match ends.get(partition) {
            Some(end) if *offset < 0 => {
                *offset = *end;
                *end >= 0
            }
            _ => *offset >= 0,
        });
        Ok(found)
    }

    /// The partitions, each with its topic's tag, and the addresses of the brokers.
    async fn metadata(
        &mut self,
    ) -> Result<
        (
            HashMap<PartitionId, (Option<TopicTag>, MetadataResponsePartition)>,
            HashMap<i32, String>,
        ),
        String,
    > {
        let named = |name| MetadataRequestTopic::default().with_name(Some(text(name).into()));
        let request = MetadataRequest::default()
            .with_topics(Some(self.topics.names().map(named).collect()))
            .with_allow_auto_topic_creation(false);
        let kept = self.connections.keys().cloned();
        let mut addresses: Vec<String> = kept.collect();
        let brokers = self.cluster.brokers().iter();
        let rest = brokers.filter(|b| !addresses.contains(b));
        let rest: Vec<String> = rest.cloned().collect();
        addresses.extend(rest);
        let mut why = String::new();
        for address in addresses {
            let answer = match self.ask(&address, &request, METADATA).await {
                Ok(answer) => answer,
                Err(error) => {
                    why = error;
                    continue;
                }
            };
            let brokers = answer
                .brokers
                .iter()
                .map(|b| (*b.node_id, address_of(&b.host, b.port)))
                .collect();
            let mut known = HashMap::new();
            for found in answer.topics.into_iter().filter(|t| t.error_code == 0) {
                let name = found.name.as_ref().map_or("", |name| name.as_str());
                let Some(topic) = self.topics.id(name) else {
                    continue;
                };
                let tag = TopicTag::of(found.topic_id.as_bytes());
                if tag.is_none() && !self.said {
                    self.said = true;
                    log::info!(
                        "Kafka at {address} gives topics no ids (it does from 2.8 on): a topic that is deleted and made \
                         anew is taken for the one before"
                    );
                }
                known.extend(found.partitions.into_iter().map(|partition| {
                    let index = partition.partition_index;
                    (PartitionId { topic, index }, (tag, partition))
                }));
            }
            return Ok((known, brokers));
        }
        Err(why)
    }

    /// Asks the leader at `address`; each question goes with the leader epoch that the metadata named.
    async fn logs(
        &mut self,
        address: &str,
        questions: &[(Question, i32)],
    ) -> Result<Vec<(PartitionId, Log)>, String> {
        let of = |(question, epoch): &(Question, i32)| (question.partition, *epoch);
        let of: Vec<_> = questions.iter().map(of).collect();
        let starts = self.offsets(address, &of, EARLIEST).await?;
        let ends = self.offsets(address, &of, LATEST).await?;
        let offset = |known: &BTreeMap<PartitionId, i64>, partition| {
            known.get(&partition).copied().filter(|&offset| offset >= 0)
        };
        let epoch_ends = match self.epoch_ends(address, questions).await {
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
        address: &str,
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
        let answer = self.ask(address, &request, LIST_OFFSETS).await?;
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
        address: &str,
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
        let answer = self
            .try_ask(address, &request, OFFSET_FOR_LEADER_EPOCH)
            .await?;
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

    async fn ask<R: Request>(
        &mut self,
        address: &str,
        request: &R,
        versions: (i16, i16),
    ) -> Result<R::Response, String> {
        let answer = self.try_ask(address, request, versions).await;
        answer.map_err(|refusal| match refusal {
            Refusal::NotServed => format!(
                "Kafka at {address} doesn't serve request {} in version {} to {}",
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
        address: &str,
        request: &R,
        versions: (i16, i16),
    ) -> Result<R::Response, Refusal> {
        // Taken out: a connection whose answer didn't come is not used again.
        let kept = self.connections.remove(address);
        let answer = match kept {
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
        self.connections.insert(address.into(), served);
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
