//! The way to Kafka, before there is a member, and after a broker refused its login.

use std::fmt::Display;
use std::sync::atomic::Ordering;

use krafka::Kafka;

use super::{Membership, NOT_BEGUN, RETRY_FIRST, RETRY_MOST, wait};
use crate::base::backoff::Retry;
use crate::base::text::counted;
use crate::kafka::{Operation, Trouble, create_topic_command, is_login_refused, partitions_for};

impl Membership {
    /// Retries until Kafka answers and has the topic, which we may read.
    pub(super) async fn connect(&self) -> Kafka {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let (cluster, topic) = (&self.cluster, &self.config.topic);
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
                let why = match partitions_for(Operation::Read, &kafka, topic).await {
                    Ok(Some(partitions)) => {
                        log::info!(
                            "connected to Kafka at {}: topic {topic} has {}",
                            cluster.joined(),
                            counted(partitions as u64, "partition")
                        );
                        return kafka;
                    }
                    Ok(None) => format!(
                        "Kafka at {} has no topic {topic}. Check the topic (--topic, JOB_TOPIC), or make it: {}",
                        cluster.joined(),
                        create_topic_command(cluster, topic)
                    ),
                    Err(error) => {
                        is_refused = is_login_refused(&error);
                        Trouble::new(cluster, &error).to_string()
                    }
                };
                wait(&mut retry, &failed(&why)).await;
            }
        }
    }
}
