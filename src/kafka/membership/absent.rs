//! Topics of a list that are not there, or that we may not read: each is said once, and the others are read meanwhile.

use std::collections::BTreeSet;

use krafka::Kafka;
use krafka::consumer::Consumer;

use super::connect::why_unreadable;
use super::visible;
use crate::base::text::counted;
use crate::kafka::Cluster;
use crate::message::TopicId;
use crate::settings::Config;

/// Which topics are absent, as said last.
#[derive(Default)]
pub(super) struct Absent {
    said: BTreeSet<TopicId>,
    /// What was asked for last, where that changes with what may be seen.
    asked_for: Option<Vec<String>>,
}

impl Absent {
    /// Says which topics came or went since the last look. A single topic is not looked for: without it there is no
    /// membership, and whoever reads it says so.
    pub(super) async fn look(&mut self, kafka: &Kafka, consumer: &Consumer, config: &Config) {
        if !config.topics.are_several() {
            return;
        }
        if visible::matters(config) {
            self.ask_for_what_is_seen(kafka, consumer, config).await;
        }
        for topic in config.topics.ids() {
            let name = config.topics.name(topic);
            let partitions: usize = match consumer.fetch_metadata(Some(name)).await {
                Ok(known) => known.topics.iter().map(|t| t.partitions.len()).sum(),
                Err(error) if visible::is_hidden(&error) => 0,
                // Where nobody answers, another look says so.
                Err(_) => return,
            };
            if partitions > 0 {
                if self.said.remove(&topic) {
                    let partitions = counted(partitions as u64, "partition");
                    log::info!("topic {name} is there by now, and has {partitions}");
                }
            } else if !self.said.contains(&topic)
                // What is to be allowed is of this topic alone.
                && let Some(why) =
                    why_unreadable(kafka, &Cluster::of(&config.of_topic(name)), name).await
            {
                log::error!(
                    "{why}. The other topics are read, and topic {name} within seconds of being there"
                );
                self.said.insert(topic);
            }
        }
    }

    /// Changes what the member asks for where a topic was hidden or allowed since.
    async fn ask_for_what_is_seen(&mut self, kafka: &Kafka, consumer: &Consumer, config: &Config) {
        let seen = visible::visible(kafka, config).await;
        let names: Vec<String> = seen.iter().map(|&name| name.to_owned()).collect();
        if self.asked_for.as_ref() == Some(&names) {
            return;
        }
        match consumer.subscribe(seen).await {
            Ok(()) => {
                consumer.wakeup();
                self.asked_for = Some(names);
            }
            Err(error) => log::debug!("asking for topics {names:?} failed: {error}"),
        }
    }
}
