//! Where to read partitions from, as Kafka knows it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use krafka::Kafka;
use krafka::admin::{ListConsumerGroupOffsetsOptions, ListOffsetsOptions, OffsetSpec};
use krafka::consumer::TopicPartition;
use krafka::error::KrafkaError;

use crate::settings::AutoOffsetReset;

/// How long a broker may take to say where to begin in its partitions.
///
/// krafka 0.28.1 retries for so long where one partition has no leader, and holds the answers of the others back. One sees
/// it where one of two brokers is down. So `by_leader` asks for those of one leader together, and
/// this is short. Once krafka returns what it has, ask for all at once.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to read a partition from.
pub struct Position {
    pub partition: i32,
    pub offset: i64,
    /// What was committed along with the offset.
    pub metadata: String,
    pub leader_epoch: Option<i32>,
}

/// What the group has committed.
pub(super) struct Committed {
    pub known: Vec<Position>,
    /// The partitions of which it has committed nothing.
    pub new: Vec<i32>,
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
    topic: &str,
    partitions: &[i32],
) -> Result<Committed, KrafkaError> {
    let of = |p: &i32| TopicPartition::new(topic, *p);
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

/// Where to begin in a partition of which the group has committed nothing, in a process that `started` then.
///
/// Late means: behind the start of the process, not behind the last record of this moment. So a partition that is added
/// later is read from its first record on.
pub fn beginning(reset: AutoOffsetReset, started: SystemTime) -> OffsetSpec {
    let before = match reset {
        AutoOffsetReset::Earliest => return OffsetSpec::Earliest,
        AutoOffsetReset::Latest => Duration::ZERO,
        AutoOffsetReset::ByDuration(time) => time,
    };
    let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let from = since.saturating_sub(before).as_millis();
    OffsetSpec::Timestamp(i64::try_from(from).unwrap_or(i64::MAX))
}

/// Where `beginning` is in each partition; and why that isn't known, by partition.
pub async fn begin(
    kafka: &Kafka,
    topic: &str,
    partitions: &[i32],
    beginning: OffsetSpec,
) -> (Vec<Position>, Vec<(i32, String)>) {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    let mut without = list(kafka, topic, partitions, beginning, &mut found, &mut failed).await;
    if !without.is_empty() {
        // No record is so new.
        let end = OffsetSpec::Latest;
        without = list(kafka, topic, &without, end, &mut found, &mut failed).await;
    }
    let unknown = without
        .into_iter()
        .map(|p| (p, "its leader names no end of it".into()));
    failed.extend(unknown);
    (found, failed)
}

/// Asks where `spec` is. Returns the partitions that have no such place.
async fn list(
    kafka: &Kafka,
    topic: &str,
    partitions: &[i32],
    spec: OffsetSpec,
    found: &mut Vec<Position>,
    failed: &mut Vec<(i32, String)>,
) -> Vec<i32> {
    let wanted = partitions
        .iter()
        .map(|&p| (TopicPartition::new(topic, p), spec));
    let options = ListOffsetsOptions::default().timeout(BEGIN_TIMEOUT);
    let answer = match kafka.admin().list_offsets(wanted, options).await {
        Ok(answer) => answer,
        Err(error) => {
            let why = error.to_string();
            failed.extend(partitions.iter().map(|&p| (p, why.clone())));
            return Vec::new();
        }
    };
    let mut without = Vec::new();
    for (of, listed) in answer {
        match listed {
            Ok(listed) if listed.offset < 0 => without.push(of.partition),
            Ok(listed) => found.push(Position {
                partition: of.partition,
                offset: listed.offset,
                metadata: String::new(),
                leader_epoch: None,
            }),
            Err(error) => failed.push((of.partition, error.to_string())),
        }
    }
    without
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_behind_the_start_of_the_process() {
        let started = UNIX_EPOCH + Duration::from_secs(10_000);
        let from = |reset| beginning(reset, started);
        assert_eq!(from(AutoOffsetReset::Earliest), OffsetSpec::Earliest);
        let late = OffsetSpec::Timestamp(10_000_000);
        assert_eq!(from(AutoOffsetReset::Latest), late);
        let hour = AutoOffsetReset::ByDuration(Duration::from_secs(3_600));
        assert_eq!(from(hour), OffsetSpec::Timestamp(6_400_000));
        let ever = AutoOffsetReset::ByDuration(Duration::MAX);
        assert_eq!(from(ever), OffsetSpec::Timestamp(0));
    }
}
