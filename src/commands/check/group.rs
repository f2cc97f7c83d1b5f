//! Where the group stands in the topic, and what Comets miss of what counts as finished.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::Write;
use std::time::SystemTime;

use super::Report;
use crate::base::text::{counted, escape_first};
use crate::kafka::client::{
    ConsumerGroupLagOptions, DescribeConsumerGroupsOptions, ErrorCode, Kafka, KrafkaError,
    ListConsumerGroupOffsetsOptions, TopicPartition,
};
use crate::kafka::standing::{Asker, EARLIEST};
use crate::kafka::{COMMAND_TIMEOUT, Cluster, membership};
use crate::message::PartitionId;
use crate::message::offset_map;
use crate::settings::fleet::Source;
use crate::settings::{AutoOffsetReset, Config};

/// How many partitions are named.
const NAMED: usize = 8;

/// Where the group stands.
pub(super) struct Lag {
    members: u64,
    /// Messages that it has not committed.
    waiting: u64,
    /// Whether it has committed nothing, and nobody is in it.
    is_new: bool,
    /// Messages that are there, of which a new group that begins at the end sends none.
    skipped: u64,
    /// Partitions whose waiting messages are not counted.
    uncounted: Vec<PartitionId>,
    /// Why not, if anybody said it.
    why: Option<String>,
}

impl Lag {
    /// Whether it would send messages now that are there already.
    pub(super) fn is_new_with_messages(&self) -> bool {
        self.is_new && self.waiting > 0
    }

    /// What a new group would never send. None where there is nothing.
    pub(super) fn skipped(&self) -> Option<String> {
        (self.is_new && self.skipped > 0).then(|| counted(self.skipped, "message"))
    }

    pub(super) fn waiting(&self) -> String {
        counted(self.waiting, "message")
    }

    /// Names the partitions that are not counted, and says why. None where all are counted.
    pub(super) fn uncounted(&self) -> Option<String> {
        let why = self.why.as_deref().unwrap_or("Kafka says nothing of them");
        let partitions = &self.uncounted;
        (!partitions.is_empty()).then(|| {
            format!("Messages in partitions {partitions:?} are not counted, as nobody says where they begin: {why}")
        })
    }

    pub(super) fn in_words(&self, reset: AutoOffsetReset) -> String {
        let waiting = self.waiting();
        if !self.is_new {
            let members = counted(self.members, "member");
            return format!("{members} now, {waiting} waiting (LAG)");
        }
        match reset {
            AutoOffsetReset::Earliest => {
                format!("new; it starts at the earliest record, {waiting} waiting")
            }
            AutoOffsetReset::Latest => "new; it starts at what is written from then on".to_owned(),
            AutoOffsetReset::ByDuration(time) => {
                format!("new; it starts at records of the last {time:?}, {waiting} waiting")
            }
        }
    }
}

/// Where the group stands; `Err` inside for a group that isn't one of consumers: its kind.
pub(super) async fn lag(
    config: &Config,
    cluster: &Cluster,
    kafka: &Kafka,
    partitions: usize,
) -> Result<Result<Lag, String>, KrafkaError> {
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
    let ids: Vec<_> = all
        .iter()
        .map(|of| PartitionId::of_first(of.partition))
        .collect();
    let beginning = membership::beginning(config.auto_offset_reset, SystemTime::now());
    let mut asker = Asker::new(cluster.clone(), config.topics.clone());
    let found = asker.find(&ids, beginning).await;
    let (begin, why) = found.unwrap_or_else(|why| (BTreeMap::new(), Some(why)));
    let first = match config.auto_offset_reset {
        AutoOffsetReset::Latest => asker.find(&ids, EARLIEST).await,
        AutoOffsetReset::Earliest | AutoOffsetReset::ByDuration(_) => Err(String::new()),
    };
    let first = first.map_or_else(|_| BTreeMap::new(), |(first, _)| first);
    let options = ConsumerGroupLagOptions::default()
        .timeout(COMMAND_TIMEOUT)
        .partitions(all);
    let lags = admin.consumer_group_lag(&config.group, options).await?;

    let (mut waiting, mut skipped, mut known) = (0, 0, false);
    let mut uncounted = Vec::new();
    for (of, lag) in lags {
        let lag = lag?;
        known |= lag.committed_offset.is_some();
        let id = PartitionId::of_first(of.partition);
        if let Some(first) = first.get(&id) {
            skipped += u64::try_from(lag.end_offset - first).unwrap_or(0);
        }
        match lag.committed_offset.or(begin.get(&id).copied()) {
            Some(from) => waiting += u64::try_from(lag.end_offset - from).unwrap_or(0),
            None => uncounted.push(id),
        }
    }
    uncounted.sort_unstable();
    Ok(Ok(Lag {
        members,
        waiting,
        is_new: !known && members == 0,
        skipped,
        uncounted,
        why,
    }))
}

/// What a Comet misses in the partitions of the topic.
#[derive(Default)]
struct Missed {
    messages: u64,
    partitions: Vec<PartitionId>,
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
            missed.partitions.push(PartitionId::of_first(of.partition));
        }
    }
    for (comet, mut missed) in missed {
        missed.partitions.sort_unstable();
        let lists = |source: &Source| match source {
            Source::Node(node) => node.is_called(&comet).then_some(true),
            Source::File(_) | Source::Dns { .. } | Source::Discovery(_) => Some(false),
        };
        let what = match config.comet.iter().filter_map(lists).max() {
            Some(true) => {
                "It gets them when it is back, as far as catch-up allows. LAG doesn't count them"
            }
            Some(false) => {
                "It gets them when it is back, as far as catch-up allows, if it is still listed. LAG doesn't count them"
            }
            None => "It is not in comet (--comet, JOB_COMET): it does not get them",
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
        let named = self
            .partitions
            .iter()
            .take(NAMED)
            .map(PartitionId::to_string);
        let named = named.collect::<Vec<_>>().join(", ");
        match self.partitions.len() {
            1 => write!(f, " of partition {named}"),
            count if count <= NAMED => write!(f, " of partitions {named}"),
            count => write!(f, " of {count} partitions ({named} …)"),
        }
    }
}

pub(super) fn all(config: &Config, partitions: usize) -> Vec<TopicPartition> {
    (0..)
        .take(partitions)
        .map(|index| TopicPartition::new(config.topics.first(), index))
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
                partitions: partitions.into_iter().map(PartitionId::of_first).collect(),
            };
            assert_eq!(missed.to_string(), words);
        }
    }
}
