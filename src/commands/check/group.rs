//! Where the group stands in the topic, and what Comets miss of what counts as finished.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::Write;

use super::Report;
use crate::base::text::{counted, escape_first};
use crate::kafka::COMMAND_TIMEOUT;
use crate::kafka::client::{
    ConsumerGroupLagOptions, DescribeConsumerGroupsOptions, ErrorCode, Kafka, KrafkaError,
    ListConsumerGroupOffsetsOptions, ListOffsetsOptions, OffsetSpec, TopicPartition,
};
use crate::message::offset_map;
use crate::settings::Config;

/// How many partitions are named.
const NAMED: usize = 8;

/// Where the group stands; `Err` inside for a group that isn't one of consumers.
pub(super) async fn lag(
    config: &Config,
    kafka: &Kafka,
    partitions: usize,
) -> Result<Result<String, String>, KrafkaError> {
    let admin = kafka.admin();
    let options = DescribeConsumerGroupsOptions::default().timeout(COMMAND_TIMEOUT);
    let described = admin
        .describe_consumer_groups([&config.group], options)
        .await?;
    let members = match described.into_values().next() {
        Some(Ok(group)) => {
            if let Some(kind) = group
                .protocol_type
                .filter(|kind| !["", "consumer"].contains(&kind.as_str()))
            {
                return Ok(Err(kind));
            }
            group.members.len() as u64
        }
        // Before Kafka 4.0 a group that isn't there is described as "Dead", later as an error.
        Some(Err(KrafkaError::Broker {
            code: ErrorCode::GroupIdNotFound,
            ..
        }))
        | None => 0,
        Some(Err(error)) => return Err(error),
    };

    let all = all(config, partitions);
    let earliest = all
        .iter()
        .map(|partition| (partition.clone(), OffsetSpec::Earliest));
    let earliest = admin
        .list_offsets(
            earliest,
            ListOffsetsOptions::default().timeout(COMMAND_TIMEOUT),
        )
        .await?;
    let options = ConsumerGroupLagOptions::default()
        .timeout(COMMAND_TIMEOUT)
        .partitions(all);
    let lags = admin.consumer_group_lag(&config.group, options).await?;

    let (mut waiting, mut known) = (0, false);
    for (partition, lag) in lags {
        let lag = lag?;
        known |= lag.committed_offset.is_some();
        let from = match (lag.committed_offset, earliest.get(&partition)) {
            (Some(offset), _) => offset,
            (None, Some(Ok(earliest))) => earliest.offset,
            (None, Some(Err(error))) => return Err(error.clone()),
            (None, None) => lag.end_offset,
        };
        waiting += u64::try_from(lag.end_offset - from).unwrap_or(0);
    }
    let waiting = counted(waiting, "message");
    Ok(Ok(match (known, members) {
        (false, 0) => format!("new; it starts at the earliest record, {waiting} waiting"),
        _ => format!(
            "{} now, {waiting} waiting (LAG)",
            counted(members, "member")
        ),
    }))
}

/// What a Comet misses in the partitions of the topic.
#[derive(Default)]
struct Missed {
    messages: u64,
    partitions: Vec<i32>,
}

/// Names each Comet that misses messages. Its messages count as finished, so LAG says nothing of them.
pub(super) async fn report_missed<W: Write>(
    config: &Config,
    kafka: &Kafka,
    partitions: usize,
    report: &mut Report<W>,
) {
    let options = ListConsumerGroupOffsetsOptions::default().partitions(all(config, partitions));
    let admin = kafka.admin();
    let stored = match admin
        .list_consumer_group_offsets(&config.group, options)
        .await
    {
        Ok(stored) => stored,
        Err(error) => {
            return report.detail(format_args!("What Comets miss is not known: {error}"));
        }
    };
    let mut missed: BTreeMap<String, Missed> = BTreeMap::new();
    for (of, stored) in stored {
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                let partition = of.partition;
                report.detail(format_args!(
                    "What Comets miss in partition {partition} is not known: {error}"
                ));
                continue;
            }
        };
        let (Some(offset), Some(text)) = (stored.offset, stored.metadata) else {
            continue;
        };
        // The service says why it can't read a map, and begins at the offset alone.
        for (comet, offsets) in offset_map::decode(offset, &text)
            .unwrap_or_default()
            .missing
        {
            let missed = missed.entry(comet).or_default();
            missed.messages += offsets.count();
            missed.partitions.push(of.partition);
        }
    }
    for (comet, mut missed) in missed {
        missed.partitions.sort_unstable();
        let what = if config.comet.contains(&comet) {
            "It gets them when it is back, as far as catch-up allows. LAG doesn't count them"
        } else {
            "It is not in comet (--comet, JOB_COMET): it does not get them"
        };
        report.uncertain(
            format_args!("Comet {}", escape_first(comet.as_bytes(), 200)),
            // An offset may belong to a transaction's marker, or be gone.
            format_args!("misses up to {missed}"),
            what,
        );
    }
}

impl Display for Missed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", counted(self.messages, "message"))?;
        let named = self.partitions.iter().take(NAMED).map(i32::to_string);
        let named = named.collect::<Vec<_>>().join(", ");
        match self.partitions.len() {
            1 => write!(f, " of partition {named}"),
            count if count <= NAMED => write!(f, " of partitions {named}"),
            count => write!(f, " of {count} partitions ({named} …)"),
        }
    }
}

fn all(config: &Config, partitions: usize) -> Vec<TopicPartition> {
    (0..)
        .take(partitions)
        .map(|index| TopicPartition::new(&config.topic, index))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_in_words() {
        for (messages, partitions, words) in [
            (1, vec![3], "1 message of partition 3"),
            (20, vec![0, 3], "20 messages of partitions 0, 3"),
            (
                2_000,
                (0..12).collect(),
                "2000 messages of 12 partitions (0, 1, 2, 3, 4, 5, 6, 7 …)",
            ),
        ] {
            let missed = Missed {
                messages,
                partitions,
            };
            assert_eq!(missed.to_string(), words);
        }
    }
}
