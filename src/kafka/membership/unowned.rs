//! Unowned partitions: those that the group's protocol forgot, and those that were added to the topic.
//!
//! The cooperative protocol moves a partition in two rebalances: its owner releases it, and joins once more so that another
//! member gets it. A static member that restarts in between joins without a rebalance, so nobody gets what it released.
//! Kafka sees a stable group, and nobody reads that partition until something else causes a rebalance.
//!
//! # A fault of krafka 0.28.1
//!
//! While a member releases partitions, its heartbeats may begin the next join. That join still names them as owned, and krafka
//! forgets with its end that it has to join once more.
//!
//! - One sees it as a stable group in which nobody has what a member released, where one release was slower than another.
//! - Once krafka keeps that in mind, delete what is done with [`Releases`].
//!
//! Nothing causes one when partitions are added either: the group's leader assigns those that it knows of at the next
//! one. So each member keeps its knowledge of the topic fresh: any of them may be the leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use krafka::Kafka;
use krafka::admin::DescribeConsumerGroupsOptions;
use krafka::consumer::Consumer;
use krafka::error::KrafkaError;
use tokio::sync::mpsc::UnboundedReceiver;

use super::HEARTBEAT;
use super::absent::Absent;
use super::rejoin::rejoin;
use crate::base::backoff::Outage;
use crate::kafka::{Cluster, Trouble, is_login_refused};
use crate::message::PartitionId;
use crate::message::group::Event;
use crate::settings::{Config, GroupProtocol};

/// Longer than krafka caches what it knows of a topic, so each look asks a broker.
const LOOK_EVERY: Duration = Duration::from_secs(3);
const _: () = assert!(LOOK_EVERY.as_secs() > crate::kafka::METADATA_AGE.as_secs());

/// Limit for describing the group.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// For how long a partition that moves has no owner, on top of the revocation itself.
const BESIDE_REVOKE: Duration = Duration::from_secs(2);
const _: () = assert!(
    BESIDE_REVOKE.as_millis() > HEARTBEAT.as_millis(),
    "a partition would be taken for forgotten before its next owner has heard of it"
);

/// Partitions that this member released, and when: a release is over with that.
type Releases = BTreeMap<PartitionId, Instant>;

/// How many rebalances are asked for at once where a partition is new: at the first one the leader may not know of it yet.
const AT_ONCE: u32 = 3;

/// How often the log says that looks fail.
const SAY_EVERY: Duration = Duration::from_secs(3_600);

/// Checks every few seconds whether each partition has an owner, and asks for a rebalance where one has none for too long.
/// It looks soon where this member released partitions. Returns when a broker refuses the login of this krafka.
pub(super) async fn watch(
    kafka: Kafka,
    consumer: Arc<Consumer>,
    config: Config,
    group: Sender<Event>,
    mut released: UnboundedReceiver<Vec<PartitionId>>,
) -> Trouble {
    let mut watch = Watch::new(config.shutdown_timeout + BESIDE_REVOKE);
    let mut outage = Outage::new(SAY_EVERY, SAY_EVERY);
    let mut absent = Absent::default();
    let mut told = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(partitions) = released.recv() => {
                watch.released(&partitions, Instant::now());
                tokio::time::sleep(BESIDE_REVOKE).await;
            }
        }
        absent.look(&kafka, &consumer, &config).await;
        let seen = match look(&kafka, &consumer, &config).await {
            Ok(seen) => {
                say_works(&mut outage, &config);
                seen
            }
            Err(error) if is_login_refused(&error) => {
                return Trouble::new(&Cluster::of(&config), &error);
            }
            Err(error) => {
                say_failed(&mut outage, &config, &error);
                None
            }
        };
        let Some(seen) = seen else {
            // A rebalance is about to change it, or nobody answers.
            watch.since = None;
            continue;
        };
        let size = (seen.members, seen.all.len());
        if told.replace(size) != Some(size) {
            let (members, partitions) = size;
            // It is gone only when the process ends.
            let _ = group.send(Event::Stable {
                members,
                partitions,
            });
        }
        match watch.look(&seen, Instant::now()) {
            None => continue,
            // Kafka itself assigns, and forgets none.
            Some(_) if config.group_protocol == GroupProtocol::Consumer => continue,
            Some(Why::Added) => log::info!(
                topic:% = config.topics;
                "{} {} partitions by now, of which {:?} have no owner: asking for a rebalance",
                match config.topics.are_several() {
                    true => format!("topics {} have", config.topics),
                    false => format!("topic {} has", config.topics),
                },
                seen.all.len(),
                seen.unowned
            ),
            Some(Why::Forgotten) => log::warn!(
                topic:% = config.topics, group = config.group;
                "partitions {:?} of {} have no owner, though group {} is stable: asking for a rebalance",
                seen.unowned,
                config.topics,
                config.group
            ),
        }
        rejoin(&consumer, &config.topics).await;
    }
}

fn say_failed(outage: &mut Outage, config: &Config, error: &KrafkaError) {
    if outage.failed(Instant::now()) {
        log::warn!(
            topic:% = config.topics, group = config.group;
            "asking who of group {} has which partition of {} failed: {}. Until it works, a partition without an owner \
             goes unnoticed and isn't read",
            config.group,
            config.topics,
            Trouble::new(&Cluster::of(config), error)
        );
    }
}

fn say_works(outage: &mut Outage, config: &Config) {
    if let Some(lasted) = outage.worked(Instant::now()) {
        log::info!(
            "asking who of group {} has which partition of {} works again, after {:.0} s",
            config.group,
            config.topics,
            lasted.as_secs_f64()
        );
    }
}

/// The topic in a stable group.
#[derive(Default)]
struct Seen {
    members: usize,
    all: BTreeSet<PartitionId>,
    /// Those without an owner.
    unowned: BTreeSet<PartitionId>,
}

/// Why a rebalance is needed.
#[derive(Debug, PartialEq, Eq)]
enum Why {
    Added,
    Forgotten,
}

/// Since when partitions are unowned, and what was asked for them.
struct Watch {
    revoke_limit: Duration,
    releases: Releases,
    /// All partitions, when each had an owner last.
    known: Option<BTreeSet<PartitionId>>,
    since: Option<Instant>,
    asked: u32,
}

impl Watch {
    fn new(revoke_limit: Duration) -> Self {
        Self {
            revoke_limit,
            releases: Releases::new(),
            known: None,
            since: None,
            asked: 0,
        }
    }

    /// This member released these partitions.
    fn released(&mut self, partitions: &[PartitionId], now: Instant) {
        let releases = partitions.iter().map(|partition| (*partition, now));
        self.releases.extend(releases);
    }

    fn look(&mut self, seen: &Seen, now: Instant) -> Option<Why> {
        if seen.unowned.is_empty() {
            *self = Self {
                known: Some(seen.all.clone()),
                ..Self::new(self.revoke_limit)
            };
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let is_new = self
            .known
            .as_ref()
            .is_some_and(|known| seen.unowned.is_disjoint(known));
        let why = match is_new && self.asked < AT_ONCE {
            true => Why::Added,
            false if now.duration_since(since) >= self.revoke_limit => Why::Forgotten,
            false if self.forgot_to_join(seen, now) => Why::Forgotten,
            false => return None,
        };
        self.releases.clear();
        self.asked += 1;
        self.since = None;
        Some(why)
    }

    /// Whether this member released a partition that nobody has: its join should have moved it by now.
    fn forgot_to_join(&self, seen: &Seen, now: Instant) -> bool {
        seen.unowned.iter().any(|partition| {
            let at = self.releases.get(partition);
            at.is_some_and(|at| now.duration_since(*at) >= BESIDE_REVOKE)
        })
    }
}

/// Which partitions are unowned. Returns None while a rebalance runs, which is about to change it.
async fn look(
    kafka: &Kafka,
    consumer: &Consumer,
    config: &Config,
) -> Result<Option<Seen>, KrafkaError> {
    let mut all = BTreeSet::new();
    for topic in config.topics.ids() {
        let name = config.topics.name(topic);
        let known = consumer.fetch_metadata(Some(name)).await?.topics;
        let indexes = known.iter().flat_map(|topic| topic.partitions.keys());
        all.extend(indexes.map(|&index| PartitionId { topic, index }));
    }
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
    let (members, mut unowned) = (group.members.len(), all.clone());
    for member in group.members {
        for assigned in member.assignment.unwrap_or_default() {
            let Some(topic) = config.topics.id(&assigned.topic_name) else {
                continue;
            };
            for index in assigned.partitions {
                unowned.remove(&PartitionId { topic, index });
            }
        }
    }
    Ok(Some(Seen {
        members,
        all,
        unowned,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(all: i32, unowned: &[i32]) -> Seen {
        Seen {
            members: 1,
            all: (0..all).map(PartitionId::of_first).collect(),
            unowned: unowned.iter().copied().map(PartitionId::of_first).collect(),
        }
    }

    #[test]
    fn a_partition_that_was_owned_may_be_on_its_way() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::new(Duration::from_secs(10));
        assert_eq!(watch.look(&seen(2, &[1]), at(0)), None);
        assert_eq!(watch.look(&seen(2, &[1]), at(9)), None);
        assert_eq!(watch.look(&seen(2, &[]), at(10)), None);
        assert_eq!(watch.look(&seen(2, &[0]), at(11)), None);
        assert_eq!(watch.look(&seen(2, &[0]), at(21)), Some(Why::Forgotten));
        assert_eq!(watch.look(&seen(2, &[0]), at(24)), None);
        // One of both kinds.
        assert_eq!(watch.look(&seen(3, &[0, 2]), at(27)), None);
    }

    #[test]
    fn what_this_member_released_is_not_waited_for() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::new(Duration::from_secs(10));
        watch.look(&seen(4, &[]), start);
        watch.released(&[1, 2].map(PartitionId::of_first), at(1));
        assert_eq!(watch.look(&seen(4, &[2, 3]), at(2)), None);
        assert_eq!(watch.look(&seen(4, &[3]), at(3)), None, "another's");
        assert_eq!(watch.look(&seen(4, &[2]), at(3)), Some(Why::Forgotten));
        assert_eq!(watch.look(&seen(4, &[2]), at(6)), None, "asked once");
        watch.released(&[1].map(PartitionId::of_first), at(6));
        watch.look(&seen(4, &[]), at(7));
        assert_eq!(watch.look(&seen(4, &[1]), at(9)), None, "moved since");
    }

    #[test]
    fn a_partition_that_was_added_is_asked_for_at_once_and_not_for_ever() {
        let start = Instant::now();
        let mut watch = Watch::new(Duration::from_secs(10));
        assert_eq!(watch.look(&seen(1, &[]), start), None);
        for _ in 0..AT_ONCE {
            assert_eq!(watch.look(&seen(4, &[1, 2, 3]), start), Some(Why::Added));
        }
        assert_eq!(watch.look(&seen(4, &[1, 2, 3]), start), None);
        let later = start + Duration::from_secs(10);
        assert_eq!(
            watch.look(&seen(4, &[1, 2, 3]), later),
            Some(Why::Forgotten)
        );
        assert_eq!(watch.look(&seen(4, &[]), later), None);
        assert_eq!(watch.look(&seen(5, &[4]), later), Some(Why::Added));
    }
}
