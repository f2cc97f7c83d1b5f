//! Another group that reads the topic: the one, perhaps, that this one takes over from.

use std::collections::HashMap;

use super::group::all;
use crate::kafka::COMMAND_TIMEOUT;
use crate::kafka::client::{Kafka, ListConsumerGroupOffsetsOptions, ListConsumerGroupsOptions};
use crate::settings::Config;

/// How many groups are asked, each about its own offsets. A cluster may have thousands, most of other topics.
const ASKED: usize = 1_000;

/// The group of consumers that has committed the most of the topic, beside the one of `config`. None where there is none, or where
/// this user may not ask.
pub(super) async fn find(config: &Config, kafka: &Kafka, partitions: usize) -> Option<String> {
    let mut best: Option<(i64, String)> = None;
    let asking = async {
        for group in groups(kafka).await {
            if group == config.group {
                continue;
            }
            let committed = committed(config, kafka, partitions, &group).await;
            if committed > best.as_ref().map_or(0, |(most, _)| *most) {
                best = Some((committed, group));
            }
        }
    };
    // What was found until then counts.
    let _ = tokio::time::timeout(COMMAND_TIMEOUT, asking).await;
    best.map(|(_, group)| group)
}

async fn groups(kafka: &Kafka) -> Vec<String> {
    let options = ListConsumerGroupsOptions::default().timeout(COMMAND_TIMEOUT);
    let listed = kafka.admin().list_consumer_groups(options).await;
    let of_brokers = listed.into_iter().flat_map(HashMap::into_values);
    let groups = of_brokers.flatten().flatten();
    // A group whose offsets were set by a tool, and which nobody has joined, has no type.
    let groups = groups.filter(|group| ["", "consumer"].contains(&group.protocol_type.as_str()));
    groups.map(|group| group.group_id).take(ASKED).collect()
}

/// The sum of the offsets that a group has committed in the topic.
async fn committed(config: &Config, kafka: &Kafka, partitions: usize, group: &str) -> i64 {
    let options = ListConsumerGroupOffsetsOptions::default()
        .partitions(all(config, partitions))
        .timeout(COMMAND_TIMEOUT);
    let admin = kafka.admin();
    let Ok(stored) = admin.list_consumer_group_offsets(group, options).await else {
        return 0;
    };
    let offsets = stored.into_values().flatten();
    offsets.filter_map(|stored| stored.offset).sum()
}
