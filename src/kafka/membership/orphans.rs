//! Partitions that nobody has: those that the group's protocol forgot, and those that were added to the topic.
//!
//! The cooperative protocol hands a partition over in two rounds: its owner lets go, and joins once more so that it is given
//! to another. A static member that starts anew in between joins without a round, so nobody gets what it let go. Kafka
//! sees a stable group, and nobody reads that partition until something else makes a round.
//!
//! Likewise nothing makes a round when partitions are added: the group's leader gives out those that it knows of when
//! there is one. So each member keeps its knowledge of the topic fresh: any of them may be the leader.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use krafka::Kafka;
use krafka::admin::DescribeConsumerGroupsOptions;
use krafka::consumer::Consumer;
use krafka::error::KrafkaError;

use super::HEARTBEAT;
use crate::base::backoff::Outage;
use crate::kafka::Trouble;
use crate::settings::Config;

/// Longer than krafka takes for true what it knows of a topic: each look asks a broker.
const LOOK_EVERY: Duration = Duration::from_secs(3);
const _: () = assert!(LOOK_EVERY.as_secs() > crate::kafka::METADATA_AGE.as_secs());

/// How long a broker may take to say who is in the group.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A partition that is being handed over has no owner for so long, beside the time of the hand-over itself.
const BESIDE_HAND_OVER: Duration = Duration::from_secs(2);
const _: () = assert!(
    BESIDE_HAND_OVER.as_millis() > HEARTBEAT.as_millis(),
    "a partition would be taken for forgotten before its next owner has heard of it"
);

/// So often a round is asked for at once where a partition is new: with the first one the leader may not know of it yet.
const AT_ONCE: u32 = 3;

/// While a look fails, that is said this often.
const SAY_EVERY: Duration = Duration::from_secs(3_600);

/// Looks, now and then, whether each partition has an owner, and asks for a round where one has none for long.
pub(super) async fn watch(kafka: Kafka, consumer: Arc<Consumer>, config: Config) {
    let mut patience = Patience::new(config.shutdown_timeout + BESIDE_HAND_OVER);
    let mut outage = Outage::new(SAY_EVERY, SAY_EVERY);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let seen = match look(&kafka, &consumer, &config).await {
            Ok(seen) => {
                say_works(&mut outage, &config);
                seen
            }
            Err(error) => {
                say_failed(&mut outage, &config, &error);
                None
            }
        };
        let Some(seen) = seen else {
            // A round changes it, or it can't be seen now.
            patience.since = None;
            continue;
        };
        match patience.look(&seen, Instant::now()) {
            None => continue,
            Some(Why::Added) => log::info!(
                "topic {} has {} partitions by now, of which {:?} have no owner: asking for a rebalance",
                config.topic,
                seen.all.len(),
                seen.orphans
            ),
            Some(Why::Forgotten) => log::warn!(
                "partitions {:?} of {} have no owner, though group {} is stable: asking for a rebalance",
                seen.orphans,
                config.topic,
                config.group
            ),
        }
        rejoin(&consumer, &config.topic).await;
    }
}

fn say_failed(outage: &mut Outage, config: &Config, error: &KrafkaError) {
    if outage.failed(Instant::now()) {
        log::warn!(
            "asking who of group {} has which partition of {} failed: {}. Until it works, a partition without an owner \
             goes unnoticed and isn't read",
            config.group,
            config.topic,
            Trouble::new(&config.brokers, error)
        );
    }
}

fn say_works(outage: &mut Outage, config: &Config) {
    if let Some(lasted) = outage.worked(Instant::now()) {
        log::info!(
            "asking who of group {} has which partition of {} works again, after {:.0} s",
            config.group,
            config.topic,
            lasted.as_secs_f64()
        );
    }
}

/// The topic in a stable group.
#[derive(Default)]
struct Seen {
    all: BTreeSet<i32>,
    /// Those that nobody has.
    orphans: BTreeSet<i32>,
}

/// Why a round is needed.
#[derive(Debug, PartialEq, Eq)]
enum Why {
    Added,
    Forgotten,
}

/// For how long partitions may be without an owner.
struct Patience {
    hand_over: Duration,
    /// The partitions that there were when each had an owner.
    known: Option<BTreeSet<i32>>,
    since: Option<Instant>,
    asked: u32,
}

impl Patience {
    fn new(hand_over: Duration) -> Self {
        Self {
            hand_over,
            known: None,
            since: None,
            asked: 0,
        }
    }

    fn look(&mut self, seen: &Seen, now: Instant) -> Option<Why> {
        if seen.orphans.is_empty() {
            *self = Self {
                known: Some(seen.all.clone()),
                ..Self::new(self.hand_over)
            };
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let is_new = self
            .known
            .as_ref()
            .is_some_and(|known| seen.orphans.is_disjoint(known));
        let why = match is_new && self.asked < AT_ONCE {
            true => Why::Added,
            false if now.duration_since(since) >= self.hand_over => Why::Forgotten,
            false => return None,
        };
        self.asked += 1;
        self.since = None;
        Some(why)
    }
}

/// Who has what; nothing while a round runs, which is about to change it.
async fn look(
    kafka: &Kafka,
    consumer: &Consumer,
    config: &Config,
) -> Result<Option<Seen>, KrafkaError> {
    let topic = consumer.fetch_metadata(Some(&config.topic)).await?;
    let options = DescribeConsumerGroupsOptions::default().timeout(ANSWER_WITHIN);
    let group = kafka
        .admin()
        .describe_consumer_groups([&config.group], options)
        .await?
        .remove(&config.group);
    let Some(group) = group.transpose()? else {
        return Ok(None);
    };
    if group.state != "Stable" {
        return Ok(None);
    }
    let all: BTreeSet<i32> = topic
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.keys().copied())
        .collect();
    let mut orphans = all.clone();
    for member in group.members {
        for assigned in member.assignment.unwrap_or_default() {
            if assigned.topic_name == config.topic {
                orphans.retain(|partition| !assigned.partitions.contains(partition));
            }
        }
    }
    Ok(Some(Seen { all, orphans }))
}

/// Makes the member join once more, which makes a round for the whole group. krafka does that when its subscription
/// changes, and has no other call for it: so it changes, and changes back before anything is sent.
pub(super) async fn rejoin(consumer: &Consumer, topic: &str) {
    // A member without partitions would join at once, with the topic named twice.
    if consumer.assignment().await.is_empty() {
        return;
    }
    for topics in [&[topic, topic][..], &[topic]] {
        if let Err(error) = consumer.subscribe(topics).await {
            log::warn!("subscribing to {topic} failed: {error}");
        }
    }
    consumer.wakeup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(all: i32, orphans: &[i32]) -> Seen {
        Seen {
            all: (0..all).collect(),
            orphans: orphans.iter().copied().collect(),
        }
    }

    #[test]
    fn a_partition_that_was_owned_may_be_on_its_way() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut patience = Patience::new(Duration::from_secs(10));
        assert_eq!(patience.look(&seen(2, &[1]), at(0)), None);
        assert_eq!(patience.look(&seen(2, &[1]), at(9)), None);
        assert_eq!(patience.look(&seen(2, &[]), at(10)), None);
        assert_eq!(patience.look(&seen(2, &[0]), at(11)), None);
        assert_eq!(patience.look(&seen(2, &[0]), at(21)), Some(Why::Forgotten));
        assert_eq!(patience.look(&seen(2, &[0]), at(24)), None);
        // One of both kinds.
        assert_eq!(patience.look(&seen(3, &[0, 2]), at(27)), None);
    }

    #[test]
    fn a_partition_that_was_added_is_asked_for_at_once_and_not_for_ever() {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(10));
        assert_eq!(patience.look(&seen(1, &[]), start), None);
        for _ in 0..AT_ONCE {
            assert_eq!(patience.look(&seen(4, &[1, 2, 3]), start), Some(Why::Added));
        }
        assert_eq!(patience.look(&seen(4, &[1, 2, 3]), start), None);
        let later = start + Duration::from_secs(10);
        assert_eq!(
            patience.look(&seen(4, &[1, 2, 3]), later),
            Some(Why::Forgotten)
        );
        assert_eq!(patience.look(&seen(4, &[]), later), None);
        assert_eq!(patience.look(&seen(5, &[4]), later), Some(Why::Added));
    }
}
