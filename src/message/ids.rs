//! What names a topic, a partition, one that was assigned, a record, a Comet, a worker.

use std::fmt;

use super::topics;

/// A topic that the group reads: its place in the list of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u16);

/// A partition of a topic that the group reads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    pub topic: TopicId,
    /// Kafka's number for it.
    pub index: i32,
}

impl PartitionId {
    /// A partition of the first topic in the list, which often is the only one.
    pub const fn of_first(index: i32) -> Self {
        let topic = TopicId(0);
        Self { topic, index }
    }

    /// For what is printed; `None` before the topics' names are noted.
    pub fn topic_name(self) -> Option<&'static str> {
        topics::noted_name(self.topic)
    }
}

#[cfg(test)]
impl PartitionId {
    pub const FIRST: Self = Self::of_first(0);
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        topics::write_partition(*self, f)
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        topics::write_partition(*self, f)
    }
}

/// A partition, for as long as this process has it without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Assignment {
    pub partition: PartitionId,
    /// Counts the assignments of any partition. What was read under an earlier one no longer counts.
    pub epoch: u64,
}

/// A record: under which assignment it was read, and its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    pub assignment: Assignment,
    pub offset: i64,
}

/// A Comet of the fleet. The name stays the Comet's own for as long as this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CometId(pub u32);

/// One of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u32);
