//! Which topics a member asks for.
//!
//! With group protocol `consumer` Kafka refuses a heartbeat that names a topic which this user may not see: for all topics at
//! once (KAFKA-18813). So such a topic is left out until an ACL allows it. With the classic protocol the members themselves share out
//! what they see.

use krafka::Kafka;
use krafka::consumer::Consumer;
use krafka::error::{ErrorCode, KrafkaError};

use super::{Membership, RETRY_FIRST, RETRY_MOST, refusal, wait};
use crate::base::backoff::Retry;
use crate::kafka::{Operation, Trouble, partitions_for};
use crate::settings::{Config, GroupProtocol};

impl Membership {
    /// Retries until krafka has asked for the topics.
    ///
    /// # Errors
    /// The broker refuses the settings for good.
    pub(super) async fn subscribe(&self, kafka: &Kafka, consumer: &Consumer) -> Result<(), String> {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        while let Err(error) = consumer.subscribe(visible(kafka, &self.config).await).await {
            if let Some(advice) = refusal::cannot_heal(&error, &self.config) {
                return Err(format!("{}. {advice}", self.failed(&error)));
            }
            let trouble = Trouble::new(&self.cluster, &error);
            wait(&mut retry, &self.failed(&trouble)).await;
        }
        Ok(())
    }
}

/// The topics of the list but for those that are hidden from this user. All of them where none is seen: Kafka's answer says why.
pub(super) async fn visible<'a>(kafka: &Kafka, config: &'a Config) -> Vec<&'a str> {
    let all: Vec<&str> = config.topics.names().collect();
    if !matters(config) {
        return all;
    }
    let mut seen = Vec::new();
    for name in &all {
        match partitions_for(Operation::Read, kafka, name).await {
            Err(error) if is_hidden(&error) => {}
            // One that is missing may be made. Where nobody answers, joining fails too.
            _ => seen.push(*name),
        }
    }
    if seen.is_empty() { all } else { seen }
}

/// Whether a topic can keep a member from the others.
pub(super) fn matters(config: &Config) -> bool {
    config.group_protocol == GroupProtocol::Consumer && config.topics.are_several()
}

/// Whether an ACL keeps this user from a topic.
pub(super) fn is_hidden(error: &KrafkaError) -> bool {
    matches!(
        error,
        KrafkaError::Broker {
            code: ErrorCode::TopicAuthorizationFailed,
            ..
        }
    )
}
