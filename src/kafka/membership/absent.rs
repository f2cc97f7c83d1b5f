//! Topics of a list that are not there, or that we may not read: each is said once, and the others are read meanwhile.

use std::collections::BTreeSet;

use krafka::Kafka;
use krafka::consumer::Consumer;

use super::connect::why_unreadable;
use crate::base::text::counted;
use crate::kafka::Cluster;
use crate::message::TopicId;
use crate::settings::Config;

/// Which topics are absent, as said last.
#[derive(Default)]
pub(super) struct Absent(BTreeSet<TopicId>);

impl Absent {
    /// Says which topics came or went since the last look. A single topic is not looked for: without it there is no
    /// membership, and whoever reads it says so.
    pub(super) async fn look(&mut self, kafka: &Kafka, consumer: &Consumer, config: &Config) {
        if !config.topics.are_several() {
            return;
        }
        for topic in config.topics.ids() {
            let name = config.topics.name(topic);
            // Where nobody answers, another look says so.
            let Ok(known) = consumer.fetch_metadata(Some(name)).await else {
                return;
            };
            let partitions: usize = known.topics.iter().map(|t| t.partitions.len()).sum();
            if partitions > 0 {
                if self.0.remove(&topic) {
                    let partitions = counted(partitions as u64, "partition");
                    log::info!("topic {name} is there by now, and has {partitions}");
                }
            } else if !self.0.contains(&topic)
                // What is to be allowed is of this topic alone.
                && let Some(why) =
                    why_unreadable(kafka, &Cluster::of(&config.of_topic(name)), name).await
            {
                log::error!(
                    "{why}. The other topics are read, and topic {name} within seconds of being there"
                );
                self.0.insert(topic);
            }
        }
    }
}
