//! Where to read partitions from that were just assigned: asks until Kafka has said it of each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::positions;
use super::super::{RETRY_FIRST, RETRY_MOST, wait};
use super::{Listener, lock};
use crate::base::backoff::Retry;

impl Listener {
    /// Retries until Kafka says where to read the partitions from, and tells the group of each as soon as it does. Drops those
    /// that are no longer ours.
    pub(super) async fn find_positions(self: Arc<Self>, assignments: HashMap<i32, u64>) {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let mut left = assignments;
        loop {
            lock(&self.assignments).keep_current(&mut left);
            let partitions: Vec<i32> = left.keys().copied().collect();
            if partitions.is_empty() {
                return;
            }
            let why = match positions::committed(&self.kafka, &self.group, &self.topic, &partitions)
                .await
            {
                Ok(positions::Committed { known, new, failed }) => {
                    self.found(&mut left, known).await;
                    // What is asked of one broker doesn't wait for another.
                    let mut rest = left.clone();
                    rest.retain(|partition, _| new.contains(partition));
                    if !rest.is_empty() {
                        tokio::spawn(self.clone().find_beginning(rest));
                    }
                    left.retain(|partition, _| !new.contains(partition));
                    failed
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = why {
                let group = &self.group;
                let why = format!("asking for the offsets of group {group} failed: {why}");
                wait(&mut retry, &why).await;
            }
        }
    }

    /// Retries until the leaders say where to begin in partitions for which the group has committed nothing.
    async fn find_beginning(self: Arc<Self>, assignments: HashMap<i32, u64>) {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let mut left = assignments;
        loop {
            lock(&self.assignments).keep_current(&mut left);
            if left.is_empty() {
                return;
            }
            let mut asking = JoinSet::new();
            for partitions in self.by_leader(left.keys().copied()).await {
                let (kafka, topic) = (self.kafka.clone(), self.topic.clone());
                let beginning = self.beginning;
                asking.spawn(async move {
                    positions::begin(&kafka, &topic, &partitions, beginning).await
                });
            }
            let mut failed = BTreeMap::new();
            while let Some(asked) = asking.join_next().await {
                let Ok((found, without)) = asked else {
                    continue;
                };
                self.found(&mut left, found).await;
                failed.extend(without);
            }
            let Some(why) = failed.values().next() else {
                continue;
            };
            let partitions: Vec<i32> = failed.keys().copied().collect();
            let why = format!(
                "partitions {partitions:?} of {} can't be read yet, as nobody says where they begin: {why}",
                self.topic
            );
            let wait = retry.failed(&why, |why| {
                log::warn!("{why}. The others are read, and these as soon as they can be");
            });
            tokio::time::sleep(wait).await;
        }
    }

    /// The partitions, those of one leader together, as far as that is known.
    async fn by_leader(&self, partitions: impl Iterator<Item = i32>) -> Vec<Vec<i32>> {
        let topics = match self.consumer.get() {
            Some(consumer) => consumer.fetch_metadata(Some(&self.topic)).await,
            None => return vec![partitions.collect()],
        };
        let topics = topics.map(|metadata| metadata.topics).unwrap_or_default();
        let topic = topics.first();
        let mut by_leader: BTreeMap<Option<i32>, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            let leader = topic.and_then(|topic| Some(topic.partition(partition)?.leader));
            by_leader.entry(leader).or_default().push(partition);
        }
        by_leader.into_values().collect()
    }
}
