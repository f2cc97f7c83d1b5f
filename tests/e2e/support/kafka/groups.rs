//! A consumer group, as the broker knows it: its members, and what it has committed.

use std::collections::BTreeMap;

use chatroom_job::kafka::Cluster;
use chatroom_job::kafka::ask::{Connection, text};
use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use krafka::admin::{ConsumerGroupDescription, ConsumerGroupMember, GroupOffset};
use krafka::error::{ErrorCode, KrafkaError};

use super::Kafka;
use crate::support::runtime;

impl Kafka {
    /// What the group has committed for each partition of the topic; partitions without a commit are left out.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, GroupOffset> {
        runtime()
            .block_on(
                self.client
                    .admin()
                    .list_consumer_group_offsets(group, Default::default()),
            )
            .expect("Kafka answers")
            .into_iter()
            .filter(|(tp, _)| tp.topic == topic)
            .map(|(tp, offset)| {
                (
                    tp.partition,
                    offset.expect("the partition's commit can be read"),
                )
            })
            .filter(|(_, offset)| offset.offset.is_some())
            .collect()
    }

    /// Commits for partition 0 of a topic what a group had committed before. The group must have no members.
    pub fn commit(&self, group: &str, topic: &str, offset: GroupOffset) {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(offset.offset.expect("an offset"))
            .with_committed_leader_epoch(offset.leader_epoch.unwrap_or(-1))
            .with_committed_metadata(offset.metadata.as_deref().map(text));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(text(topic).into())
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(text(group).into())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let answer = runtime().block_on(async {
            let mut connection = Connection::open(&Cluster::plain(&[]), &self.address())
                .await
                .expect("Kafka is there");
            connection.ask(&request, 7).await.expect("Kafka answers")
        });
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }

    /// The group's members; none where there is no such group.
    pub fn members(&self, group: &str) -> Vec<ConsumerGroupMember> {
        self.describe(group)
            .map(|group| group.members)
            .unwrap_or_default()
    }

    /// The group's state, as Kafka names it; `Dead` where there is no such group.
    pub fn group_state(&self, group: &str) -> String {
        self.describe(group)
            .map_or_else(|| "Dead".into(), |group| group.state)
    }

    fn describe(&self, group: &str) -> Option<ConsumerGroupDescription> {
        let described = runtime()
            .block_on(
                self.client
                    .admin()
                    .describe_consumer_groups([group], Default::default()),
            )
            .expect("Kafka answers")
            .remove(group)
            .expect("an answer for this group");
        match described {
            Ok(description) => Some(description),
            Err(KrafkaError::Broker {
                code: ErrorCode::GroupIdNotFound,
                ..
            }) => None,
            Err(e) => panic!("the group can't be described: {e}"),
        }
    }
}
