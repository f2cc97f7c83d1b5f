//! Partitions that the group's protocol forgot.
//!
//! The cooperative protocol hands a partition over in two rounds: its owner lets go, and joins once more so that it is given
//! to another. A static member that starts anew in between joins without a round, so nobody gets what it let go. Kafka
//! sees a stable group, and nobody reads that partition until something else makes a round.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use krafka::Kafka;
use krafka::consumer::Consumer;
use krafka::error::KrafkaError;

use crate::config::Config;

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A partition that is being handed over has no owner for so long, beside the time of the hand-over itself.
const BESIDE_HAND_OVER: Duration = Duration::from_secs(2);

/// Looks, now and then, whether each partition has an owner, and asks for a round where one has none for long.
pub(super) async fn watch(kafka: Kafka, consumer: Arc<Consumer>, config: Config) {
    let mut since: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // What can't be seen now is looked at the next time.
        let orphans = orphans(&kafka, &config).await.unwrap_or_default();
        if orphans.is_empty() {
            since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed()
            >= config.shutdown_timeout + BESIDE_HAND_OVER
        {
            log::warn!(
                "partitions {orphans:?} of {} have no owner, though group {} is stable: asking for a rebalance",
                config.topic,
                config.group
            );
            rejoin(&consumer, &config.topic).await;
            since = None;
        }
    }
}

/// The partitions that nobody has in a stable group.
async fn orphans(kafka: &Kafka, config: &Config) -> Result<BTreeSet<i32>, KrafkaError> {
    let group = kafka
        .admin()
        .describe_consumer_groups([&config.group], Default::default())
        .await?
        .remove(&config.group);
    let Some(Ok(group)) = group else {
        return Ok(BTreeSet::new());
    };
    // While a round runs, who has what is about to change.
    if group.state != "Stable" {
        return Ok(BTreeSet::new());
    }
    let count = crate::kafka::partitions(kafka, &config.topic).await?;
    let mut orphans: BTreeSet<i32> = (0..count.unwrap_or_default() as i32).collect();
    for member in group.members {
        for assigned in member.assignment.unwrap_or_default() {
            if assigned.topic_name == config.topic {
                orphans.retain(|partition| !assigned.partitions.contains(partition));
            }
        }
    }
    Ok(orphans)
}

/// Makes the member join once more, which makes a round for the whole group. krafka does that when its subscription
/// changes, and has no other call for it: so it changes, and changes back before anything is sent.
pub(super) async fn rejoin(consumer: &Consumer, topic: &str) {
    // A member without partitions would join at once, with the topic named twice.
    if consumer.assignment().await.is_empty() {
        return;
    }
    for topics in [&[topic, topic][..], &[topic]] {
        if let Err(error) = consumer.subscribe(topics).await {
            log::warn!("subscribing to {topic} failed: {error}");
        }
    }
    consumer.wakeup();
}
