//! Which partitions the kafka crate can read, and connecting it.
//!
//! The crate learns once who leads which partition, passes silently over those whose leader it doesn't know, waits for a
//! connection for as long as the system does (two minutes), and panics on partition numbers with a gap. So all that is
//! looked at first, here; and again, as long as a partition that is to be read can't be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kafka::client::KafkaClient;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{FetchError, Positions};
use crate::kafka::ask::Connection;
use crate::kafka::bootstrap::{ANSWER_TIMEOUT, Bootstrap};
use crate::kafka::layout::Layout;

/// Between two looks at the topic, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// And so many times as long as the last one took: the partitions that can be read wait for it.
const LOOK_SHARE: u32 = 4;

/// How long a leader may take to accept a connection, with looking up its name.
const REACH: Duration = Duration::from_secs(4);

/// Limits a look: asking for the topic, and trying its leaders.
pub(super) const LOOK_WITHIN: Duration = ANSWER_TIMEOUT.saturating_add(REACH);

pub(super) struct Leaders {
    bootstrap: Bootstrap,
    topic: String,
    /// More brokers than these are not read from.
    most_brokers: usize,
    seen: Option<Seen>,
    look_at: Instant,
    /// The partitions to read that can't be, as it was said last.
    said: BTreeSet<i32>,
}

/// The topic, as it was seen last.
struct Seen {
    layout: Layout,
    /// Why a leader can't be reached.
    unreachable: BTreeMap<String, String>,
    /// Partitions that a broker doesn't lead by its own word, and what it said.
    disowned: BTreeMap<i32, String>,
}

impl Seen {
    /// Whether a client that was connected by this serves as well as one that is connected by `new`.
    fn serves_as(&self, new: &Seen) -> bool {
        self.layout.leaders == new.layout.leaders
            && self.unreachable == new.unreachable
            && self.disowned.is_empty()
    }

    /// Why a partition can't be read, where it can't.
    fn trouble(&self, partition: i32) -> Option<String> {
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
    pub(super) fn new(brokers: &[String], topic: &str, most_brokers: usize) -> Self {
        Self {
            bootstrap: Bootstrap::new(brokers.to_vec()),
            topic: topic.to_owned(),
            most_brokers,
            seen: None,
            look_at: Instant::now(),
            said: BTreeSet::new(),
        }
    }

    /// Whether a partition can be read, as far as is known.
    pub(super) fn can_read(&self, partition: i32) -> bool {
        let seen = self.seen.as_ref();
        seen.is_some_and(|seen| seen.trouble(partition).is_none())
    }

    /// A broker says that it doesn't lead this partition.
    pub(super) fn disown(&mut self, partition: i32, why: String) {
        if let Some(seen) = &mut self.seen {
            seen.disowned.insert(partition, why);
        }
    }

    /// Looks at the topic where that is needed and due. Returns whether a client that is there still fits.
    ///
    /// # Errors
    /// Where nothing can be read.
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
            // What can be read needs no new knowledge.
            Err(_) if connected => return Ok(true),
            Err(why) => return Err(FetchError::Failed(why)),
        };
        self.judge(&seen.layout)?;
        let before = self.seen.replace(seen);
        self.say(positions)?;
        let now = self.seen.as_ref();
        let serves = before
            .zip(now)
            .is_some_and(|(before, now)| before.serves_as(now));
        Ok(connected && serves)
    }

    /// What the crate could never read.
    fn judge(&self, layout: &Layout) -> Result<(), FetchError> {
        let topic = &self.topic;
        if !layout.is_gapless() {
            let partitions: Vec<i32> = layout.leaders.keys().copied().collect();
            return Err(FetchError::Unsupported(format!(
                "the partitions of {topic} are not numbered from 0 on without a gap: {partitions:?}"
            )));
        }
        let brokers = layout.brokers().len();
        if brokers > self.most_brokers {
            return Err(FetchError::Unsupported(format!(
                "the topic's partitions are on {brokers} brokers"
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
            let layout = Layout::ask(&self.bootstrap, &self.topic).await?;
            let unreachable = unreachable(&layout).await;
            Ok(Seen {
                layout,
                unreachable,
                disowned: BTreeMap::new(),
            })
        });
        // A name that is being looked up isn't waited for.
        runtime.shutdown_background();
        seen
    }

    /// Says which of the partitions to read can't be, where that has changed.
    ///
    /// # Errors
    /// Where it is all of them.
    fn say(&mut self, positions: &Positions) -> Result<(), FetchError> {
        let seen = self.seen.as_ref();
        let troubles: BTreeMap<i32, String> = positions
            .keys()
            .filter_map(|p| Some((*p, seen?.trouble(*p)?)))
            .collect();
        let partitions: BTreeSet<i32> = troubles.keys().copied().collect();
        let topic = &self.topic;
        if let Some((partition, why)) = troubles.first_key_value() {
            if partitions.len() == positions.len() {
                return Err(FetchError::Failed(format!(
                    "no partition of {topic} can be read now: of partition {partition}: {why}"
                )));
            }
            if partitions != self.said {
                log::warn!(
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

    /// Makes the crate's client know the topic as it was seen.
    ///
    /// # Errors
    /// The crate's.
    pub(super) fn connect(
        &mut self,
        make: impl FnOnce(Vec<String>) -> KafkaClient,
    ) -> Result<KafkaClient, kafka::Error> {
        let Some(seen) = &mut self.seen else {
            return Err(kafka::Error::NoHostReachable);
        };
        let mut client = make(vec![seen.layout.asked.clone()]);
        // Asked for by its name, a topic that is gone would be made anew where the broker does that: it was there just now.
        client.load_metadata(&[&self.topic])?;
        let known: BTreeMap<i32, String> = client
            .topics()
            .partitions(&self.topic)
            .into_iter()
            .flat_map(|partitions| partitions.iter().collect::<Vec<_>>())
            .filter_map(|p| Some((p.id(), p.leader()?.host().to_owned())))
            .collect();
        // What moved between the two questions is not asked for: nobody has tried its leader.
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
async fn unreachable(layout: &Layout) -> BTreeMap<String, String> {
    let mut trying = JoinSet::new();
    for broker in layout.brokers() {
        let broker = broker.to_owned();
        trying.spawn(async move {
            let tried = timeout(REACH, Connection::open(&broker)).await;
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
