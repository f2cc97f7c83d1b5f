//! How the logs of partitions stand in Kafka, and what is asked about them.

use super::PartitionId;

/// Tells one topic from another of the same name: a checksum of its id. Two topics have the same one in four billion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicTag(pub u32);

impl TopicTag {
    /// `None` where the broker gives no ids.
    pub fn of(id: &[u8; 16]) -> Option<TopicTag> {
        let is_given = *id != [0; 16];
        is_given.then(|| TopicTag(crc32fast::hash(id)))
    }
}

/// A partition, and what was known of its log so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub partition: PartitionId,
    pub topic: Option<TopicTag>,
    pub leader_epoch: Option<i32>,
    /// Whether its leader is asked in any case.
    pub thorough: bool,
}

/// How a partition's log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `None` where the broker doesn't say.
    pub topic: Option<TopicTag>,
    pub leader_epoch: Option<i32>,
    /// `None` where nothing changed, or the leader can't say now.
    pub log: Option<Log>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub start: i64,
    pub end: i64,
    /// Where, in this log, what was written up to the leader epoch that was asked about ends. `None` where the leader
    /// doesn't know.
    pub epoch_end: Option<i64>,
}
