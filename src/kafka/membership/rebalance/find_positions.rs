//! Where to read partitions from that were just assigned: asks until Kafka has said it of each.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::committer::ROUTINE;
use super::super::positions::{self, Position};
use super::super::{RETRY_FIRST, RETRY_MOST, wait};
use super::{Listener, lock};
use crate::base::backoff::Retry;
use crate::kafka::standing::EARLIEST;
use crate::message::{Commit, PartitionId};

impl Listener {
    /// Retries until Kafka says where to read the partitions from, and tells the group of each as soon as it does. Drops those
    /// that are no longer ours.
    pub(super) async fn find_positions(self: Arc<Self>, assignments: HashMap<PartitionId, u64>) {
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let mut left = assignments;
        loop {
            lock(&self.assignments).keep_current(&mut left);
            let partitions: Vec<PartitionId> = left.keys().copied().collect();
            if partitions.is_empty() {
                return;
            }
            let why =
                match positions::committed(&self.kafka, &self.group, &self.topics, &partitions)
                    .await
                {
                    Ok(positions::Committed { known, new, failed }) => {
                        self.found(&mut left, known).await;
                        // What the coordinator says of the others doesn't wait for the leaders.
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

    /// Commits where a new group begins, before anything is read: a process that ends right after the start would otherwise
    /// leave the next one to begin behind what was written meanwhile. The first record always is the same.
    async fn commit_beginning(&self, positions: &[Position]) {
        if self.beginning == EARLIEST || positions.is_empty() {
            return;
        }
        let commit = |position: &Position| Commit {
            partition: position.partition,
            offset: position.offset,
            leader_epoch: position.leader_epoch,
            metadata: position.metadata.clone(),
        };
        let commits: Vec<_> = positions.iter().map(commit).collect();
        if let Some(failure) = self.commit(&commits, ROUTINE).await.failed {
            log::warn!(
                "committing where group {} begins failed: {}. It is tried again with the next commit; if job ends before, it may \
                 begin later in the topic",
                self.group,
                failure.why()
            );
        }
    }

    /// Retries until the leaders say where to begin in partitions for which the group has committed nothing.
    async fn find_beginning(self: Arc<Self>, assignments: HashMap<PartitionId, u64>) {
        let mut new: Vec<PartitionId> = assignments.keys().copied().collect();
        new.sort_unstable();
        log::info!(
            topic:% = self.topics, group = self.group;
            "group {} has committed nothing of partitions {new:?} of {}: it begins there as auto-offset-reset says",
            self.group,
            self.topics
        );
        let mut retry = Retry::new(RETRY_FIRST, RETRY_MOST);
        let mut left = assignments;
        loop {
            lock(&self.assignments).keep_current(&mut left);
            if left.is_empty() {
                return;
            }
            let partitions: Vec<PartitionId> = left.keys().copied().collect();
            let asked = self
                .asker
                .lock()
                .await
                .find(&partitions, self.beginning)
                .await;
            let why = match asked {
                Ok((found, failed)) => {
                    let begin = |(partition, offset)| Position {
                        partition,
                        offset,
                        metadata: String::new(),
                        leader_epoch: None,
                    };
                    let begun: Vec<_> = found.into_iter().map(begin).collect();
                    self.commit_beginning(&begun).await;
                    self.found(&mut left, begun).await;
                    failed.unwrap_or_else(|| "Kafka says nothing of them".into())
                }
                Err(why) => why,
            };
            if left.is_empty() {
                return;
            }
            let mut partitions: Vec<PartitionId> = left.keys().copied().collect();
            partitions.sort_unstable();
            let why = format!(
                "partitions {partitions:?} of {} can't be read yet, as nobody says where they begin: {why}",
                self.topics
            );
            let wait = retry.failed(&why, |why| {
                log::warn!(cause = why; "{why}. The others are read, and these as soon as they can be");
            });
            tokio::time::sleep(wait).await;
        }
    }
}
