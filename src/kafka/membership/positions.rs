//! Where to read partitions from, as Kafka knows it.

use std::time::Duration;

use krafka::Kafka;
use krafka::admin::{ListConsumerGroupOffsetsOptions, ListOffsetsOptions, OffsetSpec};
use krafka::consumer::TopicPartition;
use krafka::error::KrafkaError;

/// How long a broker may take to say where its partitions begin.
///
/// krafka 0.28.1 retries for so long where one partition has no leader, and holds the answers of the others back. One sees
/// it where one of two brokers is down. So `by_leader` asks for those of one leader together, and
/// this is short. Once krafka returns what it has, ask for all at once.
const EARLIEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to read a partition from.
pub(super) struct Position {
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

/// Where partitions begin; and why that isn't known, by partition.
pub(super) async fn earliest(
    kafka: &Kafka,
    topic: &str,
    partitions: &[i32],
) -> (Vec<Position>, Vec<(i32, String)>) {
    let wanted = partitions
        .iter()
        .map(|&p| (TopicPartition::new(topic, p), OffsetSpec::Earliest));
    let options = ListOffsetsOptions::default().timeout(EARLIEST_TIMEOUT);
    let answer = match kafka.admin().list_offsets(wanted, options).await {
        Ok(answer) => answer,
        Err(error) => {
            let why = error.to_string();
            let failed = partitions.iter().map(|&p| (p, why.clone()));
            return (Vec::new(), failed.collect());
        }
    };
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for (of, listed) in answer {
        match listed {
            Ok(listed) => found.push(Position {
                partition: of.partition,
                offset: listed.offset,
                metadata: String::new(),
                leader_epoch: None,
            }),
            Err(error) => failed.push((of.partition, error.to_string())),
        }
    }
    (found, failed)
}
