//! Which partitions the kafka crate can read, and connecting it.
//!
//! # Faults of kafka 0.10.0
//!
//! The crate loads leaders once, skips partitions without a known leader silently, waits for a connection as long as the
//! system does (two minutes), and panics on partition numbers with a gap. So this looks first, and looks again as long as
//! an assigned partition can't be read.
//!
//! - One sees them with a broker behind a black hole, with a leader that moves, and with a topic of the partitions 0 and 2.
//! - Once the crate limits connecting and says what it can't read, delete this file. `Classic` then makes its client itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kafka::client::KafkaClient;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{FetchError, Positions};
use crate::kafka::Cluster;
use crate::kafka::ask::Connection;
use crate::kafka::bootstrap::{ANSWER_TIMEOUT, Bootstrap};
use crate::kafka::layout::Layout;
use crate::message::{PartitionId, TopicId, Topics};

/// Least time between two looks at the topics.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// And at least this many times the length of the last look: the readable partitions wait for a look.
const LOOK_SHARE: u32 = 4;

/// Limits the connection to a leader, with its name's lookup.
const REACH: Duration = Duration::from_secs(4);

/// Limits a look: asking for the topic, and trying its leaders.
pub(super) const LOOK_WITHIN: Duration = ANSWER_TIMEOUT.saturating_add(REACH);

pub(super) struct Leaders {
    cluster: Cluster,
    bootstrap: Bootstrap,
    topics: Topics,
    /// The client reads from no more brokers than this.
    most_brokers: usize,
    seen: Option<Seen>,
    look_at: Instant,
    /// Unreadable partitions, as last logged.
    said: BTreeSet<PartitionId>,
}

/// The topics at the last look.
struct Seen {
    layout: Layout,
    /// Unreachable leaders, and why.
    unreachable: BTreeMap<String, String>,
    /// Partitions whose supposed leader denies to lead them, and its words.
    disowned: BTreeMap<PartitionId, String>,
}

impl Seen {
    /// Whether a client that was connected by this look still fits `new`.
    fn serves_as(&self, new: &Seen) -> bool {
        self.layout.leaders == new.layout.leaders
            && self.unreachable == new.unreachable
            && self.disowned.is_empty()
    }

    /// Returns why a partition can't be read, or `None` if it can.
    fn trouble(&self, partition: PartitionId) -> Option<String> {
        if let Some(why) = self.disowned.get(&partition) {
            return Some(why.clone());
        }
        let asked = &self.layout.asked;
        match self.layout.leaders.get(&partition) {
            None => Some(format!("Kafka at {asked} doesn't know it")),
            Some(None) => Some(format!("it has no leader, as Kafka at {asked} says")),
            Some(Some(leader)) => self.unreachable.get(leader).cloned(),
        }
    }
}

impl Leaders {
    pub(super) fn new(cluster: &Cluster, topics: &Topics, most_brokers: usize) -> Self {
        Self {
            cluster: cluster.clone(),
            bootstrap: Bootstrap::new(cluster.clone()),
            topics: topics.clone(),
            most_brokers,
            seen: None,
            look_at: Instant::now(),
            said: BTreeSet::new(),
        }
    }

    /// Whether a partition can be read, by the last look.
    pub(super) fn can_read(&self, partition: PartitionId) -> bool {
        let seen = self.seen.as_ref();
        seen.is_some_and(|seen| seen.trouble(partition).is_none())
    }

    /// Records that a broker denies to lead this partition.
    pub(super) fn disown(&mut self, partition: PartitionId, why: String) {
        if let Some(seen) = &mut self.seen {
            seen.disowned.insert(partition, why);
        }
    }

    /// Looks at the topics if needed and due. Returns whether the connected client still fits.
    ///
    /// # Errors
    /// No broker answers, the crate can't read one of the topics, or no assigned partition is readable.
    pub(super) fn look(
        &mut self,
        positions: &Positions,
        connected: bool,
    ) -> Result<bool, FetchError> {
        let is_whole = positions.keys().all(|p| self.can_read(*p));
        if connected && (is_whole || Instant::now() < self.look_at) {
            return Ok(true);
        }
        let start = Instant::now();
        let seen = self.ask();
        let took = start.elapsed();
        self.look_at = start + LOOK_EVERY.max(took * LOOK_SHARE);
        let seen = match seen {
            Ok(seen) => seen,
            // Readable partitions need no new look.
            Err(_) if connected => return Ok(true),
            Err(why) => return Err(FetchError::Failed(why)),
        };
        self.check_supported(&seen.layout)?;
        let before = self.seen.replace(seen);
        self.say(positions)?;
        let now = self.seen.as_ref();
        let serves = before
            .zip(now)
            .is_some_and(|(before, now)| before.serves_as(now));
        Ok(connected && serves)
    }

    /// Refuses a topic that the crate can never read.
    fn check_supported(&self, layout: &Layout) -> Result<(), FetchError> {
        if let Some((topic, partitions)) = layout.with_gap() {
            let topic = self.topics.name(topic);
            return Err(FetchError::Unsupported(format!(
                "the partitions of {topic} are not numbered from 0 on without a gap: {partitions:?}"
            )));
        }
        let brokers = layout.brokers().len();
        if brokers > self.most_brokers {
            return Err(FetchError::Unsupported(format!(
                "the {} partitions are on {brokers} brokers",
                if self.topics.are_several() {
                    "topics'"
                } else {
                    "topic's"
                }
            )));
        }
        Ok(())
    }

    fn ask(&self) -> Result<Seen, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("starting a runtime to ask Kafka: {error}"))?;
        let seen = runtime.block_on(async {
            let layout = Layout::ask(&self.bootstrap, &self.topics).await?;
            let unreachable = unreachable(&self.cluster, &layout).await;
            Ok(Seen {
                layout,
                unreachable,
                disowned: BTreeMap::new(),
            })
        });
        // Doesn't wait for a name lookup under way.
        runtime.shutdown_background();
        seen
    }

    /// Logs which assigned partitions can't be read, when that has changed.
    ///
    /// # Errors
    /// None of them can be read.
    fn say(&mut self, positions: &Positions) -> Result<(), FetchError> {
        let seen = self.seen.as_ref();
        let troubles: BTreeMap<PartitionId, String> = positions
            .keys()
            .filter_map(|p| Some((*p, seen?.trouble(*p)?)))
            .collect();
        let partitions: BTreeSet<PartitionId> = troubles.keys().copied().collect();
        let topic = &self.topics;
        if let Some((partition, why)) = troubles.first_key_value() {
            if partitions.len() == positions.len() {
                return Err(FetchError::Failed(format!(
                    "no partition of {topic} can be read now: of partition {partition}: {why}"
                )));
            }
            if partitions != self.said {
                log::warn!(
                    topic:%, cause:% = why;
                    "partitions {partitions:?} of {topic} can't be read now (partition {partition}: {why}). The others are \
                     read, and these as soon as they can be"
                );
            }
        } else if !self.said.is_empty() {
            log::info!("all partitions of {topic} can be read again");
        }
        self.said = partitions;
        Ok(())
    }

    /// Connects a client of the crate and loads the topic.
    ///
    /// # Errors
    /// The crate's errors.
    pub(super) fn connect(
        &mut self,
        make: impl FnOnce(Vec<String>) -> KafkaClient,
    ) -> Result<KafkaClient, kafka::Error> {
        let Some(seen) = &mut self.seen else {
            return Err(kafka::Error::NoHostReachable);
        };
        let mut client = make(vec![seen.layout.asked.clone()]);
        // Asking by name may create a missing topic, where the broker does that. The topic was there just now.
        let there: BTreeSet<TopicId> = seen.layout.leaders.keys().map(|p| p.topic).collect();
        let names: Vec<&str> = there.iter().map(|topic| self.topics.name(*topic)).collect();
        client.load_metadata(&names)?;
        let mut known = BTreeMap::<PartitionId, String>::new();
        for topic in there {
            let all = client.topics();
            let partitions = all.partitions(self.topics.name(topic));
            let led = partitions.iter().flat_map(|partitions| partitions.iter());
            known.extend(led.filter_map(|p| {
                let index = p.id();
                Some((PartitionId { topic, index }, p.leader()?.host().to_owned()))
            }));
        }
        // Excludes partitions that moved between the two questions: nobody has tried their leaders.
        for (partition, leader) in &seen.layout.leaders {
            if leader.is_some() && leader.as_ref() != known.get(partition) {
                let why = format!(
                    "its leader just changed, as Kafka at {} says",
                    seen.layout.asked
                );
                seen.disowned.insert(*partition, why);
            }
        }
        Ok(client)
    }
}

/// The leaders to which there is no way, and what came of trying.
async fn unreachable(cluster: &Cluster, layout: &Layout) -> BTreeMap<String, String> {
    let mut trying = JoinSet::new();
    for broker in layout.brokers() {
        let (cluster, broker) = (cluster.clone(), broker.to_owned());
        trying.spawn(async move {
            let tried = timeout(REACH, Connection::open(&cluster, &broker)).await;
            let tried = tried.unwrap_or_else(|_| {
                let seconds = REACH.as_secs();
                Err(format!(
                    "connecting to Kafka at {broker}: nothing within {seconds} s"
                ))
            });
            Some((broker, tried.err()?))
        });
    }
    trying.join_all().await.into_iter().flatten().collect()
}
