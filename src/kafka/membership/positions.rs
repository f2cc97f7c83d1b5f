//! Where to read partitions from, as Kafka knows it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use krafka::Kafka;
use krafka::admin::ListConsumerGroupOffsetsOptions;
use krafka::consumer::TopicPartition;
use krafka::error::KrafkaError;

use crate::kafka::standing::EARLIEST;
use crate::message::{PartitionId, Topics};
use crate::settings::AutoOffsetReset;

/// Where to read a partition from.
pub(super) struct Position {
    pub partition: PartitionId,
    pub offset: i64,
    /// What was committed along with the offset.
    pub metadata: String,
    pub leader_epoch: Option<i32>,
}

/// What the group has committed.
pub(super) struct Committed {
    pub known: Vec<Position>,
    /// The partitions of which it has committed nothing.
    pub new: Vec<PartitionId>,
    /// Why some are in neither, if any are.
    pub failed: Option<String>,
}

/// Asks for what the group has committed of partitions.
///
/// # Errors
/// When Kafka says nothing of any.
pub(super) async fn committed(
    kafka: &Kafka,
    group: &str,
    topics: &Topics,
    partitions: &[PartitionId],
) -> Result<Committed, KrafkaError> {
    let of = |p: &PartitionId| TopicPartition::new(topics.name(p.topic), p.index);
    let options =
        ListConsumerGroupOffsetsOptions::default().partitions(partitions.iter().map(of).collect());
    let answer = kafka
        .admin()
        .list_consumer_group_offsets(group, options)
        .await?;
    let mut committed = Committed {
        known: Vec::new(),
        new: Vec::new(),
        failed: None,
    };
    for &partition in partitions {
        let stored = match answer.get(&of(&partition)) {
            Some(Ok(stored)) => Some(stored),
            Some(Err(error)) => {
                committed.failed = Some(error.to_string());
                continue;
            }
            None => None,
        };
        let known = stored.and_then(|stored| {
            Some(Position {
                partition,
                offset: stored.offset?,
                metadata: stored.metadata.clone().unwrap_or_default(),
                leader_epoch: stored.leader_epoch,
            })
        });
        match known {
            Some(position) => committed.known.push(position),
            None => committed.new.push(partition),
        }
    }
    Ok(committed)
}

/// From when on to read where the group has committed nothing, in a process that `started` then: what [`Asker::find`] takes.
///
/// Late means: behind the start of the process, not behind the last record of this moment. So a partition that is added
/// later is read from its first record on.
///
/// [`Asker::find`]: crate::kafka::standing::Asker::find
pub fn beginning(reset: AutoOffsetReset, started: SystemTime) -> i64 {
    let before = match reset {
        AutoOffsetReset::Earliest => return EARLIEST,
        AutoOffsetReset::Latest => Duration::ZERO,
        AutoOffsetReset::ByDuration(time) => time,
    };
    let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let from = since.saturating_sub(before).as_millis();
    i64::try_from(from).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_behind_the_start_of_the_process() {
        let started = UNIX_EPOCH + Duration::from_secs(10_000);
        let from = |reset| beginning(reset, started);
        assert_eq!(from(AutoOffsetReset::Earliest), EARLIEST);
        let late = 10_000_000;
        assert_eq!(from(AutoOffsetReset::Latest), late);
        let hour = AutoOffsetReset::ByDuration(Duration::from_secs(3_600));
        assert_eq!(from(hour), 6_400_000);
        let ever = AutoOffsetReset::ByDuration(Duration::MAX);
        assert_eq!(from(ever), 0);
    }
}
