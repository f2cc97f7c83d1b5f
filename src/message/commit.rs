//! Commits of offsets, and what became of them.

use super::PartitionId;

/// One partition's offset to commit: the next one to read, and the map of what is finished above it and what Comets miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub partition: PartitionId,
    pub offset: i64,
    /// Of the leader under which the offset was seen to be in the log. Where the log is cut, it tells the next owner.
    pub leader_epoch: Option<i32>,
    pub metadata: String,
}

/// What became of a commit. Kafka answers for each partition by itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CommitOutcome {
    /// As Kafka took it: the map may be shorter than it was asked to take, and the offset lower.
    pub taken: Vec<Commit>,
    /// Why the rest was not taken.
    pub failed: Option<Failure>,
    /// The longest map, in bytes, where Kafka refused longer ones.
    pub map_len: Option<usize>,
}

/// Why Kafka didn't take a commit: for the log, what came back, and from which address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It doesn't know this member any longer: its partitions may be another's.
    NotMember(String),
    /// It has this member in a later epoch, of which the member hears with its next heartbeat.
    OldEpoch(String),
    Other(String),
}

impl Failure {
    /// What came back.
    pub fn why(&self) -> &str {
        let (Failure::NotMember(why) | Failure::OldEpoch(why) | Failure::Other(why)) = self;
        why
    }
}

impl CommitOutcome {
    pub fn failed(failure: Failure) -> Self {
        Self {
            failed: Some(failure),
            ..Self::default()
        }
    }
}
