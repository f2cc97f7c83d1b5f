//! Which broker leads which partition of a topic.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

use super::ask::text;
use super::bootstrap::Bootstrap;

/// The first version that can ask without making the topic (Kafka 0.11); Kafka 4 takes it too.
pub const METADATA: i16 = 4;

/// What a broker says about a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Who said it, `host:port`.
    pub asked: String,
    /// The leader of each partition, `host:port`, where it has one.
    pub leaders: BTreeMap<i32, Option<String>>,
}

impl Layout {
    /// Asks for a topic, and doesn't make it.
    ///
    /// # Errors
    /// A sentence: nobody answers, or there is no such topic.
    pub async fn ask(bootstrap: &Bootstrap, topic: &str) -> Result<Layout, String> {
        let named = MetadataRequestTopic::default().with_name(Some(text(topic).into()));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![named]))
            .with_allow_auto_topic_creation(false);
        let (connection, answer) = bootstrap.ask(&request, METADATA).await?;
        let asked = connection.address;
        let brokers: BTreeMap<i32, String> = answer
            .brokers
            .iter()
            .map(|broker| (broker.node_id.0, format!("{}:{}", broker.host, broker.port)))
            .collect();
        let of_it = answer
            .topics
            .iter()
            .find(|of| of.name.as_ref().is_some_and(|name| name.0 == text(topic)));
        let Some(of_it) = of_it else {
            return Err(format!("Kafka at {asked} said nothing of topic {topic}"));
        };
        match of_it.error_code.err() {
            None => {}
            Some(ResponseError::UnknownTopicOrPartition) => {
                return Err(format!("Kafka at {asked} has no topic {topic}"));
            }
            Some(error) => {
                return Err(format!(
                    "Kafka at {asked} answered {error:?} when asked for topic {topic}"
                ));
            }
        }
        let leaders = of_it
            .partitions
            .iter()
            .map(|p| (p.partition_index, brokers.get(&p.leader_id.0).cloned()))
            .collect();
        Ok(Layout { asked, leaders })
    }

    /// The brokers that lead any of its partitions.
    pub fn brokers(&self) -> BTreeSet<&str> {
        self.leaders
            .values()
            .flatten()
            .map(String::as_str)
            .collect()
    }

    /// Whether its partitions are numbered from 0 without a gap, as Kafka makes them.
    pub fn is_gapless(&self) -> bool {
        self.leaders
            .keys()
            .copied()
            .eq(0..self.leaders.len() as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(leaders: &[(i32, Option<&str>)]) -> Layout {
        Layout {
            asked: "a:1".into(),
            leaders: leaders
                .iter()
                .map(|(p, leader)| (*p, leader.map(str::to_owned)))
                .collect(),
        }
    }

    #[test]
    fn a_gap_is_seen() {
        assert!(layout(&[]).is_gapless());
        assert!(layout(&[(0, None), (1, Some("a:1"))]).is_gapless());
        assert!(!layout(&[(1, Some("a:1"))]).is_gapless());
        assert!(!layout(&[(0, None), (2, None)]).is_gapless());
        assert!(!layout(&[(-1, None)]).is_gapless());
    }

    #[test]
    fn a_broker_counts_once() {
        let of = layout(&[
            (0, Some("a:1")),
            (1, Some("a:1")),
            (2, None),
            (3, Some("b:1")),
        ]);
        assert_eq!(of.brokers().into_iter().collect::<Vec<_>>(), ["a:1", "b:1"]);
    }
}
