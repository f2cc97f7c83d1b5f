//! Which broker leads which partition of the topics.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

use super::ask::text;
use super::bootstrap::Bootstrap;
use crate::kafka::acl;
use crate::message::{PartitionId, TopicId, Topics, by_topic};

/// The first version that can ask without making the topic (Kafka 0.11); Kafka 4 takes it too.
pub const METADATA: i16 = 4;

/// What a broker says about the topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Who said it, `host:port`.
    pub asked: String,
    /// The leader of each partition, `host:port`, where it has one.
    pub leaders: BTreeMap<PartitionId, Option<String>>,
}

impl Layout {
    /// Asks for topics, and makes none. Of several, those that can't be seen are left out.
    ///
    /// # Errors
    /// A sentence: nobody answers, or there is no such topic.
    pub async fn ask(bootstrap: &Bootstrap, topics: &Topics) -> Result<Layout, String> {
        let named = |name| MetadataRequestTopic::default().with_name(Some(text(name).into()));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.names().map(named).collect()))
            .with_allow_auto_topic_creation(false);
        let (connection, answer) = bootstrap.ask(&request, METADATA).await?;
        let asked = connection.address;
        let brokers: BTreeMap<i32, String> = answer
            .brokers
            .iter()
            .map(|broker| (broker.node_id.0, format!("{}:{}", broker.host, broker.port)))
            .collect();
        let (mut leaders, mut failed) = (BTreeMap::new(), None);
        for topic in topics.ids() {
            let name = topics.name(topic);
            let mut of = answer.topics.iter();
            let of = of.find(|of| of.name.as_ref().is_some_and(|said| said.as_str() == name));
            match of.map(|of| (of, of.error_code.err())) {
                Some((of, None)) => leaders.extend(of.partitions.iter().map(|p| {
                    let index = p.partition_index;
                    let leader = brokers.get(&p.leader_id.0).cloned();
                    (PartitionId { topic, index }, leader)
                })),
                Some((_, Some(ResponseError::UnknownTopicOrPartition))) => {
                    failed = Some(format!("Kafka at {asked} has no topic {name}"));
                }
                Some((_, Some(error))) => {
                    failed = Some(format!(
                        "Kafka at {asked} answered {error:?} when asked for topic {name}{}",
                        acl::why(bootstrap.cluster(), error.code())
                    ));
                }
                None => failed = Some(format!("Kafka at {asked} said nothing of topic {name}")),
            }
        }
        match failed {
            Some(why) if leaders.is_empty() => Err(why),
            _ => Ok(Layout { asked, leaders }),
        }
    }

    /// The brokers that lead any of its partitions.
    pub fn brokers(&self) -> BTreeSet<&str> {
        self.leaders
            .values()
            .flatten()
            .map(String::as_str)
            .collect()
    }

    /// The topic of which the partitions are not numbered from 0 without a gap, as Kafka makes them, and their numbers.
    pub fn with_gap(&self) -> Option<(TopicId, Vec<i32>)> {
        let by_topic = by_topic(self.leaders.keys().map(|p| (p.topic, p.index)));
        let has_gap = |indexes: &[i32]| !indexes.iter().copied().eq(0..indexes.len() as i32);
        by_topic.into_iter().find(|(_, indexes)| has_gap(indexes))
    }
}
