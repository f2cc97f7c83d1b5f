//! How the logs of a topic's partitions stand in Kafka now: which topic they are of, which leader epoch, where they begin
//! and end.
//!
//! One small request tells whether anything changed; only of a partition where something did, its leader is asked more. The
//! leaders are asked all at once.

mod broker;
mod patience;
mod together;

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;

use super::ask::{address_of, text};
use super::cluster::Cluster;
use crate::message::standing::{Question, Standing, TopicTag};
use crate::message::{PartitionId, Topics};
use broker::Broker;
use together::together;

/// The versions asked for, oldest and newest. The topic's id comes with version 10 of the metadata (Kafka 2.8).
const METADATA: (i16, i16) = (4, 10);

/// What Kafka takes for the time of the first record, beside milliseconds since 1970.
pub const EARLIEST: i64 = -2;

/// Asks, on connections that it keeps.
pub struct Asker {
    cluster: Cluster,
    topics: Topics,
    brokers: HashMap<String, Broker>,
    /// The one that said last how the topics are.
    answered: Option<String>,
    /// Whether it was said that the brokers give topics no ids.
    said: bool,
}

impl Asker {
    pub fn new(cluster: Cluster, topics: Topics) -> Self {
        Self {
            cluster,
            topics,
            brokers: HashMap::new(),
            answered: None,
            said: false,
        }
    }

    /// The broker at an address, with its connection. It comes back with [`Asker::brokers`] when it was asked.
    fn broker(&mut self, address: &str) -> Broker {
        self.brokers.remove(address).unwrap_or_else(|| {
            Broker::new(address.into(), self.cluster.clone(), self.topics.clone())
        })
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
        let mut asks = Vec::new();
        for (leader, questions) in by_leader {
            let Some(address) = brokers.get(&leader) else {
                continue;
            };
            let mut broker = self.broker(address);
            asks.push(async move {
                let logs = broker.logs(&questions).await;
                (broker, logs)
            });
        }
        for (broker, logs) in together(asks).await {
            self.brokers.insert(broker.address.clone(), broker);
            match logs {
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
        let mut asks = Vec::new();
        for (leader, of) in by_leader {
            let Some(address) = brokers.get(&leader) else {
                failed = Some("its leader is not known".to_owned());
                continue;
            };
            let mut broker = self.broker(address);
            asks.push(async move {
                let offsets = broker.find(&of, time).await;
                (broker, offsets)
            });
        }
        let asked = asks.len();
        let answers = together(asks).await;
        if answers.len() < asked {
            failed = Some("its leader takes longer than others".to_owned());
        }
        for (broker, offsets) in answers {
            self.brokers.insert(broker.address.clone(), broker);
            match offsets {
                Ok(offsets) => found.extend(offsets),
                // The others' leaders may answer.
                Err(why) => failed = Some(why),
            }
        }
        Ok((found, failed))
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
        // The one that answered last goes first.
        let mut addresses: Vec<String> = self.answered.iter().cloned().collect();
        let kept = self.brokers.keys().chain(self.cluster.brokers());
        for address in kept {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        let mut why = String::new();
        for address in addresses {
            let mut broker = self.broker(&address);
            let answer = broker.ask(&request, METADATA).await;
            self.brokers.insert(address.clone(), broker);
            let answer = match answer {
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
            self.answered = Some(address);
            return Ok((known, brokers));
        }
        Err(why)
    }
}
