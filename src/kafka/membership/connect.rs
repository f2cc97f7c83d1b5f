//! The way to Kafka, before there is a member, and after a broker refused its login.

use std::fmt::Display;
use std::sync::atomic::Ordering;

use krafka::Kafka;

use super::{Membership, NOT_BEGUN, RETRY_FIRST, RETRY_MOST, wait};
use crate::base::backoff::Retry;
use crate::base::text::counted;
use crate::kafka::{
    Cluster, Operation, Trouble, create_topic_command, is_login_refused, partitions_for,
};

/// What to say where a topic is missing.
fn no_topic(cluster: &Cluster, topic: &str) -> String {
    format!(
        "Kafka at {} has no topic {topic}. Check the topic (--topic, JOB_TOPIC), or make it: {}",
        cluster.joined(),
        create_topic_command(cluster, topic)
    )
}

/// Why a topic can't be read now; `None` where it can.
pub(super) async fn why_unreadable(
    kafka: &Kafka,
    cluster: &Cluster,
    topic: &str,
) -> Option<String> {
    match partitions_for(Operation::Read, kafka, topic).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(no_topic(cluster, topic)),
        Err(error) => Some(Trouble::new(cluster, &error).to_string()),
    }
}

impl Membership {
    /// Retries until Kafka answers and has a topic that we may read. What is wrong with others of the list is said once they
    /// are looked for again (see `unowned`).
    pub(super) async fn connect(&self) -> Kafka {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let (cluster, topics) = (&self.cluster, &self.config.topics);
        let failed = |why: &dyn Display| match self.was_member.load(Ordering::Relaxed) {
            true => self.failed(why),
            false => format!("{NOT_BEGUN}: {why}"),
        };
        loop {
            let kafka = match cluster.connect().await {
                Ok(kafka) => kafka,
                Err(error) => {
                    let trouble = Trouble::with_connecting(cluster, &error).await;
                    wait(&mut retry, &failed(&trouble)).await;
                    continue;
                }
            };
            // With another password by then, this krafka can't be let in again.
            let mut is_refused = false;
            while !is_refused {
                let (mut there, mut why) = (Vec::new(), String::new());
                for topic in topics.names() {
                    match partitions_for(Operation::Read, &kafka, topic).await {
                        Ok(Some(partitions)) => {
                            let partitions = counted(partitions as u64, "partition");
                            there.push(format!("topic {topic} has {partitions}"));
                        }
                        Ok(None) => why = no_topic(cluster, topic),
                        Err(error) => {
                            is_refused |= is_login_refused(&error);
                            why = Trouble::new(cluster, &error).to_string();
                        }
                    }
                }
                if !there.is_empty() && !is_refused {
                    let brokers = cluster.joined();
                    log::info!("connected to Kafka at {brokers}: {}", there.join(", "));
                    return kafka;
                }
                wait(&mut retry, &failed(&why)).await;
            }
        }
    }
}
