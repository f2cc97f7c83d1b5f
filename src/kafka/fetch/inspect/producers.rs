//! Who writes to partitions: whether anybody did so in transactions.

use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::DescribeProducersRequest;
use kafka_protocol::messages::describe_producers_request::TopicRequest;

use super::{AROUND, Brokers, within};
use crate::message::{PartitionId, by_topic};

const DESCRIBE_PRODUCERS: i16 = 0;

impl Brokers {
    /// See [`Inspector::transactional`](super::Inspector::transactional).
    pub(super) async fn transactional(
        &mut self,
        partitions: &[PartitionId],
    ) -> Result<Option<PartitionId>, String> {
        for (leader, partitions) in self.by_leader(partitions).await? {
            let asked = by_topic(partitions.iter().map(|p| (p.topic, p.index)));
            let asked = asked.into_iter().map(|(topic, indexes)| {
                TopicRequest::default()
                    .with_name(self.topic(topic))
                    .with_partition_indexes(indexes)
            });
            let request = DescribeProducersRequest::default().with_topics(asked.collect());
            let connection = self.connection(&leader).await?;
            let asked = connection.ask_within(&request, DESCRIBE_PRODUCERS, AROUND);
            let answer = within(asked).await?;
            let all = answer.topics.iter();
            let all = all.flat_map(|topic| topic.partitions.iter().map(|p| (&topic.name, p)));
            for (topic, described) in all {
                let partition = self.topics.partition(topic, described.partition_index);
                let Some(partition) = partition else {
                    continue;
                };
                if let Some(code) = described.error_code.err() {
                    return Err(self.answered(&leader, code, partition));
                }
                // A coordinator epoch means that a transaction marker was written.
                let mut producers = described.active_producers.iter();
                if producers.any(|p| p.coordinator_epoch >= 0 || p.current_txn_start_offset >= 0) {
                    return Ok(Some(partition));
                }
            }
        }
        Ok(None)
    }
}
